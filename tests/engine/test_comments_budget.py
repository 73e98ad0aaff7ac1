"""Histories are read out of what the budget can spare, and keep nothing else waiting."""

from __future__ import annotations

import pytest

from hisync.budget.purse import Purse
from hisync.mirror.comments import load_places
from hisync.mirror.histories import comment_progress
from tests.engine.conftest import MakeWorld
from tests.engine.talk import histories
from tests.world import World

COMMENTS = True

PER_MINUTE = 20


@pytest.fixture
def busy(new_world: MakeWorld) -> World:
    """A world of forty items with a comment each, whose engine has a budget."""
    world = new_world(items=40)
    spend_at_most(world, PER_MINUTE)
    return world


def progress(world: World) -> tuple[int, int]:
    with world.engine.mirror.reading() as connection:
        return comment_progress(connection)


def test_a_first_fill_leaves_a_reserve_and_goes_on_by_itself(busy: World) -> None:
    started = busy.time.now
    busy.sync()
    assert busy.time.now - started < 5  # nothing waited
    read, total = progress(busy)
    assert total == 40
    assert 0 < read == histories(busy)
    for _ in range(6):
        busy.time.sleep(70)
        started = busy.time.now
        summary = busy.sync()
        assert busy.time.now - started < 5
        assert 1 <= summary.requests <= PER_MINUTE * 3 // 4 + 1
    assert progress(busy) == (40, 40)
    assert histories(busy) == 40
    busy.time.sleep(70)
    assert busy.sync().requests == 1


def test_an_edit_in_the_middle_of_it_goes_out_at_once(busy: World) -> None:
    busy.sync()
    guid = busy.sql("SELECT guid FROM tasks LIMIT 1")[0]["guid"]
    busy.sql("INSERT INTO comments (item_guid, message) VALUES (?, 'first')", guid)
    started = busy.time.now
    assert busy.sync().pushed == 1
    assert busy.time.now - started < 5


def test_places_are_what_the_rows_say(busy: World) -> None:
    busy.sync()
    with busy.engine.mirror.writing() as connection:
        guids = [row.guid for row in connection.exec_driver_sql("SELECT guid FROM tasks")]
        connection.exec_driver_sql("UPDATE tasks SET permission = 'odd', archived = 1")
        places = load_places(connection, [*guids, "nowhere"])
    assert places.keys() == set(guids)
    assert all(p.present and p.id and p.archiving for p in places.values())
    assert {p.permission for p in places.values()} == {None}


@pytest.mark.slow
def test_a_large_account_costs_a_history_for_each_item_with_comments(new_world: MakeWorld) -> None:
    world = new_world(items=5_000)
    comment_on(world, 500)
    spend_at_most(world, 200)
    world.sync()
    read = histories(world)
    minutes = 0
    while progress(world) != (500, 500):
        minutes += 1
        world.time.sleep(60)
        edit = world.sql("SELECT guid FROM tasks WHERE permission = 100 LIMIT 1")[0]["guid"]
        world.sql("UPDATE tasks SET starred = NOT starred WHERE guid = ?", edit)
        world.service.reset_log()
        world.sync()
        sent = [entry.method for entry in world.service.log if "history" in entry.path]
        put = next(n for n, entry in enumerate(world.service.log) if entry.method == "PUT")
        assert all("history" not in entry.path for entry in [*world.service.log][:put])
        read += len(sent)
        if minutes == 2:
            world.crash()
            spend_at_most(world, 200)
    assert (read, minutes > 2) == (500, True)


def spend_at_most(world: World, per_minute: int) -> None:
    engine = world.engine
    purse = Purse(engine.mirror, per_minute, clock=engine.clock, pause=world.time.sleep)
    engine.api._connection._grant = purse.grant
    engine.spare = purse.spare


def comment_on(world: World, number: int) -> None:
    """Have that many items with comments in all."""
    model = world.service.model
    without = [item for item in model.items() if not model.comments(item.id)]
    talked = len(model.items()) - len(without)
    for item in without[: number - talked]:
        model.comment(item.id, user=model.user(item.user_id), message="Hm")
