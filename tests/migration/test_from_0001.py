"""From the first released schema: nothing of what was there is lost, and no edit goes unseen.

The database is one as revision 0001 leaves it, with rows, edits that wait to be sent, and what
people added of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command

from hisync.errors import SchemaError
from hisync.items import TABLES
from hisync.mirror import migrate
from hisync.mirror.dialects import sqlite
from hisync.mirror.dialects.sqlite import capture
from hisync.mirror.dialects.sqlite.views import VIEWS
from hisync.mirror.store import open_mirror
from hisync.mirror.tables import metadata
from tests.mirror.people import Person, inserted, updated

NEW = {"comments", "time_entries", "users", "groups", "tags", "sync_comments", "sync_usage"}

OWN = [
    "ALTER TABLE tasks ADD COLUMN cost_centre TEXT DEFAULT 'none'",
    "CREATE INDEX my_titles ON tasks (title)",
    "CREATE VIEW my_tasks AS SELECT title, cost_centre FROM tasks",
    "CREATE TABLE mine (title)",
    "CREATE TRIGGER my_copy AFTER INSERT ON tasks BEGIN INSERT INTO mine VALUES (NEW.title); END",
]
EDITS = [
    "INSERT INTO tasks (guid, title, cost_centre) VALUES ('new', 'New', 'x')",
    "UPDATE tasks SET title = 'Known, changed', tags = '[\"a\"]' WHERE guid = 'known'",
    "DELETE FROM notes WHERE guid = 'dropped'",
]


def released_triggers() -> dict[str, str]:
    """The item triggers of 0001, which knew no ledger."""
    found = {}
    for name, sql in capture.capture_triggers().items():
        if any(name.startswith(f"sync_capture_{table}_") for table in TABLES):
            found[name] = sql.replace(f" AND {capture.NOT_POSTING}", "")
    assert "sync_doomed WHERE table_name = 'time_spent_minutes'" not in str(found)
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database at revision 0001, with no rows."""
    path = tmp_path / "mirror.db"
    with open_mirror(f"sqlite:///{path}") as mirror:
        writer = mirror.engine.connect().execution_options(**{sqlite.WRITE: True})
        with writer as connection, connection.begin():
            config = migrate._config()
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
            for statement in released_triggers().values():
                connection.exec_driver_sql(statement)
    return path


@pytest.fixture
def person(path: Path) -> Iterator[Person]:
    """Somebody's SQL client on it."""
    person = Person(path)
    yield person
    person.close()


@pytest.fixture
def used(person: Person) -> Person:
    """The same after some use: rows from hiTask, people's own things, edits that wait."""
    for statement in OWN:
        person.run(statement)
    person.run("BEGIN")
    person.run("INSERT INTO sync_mark VALUES (1, 0)")
    person.run(
        "INSERT INTO tasks (guid, id, title, time_spent_minutes, cost_centre)"
        " VALUES ('known', 5, 'Known', 60, 'y')"
    )
    person.run("INSERT INTO notes (guid, id, title) VALUES ('dropped', 6, 'Dropped')")
    for guid, table, number in (("known", "tasks", 5), ("dropped", "notes", 6)):
        columns = "guid, table_name, id"
        person.run(f"INSERT INTO sync_base ({columns}) VALUES (?, ?, ?)", guid, table, number)
    person.run("INSERT INTO sync_state VALUES ('cursor', '\"c1\"'), ('account_id', 7)")
    person.run("DELETE FROM sync_mark")
    person.run("COMMIT")
    for statement in EDITS:
        person.run(statement)
    return person


def everything(person: Person, tables: set[str]) -> dict[str, list[tuple[Any, ...]]]:
    return {table: person.run(f"SELECT * FROM {table} ORDER BY rowid") for table in tables}


def test_it_is_as_it_was_released(person: Person) -> None:
    tables = {name for (name,) in person.run("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert tables - {"sqlite_sequence", migrate.VERSION_TABLE} == set(metadata.tables) - NEW
    assert person.run("SELECT count(*) FROM sqlite_schema WHERE type = 'view'") == [(0,)]


def test_what_was_there_is_there(used: Person, path: Path) -> None:
    old = (set(metadata.tables) - NEW) | {"mine"}
    before, pending = everything(used, old), used.log()
    assert [change.op for change in pending] == ["insert", "update", "delete"]
    assert len(before["tasks"]) == 2
    assert before["tasks"][0][-1] == "y"
    with open_mirror(f"sqlite:///{path}") as mirror:
        assert migrate.upgrade_schema(mirror.engine) == ("0001", "0006")
    assert everything(used, old) == before
    assert used.log() == []  # the migration itself is no edit
    assert used.run("SELECT state, finished_at FROM change_log") == [("pending", None)] * 3
    for table in NEW:
        assert used.run(f"SELECT * FROM {table}") == []


def test_what_people_added_is_there_and_works(used: Person, path: Path) -> None:
    query = "SELECT type, name, sql FROM sqlite_schema WHERE name LIKE 'my_%' ORDER BY name"
    before = used.run(query)
    assert len(before) == 3
    open_mirror(f"sqlite:///{path}").acquire().close()
    assert used.run(query) == before
    used.run("INSERT INTO tasks (title, cost_centre) VALUES ('Later', 'z')")
    assert used.run("SELECT * FROM my_tasks")[-1] == ("Later", "z")
    assert used.run("SELECT * FROM mine") == [("Known",), ("New",), ("Later",)]
    used.run("SELECT 1 FROM tasks INDEXED BY my_titles WHERE title = 'x'")


def test_the_new_tables_triggers_and_views_are_at_work(used: Person, path: Path) -> None:
    used.log()
    with open_mirror(f"sqlite:///{path}").acquire() as mirror, mirror.writing():
        pass
    used.run("INSERT INTO comments (guid, item_guid, message) VALUES ('c', 'known', 'Hi')")
    used.run("INSERT INTO time_entries (guid, item_guid, minutes) VALUES ('e', 'known', 30)")
    used.run("UPDATE tasks SET title = 'Again' WHERE guid = 'known'")
    assert used.log() == [
        inserted("c", item_guid="known", message="Hi"),
        inserted("e", item_guid="known", minutes=30, source="local"),
        updated("known", {"title": "Known, changed"}, {"title": "Again"}),
    ]
    # What hiTask counted before has no entries yet: the entry adds to it all the same.
    assert used.one("SELECT time_spent_minutes FROM tasks WHERE guid = 'known'") == 90
    assert dict(used.run("SELECT name, sql FROM sqlite_schema WHERE type = 'view'")) == {
        **VIEWS,
        "my_tasks": "CREATE VIEW my_tasks AS SELECT title, cost_centre FROM tasks",
    }
    query = "SELECT guid, time_spent_minutes FROM items WHERE kind = 'task'"
    assert used.run(query) == [("known", 90), ("new", None)]


def test_it_is_not_upgraded_where_that_is_not_allowed(used: Person, path: Path) -> None:
    with open_mirror(f"sqlite:///{path}") as mirror:
        with pytest.raises(
            SchemaError, match=r"is at 0001, this hisync needs 0006: run `hisync db"
        ):
            mirror.acquire(upgrade=False)
        mirror.close()
        with pytest.raises(SchemaError, match="is at 0001"):
            mirror.check()
    assert not used.run("SELECT 1 FROM sqlite_schema WHERE name = 'comments'")


@pytest.mark.parametrize(
    ("mine", "named"),
    [
        ("CREATE TABLE users (name)", "table users already exists"),
        ("CREATE VIEW comments AS SELECT 1", "view comments already exists"),
        ("CREATE INDEX tags ON tasks (tags)", "there is already an index named tags"),
        ("CREATE INDEX ix_comments_id ON tasks (id)", "index ix_comments_id already exists"),
    ],
)
def test_a_name_that_people_took_is_named_and_nothing_changes(
    used: Person, path: Path, mine: str, named: str
) -> None:
    used.run(mine)
    before = used.run("SELECT name, sql FROM sqlite_schema")
    with open_mirror(f"sqlite:///{path}") as mirror:
        with pytest.raises(SchemaError, match=f"{named}.*give yours another name"):
            migrate.upgrade_schema(mirror.engine)
        assert migrate.current(mirror.engine) == "0001"
    assert used.run("SELECT name, sql FROM sqlite_schema") == before


def test_a_view_that_people_have_stays_theirs(used: Person, path: Path) -> None:
    used.run("CREATE VIEW items AS SELECT title FROM tasks")
    open_mirror(f"sqlite:///{path}").acquire().close()
    assert used.run("SELECT * FROM items") == [("Known, changed",), ("New",)]
    used.run("SELECT * FROM task_overview, time_by_day, project_progress")


def test_a_view_of_ones_own_that_is_broken_stands_in_no_way(used: Person, path: Path) -> None:
    used.run("CREATE VIEW broken AS SELECT * FROM nowhere")
    used.run("INSERT INTO sync_requests (granted_at, requests) VALUES (100.5, 2)")
    open_mirror(f"sqlite:///{path}").acquire().close()
    booked = used.run("SELECT granted_at, requests, lease_ends FROM sync_requests")
    assert booked == [(100.5, 2, 105.5)]
    assert used.run("SELECT sql FROM sqlite_schema WHERE name = 'broken'")
