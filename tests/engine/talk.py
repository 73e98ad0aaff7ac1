"""Comments in a world: said here by SQL, said there by colleagues, and what both sides have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from hisync.sandbox import LOGIN
from tests.world import World

GUID = "00000000-0000-4000-8000-0000000000a1"
OTHER = "00000000-0000-4000-8000-0000000000a2"
ITEM = "00000000-0000-4000-8000-00000000000f"


def make_item(world: World) -> int:
    """A task of our own without comments, in a mirror that is quiet; its number."""
    world.sync()
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'talk')", ITEM)
    world.sync()
    world.sync()
    world.service.reset_log()
    return number_of(world)


def number_of(world: World) -> int:
    return int(world.one("SELECT id FROM tasks WHERE guid = ?", ITEM)["id"])


def say(world: World, text: Any, guid: str = GUID) -> None:
    world.sql("INSERT INTO comments (guid, item_guid, message) VALUES (?, ?, ?)", guid, ITEM, text)


def they_say(world: World, text: str, who: str = "tariq@example.com") -> int:
    """A colleague, or the same account elsewhere, comments on hiTask; the comment's number."""
    model = world.service.model
    return model.comment(number_of(world), user=model.user(who), message=text).id


def they_delete(world: World, number: int) -> None:
    model = world.service.model
    unit = model.history.find_comment(number)
    assert unit is not None
    model.delete_comment(number, user=model.user(unit.user_id))


def there(world: World) -> Counter[str]:
    """The texts on hiTask."""
    return Counter(str(unit.value) for unit in world.service.model.comments(number_of(world)))


def here(world: World) -> Counter[str]:
    """The texts in the mirror."""
    rows = world.sql("SELECT message FROM comments WHERE item_guid = ?", ITEM)
    return Counter(row["message"] for row in rows)


def agree(world: World) -> None:
    """Both sides have the same comments, under the same numbers, and a quiet cycle costs one."""
    units = world.service.model.comments(number_of(world))
    rows = world.sql("SELECT id, message, user_id FROM comments WHERE item_guid = ?", ITEM)
    said = sorted((unit.id, unit.value, unit.user_id) for unit in units)
    assert sorted((row["id"], row["message"], row["user_id"]) for row in rows) == said
    assert world.sql("SELECT * FROM sync_intents") == []
    assert world.sql("SELECT * FROM change_log WHERE finished_at IS NULL") == []
    assert (world.sync().requests, world.sync().pulled) == (1, 0)


def ends(world: World, guid: str = GUID) -> list[tuple[str, str]]:
    """Operation and state of every change of a comment, in order."""
    rows = world.sql("SELECT op, state FROM change_log WHERE row_guid = ? ORDER BY seq", guid)
    return [(row["op"], row["state"]) for row in rows]


def reason(world: World, guid: str = GUID) -> str:
    """Why the last change of a comment was rejected."""
    query = "SELECT error FROM change_log WHERE row_guid = ? AND state = 'rejected' ORDER BY seq"
    return str(world.sql(query, guid)[-1]["error"])


def at_request(world: World, name: str, act: Callable[[], Any]) -> None:
    """Do something once, right before the client's next call of this name."""
    api = world.engine.api
    send = getattr(api, name)

    def act_then_send(*args: Any, **options: Any) -> Any:
        setattr(api, name, send)
        act()
        return send(*args, **options)

    setattr(api, name, act_then_send)


def histories(world: World) -> int:
    return world.service.requests["GET /item/history"]


ME = LOGIN
