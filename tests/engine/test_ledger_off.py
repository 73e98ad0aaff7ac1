"""Time entries switched off, and on again."""

from __future__ import annotations

import pytest

from tests.engine import talk
from tests.engine.conftest import MakeWorld
from tests.engine.minutes import (
    ENTRY,
    LOG,
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
