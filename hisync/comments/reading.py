"""The histories of items with comments, read in the background as far as the budget spares.

What is to be read is state in the mirror, so a round that ends early is gone on with by the next,
also after a restart. Edits go first: a round ends as soon as someone makes one. In a quiet round
one more history is read that was not for a week, since only that shows a comment deleted or added
among older ones. Public: `read_comments`, `Read`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hisync.comment import Unit
from hisync.comments.histories import Applied, apply_history
from hisync.engine import Engine
from hisync.errors import (
    LookAgainError,
    RefusedError,
    ServiceError,
    SlowDownError,
    StopError,
)
from hisync.mirror import changes, histories
from hisync.mirror.histories import Due

SWEEP_AFTER: Final = 7 * 86400.0
"""Seconds after which a history is read again although nothing tells of a change."""

RETRY_AFTER: Final = 3600.0
"""Seconds after which a history that hiTask refuses is asked for again, doubled each time."""


PATIENCE: Final = 3
"""Refusals in a row after which a round ends."""


@dataclass(slots=True)
class Read:
    """What a round did.

    Attributes:
        histories: histories read and applied.
        rows: comments put in, changed or taken out.
        trouble: what ended it early, None if nothing did.
        refusals: histories in a row that hiTask refused.
    """

    histories: int = 0
    rows: int = 0
    trouble: ServiceError | None = None
    refusals: int = 0


def read_comments(engine: Engine, *, since: int, idle: bool = False) -> Read:
    """Read histories while nothing more important is in the way.

    Args:
        engine: everything it needs.
        since: the number of the newest change that the push has seen; a newer one goes first.
        idle: whether nothing was to be read the last time, and nothing has changed since.

    Raises:
        StopError: if the login, key or account is refused.
    """
    read = Read()
    if not engine.rules.comments:
        return read
    with engine.mirror.reading() as connection:
        # In a quiet cycle of a large account, looking through all items is most of the work.
        due = [] if idle else histories.load_due(connection)
        engine.comments.nothing_due = not due
        stale = histories.load_stale(connection, engine.clock.time() - SWEEP_AFTER)
    for one in [*due, *([stale] if stale else [])]:
        if not _is_ripe(engine, one):
            continue
        if not _may_go_on(engine, since if read.histories else None):
            break
        _read_one(engine, one, read, since)
        if read.trouble is not None:
            break
    _report(engine, read)
    return read


def _is_ripe(engine: Engine, due: Due) -> bool:
    """Whether it makes sense to ask now: the pull has to show our own comment first."""
    memory = engine.comments
    ours = due.guid in memory.posted
    return not ours and memory.retry_at.get(due.guid, 0.0) <= engine.clock.time()


def _may_go_on(engine: Engine, since: int | None) -> bool:
    """Whether another may be read.

    Args:
        engine: everything it needs.
        since: the newest change that the push has seen; None for the first, which goes before newer
            ones, or people who write all the time would leave none read.
    """
    if engine.stopping() or not engine.spare("history"):
        return False
    if since is None:
        return True
    with engine.mirror.reading() as connection:
        return changes.newest_seq(connection) <= since


def _read_one(engine: Engine, due: Due, read: Read, since: int) -> None:
    units = _fetch(engine, due, read)
    if units is None:
        return
    applied = _apply(engine, due, units, read)
    if applied.missing and _may_go_on(engine, since):
        again = _fetch(engine, due, read)
        if again is not None:
            _apply(engine, due, again, read, applied.missing)
    read.histories += 1


def _apply(
    engine: Engine,
    due: Due,
    units: Sequence[Unit],
    read: Read,
    doubted: frozenset[int] = frozenset(),
) -> Applied:
    with engine.mirror.writing() as connection:
        applied = apply_history(engine, connection, due, units, doubted)
    read.rows += applied.rows
    return applied


def _fetch(engine: Engine, due: Due, read: Read) -> Sequence[Unit] | None:
    """The item's history, None if it can't be had now."""
    memory = engine.comments
    try:
        units = engine.api.fetch_history(due.id)
    except StopError:
        raise
    except (RefusedError, LookAgainError) as error:
        # This item's own trouble, or it is gone: the next pull tells. The others go on, unless
        # it isn't hiTask that answers so.
        memory.failures[due.guid] += 1
        wait = min(SWEEP_AFTER, RETRY_AFTER * 2 ** (memory.failures[due.guid] - 1))
        memory.retry_at[due.guid] = engine.clock.time() + wait
        engine.log.warning("comments_unreadable", guid=due.guid, reason=str(error))
        read.refusals += 1
        if read.refusals >= PATIENCE:
            read.trouble = error
    except ServiceError as error:
        read.trouble = error
        if not isinstance(error, SlowDownError):
            # It may be this one that hiTask fails on: the next round begins with another.
            memory.retry_at[due.guid] = engine.clock.time() + 60 * 2 ** min(
                memory.failures[due.guid], 10
            )
            memory.failures[due.guid] += 1
    else:
        read.refusals = 0
        memory.failures.pop(due.guid, None)
        memory.retry_at.pop(due.guid, None)
        return units
    return None


def _report(engine: Engine, read: Read) -> None:
    """Say trouble once when it starts and once when it ends."""
    memory = engine.comments
    if read.trouble is not None and not memory.in_trouble:
        engine.log.warning("comments_delayed", reason=str(read.trouble))
    if read.trouble is None and memory.in_trouble and read.histories:
        engine.log.info("comments_read_again")
    if read.trouble is not None or read.histories:
        memory.in_trouble = read.trouble is not None
