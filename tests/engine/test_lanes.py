"""Pushes side by side: they overlap, and nothing that depends on another goes beside it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import pytest

from hisync.engine import Engine
from hisync.errors import StopError
from hisync.lanes import Lanes
from hisync.sandbox import Fault, SandboxTransport
from tests.engine.conftest import MakeWorld
from tests.world import World

TIMEOUT = 20.0
GUIDS = [f"00000000-0000-4000-8000-{number:012d}" for number in range(8)]


@dataclass
class Meeting(httpx.BaseTransport):
    """Lets chosen writes leave only when all of them are under way.

    Attributes:
        inner: what answers.
        meets: the writes that meet, counted from 1; the others go straight on.
        after: whether they meet once they are carried out, instead of before.
        seen: the writes, in the order in which they were sent.
    """

    inner: httpx.BaseTransport
    meets: range = range(0)
    after: bool = False
    seen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._together = threading.Barrier(max(1, len(self.meets)))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return self.inner.handle_request(request)
        with self._lock:
            self.seen.append(f"{request.method} {request.url.path}")
            meets = len(self.seen) in self.meets
        if meets and not self.after:
            self._together.wait(TIMEOUT)
        response = self.inner.handle_request(request)
        if meets and self.after:
            self._together.wait(TIMEOUT)
        return response


def overlapping(engine: Engine, most: int = 8) -> None:
    engine.lanes = Lanes(most, run=engine.api.side_by_side)


@pytest.fixture
def meeting(new_world: MakeWorld) -> Callable[..., tuple[World, Meeting]]:
    """A synced world of some own tasks, whose writes meet."""

    def make(meets: range, *, tasks: int = 8, after: bool = False) -> tuple[World, Meeting]:
        world = new_world(items=0)
        world.sync()
        for guid in GUIDS[:tasks]:
            world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'old')", guid)
        world.sync()
        world.crash()
        transport = Meeting(SandboxTransport(world.service), meets, after=after)
        world.transport = transport
        overlapping(world.engine)
        return world, transport

    return make


Make = Callable[..., tuple[World, Meeting]]


def test_they_overlap_once_something_has_gone_well(meeting: Make) -> None:
    # One goes first, then two, then four, all of which have to be under way to go on.
    world, transport = meeting(range(4, 8), tasks=7)
    world.sql("UPDATE tasks SET title = 'new ' || guid")
    assert world.sync().pushed == 7
    assert len(transport.seen) == 7
    titles = {item.guid: item.title for item in world.service.model.items()}
    assert titles == {guid: f"new {guid}" for guid in GUIDS[:7]}
    assert world.sync().pushed == 0
    assert {state for _, state in world.changes()} == {"done"}


def test_new_rows_overlap_but_not_with_what_they_are_under(meeting: Make) -> None:
    world, transport = meeting(range(2, 4), tasks=0)
    world.sql("INSERT INTO projects (guid, title) VALUES (?, 'above')", GUIDS[0])
    for guid in GUIDS[1:4]:
        world.sql(
            "INSERT INTO tasks (guid, title, parent_guid) VALUES (?, ?, ?)", guid, guid, GUIDS[0]
        )
    world.sync()
    above = next(i.id for i in world.service.model.items() if i.guid == GUIDS[0])
    parents = {i.guid: i.get("parent") for i in world.service.model.items() if i.guid != GUIDS[0]}
    assert parents == dict.fromkeys(GUIDS[1:4], above)
    assert len(transport.seen) == 4


def test_a_session_lost_by_several_is_renewed_once(meeting: Make) -> None:
    world, _ = meeting(range(2, 4), tasks=3, after=True)
    world.sql("UPDATE tasks SET title = 'new ' || guid")
    world.engine.api.fetch_preferences()
    world.service.reset_log()
    world.service.faults.add(Fault("expire_session", "PUT", "/item/*", nth=2))
    assert world.sync().pushed == 3
    asked = Counter(entry.path for entry in world.service.log)
    assert asked["/user/authenticate"] == 1
    assert Counter(i.title for i in world.service.model.items()) == Counter(
        f"new {guid}" for guid in GUIDS[:3]
    )


def test_what_is_limited_waits_and_the_others_are_done(meeting: Make) -> None:
    world, _ = meeting(range(2, 4), tasks=3)
    world.sql("UPDATE tasks SET title = 'new ' || guid")
    world.service.faults.add(
        Fault("status", "PUT", "/item/*", nth=2, status=429, code=67, retry_after=30)
    )
    summary = world.sync()
    assert summary.pushed == 2
    assert Counter(state for _, state in world.changes()[3:]) == {"done": 2, "pending": 1}
    world.time.sleep(60.0)
    assert world.sync().pushed == 1
    assert world.sync().pushed == 0


def test_a_refused_login_stops_all_but_what_was_answered_is_kept(meeting: Make) -> None:
    world, transport = meeting(range(2, 4), tasks=3)
    world.sql("UPDATE tasks SET title = 'new ' || guid")
    world.service.faults.add(Fault("status", "PUT", "/item/*", nth=3, status=403, code=54))
    with pytest.raises(StopError):
        world.sync()
    assert Counter(state for _, state in world.changes()[3:]) == {"done": 2, "pending": 1}
    assert len(transport.seen) == 3


def test_a_lost_answer_makes_the_next_ones_go_alone(meeting: Make) -> None:
    world, transport = meeting(range(2, 4), tasks=5)
    world.sql("UPDATE tasks SET title = 'new ' || guid")
    world.service.faults.add(Fault("drop_after", "PUT", "/item/*", nth=2))
    world.sync()
    assert len(transport.seen) == 5
    assert {i.title for i in world.service.model.items()} == {f"new {g}" for g in GUIDS[:5]}
    assert world.sync().pushed == 0
