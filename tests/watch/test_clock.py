"""The daemon and a clock that somebody sets back: it must not sleep until that time comes again."""

from __future__ import annotations

import threading
import time as clock
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from apscheduler.schedulers import base
from apscheduler.triggers import interval
from structlog.testing import capture_logs

from hisync import daemon as daemons
from hisync.daemon import Daemon
from tests.world import make_world

PATIENCE = 30.0


class Wrong(datetime):
    """A clock that can be set."""

    ahead = timedelta(0)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + cls.ahead


def wait_for(met: Callable[[], object]) -> None:
    until = clock.monotonic() + PATIENCE
    while not met():
        assert clock.monotonic() < until, "it never came"
        clock.sleep(0.02)


def test_an_edit_still_goes_out_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (base, interval, daemons):
        monkeypatch.setattr(module, "datetime", Wrong)
    ahead = daemons._clock_ahead()
    monkeypatch.setattr(daemons, "_clock_ahead", lambda: ahead + Wrong.ahead.total_seconds())
    monkeypatch.setattr(daemons, "CLOCK_LOOK", 0.1)
    monkeypatch.setattr(Wrong, "ahead", timedelta(0))
    world, stop = make_world(tmp_path, items=3), threading.Event()
    world.engine.stopping = stop.is_set
    daemon = Daemon(world.engine, stop, poll_interval=3600, push_delay=0.0)
    with capture_logs() as logs:
        thread = threading.Thread(target=daemon.run)
        thread.start()
        try:
            wait_for(lambda: [e for e in logs if e["event"] == "cycle_finished"])
            Wrong.ahead = timedelta(days=-1)
            wait_for(lambda: [e for e in logs if e["event"] == "clock_set_back"])
            world.sql("INSERT INTO tasks (title) VALUES ('after that')")
            wait_for(lambda: "after that" in {i.title for i in world.service.model.items()})
        finally:
            stop.set()
            thread.join()
            world.close()
    assert [e["seconds"] for e in logs if e["event"] == "clock_set_back"] == [86400]
