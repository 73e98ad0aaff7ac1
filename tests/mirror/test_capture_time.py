"""Time entries: captured like items, and the items' totals are their sums at every moment."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hisync.items import MOST_MINUTES, TABLES
from hisync.mirror.dialects.sqlite.ledger import counted_minutes
from hisync.mirror.store import Mirror
from hisync.mirror.tables import ITEM_TABLES, time_entries
from hisync.mirror.time_entries import read_day
from tests.mirror.people import Logged, Person, deleted, inserted, updated

STAYS = "hisync: a time entry stays with its item; delete it and insert a new one"


def totals(person: Person) -> dict[str, int | None]:
    """Each item's total; they must be what its entries add up to, and no trace of it is left."""
    items = " UNION ALL ".join(f"SELECT guid, time_spent_minutes FROM {t}" for t in TABLES)
    found = dict(person.run(f"{items} ORDER BY 1"))
    query = f"SELECT item_guid, sum({counted_minutes('minutes')}) FROM time_entries GROUP BY 1"
    sums = {guid: minutes for guid, minutes in person.run(query) if guid in found}
    assert Counter(sums) == Counter({guid: minutes or 0 for guid, minutes in found.items()})
    assert person.run("SELECT * FROM sync_mark") == []
    assert person.run("SELECT * FROM sync_doomed WHERE table_name = 'time_spent_minutes'") == []
    return found


@pytest.fixture(params=["off", "on"])
def known(person: Person, mirror: Mirror, request: pytest.FixtureRequest) -> Person:
    """Somebody who sees a task and a note, and a project without any entry."""
    person.run(f"PRAGMA recursive_triggers = {request.param}")
    with mirror.writing() as connection:
        for table, guid, spent in (("tasks", "t", 90), ("notes", "n", 10), ("projects", "p", None)):
            row = {"guid": guid, "title": guid.upper(), "time_spent_minutes": spent}
            connection.execute(ITEM_TABLES[table].insert().values(row))
        connection.execute(
            time_entries.insert(),
            [
                {"guid": guid, "item_guid": item, "minutes": minutes, "source": "observed"}
                for guid, item, minutes in (("a", "t", 60), ("b", "t", 30), ("c", "n", 10))
            ],
        )
    assert person.log() == []
    assert totals(person) == {"t": 90, "n": 10, "p": None}
    return person


def put_down(guid: str, item: str, minutes: int, **cells: Any) -> Logged:
    return inserted(guid, **{"item_guid": item, "minutes": minutes, "source": "local"} | cells)


def crossed_out(guid: str, item: str, minutes: int) -> Logged:
    return deleted(guid, item_guid=item, minutes=minutes, source="observed")


# One edit, one row of the log, and the total with it


def test_an_item_and_minutes_are_enough(known: Person) -> None:
    known.run("INSERT INTO time_entries (item_guid, minutes, note) VALUES ('t', 15, 'called')")
    ((guid, *rest),) = known.run(
        "SELECT guid, source, user_id, spent_on, time_create FROM time_entries WHERE minutes = 15"
    )
    assert len(guid) == 36
    assert rest == ["local", None, None, None]
    assert totals(known) == {"t": 105, "n": 10, "p": None}
    assert known.log() == [put_down(guid, "t", 15, note="called")]
    assert known.run("SELECT table_name, state FROM change_log") == [("time_entries", "pending")]


@pytest.mark.parametrize("table", TABLES)
def test_the_item_may_be_of_any_kind(person: Person, table: str) -> None:
    person.run(f"INSERT INTO {table} (guid) VALUES ('i')")
    person.run("INSERT INTO time_entries (guid, item_guid, minutes) VALUES ('e', 'i', 5)")
    assert totals(person) == {"i": 5}
    person.run("UPDATE time_entries SET minutes = -7")
    assert totals(person) == {"i": -7}
    person.run("DELETE FROM time_entries")
    assert totals(person) == {"i": 0}
    assert [change.op for change in person.log()] == ["insert", "insert", "update", "delete"]


def test_an_update_brings_the_difference(known: Person) -> None:
    known.run("UPDATE time_entries SET minutes = minutes * 2")
    assert totals(known) == {"t": 180, "n": 20, "p": None}
    known.run("UPDATE time_entries SET note = 'x', minutes = 121 WHERE guid = 'a'")
    assert totals(known) == {"t": 181, "n": 20, "p": None}
    known.run("UPDATE time_entries SET note = 'y' WHERE guid = 'a'")
    known.run("UPDATE time_entries SET minutes = minutes, guid = guid, item_guid = item_guid")
    assert totals(known) == {"t": 181, "n": 20, "p": None}
    assert known.log() == [
        updated("a", {"minutes": 60}, {"minutes": 120}),
        updated("b", {"minutes": 30}, {"minutes": 60}),
        updated("c", {"minutes": 10}, {"minutes": 20}),
        updated("a", {"minutes": 120, "note": None}, {"minutes": 121, "note": "x"}),
        updated("a", {"note": "x"}, {"note": "y"}),
    ]


def test_a_deletion_takes_it_back(known: Person) -> None:
    known.run("DELETE FROM time_entries WHERE guid IN ('a', 'c')")
    assert totals(known) == {"t": 30, "n": 0, "p": None}
    assert known.log() == [crossed_out("a", "t", 60), crossed_out("c", "n", 10)]


def test_an_item_that_is_not_there_has_no_total(known: Person) -> None:
    known.run("INSERT INTO time_entries (guid, item_guid, minutes) VALUES ('x', 'gone', 5)")
    known.run("INSERT INTO time_entries (guid, minutes) VALUES ('y', 5)")
    assert totals(known) == {"t": 90, "n": 10, "p": None}
    assert known.log() == [
        put_down("x", "gone", 5),
        inserted("y", minutes=5, source="local"),
    ]


def test_nothing_spent_leaves_null_alone(known: Person) -> None:
    known.run("INSERT INTO time_entries (item_guid, minutes) VALUES ('p', 0), ('p', NULL)")
    known.run("UPDATE time_entries SET note = 'x' WHERE item_guid = 'p'")
    known.run("DELETE FROM time_entries WHERE item_guid = 'p'")
    assert totals(known) == {"t": 90, "n": 10, "p": None}


# Statements of every kind


def test_many_rows_of_one_statement(known: Person) -> None:
    known.run(
        "INSERT INTO time_entries (guid, item_guid, minutes)"
        " VALUES ('d', 't', 1), ('e', 'n', 2), ('f', 't', 4), ('g', 'p', 8)"
    )
    assert totals(known) == {"t": 95, "n": 12, "p": 8}
    known.connection.executemany(
        "INSERT INTO time_entries (item_guid, minutes) VALUES (?, ?)",
        [("t", 1), ("t", 2), ("p", 4)] * 5,
    )
    assert totals(known) == {"t": 110, "n": 12, "p": 28}
    known.run("DELETE FROM time_entries")
    assert totals(known) == {"t": 0, "n": 0, "p": 0}
    tables = known.run("SELECT DISTINCT table_name FROM change_log")
    assert tables == [("time_entries",)]


def test_a_replaced_entry_is_taken_back(known: Person) -> None:
    known.run(
        "INSERT OR REPLACE INTO time_entries (guid, item_guid, minutes)"
        " VALUES ('a', 't', 5), ('a', 'n', 7), ('d', 't', 1)"
    )
    assert totals(known) == {"t": 31, "n": 17, "p": None}
    assert known.log() == [
        crossed_out("a", "t", 60),
        put_down("a", "t", 5),
        deleted("a", item_guid="t", minutes=5, source="local"),
        put_down("a", "n", 7),
        put_down("d", "t", 1),
    ]


def test_two_entries_replaced_by_one(known: Person) -> None:
    """One stands in the way by its guid, the other by its rowid, on two items."""
    known.run(
        "REPLACE INTO time_entries (rowid, guid, item_guid, minutes)"
        " SELECT rowid, 'a', 'p', 3 FROM time_entries WHERE guid = 'c'"
    )
    assert totals(known) == {"t": 30, "n": 0, "p": 3}
    *gone, last = known.log()
    assert sorted(gone) == [crossed_out("a", "t", 60), crossed_out("c", "n", 10)]
    assert last == put_down("a", "p", 3)


def test_an_entry_replaced_by_itself(known: Person) -> None:
    known.run("REPLACE INTO time_entries SELECT * FROM time_entries")
    assert totals(known) == {"t": 90, "n": 10, "p": None}
    assert [change.op for change in known.log()] == ["delete", "insert"] * 3


def test_an_upsert(known: Person) -> None:
    upsert = (
        "INSERT INTO time_entries (guid, item_guid, minutes) VALUES ('a', 't', 5), ('d', 't', 7)"
        " ON CONFLICT (guid) DO UPDATE SET minutes = minutes + excluded.minutes"
    )
    known.run(upsert)
    assert totals(known) == {"t": 102, "n": 10, "p": None}
    known.run(f"{upsert} WHERE false")
    assert totals(known) == {"t": 102, "n": 10, "p": None}
    assert known.log() == [
        updated("a", {"minutes": 60}, {"minutes": 65}),
        put_down("d", "t", 7),
    ]


def test_what_is_ignored_is_not_counted(known: Person) -> None:
    known.run(
        "INSERT OR IGNORE INTO time_entries (guid, item_guid, minutes)"
        " VALUES ('a', 't', 5), ('d', 't', 7)"
    )
    entry = "(guid, item_guid, minutes) VALUES ('b', 'n', 5)"
    known.run(f"INSERT INTO time_entries {entry} ON CONFLICT DO NOTHING")
    known.run("UPDATE OR IGNORE time_entries SET source = NULL, minutes = 1000")
    assert totals(known) == {"t": 97, "n": 10, "p": None}
    assert known.log() == [put_down("d", "t", 7)]
    # Nor later, when the row that was in the way goes and comes again.
    known.run("DELETE FROM time_entries WHERE guid IN ('a', 'b')")
    known.run("INSERT INTO time_entries (guid, item_guid, minutes) VALUES ('a', 'n', 1)")
    assert totals(known) == {"t": 7, "n": 11, "p": None}


@pytest.mark.parametrize("clause", ["OR ROLLBACK", "OR ABORT", "OR FAIL", ""])
def test_what_fails_half_way(known: Person, clause: str) -> None:
    known.run("BEGIN")
    known.run("INSERT INTO time_entries (guid, item_guid, minutes) VALUES ('d', 't', 1)")
    with pytest.raises(sqlite3.IntegrityError, match=r"UNIQUE .*time_entries\.guid"):
        known.run(
            f"INSERT {clause} INTO time_entries (guid, item_guid, minutes)"
            " VALUES ('e', 't', 2), ('a', 't', 4), ('f', 't', 8)"
        )
    assert totals(known)["t"] == {"OR ROLLBACK": 90, "OR FAIL": 93}.get(clause, 91)
    if known.connection.in_transaction:
        known.run("COMMIT")
    totals(known)


def test_an_update_or_replace(known: Person) -> None:
    known.run("UPDATE OR REPLACE time_entries SET source = NULL, minutes = 1 WHERE guid = 'a'")
    assert totals(known) == {"t": 31, "n": 10, "p": None}
    assert known.log() == [
        updated("a", {"minutes": 60, "source": "observed"}, {"minutes": 1, "source": "local"})
    ]


def test_what_is_rolled_back_was_never_spent(known: Person) -> None:
    known.run("BEGIN")
    known.run("INSERT INTO time_entries (item_guid, minutes) VALUES ('t', 5)")
    known.run("SAVEPOINT here")
    known.run("DELETE FROM time_entries")
    assert totals(known) == {"t": 0, "n": 0, "p": None}
    known.run("ROLLBACK TO here")
    assert totals(known) == {"t": 95, "n": 10, "p": None}
    known.run("RELEASE here")
    known.run("ROLLBACK")
    assert totals(known) == {"t": 90, "n": 10, "p": None}
    assert known.log() == []


def test_returning_and_foreign_keys_that_are_checked(known: Person) -> None:
    known.run("PRAGMA foreign_keys = ON")
    assert known.run(
        "INSERT INTO time_entries (item_guid, minutes) VALUES ('t', 5) RETURNING minutes"
    ) == [(5,)]
    assert totals(known) == {"t": 95, "n": 10, "p": None}


# Minutes that are none


@pytest.mark.parametrize(
    ("written", "counts"),
    [
        (5, 5),
        (-5, -5),
        ("5", 5),
        (5.0, 5),
        (5.5, 0),
        ("an hour", 0),
        ("", 0),
        (None, 0),
        (b"5", 0),
        (1e300, 0),
        (MOST_MINUTES, MOST_MINUTES),
        (-MOST_MINUTES, -MOST_MINUTES),
        (MOST_MINUTES + 1, 0),
        (2**63 - 1, 0),
        (-(2**63), 0),
    ],
)
def test_minutes_count_as_what_they_are(known: Person, written: Any, counts: int) -> None:
    put = "INTO time_entries (guid, item_guid, minutes) VALUES ('x', 't', ?)"
    known.run(f"INSERT {put}", written)
    assert totals(known)["t"] == 90 + counts
    known.run("UPDATE time_entries SET minutes = 1 WHERE guid = 'x'")
    assert totals(known)["t"] == 91
    known.run("UPDATE time_entries SET minutes = ? WHERE guid = 'x'", written)
    assert totals(known)["t"] == 90 + counts
    known.run(f"REPLACE {put}", 2)
    assert totals(known)["t"] == 92
    known.run(f"REPLACE {put}", written)
    known.run(f"REPLACE {put}", written)
    assert totals(known)["t"] == 90 + counts
    known.run("DELETE FROM time_entries WHERE guid = 'x'")
    assert totals(known)["t"] == 90


# What is refused at once


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE time_entries SET item_guid = 'n'", STAYS),
        ("UPDATE time_entries SET item_guid = NULL, minutes = 1 WHERE guid = 'a'", STAYS),
        ("UPDATE OR IGNORE time_entries SET item_guid = 'n'", STAYS),
        ("UPDATE time_entries SET guid = 'x' WHERE guid = 'a'", "guid is the identity of a row"),
        ("UPDATE OR REPLACE time_entries SET guid = 'b' WHERE guid = 'a'", "guid is the identity"),
        ("UPDATE OR REPLACE time_entries SET rowid = 2 WHERE guid = 'a'", "guid is the identity"),
        ("INSERT INTO time_entries (guid, minutes) VALUES (x'00', 1)", "guid must be a UUID"),
        ("REPLACE INTO time_entries (guid, minutes) VALUES ('\u00e9', 1)", "guid must be a UUID"),
        ("INSERT INTO time_entries (item_guid) VALUES (x'74')", "item_guid must be the guid"),
    ],
)
def test_what_an_entry_can_not_become(known: Person, statement: str, reason: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=reason):
        known.run(statement)
    assert totals(known) == {"t": 90, "n": 10, "p": None}
    assert known.log() == []


# The items


def test_a_total_that_someone_writes_is_an_edit(known: Person) -> None:
    known.run("UPDATE tasks SET time_spent_minutes = 500")
    assert known.log() == [updated("t", {"time_spent_minutes": 90}, {"time_spent_minutes": 500})]
    known.run("INSERT INTO time_entries (guid, item_guid, minutes) VALUES ('d', 't', 5)")
    known.run("UPDATE tasks SET title = 'x', time_spent_minutes = 95")
    assert known.log() == [
        put_down("d", "t", 5),
        updated(
            "t",
            {"title": "T", "time_spent_minutes": 505},
            {"title": "x", "time_spent_minutes": 95},
        ),
    ]
    totals(known)


def test_what_peoples_own_triggers_do_to_the_item_is_seen(known: Person) -> None:
    """The total alone goes unlogged, not what else happens on its way."""
    known.run(
        "CREATE TRIGGER mine AFTER UPDATE OF time_spent_minutes ON tasks BEGIN"
        " UPDATE tasks SET starred = NEW.time_spent_minutes > 100 WHERE guid = NEW.guid;"
        " INSERT INTO notes (guid, title) VALUES ('log', NEW.time_spent_minutes); END"
    )
    known.run("INSERT INTO time_entries (guid, item_guid, minutes) VALUES ('d', 't', 20)")
    assert totals(known) == {"t": 110, "n": 10, "p": None, "log": None}
    assert sorted(known.log()) == sorted(
        [
            put_down("d", "t", 20),
            updated("t", {"starred": False}, {"starred": True}),
            inserted("log", title="110"),
        ]
    )


def test_a_trigger_of_peoples_own_that_forbids_it(known: Person) -> None:
    known.run(
        "CREATE TRIGGER mine BEFORE UPDATE ON tasks WHEN NEW.time_spent_minutes > 100 BEGIN"
        " SELECT RAISE(FAIL, 'too much'); END"
    )
    known.run("BEGIN")
    with pytest.raises(sqlite3.IntegrityError, match="too much"):
        known.run("INSERT OR FAIL INTO time_entries (item_guid, minutes) VALUES ('t', 20)")
    known.run("ROLLBACK")
    assert totals(known) == {"t": 90, "n": 10, "p": None}
    assert known.log() == []
    known.run("INSERT INTO time_entries (item_guid, minutes) VALUES ('t', 1)")
    assert totals(known) == {"t": 91, "n": 10, "p": None}


# The engine


def test_the_engine_keeps_the_sums_itself(known: Person, mirror: Mirror) -> None:
    row = {"guid": "d", "item_guid": "t", "minutes": 5, "source": "observed"}
    with mirror.writing() as connection:
        connection.execute(time_entries.insert().values(row))
        connection.execute(time_entries.update().values(item_guid="n", minutes=1))
        connection.execute(time_entries.delete().where(time_entries.c.guid == "a"))
        spent = (
            "SELECT time_spent_minutes FROM tasks UNION ALL SELECT time_spent_minutes FROM notes"
        )
        assert list(connection.exec_driver_sql(spent).scalars()) == [90, 10]
        connection.exec_driver_sql("UPDATE tasks SET time_spent_minutes = NULL")
        connection.exec_driver_sql("UPDATE notes SET time_spent_minutes = 3")
    assert totals(known) == {"t": None, "n": 3, "p": None}
    assert known.log() == []


# Any statements in any order


ENTRIES = st.sampled_from(["'a'", "'b'", "'c'"])
PLACES = st.sampled_from(["'t'", "'n'", "'p'", "'gone'", "NULL"])
MINUTES = st.sampled_from(["1", "10", "-100", "NULL", "'1000'", "'x'", "1.5", "x'31'", "1e18"])
CLAUSES = st.sampled_from(["", "OR REPLACE", "OR IGNORE", "OR FAIL", "OR ROLLBACK"])
UPSERTS = [
    " ON CONFLICT DO NOTHING",
    " ON CONFLICT (guid) DO UPDATE SET minutes = excluded.minutes",
    " ON CONFLICT (guid) DO UPDATE SET item_guid = excluded.item_guid",
]
OTHERS = ["SAVEPOINT s", "ROLLBACK TO s", "RELEASE s", "UPDATE tasks SET priority = priority + 1"]


@st.composite
def statements(draw: st.DrawFn) -> str:
    """One statement on one or more of three entries of three items, by guid or by rowid."""
    kind = draw(st.sampled_from(["insert", "insert", "upsert", "update", "delete", "other"]))
    if kind == "other":
        return draw(st.sampled_from(OTHERS))
    where = draw(st.sampled_from(["", f" WHERE guid = {draw(ENTRIES)}"]))
    if kind == "delete":
        return f"DELETE FROM time_entries{where}"
    clause = draw(CLAUSES)
    if kind == "update":
        target = draw(st.sampled_from(["minutes", "minutes", "minutes", "source", "item_guid"]))
        value = {"minutes": draw(MINUTES), "item_guid": draw(PLACES)}.get(target, "NULL")
        return f"UPDATE {clause} time_entries SET {target} = {value}{where}"
    rows = ", ".join(
        f"({draw(st.sampled_from(['NULL', 'NULL', '1', '2', '-1']))}, {draw(ENTRIES)},"
        f" {draw(PLACES)}, {draw(MINUTES)})"
        for _ in range(draw(st.integers(1, 3)))
    )
    clause, then = ("", draw(st.sampled_from(UPSERTS))) if kind == "upsert" else (clause, "")
    into = f"INSERT {clause} INTO time_entries (rowid, guid, item_guid, minutes)"
    return f"{into} VALUES {rows}{then}"


@pytest.fixture(scope="module")
def anyone(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """A client for many short lives, each rolled back."""
    path = shutil.copy(migrated, tmp_path_factory.mktemp("anyone") / "mirror.db")
    person = Person(Path(path))
    for table, guid in (("tasks", "t"), ("notes", "n"), ("projects", "p")):
        person.run(f"INSERT INTO {table} (guid, priority) VALUES (?, 0)", guid)
    person.run("DELETE FROM change_log")
    yield person
    person.close()


def play_back(log: list[Logged]) -> dict[str, dict[str, Any]]:
    """The entries that a log leads to."""
    found: dict[str, dict[str, Any]] = {}
    for change in log:
        if change.op == "delete":
            del found[change.guid]
        elif change.guid in ("a", "b", "c"):
            found[change.guid] = found.get(change.guid, {}) | (change.new or {})
    return found


def as_logged(cell: Any) -> Any:
    if isinstance(cell, bytes):
        return cell.hex().upper()
    return str(cell) if isinstance(cell, float) else cell


@pytest.mark.slow
@settings(max_examples=80, deadline=None)  # a busy machine is no error
@given(recursive=st.booleans(), script=st.lists(statements(), max_size=10))
def test_the_totals_are_the_sums_whatever_happens(
    anyone: Person, recursive: bool, script: list[str]
) -> None:
    anyone.run(f"PRAGMA recursive_triggers = {int(recursive)}")
    anyone.run("BEGIN")
    try:
        for statement in script:
            with suppress(sqlite3.IntegrityError, sqlite3.OperationalError):  # no such savepoint
                anyone.run(statement)
            totals(anyone)
            if not anyone.connection.in_transaction:
                anyone.run("BEGIN")
        edited = "SELECT DISTINCT j.key FROM change_log, json_each(new_values) AS j"
        columns = anyone.run(f"{edited} WHERE table_name <> 'time_entries'")
        assert columns in ([], [("priority",)])
        entries = anyone.run("SELECT guid, item_guid, minutes FROM time_entries")
        assert {guid: (item, as_logged(m)) for guid, item, m in entries} == {
            guid: (row.get("item_guid"), row.get("minutes"))
            for guid, row in play_back(anyone.log()).items()
        }
    finally:
        anyone.run("ROLLBACK")
        anyone._seen = 0
        assert totals(anyone) == {"t": None, "n": None, "p": None}


def test_a_day_before_all_others_is_none_that_can_be_sent() -> None:
    assert read_day("0044-03-15") == date(44, 3, 15)
    assert read_day("0044-03-15 BC") is None  # as PostgreSQL tells it
