"""Comments are neither lost nor said twice, wherever the engine dies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.engine.conftest import MakeWorld
from tests.engine.kill import ends_well_everywhere
from tests.engine.talk import GUID, ITEM, ME, agree, here, make_item, say, there, they_say
from tests.world import World

BOTH = True

COMMENTS = True
pytestmark = pytest.mark.slow


def post(world: World) -> None:
    say(world, "ours")


def posted(world: World) -> None:
    assert there(world) == here(world) == Counter(["theirs", "mine", "ours"])
    assert world.one("SELECT message FROM comments WHERE guid = ?", GUID) == {"message": "ours"}


def delete(world: World) -> None:
    world.sql("DELETE FROM comments WHERE message = 'mine' AND item_guid = ?", ITEM)


def deleted(world: World) -> None:
    assert there(world) == here(world) == Counter(["theirs"])
    kept = world.sql("SELECT 1 FROM removed_rows WHERE table_name = 'comments'")
    assert len(kept) == 1


def read(world: World) -> None:
    they_say(world, "new")


def was_read(world: World) -> None:
    assert there(world) == here(world) == Counter(["theirs", "mine", "new"])


def both(world: World) -> None:
    post(world)
    delete(world)
    read(world)


def both_done(world: World) -> None:
    assert there(world) == here(world) == Counter(["theirs", "new", "ours"])


Story = tuple[Callable[[World], None], Callable[[World], None]]
STORIES: dict[str, Story] = {
    "post": (post, posted),
    "delete": (delete, deleted),
    "read": (read, was_read),
    "all": (both, both_done),
}


@pytest.mark.parametrize(
    "traits",
    [
        [],
        ["free_history", "history_wrapped", "deleted_comments=untraced"],
        pytest.param(["delta=false"], marks=pytest.mark.slow),
        pytest.param(["stubs=false", "deleted_comments=named"], marks=pytest.mark.slow),
    ],
    ids=str,
)
@pytest.mark.parametrize("story", STORIES)
def test_killed_at_every_step_it_ends_as_if_nothing_had_happened(
    new_world: MakeWorld, story: str, traits: list[str]
) -> None:
    happen, check = STORIES[story]
    world = new_world(items=3, traits=traits)
    make_item(world)
    they_say(world, "theirs")
    they_say(world, "mine", ME)
    world.sync()
    world.sync()
    happen(world)
    ends_well_everywhere(world, check, agree, rounds=3)
