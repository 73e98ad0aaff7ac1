"""Time on items that leave, and come back."""

from __future__ import annotations

import pytest

from hisync.deciding.restore import restore
from hisync.plan.actions import Policy
from hisync.sandbox import LOGIN
from hisync.verifying.repair import repair
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


def test_entries_outlive_their_item_and_meet_it_again(world: World) -> None:
    number = task(world, spent=30)
    world.sql("DELETE FROM tasks WHERE guid = ?", TASK)
    world.sync()
    assert [e["minutes"] for e in entries(world)] == [30]
    adds_up(world)
    assert number


def test_time_on_a_subtask_that_is_archived_with_its_task_stays_with_the_project(
    world: World,
) -> None:
    project, parent = OTHER, ENTRY
    world.sql("INSERT INTO projects (guid, title) VALUES (?, 'Site')", project)
    world.sql("INSERT INTO tasks (guid, title, parent_guid) VALUES (?, 'task', ?)", parent, project)
    world.sql("INSERT INTO tasks (guid, title, parent_guid) VALUES (?, 'sub', ?)", TASK, parent)
    world.sync()
    world.sql("INSERT INTO time_entries (item_guid, minutes) VALUES (?, 45)", TASK)
    query = "SELECT item_title, project_title, minutes FROM time_by_day WHERE item_guid = ?"
    shown = world.one(query, TASK)
    world.sql("UPDATE tasks SET archived = true WHERE guid IN (?, ?)", TASK, parent)
    world.sync()
    assert world.sql("SELECT 1 FROM tasks WHERE guid = ?", TASK) == []
    assert world.one(query, TASK) == shown
    assert shown == {"item_title": "sub", "project_title": "Site", "minutes": 45}


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
