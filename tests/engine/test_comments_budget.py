"""Histories are read out of what the budget can spare, and keep nothing else waiting."""

from __future__ import annotations

import pytest

from hisync.mirror.comments import load_places
from hisync.mirror.histories import comment_progress
from hisync.purse import Purse
from tests.engine.conftest import MakeWorld
from tests.engine.talk import histories
from tests.world import World

COMMENTS = True

PER_MINUTE = 20


@pytest.fixture
def busy(new_world: MakeWorld) -> World:
    """A world of forty items with a comment each, whose engine has a budget."""
    world = new_world(items=40)
    engine = world.engine
    purse = Purse(engine.mirror, PER_MINUTE, clock=engine.clock, pause=world.time.sleep)
    engine.api._connection._grant = purse.grant
    engine.spare = purse.spare
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
