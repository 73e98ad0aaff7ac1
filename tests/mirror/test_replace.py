"""Conflict clauses: `REPLACE` and its kin are seen as what they do to the rows."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.mirror.people import Logged, Person, deleted, inserted, updated


@pytest.fixture(params=["off", "on"])
def two_tasks(person: Person, request: pytest.FixtureRequest) -> Person:
    """Somebody with two tasks, whose `REPLACE` fires no delete triggers, or does."""
    person.run(f"PRAGMA recursive_triggers = {request.param}")
    person.run(
        "INSERT INTO tasks (rowid, guid, title, priority) VALUES (1, 'a', 'A', 1), (2, 'b', 'B', 2)"
    )
    person.log()
    return person


def rows(person: Person) -> list[tuple[Any, ...]]:
    return person.run("SELECT guid, title, priority FROM tasks ORDER BY guid")


@pytest.mark.parametrize("verb", ["INSERT OR REPLACE", "REPLACE"])
def test_a_replaced_row_is_deleted_and_inserted(two_tasks: Person, verb: str) -> None:
    two_tasks.run(f"{verb} INTO tasks (guid, title) VALUES ('a', 'A2'), ('c', 'C')")
    assert two_tasks.log() == [
        deleted("a", title="A", priority=1),
        inserted("a", title="A2"),
        inserted("c", title="C"),
    ]
    assert rows(two_tasks) == [("a", "A2", None), ("b", "B", 2), ("c", "C", None)]


def test_a_row_replaced_twice_in_one_statement(two_tasks: Person) -> None:
    two_tasks.run("REPLACE INTO tasks (guid, title) VALUES ('a', 'A2'), ('a', 'A3')")
    assert two_tasks.log() == [
        deleted("a", title="A", priority=1),
        inserted("a", title="A2"),
        deleted("a", title="A2"),
        inserted("a", title="A3"),
    ]


def test_a_row_replaced_by_its_rowid(two_tasks: Person) -> None:
    """The row that goes is another one than the guid names."""
    two_tasks.run("REPLACE INTO tasks (rowid, guid, title) VALUES (1, 'c', 'C')")
    assert two_tasks.log() == [deleted("a", title="A", priority=1), inserted("c", title="C")]
    assert rows(two_tasks) == [("b", "B", 2), ("c", "C", None)]


def test_two_rows_replaced_by_one(two_tasks: Person) -> None:
    two_tasks.run("REPLACE INTO tasks (rowid, guid, title) VALUES (1, 'b', 'C')")
    *gone, last = two_tasks.log()
    assert sorted(gone) == [
        deleted("a", title="A", priority=1),
        deleted("b", title="B", priority=2),
    ]
    assert last == inserted("b", title="C")
    assert rows(two_tasks) == [("b", "C", None)]


def test_a_copy_of_a_whole_row_over_itself(two_tasks: Person) -> None:
    two_tasks.run("REPLACE INTO tasks SELECT * FROM tasks WHERE guid = 'a'")
    assert two_tasks.log() == [
        deleted("a", title="A", priority=1),
        inserted("a", title="A", priority=1),
    ]


def test_an_upsert_is_an_update(two_tasks: Person) -> None:
    two_tasks.run(
        "INSERT INTO tasks (guid, title) VALUES ('a', 'A2'), ('c', 'C')"
        " ON CONFLICT (guid) DO UPDATE SET title = excluded.title"
    )
    assert two_tasks.log() == [
        updated("a", {"title": "A"}, {"title": "A2"}),
        inserted("c", title="C"),
    ]
    assert rows(two_tasks)[0] == ("a", "A2", 1)


def test_an_upsert_whose_condition_fails_is_nothing(two_tasks: Person) -> None:
    two_tasks.run(
        "INSERT INTO tasks (guid, title) VALUES ('a', 'A2')"
        " ON CONFLICT (guid) DO UPDATE SET title = excluded.title WHERE priority > 5"
    )
    assert two_tasks.log() == []
    two_tasks.run("INSERT INTO tasks (guid, title) VALUES ('c', 'C')")
    assert two_tasks.log() == [inserted("c", title="C")]


NOTHING_DONE = [
    "INSERT INTO tasks (guid, title) VALUES ('a', 'A2') ON CONFLICT DO NOTHING",
    "INSERT OR IGNORE INTO tasks (guid, title) VALUES ('a', 'A2')",
    "INSERT OR IGNORE INTO tasks (rowid, guid, title) VALUES (1, 'c', 'C')",
    "INSERT OR IGNORE INTO tasks (guid, title, completed) VALUES ('a', 'A2', NULL)",
]
THEN = [
    (
        "UPDATE tasks SET title = 'A3' WHERE guid = 'a'",
        [updated("a", {"title": "A"}, {"title": "A3"})],
    ),
    ("DELETE FROM tasks WHERE guid = 'a'", [deleted("a", title="A", priority=1)]),
    (
        "REPLACE INTO tasks (guid, title) VALUES ('a', 'A3')",
        [deleted("a", title="A", priority=1), inserted("a", title="A3")],
    ),
    ("INSERT INTO tasks (guid, title) VALUES ('c', 'C')", [inserted("c", title="C")]),
]


@pytest.mark.parametrize("statement", NOTHING_DONE)
@pytest.mark.parametrize(("then", "logged"), THEN)
def test_what_was_ignored_leaves_no_trace_in_what_follows(
    two_tasks: Person, statement: str, then: str, logged: list[Logged]
) -> None:
    two_tasks.run(statement)
    assert two_tasks.log() == []
    two_tasks.run(then)
    assert two_tasks.log() == logged
    # Nor later: the row goes and comes again.
    two_tasks.run("DELETE FROM tasks")
    two_tasks.log()
    two_tasks.run("INSERT INTO tasks (guid, title) VALUES ('a', 'new'), ('c', 'new')")
    assert two_tasks.log() == [inserted("a", title="new"), inserted("c", title="new")]


@pytest.mark.parametrize("verb", ["UPDATE OR REPLACE", "UPDATE OR IGNORE", "UPDATE"])
def test_an_update_with_a_conflict_clause_is_an_update(two_tasks: Person, verb: str) -> None:
    two_tasks.run(f"{verb} tasks SET title = title || '2', priority = NULL WHERE guid = 'b'")
    assert two_tasks.log() == [
        updated("b", {"title": "B", "priority": 2}, {"title": "B2", "priority": None})
    ]


def test_an_update_that_is_ignored_is_not_logged(two_tasks: Person) -> None:
    two_tasks.run("UPDATE OR IGNORE tasks SET completed = NULL, title = 'x'")
    assert two_tasks.log() == []
    with pytest.raises(sqlite3.IntegrityError, match=r"NOT NULL .*tasks\.completed"):
        two_tasks.run("UPDATE tasks SET completed = NULL")
    assert two_tasks.log() == []


def test_a_null_where_none_may_be_is_replaced_by_the_default(two_tasks: Person) -> None:
    two_tasks.run("UPDATE tasks SET completed = true")
    two_tasks.log()
    two_tasks.run("UPDATE OR REPLACE tasks SET completed = NULL WHERE guid = 'a'")
    assert two_tasks.log() == [updated("a", {"completed": True}, {"completed": False})]


def test_a_failed_insert_changes_nothing(two_tasks: Person) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=r"UNIQUE .*tasks\.guid"):
        two_tasks.run("INSERT INTO tasks (guid) VALUES ('c'), ('a')")
    assert two_tasks.log() == []


# Any statements in any order: the log, played back, is the table.


GUIDS = st.sampled_from(["'a'", "'b'", "'c'"])
ROWIDS = st.sampled_from(["NULL", "NULL", "1", "2", "3", "-1"])
CLAUSES = st.sampled_from(["", "OR REPLACE", "OR IGNORE", "OR ABORT", "OR FAIL"])


@st.composite
def statements(draw: st.DrawFn) -> str:
    """One statement that hits one or more of three rows, by guid or by rowid."""
    guid, title = draw(GUIDS), f"'{draw(st.integers(1, 3))}'"
    kind = draw(st.sampled_from(["insert", "insert", "upsert", "update", "delete"]))
    if kind == "delete":
        return f"DELETE FROM tasks WHERE guid = {guid}"
    if kind == "update":
        clause = draw(CLAUSES)
        target = draw(st.sampled_from(["title", "title", "title", "guid", "rowid"]))
        value = {"title": title, "guid": draw(GUIDS), "rowid": "2"}[target]
        where = draw(st.sampled_from(["", f" WHERE guid = {guid}"]))
        return f"UPDATE {clause} tasks SET {target} = {value}{where}"
    rows = ", ".join(
        f"({draw(ROWIDS)}, {draw(GUIDS)}, {title})" for _ in range(draw(st.integers(1, 3)))
    )
    clause, then = draw(CLAUSES), ""
    if kind == "upsert":
        clause = ""
        then = draw(
            st.sampled_from(
                [
                    " ON CONFLICT DO NOTHING",
                    " ON CONFLICT (guid) DO UPDATE SET title = excluded.title",
                    " ON CONFLICT (guid) DO UPDATE SET title = NULL WHERE tasks.title > '1'",
                ]
            )
        )
    return f"INSERT {clause} INTO tasks (rowid, guid, title) VALUES {rows}{then}"


@pytest.fixture(scope="module")
def anyone(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """A client for many short lives, each rolled back."""
    path = shutil.copy(migrated, tmp_path_factory.mktemp("anyone") / "mirror.db")
    person = Person(Path(path))
    yield person
    person.close()


def play_back(log: list[Logged]) -> dict[str, dict[str, Any]]:
    """The rows that a log leads to; each change must fit the ones before it."""
    found: dict[str, dict[str, Any]] = {}
    for change in log:
        before = found.get(change.guid)
        if change.op == "insert":
            assert before is None
            found[change.guid] = dict(change.new or {})
            continue
        assert before is not None
        old, new = change.old or {}, change.new or {}
        if change.op == "delete":
            assert found.pop(change.guid) == old
        else:
            assert {c: before.get(c) for c in old} == old
            found[change.guid] = {c: v for c, v in (before | new).items() if v is not None}
    return found


@pytest.mark.slow
@settings(max_examples=120)
@given(recursive=st.booleans(), script=st.lists(statements(), max_size=8))
@example(
    False,
    ["INSERT INTO tasks (rowid, guid) VALUES (-1, 'a')", "INSERT INTO tasks (guid) VALUES ('b')"],
)
@example(
    False,
    ["INSERT INTO tasks (guid) VALUES ('a')", "REPLACE INTO tasks (rowid, guid) VALUES (1, 'b')"],
)
def test_the_log_played_back_is_the_table(
    anyone: Person, recursive: bool, script: list[str]
) -> None:
    anyone.run(f"PRAGMA recursive_triggers = {int(recursive)}")
    anyone.run("BEGIN")
    try:
        for statement in script:
            try:
                anyone.run(statement)
            except sqlite3.IntegrityError:
                continue
        log = anyone.log()
        table = {
            guid: {} if title is None else {"title": title}
            for guid, title in anyone.run("SELECT guid, title FROM tasks")
        }
        assert play_back(log) == table
    finally:
        anyone.run("ROLLBACK")
        anyone._seen = 0
