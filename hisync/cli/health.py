"""What `hisync status` knows: the state of a mirror, read and not judged.

`advice` says what it means, `screen` prints it. Public: `Status`, `load_status`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from hisync.budget.shares import seconds_left
from hisync.budget.throttle import Throttle
from hisync.cli import examples
from hisync.config import Config, security_warnings
from hisync.errors import MirrorError, SchemaError
from hisync.mirror import changes, records, requests, rows, state
from hisync.mirror.histories import comment_progress
from hisync.mirror.store import Mirror
from hisync.mirror.tables import EDITED_TABLES, SHOWN_TABLES

LONG: Final = 3600.0
"""Seconds after which a change that a cycle has passed by counts as waiting for long."""

_OVER: Final = {"done", "merged", "discarded"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The state of a mirror; times are seconds since the epoch.

    Attributes:
        database: where the mirror is.
        config: the configuration file, None if there is none.
        fault: why the schema doesn't fit, None if it does.
        warnings: what other users of the machine can read.
        pid: the process that holds it, None when none does, 0 if it can't be told which.
        lacks: what the database has not that hisync would use, each with what is done instead.
        cursor: how far the mirror is.
        delta: what the server's delta was seen to be.
        last_cycle: what the last cycle did, None before the first.
        trouble: why no cycle has finished since, None if one has.
        refused: whether that is because hiTask refuses the login, the key or the account.
        unknown_zone: the account's time zone where it is none, so that UTC counts; else None.
        rest_left: seconds for which hiTask asked not to be asked.
        rows: rows by table.
        changes: changes that wait or were rejected, by state.
        rejected: the newest of those that were rejected.
        stuck: rejected rows that others wait for.
        waiting: changes that wait for long, and since when.
        nothing_shown: whether hiTask's last complete answer named no item although there are rows.
        held_rows: some of the rows whose removal is held.
        held_deletes: some of the deletions that are held.
        discussions: items with comments, and how many of them have all of theirs in the mirror.
        duplicates: guids that more than one item has on hiTask, each with the items' ids.
        conflicts_open: conflicts that nobody has settled.
        open_conflicts: the newest of those.
        conflicts: conflicts recorded in all.
        requests_last_minute: requests booked lately, a few of which may not have been sent.
        requests_last_hour: what they were for in the last hour: requests by cause.
        requests_failed: how many of those did not go well.
        requests_per_minute: the budget.
        requests_allowed: what is left of it after hiTask's complaints.
        comments_forecast: seconds until all comments are read.
        poll_interval: seconds between two polls of the daemon.
        quiet_interval: the same at most when nothing has changed for long.
        full_every: seconds between two full readings.
        direction: whether local edits are sent.
        comments: whether comments are mirrored.
        now: when this was read.
    """

    database: str
    config: str | None = None
    fault: str | None = None
    warnings: list[str] = field(default_factory=list)
    pid: int | None = None
    lacks: tuple[str, ...] = ()
    cursor: str | None = None
    delta: str = state.DeltaMode.UNKNOWN
    last_cycle: dict[str, Any] | None = None
    trouble: str | None = None
    refused: bool = False
    unknown_zone: str | None = None
    rest_left: float = 0.0
    rows: dict[str, int] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)
    rejected: list[examples.Example] = field(default_factory=list)
    stuck: list[examples.Example] = field(default_factory=list)
    waiting: dict[str, Any] = field(default_factory=lambda: {"number": 0, "oldest": None})
    nothing_shown: bool = False
    held_rows: list[examples.Example] = field(default_factory=list)
    held_deletes: list[examples.Example] = field(default_factory=list)
    discussions: dict[str, int] = field(default_factory=lambda: {"read": 0, "total": 0})
    duplicates: list[examples.Example] = field(default_factory=list)
    conflicts_open: int = 0
    open_conflicts: list[examples.Example] = field(default_factory=list)
    conflicts: int = 0
    requests_last_minute: int = 0
    requests_last_hour: dict[str, int] = field(default_factory=dict)
    requests_failed: int = 0
    requests_per_minute: int
    requests_allowed: int | None = None
    comments_forecast: float = 0.0
    poll_interval: int
    quiet_interval: int = 0
    full_every: int
    direction: str
    comments: bool
    now: float

    @property
    def held(self) -> dict[str, int]:
        """Removals that wait for approval, by table."""
        return (self.last_cycle or {}).get("held") or {}

    @property
    def age(self) -> float | None:
        """Seconds since the last finished cycle."""
        return None if self.last_cycle is None else self.now - self.last_cycle["finished_at"]


def load_status(config: Config, mirror: Mirror) -> Status:
    """Read the state of a mirror, changing nothing; of one that doesn't fit, what can be read.

    Raises:
        MirrorError: if it can't be read although its schema fits.
    """
    now = time.time()
    fault = _fault(mirror)
    facts: dict[str, Any] = {}
    try:
        with mirror.reading() as connection:
            facts = _facts(connection, now)
            if config.hitask.time_zone:
                facts["unknown_zone"] = None
            facts |= _budget(connection, config.rate.requests_per_minute, now, facts["discussions"])
    except (MirrorError, DatabaseError):
        if fault is None:
            raise
    return Status(
        database=mirror.name,
        config=None if config.file is None else str(config.file),
        fault=fault,
        warnings=security_warnings(config),
        pid=mirror.holder(),
        lacks=mirror.lacks(),
        requests_per_minute=config.rate.requests_per_minute,
        poll_interval=config.sync.poll_interval,
        quiet_interval=config.sync.quiet_interval,
        full_every=config.sync.full_every,
        direction=config.sync.direction,
        comments=config.sync.comments,
        now=now,
        **facts,
    )


def _fault(mirror: Mirror) -> str | None:
    try:
        mirror.check()
    except SchemaError as error:
        return str(error)
    return None


def _facts(connection: Connection, now: float) -> dict[str, Any]:
    """What stands in the mirror, by the names of `Status`."""
    memory = state.load(connection)
    finished = (memory.last_cycle or {}).get("finished_at", 0.0)
    passed_by = datetime.fromtimestamp(max(0.0, min(finished, now - LONG)), UTC)
    counted = changes.counts(connection)
    below = examples.below_rejected(connection)
    return {
        "cursor": memory.cursor,
        "delta": memory.delta,
        "last_cycle": memory.last_cycle,
        "trouble": memory.trouble,
        "refused": memory.refused,
        "unknown_zone": memory.unknown_zone,
        "rest_left": memory.rest_left(now),
        "rows": dict(rows.count_rows(connection, EDITED_TABLES | SHOWN_TABLES)),
        "discussions": dict(zip(("read", "total"), comment_progress(connection), strict=True)),
        "changes": {name: n for name, n in sorted(counted.items()) if name not in _OVER},
        "rejected": examples.changes_in(connection, "rejected"),
        "stuck": examples.stuck(connection, below),
        "waiting": examples.waiting(connection, passed_by.replace(tzinfo=None), below),
        "nothing_shown": memory.nothing_shown,
        "held_rows": examples.removals(connection, memory.held),
        "held_deletes": examples.changes_in(connection, "held"),
        "duplicates": examples.duplicates(connection),
        "conflicts_open": records.open_conflicts(connection),
        "open_conflicts": examples.open_conflicts(connection),
        "conflicts": records.count_conflicts(connection),
    }


def _budget(
    connection: Connection, per_minute: int, now: float, discussions: Mapping[str, int]
) -> dict[str, Any]:
    """How the request budget is used, by the names of `Status`."""
    used = requests.usage_since(connection, now, 60)
    by_cause: Counter[str] = Counter()
    for (cause, _), number in used.items():
        by_cause[cause] += number
    unread = discussions["total"] - discussions["read"]
    allowed = Throttle.of(state.load(connection).throttle).limit(per_minute, now)
    lately = requests.histories_per_minute(connection, now)
    return {
        "requests_last_minute": requests.booked_since(connection, now - 60),
        "requests_last_hour": dict(by_cause.most_common()),
        "requests_failed": sum(n for (_, outcome), n in used.items() if outcome != "ok"),
        "requests_allowed": allowed,
        "comments_forecast": seconds_left(unread, lately, allowed),
    }
