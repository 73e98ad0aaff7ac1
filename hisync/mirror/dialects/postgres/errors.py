"""What PostgreSQL's errors mean to people. Public: `explain`, `name_taken`."""

from __future__ import annotations

from typing import Final

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from hisync.errors import BusyError, FullError, LostServerError, MirrorError

_BUSY: Final = {
    "55P03": "someone else's transaction holds it: commit or roll it back there, hisync will try "
    "again",
    "57014": "it took too long: hisync will try again",
    "25P03": "hisync stood still for too long, and will try again",
    "40P01": "someone else's transaction stood in the way: hisync will try again",
    "40001": "someone else's transaction stood in the way: hisync will try again",
    "53300": "the server has no connection left: close some, or raise its limit",
}
_FULL: Final = {"53100": "the disk is full: make room, nothing was lost"}
_HINTS: Final = {
    "22021": "a text of it is not in its encoding: a mirror needs a database with ENCODING 'UTF8'",
    "22P05": "its encoding lacks that sign: a mirror needs a database with ENCODING 'UTF8'",
    "25006": "it takes no writes: name the primary server in database.url",
    "28000": "check the user in database.url",
    "28P01": "check the user and the password in database.url",
    "3D000": "create the database, or name another one in database.url",
    "3F000": "create the schema, or let this role create it",
    "42501": "grant this role what it needs on the schema and its tables",
    "42P01": "run `hisync db upgrade`",
}
_LOST: Final = {
    "57P01": "the server is being stopped: hisync will try again",
    "57P02": "the server has crashed: hisync will try again",
    "57P03": "the server is not ready yet: hisync will try again",
}
_AWAY: Final[tuple[type[MirrorError], str]] = (
    LostServerError,
    "check that the server runs and can be reached; hisync will try again",
)
_SAID: Final[dict[str, tuple[type[MirrorError], str]]] = {
    "password authentication": (MirrorError, _HINTS["28P01"]),
    "no password supplied": (MirrorError, _HINTS["28P01"]),
    "does not exist": (MirrorError, "create it, or name another one in database.url"),
    "too many": (BusyError, _BUSY["53300"]),
}
"""By what a server says that lets nobody in: the driver then knows no code."""

_NO_OPTION: Final = "invalid connection option"

_PEOPLES_OWN: Final = (
    "an index, a constraint or a trigger refuses what hiTask holds: drop it if it is your own"
)
_OF_TRIGGERS: Final = {"22", "23", "2F", "38", "39", "54", "P0"}
"""Classes of errors that come from what people have put on a table: hisync's own cells fit."""

_OF_CONNECTIONS: Final = {"", "08", "57"}
"""Classes of errors after which the server may be there again; the empty one if it said nothing."""


def explain(error: DBAPIError, name: str) -> MirrorError | None:
    """What a driver's error means to people, None if it is a fault of hisync's own."""
    state = getattr(error.orig, "sqlstate", None) or ""
    reason = str(error.orig).partition("\n")[0]

    def described(hint: str) -> str:
        return f"database {name}: {reason} ({hint})"

    if state in _BUSY:
        return BusyError(described(_BUSY[state]))
    if state in _FULL:
        return FullError(described(_FULL[state]))
    if state in _LOST:
        return LostServerError(described(_LOST[state]))
    if state in _HINTS:
        return MirrorError(described(_HINTS[state]))
    if state[:2] in _OF_TRIGGERS:
        return MirrorError(described(_PEOPLES_OWN))
    if not state and _NO_OPTION in reason:  # before any server is asked
        return MirrorError(described("take it out of database.url, or spell it as libpq does"))
    if isinstance(error, OperationalError | InterfaceError):
        if state[:2] not in _OF_CONNECTIONS:
            return MirrorError(described(f"PostgreSQL's error {state}: hisync will try again"))
        kind, hint = next((said for words, said in _SAID.items() if words in reason), _AWAY)
        return kind(described(hint))
    return None


def name_taken(error: DBAPIError) -> bool:
    """Whether a table or an index can't be made since there is one of that name."""
    return getattr(error.orig, "sqlstate", None) in {"42P07", "42710"}
