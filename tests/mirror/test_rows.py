"""Rows, and what is kept beside them: written in sets, read raw and decoded one by one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from hisync.change import Change
from hisync.cli.examples import changes_in
from hisync.errors import MirrorError
from hisync.items import TABLES, FieldType, fields_of
from hisync.mirror import changes, intents, records, rows, state
from hisync.mirror.base import CHUNK
from hisync.mirror.intents import Intent
from hisync.mirror.pruning import prune_finished
from hisync.mirror.records import ConflictRecord, RemovedRow
from hisync.mirror.state import EngineState
from hisync.mirror.store import Mirror
from tests.mirror.people import Person

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC).replace(tzinfo=None)
LATER = NOON + timedelta(hours=1)
SAMPLES: dict[FieldType, tuple[Any, Any]] = {
    # a value, and the cell that people find
    FieldType.TEXT: ("Grüße 👩", "Grüße 👩"),
    FieldType.INT: (2**62, 2**62),
    FieldType.BOOL: (True, 1),
    FieldType.INSTANT: (NOON, "2026-03-02 12:00:00.000000"),
    FieldType.START_DATE: (NOON, "2026-03-02 12:00:00.000000"),
    FieldType.END_DATE: (NOON, "2026-03-02 12:00:00.000000"),
    FieldType.ID: (7, 7),
    FieldType.MINUTES: (90, 90),
    FieldType.SET: (["a", "ü"], '["a","ü"]'),
    FieldType.JSON: ({"a": [1, None, True]}, '{"a":[1,null,true]}'),
}


def test_every_table_keeps_every_field(mirror: Mirror, person: Person) -> None:
    for number, table in enumerate(TABLES):
        fields = {
            c: f for c, f in fields_of(table).items() if c not in {"participants", "is_all_day"}
        }
        values = {c: SAMPLES[f.type][0] for c, f in fields.items()}
        values |= {"participants": [7], "is_all_day": False}
        with mirror.writing() as connection:
            rows.upsert_rows(connection, table, [{"guid": "g", "id": number, **values}])
            found = rows.load_rows(connection, table, ["g"])["g"]
        assert (found.table, found.guid, found.id) == (table, "g", number)
        assert found.values == values
        assert found.unreadable == {}
        (cells,) = person.run(f"SELECT {', '.join(fields)} FROM {table}")
        assert list(cells) == [SAMPLES[f.type][1] for f in fields.values()]


def test_a_row_that_says_nothing_is_null_and_false(mirror: Mirror, person: Person) -> None:
    with mirror.writing() as connection:
        rows.upsert_rows(connection, "tasks", [])
        rows.upsert_rows(connection, "tasks", [{"guid": "g", "id": 1, "location": None}])
    cells = "completed, starred, title, tags, location, due_date"
    assert person.run(f"SELECT {cells} FROM tasks") == [(0, 0, None, None, None, None)]


def test_rows_are_put_over_what_has_their_guid(mirror: Mirror, person: Person) -> None:
    person.run("INSERT INTO tasks (guid, title, priority) VALUES ('g', 'a', 5)")
    with mirror.writing() as connection:
        new = [{"guid": "g", "id": 1, "title": "b"}, {"guid": "h", "id": 2, "title": "c"}]
        rows.upsert_rows(connection, "tasks", new)
    assert person.run("SELECT guid, id, title, priority FROM tasks ORDER BY guid") == [
        ("g", 1, "b", None),
        ("h", 2, "c", None),
    ]


def test_cells_are_set_one_by_one(mirror: Mirror, person: Person) -> None:
    with mirror.writing() as connection:
        new = [{"guid": "g", "id": 1, "title": "b"}, {"guid": "h", "id": 2, "title": "c"}]
        rows.upsert_rows(connection, "tasks", new)
        rows.set_cells(connection, "tasks", "g", {"tags": None, "due_date": NOON, "id": 3})
        rows.set_cells(connection, "tasks", "h", {})
        rows.set_cells(connection, "tasks", "nobody", {"title": "x"})
    assert person.run("SELECT id, title, due_date FROM tasks ORDER BY guid") == [
        (3, "b", "2026-03-02 12:00:00.000000"),
        (2, "c", None),
    ]


def test_a_cell_that_can_not_be_read_leaves_the_row_readable(
    mirror: Mirror, person: Person
) -> None:
    person.run(
        "INSERT INTO tasks (guid, id, title, due_date, tags, completed, priority)"
        " VALUES ('g', 'seven', 'a', 'tomorrow', 'a,b', 'yes', x'00')"
    )
    with mirror.reading() as connection:
        found = rows.load_rows(connection, "tasks", ["g", "h"])
    assert found.keys() == {"g"}
    assert found["g"].id == "seven"
    assert found["g"].values["title"] == "a"
    assert found["g"].unreadable.keys() == {"due_date", "tags", "completed", "priority"}


def test_rows_of_several_tables_at_once(mirror: Mirror, person: Person) -> None:
    person.run("INSERT INTO tasks (guid) VALUES ('a'), ('b')")
    person.run("INSERT INTO notes (guid) VALUES ('a')")
    with mirror.reading() as connection:
        keys = [("tasks", "a"), ("notes", "a"), ("notes", "b"), ("tasks", "a")]
        assert rows.load_every(connection, keys).keys() == {("tasks", "a"), ("notes", "a")}
        counted = rows.count_rows(connection)
    assert counted == {**dict.fromkeys(TABLES, 0), "tasks": 2, "notes": 1}


def test_families_reach_across_tables_and_circles_end(mirror: Mirror, person: Person) -> None:
    person.run("INSERT INTO projects (guid) VALUES ('p')")
    person.run(
        "INSERT INTO tasks (guid, parent_guid) VALUES"
        " ('t', 'p'), ('u', 't'), ('x', 'y'), ('y', 'x'), ('s', 's'), ('o', 'nowhere')"
    )
    person.run("INSERT INTO notes (guid, parent_guid) VALUES ('n', 'u'), ('m', 'p')")
    with mirror.reading() as connection:
        assert rows.parents_of(connection, ["n"]) == {"n": "u", "u": "t", "t": "p", "p": None}
        assert rows.parents_of(connection, ["x", "s"]) == {"x": "y", "y": "x", "s": "s"}
        assert rows.parents_of(connection, ["o", "nobody"]) == {"o": "nowhere"}
        children = rows.children_of(connection, ["p", "u", "n"])
        assert {guid: sorted(found) for guid, found in children.items()} == {
            "p": ["m", "t"],
            "u": ["n"],
        }


def test_more_rows_than_one_statement_names(mirror: Mirror) -> None:
    guids = [f"g{number}" for number in range(2 * CHUNK + 1)]
    with mirror.writing() as connection:
        new = [{"guid": guid, "id": n, "parent_guid": "g0"} for n, guid in enumerate(guids)]
        rows.upsert_rows(connection, "tasks", new)
        assert rows.load_rows(connection, "tasks", guids).keys() == set(guids)
        assert len(rows.parents_of(connection, guids)) == len(guids)
        assert len(rows.children_of(connection, guids)["g0"]) == len(guids)
        rows.delete_rows(connection, "tasks", guids[1:])
        assert rows.count_rows(connection)["tasks"] == 1


# The change log


def test_unfinished_changes_are_found_by_row(mirror: Mirror, person: Person) -> None:
    person.run("INSERT INTO tasks (guid, title) VALUES ('a', 'A'), ('b', 'B')")
    person.run("UPDATE tasks SET title = 'A2', completed = true WHERE guid = 'a'")
    person.run("INSERT INTO notes (guid) VALUES ('a')")  # a namesake
    a, b, namesake = ("tasks", "a"), ("tasks", "b"), ("notes", "a")
    with mirror.writing() as connection:
        found = changes.unfinished(connection)
        seqs = {key: [change.seq for change in log] for key, log in found.items()}
        assert seqs == {a: [1, 3], b: [2], namesake: [4]}
        assert found[a][1] == Change(
            seq=3,
            table="tasks",
            guid="a",
            op="update",
            old_values={"title": "A", "completed": False},
            new_values={"title": "A2", "completed": True},
            changed_at=found[a][1].changed_at,
            state="pending",
            attempts=0,
        )
        assert changes.unfinished(connection, ["b", "c"]) == {b: found[b]}
        changes.set_state(connection, [1, 2, 4], "done", now=NOON)
        assert changes.unfinished(connection) == {a: [found[a][1]]}
        assert changes.counts(connection) == {"done": 3, "pending": 1}
        assert changes.newest_seq(connection) == 4


QUESTIONS: dict[str, tuple[int, Callable[[Connection], object]]] = {
    # With how many of SQLite's steps at most: of 4,000 changes, 3,800 are done and 190 rejected.
    "counts": (40_000, changes.counts),
    "rejected": (2000, changes.rejected),
    "unfinished at all": (100, changes.any_unfinished),
    "unfinished of a row": (100, lambda connection: changes.unfinished(connection, ["a"])),
    "deleted since": (100, lambda connection: changes.deletes_since(connection, LATER)),
    "held": (200, lambda connection: changes_in(connection, "held")),
    "examples of rejected": (6000, lambda connection: changes_in(connection, "rejected")),
    "to be pruned": (200, lambda connection: prune_finished(connection, NOON)),
    "pruned": (300_000, lambda connection: prune_finished(connection, LATER)),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_log_is_never_read_as_a_whole(mirror: Mirror, person: Person, question: str) -> None:
    """It keeps months of what has ended, and these questions come in each cycle."""
    count = 4000
    person.run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        "INSERT INTO tasks (guid) SELECT 'g' || i FROM n",
        count,
    )
    with mirror.writing() as connection:
        changes.set_state(connection, range(1, count - 200), "done", now=NOON)
        changes.set_state(connection, range(count - 200, count - 9), "rejected", now=NOON)
        driver: Any = connection.connection.driver_connection
        most, ask = QUESTIONS[question]
        tens: list[None] = []
        driver.set_progress_handler(lambda: tens.append(None), 10)
        ask(connection)
        driver.set_progress_handler(None, 10)
    assert 10 * len(tens) <= most


def test_unfinished_changes_follow_their_row_to_another_table(
    mirror: Mirror, person: Person
) -> None:
    person.run("INSERT INTO tasks (guid, title) VALUES ('a', 'A'), ('b', 'B')")
    person.run("UPDATE tasks SET title = 'A2' WHERE guid = 'a'")
    with mirror.writing() as connection:
        changes.set_state(connection, [1], "done", now=NOON)
        changes.move(connection, "a", "tasks", to="notes")
        assert changes.unfinished(connection).keys() == {("tasks", "b"), ("notes", "a")}
    assert person.run("SELECT seq, table_name FROM change_log ORDER BY seq") == [
        (1, "tasks"),
        (2, "tasks"),
        (3, "notes"),
    ]


def test_a_state_is_dated_when_it_is_final(mirror: Mirror, person: Person) -> None:
    person.run("INSERT INTO tasks (guid) VALUES ('a'), ('b')")
    query = "SELECT state, attempts, error, finished_at IS NOT NULL FROM change_log WHERE seq = 1"
    steps = [
        ({"state": "sending", "attempted": True}, ("sending", 1, None, 0)),
        ({"state": "unknown", "error": "lost"}, ("unknown", 1, "lost", 0)),
        ({"state": "sending", "attempted": True}, ("sending", 2, None, 0)),
        ({"state": "rejected", "error": "no"}, ("rejected", 2, "no", 1)),
        ({"state": "pending"}, ("pending", 2, None, 0)),
        *[({"state": final}, (final, 2, None, 1)) for final in sorted(changes.FINAL_STATES)],
    ]
    for options, row in steps:
        with mirror.writing() as connection:
            changes.set_state(connection, [1], now=NOON, **options)  # type: ignore[arg-type]
        assert person.run(query) == [row]
    assert person.one("SELECT state FROM change_log WHERE seq = 2") == "pending"


def test_deletions_of_the_last_hour_are_counted(mirror: Mirror, person: Person) -> None:
    person.run("INSERT INTO tasks (guid) VALUES ('a'), ('b'), ('c')")
    person.run("DELETE FROM tasks")
    with mirror.writing() as connection:
        assert changes.deletes_since(connection, NOON) == 0
        changes.set_state(connection, [1, 4], "done", now=NOON)
        changes.set_state(connection, [5], "done", now=NOON - timedelta(hours=2))
        changes.set_state(connection, [6], "rejected", now=NOON)
        assert changes.deletes_since(connection, NOON - timedelta(hours=1)) == 1
        assert changes.deletes_since(connection, NOON - timedelta(hours=3)) == 2


def test_the_list_shows_the_newest_first(mirror: Mirror, person: Person) -> None:
    person.run("INSERT INTO tasks (guid) VALUES ('a'), ('b'), ('c'), ('d')")
    with mirror.writing() as connection:
        changes.set_state(connection, [1], "done", now=NOON)
        changes.set_state(connection, [2], "rejected", now=NOON, error="no")

        def listed(**options: Any) -> list[int]:
            return [row["seq"] for row in changes.list_changes(connection, **options)]

        assert listed(everything=True, limit=10) == [4, 3, 2, 1]
        assert listed(everything=False, limit=10) == [4, 3, 2]
        assert listed(everything=False, limit=2) == [4, 3]


def test_an_empty_log_has_no_newest(mirror: Mirror) -> None:
    with mirror.reading() as connection:
        assert changes.newest_seq(connection) == 0
        assert changes.unfinished(connection) == {}


# Intents, records, the engine's memory


def test_an_intent_is_read_as_it_was_written(mirror: Mirror) -> None:
    sent = {"title": "a", "tags": ["x"], "due_date": NOON, "completed": False, "location": {"a": 1}}
    intent = Intent("g", "tasks", "update", sent, last_seq=5, attempt=2, started_at=NOON)
    other = Intent("h", "notes", "delete", {}, last_seq=6, attempt=1, started_at=NOON)
    with mirror.writing() as connection:
        intents.save_intents(connection, [intent, other])
    with mirror.writing() as connection:
        assert intents.load_intents(connection) == {"g": intent, "h": other}
        intents.forget_intents(connection, ["g", "nobody"])
        assert intents.load_intents(connection) == {"h": other}


def test_an_intent_of_an_all_day_row_keeps_its_days(mirror: Mirror) -> None:
    day = NOON.replace(hour=0)
    sent = {"due_date": day}
    intent = Intent("g", "tasks", "update", sent, last_seq=5, attempt=2, started_at=NOON)
    with mirror.writing() as connection:
        intents.save_intents(connection, [intent])
        assert intents.load_intents(connection)["g"].sent == {"due_date": day}


def test_conflicts_are_kept_for_people(mirror: Mirror, person: Person) -> None:
    record = ConflictRecord("tasks", "g", "due_date", None, NOON, "x", "remote", "newest")
    whole = ConflictRecord(
        "tasks", "g", None, {"tags": []}, None, {"tags": ["x"]}, "remote", "local"
    )
    with mirror.writing() as connection:
        records.record_conflicts(connection, [], NOON)
        records.record_conflicts(connection, [record, whole], NOON)
        assert [row["field"] for row in records.list_conflicts(connection, 1)] == [None]
        assert records.open_conflicts(connection) == 0
    person.run("UPDATE conflicts SET resolved_at = NULL WHERE field IS NULL")
    with mirror.reading() as connection:
        assert records.open_conflicts(connection) == 1
    columns = "field, base_value, local_value, remote_value, resolution, policy, detected_at"
    assert person.run(f"SELECT {columns} FROM conflicts ORDER BY id") == [
        ("due_date", None, "2026-03-02 12:00:00.000000", "x", "remote", "newest", NOON_CELL),
        (None, '{"tags":[]}', None, '{"tags":["x"]}', "remote", "local", NOON_CELL),
    ]


NOON_CELL = "2026-03-02 12:00:00.000000"


def test_the_last_state_of_a_removed_row_is_kept(mirror: Mirror, person: Person) -> None:
    values = {"title": "a", "due_date": NOON, "tags": ["x"], "completed": False, "message": None}
    with mirror.writing() as connection:
        records.record_removed(connection, [], NOON)
        records.record_removed(connection, [RemovedRow("tasks", "g", 7, values, "gone")], NOON)
    assert person.run("SELECT table_name, row_guid, id, last_values, reason FROM removed_rows") == [
        (
            "tasks",
            "g",
            7,
            '{"title":"a","due_date":"2026-03-02 12:00:00.000000","tags":["x"],"completed":false}',
            "gone",
        )
    ]


def test_the_engine_remembers(mirror: Mirror, person: Person) -> None:
    with mirror.writing() as connection:
        state.save(
            connection, cursor="abc", account_id=5, last_cycle={"pulled": 1}, last_full_at=1.5
        )
    person.run("INSERT INTO sync_state VALUES ('from_a_newer_version', '1')")
    with mirror.writing() as connection:
        known = state.load(connection)
        assert (known.cursor, known.account_id, known.last_full_at) == ("abc", 5, 1.5)
        assert known.last_cycle == {"pulled": 1}
        assert known.delta is state.DeltaMode.UNKNOWN
        state.save(connection, cursor=None, delta=state.DeltaMode.PARTIAL)
        known = state.load(connection)
        assert (known.cursor, known.delta, known.account_id) == (None, "partial", 5)
        with pytest.raises(ValueError, match="curser"):
            state.save(connection, curser="abc")


@pytest.mark.parametrize(
    ("key", "garbage", "fix"),
    [
        ("cursor", "garbage", "delete that row"),
        ("cursor", "7", "delete that row"),
        ("delta", '"of a kind"', "delete that row"),
        ("fence", "true", "delete that row"),
        ("last_cycle", "[1]", "delete that row"),
        ("account_id", '"a text"', "from a backup"),
    ],
)
def test_a_memory_that_somebody_wrote_to_is_an_error_that_names_the_fix(
    mirror: Mirror, person: Person, key: str, garbage: str, fix: str
) -> None:
    with mirror.writing() as connection:
        state.save(connection, cursor="abc", account_id=5, last_full_at=1, last_cycle={})
        state.save(connection, delta=state.DeltaMode.NONE)
    person.run("UPDATE sync_state SET value = ? WHERE key = ?", garbage, key)
    with (
        mirror.reading() as connection,
        pytest.raises(MirrorError, match=rf"'{key}' in sync_state .* {fix}"),
    ):
        state.load(connection)
    person.run("DELETE FROM sync_state WHERE key = ?", key)
    with mirror.reading() as connection:
        known = state.load(connection)
    assert getattr(known, key) == getattr(EngineState(), key)
    assert known.last_full_at == 1
