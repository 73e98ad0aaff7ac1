"""PostgreSQL ends every session at any commit, before or after it: nothing is lost or doubled.

Unlike at a kill point the process lives on, with the same engine: it must find that out, connect
again, take its lock back and go on from what was committed.
"""

from __future__ import annotations

from typing import Any, Literal

import psycopg
import pytest

from hisync.errors import MirrorError
from tests import postgres
from tests.engine.conftest import MakeWorld
from tests.engine.kill import nothing_waits
from tests.engine.test_kill_points import STORIES, prepare
from tests.world import World

pytestmark = pytest.mark.slow

When = Literal["before", "after"]

END_SESSIONS = """SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'hisync %'"""


class Cut:
    """Ends the engine's sessions at its n-th commit."""

    def __init__(self, world: World, at: int, when: When) -> None:
        self.commits = 0
        self._at = at
        self._when = when
        self._world = world
        self._commit = world.engine.mirror.engine.dialect.do_commit

    def __call__(self, connection: Any) -> None:
        self.commits += 1
        if self.commits != self._at:
            self._commit(connection)
        elif self._when == "before":
            self._end_sessions()
            self._commit(connection)
        else:
            self._commit(connection)
            self._end_sessions()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    def _end_sessions(self) -> None:
        with psycopg.connect(postgres.server().conninfo(self._world.served)) as client:
            client.execute(END_SESSIONS)


def cut(world: World, patch: pytest.MonkeyPatch, at: int, when: When) -> bool:
    """Sync, with the sessions ended on the way; whether it came to that commit."""
    cutting = Cut(world, at, when)
    with patch.context() as patched:
        patched.setattr(world.engine.mirror.engine.dialect, "do_commit", cutting)
        try:
            world.sync()
        except MirrorError:
            assert cutting.commits == at
    return cutting.commits >= at


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("story", ["create", "update", "conflict"])
def test_with_its_sessions_ended_at_every_commit_it_ends_as_if_nothing_had_happened(
    new_world: MakeWorld, story: str, when: When, monkeypatch: pytest.MonkeyPatch
) -> None:
    happen, check = STORIES[story]
    start = new_world(items=3, traits=["repeated_guid=duplicates"])
    prepare(start)
    happen(start)
    frozen, at = start.freeze(), 1
    while True:
        folder = start.folder / str(at)
        folder.mkdir()
        world = frozen.thaw(folder)
        happened = cut(world, monkeypatch, at, when)
        try:
            world.sync()
            world.sync()
            check(world)
            nothing_waits(world)
        except AssertionError as error:
            error.add_note(f"sessions ended {when} commit {at}")
            raise
        finally:
            world.close()
        if not happened:
            break
        at += 1
    assert at > 3


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_server_that_has_not_counted_as_far_takes_the_place_of_another(
    new_world: MakeWorld,
) -> None:
    """As a logical replica does, which has every row and none of the sequences."""
    world = new_world()
    world.sync()
    world.sql("UPDATE tasks SET title = 'before' WHERE permission = 100")
    world.sync()
    world.sql("DELETE FROM change_log")  # pruned, so that the low numbers are free
    world.sql("ALTER SEQUENCE change_log_seq_seq RESTART")
    with psycopg.connect(postgres.server().conninfo(world.served)) as client:
        client.execute(END_SESSIONS)
    row = world.sql("SELECT guid FROM tasks WHERE title = 'before'")[0]
    world.sql("UPDATE tasks SET title = 'after' WHERE guid = ?", row["guid"])
    assert world.sync().pushed == 1
    assert "after" in {item.title for item in world.service.model.items()}
    nothing_waits(world)
