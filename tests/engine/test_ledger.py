"""Time both ways: for every item its entries add up to its total, whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from hisync.deciding.discarding import discard_changes
from hisync.deciding.restore import restore
from hisync.deciding.retrying import retry_changes
from hisync.errors import ServiceError
from hisync.items import MOST_MINUTES
from hisync.plan.actions import Policy
from hisync.sandbox import LOGIN, Fault
from hisync.verifying.repair import repair
from tests.engine import talk
from tests.engine.conftest import MakeWorld
from tests.world import World

BOTH = True

ENTRY = "00000000-0000-4000-8000-0000000000e1"
OTHER = "00000000-0000-4000-8000-0000000000e2"
TASK = "00000000-0000-4000-8000-00000000000a"
LOG = "INSERT INTO time_entries (guid, item_guid, minutes, note) VALUES (?, ?, ?, 'a note')"
TABLES = ("projects", "tasks", "events", "notes", "files", "other_items")


def sync_in_the_dark(world: World, send: str, fault: str) -> None:
    """A cycle whose write loses its answer, as `fault` says.

    The pull that would look it up fails as well, so that others get in between.
    """
    faults = world.service.faults
    faults.add(fault)
    talk.at_request(world, send, lambda: faults.add("GET /item/delta/*:status=503:1"))
    with suppress(ServiceError):
        world.sync()


def adds_up(world: World) -> None:
    """The invariant, item by item, and hiTask's totals where nothing waits."""
    sums = {
        row["item_guid"]: row["minutes"]
        for row in world.sql(
            "SELECT item_guid, sum(minutes) AS minutes FROM time_entries GROUP BY 1"
        )
    }
    waits = world.sql("SELECT 1 FROM change_log WHERE finished_at IS NULL")
    for table in TABLES:
        for row in world.sql(f"SELECT guid, id, time_spent_minutes FROM {table}"):
            assert (row["time_spent_minutes"] or 0) == sums.get(row["guid"], 0), row
            if row["id"] is not None and not waits:
                spent = world.service.model.item(row["id"]).get("time_spent") or 0
                assert spent == (row["time_spent_minutes"] or 0)


def task(world: World, spent: int = 0) -> int:
    """A task of ours with that much time on it; its number."""
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'task')", TASK)
    world.sync()
    number = int(world.one("SELECT id FROM tasks WHERE guid = ?", TASK)["id"])
    if spent:
        colleague_adds(world, number, spent)
        world.sync()
    return number


def spent(world: World, number: int) -> int:
    total: Any = world.service.model.item(number).get("time_spent")
    return int(total or 0)


def colleague_adds(world: World, number: int, minutes: int) -> None:
    model = world.service.model
    total = spent(world, number) + minutes
    model.update(number, user=model.user("ann@example.com"), time_spent=total)


def entries(world: World) -> list[dict[str, Any]]:
    return world.sql(
        "SELECT minutes, source, user_id, spent_on FROM time_entries WHERE item_guid = ?"
        " ORDER BY minutes",
        TASK,
    )


def states(world: World) -> list[tuple[str, str]]:
    rows = world.sql("SELECT op, state FROM change_log WHERE table_name = 'time_entries'")
    return [(row["op"], row["state"]) for row in rows]


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


def test_an_entry_of_a_task_that_is_new_itself_waits_for_it(world: World) -> None:
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'task')", TASK)
    world.sql(LOG, ENTRY, TASK, 45)
    world.sync()
    number = world.one("SELECT id FROM tasks WHERE guid = ?", TASK)["id"]
    assert spent(world, number) == 45
    assert states(world) == [("insert", "done")]
    adds_up(world)


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
    assert "takes no time" in change["error"]
    adds_up(world)
    if statement == "insert":
        kept = world.one("SELECT last_values FROM removed_rows WHERE row_guid = ?", ENTRY)
        assert '"minutes":45' in kept["last_values"].replace(" ", "")


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


def test_an_entry_taken_out_while_its_total_is_looked_up_is_sent_and_taken_back(
    world: World,
) -> None:
    number = task(world)
    other = "00000000-0000-4000-8000-00000000000b"
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'another')", other)
    world.sync()
    world.sql(LOG, ENTRY, TASK, 45)
    world.sql(LOG, OTHER, other, 45)  # goes well, so that the push has another round
    world.service.faults.add(f"PUT /item/{number}:drop_after:1")
    take_out = "DELETE FROM time_entries WHERE guid = ?"
    talk.at_request(world, "send_update", lambda: world.sql(take_out, ENTRY))
    world.sync()
    world.sync()
    assert spent(world, number) == 0
    assert sorted(states(world)) == [("delete", "done"), ("insert", "done"), ("insert", "done")]
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


@pytest.mark.parametrize("effect", ["drop_after", "drop_before"])
@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("UPDATE tasks SET time_spent_minutes = 99 WHERE guid = ?", id="update"),
        pytest.param(
            "INSERT OR REPLACE INTO tasks (guid, title, time_spent_minutes) VALUES (?, 'task', 3)",
            id="replace",
            marks=pytest.mark.sqlite_only,
        ),
    ],
)
def test_a_total_written_over_while_a_create_is_looked_up_is_nobodys_time(
    new_world: MakeWorld, effect: str, statement: str
) -> None:
    world = new_world(items=5)
    world.sync()
    world.sql("INSERT INTO tasks (guid, title, time_spent_minutes) VALUES (?, 'task', 7)", TASK)
    world.sql(LOG, ENTRY, TASK, 45)
    sync_in_the_dark(world, "send_create", f"POST /item:{effect}:1")
    world.sql(statement, TASK)
    for _ in range(3):
        world.sync()
    number = world.one("SELECT id FROM tasks WHERE guid = ?", TASK)["id"]
    assert spent(world, number) == 45
    assert [entry["minutes"] for entry in entries(world)] == [45]
    adds_up(world)


@pytest.mark.parametrize("effect", ["drop_after", "drop_before", "status=500", "cut"])
@pytest.mark.parametrize("theirs", [0, 30])
@pytest.mark.parametrize("history", ["history_wrapped=false", "free_history=true"])
def test_a_lost_answer_neither_loses_nor_doubles_minutes(
    new_world: MakeWorld, effect: str, theirs: int, history: str
) -> None:
    world = new_world(items=5, traits=[history])
    world.sync()
    number = task(world, spent=15)
    world.sql(LOG, ENTRY, TASK, 45)
    world.service.faults.add(f"PUT /item/*:{effect}:1")
    if theirs:
        # The pull that would look the answer up fails, so that a colleague gets in between.
        trouble = "GET /item/delta/*:status=503:1"
        talk.at_request(world, "send_update", lambda: world.service.faults.add(trouble))
    with suppress(ServiceError):  # the cycle may end in the trouble
        world.sync()
    if theirs:
        colleague_adds(world, number, theirs)
    for _ in range(3):
        world.sync()
    assert spent(world, number) == 60 + theirs
    assert states(world) == [("insert", "done")]
    adds_up(world)


@pytest.mark.parametrize("effect", ["drop_after", "drop_before"])
@pytest.mark.parametrize(
    "theirs", [(10, 20), (10, -10), (0, 10), (10, 0)], ids=lambda those: str(those)
)
def test_what_others_wrote_after_a_lost_answer_counts_once(
    new_world: MakeWorld, effect: str, theirs: tuple[int, int]
) -> None:
    world = new_world(items=5)
    world.sync()
    number = task(world, spent=15)
    world.sql(LOG, ENTRY, TASK, 45)
    sync_in_the_dark(world, "send_update", f"PUT /item/*:{effect}:1")
    assert states(world) == [("insert", "unknown")]
    model = world.service.model
    colleague = model.user("tariq@example.com")
    for minutes in theirs:
        changes: dict[str, Any] = (
            {"time_spent": spent(world, number) + minutes} if minutes else {"priority": 30000}
        )
        model.update(number, user=colleague, **changes)
    after = spent(world, number)
    for _ in range(3):
        world.sync()
    assert spent(world, number) == after + (45 if effect == "drop_before" else 0)
    assert states(world) == [("insert", "done")]
    adds_up(world)


@pytest.mark.parametrize("effect", ["drop_after", "drop_before"])
@pytest.mark.parametrize("pause", [0, 120])
def test_minutes_that_others_took_back_after_a_lost_answer_are_not_sent_again(
    new_world: MakeWorld, effect: str, pause: float
) -> None:
    world = new_world(items=5)
    world.sync()
    number = task(world, spent=15)
    world.time.sleep(120)
    world.sql(LOG, ENTRY, TASK, 45)
    sync_in_the_dark(world, "send_update", f"PUT /item/*:{effect}:1")
    world.time.sleep(pause)
    if effect == "drop_after":
        colleague_adds(world, number, -45)
    else:
        colleague_adds(world, number, 5)
        colleague_adds(world, number, -5)
    for _ in range(3):
        world.sync()
    assert spent(world, number) == (15 if effect == "drop_after" else 60)
    assert states(world) == [("insert", "done")]
    adds_up(world)


@pytest.mark.parametrize("effect", ["drop_after", "drop_before"])
@pytest.mark.parametrize("wrong", [0, 600, -3600])
def test_a_wrong_clock_does_not_mistake_what_became_of_a_total(
    new_world: MakeWorld, effect: str, wrong: float
) -> None:
    world = new_world(items=5)
    world.sync()
    number = task(world, spent=15)
    world.sql(LOG, ENTRY, TASK, 45)  # the same total once before
    world.sync()
    world.sql("DELETE FROM time_entries WHERE guid = ?", ENTRY)
    world.sync()
    world.time.sleep(300)
    world.time.set_by(wrong)
    model = world.service.model
    model.clock = lambda: datetime.fromtimestamp(world.time() - world.time.wrong, UTC)
    world.sync()
    world.sql(LOG, OTHER, TASK, 45)
    sync_in_the_dark(world, "send_update", f"PUT /item/*:{effect}:1")
    assert states(world)[-1] == ("insert", "unknown")
    colleague = model.user("tariq@example.com")
    model.update(number, user=colleague, priority=30000)
    model.update(number, user=colleague, time_spent=spent(world, number) + 10)
    for _ in range(3):
        world.sync()
    assert spent(world, number) == 70
    adds_up(world)


def test_minutes_that_went_with_the_last_of_ours_are_added_again(world: World) -> None:
    number = task(world)
    world.sql(LOG, ENTRY, TASK, 45)
    world.sync()
    world.sync()
    world.sql("DELETE FROM time_entries WHERE guid = ?", ENTRY)
    hook(world, number, 30)
    world.sync()
    world.sync()
    assert spent(world, number) == 30
    adds_up(world)


def test_minutes_that_our_write_went_over_are_added_again(world: World) -> None:
    number = task(world, spent=15)
    world.sql(LOG, ENTRY, TASK, 45)
    hook(world, number, 30)
    world.sync()
    world.sync()
    assert spent(world, number) == 90
    assert sorted(e["minutes"] for e in entries(world)) == [15, 30, 45]
    adds_up(world)


def test_minutes_to_be_added_again_that_are_refused_are_not_asked_for_for_ever(
    world: World,
) -> None:
    number = task(world, spent=15)
    world.sql(LOG, ENTRY, TASK, 45)
    hook(world, number, 30)
    refusing = Fault("status", "PUT", "/item/*", nth=2, status=400, code=25, count=9)
    world.service.faults.add(refusing)
    world.service.reset_log()
    for _ in range(3):
        world.sync()
    assert world.writes() == [f"PUT /item/{number}"] * 2
    assert spent(world, number) == 60
    adds_up(world)


def hook(world: World, number: int, minutes: int) -> None:
    """Let a colleague add minutes right before our next PUT arrives."""
    import httpx

    from hisync.sandbox import SandboxTransport

    class Meddling(httpx.BaseTransport):
        def __init__(self) -> None:
            self.inner = SandboxTransport(world.service)
            self.left = 1

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "PUT" and self.left:
                self.left = 0
                colleague_adds(world, number, minutes)
            return self.inner.handle_request(request)

    world.crash()
    world.transport = Meddling()


def test_switched_off_nothing_is_kept_and_entries_are_refused(new_world: MakeWorld) -> None:
    world = new_world(items=30, rules={"time_entries": False})
    world.sync()
    assert world.sql("SELECT 1 FROM time_entries") == []
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'task')", TASK)
    world.sync()
    number = world.one("SELECT id FROM tasks WHERE guid = ?", TASK)["id"]
    colleague_adds(world, number, 30)
    world.sync()
    world.sql(LOG, ENTRY, TASK, 45)
    world.sync()
    assert spent(world, number) == 30
    assert states(world) == [("insert", "rejected")]
    assert world.one("SELECT time_spent_minutes AS t FROM tasks WHERE guid = ?", TASK)["t"] == 30


@pytest.mark.parametrize("changed", ["entry", "total", "title", "nothing", "gone", "there"])
def test_switched_on_again_what_came_meanwhile_is_observed(
    new_world: MakeWorld, changed: str
) -> None:
    world = new_world(items=30, rules={"time_entries": False})
    world.sync()
    number = task(world, spent=60)
    world.change_rules(time_entries=True)
    match changed:
        case "entry":
            world.sql(LOG, ENTRY, TASK, 45)
        case "total":
            world.sql("UPDATE tasks SET time_spent_minutes = NULL WHERE guid = ?", TASK)
            world.sql(LOG, ENTRY, TASK, 45)
        case "title":
            world.sql("UPDATE tasks SET title = 'other' WHERE guid = ?", TASK)
        case "gone":
            world.sql("DELETE FROM tasks WHERE guid = ?", TASK)
        case "there":
            world.sql(LOG, ENTRY, TASK, 45)
            colleague_adds(world, number, 10)
    for _ in range(2):
        world.sync()
    adds_up(world)
    assert [e["minutes"] for e in entries(world) if e["source"] == "observed"] == {
        "there": [10, 60]
    }.get(changed, [60])
    if changed != "gone":
        assert spent(world, number) == {"entry": 105, "total": 105, "there": 115}.get(changed, 60)


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


def test_switched_off_for_a_while_nothing_is_counted_twice(world: World) -> None:
    number = task(world, spent=20)
    world.sql(LOG, ENTRY, TASK, 30)
    world.sync()
    world.change_rules(time_entries=False)
    colleague_adds(world, number, 60)
    world.sync()
    world.sql("DELETE FROM time_entries WHERE guid = ?", ENTRY)
    world.change_rules(time_entries=True)
    for _ in range(2):
        world.sync()
    assert spent(world, number) == 80
    assert [e["minutes"] for e in entries(world)] == [20, 60]
    adds_up(world)


def test_switched_off_nothing_is_added_again(world: World) -> None:
    number = task(world, spent=30)
    world.sql(LOG, ENTRY, TASK, 45)
    talk.at_request(world, "send_update", lambda: colleague_adds(world, number, 5))
    sync_in_the_dark(world, "send_update", "PUT /item/*:drop_after:1")
    assert spent(world, number) == 75
    world.change_rules(time_entries=False)
    for _ in range(3):
        world.sync()
    conflict = world.one("SELECT field, local_value, remote_value, resolution FROM conflicts")
    assert conflict == {
        "field": "time_spent_minutes",
        "local_value": "75",
        "remote_value": "35",
        "resolution": "local",
    }
    world.change_rules(time_entries=True)
    for _ in range(2):
        world.sync()
    assert sorted(e["minutes"] for e in entries(world)) == [30, 45]
    assert spent(world, number) == 75
    adds_up(world)


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


def test_entries_outlive_their_item_and_meet_it_again(world: World) -> None:
    number = task(world, spent=30)
    world.sql("DELETE FROM tasks WHERE guid = ?", TASK)
    world.sync()
    assert [e["minutes"] for e in entries(world)] == [30]
    adds_up(world)
    assert number


@pytest.mark.parametrize("unseen", [False, True], ids=["deleted", "taken out unseen"])
@pytest.mark.parametrize("theirs", [0, 10])
@pytest.mark.parametrize("lost", ["", "drop_before", "drop_after"])
def test_time_that_waited_while_its_item_was_gone_is_sent_when_it_is_back(
    world: World, unseen: bool, theirs: int, lost: str
) -> None:
    number = task(world, spent=30)
    if lost:
        world.sql(LOG, OTHER, TASK, 5)
        sync_in_the_dark(world, "send_update", f"PUT /item/*:{lost}:1")
    world.sql(LOG, ENTRY, TASK, 45)
    if unseen:
        world.sql("CREATE UNIQUE INDEX own ON tasks (title)")
        same = "INSERT OR REPLACE INTO tasks (guid, title) SELECT 'other', title FROM tasks"
        world.sql(f"{same} WHERE guid = ?", TASK)
    else:
        world.sql("DELETE FROM tasks WHERE guid = ?", TASK)
    model = world.service.model
    there = spent(world, number) + theirs
    model.update(number, user=model.user("ann@example.com"), title="kept", time_spent=there)
    for _ in range(3):
        world.sync()
    assert spent(world, number) == 75 + theirs + (5 if lost else 0)
    assert {state for _, state in states(world)} <= {"done", "merged"}
    adds_up(world)


@pytest.mark.parametrize("before", [True, False])
def test_time_on_an_item_that_left_is_sent_when_it_is_shown_again(
    world: World, before: bool
) -> None:
    number = task(world, spent=30)
    model = world.service.model
    model.archive(number, user=model.user(LOGIN))
    if before:
        world.sql(LOG, ENTRY, TASK, 45)
        restore(world.engine, TASK)  # it leaves and is back before anything is sent
    else:
        world.sync()
        assert world.sql("SELECT 1 FROM tasks WHERE guid = ?", TASK) == []
        world.sql(LOG, ENTRY, TASK, 45)
        model.restore(number, user=model.user(LOGIN))
    for _ in range(2):
        world.sync()
    assert spent(world, number) == 75
    assert [e["minutes"] for e in entries(world)] == [30, 45]
    assert states(world) == [("insert", "done")]
    adds_up(world)


@pytest.mark.parametrize("minutes", [0, 30, 45])
@pytest.mark.parametrize("how", ["put in anew", "base lost"])
def test_time_that_hitask_has_is_not_added_to_a_row_without_a_base(
    world: World, how: str, minutes: int
) -> None:
    number = task(world, spent=30)
    model = world.service.model
    if how == "base lost":
        world.sql("DELETE FROM sync_base WHERE guid = ?", TASK)
        model.update(number, user=model.user("ann@example.com"), title="theirs")
    else:
        model.archive(number, user=model.user(LOGIN))
        world.sync()
        world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'task')", TASK)
        model.restore(number, user=model.user(LOGIN))
    if minutes:
        world.sql(LOG, ENTRY, TASK, minutes)
    for _ in range(2):
        world.sync()
    assert spent(world, number) == 30 + minutes
    assert sum(entry["minutes"] for entry in entries(world)) == 30 + minutes
    adds_up(world)


@pytest.mark.parametrize("theirs", [0, 10])
def test_a_base_that_is_repaired_knows_of_waiting_minutes(world: World, theirs: int) -> None:
    number = task(world, spent=30)
    world.sql(LOG, ENTRY, TASK, 45)
    world.sql("DELETE FROM sync_base WHERE guid = ?", TASK)
    if theirs:
        colleague_adds(world, number, theirs)
    repair(world.engine)
    for _ in range(2):
        world.sync()
    assert spent(world, number) == 75 + theirs
    adds_up(world)


def test_minutes_that_may_be_on_an_item_that_is_gone_say_so(world: World) -> None:
    number = task(world, spent=30)
    world.sql(LOG, ENTRY, TASK, 45)
    sync_in_the_dark(world, "send_update", "PUT /item/*:drop_after:1")
    model = world.service.model
    model.archive(number, user=model.user(LOGIN))
    for _ in range(2):
        world.sync()
    row = world.one("SELECT state, error FROM change_log WHERE table_name = 'time_entries'")
    assert row["state"] == "rejected"
    assert "may have been added there before" in row["error"]
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


def test_minutes_that_a_lost_answer_went_over_are_added_again(world: World) -> None:
    number = task(world)
    api, send = world.engine.api, world.engine.api.send_update

    def write_before(*args: Any, **options: Any) -> Any:
        api.send_update = send  # type: ignore[method-assign]
        colleague_adds(world, number, 5)
        return send(*args, **options)

    api.send_update = write_before  # type: ignore[method-assign]
    world.service.faults.add("PUT /item/*:drop_after:1")
    world.sql(LOG, ENTRY, TASK, 30)
    for _ in range(3):
        world.sync()
    assert spent(world, number) == 35
    adds_up(world)


def test_time_on_an_item_that_is_deleted_there_creates_it_anew_where_policy_says_so(
    world: World,
) -> None:
    number = task(world)
    world.change_rules(policy=Policy("local"))
    world.service.model.delete(number, user=world.service.model.user(LOGIN))
    world.sql(LOG, ENTRY, TASK, 30)
    for _ in range(3):
        world.sync()
    again = world.one("SELECT id FROM tasks WHERE guid = ?", TASK)["id"]
    assert again is not None
    assert spent(world, again) == 30
    adds_up(world)


@pytest.mark.parametrize(("before", "minutes"), [(0, 6), (50, 6), (50, -10)])
def test_the_same_minutes_added_on_both_sides_count_twice(
    world: World, before: int, minutes: int
) -> None:
    number = task(world, spent=before)
    colleague_adds(world, number, minutes)
    world.sql(LOG, ENTRY, TASK, minutes)
    world.sync()
    assert spent(world, number) == before + 2 * minutes
    assert [e["minutes"] for e in entries(world) if e["source"] == "local"] == [minutes]
    adds_up(world)
    world.service.reset_log()
    world.sync()
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


def write_between(world: World, number: int, minutes: int, meanwhile: Callable[[], Any]) -> None:
    """Let a colleague add minutes right before our next PUT, and something happen during it."""
    api, send = world.engine.api, world.engine.api.send_update

    def write_before(*args: Any, **options: Any) -> Any:
        api.send_update = send  # type: ignore[method-assign]
        colleague_adds(world, number, minutes)
        meanwhile()
        return send(*args, **options)

    api.send_update = write_before  # type: ignore[method-assign]


@pytest.mark.parametrize("then", ["discarded", "edited there"])
def test_minutes_to_be_added_again_outlive_a_deletion_of_their_row(world: World, then: str) -> None:
    number = task(world, spent=30)
    world.change_rules(max_push_deletes=0)
    world.sql(LOG, ENTRY, TASK, 45)
    write_between(world, number, 5, lambda: world.sql("DELETE FROM tasks WHERE guid = ?", TASK))
    world.sync()
    assert spent(world, number) == 75
    if then == "discarded":
        held = world.one("SELECT seq FROM change_log WHERE state = 'held'")["seq"]
        discard_changes(world.engine.mirror, [held], datetime(2026, 3, 3))
    else:
        model = world.service.model
        model.update(number, user=model.user("ann@example.com"), message="edited")
    for _ in range(3):
        world.sync()
    assert spent(world, number) == 80
    assert sorted(e["minutes"] for e in entries(world)) == [5, 30, 45]
    adds_up(world)


@pytest.mark.parametrize("edit", ["time_spent_minutes = 999", "title = 'x'"])
def test_minutes_to_be_added_again_outlive_an_edit_that_is_discarded(
    world: World, edit: str
) -> None:
    number = task(world, spent=30)
    world.sql(LOG, ENTRY, TASK, 45)
    engine = world.engine
    write_between(world, number, 5, lambda: setattr(engine, "stopping", lambda: True))
    world.sync()
    engine.stopping = lambda: False
    assert spent(world, number) == 75
    world.sql("UPDATE tasks SET time_spent_minutes = 75 WHERE guid = ?", TASK)
    world.sql(f"UPDATE tasks SET {edit} WHERE guid = ?", TASK)
    seq = world.one("SELECT max(seq) AS seq FROM change_log")["seq"]
    discard_changes(engine.mirror, [seq], datetime(2026, 3, 3))
    for _ in range(3):
        world.sync()
    assert spent(world, number) == 80
    adds_up(world)


@pytest.mark.parametrize("when", ["before", "after", "both"])
def test_a_repair_looks_up_a_total_whose_answer_got_lost(world: World, when: str) -> None:
    number = task(world, spent=30)
    world.sql(LOG, ENTRY, TASK, 45)
    if when != "after":
        write_between(world, number, 5, lambda: None)
    sync_in_the_dark(world, "send_update", "PUT /item/*:drop_after:1")
    assert spent(world, number) == 75
    if when != "before":
        colleague_adds(world, number, 5)
    repair(world.engine)
    for _ in range(3):
        world.sync()
    assert spent(world, number) == (85 if when == "both" else 80)
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
