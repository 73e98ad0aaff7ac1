"""A quiet minute: one request, and one small write to the disk."""

from __future__ import annotations

from pathlib import Path

from hisync.budget.purse import Purse
from tests.world import World, make_world

PAGE, FRAME_HEADER, WAL_HEADER = 4096, 24, 32


def commits(wal: Path) -> list[int]:
    """The pages that each committed transaction in a write-ahead log has written."""
    data, sizes, pages = wal.read_bytes(), [], 0
    for start in range(WAL_HEADER, len(data), FRAME_HEADER + PAGE):
        pages += 1
        if any(data[start + 4 : start + 8]):  # the last frame of a transaction says the file's size
            sizes.append(pages)
            pages = 0
    return sizes


def with_purse(world: World) -> World:
    """The same world, whose engine is granted its requests as the daemon's is."""
    engine = world.engine
    purse = Purse(engine.mirror, 60, clock=engine.clock, pause=world.time.sleep)
    engine.keep_books, engine.next_cycle_in, engine.spare = purse.keep_books, 60.0, purse.spare
    engine.api._connection._grant = purse.grant
    engine.api._connection._settle = purse.settle
    return world


def test_a_quiet_minute_makes_one_request_and_one_small_commit(tmp_path: Path) -> None:
    world = with_purse(make_world(tmp_path))
    for _ in range(5):
        world.time.sleep(60)
        world.sync()
    world.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    for _ in range(10):
        world.time.sleep(60)
        assert world.sync().requests == 1
    written = commits(world.database.with_name("mirror.db-wal"))
    world.close()
    assert len(written) == 10
    assert max(written) <= 8
