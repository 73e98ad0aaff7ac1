"""The daemon with everything around it: monitor, hooks, service manager.

What can't be opened for the moment (a full disk, someone's open transaction, a server that is away)
is waited for, with the monitor and the service manager told why. Under a service manager, for which
ending would only mean to be started again and again, so is whatever somebody has to mend. A
standby waits for another daemon's end, too.
Public: `serve`, `announced`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final

import structlog

from hisync.cli.opening import open_configured, open_engine
from hisync.errors import (
    BusyError,
    FullError,
    HisyncError,
    LockedError,
    LostServerError,
    MirrorError,
    StopError,
)

if TYPE_CHECKING:
    from hisync.config import Config
    from hisync.engine import Engine
    from hisync.mirror.store import Mirror
    from hisync.watch.figures import Figures
    from hisync.watch.systemd import ServiceManager
    from hisync.watch.vitals import Vitals

OPEN_AGAIN: Final = (5.0, 10.0, 20.0, 40.0, 60.0)
"""Seconds between two attempts to open a mirror that can't be opened; the last from then on."""

LOOK_AGAIN: Final = 1.0
"""Seconds between two looks of a standby at whether the mirror has become free."""


def serve(config: Config, stop: threading.Event, *, standby: bool = False) -> None:
    """Run the daemon until `stop` is set.

    Args:
        config: the configuration.
        stop: set to end it.
        standby: whether to wait while another daemon works on the mirror, and to take over then.

    Raises:
        HisyncError: if it can't start, or must not go on.
    """
    from hisync.config import require_credentials, security_warnings
    from hisync.watch.systemd import ServiceManager
    from hisync.watch.vitals import Vitals

    require_credentials(config)
    log = structlog.get_logger("hisync")
    for warning in security_warnings(config):
        log.warning("secrets_readable_by_others", hint=warning)
    vitals = Vitals(time.time, config.sync.poll_interval)
    manager = ServiceManager(os.environ)
    opened: list[Mirror] = []
    with ExitStack() as stack:
        if config.monitor.listen:
            try:
                stack.enter_context(_monitor(config, vitals, opened))
            except HisyncError:
                if not standby:
                    _name_the_first(config)
                raise
        engine = None
        while engine is None and not stop.is_set():
            if standby:
                _stand_by(config, stop, vitals, manager)
            try:
                engine = _open_patiently(stack, config, stop, vitals, manager)
            except (LockedError, LostServerError):
                if not standby:
                    raise  # else another one was quicker, or the server went away just now
                _wait_alive(stop, manager, LOOK_AGAIN)
        if engine is not None:
            opened.append(engine.mirror)
            _run_daemon(config, engine, stop, vitals, manager)


def _run_daemon(
    config: Config,
    engine: Engine,
    stop: threading.Event,
    vitals: Vitals,
    manager: ServiceManager,
) -> None:
    from hisync.daemon import Daemon
    from hisync.watch.vitals import judge

    with announced(config, engine, patience=1.0) as announce:

        def after_cycle() -> None:
            manager.ready(judge(vitals, time.time()).in_words())
            announce(vitals.trouble if vitals.refused else None)

        daemon = Daemon(
            engine,
            stop,
            poll_interval=config.sync.poll_interval,
            push_delay=config.sync.push_delay,
            quiet_interval=config.sync.quiet_interval,
            keep_days=config.retention.change_log_days,
            vitals=vitals,
            after_cycle=after_cycle,
            alive=manager.alive,
            watchdog=manager.watchdog_seconds,
        )
        try:
            daemon.run()
        finally:
            manager.stopping()
            if daemon.hangs:
                # A thread that waits for the network can't be ended and would keep the process.
                # Nothing is lost: what it was sending is looked up at the next start.
                sys.stderr.flush()
                os._exit(0)


@contextmanager
def announced(
    config: Config, engine: Engine, *, patience: float
) -> Iterator[Callable[[str | None], None]]:
    """A function to call after each cycle with the reason of a refused login, for `[hooks]`.

    Args:
        config: the configuration.
        engine: the engine.
        patience: seconds that the events may take to be delivered in the end.
    """
    if not (config.hooks.command or config.hooks.webhook):
        yield lambda _refusal: None
        return
    from hisync.watch.announcing import Announcer
    from hisync.watch.hooks import Hooks

    hooks = Hooks(config.hooks.command, config.hooks.webhook)
    announcer = Announcer(engine, hooks.tell)

    def announce(refusal: str | None) -> None:
        try:
            announcer.look(refusal)
        except MirrorError as error:
            structlog.get_logger("hisync").debug("not_announced", error=str(error))

    try:
        yield announce
    except StopError as error:
        announce(str(error))
        raise
    finally:
        hooks.close(patience)


def _name_the_first(config: Config) -> None:
    """Say whose the address is that can't be listened at, where it is another daemon's.

    Raises:
        LockedError: if another hisync works on the mirror.
    """
    pid = None
    with suppress(MirrorError), open_configured(config) as mirror:
        pid = mirror.holder()
    if pid is not None:
        raise LockedError(pid or None)


def _open_patiently(
    stack: ExitStack,
    config: Config,
    stop: threading.Event,
    vitals: Vitals,
    manager: ServiceManager,
) -> Engine | None:
    """The engine; None if told to stop before the mirror could be opened."""
    log = structlog.get_logger("hisync")
    failures = 0
    while not stop.is_set():
        try:
            engine = stack.enter_context(open_engine(config, stop, vitals))
        except MirrorError as error:
            if not _is_waited_for(error, manager):
                raise
            failures += 1
            vitals.note_trouble(error, str(error))
            manager.ready(f"waiting: {error}")
            if failures == 1:
                kind = type(error).__name__
                log.warning("trouble_started", error=str(error), kind=kind)
            _wait_alive(stop, manager, OPEN_AGAIN[min(failures, len(OPEN_AGAIN)) - 1])
        else:
            if failures:
                log.info("trouble_ended", failures=failures)
            return engine
    return None


def _stand_by(
    config: Config, stop: threading.Event, vitals: Vitals, manager: ServiceManager
) -> None:
    """Wait until nobody works on the mirror; it is only looked at, and nothing is written."""
    log = structlog.get_logger("hisync")
    said = ""
    with open_configured(config) as mirror:
        while not stop.is_set():
            try:
                pid = mirror.holder()
            except LostServerError as error:
                waits_for = str(error)
            else:
                if pid is None:
                    break
                waits_for = f"process {pid or 'unknown'} works on the mirror"
            vitals.stand_by(waits_for)
            if waits_for != said:
                said = waits_for
                log.info("standing_by", reason=waits_for)
                manager.ready(f"standing by: {waits_for}")
            _wait_alive(stop, manager, LOOK_AGAIN)
    vitals.stand_by(None)
    if said and not stop.is_set():
        log.info("taking_over")
        manager.ready("taking over")


def _is_waited_for(error: MirrorError, manager: ServiceManager) -> bool:
    if isinstance(error, LockedError):
        return False  # a second daemon has nothing to do here
    return manager.listens or isinstance(error, BusyError | FullError)


def _wait_alive(stop: threading.Event, manager: ServiceManager, seconds: float) -> None:
    manager.alive()
    step = min(seconds, (manager.watchdog_seconds or seconds) / 4)
    until = time.monotonic() + seconds
    while time.monotonic() < until and not stop.wait(step):
        manager.alive()


@contextmanager
def _monitor(config: Config, vitals: Vitals, opened: list[Mirror]) -> Iterator[None]:
    from hisync.watch.figures import load_figures
    from hisync.watch.metrics import render_metrics
    from hisync.watch.server import Monitor
    from hisync.watch.vitals import judge

    per_minute = config.rate.requests_per_minute

    def figures() -> Figures | None:
        if not opened:
            return None
        try:
            with opened[0].reading() as connection:
                return load_figures(connection, per_minute=per_minute, now=time.time())
        except HisyncError:
            return None

    monitor = Monitor(
        config.monitor.listen,
        lambda: judge(vitals, time.time()),
        render_metrics(vitals, per_minute, figures),
    )
    try:
        yield
    finally:
        monitor.close()
