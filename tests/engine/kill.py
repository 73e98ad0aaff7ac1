"""Kill points: the engine dropped at each numbered step, and started again from what was durable.

A step is the moment before a request is sent, after its answer arrived, and before a commit
(after it is before whatever comes next). `killed_everywhere` goes on until a run was not killed.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
from sqlalchemy import Connection, event

from hisync.sandbox import SandboxTransport
from tests.world import World


class KilledError(BaseException):
    """The process died here; nothing after this line runs, no handler either."""


class Steps:
    """Counts the effects of an engine, and dies at one of them."""

    def __init__(self, world: World, die_at: int | None = None) -> None:
        self.count = 0
        self._die_at = die_at
        self._inner = SandboxTransport(world.service)
        world.crash()
        world.transport = _Stepping(self, self._inner)
        engine = world.engine  # opening is no part of the story
        event.listen(engine.mirror.engine, "commit", self._before_commit)

    def step(self) -> None:
        self.count += 1
        if self.count == self._die_at:
            raise KilledError

    def _before_commit(self, _connection: Connection) -> None:
        self.step()


class _Stepping(httpx.BaseTransport):
    def __init__(self, steps: Steps, inner: httpx.BaseTransport) -> None:
        self._steps = steps
        self._inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._steps.step()
        response = self._inner.handle_request(request)
        self._steps.step()
        return response


def killed_everywhere(start: World, rounds: int = 2) -> Iterator[tuple[int, World]]:
    """Yield a world for each kill point, killed there and synced to its end again.

    Args:
        start: the world before the sync that is killed; it is not changed itself.
        rounds: syncs after the kill.
    """
    step = 1
    while True:
        world = start.fork(start.folder / str(step))
        Steps(world, die_at=step)
        died = False
        try:
            world.sync()
        except KilledError:
            died = True
        world.crash()
        world.transport = None
        for _ in range(rounds):
            world.sync()
        yield (step if died else 0), world
        world.close()
        if not died:
            return
        step += 1
