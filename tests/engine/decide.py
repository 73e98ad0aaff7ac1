"""Decisions in a world: what is refused there, edited here, and decided beside the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import pytest

from hisync.deciding.decisions import Decided
from hisync.deciding.discarding import discard_changes
from hisync.deciding.retrying import retry_changes
from hisync.mirror.store import Mirror, open_mirror
from hisync.sandbox import Fault
from tests.world import World

GUID = "00000000-0000-4000-8000-00000000000a"
CHILD = "00000000-0000-4000-8000-00000000000b"
NOW = datetime(2026, 3, 3)
WRITES = ("POST", "PUT", "DELETE")
ODD = {
    "title": "it's “odd” \U0001f409 \\ \" %s ; -- :x",
    "message": None,
    "tags": "[]",
    "participants": "[…]",
    "due_date": "2026-06-01T12:00:00+02:00",
    "is_all_day": True,
    "starred": "true",
    "priority": 30001,
    "location": '{"address": "é\\"\\u0000", "latitude": 1.5, "deep": [null, {"a": []}]}',
    "time_est_minutes": 95,
    "color": 0,
}

Decide = Callable[[Mirror, Sequence[int] | None, datetime], list[Decided]]


def decide(world: World, decision: Decide, *seqs: int) -> list[tuple[int, bool, str]]:
    """Decide about these changes, or all rejected ones, as a command does: without a lock."""
    with open_mirror(world.url) as mirror:
        mirror.check()
        decided = decision(mirror, seqs or None, NOW)
    return [(one.seq, one.done, one.text) for one in decided]


def retry(world: World, *seqs: int) -> list[tuple[int, bool, str]]:
    return decide(world, retry_changes, *seqs)


def discard(world: World, *seqs: int) -> list[tuple[int, bool, str]]:
    return decide(world, discard_changes, *seqs)


def refuse(world: World) -> None:
    """Let hiTask refuse every write until further notice."""
    for method in WRITES:
        world.service.faults.add(Fault("status", method, "/item*", status=400, code=25, count=0))


def sync_refused(world: World) -> None:
    refuse(world)
    world.sync()
    world.service.faults.clear()
    world.service.reset_log()


def insert(world: World, title: str = "base", guid: str = GUID, **cells: Any) -> None:
    columns = {"guid": guid, "title": title, **cells}
    marks = ", ".join("?" * len(columns))
    world.sql(f"INSERT INTO tasks ({', '.join(columns)}) VALUES ({marks})", *columns.values())


def update(world: World, **cells: Any) -> int:
    columns = ", ".join(f"{column} = ?" for column in cells)
    world.sql(f"UPDATE tasks SET {columns} WHERE guid = ?", *cells.values(), GUID)
    return newest(world)


def delete(world: World) -> int:
    world.sql("DELETE FROM tasks WHERE guid = ?", GUID)
    return newest(world)


def newest(world: World) -> int:
    return int(world.one("SELECT max(seq) AS seq FROM change_log")["seq"])


def row(world: World, *columns: str) -> list[dict[str, Any]]:
    return world.sql(f"SELECT {', '.join(columns or ('title',))} FROM tasks WHERE guid = ?", GUID)


def state(world: World, seq: int) -> tuple[str, str | None]:
    found = world.one("SELECT state, error FROM change_log WHERE seq = ?", seq)
    return found["state"], found["error"]


def there(world: World, number: int, **changes: Any) -> None:
    world.service.model.update(number, user=world.service.model.users[0], **changes)


def assert_quiet(world: World) -> None:
    """Both sides are equal, and a cycle finds nothing to do."""
    world.sync()
    world.service.reset_log()
    summary = world.sync(full=True)
    assert (summary.pulled, summary.pushed, world.writes()) == (0, 0, [])
    assert world.sql("SELECT 1 FROM sync_base WHERE dirty IS NOT NULL") == []


@pytest.fixture
def task(world: World) -> int:
    """A task that both sides have; its number."""
    insert(world, message="text", tags='["a","b"]', due_date="2026-05-01 10:00")
    world.sync()
    world.sync()
    world.service.reset_log()
    return int(row(world, "id")[0]["id"])
