"""Totals whose answers got lost or that went over those of others: no minute lost or doubled."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from hisync.deciding.discarding import discard_changes
from hisync.errors import ServiceError
from hisync.sandbox import Fault
from hisync.verifying.repair import repair
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
    hook,
    spent,
    states,
    sync_in_the_dark,
    task,
    write_between,
)
from tests.world import World

BOTH = True


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
