"""What the engine remembers between cycles, as one typed value over `sync_state`.

Public: `EngineState`, `DeltaMode`, `zone_named`, `is_no_zone`, `load`, `save`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, tzinfo
from enum import StrEnum
from functools import cache, lru_cache
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo, available_timezones

from sqlalchemy import Connection, select

from hisync.errors import MirrorError
from hisync.mirror import dialects
from hisync.mirror.tables import sync_state

if TYPE_CHECKING:
    from hisync.mirror.dialects import Upsert

# Made once: it is read several times in every cycle.
_ALL: Final = select(sync_state.c.key, sync_state.c.value)


class DeltaMode(StrEnum):
    """What this server's delta was seen to be."""

    UNKNOWN = "unknown"  # not tried yet, or not compared with a full read
    NAMES_ALL = "names-all"  # it names every item: one that it lacks is gone
    PARTIAL = "partial"  # it names what changed only: a full read alone shows removals
    NONE = "none"  # there is none: every poll is a full read


@dataclass(frozen=True, slots=True)
class EngineState:
    """The engine's memory.

    Attributes:
        account_id: the account whose mirror this is, None before the first login.
        cursor: the opaque cursor of the last answer that was applied.
        delta: what the server's delta is good for.
        delta_failed_at: when it was last seen to be missing, in seconds since the epoch.
        delta_errors: how often in a row it has failed where a full read worked.
        keeps_guid: whether the service keeps the guid of a create, None while not known.
        folded_seq: the newest `change_log` row that was folded into the base.
        fence: the number of the process that may write, counted up by each new one.
        last_full_at: when a full read was last applied, in seconds since the epoch.
        last_cycle: what the last finished cycle did, for `hisync status`.
        trouble: why no cycle has finished since, None if one has.
        refused: whether that is because hiTask refuses the login, the key or the account.
        quiet_since: when hiTask asked not to be asked, in seconds since the epoch.
        quiet_until: until when.
        time_zone: the account's time zone as hiTask's preferences name it.
        zone_is_old: whether to ask for it again before the next day is written.
        had_holes: whether edits may have gone unseen since the last full read.
        zone_offset: the minutes that the account's clocks are ahead of UTC today; views use it.
        people: what is remembered of the last reading of people, groups and tags.
        throttle: how far hiTask has slowed us down, as `hisync.budget.throttle` keeps it.
        announced: what hooks were told of, as `hisync.watch.announcing` keeps it.
        pruned_at: when finished changes were last pruned, in seconds since the epoch.
        entries_off: whether time entries were not kept when the last answer was applied.
        nothing_shown: whether the last complete answer named no item although there are rows.
        doubts: how often a history that an outcome turns on could not be read, by row.
        accepted: the writes that hiTask answered with OK but without the item, by row: the `id`
            that it named, None for none, and the `looks` that did not show what was created.
        moved_to: where the mirror went (`name`, `at`, `token`); it must not be worked on then.
        moving_from: where it is being copied from (`name`, `token`); nor before that is over.
    """

    account_id: int | None = None
    cursor: str | None = None
    delta: str = DeltaMode.UNKNOWN
    delta_failed_at: float | None = None
    delta_errors: int = 0
    keeps_guid: bool | None = None
    folded_seq: int = 0
    fence: int = 0
    last_full_at: float | None = None
    last_cycle: dict[str, Any] | None = None
    trouble: str | None = None
    refused: bool = False
    quiet_since: float | None = None
    quiet_until: float | None = None
    time_zone: str | None = None
    zone_is_old: bool = False
    had_holes: bool = False
    zone_offset: int | None = None
    people: dict[str, Any] | None = None
    throttle: dict[str, Any] | None = None
    announced: dict[str, Any] | None = None
    pruned_at: float | None = None
    entries_off: bool = False
    nothing_shown: bool = False
    doubts: dict[str, int] | None = None
    accepted: dict[str, dict[str, int | None]] | None = None
    moved_to: dict[str, Any] | None = None
    moving_from: dict[str, Any] | None = None

    @property
    def zone(self) -> tzinfo:
        """The time zone that hiTask's preferences name; UTC while none is known."""
        zone = zone_named(self.time_zone) if self.time_zone else None
        return zone or UTC

    @property
    def unknown_zone(self) -> str | None:
        """What hiTask's preferences name that is no time zone, so that UTC counts; else None."""
        return self.time_zone if self.time_zone and is_no_zone(self.time_zone) else None

    def rest_left(self, now: float) -> float:
        """Seconds for which nothing is to be asked, 0 for none.

        A clock that was set back since would make it any length, so that ends it.
        """
        if self.quiet_until is None or now < (self.quiet_since or 0.0):
            return 0.0
        return max(0.0, self.quiet_until - now)

    @property
    def held(self) -> dict[str, int]:
        """Removals that wait for approval, by table."""
        return dict((self.last_cycle or {}).get("held") or {})


_LASTING: Final = frozenset({"account_id", "accepted", "moved_to", "moving_from"})
"""What nothing else tells: without it an edit could be sent twice, or to another account."""

_MODES: Final = frozenset(DeltaMode)
_NAMES: Final = frozenset(field.name for field in fields(EngineState))


@cache
def _types() -> Mapping[str, tuple[type, ...]]:
    """What each value may be, besides nothing."""
    types: dict[str, tuple[type, ...]] = {}
    for name, hint in get_type_hints(EngineState).items():
        kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        types[name] = tuple(get_origin(kind) or kind for kind in kinds)
        if float in types[name]:
            types[name] += (int,)  # as a number without a fraction comes back from SQLite
    return types


@lru_cache(maxsize=16)
def zone_named(name: str) -> tzinfo | None:
    """The time zone of this name, in whatever letters it is written; None if there is none.

    An offset is no name: it does not tell when the clocks are changed.
    """
    try:
        return ZoneInfo(name.strip())
    except (LookupError, ValueError, OSError):  # no zone, no name, or a folder of zones
        known = _zones().get(name.strip().lower())
        return None if known is None else ZoneInfo(known)


def is_no_zone(name: str) -> bool:
    """Whether no time zone has this name, so that UTC counts."""
    return zone_named(name) is None


@cache
def _zones() -> Mapping[str, str]:
    """The names of all time zones, by themselves in small letters."""
    return {name.lower(): name for name in available_timezones()}


def load(connection: Connection) -> EngineState:
    """The engine's memory as it is.

    Raises:
        MirrorError: if somebody else has written to it what can't be meant.
    """
    try:
        rows = connection.execute(_ALL).all()
    except MirrorError:
        raise _garbled(_unreadable(connection)) from None
    known = {key: value for key, value in rows if key in _NAMES and value is not None}
    types = _types()
    for key, value in known.items():
        if type(value) not in types[key]:
            raise _garbled(key)
    if known.get("delta", DeltaMode.UNKNOWN) not in _MODES:
        raise _garbled("delta")
    return EngineState(**known)


def _unreadable(connection: Connection) -> str:
    """The key of the first value that is no JSON."""
    keys: Sequence[str] = connection.execute(select(sync_state.c.key)).scalars().all()
    for key in keys:
        try:
            connection.execute(_ALL.where(sync_state.c.key == key)).all()
        except MirrorError:
            return key
    return "a value"


def _garbled(key: str) -> MirrorError:
    fix = (
        "nothing else says it, so bring that row back from a backup"
        if key in _LASTING
        else "delete that row and start again: hisync finds out anew what it said"
    )
    return MirrorError(f"the value of {key!r} in sync_state is not what hisync wrote there; {fix}")


def save(connection: Connection, **changes: Any) -> None:
    """Remember these values (names of `EngineState`)."""
    unknown = changes.keys() - _NAMES
    if unknown:
        raise ValueError(f"not part of the engine's state: {sorted(unknown)}")
    if changes:
        rows = [{"key": key, "value": value} for key, value in changes.items()]
        connection.execute(_upsert(connection.dialect.name), rows)


@cache
def _upsert(dialect: str) -> Upsert:
    upsert = dialects.named(dialect).insert(sync_state)
    return upsert.on_conflict_do_update(
        index_elements=[sync_state.c.key], set_={"value": upsert.excluded.value}
    )
