"""Comments and time entries that were refused: tried again, or given up."""

from __future__ import annotations

import pytest

from hisync.deciding.discarding import discard_changes
from hisync.deciding.retrying import retry_changes
from hisync.sandbox import Fault
from tests.engine import talk
from tests.engine.minutes import ENTRY, LOG, TASK, adds_up, entries, spent, task
from tests.world import World

COMMENTS = True
REFUSED = {"status": 403, "code": 17, "count": 1}


def rejected(world: World) -> list[int]:
    return [row["seq"] for row in world.sql("SELECT seq FROM change_log WHERE state = 'rejected'")]


def test_a_refused_time_entry_is_logged_again(world: World) -> None:
    number = task(world)
    world.service.faults.add(Fault("status", "PUT", "/item/*", **REFUSED))  # type: ignore[arg-type]
    world.sql(LOG, ENTRY, TASK, 45)
    world.sync()
    (seq,) = rejected(world)
    now = world.engine.clock.now()
    assert [one.done for one in retry_changes(world.engine.mirror, [seq], now)] == [True]
    world.sync()
    assert spent(world, number) == 45
    assert rejected(world) == []
    adds_up(world)


def test_a_refused_comment_is_said_again_once(world: World) -> None:
    number = task(world)
    fault = Fault("status", "POST", "/item/comment", **REFUSED)  # type: ignore[arg-type]
    world.service.faults.add(fault)
    world.sql("INSERT INTO comments (guid, item_guid, message) VALUES (?, ?, 'hi')", ENTRY, TASK)
    world.sync()
    now = world.engine.clock.now()
    assert [one.done for one in retry_changes(world.engine.mirror, None, now)] == [True]
    world.sync()
    assert world.one("SELECT count(*) AS n FROM comments WHERE message = 'hi'") == {"n": 1}
    assert rejected(world) == []
    assert number


@pytest.mark.parametrize("table", ["comments", "time_entries"])
def test_a_refused_one_is_given_up(world: World, table: str) -> None:
    column, value = ("message", "") if table == "comments" else ("minutes", "soon")
    task(world)
    world.sql(
        f"INSERT INTO {table} (guid, item_guid, {column}) VALUES (?, ?, ?)", ENTRY, TASK, value
    )
    world.sync()
    now = world.engine.clock.now()
    assert [one.done for one in discard_changes(world.engine.mirror, None, now)] == [True]
    assert world.sql(f"SELECT 1 FROM {table} WHERE guid = ?", ENTRY) == []
    world.service.reset_log()
    world.sync()
    assert world.writes() == []
    adds_up(world)


def test_a_refused_comment_that_was_mended_is_not_said_twice(world: World) -> None:
    talk.make_item(world)
    talk.say(world, "")
    world.sync()
    world.sql("UPDATE comments SET message = 'hi' WHERE guid = ?", talk.GUID)
    world.sync()
    world.sync()
    now = world.engine.clock.now()
    (told,) = retry_changes(world.engine.mirror, None, now)
    assert (told.done, "has the row" in told.text) == (True, True)
    world.sync()
    assert rejected(world) == []
    assert talk.there(world) == {"hi": 1}
    talk.agree(world)


def test_what_was_taken_out_since_is_not_said_again(world: World) -> None:
    talk.make_item(world)
    fault = Fault("status", "POST", "/item/comment", **REFUSED)  # type: ignore[arg-type]
    world.service.faults.add(fault)
    talk.say(world, "hi")
    world.sync()
    world.sql("DELETE FROM comments WHERE guid = ?", talk.GUID)
    world.sync()
    (told,) = retry_changes(world.engine.mirror, None, world.engine.clock.now())
    assert (told.done, "is newer" in told.text) == (False, True)
    world.sync()
    assert talk.there(world) == {}


def test_of_two_refused_entries_of_one_key_the_newer_is_logged_again(world: World) -> None:
    number = task(world)
    for minutes in (45, 30):
        fault = Fault("status", "PUT", "/item/*", **REFUSED)  # type: ignore[arg-type]
        world.service.faults.add(fault)
        world.sql(LOG, ENTRY, TASK, minutes)
        world.sync()
    told = retry_changes(world.engine.mirror, None, world.engine.clock.now())
    assert [one.done for one in told] == [False, True]
    world.sync()
    assert spent(world, number) == 30
    adds_up(world)


def test_an_entry_that_hitask_has_is_not_touched_by_an_older_refused_one(world: World) -> None:
    task(world)
    fault = Fault("status", "PUT", "/item/*", **REFUSED)  # type: ignore[arg-type]
    world.service.faults.add(fault)
    world.sql(LOG, ENTRY, TASK, 45)
    world.sync()
    world.sql(LOG, ENTRY, TASK, 30)
    world.sync()
    world.sql("DELETE FROM tasks WHERE guid = ?", TASK)
    world.sync()
    (told,) = retry_changes(world.engine.mirror, None, world.engine.clock.now())
    assert told.done
    world.sync()
    assert [entry["minutes"] for entry in entries(world)] == [30]


def test_a_refused_deletion_is_not_tried_over_a_newer_edit(world: World) -> None:
    number = task(world)
    world.sql(LOG, ENTRY, TASK, 45)
    world.sync()
    fault = Fault("status", "PUT", "/item/*", **REFUSED)  # type: ignore[arg-type]
    world.service.faults.add(fault)
    world.sql("DELETE FROM time_entries WHERE guid = ?", ENTRY)
    world.sync()
    world.sql("UPDATE time_entries SET minutes = 60 WHERE guid = ?", ENTRY)
    world.sync()
    (told,) = retry_changes(world.engine.mirror, None, world.engine.clock.now())
    assert (told.done, "is newer" in told.text) == (False, True)
    world.sync()
    assert spent(world, number) == 60
