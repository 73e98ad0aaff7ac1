"""No minute is lost and none counted twice, wherever the engine dies."""

from __future__ import annotations

import pytest

from tests.engine.conftest import MakeWorld
from tests.engine.kill import ends_well_everywhere, nothing_waits
from tests.engine.minutes import ENTRY, LOG, OTHER, adds_up, colleague_adds, spent, task
from tests.engine.minutes import TASK as GUID
from tests.world import World

BOTH = True

pytestmark = pytest.mark.slow


def log_time(world: World, _number: int) -> None:
    world.sql(LOG, ENTRY, GUID, 45)


def log_time_there_too(world: World, number: int) -> None:
    world.sql(LOG, ENTRY, GUID, 45)
    colleague_adds(world, number, 30)


def change_and_delete(world: World, _number: int) -> None:
    world.sql("UPDATE time_entries SET minutes = 20 WHERE item_guid = ?", GUID)
    world.sql(LOG, OTHER, GUID, 7)


def with_an_edit(world: World, _number: int) -> None:
    world.sql("UPDATE tasks SET title = 'renamed' WHERE guid = ?", GUID)
    world.sql(LOG, ENTRY, GUID, 45)


STORIES = {
    "log": (log_time, 60),
    "both sides": (log_time_there_too, 90),
    "change": (change_and_delete, 27),
    "with an edit": (with_an_edit, 60),
}


@pytest.mark.parametrize(
    "traits",
    [
        ["nulls=false"],
        pytest.param(["stubs=false"], marks=pytest.mark.slow),
        pytest.param(["delta=false"], marks=pytest.mark.slow),
    ],
    ids=str,
)
@pytest.mark.parametrize("story", STORIES)
def test_killed_at_every_step_the_minutes_add_up(
    new_world: MakeWorld, story: str, traits: list[str]
) -> None:
    happen, total = STORIES[story]
    world = new_world(items=3, traits=traits)
    world.sync()
    number = task(world, spent=15)
    world.sync()
    happen(world, number)

    def check(killed: World) -> None:
        assert spent(killed, number) == total
        adds_up(killed)
        assert not killed.sql("SELECT * FROM change_log WHERE state = 'rejected'")

    ends_well_everywhere(world, check, nothing_waits)
