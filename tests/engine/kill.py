"""Kill points: the engine dropped at each numbered step, and started again from what was durable.

A step is the moment before a request is sent, after its answer arrived, and before a commit
(after it is before whatever comes next). `killed_everywhere` goes on until a run was not killed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

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


def ends_well_everywhere(
    start: World, check: Callable[[World], None], quiet: Callable[[World], None], rounds: int = 2
) -> None:
    """Kill a sync at each of its steps, and hold every end of the story to what it must be.

    Args:
        start: the world before the sync that is killed.
        check: what must have come of the story.
        quiet: that nothing is left to do.
        rounds: syncs after the kill.
    """
    points = 0
    for step, killed in killed_everywhere(start, rounds):
        points += 1
        try:
            check(killed)
            quiet(killed)
        except AssertionError as error:
            error.add_note(f"killed at step {step}")
            raise
    assert points > 4


def nothing_waits(world: World) -> None:
    """Nothing is under way or unsent, and one more sync changes nothing on either side."""
    assert world.sql("SELECT 1 FROM sync_intents") == []
    assert world.sql("SELECT 1 FROM sync_base WHERE dirty IS NOT NULL") == []
    assert not world.sql("SELECT * FROM change_log WHERE finished_at IS NULL")
    world.service.reset_log()
    assert (world.sync().pulled, world.writes()) == (0, [])
