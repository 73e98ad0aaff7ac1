"""Comments are captured like items, and what hiTask alone says is not to be written."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from hisync.mirror.store import Mirror
from hisync.mirror.tables import SHOWN_TABLES, comments, sync_comments, users
from tests.mirror.people import Person, deleted, inserted, updated

STAYS = "hisync: a comment stays with its item; delete it and insert a new one"
IDENTITY = "guid and id are the identity of a row and cannot be changed"


@pytest.fixture(params=["off", "on"])
def known(person: Person, mirror: Mirror, request: pytest.FixtureRequest) -> Person:
    """Somebody who sees two comments from hiTask."""
    person.run(f"PRAGMA recursive_triggers = {request.param}")
    row = {"item_guid": "t", "user_id": 7}
    with mirror.writing() as connection:
        connection.execute(
            comments.insert(),
            [
                {"guid": "a", "id": 5, "message": "A"} | row,
                {"guid": "b", "id": 6, "message": "B"} | row,
            ],
        )
    assert person.log() == []  # the engine's own writes are nobody's edits
    return person


def state(person: Person) -> list[tuple[Any, ...]]:
    return person.run("SELECT guid, id, item_guid, message FROM comments ORDER BY guid")


def test_an_item_and_a_message_are_enough(person: Person) -> None:
    person.run("INSERT INTO comments (item_guid, message) VALUES ('t', 'Done?')")
    ((guid, *rest),) = person.run("SELECT guid, id, user_id, time_create FROM comments")
    assert len(guid) == 36
    assert rest == [None, None, None]
    assert person.log() == [inserted(guid, item_guid="t", message="Done?")]
    assert person.run("SELECT table_name, state FROM change_log") == [("comments", "pending")]


def test_changed_columns_only(known: Person) -> None:
    known.run("UPDATE comments SET message = 'A2', user_id = 7 WHERE guid = 'a'")
    known.run("UPDATE comments SET message = message, id = id, item_guid = item_guid")
    assert known.log() == [updated("a", {"message": "A"}, {"message": "A2"})]


def test_a_deletion_says_which_comment_it_was(known: Person) -> None:
    """Its number on hiTask is nowhere else once the row is gone."""
    known.run("DELETE FROM comments WHERE guid = 'a'")
    assert known.log() == [deleted("a", id=5, item_guid="t", user_id=7, message="A")]


def test_a_replaced_comment_is_deleted_and_inserted(known: Person) -> None:
    known.run("INSERT OR REPLACE INTO comments (guid, item_guid, message) VALUES ('a', 't', 'A2')")
    assert known.log() == [
        deleted("a", id=5, item_guid="t", user_id=7, message="A"),
        inserted("a", item_guid="t", message="A2"),
    ]
    known.run(
        "REPLACE INTO comments (rowid, guid, message)"
        " SELECT rowid, 'c', 'C' FROM comments WHERE guid = 'b'"
    )
    assert known.log() == [
        deleted("b", id=6, item_guid="t", user_id=7, message="B"),
        inserted("c", message="C"),
    ]


def test_what_is_ignored_or_rolled_back_was_never_there(known: Person) -> None:
    before = state(known)
    known.run("INSERT OR IGNORE INTO comments (guid, message) VALUES ('a', 'A2')")
    known.run("BEGIN")
    known.run("DELETE FROM comments")
    known.run("ROLLBACK")
    assert state(known) == before
    assert known.log() == []
    known.run("INSERT INTO comments (guid, message) VALUES ('c', 'C')")
    assert known.log() == [inserted("c", message="C")]


def test_an_upsert_is_an_update(known: Person) -> None:
    known.run(
        "INSERT INTO comments (guid, message) VALUES ('a', 'A2')"
        " ON CONFLICT (guid) DO UPDATE SET message = excluded.message"
    )
    assert known.log() == [updated("a", {"message": "A"}, {"message": "A2"})]


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE comments SET item_guid = 'u'", STAYS),
        ("UPDATE comments SET item_guid = NULL, message = 'x'", STAYS),
        ("UPDATE OR IGNORE comments SET item_guid = 'u'", STAYS),
        ("UPDATE comments SET guid = 'c' WHERE guid = 'a'", IDENTITY),
        ("UPDATE comments SET id = 9", IDENTITY),
        ("UPDATE OR REPLACE comments SET guid = 'b' WHERE guid = 'a'", IDENTITY),
        ("UPDATE OR REPLACE comments SET rowid = 2 WHERE guid = 'a'", IDENTITY),
        ("INSERT INTO comments (guid, message) VALUES (x'00', 'x')", "guid must be a UUID"),
        ("REPLACE INTO comments (guid, message) VALUES ('caf\u00e9', 'x')", "guid must be a UUID"),
        ("INSERT OR IGNORE INTO comments (item_guid) VALUES (x'00')", "item_guid must be the guid"),
    ],
)
def test_what_a_comment_can_not_become_is_an_error_at_once(
    known: Person, statement: str, reason: str
) -> None:
    before = state(known)
    with pytest.raises(sqlite3.IntegrityError, match=reason):
        known.run(statement)
    assert state(known) == before
    assert known.log() == []


def test_the_engine_may_do_all_of_that(mirror: Mirror, person: Person) -> None:
    person.run("INSERT INTO comments (guid, item_guid, message) VALUES ('a', 't', 'A')")
    person.log()
    with mirror.writing() as connection:
        connection.execute(comments.update().values(id=5, item_guid="u", user_id=7))
        connection.execute(sync_comments.insert().values(item_guid="u", read_at=1.5))
    assert state(person) == [("a", 5, "u", "A")]
    assert person.run("SELECT * FROM sync_comments") == [("u", None, 1.5, 0)]
    assert person.log() == []


# What hiTask alone says

WRITES = [
    "INSERT INTO {table} (id) VALUES (2)",
    "INSERT OR IGNORE INTO {table} (id) VALUES (1)",
    "INSERT OR REPLACE INTO {table} (id, {column}) VALUES (1, 'x')",
    "INSERT INTO {table} (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET {column} = 'x'",
    "INSERT INTO {table} (id) VALUES (1) ON CONFLICT DO NOTHING",
    "UPDATE {table} SET {column} = 'x'",
    "UPDATE OR REPLACE {table} SET id = 1",
    "UPDATE OR IGNORE {table} SET {column} = {column}",
    "DELETE FROM {table}",
    "DELETE FROM {table} WHERE id = 1",
]


@pytest.mark.parametrize("recursive", ["off", "on"])
@pytest.mark.parametrize(
    ("table", "column"), [("users", "email"), ("groups", "name"), ("tags", "name")]
)
def test_what_hitask_alone_says_is_read_only(
    mirror: Mirror, person: Person, table: str, column: str, recursive: str
) -> None:
    declared = SHOWN_TABLES[table]
    with mirror.writing() as connection:
        connection.execute(declared.insert().values({"id": 1, column: "a"}))
    person.run(f"PRAGMA recursive_triggers = {recursive}")
    for statement in WRITES:
        reason = f"hisync: {table} come from hiTask and are read-only here"
        with pytest.raises(sqlite3.IntegrityError, match=reason):
            person.run(statement.format(table=table, column=column))
        ((found, cell),) = person.run(f"SELECT id, {column} FROM {table}")
        assert (str(found), cell) == ("1", "a")  # the id of a group is a text
    assert person.log() == []
    with mirror.writing() as connection:
        connection.execute(declared.update().values({column: "b"}))
        connection.execute(declared.delete())
    assert person.run(f"SELECT * FROM {table}") == []


def test_what_changes_no_row_of_them_is_no_error(person: Person) -> None:
    person.run("UPDATE users SET email = 'x'")
    person.run("DELETE FROM groups")
    person.run("INSERT INTO tags (id) SELECT 1 WHERE false")


def test_people_have_no_ids_of_the_databases_own(mirror: Mirror, person: Person) -> None:
    assert users.c.id.autoincrement is False
    with pytest.raises(sqlite3.IntegrityError):
        person.run("INSERT INTO users (login) VALUES ('x')")


def test_columns_of_ones_own_stand_beside_them(mirror: Mirror, person: Person) -> None:
    """Each of our tables may have them; a read-only one shows their default."""
    person.run("ALTER TABLE comments ADD COLUMN mood TEXT DEFAULT 'fine'")
    person.run("ALTER TABLE users ADD COLUMN team TEXT DEFAULT 'none'")
    person.run("INSERT INTO comments (guid, message) VALUES ('a', 'A')")
    with mirror.writing() as connection:
        connection.execute(users.insert().values(id=1))
    person.run("UPDATE comments SET mood = 'sad'")
    assert person.run("SELECT mood FROM comments UNION ALL SELECT team FROM users") == [
        ("sad",),
        ("none",),
    ]
    assert person.log() == [inserted("a", message="A")]
