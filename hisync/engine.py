"""What the engine works with, handed to it from outside: API, mirror, clock, rules.

Nothing below this reads configuration, the environment or the time by itself, so that a whole
engine can run in a test's own world. Public: `Engine`, `Rules`, `Clock`, `Progress`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any, TypeAlias

import structlog
from sqlalchemy import Connection

from hisync.api import HiTask
from hisync.budget.lanes import Lanes
from hisync.comments.memory import Memory
from hisync.mirror.store import Mirror
from hisync.people.lookout import Lookout
from hisync.plan.actions import Policy

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Told how long work goes on: the stage in a word, how much of it is done, and of how much, None
where that is not known. It must not raise."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the user decided about syncing.

    Attributes:
        policy: who wins a conflict.
        push: whether local edits go out at all.
        full_every: seconds between full re-reads.
        max_removals: the share of a table that a pull may remove without being held.
        max_push_deletes: remote deletions an hour that need no approval.
        comments: whether comments are read and sent.
        time_entries: whether time entries are kept and sent.
        refresh_every: seconds after which a long push lets hiTask's changes in between.
        time_entry_comments: whether the note of a time entry is posted as a comment, too.
        zone: the time zone from the configuration; None takes the account's.
    """

    policy: Policy = field(default_factory=Policy)
    push: bool = True
    full_every: float = 86400.0
    max_removals: float = 0.2
    max_push_deletes: int = 50
    zone: tzinfo | None = None
    comments: bool = True
    time_entries: bool = True
    refresh_every: float = 60.0
    time_entry_comments: bool = False


@dataclass(frozen=True, slots=True)
class Clock:
    """The time, as seconds since the epoch; it paces work and dates records, and orders nothing."""

    time: Callable[[], float] = time.time

    def now(self) -> datetime:
        """The time in UTC, without a zone, as the mirror writes it."""
        return datetime.fromtimestamp(self.time(), UTC).replace(tzinfo=None)


def _tell_nobody(_stage: str, _done: int, _total: int | None) -> None: ...


def _always(_cause: str) -> bool:
    return True


def _no_books(_connection: Connection, _ahead: float) -> Callable[[], None]:
    return lambda: None


@dataclass(slots=True)
class Engine:
    """Everything that one cycle needs.

    Attributes:
        api: the way to hiTask.
        mirror: the open mirror, held by this process.
        rules: what the user decided.
        clock: the time.
        allow_removals: held removals that this run may carry out.
        allowed_to_leave: the guids of those that it was let.
        allow_deletes: held remote deletions that this run may carry out.
        released: the keys of the held remote deletions that it has let go so far.
        stopping: asked between two requests; true ends a batch early.
        progress: told how reading, applying and pushing go on.
        spare: whether the budget has a request to spare for a kind of work that can wait.
        keep_books: writes down what requests were used, in a transaction that is made anyway, with
            the seconds until the next cycle; returns what to call once it is committed.
        next_cycle_in: seconds until the next cycle, 0 where none follows.
        comments: what this process remembers about comments.
        lookout: what this process remembers about its looks for people who are new.
        lanes: how many pushes are under way at once.
        log: where events go.
    """

    api: HiTask
    mirror: Mirror
    rules: Rules = field(default_factory=Rules)
    clock: Clock = field(default_factory=Clock)
    allow_removals: int = 0
    allowed_to_leave: set[str] = field(default_factory=set)
    allow_deletes: int = 0
    released: set[Hashable] = field(default_factory=set)
    stopping: Callable[[], bool] = bool
    progress: Progress = _tell_nobody
    spare: Callable[[str], bool] = _always
    keep_books: Callable[[Connection, float], Callable[[], None]] = _no_books
    next_cycle_in: float = 0.0
    comments: Memory = field(default_factory=Memory)
    lookout: Lookout = field(default_factory=Lookout)
    lanes: Lanes = field(default_factory=Lanes)
    log: Any = field(default_factory=lambda: structlog.get_logger("hisync"))
