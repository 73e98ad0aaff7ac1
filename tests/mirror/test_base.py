"""The base: what both sides last agreed on, kept while people edit the row."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from hisync.items import fields_of
from hisync.mirror import rows, state
from hisync.mirror.base import (
    CHUNK,
    Base,
    base_values,
    dirty_guids,
    forget_bases,
    known_ids,
    load_aliases,
    load_bases,
    load_bases_by_id,
    missed_ids,
    save_bases,
)
from hisync.mirror.rows import LocalRow
from hisync.mirror.store import Mirror, open_mirror
from tests.mirror.people import Person

DAY = datetime(2026, 3, 2, tzinfo=UTC).replace(tzinfo=None)
AGREED: dict[str, Any] = {
    "title": "Call Ann",
    "message": "at noon",
    "priority": 0,
    "starred": True,
    "tags": ["x", "y"],
    "location": {"a": [1, None]},
    "due_date": DAY.replace(hour=9),
    "version": 3,
}


def agree(mirror: Mirror, table: str = "tasks", guid: str = "g", **values: Any) -> None:
    """The row is what hiTask says."""
    with mirror.writing() as connection:
        rows.upsert_rows(connection, table, [{"guid": guid, "id": 7} | AGREED | values])
        save_bases(connection, [Base(guid, table, 7, version=3)])


def fold(mirror: Mirror, guid: str = "g") -> Base:
    """The base, with everything folded in that people did."""
    with mirror.writing() as connection:
        return load_bases(connection, [guid])[guid]


def look(mirror: Mirror, table: str = "tasks", guid: str = "g") -> LocalRow | None:
    with mirror.reading() as connection:
        return rows.load_rows(connection, table, [guid]).get(guid)


def agreed(mirror: Mirror, base: Base) -> dict[str, Any]:
    """What the mirror takes both sides to have agreed on, empty cells left out."""
    local = look(mirror, base.table, base.guid)
    values = base_values(base, local.values if local else None)
    return {column: value for column, value in values.items() if value not in (None, False)} | {
        column: values[column] for column in AGREED
    }


# Folding


def test_a_clean_row_is_its_own_base(mirror: Mirror) -> None:
    agree(mirror)
    base = fold(mirror)
    assert base.dirty is None
    assert agreed(mirror, base) == AGREED


def test_the_first_old_value_wins(mirror: Mirror, person: Person) -> None:
    agree(mirror)
    person.run("UPDATE tasks SET title = 'b'")
    assert fold(mirror).dirty == {"title": "Call Ann"}
    person.run("UPDATE tasks SET title = 'c', priority = 1")
    person.run("UPDATE tasks SET title = 'd'")
    base = fold(mirror)
    assert base.dirty == {"title": "Call Ann", "priority": 0}
    assert agreed(mirror, base) == AGREED


def test_what_was_empty_is_remembered_as_empty(mirror: Mirror, person: Person) -> None:
    agree(mirror)
    person.run("UPDATE tasks SET color = 5, completed = true, alerts = '[1]'")
    base = fold(mirror)
    assert base.dirty == {"color": None, "completed": False, "alerts": None}
    assert agreed(mirror, base) == AGREED


def test_a_deleted_row_keeps_every_column(mirror: Mirror, person: Person) -> None:
    agree(mirror)
    person.run("UPDATE tasks SET title = 'b'")
    person.run("DELETE FROM tasks")
    base = fold(mirror)
    assert base.dirty is not None
    assert base.dirty.keys() == fields_of("tasks").keys()
    assert agreed(mirror, base) == AGREED


@pytest.mark.parametrize(
    "statements",
    [
        ["REPLACE INTO tasks (guid, title) VALUES ('g', 'b')"],
        ["DELETE FROM tasks", "INSERT INTO tasks (guid, title) VALUES ('g', 'b')"],
        ["UPDATE tasks SET title = 'b'", "REPLACE INTO tasks (guid, title) VALUES ('g', 'c')"],
        ["REPLACE INTO tasks (guid) VALUES ('g')", "UPDATE tasks SET title = 'b', tags = NULL"],
        ["REPLACE INTO tasks (rowid, guid) SELECT rowid, 'other' FROM tasks"],
    ],
)
def test_a_row_that_was_replaced_keeps_its_base(
    mirror: Mirror, person: Person, statements: list[str]
) -> None:
    agree(mirror)
    for statement in statements:
        person.run(statement)
    assert agreed(mirror, fold(mirror)) == AGREED


def test_folding_twice_is_folding_once(mirror: Mirror, person: Person) -> None:
    agree(mirror)
    person.run("UPDATE tasks SET title = 'b'")
    first = fold(mirror)
    agree(mirror, title="hiTask's")  # an answer that was applied
    assert fold(mirror).dirty is None
    person.run("UPDATE tasks SET title = 'c'")
    assert first.dirty == {"title": "Call Ann"}
    assert fold(mirror).dirty == {"title": "hiTask's"}


def test_folding_remembers_how_far_it_came(mirror: Mirror, person: Person) -> None:
    person.run("INSERT INTO tasks (title) VALUES ('a'), ('b')")
    with mirror.writing() as connection:
        assert state.load(connection).folded_seq == 2


def test_a_row_that_hitask_does_not_know_has_no_base(mirror: Mirror, person: Person) -> None:
    person.run("INSERT INTO tasks (guid) VALUES ('new')")
    person.run("UPDATE tasks SET title = 'a'")
    with mirror.writing() as connection:
        assert load_bases(connection, ["new"]) == {}


def test_a_namesake_in_another_table_is_another_row(mirror: Mirror, person: Person) -> None:
    agree(mirror)
    person.run("INSERT INTO notes (guid, title) VALUES ('g', 'a')")
    person.run("UPDATE notes SET title = 'b'")
    person.run("DELETE FROM notes")
    assert fold(mirror).dirty is None


@pytest.mark.parametrize(
    "cell",
    [
        """'{"a": 1e999}'""",
        """'"\\ud800"'""",
        "CAST(x'22ff22' AS TEXT)",
        f"'{'[' * 400}{']' * 400}'",
        f"'{'[' * 1500}{']' * 1500}'",
        f"'{'[' * 1999}{']' * 1999}'",
        "x'ff'",
        "1e999",
    ],
)
def test_a_cell_that_no_parser_takes_stops_nothing(
    mirror: Mirror, person: Person, cell: str
) -> None:
    agree(mirror)
    person.run(f"UPDATE tasks SET title = 'b', location = {cell}")
    person.run(f"UPDATE tasks SET message = 'c', location = NULL WHERE location = {cell}")
    person.run(f"UPDATE tasks SET location = {cell}")
    assert agreed(mirror, fold(mirror)) == AGREED
    local = look(mirror)
    assert local is not None
    assert local.unreadable.keys() == {"location"}
    assert (local.values["title"], local.values["message"]) == ("b", "c")


def test_a_text_that_is_no_utf_8_stops_nothing(mirror: Mirror, person: Person) -> None:
    agree(mirror)
    bad = "CAST(x'41ff' AS TEXT)"
    person.run(f"UPDATE tasks SET title = {bad}, parent_guid = {bad}, due_date = {bad}")
    person.run(f"UPDATE tasks SET message = {bad} WHERE title = {bad}")
    assert agreed(mirror, fold(mirror)) == AGREED
    local = look(mirror)
    assert local is not None
    assert local.unreadable.keys() == {"title", "message", "parent_guid", "due_date"}
    with mirror.reading() as connection:
        assert rows.parents_of(connection, ["g"]) == {"g": None}
        assert rows.children_of(connection, ["g"]) == {}


# Days


def test_a_date_of_an_all_day_row_was_a_day_before_too(mirror: Mirror, person: Person) -> None:
    """A cell may say an hour; in the base it means the same day as in the row."""
    agree(mirror, is_all_day=True, due_date=DAY.replace(hour=15))
    local = look(mirror)
    assert local is not None
    assert local.values["due_date"] == DAY
    person.run("UPDATE tasks SET due_date = '2026-03-05'")
    local = look(mirror)
    assert local is not None
    assert base_values(fold(mirror), local.values)["due_date"] == DAY
    person.run("DELETE FROM tasks")
    assert base_values(fold(mirror), None)["due_date"] == DAY


def test_a_date_was_an_instant_before_the_row_became_all_day(
    mirror: Mirror, person: Person
) -> None:
    agree(mirror)
    person.run("UPDATE tasks SET is_all_day = true, due_date = '2026-03-05 08:00'")
    local = look(mirror)
    assert local is not None
    assert local.values["due_date"] == datetime(2026, 3, 5, tzinfo=UTC).replace(tzinfo=None)
    before = base_values(fold(mirror), local.values)
    assert (before["is_all_day"], before["due_date"]) == (False, AGREED["due_date"])


# Any edits in any order, folded at any time: the base is what was agreed.


EDITS = st.sampled_from(
    [
        "FOLD",
        "FOLD",
        "UPDATE tasks SET title = 'b'",
        "UPDATE tasks SET title = NULL, tags = '[]'",
        "UPDATE tasks SET tags = 'a,b', due_date = 'tomorrow'",
        "UPDATE tasks SET priority = priority + 1, starred = NOT starred",
        "UPDATE tasks SET version = 9, location = '{}'",
        "UPDATE OR IGNORE tasks SET starred = NULL",
        "DELETE FROM tasks WHERE guid = 'g'",
        "INSERT INTO tasks (guid, title) VALUES ('g', 'c') ON CONFLICT DO NOTHING",
        "INSERT OR IGNORE INTO tasks (rowid, guid, title) VALUES (1, 'g', 'd')",
        "INSERT INTO tasks (guid) VALUES ('g') ON CONFLICT (guid) DO UPDATE SET message = 'e'",
        "REPLACE INTO tasks (guid, title) VALUES ('g', 'f')",
        "REPLACE INTO tasks (rowid, guid) SELECT rowid, 'other' FROM tasks WHERE guid = 'g'",
        "REPLACE INTO tasks (rowid, guid) SELECT rowid, 'g' FROM tasks WHERE guid = 'other'",
    ]
)


@pytest.fixture(scope="module")
def shared(
    migrated: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Mirror, Person]]:
    """A mirror and a person for many short stories."""
    path = shutil.copy(migrated, tmp_path_factory.mktemp("shared") / "mirror.db")
    person = Person(Path(path))
    with open_mirror(f"sqlite:///{path}").acquire() as mirror:
        yield mirror, person
    person.close()


@settings(max_examples=30)
@given(st.lists(EDITS, max_size=8))
def test_the_base_is_what_was_agreed(shared: tuple[Mirror, Person], script: list[str]) -> None:
    mirror, person = shared
    with mirror.writing() as connection:
        rows.delete_rows(connection, "tasks", ["g", "other"])
    agree(mirror)
    for statement in script:
        if statement == "FOLD":
            fold(mirror)
            continue
        try:
            person.run(statement)
        except sqlite3.IntegrityError:
            continue
    assert agreed(mirror, fold(mirror)) == AGREED


# The table


def test_bases_are_saved_found_and_forgotten(mirror: Mirror) -> None:
    one = Base("a", "tasks", 1, version=5, dirty={"title": "x"}, missed=1, remote_guid="A")
    two = Base("b", "notes", 2)
    with mirror.writing() as connection:
        save_bases(connection, [])
        save_bases(connection, [one, two])
        assert load_bases(connection, ["a", "b", "c"]) == {"a": one, "b": two}
        assert load_bases_by_id(connection, [2, 3]) == {2: two}
        assert known_ids(connection) == {1, 2}
        assert missed_ids(connection) == {1}
        assert load_aliases(connection) == {"A": "a"}
        assert dirty_guids(connection) == ["a"]
        three = Base("a", "events", 3, dirty={})
        save_bases(connection, [three])
        assert load_bases(connection, ["a"]) == {"a": Base("a", "events", 3)}
        assert dirty_guids(connection) == []
        assert load_aliases(connection) == {}
        forget_bases(connection, ["a"])
        assert load_bases(connection, ["a", "b"]) == {"b": two}


def test_an_alias_that_another_row_has_as_its_guid_is_none(mirror: Mirror) -> None:
    with mirror.writing() as connection:
        save_bases(connection, [Base("a", "tasks", 1, remote_guid="b"), Base("b", "tasks", 2)])
        assert load_aliases(connection) == {}


def test_more_rows_than_one_statement_names(mirror: Mirror) -> None:
    many = [Base(f"g{number}", "tasks", number) for number in range(2 * CHUNK + 1)]
    with mirror.writing() as connection:
        save_bases(connection, many)
        assert len(load_bases(connection, [base.guid for base in many])) == len(many)
        forget_bases(connection, [base.guid for base in many[1:]])
        assert known_ids(connection) == {0}


def test_all_numbers_of_a_large_account(mirror: Mirror) -> None:
    """They come in parts, none of which is left out where one ends and the next begins."""
    with mirror.writing() as connection:
        connection.execute(
            text(
                "INSERT INTO sync_base (guid, table_name, id, missed)"
                " WITH RECURSIVE n(i) AS (SELECT -100000 UNION ALL SELECT i + 1 FROM n"
                " WHERE i < 100000) SELECT 'g' || i, 'tasks', i, 0 FROM n"
            )
        )
        assert set(known_ids(connection)) == set(range(-100_000, 100_001))


def test_rows_are_written_whatever_their_keys_hold(mirror: Mirror) -> None:
    """JSON has no form for some texts that a key may hold in SQLite: they are named one by one."""
    odd = ["nul\0inside", "b", "c"]
    with mirror.writing() as connection:
        save_bases(connection, [Base(guid, "tasks", n) for n, guid in enumerate(odd)])
        forget_bases(connection, odd[:2])
        assert set(known_ids(connection)) == {2}
        forget_bases(connection, ["c"])
        assert not known_ids(connection)
