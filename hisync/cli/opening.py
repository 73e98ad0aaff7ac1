"""Opening what commands need: configuration, logs, mirror, engine.

Everything heavy is imported only here and only when asked for, so that `--help` stays quick.
Public: `own_name`, `read_config`, `lacks_mirror`, `open_configured`, `open_to_read`, `open_engine`.
"""

from __future__ import annotations

import os
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hisync.errors import MirrorError, ServiceError
from hisync.garbage import keep_started

if TYPE_CHECKING:
    from hisync.api import HiTask, Settle
    from hisync.budget.purse import Purse
    from hisync.config import Config
    from hisync.engine import Engine, Rules
    from hisync.mirror.store import Mirror
    from hisync.watch.vitals import Vitals


def own_name(explicit: Path | None) -> str:
    """How to call hisync again on the same configuration, in commands to copy."""
    return "hisync" if explicit is None else f"hisync --config {shlex.quote(str(explicit))}"


def read_config(explicit: Path | None, *, logs: bool = True) -> Config:
    """The configuration that this run goes by, with the logs set up as it says.

    Args:
        explicit: the file that the command line names.
        logs: false for a command that only looks and logs nothing, which is quicker without.

    Raises:
        ConfigurationError: naming every fault.
    """
    from hisync.config import find_config, load_config

    path = find_config(explicit, os.environ, _here(), _home())
    config = load_config(path, os.environ)
    if logs:
        from hisync.logs import configure_logging

        configure_logging(config.log.level, config.log.format)
    return config


def _here() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        from hisync.errors import ConfigurationError

        raise ConfigurationError(
            [f"the current folder can't be used, change to another one: {error.strerror}"]
        ) from None


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a user whom the system doesn't know, as in a container
        return Path(os.devnull)  # in which nothing can be


def open_configured(config: Config) -> Mirror:
    """The mirror that a configuration names; its schema is not looked at yet."""
    from hisync.mirror.store import open_mirror

    database = config.database
    return open_mirror(database.url, file_mode=database.file_mode_bits, schema=database.schema_name)


def lacks_mirror(config: Config) -> Path | None:
    """Where the mirror's file is to be, None if it is there or the mirror is on a server.

    Raises:
        ConfigurationError: if it is not there, and no configuration says where it should be.
    """
    from hisync.config import require_configuration

    path = config.database.sqlite_path
    if path is None or path.exists():
        return None
    require_configuration(config)
    return path


@contextmanager
def open_to_read(config: Config, *, check: bool = True) -> Iterator[Mirror]:
    """The mirror for a command that only looks; nothing is created or upgraded.

    Args:
        config: the configuration.
        check: whether its schema must fit.

    Raises:
        ConfigurationError: if there is neither a mirror nor a configuration.
        MirrorError: if there is no mirror yet.
        SchemaError: if its schema must fit and doesn't.
    """
    if path := lacks_mirror(config):
        raise MirrorError(f"there is no mirror at {path} yet: run `hisync sync` to make it")
    with open_configured(config) as mirror:
        if check:
            mirror.check()
        yield mirror


@contextmanager
def open_engine(
    config: Config, stop: threading.Event | None = None, vitals: Vitals | None = None
) -> Iterator[Engine]:
    """The engine, holding its mirror.

    Args:
        config: the configuration.
        stop: set to make it end early.
        vitals: told of each request.

    Raises:
        ConfigurationError: if credentials are missing.
        LockedError: if another hisync holds the mirror.
    """
    from hisync.api.turns import LANES
    from hisync.budget.lanes import Lanes
    from hisync.budget.purse import Purse
    from hisync.config import require_credentials
    from hisync.engine import Clock, Engine
    from hisync.logs import configure_logging
    from hisync.mirror import state

    require_credentials(config)
    stop = stop or threading.Event()
    clock = Clock()
    with open_configured(config) as mirror:
        mirror.acquire(upgrade=config.database.auto_upgrade)
        purse = Purse(
            mirror,
            config.rate.requests_per_minute,
            clock=clock,
            pause=stop.wait,
            stopping=stop.is_set,
        )
        with _make_api(config, mirror, purse, vitals) as api:
            configure_logging(config.log.level, config.log.format, redact=api.redact)
            with mirror.reading() as connection:
                api.expected_account = state.load(connection).account_id
            keep_started()
            try:
                yield Engine(
                    api,
                    mirror,
                    _rules(config),
                    clock,
                    stopping=stop.is_set,
                    spare=purse.spare,
                    keep_books=purse.keep_books,
                    lanes=Lanes(LANES, run=api.side_by_side, ready=purse.ready),
                )
            except KeyboardInterrupt:
                stop.set()  # whoever still waits for the budget makes no request any more
                raise
            finally:
                with suppress(MirrorError):
                    purse.close()


def _make_api(config: Config, mirror: Mirror, purse: Purse, vitals: Vitals | None) -> HiTask:
    from hisync.api import HiTask

    return HiTask(
        base_url=config.hitask.base_url,
        login=config.hitask.login,
        password=config.hitask.read_password(),
        api_key=config.hitask.read_api_key(),
        password_encoding=config.hitask.password_encoding,
        time_unit=config.hitask.time_unit,
        grant=purse.grant,
        settle=_tell_all(purse.settle, vitals),
        folder=mirror.folder,
        holds_nul=mirror.holds_nul,
    )


def _tell_all(settle: Settle, vitals: Vitals | None) -> Settle:
    if vitals is None:
        return settle

    def both(cause: str, error: ServiceError | None) -> None:
        settle(cause, error)
        vitals.note_request(cause, error)

    return both


def _rules(config: Config) -> Rules:
    """What the user decided about syncing."""
    from zoneinfo import ZoneInfo

    from hisync.engine import Rules
    from hisync.plan.actions import Policy

    return Rules(
        policy=Policy(config.conflicts.policy, dict(config.conflicts.fields)),
        push=config.sync.direction == "two-way",
        full_every=config.sync.full_every,
        max_removals=config.safety.max_removals,
        max_push_deletes=config.safety.max_push_deletes,
        refresh_every=config.sync.poll_interval,
        comments=config.sync.comments,
        time_entries=config.sync.time_entries,
        time_entry_comments=config.sync.time_entry_comments,
        zone=ZoneInfo(config.hitask.time_zone) if config.hitask.time_zone else None,
    )
