"""Nothing is lost and nothing doubled, wherever the engine dies."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.engine.conftest import MakeWorld
from tests.engine.kill import ends_well_everywhere, nothing_waits
from tests.world import World

BOTH = True

pytestmark = pytest.mark.slow

ROOT, LEAF, EDITED = (f"00000000-0000-4000-8000-00000000000{n}" for n in "abc")


def prepare(world: World) -> None:
    """A mirror with one task of our own, quiet."""
    world.sync()
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'before')", EDITED)
    world.sync()
    world.sync()
    world.service.reset_log()


def number_of(world: World, guid: str) -> int:
    return int(world.one("SELECT id FROM tasks WHERE guid = ?", guid)["id"])


def create(world: World) -> None:
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'root')", ROOT)
    world.sql("INSERT INTO tasks (guid, title, parent_guid) VALUES (?, 'leaf', ?)", LEAF, ROOT)


def created(world: World) -> None:
    made = [item for item in world.service.model.items() if item.title in {"root", "leaf"}]
    assert Counter(item.title for item in made) == {"root": 1, "leaf": 1}
    by_title = {item.title: item for item in made}
    assert by_title["leaf"].parent == by_title["root"].id
    rows = world.sql("SELECT guid, id FROM tasks WHERE guid IN (?, ?)", ROOT, LEAF)
    assert {row["guid"]: row["id"] for row in rows} == {
        ROOT: by_title["root"].id,
        LEAF: by_title["leaf"].id,
    }


def update(world: World) -> None:
    world.sql("UPDATE tasks SET title = 'after', tags = '[\"x\"]' WHERE guid = ?", EDITED)


def updated(world: World) -> None:
    item = world.service.model.item(number_of(world, EDITED))
    assert (item.title, item.get("tags")) == ("after", ["x"])
    row = world.one("SELECT title, tags FROM tasks WHERE guid = ?", EDITED)
    assert row == {"title": "after", "tags": '["x"]'}


def delete(world: World) -> None:
    world.sql("DELETE FROM tasks WHERE guid = ?", EDITED)


def deleted(world: World) -> None:
    assert "before" not in {item.title for item in world.service.model.items()}
    assert world.sql("SELECT 1 FROM tasks WHERE guid = ?", EDITED) == []
    assert len(world.sql("SELECT 1 FROM removed_rows WHERE row_guid = ?", EDITED)) == 1


def archive(world: World) -> None:
    world.sql("UPDATE tasks SET archived = true WHERE guid = ?", EDITED)


def archived(world: World) -> None:
    deleted(world)
    assert "before" in {item.title for item in world.service.model.store.archived.values()}


def meet(world: World) -> None:
    owner = world.service.model.user("ann@example.com")
    world.service.model.update(number_of(world, EDITED), user=owner, title="theirs", color=3)
    world.sql("UPDATE tasks SET title = 'ours', starred = true WHERE guid = ?", EDITED)


def met(world: World) -> None:
    item = world.service.model.item(number_of(world, EDITED))
    assert (item.title, item.get("color"), item.get("starred")) == ("theirs", 3, True)
    row = world.one("SELECT title, color, starred FROM tasks WHERE guid = ?", EDITED)
    assert row == {"title": "theirs", "color": 3, "starred": 1}
    conflict = world.one("SELECT field, local_value, resolution FROM conflicts")
    assert conflict == {"field": "title", "local_value": "ours", "resolution": "remote"}


STORIES = {
    "create": (create, created),
    "update": (update, updated),
    "delete": (delete, deleted),
    "archive": (archive, archived),
    "conflict": (meet, met),
}


@pytest.mark.parametrize(
    "traits",
    [
        ["repeated_guid=duplicates"],
        pytest.param(["repeated_guid=returns_existing"], marks=pytest.mark.slow),
        pytest.param(["stubs=false"], marks=pytest.mark.slow),
        pytest.param(["delta=false"], marks=pytest.mark.slow),
    ],
    ids=str,
)
@pytest.mark.parametrize("story", STORIES)
def test_killed_at_every_step_it_ends_as_if_nothing_had_happened(
    new_world: MakeWorld, story: str, traits: list[str]
) -> None:
    happen, check = STORIES[story]
    world = new_world(items=3, traits=traits)
    prepare(world)
    happen(world)
    ends_well_everywhere(world, check, nothing_waits)
