"""The daemon: APScheduler sets the engine going, one cycle at a time, until it is told to stop.

Two jobs in one worker thread: `poll` runs a cycle and says when the next is due, `watch` looks
twice a second whether anyone wrote to the database and brings the next cycle forward. Neither
does the engine's work itself, so a slow cycle only delays the next one. Public: `Daemon`,
`stop_on_signals`.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from hisync.budget.pace import Pace
from hisync.cycle import Summary, run_cycle
from hisync.engine import Engine
from hisync.errors import (
    HisyncError,
    LostServerError,
    ServiceError,
    SlowDownError,
    StaleWriterError,
    StopError,
)
from hisync.mirror import changes
from hisync.retention import prune_when_due
from hisync.watch.vitals import Vitals

LOOK_EVERY: Final = 0.5
"""Seconds between two looks at whether anyone wrote to the database."""

CLOCK_LOOK: Final = 2.0
"""Seconds between two looks at whether the clock was set back."""

GRACE: Final = 0.4
"""Seconds that a request gets to end by itself when hisync is to stop, and then to be ended."""


def _nobody() -> None: ...


class Daemon:
    """Runs cycles on an engine until `stop` is set.

    Args:
        engine: everything a cycle needs; its `stopping` should be `stop.is_set`.
        stop: set it to end the daemon after what it is doing.
        poll_interval: seconds between two polls while people work.
        push_delay: seconds between a local edit and its push.
        quiet_interval: seconds between two polls at most when nothing has changed for long.
        keep_days: days for which what is finished is kept; None keeps it for ever.
        vitals: where to write how it goes.
        after_cycle: called in the engine's thread after each cycle, and each that failed.
        alive: called while the engine is not stuck; of a service manager with a watchdog.
        watchdog: seconds after which that manager kills what has not called `alive`.

    Attributes:
        hangs: whether it has ended while a request could not be; that thread lives on.
    """

    def __init__(
        self,
        engine: Engine,
        stop: threading.Event,
        *,
        poll_interval: float,
        push_delay: float,
        quiet_interval: float = 0.0,
        keep_days: float | None = None,
        vitals: Vitals | None = None,
        after_cycle: Callable[[], None] = _nobody,
        alive: Callable[[], None] = _nobody,
        watchdog: float | None = None,
    ) -> None:
        self._engine = engine
        self._stop = stop
        self._push_delay = push_delay
        self._keep_days = keep_days
        self._pace = Pace(poll_interval, quiet_interval, engine.clock.time())
        self._vitals = vitals or Vitals(engine.clock.time, poll_interval)
        self._after_cycle = after_cycle
        self._alive = alive
        self._watchdog = watchdog
        self._watch = engine.mirror.watch()
        self._seen_seq = 0
        self._quiet_until = 0.0
        self._trouble: type[Exception] | None = None
        self._trouble_since = 0.0
        self._fatal: HisyncError | None = None
        self._working = threading.Lock()
        self.hangs = False
        self._log = structlog.get_logger("hisync")
        # It warns twice a second of a look that waits for a cycle to end, as it should.
        logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
            timezone=UTC,
        )
        engine.progress = self._note_progress

    def run(self) -> None:
        """Work until told to stop.

        Raises:
            StaleWriterError: if another process has taken the mirror over.
        """
        self._log.info("daemon_started", poll_interval=self._pace.interval(self._now()))
        self._schedule(self._cycle, "poll", 0.0)
        self._scheduler.add_job(self._look, "interval", seconds=LOOK_EVERY, id="watch")
        self._scheduler.start()
        try:
            self._wait()
        finally:
            self._end()
        if self._fatal is not None:
            raise self._fatal

    def _note_progress(self, _stage: str, _done: int, _total: int | None) -> None:
        self._vitals.touch()

    def _wait(self) -> None:
        """Until told to stop, and say meanwhile that the engine is not stuck, as long as it isn't.

        Nothing may take longer than half the watchdog's time: not a request that hangs until its
        time-out, nor the wait for the budget.
        """
        watchdog = self._watchdog
        ahead = _clock_ahead()
        while not self._stop.wait(min(CLOCK_LOOK, watchdog / 8) if watchdog else CLOCK_LOOK):
            if watchdog and self._vitals.untouched < watchdog / 2:
                self._alive()
            before, ahead = ahead, _clock_ahead()
            if ahead < before - CLOCK_LOOK:
                self._start_over(before - ahead)

    def _start_over(self, seconds: float) -> None:
        """The clock was set back: what is due by it would be so only that much later."""
        self._log.warning("clock_set_back", seconds=round(seconds))
        self._quiet_until = 0.0
        self._scheduler.reschedule_job("watch", trigger="interval", seconds=LOOK_EVERY)
        self._schedule(self._cycle, "poll", 0.0)

    def _end(self) -> None:
        """Let the engine's thread come to its end, and end a request that hangs."""
        if not self._working.acquire(timeout=GRACE):
            self._engine.api.abort()
            if not self._working.acquire(timeout=2 * GRACE):
                self.hangs = True
        if not self.hangs:
            self._working.release()
            self._watch.close()
        self._scheduler.shutdown(wait=not self.hangs)
        self._log.info("daemon_stopped", **({"hanging": True} if self.hangs else {}))

    def _schedule(self, job: Callable[[], None], name: str, seconds: float) -> None:
        when = datetime.now(UTC) + timedelta(seconds=seconds)
        self._scheduler.add_job(job, "date", run_date=when, id=name, replace_existing=True)

    def _look(self) -> None:
        """Bring the next cycle forward if people have changed something since the last."""
        with self._working:
            self._vitals.touch()
            if self._stop.is_set() or not self._watch.changed():
                return
            try:
                with self._engine.mirror.reading() as connection:
                    newest = changes.newest_seq(connection)
            except LostServerError:
                if self._trouble is None:  # it is said, and tried again from now on
                    self._schedule(self._cycle, "poll", 0.0)
                return
            except HisyncError:
                return  # the next cycle says what is wrong
            if newest > self._seen_seq:
                self._seen_seq = newest
                self._pace.note_work(self._now())
                self._schedule(self._push, "push", max(0.0, self._push_delay - LOOK_EVERY))

    def _push(self) -> None:
        """A cycle for the sake of an edit here; while trouble lasts, edits wait with the rest."""
        if self._now() >= self._quiet_until:
            self._cycle()

    def _cycle(self) -> None:
        with self._working:
            if self._stop.is_set():
                return
            self._vitals.touch()
            interval = self._pace.interval(self._now())
            self._engine.next_cycle_in = interval
            wait = self._run_one()
            self._vitals.interval = interval
            self._vitals.next_cycle_at = self._now() + wait
            try:
                self._after_cycle()
            except Exception as error:  # noqa: BLE001 - nor may it be what ends the polls
                self._log.exception("after_cycle_failed", error=type(error).__name__)
            self._vitals.touch()
        if not self._stop.is_set():
            self._schedule(self._cycle, "poll", wait)

    def _run_one(self) -> float:
        """One cycle; the seconds until the next."""
        try:
            summary = run_cycle(self._engine, whole=False)
            if self._keep_days is not None:
                prune_when_due(self._engine, self._keep_days)
        except StaleWriterError as error:
            self._fatal = error
            self._stop.set()
        except HisyncError as error:
            return self._note_trouble(error)
        except Exception as error:  # noqa: BLE001 - a daemon that dies silently helps nobody
            self._log.exception("cycle_failed", error=type(error).__name__)
            return self._note_trouble(error)
        else:
            self._vitals.note_cycle(summary)
            if summary.trouble is not None:
                return self._note_trouble(summary.trouble)
            return self._note_success(summary)
        return 0.0

    def _note_trouble(self, error: Exception) -> float:
        """Say it once when it starts, and ask less and less often while it lasts."""
        wait = self._pace.note_trouble(error)
        self._quiet_until = self._now() + wait - LOOK_EVERY
        if self._stop.is_set():
            return wait  # it may be only that we stop
        if isinstance(error, StopError) or (self._pace.failures > 1 and _is_an_answer(error)):
            # Also where none says so: a lost session may show as a page or an address to log in at.
            self._engine.api.reset()
        self._vitals.note_trouble(error, self._engine.api.redact(str(error)))
        if self._trouble is None:
            self._trouble_since = self._now()
        if type(error) is not self._trouble:
            self._trouble = type(error)
            event = "login_refused" if isinstance(error, StopError) else "trouble_started"
            self._log.error(
                event, error=str(error), kind=type(error).__name__, next_try_seconds=round(wait)
            )
        return wait

    def _note_success(self, summary: Summary) -> float:
        now = self._now()
        if self._trouble is not None:
            lasted = round(now - self._trouble_since)
            self._log.info("trouble_ended", failures=self._pace.failures, seconds=lasted)
            self._trouble = None
        self._pace.note_success()
        self._quiet_until = 0.0
        if summary.pulled or summary.pushed:
            self._pace.note_work(now)
        return 0.0 if summary.unfinished else self._pace.interval(now)

    def _now(self) -> float:
        return self._engine.clock.time()


def _is_an_answer(error: Exception) -> bool:
    """Whether something answered, neither broken nor with the wish to be left alone."""
    if not isinstance(error, ServiceError) or isinstance(error, SlowDownError):
        return False
    return error.status is not None and error.status < HTTPStatus.INTERNAL_SERVER_ERROR


def _clock_ahead() -> float:
    """The seconds that the clock is ahead of one that nobody sets."""
    return time.time() - time.monotonic()


@contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Let SIGTERM and SIGINT end the daemon after what it is doing, for as long as it runs.

    So does a terminal that is closed (SIGHUP), unless that is to be ignored, as under `nohup`.
    """

    def handle(_signal: int, _frame: Any) -> None:
        stop.set()

    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    former = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, before in former.items():
            signal.signal(number, before or signal.SIG_DFL)
