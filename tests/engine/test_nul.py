"""The character NUL in what hiTask holds: a mirror that can't hold it takes U+FFFD for the same.

SQLite has it as it is. Neither engine sends anything that nobody edited.
"""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from hisync.api import body, long_list
from hisync.sandbox import Item
from hisync.verifying.repair import repair
from hisync.verifying.verify import verify
from tests.engine.conftest import MakeWorld
from tests.world import World

BOTH = True
COMMENTS = True

TITLE: Final = "nul\0title"
TEXT: Final = r"\0 \\u0000 " + "\0\0\\\0"
TAGS: Final = ["a\0b", "plain"]
PLACE: Final[dict[str, Any]] = {"k\0": ["v\0", {"\0": None}], r"\u0000": 1}


@pytest.fixture
def world(new_world: MakeWorld) -> World:
    """A task with NULs wherever one can be, mirrored."""
    world = new_world(items=3)
    model = world.service.model
    item = model.create(user=model.users[0], title="to be put")
    for name, value in (("title", TITLE), ("message", TEXT), ("tags", TAGS), ("location", PLACE)):
        item.put(name, value)
    model.comment(item.id, user=model.users[1], message="to be put")
    model.comments(item.id)[0].value = "said\0so"
    world.sync()
    world.sync()
    world.service.reset_log()
    return world


def there(world: World) -> Item:
    return max(world.service.model.store.live.values(), key=lambda item: item.id)


def held(world: World, value: Any) -> Any:
    """A value as the mirror can hold it."""
    if world.backend == "sqlite":
        return value
    text = (
        json.dumps(value, ensure_ascii=False).replace("\\\\", "\x1a").replace("\\u0000", "\ufffd")
    )
    return json.loads(text.replace("\x1a", "\\\\"))


def is_quiet(world: World) -> None:
    """Neither reading all nor looking closely finds anything to do."""
    recorded = world.sql("SELECT * FROM conflicts ORDER BY 1")
    before = world.sql("SELECT * FROM tasks ORDER BY id"), world.sql("SELECT * FROM comments")
    quiet = world.sync(full=True)
    assert (quiet.pulled, quiet.pushed, quiet.conflicts) == (0, 0, 0)
    found = verify(world.engine)
    assert (found.differences, found.not_pulled, found.drift) == (0, 0, [])
    assert repair(world.engine).kept == 0
    assert world.sql("SELECT * FROM conflicts ORDER BY 1") == recorded
    after = world.sql("SELECT * FROM tasks ORDER BY id"), world.sql("SELECT * FROM comments")
    assert after == before


@pytest.mark.core
def test_what_is_the_same_is_left_alone(world: World) -> None:
    row = world.one("SELECT * FROM tasks WHERE id = ?", there(world).id)
    cells = [row["title"], row["message"], json.loads(row["tags"]), json.loads(row["location"])]
    assert cells == [held(world, value) for value in (TITLE, TEXT, TAGS, PLACE)]
    said = world.one("SELECT message FROM comments WHERE item_guid = ?", there(world).guid)
    assert said["message"] == held(world, "said\0so")
    is_quiet(world)
    assert world.writes() == []


@pytest.mark.core
def test_an_edit_here_and_another_there_are_no_conflict(world: World) -> None:
    item = there(world)
    world.sql("UPDATE tasks SET title = 'fixed title' WHERE id = ?", item.id)
    world.service.model.update(item.id, user=world.service.model.users[0], priority=4)
    summary = world.sync()
    assert (summary.pushed, summary.conflicts) == (1, 0)
    row = world.one("SELECT title, priority FROM tasks WHERE id = ?", item.id)
    assert row == {"title": "fixed title", "priority": 4}
    assert (item.title, item.get("priority")) == ("fixed title", 4)
    # Of the cells that nobody edited, nothing was sent.
    assert (item.get("message"), item.get("tags"), item.get("location")) == (TEXT, TAGS, PLACE)
    is_quiet(world)


def test_the_answer_to_a_write_shows_one(world: World) -> None:
    item = there(world)
    world.sql("UPDATE tasks SET priority = 4 WHERE id = ?", item.id)
    assert (world.sync().pushed, item.title) == (1, TITLE)
    is_quiet(world)


def test_an_edit_of_the_same_cell_is_one(world: World) -> None:
    item = there(world)
    world.sql("UPDATE tasks SET title = 'ours' WHERE id = ?", item.id)
    world.service.model.update(item.id, user=world.service.model.users[0], priority=4)
    item.put("title", "theirs\0")
    assert world.sync().conflicts == 1
    (lost,) = world.sql("SELECT * FROM conflicts")
    assert (lost["local_value"], lost["remote_value"]) == ("ours", held(world, "theirs\0"))
    is_quiet(world)


@pytest.mark.core
def test_a_long_answer_has_it_anywhere(
    world: World, new_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "SHORT", 100)
    monkeypatch.setattr(long_list, "PART", 97)
    is_quiet(world)
    other = new_world(items=3)
    other.service = world.service
    other.sync()
    everything = "SELECT * FROM tasks ORDER BY id"
    assert other.sql(everything) == world.sql(everything)
