"""A file that is damaged while the daemon has it open: no traceback twice a second."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from hisync.daemon import Daemon
from hisync.mirror.store import open_mirror
from hisync.watch.systemd import ServiceManager
from tests.world import make_world


def test_a_look_at_a_damaged_file_leaves_it_to_the_next_cycle_to_say_so(tmp_path: Path) -> None:
    file = tmp_path / "mirror.db"
    with open_mirror(f"sqlite:///{file}").acquire() as mirror:
        watch = mirror.watch()
        assert watch.changed()
        with mirror.engine.connect() as connection:
            connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with file.open("r+b") as opened:
            opened.write(b"garbage" * 1000)
        assert watch.changed()
        watch.close()


@pytest.mark.slow
def test_what_fails_after_a_cycle_does_not_end_the_polls(tmp_path: Path) -> None:
    world, stop, seen = make_world(tmp_path), threading.Event(), []

    def after_cycle() -> None:
        seen.append(1)
        if len(seen) == 2:
            stop.set()
        raise RuntimeError

    threading.Timer(8.0, stop.set).start()
    Daemon(world.engine, stop, poll_interval=1.0, push_delay=0.1, after_cycle=after_cycle).run()
    world.close()
    assert len(seen) == 2


def test_words_that_are_no_text_reach_the_service_manager(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")}).ready("database /srv/\udcff.db")
        assert manager.recv(1000).startswith(b"STATUS=database /srv/?.db")
