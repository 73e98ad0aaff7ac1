"""Time both ways: for every item its entries add up to its total, whatever happens."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hisync.deciding.discarding import discard_changes
from hisync.deciding.retrying import retry_changes
from hisync.mirror import state
from hisync.sandbox import LOGIN, Fault
from hisync.timekeeping.ledger import day_of
from hisync.verifying.verify import verify
from tests.engine import talk
from tests.engine.minutes import (
    ENTRY,
    LOG,
    OTHER,
    TASK,
    adds_up,
    colleague_adds,
    entries,
    spent,
    states,
    task,
)
from tests.world import World

BOTH = True


def test_what_was_there_is_an_observed_entry(world: World) -> None:
    adds_up(world)
    assert world.one("SELECT count(*) AS n FROM time_entries WHERE source = 'observed'")["n"] > 0
    assert not world.sql("SELECT 1 FROM time_entries WHERE source <> 'observed'")


def test_time_seen_on_hitask_becomes_an_entry(world: World) -> None:
    number = task(world)
    colleague_adds(world, number, 30)
    world.sync()
    assert [(e["minutes"], e["source"]) for e in entries(world)] == [(30, "observed")]
    colleague_adds(world, number, -10)
    world.sync()
    assert [e["minutes"] for e in entries(world)] == [-10, 30]
    adds_up(world)


def test_an_entry_written_here_is_added_there(world: World) -> None:
    number = task(world, spent=30)
    world.sql(LOG, ENTRY, TASK, 45)
    assert world.one("SELECT time_spent_minutes AS t FROM tasks WHERE guid = ?", TASK)["t"] == 75
    world.service.reset_log()
    assert world.sync().pushed == 1
    assert world.writes() == [f"PUT /item/{number}"]
    assert spent(world, number) == 75
    me = world.service.model.user(LOGIN).id
    assert entries(world)[1] == {
        "minutes": 45,
        "source": "local",
        "user_id": me,
        "spent_on": entries(world)[1]["spent_on"],
    }
    assert entries(world)[1]["spent_on"] is not None
    assert states(world) == [("insert", "done")]
    adds_up(world)
    world.service.reset_log()
    assert world.sync().pulled == 0
    assert world.writes() == []


def test_changes_and_deletions_send_the_difference(world: World) -> None:
    number = task(world)
    world.sql(LOG, ENTRY, TASK, 45)
    world.sync()
    world.sql("UPDATE time_entries SET minutes = 60 WHERE guid = ?", ENTRY)
    world.sync()
    assert spent(world, number) == 60
    world.sql("DELETE FROM time_entries WHERE guid = ?", ENTRY)
    world.sync()
    assert spent(world, number) == 0
    assert states(world) == [("insert", "done"), ("update", "done"), ("delete", "done")]
    adds_up(world)


def test_what_both_sides_add_adds_up(world: World) -> None:
    number = task(world)
    world.sql(LOG, ENTRY, TASK, 45)
    colleague_adds(world, number, 30)
    world.sync()
    assert spent(world, number) == 75
    assert [e["minutes"] for e in entries(world)] == [30, 45]
    assert world.sql("SELECT 1 FROM conflicts") == []
    adds_up(world)


def test_what_needs_no_request_makes_none(world: World) -> None:
    task(world, spent=30)
    world.sql(LOG, ENTRY, TASK, 45)
    world.sql("DELETE FROM time_entries WHERE guid = ?", ENTRY)
    world.sql(LOG, OTHER, TASK, 20)
    world.sql(
        "UPDATE time_entries SET minutes = 10 WHERE source = 'observed' AND item_guid = ?", TASK
    )
    world.service.reset_log()
    world.sync()
    assert world.writes() == []
    assert {state for _, state in states(world)} <= {"merged", "done"}
    world.sql(
        "UPDATE time_entries SET note = 'other', spent_on = '2026-01-02' WHERE guid = ?", OTHER
    )
    world.sync()
    assert world.writes() == []
    assert states(world)[-1] == ("update", "done")
    adds_up(world)


def test_time_that_waits_is_no_difference(world: World) -> None:
    task(world, spent=30)
    world.sql(LOG, ENTRY, TASK, 45)
    for _ in range(2):  # before and after it is folded into the base
        found = verify(world.engine)
        assert (found.differences, found.waiting) == (0, {"pending": 1})
        world.sync(pull_only=True)


@pytest.mark.sqlite_only
@pytest.mark.parametrize("written", ["20260212", "2026-02-12T10:00"])
def test_a_day_that_is_changed_is_a_day_whatever_its_form(world: World, written: str) -> None:
    task(world, spent=30)
    world.sql("UPDATE time_entries SET spent_on = ? WHERE item_guid = ?", written, TASK)
    world.sync()
    assert states(world) == [("update", "done")]
    assert entries(world)[0]["spent_on"] == "2026-02-12"
    query = "SELECT day FROM time_by_day WHERE item_guid = ?"
    assert world.one(query, TASK) == {"day": "2026-02-12"}


def test_an_entry_of_a_task_that_is_new_itself_waits_for_it(world: World) -> None:
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'task')", TASK)
    world.sql(LOG, ENTRY, TASK, 45)
    world.sync()
    number = world.one("SELECT id FROM tasks WHERE guid = ?", TASK)["id"]
    assert spent(world, number) == 45
    assert states(world) == [("insert", "done")]
    adds_up(world)


def test_a_row_moved_with_its_total_is_done(world: World) -> None:
    task(world)
    world.sql(LOG, ENTRY, TASK, 45)
    world.sync()
    with world.client() as client:
        client.execute("BEGIN")
        client.execute(
            "INSERT INTO notes (guid, title, time_spent_minutes)"
            f" SELECT guid, title, time_spent_minutes FROM tasks WHERE guid = '{TASK}'"
        )
        client.execute(f"DELETE FROM tasks WHERE guid = '{TASK}'")
        client.execute("COMMIT")
    world.sync()
    number = int(world.one("SELECT id FROM notes WHERE guid = ?", TASK)["id"])
    assert spent(world, number) == 45
    assert world.sql("SELECT state FROM change_log WHERE table_name = 'notes'") == [
        {"state": "done"}
    ]
    adds_up(world)


@pytest.mark.parametrize("theirs", ["title", "time_spent"])
@pytest.mark.parametrize("minutes", [999, 0])
def test_a_total_written_over_is_nobodys_time_whatever_comes_meanwhile(
    world: World, minutes: int, theirs: str
) -> None:
    number = task(world, spent=30)
    world.sql("UPDATE tasks SET time_spent_minutes = ? WHERE guid = ?", minutes, TASK)
    world.sql(LOG, ENTRY, TASK, 45)
    colleague = world.service.model.user("tariq@example.com")
    value: Any = {"title": "theirs", "time_spent": 40}[theirs]
    world.service.model.update(number, user=colleague, **{theirs: value})
    for _ in range(2):
        world.sync()
    assert spent(world, number) == {"title": 75, "time_spent": 85}[theirs]
    assert len(entries(world)) == {"title": 2, "time_spent": 3}[theirs]
    adds_up(world)


@pytest.mark.parametrize("total", [0, None])
def test_a_total_that_says_nothing_comes_back_as_it_was(world: World, total: int | None) -> None:
    number = task(world)
    world.sql("DELETE FROM tasks WHERE guid = ?", TASK)
    model = world.service.model
    model.update(number, user=model.user("ann@example.com"), title="kept", time_spent=total)
    world.sync()
    assert world.one("SELECT time_spent_minutes AS t FROM tasks WHERE guid = ?", TASK)["t"] == total


def test_a_replace_keeps_the_sum(world: World) -> None:
    number = task(world)
    world.sql(LOG, ENTRY, TASK, 45)
    world.sync()
    world.sql(
        "INSERT OR REPLACE INTO time_entries (guid, item_guid, minutes) VALUES (?, ?, 60)",
        *(ENTRY, TASK),
    )
    adds_up_here = world.one("SELECT time_spent_minutes AS t FROM tasks WHERE guid = ?", TASK)["t"]
    assert adds_up_here == 60
    world.sync()
    assert spent(world, number) == 60
    adds_up(world)
    world.sql("INSERT OR REPLACE INTO tasks (guid, title) VALUES (?, 'replaced')", TASK)
    world.sync()
    assert spent(world, number) == 60
    adds_up(world)


@pytest.mark.parametrize("minutes", [30, 45])
@pytest.mark.parametrize("refused", ["", "from", "to", "on its way"])
def test_an_entry_that_is_put_in_anew_on_another_item_is_two(
    world: World, minutes: int, refused: str
) -> None:
    there = "00000000-0000-4000-8000-00000000000b"
    first = task(world)
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'another')", there)
    world.sync()
    second = int(world.one("SELECT id FROM tasks WHERE guid = ?", there)["id"])

    def move() -> None:
        with world.client() as client:
            client.execute("BEGIN")
            client.execute("DELETE FROM time_entries WHERE guid = ?", (ENTRY,))
            client.execute(LOG, (ENTRY, there, minutes))
            client.execute("COMMIT")

    world.sql(LOG, ENTRY, TASK, 30)
    if refused == "on its way":
        talk.at_request(world, "send_update", move)
    else:
        world.sync()
        move()
    faulty = {"from": first, "to": second, "on its way": first}.get(refused)
    if faulty is not None:
        fault = Fault("status", "PUT", f"/item/{faulty}", status=403, code=17, count=1)
        world.service.faults.add(fault)
    for _ in range(3):
        world.sync()
    adds_up(world)
    totals = {"": (0, minutes), "from": (30, minutes), "to": (0, 0), "on its way": (0, minutes)}
    assert (spent(world, first), spent(world, second)) == totals[refused]
    ends = {"": ["done"] * 3, "from": ["done", "rejected", "done"], "to": ["done"] * 2}
    ends["to"] += ["rejected"]
    ends["on its way"] = ["rejected"] * 2 + ["done"]
    assert [state for _, state in states(world)] == ends[refused]
    world.service.reset_log()
    world.sync(full=True)
    assert world.writes() == []


@pytest.mark.parametrize("what", ["delete", "total", "title"])
def test_a_change_taken_back_leaves_waiting_minutes_alone(world: World, what: str) -> None:
    number = task(world, spent=30)
    world.sql(LOG, ENTRY, TASK, 45)
    if what == "delete":
        world.sql("DELETE FROM tasks WHERE guid = ?", TASK)
    else:
        world.sql("UPDATE tasks SET time_spent_minutes = 30 WHERE guid = ?", TASK)
        if what == "title":
            world.sql("UPDATE tasks SET title = 'other' WHERE guid = ?", TASK)
    newest = world.one("SELECT max(seq) AS seq FROM change_log")["seq"]
    discard_changes(world.engine.mirror, [newest], world.time.utc())
    if what != "title":
        adds_up(world)
    for _ in range(2):
        world.sync()
    assert spent(world, number) == 75
    assert states(world) == [("insert", "done")]
    adds_up(world)


def test_an_entry_that_is_tried_again_keeps_its_day(world: World) -> None:
    number = task(world)
    world.sql(LOG, ENTRY, TASK, 45)
    world.sql(
        "UPDATE change_log SET changed_at = '2026-03-01 12:00:00.000000' WHERE row_guid = ?", ENTRY
    )
    world.service.faults.add(Fault("status", "PUT", "/item/*", status=400, code=25, count=1))
    world.sync()
    assert entries(world) == []
    retry_changes(world.engine.mirror, None, datetime(2026, 3, 3))
    world.sync()
    assert spent(world, number) == 45
    assert str(entries(world)[0]["spent_on"])[:10] == "2026-03-01"
    adds_up(world)


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("moment", "zone"),
    [(datetime(1, 1, 1), "America/New_York"), (datetime(9999, 12, 31, 23), "Asia/Tokyo")],
)
def test_the_ends_of_the_calendar_are_days(world: World, moment: datetime, zone: str) -> None:
    """Some services write the first of all dates for none."""
    world.change_rules(zone=ZoneInfo(zone))
    with world.engine.mirror.reading() as connection:
        memory = state.load(connection)
    assert day_of(world.engine, memory, moment) == moment.date()


@pytest.mark.sqlite_only
@pytest.mark.parametrize("written", ["'soon'", "x'ff'"])
def test_time_is_seen_on_an_item_whose_date_can_not_be_read(world: World, written: str) -> None:
    number = task(world, spent=30)
    world.sql(f"UPDATE tasks SET time_last_update = {written} WHERE guid = ?", TASK)
    colleague_adds(world, number, 10)
    world.sync()
    assert [e["minutes"] for e in entries(world)] == [10, 30]
    assert "read-only" in world.one("SELECT error FROM change_log WHERE op = 'update'")["error"]
    adds_up(world)


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("cells", "said", "kept"),
    [
        ("minutes, note) VALUES (?, ?, x'05', 'n'", "minutes = b'\\x05'", ("minutes", "05")),
        ("minutes, user_id) VALUES (?, ?, 5, 'abc'", "user_id = 'abc'", ("user_id", "abc")),
        ("minutes, note) VALUES (?, ?, NULL, x'ff00'", "minutes = None", ("note", "FF00")),
        ("minutes, spent_on) VALUES (?, ?, 5, x'ff'", "spent_on = b'\\xff'", ("spent_on", "FF")),
        (
            "minutes, note) VALUES (?, ?, 'x', CAST(x'61ff' AS TEXT)",
            "minutes = 'x'",
            ("note", "a\\udcff"),
        ),
    ],
)
def test_bytes_in_an_entry_stop_nothing_else(
    world: World, cells: str, said: str, kept: tuple[str, str]
) -> None:
    number = task(world)
    world.sql(f"INSERT INTO time_entries (guid, item_guid, {cells})", ENTRY, TASK)
    world.sql(LOG, OTHER, TASK, 20)
    world.sync()
    assert spent(world, number) == 20
    assert states(world) == [("insert", "rejected"), ("insert", "done")]
    error = world.one("SELECT error FROM change_log WHERE row_guid = ?", ENTRY)["error"]
    assert said in error
    left = world.one("SELECT last_values FROM removed_rows WHERE row_guid = ?", ENTRY)
    column, text = kept
    assert json.loads(left["last_values"])[column] == text
    adds_up(world)


@pytest.mark.sqlite_only
@pytest.mark.parametrize("note", ["x'ff00'", "CAST(x'61ff' AS TEXT)"])
@pytest.mark.parametrize("posted", [False, True])
def test_a_note_that_is_no_text_stops_nothing(world: World, note: str, *, posted: bool) -> None:
    number = task(world)
    world.engine.rules = replace(world.engine.rules, time_entry_comments=posted)
    world.sql(
        f"INSERT INTO time_entries (guid, item_guid, minutes, note) VALUES (?, ?, 5, {note})",
        ENTRY,
        TASK,
    )
    world.sync()
    assert (spent(world, number), states(world)) == (5, [("insert", "done")])
    world.sql("UPDATE time_entries SET minutes = 'x' WHERE guid = ?", ENTRY)
    world.sql(LOG, OTHER, TASK, 20)
    world.sync()
    assert spent(world, number) == 25
    assert states(world)[1:] == [("update", "rejected"), ("insert", "done")]
    kept = world.one(f"SELECT note = {note} AS same FROM time_entries WHERE guid = ?", ENTRY)
    assert kept["same"]
    adds_up(world)


@pytest.mark.parametrize("minutes", [45, 0])
def test_what_a_new_entry_can_not_say_of_itself_is_named(world: World, minutes: int) -> None:
    task(world)
    no_date = "infinity" if world.backend == "postgresql" else "soon"
    written = {ENTRY: ("observed", no_date), OTHER: ("local", "2020-01-01 10:00")}
    for guid, (source, at) in written.items():
        world.sql(
            "INSERT INTO time_entries (guid, item_guid, minutes, source, time_create)"
            " VALUES (?, ?, ?, ?, ?)",
            *(guid, TASK, minutes, source, at),
        )
    world.sync()
    query = (
        "SELECT source, CAST(time_create AS TEXT) AS at, state, error FROM time_entries"
        " JOIN change_log ON row_guid = guid WHERE guid = ?"
    )
    wrong, right = world.one(query, ENTRY), world.one(query, OTHER)
    # Of several that one total carries, each has a note of its own.
    assert (wrong["source"], wrong["state"]) == ("local", "done")
    assert re.match(r"20\d\d-\d\d-\d\d \d\d:", wrong["at"])
    assert wrong["error"].startswith(
        "source is read-only: only hisync sets it; "
        f"time_create = '{no_date}' can't be read: give YYYY-MM-DD"
    )
    assert right["at"].startswith("2020-01-01 10:00")
    assert (right["source"], right["state"], right["error"]) == ("local", "done", None)
    adds_up(world)
