"""What `hisync check` looks at, one finding after the other. Public: `run_checks`, `Finding`."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Final

from hisync.api import HiTask
from hisync.budget.purse import Purse
from hisync.cli.cleaning import one_line
from hisync.cli.exits import ExitCode, exit_code_of
from hisync.cli.opening import open_configured
from hisync.config import Config, require_credentials, security_warnings
from hisync.engine import Clock
from hisync.errors import (
    ConfigurationError,
    HisyncError,
    MirrorError,
    RetryLaterError,
    ServiceError,
    SlowDownError,
    StopError,
    WrongAccountError,
)
from hisync.mirror import requests, state
from hisync.mirror.store import Mirror
from hisync.people.roster import said_zone

TOLERABLE_SKEW: Final = 60.0
"""Seconds that two clocks may differ before dates of records mislead."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        what: its name.
        text: how it is, or how to mend it.
        fault: the exit code that what is wrong with it leads to, DONE where all is well.
        warns: whether it should be mended although everything works.
    """

    what: str
    text: str
    fault: ExitCode = ExitCode.DONE
    warns: bool = False

    def __str__(self) -> str:
        mark = "FAIL" if self.fault else "warn" if self.warns else "ok  "
        return f"{mark} {self.what}: {one_line(self.text)}"


def run_checks(config: Config, *, offline: bool) -> Iterator[Finding]:
    """Look at everything; what can't be looked at because of another fault says so."""
    yield _configuration(config)
    credentials = _credentials(config)
    yield credentials
    with ExitStack() as stack:
        mirror: Mirror | None = None
        for finding, opened in _database(config, stack):
            mirror = opened or mirror
            yield finding
        zone: str | None = None
        if offline:
            yield Finding("API", "not asked (--offline)")
            yield _clock(None)
        elif credentials.fault:
            yield Finding("API", "not asked without credentials", ExitCode.USAGE)
            yield _clock(None)
        else:
            zone = yield from _api(config, mirror)
        yield from _time_zone(config, mirror, zone)
        yield _budget(config, mirror)


def _configuration(config: Config) -> Finding:
    warnings = security_warnings(config)
    where = config.file or "no file: defaults and environment"
    if warnings:
        return Finding("config", "; ".join(warnings), warns=True)
    return Finding("config", str(where))


def _credentials(config: Config) -> Finding:
    try:
        require_credentials(config)
    except ConfigurationError as error:
        return Finding("credentials", "; ".join(error.problems), exit_code_of(error))
    return Finding("credentials", f"login {config.hitask.login}")


def _database(config: Config, stack: ExitStack) -> Iterator[tuple[Finding, Mirror | None]]:
    path = config.database.sqlite_path
    by_itself = config.database.auto_upgrade
    if path is not None and not path.exists():
        if by_itself:
            yield Finding("database", f"{path} will be made by the first sync"), None
        else:
            missing = f"there is no {path} yet: run `hisync db upgrade`"
            yield Finding("database", missing, ExitCode.FAILED), None
        yield Finding("schema", "made with the database"), None
        return
    try:
        mirror = stack.enter_context(open_configured(config))
        revision, is_new = mirror.revision(), mirror.is_empty()
    except HisyncError as error:
        yield Finding("database", str(error), exit_code_of(error)), None
        yield Finding("schema", "not looked at without the database"), None
        return
    yield Finding("database", mirror.name), None
    if is_new and by_itself:
        yield Finding("schema", "will be made by the first sync"), None
        return
    try:
        mirror.check()
    except HisyncError as error:
        yield Finding("schema", str(error), exit_code_of(error)), None
        return
    yield Finding("schema", f"revision {revision}"), mirror


def _api(config: Config, mirror: Mirror | None) -> Generator[Finding, None, str | None]:
    """Ask hiTask; what it calls the account's time zone, None where that was not to be had."""
    zone: str | None = None
    try:
        opened = HiTask(
            base_url=config.hitask.base_url,
            login=config.hitask.login,
            password=config.hitask.read_password(),
            api_key=config.hitask.read_api_key(),
            password_encoding=config.hitask.password_encoding,
            grant=_grant(config, mirror),
        )
    except ConfigurationError as error:
        yield Finding("API", str(error), exit_code_of(error))
        return None
    with opened as api:
        if mirror is not None:
            with mirror.reading() as connection:
                api.expected_account = state.load(connection).account_id
        try:
            account = api.fetch_account()
            if not config.hitask.time_zone:
                with suppress(ServiceError):  # hisync works without an answer to that
                    zone = said_zone(api.fetch_preferences())
        except MirrorError as error:  # which names its own fix
            yield Finding(
                "API", f"not asked, since requests can't be booked: {error}", exit_code_of(error)
            )
            return None
        except HisyncError as error:
            text = f"{config.hitask.base_url}: {error}: {_fix(error)}"
            yield Finding("API", text, exit_code_of(error))
            yield _clock(api.clock_skew)
            return None
        finally:
            api.logout()
        who = account.get("login") or api.account_id
        yield Finding("API", f"{config.hitask.base_url}: account {who}")
        yield _clock(api.clock_skew)
    return zone


def _fix(error: HisyncError) -> str:
    """What to do about an API that can't be used."""
    match error:
        case WrongAccountError():
            return "give the login of the mirror's account, or name another database.url"
        case StopError():
            return "mend hitask.login, the password or the API key, or ask hiTask about the account"
        case SlowDownError():
            return "wait, and lower rate.requests_per_minute if it happens often"
        case RetryLaterError():
            return "see whether hitask.base_url is right and the network works, then try again"
        case _:
            return "see whether hitask.base_url is the address of hiTask's API"


def _grant(config: Config, mirror: Mirror | None) -> Callable[[str], None]:
    """These requests count too; without a mirror there are no books yet, nor other requests."""
    if mirror is None:
        return lambda _cause: None
    budget = config.rate.requests_per_minute
    return Purse(mirror, budget, clock=Clock(), pause=time.sleep).grant


def _clock(skew: float | None) -> Finding:
    if skew is None:
        return Finding("clock", "no time of the service's to compare with")
    if abs(skew) > TOLERABLE_SKEW:
        text = f"off by {skew:+.0f} s: set it, by NTP for example"
        return Finding("clock", text, ExitCode.FAILED)
    return Finding("clock", f"within {abs(skew):.0f} s of the service's")


def _time_zone(config: Config, mirror: Mirror | None, said: str | None) -> Iterator[Finding]:
    """A warning where the account's time zone, as hiTask says or last said it, is none."""
    if config.hitask.time_zone:
        return
    if said is None and mirror is not None:
        with mirror.reading() as connection:
            said = state.load(connection).time_zone
    if said and state.is_no_zone(said):
        text = f"the account's is {said!r}, which is none, so UTC is used: set hitask.time_zone"
        yield Finding("time zone", text, warns=True)


def _budget(config: Config, mirror: Mirror | None) -> Finding:
    budget = config.rate.requests_per_minute
    if mirror is None:
        return Finding("rate budget", f"{budget} requests a minute; no mirror that counts them")
    with mirror.reading() as connection:
        booked = requests.booked_since(connection, time.time() - 60)
    text = f"{booked} of {budget} requests booked in the last minute"
    if booked >= budget:
        text += ": wait a minute, or raise rate.requests_per_minute"
        return Finding("rate budget", text, ExitCode.LATER)
    return Finding("rate budget", text)
