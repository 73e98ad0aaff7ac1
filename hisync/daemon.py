"""The daemon: APScheduler sets the engine going, one cycle at a time, until it is told to stop.

Two jobs in one worker thread: `poll` runs a cycle every `poll_interval` seconds, `watch` looks
twice a second whether anyone wrote to the database and brings the next cycle forward. Neither
does the engine's work itself, so a slow cycle only delays the next one. Public: `Daemon`.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from hisync.cycle import run_cycle
from hisync.engine import Engine
from hisync.errors import HisyncError, SlowDownError, StaleWriterError, StopError
from hisync.mirror import changes
from hisync.mirror.sqlite import ChangeWatch

LOOK_EVERY: Final = 0.5
"""Seconds between two looks at whether anyone wrote to the database."""

LONGEST_WAIT: Final = 900.0
"""Seconds between two attempts when trouble lasts, a refused login included."""


class Daemon:
    """Runs cycles on an engine until `stop` is set.

    Args:
        engine: everything a cycle needs; its `stopping` should be `stop.is_set`.
        stop: set it to end the daemon after what it is doing.
        poll_interval: seconds between two polls.
        push_delay: seconds between a local edit and its push.
    """

    def __init__(
        self, engine: Engine, stop: threading.Event, *, poll_interval: float, push_delay: float
    ) -> None:
        self._engine = engine
        self._stop = stop
        self._poll_interval = poll_interval
        self._push_delay = push_delay
        self._watch = ChangeWatch(engine.mirror.engine)
        self._seen_seq = 0
        self._failures = 0
        self._quiet_until = 0.0
        self._fatal: HisyncError | None = None
        self._log = structlog.get_logger("hisync")
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
            timezone=UTC,
        )

    def run(self) -> None:
        """Work until told to stop.

        Raises:
            StaleWriterError: if another process has taken the mirror over.
        """
        self._log.info("daemon_started", poll_interval=self._poll_interval)
        now = datetime.now(UTC)
        self._every(self._poll_interval, self._cycle, "poll", first=now)
        self._every(LOOK_EVERY, self._look, "watch", first=now + timedelta(seconds=LOOK_EVERY))
        self._scheduler.start()
        try:
            self._stop.wait()
        finally:
            self._scheduler.shutdown(wait=True)
            self._watch.close()
            self._log.info("daemon_stopped")
        if self._fatal is not None:
            raise self._fatal

    def _every(
        self, seconds: float, job: Callable[[], None], name: str, *, first: datetime
    ) -> None:
        self._scheduler.add_job(job, "interval", seconds=seconds, id=name, next_run_time=first)

    def _look(self) -> None:
        """Bring the next cycle forward if people have changed something since the last."""
        if self._stop.is_set() or not self._watch.changed():
            return
        with self._engine.mirror.reading() as connection:
            newest = changes.newest_seq(connection)
        if newest > self._seen_seq:
            self._seen_seq = newest
            delay = max(0.0, self._push_delay - LOOK_EVERY)
            self._scheduler.add_job(
                self._cycle,
                "date",
                run_date=datetime.now(UTC) + timedelta(seconds=delay),
                id="push",
                replace_existing=True,
            )

    def _cycle(self) -> None:
        now = self._engine.clock.time()
        if self._stop.is_set() or now < self._quiet_until:
            return
        try:
            summary = run_cycle(self._engine)
        except StaleWriterError as error:
            self._fatal = error
            self._stop.set()
        except HisyncError as error:
            self._note_trouble(error)
        except Exception as error:  # noqa: BLE001 - a daemon that dies silently helps nobody
            self._log.exception("cycle_failed", error=type(error).__name__)
            self._note_trouble(error)
        else:
            if summary.trouble is not None:
                self._note_trouble(summary.trouble)
            else:
                self._note_success()

    def _note_trouble(self, error: Exception) -> None:
        """Say it once when it starts, and ask less and less often while it lasts."""
        self._failures += 1
        if self._failures == 1:
            self._log.error("trouble_started", error=str(error), kind=type(error).__name__)
        wait = min(LONGEST_WAIT, self._poll_interval * 2 ** min(self._failures - 1, 10))
        if isinstance(error, StopError):
            wait = LONGEST_WAIT
            self._engine.api.reset()
        elif isinstance(error, SlowDownError) and error.retry_after:
            wait = max(wait, error.retry_after)
        self._quiet_until = self._engine.clock.time() + wait - LOOK_EVERY

    def _note_success(self) -> None:
        if self._failures:
            self._log.info("trouble_ended", failures=self._failures)
        self._failures = 0


def stop_on_signals(stop: threading.Event) -> None:
    """Let SIGTERM and SIGINT end the daemon after what it is doing."""

    def handle(_signal: int, _frame: Any) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
