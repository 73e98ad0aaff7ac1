"""The read-only views: what they show, and that they are there again when they went."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from hisync.items import FIELDS, TABLES
from hisync.mirror import migrate, state
from hisync.mirror.dialects.sqlite.views import VIEWS
from hisync.mirror.store import Mirror, open_mirror
from hisync.mirror.tables import ITEM_TABLES, removed_rows, time_entries, users
from tests.mirror.people import Person

COLUMNS = {
    "task_overview": "guid id title completed parent_title project_guid project_title assignee_id"
    " assignee_name due_date is_overdue time_est_minutes time_spent_minutes progress",
    "time_by_day": "day user_id user_name item_guid item_title project_guid project_title minutes",
    "project_progress": "guid title tasks completed percent time_est_minutes time_spent_minutes",
}


def columns(person: Person, view: str) -> list[str]:
    return [name for (name,) in person.run("SELECT name FROM pragma_table_info(?)", view)]


def put(person: Person, table: str, guid: str, parent: str | None = None, **cells: Any) -> None:
    """An item whose title is its guid in capitals."""
    row = {"guid": guid, "parent_guid": parent, "title": guid.upper()} | cells
    marks = ", ".join("?" * len(row))
    person.run(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", *row.values())


@pytest.mark.parametrize("view", COLUMNS)
def test_the_columns(person: Person, view: str) -> None:
    assert columns(person, view) == COLUMNS[view].split()


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    "statement",
    ["INSERT INTO {} (rowid) VALUES (1)", "INSERT INTO {} DEFAULT VALUES", "DELETE FROM {}"],
)
def test_they_are_read_only(person: Person, view: str, statement: str) -> None:
    with pytest.raises(sqlite3.OperationalError, match=f"cannot modify {view} because it is a vie"):
        person.run(statement.format(view))


# items


def test_items_are_all_kinds_in_one_shape(person: Person) -> None:
    common = ["guid", "id", *(field.column for field in FIELDS if not field.tables)]
    assert columns(person, "items") == [*common, "kind"]
    for table in TABLES:
        put(person, table, f"in {table}", starred=True)
    assert person.run("SELECT guid, kind, starred FROM items") == [
        ("in projects", "project", 1),
        ("in tasks", "task", 1),
        ("in events", "event", 1),
        ("in notes", "note", 1),
        ("in files", "file", 1),
        ("in other_items", "other", 1),
    ]


# task_overview


@pytest.fixture
def tree(person: Person) -> Person:
    """A project with a project below it, and tasks at every depth."""
    put(person, "projects", "p")
    put(person, "projects", "q", "p")
    put(person, "tasks", "in p", "p")
    put(person, "tasks", "in q", "q")
    put(person, "tasks", "below", "in q")
    put(person, "notes", "note", "below")
    put(person, "tasks", "deep", "note")
    put(person, "tasks", "alone")
    put(person, "tasks", "orphan", "gone")
    return person


def test_the_project_is_the_nearest_one_above(tree: Person) -> None:
    query = "SELECT guid, parent_title, project_guid, project_title FROM task_overview"
    assert tree.run(query) == [
        ("in p", "P", "p", "P"),
        ("in q", "Q", "q", "Q"),
        ("below", "IN Q", "q", "Q"),
        ("deep", "NOTE", "q", "Q"),
        ("alone", None, None, None),
        ("orphan", None, None, None),
    ]


def test_parents_in_a_circle_have_no_project(person: Person) -> None:
    put(person, "tasks", "a", "b")
    put(person, "tasks", "b", "c")
    put(person, "notes", "c", "a")
    put(person, "tasks", "self", "self")
    put(person, "projects", "p", "q")
    put(person, "projects", "q", "p")
    put(person, "tasks", "in p", "p")
    query = "SELECT guid, project_guid FROM task_overview"
    assert person.run(query) == [("a", None), ("b", None), ("self", None), ("in p", "p")]
    query = "SELECT guid, tasks FROM project_progress"
    assert person.run(query) == [("p", 1), ("q", 1)]


def test_parents_of_any_depth(person: Person) -> None:
    put(person, "projects", "p")
    for number in range(500):
        put(person, "tasks", f"t{number}", f"t{number - 1}" if number else "p")
    query = "SELECT count(*) FROM task_overview WHERE project_guid = 'p'"
    assert person.one(query) == 500
    assert person.one("SELECT tasks FROM project_progress") == 500


def test_the_names_of_assignees(person: Person, mirror: Mirror) -> None:
    rows: list[dict[str, Any]] = [
        {"id": 1, "full_name": "Ann Lee", "first_name": "A", "login": "ann"},
        {"id": 2, "full_name": "", "first_name": "Bob", "last_name": "Ray", "login": "bob"},
        {"id": 3, "first_name": "Cid", "login": "cid"},
        {"id": 4, "first_name": "", "last_name": "", "login": "dan@example.com"},
        {"id": 5},
    ]
    with mirror.writing() as connection:
        for row in rows:
            connection.execute(users.insert().values(row))
    for number in (*range(1, 7), None):
        put(person, "tasks", f"t{number}", assignee_id=number)
    assert person.run("SELECT assignee_id, assignee_name FROM task_overview") == [
        (1, "Ann Lee"),
        (2, "Bob Ray"),
        (3, "Cid"),
        (4, "dan@example.com"),
        (5, None),
        (6, None),
        (None, None),
    ]


def moment(**ago: float) -> str:
    return (datetime.now(UTC) - timedelta(**ago)).strftime("%Y-%m-%d %H:%M:%S.%f")


OVERDUE: list[tuple[dict[str, Any], int]] = [
    ({"due_date": moment(minutes=5)}, 1),
    ({"due_date": moment(hours=-1)}, 0),
    ({"due_date": moment(minutes=5), "completed": True}, 0),
    ({"due_date": None}, 0),
    ({"due_date": "tomorrow"}, 0),
    ({"due_date": ""}, 0),
    ({"due_date": "2001-02-03"}, 1),
    ({"due_date": "2001-02-03T04:05"}, 1),
    ({"due_date": "2001-02-03 04:05:06Z"}, 1),
    ({"due_date": "2999-02-03 04:05:06+02:00"}, 0),
    ({"due_date": moment(hours=1)[:19] + "-02:00"}, 0),  # in an hour, said from further west
    ({"due_date": "2001-02-03", "is_all_day": True}, 1),
    ({"due_date": "2999-02-03", "is_all_day": True}, 0),
    ({"due_date": "someday", "is_all_day": True}, 0),
    ({"is_all_day": True}, 0),
]


@pytest.mark.parametrize(("cells", "overdue"), OVERDUE)
def test_what_is_overdue(person: Person, cells: dict[str, Any], overdue: int) -> None:
    put(person, "tasks", "t", **cells)
    assert person.run("SELECT due_date, is_overdue FROM task_overview") == [
        (cells.get("due_date"), overdue)
    ]


@pytest.mark.parametrize("offset", [0, 60, -600, 840, None])
def test_a_day_is_over_when_it_is_past_in_the_accounts_zone(
    person: Person, mirror: Mirror, offset: int | None
) -> None:
    if offset is not None:
        with mirror.writing() as connection:
            state.save(connection, zone_offset=offset)
    today = person.one("SELECT date('now', ? || ' minutes')", offset or 0)
    for days in (-1, 0, 1):
        day = person.one("SELECT date(?, ? || ' days') || ' 00:00:00.000000'", today, days)
        put(person, "tasks", str(days), due_date=day, is_all_day=True)
    # Unless midnight went by there just now.
    if person.one("SELECT date('now', ? || ' minutes')", offset or 0) == today:
        query = "SELECT guid, is_overdue FROM task_overview"
        assert person.run(query) == [("-1", 1), ("0", 0), ("1", 0)]


def test_progress_is_the_completed_share_of_the_child_tasks(person: Person) -> None:
    put(person, "tasks", "open")
    put(person, "tasks", "done", completed=True)
    put(person, "tasks", "third")
    put(person, "tasks", "done but one", completed=True)
    put(person, "tasks", "with a note", completed=True)
    put(person, "notes", "n", "with a note")
    for number in range(3):
        put(person, "tasks", f"c{number}", "third", completed=number == 0)
    put(person, "tasks", "grandchild", "c0", completed=False)  # only direct ones count
    for number in range(200):
        put(person, "tasks", f"d{number}", "done but one", completed=number > 0)
    query = "SELECT guid, progress FROM task_overview WHERE guid NOT GLOB '[cd][0-9]*'"
    assert dict(person.run(query)) == {
        "open": 0,
        "done": 100,
        "third": 33,
        "done but one": 99,  # never 100 before all are
        "with a note": 100,
        "grandchild": 0,
    }
    assert person.one("SELECT progress FROM task_overview WHERE guid = 'c0'") == 0


# time_by_day


def spend(mirror: Mirror, *entries: dict[str, Any]) -> None:
    with mirror.writing() as connection:
        for number, entry in enumerate(entries):
            row = {"guid": f"e{number}", "user_id": 1, "minutes": 1} | entry
            names = ", ".join(row)
            marks = ", ".join("?" * len(row))
            statement = f"INSERT INTO time_entries ({names}) VALUES ({marks})"
            connection.exec_driver_sql(statement, tuple(row.values()))


def test_minutes_by_day_person_and_item(tree: Person, mirror: Mirror) -> None:
    with mirror.writing() as connection:
        connection.execute(users.insert().values(id=1, full_name="Ann"))
    spend(
        mirror,
        {"item_guid": "deep", "spent_on": "2026-03-02", "minutes": 5},
        {"item_guid": "deep", "spent_on": "2026-03-02", "minutes": 7},
        {"item_guid": "deep", "spent_on": "2026-03-02", "minutes": "no number"},
        {"item_guid": "deep", "spent_on": "2026-03-02", "minutes": 1, "user_id": 2},
        {"item_guid": "deep", "spent_on": "2026-03-03", "minutes": -2},
        {"item_guid": "p", "spent_on": "2026-03-03", "minutes": 3},
        {"item_guid": "alone", "spent_on": "2026-03-03", "minutes": 4},
        {"item_guid": None, "spent_on": None, "user_id": None, "minutes": 9},
    )
    assert tree.run("SELECT * FROM time_by_day ORDER BY day, user_id, item_guid") == [
        (None, None, None, None, None, None, None, 9),
        ("2026-03-02", 1, "Ann", "deep", "DEEP", "q", "Q", 12),
        ("2026-03-02", 2, None, "deep", "DEEP", "q", "Q", 1),
        ("2026-03-03", 1, "Ann", "alone", "ALONE", None, None, 4),
        ("2026-03-03", 1, "Ann", "deep", "DEEP", "q", "Q", -2),
        ("2026-03-03", 1, "Ann", "p", "P", "p", "P", 3),  # a project's own time is its time
    ]


@pytest.mark.parametrize(
    ("entry", "day"),
    [
        ({"spent_on": "2026-03-02", "time_create": "2026-05-05 10:00:00.000000"}, "2026-03-02"),
        ({"spent_on": "2026-03-02 23:30"}, "2026-03-02"),
        ({"spent_on": None, "time_create": "2026-03-02 22:59:00.000000"}, "2026-03-02"),
        ({"spent_on": None, "time_create": "2026-03-02 23:00:00.000000"}, "2026-03-03"),
        ({"spent_on": "monday", "time_create": "2026-03-02 12:00:00.000000"}, "2026-03-02"),
        ({"spent_on": "2026-99-99", "time_create": "2026-03-02 12:00:00.000000"}, "2026-03-02"),
        ({"spent_on": 2026, "time_create": "2026-03-02 12:00:00.000000"}, "2026-03-02"),
        ({"spent_on": "", "time_create": None}, None),
    ],
)
def test_the_day(person: Person, mirror: Mirror, entry: dict[str, Any], day: str | None) -> None:
    """The day of `spent_on`, else the one in the account's zone when the entry was made."""
    spend(mirror, {"item_guid": "t"} | entry)
    with mirror.writing() as connection:
        state.save(connection, zone_offset=60)
    assert person.run("SELECT day, minutes FROM time_by_day") == [(day, 1)]


def test_an_item_that_left_is_called_what_it_was_called_last(tree: Person, mirror: Mirror) -> None:
    with mirror.writing() as connection:
        for title, parent in (("old", "p"), ("new", "in q")):
            connection.execute(
                removed_rows.insert().values(
                    table_name="tasks",
                    row_guid="gone",
                    last_values={"title": title, "parent_guid": parent},
                    removed_at=datetime(2026, 3, 2),
                    reason="archived",
                )
            )
    spend(mirror, {"item_guid": "gone"}, {"item_guid": "never seen"})
    query = "SELECT item_guid, item_title, project_title FROM time_by_day ORDER BY 1"
    assert tree.run(query) == [("gone", "new", "Q"), ("never seen", None, None)]
    put(tree, "tasks", "gone", title="back")
    assert tree.run(query)[0] == ("gone", "back", None)


def test_time_on_what_left_together_stays_with_its_project(tree: Person, mirror: Mirror) -> None:
    """A task is archived with its subtasks: also theirs is the project's time."""
    with mirror.writing() as connection:
        for guid, parent in (("sub", "done"), ("done", "q"), ("a", "b"), ("b", "a")):
            connection.execute(
                removed_rows.insert().values(
                    table_name="tasks",
                    row_guid=guid,
                    last_values={"title": guid, "parent_guid": parent},
                    removed_at=datetime(2026, 3, 2),
                    reason="archived here",
                )
            )
    spend(mirror, {"item_guid": "sub"}, {"item_guid": "done"}, {"item_guid": "a"})
    query = "SELECT item_guid, project_title FROM time_by_day ORDER BY 1"
    assert tree.run(query) == [("a", None), ("done", "Q"), ("sub", "Q")]


# project_progress


def test_all_tasks_below_a_project_count(tree: Person) -> None:
    put(tree, "projects", "empty", "q")
    tree.run("UPDATE tasks SET time_est_minutes = 10")
    tree.run("UPDATE tasks SET time_est_minutes = 'long' WHERE guid = 'in q'")
    tree.run("UPDATE tasks SET completed = true WHERE guid IN ('deep', 'in p', 'alone')")
    spent = "('deep', 3), ('in p', 4), ('note', 50), ('p', 100), ('alone', 200)"
    tree.run(f"INSERT INTO time_entries (item_guid, minutes) VALUES {spent}")
    assert tree.run("SELECT * FROM project_progress") == [
        ("p", "P", 4, 2, 50, 30, 7),
        ("q", "Q", 3, 1, 33, 20, 3),
        ("empty", "EMPTY", 0, 0, None, 0, 0),
    ]


# There again when they went


@pytest.fixture
def closed(database: Path) -> Iterator[Person]:
    """Somebody who took a view away and replaced another while no hisync was running."""
    person = Person(database)
    person.run("DROP VIEW task_overview")
    yield person
    person.close()


def made(person: Person) -> dict[str, str]:
    return dict(person.run("SELECT name, sql FROM sqlite_schema WHERE type = 'view'"))


def test_a_missing_view_stops_nothing_and_comes_back(closed: Person, database: Path) -> None:
    with open_mirror(f"sqlite:///{database}") as mirror:
        mirror.check()
        assert "task_overview" not in made(closed)  # a command that only looks makes none
        mirror.acquire()
        assert made(closed) == VIEWS
        closed.run("DROP VIEW items")
        with mirror.writing() as connection:  # nor does it stop who is at work
            connection.execute(ITEM_TABLES["tasks"].insert().values(guid="t"))
        migrate.upgrade_schema(mirror.engine)
        assert made(closed) == VIEWS
    assert closed.run("SELECT guid, kind FROM items") == [("t", "task")]


def test_no_view_is_made_where_the_schema_may_not_be_changed(
    closed: Person, database: Path
) -> None:
    open_mirror(f"sqlite:///{database}").acquire(upgrade=False).close()
    assert "task_overview" not in made(closed)


def test_a_view_of_another_version_is_made_anew(database: Path, person: Person) -> None:
    """With the triggers that people put on it, which go with a view."""
    old = VIEWS["items"].replace("guid", "guid || 'x' AS guid", 1)
    trigger = (
        "CREATE TRIGGER mine INSTEAD OF INSERT ON items BEGIN"
        " INSERT INTO notes (title) VALUES (NEW.title); END"
    )
    for statement in ("DROP VIEW items", old, trigger):
        person.run(statement)
    open_mirror(f"sqlite:///{database}").acquire().close()
    assert made(person) == VIEWS
    person.run("INSERT INTO items (title) VALUES ('a')")
    assert person.run("SELECT title FROM notes") == [("a",)]


@pytest.mark.parametrize(
    "mine", ["CREATE VIEW Items AS SELECT 1 AS one", "CREATE TABLE items (one DEFAULT 1)"]
)
def test_what_is_peoples_own_is_left_alone(database: Path, person: Person, mine: str) -> None:
    person.run("DROP VIEW items")
    person.run(mine)
    with structlog.testing.capture_logs() as logs:
        open_mirror(f"sqlite:///{database}").acquire().close()
        with open_mirror(f"sqlite:///{database}") as mirror:
            migrate.upgrade_schema(mirror.engine)
    assert person.run("SELECT * FROM items") in ([(1,)], [])
    (warning,) = [log for log in logs if log["event"] == "view_name_taken"]
    assert warning["view"] == "items"
    assert "give yours another name" in warning["hint"]
    assert set(VIEWS) - {"items"} <= set(made(person))
    person.run("SELECT * FROM task_overview, time_by_day, project_progress")


# Speed: the plans, since times tell little on a machine that others use


def scans(person: Person, query: str) -> set[str]:
    """The tables that a query reads as a whole, however often."""
    plan = [row[3] for row in person.run(f"EXPLAIN QUERY PLAN {query}")]
    words = [line.split() for line in plan if line.startswith("SCAN")]
    assert not [line for line in plan if "AUTOMATIC" in line and "own" not in line], plan
    return {line[1] for line in words}


def test_one_row_is_looked_up(person: Person) -> None:
    for query in (
        "SELECT * FROM items WHERE guid = 'x'",
        "SELECT * FROM items WHERE parent_guid = 'x'",
        "SELECT * FROM task_overview WHERE guid = 'x'",
        "SELECT * FROM task_overview WHERE id = 5",
    ):
        assert scans(person, query) <= {"up", "CONSTANT"}, query


def test_no_table_is_read_once_for_each_row(person: Person) -> None:
    assert scans(person, "SELECT * FROM task_overview") <= {"task", "up", "CONSTANT"}
    found = scans(person, "SELECT * FROM time_by_day")
    assert found <= {"entry", "spent", "(subquery", "up", "way", "CONSTANT"}
    assert time_entries.name not in found
