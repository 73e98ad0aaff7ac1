"""Every error that hisync raises on purpose, grouped by what the caller does about it.

    HisyncError
    ├── ConfigurationError      fix the named keys; exit 2
    ├── MirrorError             fix the database; exit 1
    │   ├── SchemaError         a table, trigger or revision is not as it must be
    │   │   └── MovedError           it was moved to another database: use that one
    │   ├── BusyError           someone's transaction holds the database: again in a while
    │   │   └── LostServerError      the database server can't be reached: again in seconds
    │   ├── FullError           the disk is full: again once there is room
    │   ├── LockedError         another hisync holds the mirror
    │   └── StaleWriterError    another hisync has taken over: this one must stop
    └── ServiceError            what hiTask said, or failed to say
        ├── RetryLaterError     nothing wrong with the request: again in a while
        │   ├── UnreachableError     the request never arrived: nothing happened there
        │   └── SlowDownError        asked too often: nothing happened, and everything waits
        │       └── WaitLongError    a limit of the account: wait for hours, not seconds
        ├── LookAgainError      what we knew is old: read, merge, try again
        │   └── GoneError       there is no such thing (any more)
        ├── RefusedError        this request will never be taken: park it, go on with the rest
        └── StopError           login, key, account: stop asking; exit 3
            └── WrongAccountError    the login belongs to another account than the mirror

A `ServiceError` carries the HTTP status, hiTask's `response_status` code and its message. Its
text never holds a secret: no URL, no header, no query string.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Final

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the system says when a disk, or one's share of it, is full."""


class HisyncError(Exception):
    """Base of all errors that hisync raises on purpose."""


class ConfigurationError(HisyncError):
    """The configuration can't be used; `problems` names every fault, one a line."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class MirrorError(HisyncError):
    """The database can't be used as it is."""


class SchemaError(MirrorError):
    """A table, a trigger or the schema's revision is not as this version needs it."""


class MovedError(SchemaError):
    """The mirror was moved to another database, or is a copy of one that is not finished."""


class BusyError(MirrorError):
    """Someone else's transaction holds the database; nothing was lost, it works again later."""


class LostServerError(BusyError):
    """The database server can't be reached, or ended the connection; nothing was lost."""


class FullError(MirrorError):
    """There is no room on the disk; nothing was lost, it works again once there is."""


class LockedError(MirrorError):
    """Another hisync process holds the mirror; `pid` is its process, None when unknown."""

    def __init__(self, pid: int | None, message: str = "") -> None:
        named = f"another hisync (process {pid or 'unknown'}) is working on this mirror"
        super().__init__(message or named)
        self.pid = pid


class StaleWriterError(MirrorError):
    """Another hisync process has taken the mirror over; nothing may be written any more."""


class ServiceError(HisyncError):
    """hiTask answered with an error, or not in a form that can be believed.

    Attributes:
        status: the HTTP status, None when no answer arrived.
        code: the body's `response_status`, None when it has none.
        message: hiTask's own words or a description of what was wrong with the answer.
        retry_after: seconds that the service asked us to wait, None when it didn't say.
        at_login: whether it was the answer to the login that the request needed.
    """

    at_login: bool = False

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        facts = [f"HTTP {status}"] if status is not None else []
        facts += [f"code {code}"] if code is not None else []
        super().__init__(f"{message} ({', '.join(facts)})" if facts else message)
        self.message = message
        self.status = status
        self.code = code
        self.retry_after = retry_after


class RetryLaterError(ServiceError):
    """Trouble on the way or over there; whether a write happened is not known."""


class SilentError(RetryLaterError):
    """A success without a word: what became of a write has to be looked up."""


class UnreachableError(RetryLaterError):
    """The connection was never made, so nothing happened over there."""


class SlowDownError(RetryLaterError):
    """Too many requests: this one was not carried out, and the next ones wait."""


class WaitLongError(SlowDownError):
    """A daily or account limit: waiting seconds will not help."""


class LookAgainError(ServiceError):
    """What the request was based on has changed; read again and merge."""


class GoneError(LookAgainError):
    """There is no such thing, any more or under this name."""


class RefusedError(ServiceError):
    """hiTask will never take this request."""


class StopError(ServiceError):
    """The login, key or account is refused: asking again would only make it worse."""


class WrongAccountError(StopError):
    """The login works but belongs to another account than the mirror's."""
