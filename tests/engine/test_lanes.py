"""Pushes side by side: they overlap, and nothing that depends on another goes beside it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import pytest

from hisync import push as pushing
from hisync.budget.lanes import Lanes
from hisync.budget.purse import Purse
from hisync.engine import Clock, Engine
from hisync.errors import BusyError, ServiceError, StopError
from hisync.items import Item
from hisync.outcome.overwritten import Overwritten, look_for_overwritten
from hisync.pull import pull
from hisync.push import push
from hisync.pushing.claim import Claim
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


def overlapping(engine: Engine, most: int = 8, first: int = 1) -> None:
    engine.lanes = Lanes(most, first=first, run=engine.api.side_by_side)


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


def test_a_rejected_login_is_not_repeated_by_the_others(meeting: Make) -> None:
    world, _ = meeting(range(1, 5), tasks=4, after=True)
    overlapping(world.engine, first=4)
    world.sql("UPDATE tasks SET title = 'new ' || guid")
    world.engine.api.fetch_preferences()
    world.service.reset_log()
    world.service.faults.add(
        Fault("status", "PUT", "/item/*", count=4, status=401, code=7),
        Fault("status", "GET", "/user/authenticate", count=0, status=403, code=6),
    )
    with pytest.raises(StopError):
        world.sync()
    assert Counter(entry.path for entry in world.service.log)["/user/authenticate"] == 1


def test_a_lost_session_is_counted_as_lost_by_each(meeting: Make) -> None:
    told = list[tuple[str, str]]()

    def settle(cause: str, error: ServiceError | None) -> None:
        told.append((cause, type(error).__name__))

    world, _ = meeting(range(1, 4), tasks=3, after=True)
    overlapping(world.engine, first=3)
    world.engine.api.fetch_preferences()
    world.sql("UPDATE tasks SET title = 'new ' || guid")
    world.service.faults.add(Fault("status", "PUT", "/item/*", count=3, status=401, code=7))
    world.engine.api._connection._settle = settle
    assert world.sync().pushed == 3
    counted = Counter(told)
    assert counted["update", "SessionLostError"] == 3
    assert counted["update", "NoneType"] == 3


def test_a_busy_database_at_one_grant_keeps_the_others_answers(meeting: Make) -> None:
    asked = Counter[str]()

    def grant(cause: str) -> None:
        asked[cause] += 1
        if cause == "update" and asked[cause] == 2:
            raise BusyError("the database is locked")

    world, _ = meeting(range(0), tasks=3)
    overlapping(world.engine, first=3)
    world.sql("UPDATE tasks SET title = 'new ' || guid")
    world.engine.api._connection._grant = grant
    with pytest.raises(BusyError):
        world.sync()
    assert Counter(state for _, state in world.changes()[3:]) == {"done": 2, "sending": 1}
    world.sync()
    assert world.sync().pushed == 0
    assert {i.title for i in world.service.model.items()} == {f"new {g}" for g in GUIDS[:3]}


def test_a_refused_history_keeps_the_others_answers(
    meeting: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(engine: Engine, claimed: Claim, item: Item) -> Overwritten:
        if claimed.intent.guid == GUIDS[0]:
            raise StopError("the key lacks a permission", code=54)
        return look_for_overwritten(engine, claimed, item)

    world, _ = meeting(range(0), tasks=3)
    overlapping(world.engine, first=3)
    world.sql("UPDATE tasks SET title = 'new ' || guid")
    monkeypatch.setattr(pushing, "look_for_overwritten", look)
    with pytest.raises(StopError):
        world.sync()
    assert Counter(state for _, state in world.changes()[3:]) == {"done": 2, "unknown": 1}


def test_rows_that_fail_do_not_stop_a_queue_that_goes_well(meeting: Make) -> None:
    world, _ = meeting(range(0), tasks=8)
    overlapping(world.engine, first=4, most=4)
    world.sql("UPDATE tasks SET title = 'new ' || guid")
    world.service.faults.add(Fault("drop_before", "PUT", "/item/*", count=3))
    pull(world.engine)
    assert push(world.engine).trouble is None


def test_a_short_name_moves_from_one_project_to_another(new_world: MakeWorld) -> None:
    world = new_world(items=0)
    world.sync()
    for guid, short in zip(GUIDS[:2], ("ABC", None), strict=True):
        world.sql("INSERT INTO projects (guid, title, short_name) VALUES (?, 'p', ?)", guid, short)
    world.sync()
    # Two that went at once would arrive in the other order.
    world.engine.lanes = Lanes(8, first=2, run=lambda jobs: [job() for job in jobs[::-1]][::-1])
    world.sql("UPDATE projects SET short_name = NULL WHERE guid = ?", GUIDS[0])
    world.sql("UPDATE projects SET short_name = 'ABC' WHERE guid = ?", GUIDS[1])
    world.sync()
    assert [state for _, state in world.changes()] == ["done"] * 4


def test_no_minute_sees_more_than_the_budget(meeting: Make) -> None:
    sent = list[float]()

    def grant(cause: str) -> None:
        purse.grant(cause)
        sent.append(world.time())

    world, _ = meeting(range(0), tasks=8)
    purse = Purse(world.engine.mirror, 5, clock=Clock(world.time), pause=world.time.sleep)
    world.engine.api._connection._grant = grant
    lanes = Lanes(8, first=8, run=world.engine.api.side_by_side, ready=purse.ready)
    world.engine.lanes = lanes
    world.sql("UPDATE tasks SET title = 'new ' || guid")
    assert world.sync().pushed == 8
    assert all(later - first >= 60 for first, later in zip(sent, sent[5:], strict=False))
