"""Deletions beyond the hourly limit wait until someone approves them. Public: `hold_deletions`."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import Connection

from hisync.change import Change
from hisync.engine import Engine
from hisync.mirror import changes
from hisync.plan.guard import held_deletes

_K = TypeVar("_K", bound=Hashable)


def hold_deletions(
    engine: Engine, connection: Connection, log: Mapping[_K, Sequence[Change]]
) -> set[_K]:
    """Hold what is beyond the limit, the last ones first; no later hour lets them go by itself.

    Args:
        engine: the rules and the clock.
        connection: the engine's write transaction.
        log: the unfinished changes of each deletion, in the order in which they are to go.

    Returns:
        Those that may go.
    """
    if not log:
        return set()
    now = engine.clock.now()
    waiting = {key for key, entries in log.items() if any(c.state == "held" for c in entries)}
    fresh = [key for key in log if key not in waiting]
    over = held_deletes(
        len(fresh),
        changes.deletes_since(connection, now - timedelta(hours=1)),
        limit=engine.rules.max_push_deletes,
    )
    held = {*fresh[len(fresh) - over :], *waiting}
    # Counted over the whole run: items and comments come apart, and again after each batch.
    if len(held | engine.released) <= engine.allow_deletes:
        engine.released |= held
        held = set()
    for key, entries in log.items():
        state = "held" if key in held else "pending"
        moved = [change.seq for change in entries if change.state != state]
        why = "more deletions than safety.max_push_deletes an hour" if key in held else None
        changes.set_state(connection, moved, state, now=now, error=why)
    return log.keys() - held
