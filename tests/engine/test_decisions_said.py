"""Comments and time entries that were refused: tried again, or given up."""

from __future__ import annotations

import pytest

from hisync.discarding import discard_changes
from hisync.retrying import retry_changes
from hisync.sandbox import Fault
from tests.engine.test_ledger import ENTRY, LOG, TASK, adds_up, spent, task
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


@pytest.mark.parametrize("table", ["comments", "time_entries"])
def test_one_that_waits_is_left_to_sql(world: World, table: str) -> None:
    column, value = ("message", "hi") if table == "comments" else ("minutes", 5)
    task(world)
    world.sql(
        f"INSERT INTO {table} (guid, item_guid, {column}) VALUES (?, ?, ?)", ENTRY, TASK, value
    )
    seq = world.one("SELECT max(seq) AS seq FROM change_log")["seq"]
    (told,) = discard_changes(world.engine.mirror, [seq], world.engine.clock.now())
    assert (told.done, "in SQL" in told.text) == (False, True)
