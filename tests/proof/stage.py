"""A simulation in which rows and items have names, and what can happen there besides.

It is the scene of `tests/edges` on a `Sim`, so that every entry there can be killed as well.
Public: `Stage`, `set_stage`, and the functions that are acts or make one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import httpx
import pytest

from hisync.errors import LockedError, MirrorError, ServiceError, StaleWriterError, StopError
from hisync.mirror.store import open_mirror
from hisync.sandbox import Fault, Service
from tests.edges.scene import Act, InterruptedTransport, Scene
from tests.proof.sim import Sim, Snapshot, make_sim
from tests.world import Backend

PATIENCE = 700.0
"""Virtual seconds after which nothing waits any more, but for what `Retry-After` asked for."""

SIDE_BY_SIDE = "side by side"
"""No habit of a server: pushes are claimed four at a time, and sent in any order."""


@dataclass
class Canned:
    """What stands in the way of the next request of this kind and answers it."""

    method: str
    path: str
    response: httpx.Response
    times: int


class StageTransport(InterruptedTransport):
    """Answers some requests by itself: nothing arrives then."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.canned: list[Canned] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api")
        for each in self.canned:
            if each.method == request.method and fnmatchcase(path, each.path):
                each.times -= 1
                if not each.times:
                    self.canned.remove(each)
                old = each.response
                return httpx.Response(
                    old.status_code, headers=old.headers, content=old.content, request=request
                )
        return super().handle_request(request)


@dataclass
class _Room:
    """The place of the one mirror that a simulation has."""

    sim: Sim

    @property
    def client(self) -> sqlite3.Connection:
        return self.sim.person

    def leave(self) -> None:
        self.sim.close()


@dataclass
class Stage(Scene):
    """One simulation in which an entry is played."""

    copies: list[Any] = field(default_factory=list)

    @property
    def sim(self) -> Sim:
        """The world."""
        assert isinstance(self.world, Sim)
        return self.world

    @property
    def transport(self) -> StageTransport:
        """What carries requests."""
        assert isinstance(self.sim.transport, StageTransport)
        return self.sim.transport

    def close(self) -> None:
        """End it all."""
        self.sim.close()

    def act(self, act: Act) -> None:
        """Let something happen, and say so in the trace."""
        self.sim.note(act if isinstance(act, str) else getattr(act, "__qualname__", "act"))
        super().act(act)

    def snapshot(self) -> StoppedStage:
        """What can be played again any number of times."""
        return StoppedStage(self.sim.snapshot(), dict(self.names))


@dataclass(frozen=True)
class StoppedStage:
    """A stage that stands still, its mirror quiet."""

    stopped: Snapshot
    names: dict[str, str]

    def copy(self, folder: Path) -> Stage:
        """The stage as it was."""
        return _on(self.stopped.copy(folder), deepcopy(self.names))

    def drop(self) -> None:
        """Take its mirror away."""
        self.stopped.mirror.drop()


def set_stage(
    folder: Path,
    given: Mapping[str, Mapping[str, Any]],
    *,
    traits: Iterable[str] = (),
    zone: str = "UTC",
    rules: Mapping[str, Any] | None = None,
    items: int = 0,
    backend: Backend = "sqlite",
) -> Stage:
    """A stage whose mirror is filled and quiet.

    Args:
        folder: where its mirror is; it is emptied.
        given: items by name, as `Scene.create` takes them.
        traits: habits of the server.
        zone: the account's time zone.
        rules: what the user decided.
        items: items of others that hiTask has besides.
        backend: the database engine of the mirror.
    """
    sim = make_sim(folder, items=items, traits=traits, rules=rules, backend=backend)
    stage = _on(sim, {})
    user = stage.account
    stage.model.team.users[user.id] = replace(user, time_zone=zone)
    for name, values in given.items():
        stage.create(name, values)
    sim.sync()
    sim.sync()
    sim.service.reset_log()
    sim.steps = 0
    sim.trace.clear()
    sim.commits.clear()
    return stage


def _on(sim: Sim, names: dict[str, str]) -> Stage:
    transport = sim.transport = StageTransport(sim.service)
    stage = transport.scene = Stage(sim, _Room(sim), None, names)
    return stage


def cycle(scene: Scene) -> None:
    """A cycle of a daemon, which starts anew after a refused login and lives with the rest."""
    _cycle(scene)


def full_cycle(scene: Scene) -> None:
    """A cycle that reads everything again."""
    _cycle(scene, full=True)


def _cycle(scene: Scene, **options: Any) -> None:
    try:
        scene.world.sync(**options)
    except StopError:
        scene.world.crash()
    except ServiceError:
        pass


def answered(
    request: str,
    status: int,
    body: str | bytes = b"",
    *,
    headers: Mapping[str, str] | None = None,
    times: int = 1,
) -> Act:
    """The next request of this kind (`PUT /item/*`) does not arrive, and is answered like this."""
    method, _, path = request.partition(" ")
    content = body.encode() if isinstance(body, str) else body

    def run(scene: Scene) -> None:
        assert isinstance(scene, Stage)
        response = httpx.Response(status, headers=headers, content=content)
        scene.transport.canned.append(Canned(method, path, response, times))

    return run


def late(request: str, after: int = 3) -> Act:
    """The answer to the next such request is lost; it is applied so many requests later."""
    method, _, path = request.partition(" ")
    return lambda scene: scene.world.service.faults.add(
        Fault("apply_late", method, path, after=after)
    )


def waits(seconds: float) -> Act:
    """Time passes, or a clock is set: backwards too."""

    def run(scene: Scene) -> None:
        scene.world.time.now += seconds

    return run


def anew(scene: Scene) -> None:
    """The process ends, and another one starts."""
    scene.world.crash()


def keeps_copy(scene: Scene) -> None:
    """Somebody makes a backup of the mirror."""
    assert isinstance(scene, Stage)
    scene.copies.append(scene.sim.copy_database())


def puts_copy_back(scene: Scene) -> None:
    """Somebody restores the last backup."""
    assert isinstance(scene, Stage)
    scene.sim.restore_database(scene.copies[-1])


def fills_disk(scene: Scene) -> None:
    """There is no room for anything more."""
    _sim(scene).home.fill(_sim(scene), full=True)


def makes_room(scene: Scene) -> None:
    """There is room again."""
    _sim(scene).home.fill(_sim(scene), full=False)


def fails_here(scene: Scene) -> None:
    """A cycle that the database stops, sooner or later; who was pushed aside starts anew."""
    try:
        _cycle(scene)
    except StaleWriterError:
        scene.world.crash()
    except MirrorError:
        pass


def is_pushed_aside(scene: Scene) -> None:
    """A cycle that ends because another process has taken over."""
    with pytest.raises(StaleWriterError):
        scene.world.sync()


def locks(scene: Scene) -> None:
    """Somebody's transaction holds the database."""
    scene.world.engine  # noqa: B018 - it is open already
    home = _sim(scene).home
    home.hurry(locked=True)
    with suppress(sqlite3.OperationalError):
        for statement in home.locking:
            _sim(scene).person.execute(statement)


def unlocks(scene: Scene) -> None:
    """That transaction ends."""
    connection = _sim(scene).person
    if connection.in_transaction:
        connection.execute("COMMIT")
    _sim(scene).home.hurry(locked=False)


def _sim(scene: Scene) -> Sim:
    assert isinstance(scene, Stage)
    return scene.sim


def by_engine(*, sqlite: str, postgresql: str) -> Act:
    """A statement that each engine has its own words for."""
    said: dict[Backend, str] = {"sqlite": sqlite, "postgresql": postgresql}
    return lambda scene: scene.sql(said[scene.world.backend])


def second_daemon(scene: Scene) -> None:
    """Another process wants to work on the same mirror, and is turned away."""
    scene.world.engine  # noqa: B018 - the first one is at work
    with open_mirror(scene.world.url) as second, pytest.raises(LockedError):
        second.acquire()


def takes_over(scene: Scene) -> None:
    """Another process takes the mirror over although this one lives (its lock was removed)."""
    (row,) = scene.sql("SELECT value FROM sync_state WHERE key = 'fence'")
    fence = str(int(row["value"]) + 1)
    scene.sql("UPDATE sync_state SET value = :fence WHERE key = 'fence'", fence=fence)


def other_account(scene: Scene) -> None:
    """The session is lost, and the login answers with another account."""
    scene.model.team.expire_sessions()
    body = '{"session_id": "f00", "id": 4711, "level": 20, "login_id": 4711}'
    scene.act(answered("GET /user/authenticate", 200, body, times=0))


def own_account(scene: Scene) -> None:
    """The login answers as ever."""
    assert isinstance(scene, Stage)
    scene.transport.canned.clear()


def loses(*tables: str) -> Act:
    """Somebody empties tables of the machinery."""

    def run(scene: Scene) -> None:
        scene.world.crash()
        for table in tables:
            scene.sql(f"DELETE FROM {table}")

    return run


def says(name: str, message: str) -> Act:
    """Somebody comments here."""
    return lambda scene: scene.sql(
        f"INSERT INTO comments (item_guid, message) VALUES (:{name}, :text)", text=message
    )


def spends(name: str, minutes: int) -> Act:
    """Somebody logs time here."""
    return lambda scene: scene.sql(
        f"INSERT INTO time_entries (item_guid, minutes) VALUES (:{name}, :m)", m=minutes
    )


def colleague_spends(name: str, minutes: int) -> Act:
    """Somebody adds to an item's total on hiTask."""

    def run(scene: Scene) -> None:
        item = scene.need(name)
        total: Any = item.get("time_spent")
        scene.model.update(item.id, user=scene.colleague, time_spent=int(total or 0) + minutes)

    return run
