"""What a running hisync knows of itself, and whether that is well.

`Vitals` is written by the engine's thread and read by others; each fact is a value that is
replaced as a whole. `judge` is pure. Public: `Vitals`, `Health`, `judge`.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

import hisync
from hisync.budget.purse import outcome_of
from hisync.cycle import Summary
from hisync.errors import ServiceError, StopError

SLACK: Final = 30.0
"""Seconds beyond three polls after which the last good cycle is too old."""

_READS: Final = frozenset({"delta", "full"})


@dataclass(slots=True)
class Vitals:
    """The facts since the process started; times are seconds since the epoch.

    Attributes:
        clock: the time.
        interval: seconds between two polls while all is well.
        started_at: when it started.
        cycles: finished cycles, by how they ended: `good` or `trouble`.
        seconds: how long the cycles took in all.
        pulled: rows put in, changed or removed in the mirror.
        pushed: changes that hiTask carried out.
        conflicts: conflicts recorded.
        requests: requests by cause and outcome.
        last_good_at: when a cycle last went well, None before.
        last_read_at: when hiTask was last read within the cycle that is under way.
        trouble: what the last cycle failed with, None if it went well.
        trouble_since: when that began.
        refused: whether hiTask refuses the login, the key or the account.
        held: removals that wait for approval, by table.
        next_cycle_at: when the next poll is due.
        standing_by: what is waited for before anything is done, None once it is.
        stood_by_until: when that was over.
    """

    clock: Callable[[], float]
    interval: float = 60.0
    started_at: float = 0.0
    cycles: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    pulled: int = 0
    pushed: int = 0
    conflicts: int = 0
    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    last_good_at: float | None = None
    last_read_at: float | None = None
    trouble: str | None = None
    trouble_since: float | None = None
    refused: bool = False
    held: Mapping[str, int] = field(default_factory=dict)
    next_cycle_at: float | None = None
    standing_by: str | None = None
    stood_by_until: float = 0.0
    _touched: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.started_at = self.clock()

    @property
    def untouched(self) -> float:
        """Seconds since the engine was last seen to do something."""
        return time.monotonic() - self._touched

    @property
    def missed_since(self) -> float:
        """Since when a good cycle is missed: the last one, or the beginning of the work."""
        if self.standing_by is not None:
            return self.clock()
        return self.last_good_at or max(self.started_at, self.stood_by_until)

    def stand_by(self, reason: str | None) -> None:
        """Something is waited for before anything is done; None once it is over."""
        if reason is None and self.standing_by is not None:
            self.stood_by_until = self.clock()
        self.standing_by = reason

    def touch(self) -> None:
        """The engine is doing something."""
        self._touched = time.monotonic()

    def note_request(self, cause: str, error: ServiceError | None) -> None:
        """A request has come to its end."""
        self.touch()
        self.requests[cause, outcome_of(error)] += 1
        if error is None and cause in _READS:
            self.last_read_at = self.clock()

    def note_cycle(self, summary: Summary) -> None:
        """A cycle has come to its end."""
        self.seconds += summary.seconds
        self.pulled += summary.pulled
        self.pushed += summary.pushed
        self.conflicts += summary.conflicts
        self.held = dict(summary.held)
        if summary.trouble is None:
            self.cycles["good"] += 1
            self.last_good_at = self.clock()
            self.trouble = self.trouble_since = None
            self.refused = False

    def note_trouble(self, error: Exception, text: str) -> None:
        """A cycle, or the start, failed; `text` holds no secret."""
        now = self.clock()
        self.cycles["trouble"] += 1
        self.trouble = text
        self.trouble_since = min(self.trouble_since or now, now)
        # A clock that was set back: what was in the future would be no age for as long.
        self.started_at = min(self.started_at, now)
        self.stood_by_until = min(self.stood_by_until, now)
        if self.last_good_at is not None:
            self.last_good_at = min(self.last_good_at, now)
        self.refused = isinstance(error, StopError)
        self.last_read_at = None


@dataclass(frozen=True, slots=True)
class Health:
    """Whether hisync is well.

    Attributes:
        status: `ok`; `standby` while another works; `starting` before the first good cycle;
            `failing` when someone should look.
        problems: what is wrong, each in a sentence.
        facts: what that was judged by, for a reader of `/healthz`.
    """

    status: Literal["ok", "standby", "starting", "failing"]
    problems: tuple[str, ...]
    facts: Mapping[str, Any]

    @property
    def ok(self) -> bool:
        """Whether there is nothing to do."""
        return self.status in {"ok", "standby"}

    def as_dict(self) -> dict[str, Any]:
        """As `/healthz` shows it."""
        return {"status": self.status, "problems": list(self.problems), **self.facts}

    def in_words(self) -> str:
        """One line for the service manager."""
        if self.problems:
            return "; ".join(self.problems)
        if self.status == "standby":
            return f"standing by: {self.facts['standing_by']}"
        if self.status == "starting":
            return "starting: the first cycle is under way"
        return f"all is well; last cycle at {self.facts['last_good_cycle']}"


def judge(vitals: Vitals, now: float) -> Health:
    """Whether the facts are well: no cycle too old, no login refused, no removals held."""
    if vitals.standing_by is not None:
        return Health("standby", (), _facts(vitals, now))
    problems = list(_problems(vitals, now))
    starting = vitals.last_good_at is None and not problems
    status: Literal["ok", "starting"] = "starting" if starting else "ok"
    return Health("failing" if problems else status, tuple(problems), _facts(vitals, now))


def _facts(vitals: Vitals, now: float) -> dict[str, Any]:
    age = None if vitals.last_good_at is None else now - vitals.last_good_at
    return {
        "last_good_cycle": _iso(vitals.last_good_at),
        "age_seconds": None if age is None else round(age, 1),
        "login_refused": vitals.refused,
        "removals_held": dict(vitals.held),
        "trouble": vitals.trouble,
        "trouble_since": _iso(vitals.trouble_since),
        "next_cycle": _iso(vitals.next_cycle_at),
        "standing_by": vitals.standing_by,
        "started": _iso(vitals.started_at),
        "version": hisync.__version__,
        "pid": os.getpid(),
    }


def _problems(vitals: Vitals, now: float) -> list[str]:
    found = []
    if vitals.refused:
        found.append(f"hiTask refuses the login, the key or the account: {vitals.trouble}")
    if vitals.held:
        rows = ", ".join(f"{number} of {table}" for table, number in vitals.held.items())
        found.append(f"removals are held until someone approves them: {rows}")
    seen = max(vitals.missed_since, vitals.last_read_at or 0.0)
    limit = 3 * vitals.interval + SLACK
    if now - seen > limit and not vitals.refused:
        why = f": {vitals.trouble}" if vitals.trouble else ""
        found.append(f"no good cycle for {now - seen:.0f} s{why}")
    elif vitals.last_good_at is None and vitals.trouble and not vitals.refused:
        found.append(f"no good cycle yet: {vitals.trouble}")
    return found


def _iso(moment: float | None) -> str | None:
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
