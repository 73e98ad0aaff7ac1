"""Time that hiTask does not take, or that is no time: refused, and all else stands."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import pytest

from hisync.deciding.retrying import retry_changes
from hisync.errors import ServiceError
from hisync.items import MOST_MINUTES
from hisync.sandbox import Fault, endpoints_items
from hisync.sandbox.fields import form_values
from tests.engine import talk
from tests.engine.conftest import MakeWorld
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
    sync_in_the_dark,
    task,
)
from tests.world import World

BOTH = True


@pytest.mark.parametrize("statement", ["insert", "update", "delete"])
def test_a_service_that_takes_no_time_gets_none(new_world: MakeWorld, statement: str) -> None:
    world = new_world(items=5, traits=["time_spent_writable=false"])
    world.sync()
    number = task(world, spent=30)
    match statement:
        case "insert":
            world.sql(LOG, ENTRY, TASK, 45)
        case "update":
            world.sql("UPDATE time_entries SET minutes = 99 WHERE item_guid = ?", TASK)
        case _:
            world.sql("DELETE FROM time_entries WHERE item_guid = ?", TASK)
    world.sync()
    assert spent(world, number) == 30
    assert [e["minutes"] for e in entries(world)] == [30]
    (change,) = world.sql("SELECT state, error FROM change_log WHERE table_name = 'time_entries'")
    assert change["state"] == "rejected"
    sent = {"insert": 75, "update": 99, "delete": 0}[statement]
    assert change["error"] == (
        f"hiTask answered OK but kept 30 minutes and not {sent}: "
        "it takes no time spent from outside"
    )
    adds_up(world)
    if statement == "insert":
        kept = world.one("SELECT last_values FROM removed_rows WHERE row_guid = ?", ENTRY)
        assert '"minutes":45' in kept["last_values"].replace(" ", "")


def test_minutes_that_a_service_rounds_away_are_refused_for_that_reason(
    new_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = form_values

    def in_full_hours(form: Mapping[str, str]) -> dict[str, object]:
        whole = {key: str(round(float(form[key]))) for key in ("time_spent",) if key in form}
        return read({**form, **whole})

    monkeypatch.setattr(endpoints_items, "form_values", in_full_hours)
    world = new_world(items=5)
    monkeypatch.setattr(world.engine.api, "_time_unit", "hours")
    world.sync()
    number = task(world, spent=1)
    world.sql(LOG, ENTRY, TASK, 7)
    world.sync()
    assert spent(world, number) == 1
    assert [e["minutes"] for e in entries(world)] == [60]
    (change,) = world.sql("SELECT state, error FROM change_log WHERE table_name = 'time_entries'")
    reason = "kept 60 minutes and not 67: it rounds its hours, or takes no time spent from outside"
    assert change == {"state": "rejected", "error": f"hiTask answered OK but {reason}"}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (("'soon'", "NULL"), "minutes"),
        (("NULL", "NULL"), "minutes"),
        pytest.param(("1.5", "NULL"), "minutes", marks=pytest.mark.sqlite_only),
        pytest.param(("5", "'yesterday'"), "spent_on", marks=pytest.mark.sqlite_only),
        (("-50", "NULL"), "less than no time"),
    ],
)
def test_what_is_no_time_is_refused(world: World, values: tuple[str, str], reason: str) -> None:
    number = task(world, spent=30)
    minutes, day = values
    world.sql(
        "INSERT INTO time_entries (guid, item_guid, minutes, spent_on)"
        f" VALUES (?, ?, {minutes}, {day})",
        *(ENTRY, TASK),
    )
    world.service.reset_log()
    world.sync()
    assert world.writes() == []
    (change,) = world.sql("SELECT state, error FROM change_log WHERE table_name = 'time_entries'")
    assert change["state"] == "rejected"
    assert reason in change["error"]
    assert spent(world, number) == 30
    adds_up(world)


@pytest.mark.parametrize("wrong", [-500, MOST_MINUTES])
def test_an_entry_that_can_not_be_takes_no_other_with_it(world: World, wrong: int) -> None:
    number = task(world, spent=30)
    world.sql(LOG, ENTRY, TASK, wrong)
    for minutes in (20, -5):
        world.sql("INSERT INTO time_entries (item_guid, minutes) VALUES (?, ?)", TASK, minutes)
    world.sync()
    assert states(world) == [("insert", "rejected"), ("insert", "done"), ("insert", "done")]
    assert [e["minutes"] for e in entries(world)] == [-5, 20, 30]
    assert spent(world, number) == 45
    adds_up(world)


@pytest.mark.parametrize("theirs", [0, 10])
@pytest.mark.parametrize("many", [1, 2])
def test_more_time_than_there_is_is_refused(world: World, theirs: int, many: int) -> None:
    number = task(world, spent=30)
    for guid in (ENTRY, OTHER)[:many]:
        world.sql(LOG, guid, TASK, MOST_MINUTES)
    if theirs:
        colleague_adds(world, number, theirs)
    world.service.reset_log()
    for _ in range(3):
        world.sync()
    assert states(world) == [("insert", "rejected")] * many
    assert world.writes() == []
    assert spent(world, number) == 30 + theirs
    adds_up(world)


@pytest.mark.parametrize("theirs", [5 * MOST_MINUTES, "1 h 30"])
def test_a_total_that_is_no_time_is_neither_counted_nor_gone_over(
    world: World, theirs: object
) -> None:
    number = task(world, spent=30)
    colleague_adds(world, number, 10)
    world.service.model.item(number).put("time_spent", theirs)
    world.sync()
    world.sql(LOG, ENTRY, TASK, 45)
    world.sql("UPDATE tasks SET priority = 10000 WHERE guid = ?", TASK)
    world.sync()
    assert states(world) == [("insert", "rejected")]
    reason = f"time_spent = {theirs!r} of its item on hiTask can't be read"
    assert reason in world.one("SELECT error FROM change_log WHERE row_guid = ?", ENTRY)["error"]
    assert world.service.model.item(number).get("time_spent") == theirs
    assert [e["minutes"] for e in entries(world)] == [-30, 30]
    world.service.model.item(number).put("time_spent", "")
    colleague_adds(world, number, 10)
    world.service.model.item(number).put("time_spent", "")
    world.sync()
    world.sql(LOG, ENTRY, TASK, 45)
    world.sync()
    assert spent(world, number) == 45
    adds_up(world)


def test_a_refused_edit_leaves_a_column_of_ones_own_alone(world: World) -> None:
    task(world)
    world.sql("ALTER TABLE time_entries ADD COLUMN invoice TEXT")
    world.sql(LOG, ENTRY, TASK, 45)
    world.sync()
    world.sql("UPDATE time_entries SET invoice = 'R-1' WHERE guid = ?", ENTRY)
    world.sql("UPDATE time_entries SET minutes = -1 WHERE guid = ?", ENTRY)
    world.sync()
    assert states(world) == [("insert", "done"), ("update", "rejected")]
    row = world.one("SELECT minutes, invoice FROM time_entries WHERE guid = ?", ENTRY)
    assert row == {"minutes": 45, "invoice": "R-1"}
    adds_up(world)


def test_an_entry_without_an_item_is_refused(world: World) -> None:
    world.sql(LOG, ENTRY, OTHER, 45)
    world.sync()
    assert states(world) == [("insert", "rejected")]
    assert not world.sql("SELECT 1 FROM time_entries WHERE guid = ?", ENTRY)
    adds_up(world)


def test_a_new_row_is_done_though_the_time_on_it_is_refused(world: World) -> None:
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'task')", TASK)
    world.sql(LOG, ENTRY, TASK, 45)
    world.service.faults.add(Fault("status", "PUT", "/item/*", status=400, code=25))
    world.sync()
    assert world.sql("SELECT op, state FROM change_log WHERE table_name = 'tasks'") == [
        {"op": "insert", "state": "done"}
    ]
    assert states(world) == [("insert", "rejected")]
    adds_up(world)


def test_a_total_written_directly_is_refused_and_put_back(world: World) -> None:
    number = task(world, spent=30)
    world.sql("UPDATE tasks SET time_spent_minutes = 999 WHERE guid = ?", TASK)
    world.sql(LOG, ENTRY, TASK, 45)
    world.sync()
    assert spent(world, number) == 75
    assert world.one("SELECT time_spent_minutes AS t FROM tasks WHERE guid = ?", TASK)["t"] == 75
    row = world.one(
        "SELECT state, error FROM change_log WHERE table_name = 'tasks' AND op = 'update'"
    )
    assert row["state"] == "rejected"
    assert "time_entries" in row["error"]
    adds_up(world)


@pytest.mark.parametrize("lost", ["", "drop_before", "drop_after"])
def test_switched_off_a_refused_entry_is_taken_back_once(new_world: MakeWorld, lost: str) -> None:
    world = new_world(items=5, rules={"time_entries": bool(lost)})
    world.sync()
    number = task(world, spent=30)
    world.sql(LOG, ENTRY, TASK, 45)
    if lost:
        sync_in_the_dark(world, "send_update", f"PUT /item/*:{lost}:1")
        world.change_rules(time_entries=False)
    model = world.service.model
    model.update(number, user=model.user("ann@example.com"), title="theirs")
    for _ in range(2):
        world.sync()
    arrived = lost == "drop_after"
    assert states(world) == [("insert", "done" if arrived else "rejected")]
    total = world.one("SELECT time_spent_minutes AS t FROM tasks WHERE guid = ?", TASK)["t"]
    assert total == spent(world, number) == (75 if arrived else 30)


def test_a_refused_edit_of_the_item_leaves_waiting_minutes_alone(world: World) -> None:
    number = task(world, spent=30)
    world.sql("UPDATE tasks SET title = 'refused' WHERE guid = ?", TASK)
    world.sql(LOG, ENTRY, TASK, 45)
    world.service.faults.add(Fault("status", "PUT", "/item/*", status=403, code=17, count=1))
    world.sync()
    world.sync()
    assert spent(world, number) == 75
    assert states(world) == [("insert", "done")]
    assert world.one("SELECT title FROM tasks WHERE guid = ?", TASK) == {"title": "task"}
    adds_up(world)


def test_refused_minutes_leave_an_archiving_alone(world: World) -> None:
    task(world, spent=30)
    world.sql(LOG, ENTRY, TASK, 45)
    world.sql("UPDATE tasks SET archived = true WHERE guid = ?", TASK)
    world.service.faults.add(Fault("status", "PUT", "/item/*", status=403, code=17, count=1))
    for _ in range(2):
        world.sync()
    assert states(world) == [("insert", "rejected")]
    assert world.sql("SELECT 1 FROM tasks WHERE guid = ?", TASK) == []
    assert world.changes()[-1] == ("update", "done")
    assert [e["minutes"] for e in entries(world)] == [30]
    adds_up(world)


@pytest.mark.parametrize("meanwhile", ["more", "deleted"])
def test_refused_minutes_leave_alone_what_came_meanwhile(world: World, meanwhile: str) -> None:
    task(world, spent=30)
    world.sql("UPDATE tasks SET archived = true WHERE guid = ?", TASK)
    world.sql(LOG, ENTRY, TASK, 45)
    faults = world.service.faults
    faults.add(Fault("status", "PUT", "/item/*", status=403, code=17, count=1))

    def edit() -> None:
        if meanwhile == "more":
            world.sql(LOG, OTHER, TASK, 5)
            return
        world.sql("DELETE FROM tasks WHERE guid = ?", TASK)
        faults.add("DELETE /item/*:status=503:1")
        faults.add("GET /item/delta/*:status=503:1")

    talk.at_request(world, "send_update", edit)
    for _ in range(3):
        with suppress(ServiceError):
            world.sync(full=True)
    assert world.sql("SELECT 1 FROM tasks WHERE guid = ?", TASK) == []
    assert [state for _, state in states(world)] == ["rejected", "done"][: len(states(world))]
    assert (
        world.sql("SELECT 1 FROM change_log WHERE table_name = 'tasks' AND state = 'rejected'")
        == []
    )
    assert world.sql("SELECT 1 FROM conflicts") == []
    adds_up(world)


def test_minutes_without_permission_are_refused_though_they_come_while_others_are_sent(
    world: World,
) -> None:
    task(world)
    (row, *_) = world.sql("SELECT guid, id FROM tasks WHERE permission < 50")
    world.sql("UPDATE tasks SET title = 'new' WHERE guid = ?", TASK)
    world.sql("UPDATE tasks SET starred = NOT starred WHERE guid = ?", row["guid"])
    talk.at_request(world, "send_update", lambda: world.sql(LOG, ENTRY, row["guid"], 45))
    for _ in range(2):
        world.sync()
    assert states(world) == [("insert", "rejected")]
    assert world.sql("SELECT 1 FROM time_entries WHERE guid = ?", ENTRY) == []
    adds_up(world)


def test_a_refused_replace_is_not_tried_again_as_if_it_waited(world: World) -> None:
    number = task(world)
    world.sql(LOG, ENTRY, TASK, 45)
    world.sync()
    with world.client() as client:
        client.execute("BEGIN")
        client.execute("DELETE FROM time_entries WHERE guid = ?", (ENTRY,))
        client.execute(LOG, (ENTRY, TASK, 60))
        client.execute("COMMIT")
    world.service.faults.add(Fault("status", "PUT", "/item/*", status=403, code=17, count=1))
    world.sync()
    mirror, now = world.engine.mirror, world.time.utc()
    newest = world.one("SELECT max(seq) AS seq FROM change_log")["seq"]
    assert not retry_changes(mirror, [newest], now)[0].done
    world.sync()
    assert states(world)[1:] == [("delete", "rejected"), ("insert", "rejected")]
    retry_changes(mirror, None, now)  # all of it, the deletion first
    world.sync()
    assert spent(world, number) == 60
    adds_up(world)
