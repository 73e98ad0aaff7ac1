"""Capture: whatever people do to a row, with whatever client, the change log says it."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hisync.items import TABLES, fields_of
from tests.mirror.people import Person, deleted, inserted, updated

IDENTITY = "guid and id are the identity of a row and cannot be changed"


# Inserts, updates, deletions


@pytest.mark.parametrize("table", TABLES)
def test_each_table_is_captured(person: Person, table: str) -> None:
    person.run(f"INSERT INTO {table} (title) VALUES ('Call Ann')")
    guid = person.one(f"SELECT guid FROM {table}")
    person.run(f"UPDATE {table} SET title = 'Call Bob', starred = true")
    person.run(f"DELETE FROM {table}")
    assert person.log() == [
        inserted(guid, title="Call Ann"),
        updated(
            guid, {"title": "Call Ann", "starred": False}, {"title": "Call Bob", "starred": True}
        ),
        deleted(guid, title="Call Bob", starred=True),
    ]
    assert person.run("SELECT DISTINCT table_name FROM change_log") == [(table,)]


@pytest.mark.parametrize("table", TABLES)
def test_every_column_is_captured(person: Person, table: str) -> None:
    person.run("BEGIN")
    person.run(f"INSERT INTO {table} (guid) VALUES ('g')")
    for column in fields_of(table):
        person.run(f"UPDATE {table} SET {column} = 1")
    assert [list(change.new or {}) for change in person.log()[1:]] == [
        [c] for c in fields_of(table)
    ]


def test_a_title_is_enough(person: Person) -> None:
    person.run("BEGIN")
    for _ in range(50):
        person.run("INSERT INTO tasks (title) VALUES ('Call Ann')")
    guids = [guid for (guid,) in person.run("SELECT guid FROM tasks ORDER BY rowid")]
    uuid4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
    assert all(uuid4.fullmatch(guid) for guid in guids)
    assert len(set(guids)) == 50
    assert person.log() == [inserted(guid, title="Call Ann") for guid in guids]


def test_a_change_waits_to_be_sent_and_is_dated_as_sqlalchemy_reads_it(person: Person) -> None:
    person.run("INSERT INTO tasks (title) VALUES ('Call Ann')")
    ((state, attempts, error, finished, at),) = person.run(
        "SELECT state, attempts, error, finished_at, changed_at FROM change_log"
    )
    assert (state, attempts, error, finished) == ("pending", 0, None, None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", at)


def test_an_update_logs_the_changed_columns_only(person: Person) -> None:
    person.run(
        "INSERT INTO tasks (guid, title, priority, completed, tags, due_date)"
        """ VALUES ('g', 'a', 1, true, '["x"]', '2026-03-02')"""
    )
    person.log()
    person.run(
        """UPDATE tasks SET title = 'a', priority = 2, tags = '["x","y"]', due_date = NULL"""
    )
    assert person.log() == [
        updated(
            "g",
            {"priority": 1, "tags": ["x"], "due_date": "2026-03-02"},
            {"priority": 2, "tags": ["x", "y"], "due_date": None},
        )
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tasks SET title = title",
        "UPDATE tasks SET title = 'a', completed = 0",
        "UPDATE tasks SET guid = guid, id = id",
        "UPDATE tasks SET title = 'b' WHERE guid = 'other'",
        "DELETE FROM tasks WHERE title = 'b'",
        "INSERT INTO tasks (title) SELECT 'b' WHERE false",
    ],
)
def test_what_changes_nothing_is_not_logged(person: Person, statement: str) -> None:
    person.run("INSERT INTO tasks (guid, title) VALUES ('g', 'a')")
    person.log()
    person.run(statement)
    assert person.log() == []


def test_statements_on_many_rows_are_logged_row_by_row(person: Person) -> None:
    person.run("INSERT INTO tasks (guid, title) VALUES ('a', 'A'), ('b', 'B'), ('c', 'C')")
    person.run("UPDATE tasks SET priority = 1 WHERE guid > 'a'")
    person.run("DELETE FROM tasks")  # without a condition
    assert person.log() == [
        inserted("a", title="A"),
        inserted("b", title="B"),
        inserted("c", title="C"),
        updated("b", {"priority": None}, {"priority": 1}),
        updated("c", {"priority": None}, {"priority": 1}),
        deleted("a", title="A"),
        deleted("b", title="B", priority=1),
        deleted("c", title="C", priority=1),
    ]


def test_what_is_rolled_back_was_never_there(person: Person) -> None:
    person.run("INSERT INTO tasks (guid, title) VALUES ('g', 'a')")
    person.log()
    person.run("BEGIN")
    person.run("UPDATE tasks SET title = 'b'")
    person.run("REPLACE INTO tasks (guid, title) VALUES ('g', 'c')")
    person.run("ROLLBACK")
    assert person.log() == []
    person.run("BEGIN")
    person.run("UPDATE tasks SET title = 'b'")
    person.run("SAVEPOINT here")
    person.run("DELETE FROM tasks")
    person.run("ROLLBACK TO here")
    person.run("COMMIT")
    assert person.log() == [updated("g", {"title": "a"}, {"title": "b"})]


def test_returning_shows_what_was_written(person: Person) -> None:
    ((guid, title),) = person.run("INSERT INTO tasks (title) VALUES ('a') RETURNING guid, title")
    assert title == "a"
    assert person.run("UPDATE tasks SET title = 'b' RETURNING title") == [("b",)]
    assert person.run("DELETE FROM tasks RETURNING guid") == [(guid,)]
    assert [change.op for change in person.log()] == ["insert", "update", "delete"]


def test_update_from_a_query(person: Person) -> None:
    person.run("INSERT INTO tasks (guid, title) VALUES ('a', 'A'), ('b', 'B')")
    person.log()
    person.run(
        "UPDATE tasks SET title = other.title FROM tasks AS other"
        " WHERE tasks.guid = 'a' AND other.guid = 'b'"
    )
    assert person.log() == [updated("a", {"title": "A"}, {"title": "B"})]


# Cells


CELLS: list[tuple[str, Any, Any]] = [
    # column, written, in the log
    ("title", "", ""),
    ("title", """it's a "quote", a \\ and a / """, """it's a "quote", a \\ and a / """),
    ("title", "line\nbreak\ttab\r", "line\nbreak\ttab\r"),
    ("title", "Grüße, 東京 👩‍👩‍👧 \u2028", "Grüße, 東京 👩‍👩‍👧 \u2028"),
    ("title", "a\0b", "a\0b"),
    ("title", '{"a": 1}', '{"a": 1}'),  # a text that looks like JSON stays a text
    ("title", "null", "null"),
    ("title", 15, "15"),
    ("title", 1.5, "1.5"),
    ("title", b"\x00\xff", "00FF"),
    ("priority", 2**63 - 1, 2**63 - 1),
    ("priority", -(2**63), -(2**63)),
    ("priority", "12", 12),
    ("priority", "high", "high"),
    ("priority", 0, 0),
    ("priority", 1.5, "1.5"),
    ("priority", float("inf"), "Inf"),
    ("priority", b"\x01", "01"),
    ("completed", 1, True),
    ("completed", "1", True),
    ("completed", "true", "true"),
    ("completed", 2, 2),
    ("due_date", "2026-03-02", "2026-03-02"),
    ("due_date", "tomorrow", "tomorrow"),
    ("due_date", 1_700_000_000, 1_700_000_000),
    ("tags", '["a", "ü 👩", ""]', ["a", "ü 👩", ""]),
    ("tags", "[]", []),
    ("tags", "a,b", "a,b"),
    ("tags", "", ""),
    ("tags", '["a"', '["a"'),
    ("tags", b'["a"]', "5B2261225D"),
    ("participants", "[17, 9007199254740993]", [17, 9007199254740993]),
    (
        "location",
        '{"a": {"b": [1, true, null, 1.5, "x"]}}',
        {"a": {"b": [1, True, None, 1.5, "x"]}},
    ),
    ("location", "1.5", 1.5),
    ("location", "true", True),
    ("location", '"text"', "text"),
    ("location", 5, 5),
    ("alerts", "{'single': 'quotes'}", "{'single': 'quotes'}"),
]


@pytest.mark.parametrize(("column", "written", "logged"), CELLS)
def test_each_cell_is_logged_as_it_was_written(
    person: Person, column: str, written: Any, logged: Any
) -> None:
    person.run(f"INSERT INTO tasks (guid, {column}) VALUES ('g', ?)", written)
    person.run(f"UPDATE tasks SET {column} = ?", 0 if column == "completed" else None)
    person.run(f"UPDATE tasks SET {column} = ?", written)
    person.run("DELETE FROM tasks")
    insert, away, back, delete = person.log()
    empty = False if column == "completed" else None
    assert insert == inserted("g", **{column: logged})
    assert away == updated("g", {column: logged}, {column: empty})
    assert back == updated("g", {column: empty}, {column: logged})
    assert delete == deleted("g", **{column: logged})
    # Python takes 1 and true for equal.
    assert type((insert.new or {})[column]) is type(logged)


def test_what_a_json_function_makes_of_a_text_column_is_a_text(person: Person) -> None:
    """SQLite hands on what a function says of its result: that it is JSON, and no text to quote."""
    person.run(
        "INSERT INTO tasks (guid, title, tags) VALUES ('g', json_quote('t'), json_array('x'))"
    )
    person.run("UPDATE tasks SET title = json_array(1, 2), message = json('{}'), starred = true")
    insert, update = person.log()
    assert insert == inserted("g", title='"t"', tags=["x"])
    assert update.new == {"title": "[1,2]", "message": "{}", "starred": True}


def test_a_row_that_says_nothing_is_logged_as_such(person: Person) -> None:
    person.run("INSERT INTO tasks (guid) VALUES ('g')")
    person.run("DELETE FROM tasks")
    assert person.log() == [inserted("g"), deleted("g")]


def test_the_cells_of_a_new_row_that_say_something_are_logged(person: Person) -> None:
    """Null and false are what every row starts with; 0 and the empty text are not."""
    person.run(
        "INSERT INTO tasks (guid, title, priority, completed, starred, message)"
        " VALUES ('g', '', 0, false, true, NULL)"
    )
    assert person.log() == [inserted("g", title="", priority=0, starred=True)]


# Identity


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tasks SET guid = 'other'",
        "UPDATE tasks SET guid = NULL",
        "UPDATE tasks SET id = 7",
        "UPDATE tasks SET id = NULL WHERE guid = 'known'",
        "UPDATE tasks SET rowid = 99",
        "UPDATE tasks SET OID = 99",
        'UPDATE tasks SET (title, "_RowId_") = (SELECT title, 99)',
        "UPDATE OR IGNORE tasks SET id = 7",
        "UPDATE OR REPLACE tasks SET guid = 'known' WHERE guid = 'g'",
        "UPDATE OR REPLACE tasks SET rowid = 1 WHERE rowid = 2",
        "INSERT INTO tasks (guid) VALUES ('g') ON CONFLICT (guid) DO UPDATE SET id = 7",
        "INSERT INTO tasks (guid) VALUES ('g') ON CONFLICT (guid) DO UPDATE SET guid = 'x'",
        "INSERT INTO tasks (guid) VALUES ('g') ON CONFLICT (guid) DO UPDATE SET _rowid_ = 99",
    ],
)
def test_changing_the_identity_is_an_error_at_once(person: Person, statement: str) -> None:
    person.run("INSERT INTO tasks (guid, id) VALUES ('known', 5), ('g', NULL)")
    person.log()
    with pytest.raises(sqlite3.IntegrityError, match=IDENTITY):
        person.run(statement)
    assert person.run("SELECT guid, id FROM tasks") == [("known", 5), ("g", None)]
    assert person.log() == []


@pytest.mark.parametrize("guid", [b"bytes", "caf\u00e9", "line\nbreak"])
def test_a_guid_that_can_not_be_one_is_an_error_at_once(person: Person, guid: Any) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="guid must be a UUID"):
        person.run("INSERT OR IGNORE INTO tasks (guid, title) VALUES (?, 'a')", guid)
    assert person.log() == []


# Columns and tables of people's own


def test_a_column_of_ones_own_is_not_logged(person: Person) -> None:
    person.run("INSERT INTO tasks (guid, title) VALUES ('g', 'a')")
    person.log()
    person.run("ALTER TABLE tasks ADD COLUMN cost_centre TEXT DEFAULT 'none'")
    person.run("UPDATE tasks SET cost_centre = 'x'")
    assert person.log() == []
    person.run("UPDATE tasks SET cost_centre = 'y', title = 'b'")
    assert person.log() == [updated("g", {"title": "a"}, {"title": "b"})]
    person.run("INSERT INTO tasks (guid, cost_centre) VALUES ('h', 'z')")
    assert person.log() == [inserted("h")]
    person.run("ALTER TABLE tasks RENAME COLUMN cost_centre TO centre")
    person.run("ALTER TABLE tasks DROP COLUMN centre")
    person.run("DELETE FROM tasks WHERE guid = 'h'")
    assert person.log() == [deleted("h")]


def test_people_may_have_triggers_of_their_own(person: Person) -> None:
    """A row that a trigger makes while another is being replaced hides neither of them."""
    person.run("INSERT INTO tasks (guid, title) VALUES ('a', 'A')")
    person.run(
        "CREATE TRIGGER checklist AFTER INSERT ON tasks WHEN NEW.parent_guid IS NULL BEGIN "
        "INSERT INTO tasks (guid, parent_guid) VALUES (NEW.guid || '-' || NEW.title, NEW.guid); END"
    )
    person.log()
    person.run("REPLACE INTO tasks (guid, title) VALUES ('a', 'B')")
    assert sorted(person.log()) == sorted(
        [deleted("a", title="A"), inserted("a", title="B"), inserted("a-B", parent_guid="a")]
    )


# The shell


@pytest.fixture
def shell() -> str:
    program = shutil.which("sqlite3")
    if program is None:
        pytest.skip("the sqlite3 shell is not installed")
    return program


def test_the_sqlite3_shell_is_seen_like_any_client(
    shell: str, database: Path, person: Person
) -> None:
    script = """
        INSERT INTO tasks (guid, title) VALUES ('g', 'Grüße 👩');
        UPDATE tasks SET completed = true, tags = json_array('x', 'y') WHERE guid = 'g';
        REPLACE INTO tasks (guid, title) VALUES ('g', 'b');
        INSERT INTO tasks (guid, title) VALUES ('g', 'c')
            ON CONFLICT (guid) DO UPDATE SET title = excluded.title;
        BEGIN; DELETE FROM tasks; ROLLBACK;
        DELETE FROM tasks;
    """
    subprocess.run([shell, "-bail", database], input=script, text=True, check=True)
    assert person.log() == [
        inserted("g", title="Grüße 👩"),
        updated("g", {"completed": False, "tags": None}, {"completed": True, "tags": ["x", "y"]}),
        deleted("g", title="Grüße 👩", completed=True, tags=["x", "y"]),
        inserted("g", title="b"),
        updated("g", {"title": "b"}, {"title": "c"}),
        deleted("g", title="c"),
    ]


def test_the_shell_is_told_what_is_wrong(shell: str, database: Path) -> None:
    subprocess.run([shell, database, "INSERT INTO tasks (guid) VALUES ('g')"], check=True)
    refused = subprocess.run(
        [shell, database, "UPDATE tasks SET guid = 'h'"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode != 0
    assert IDENTITY in refused.stderr
