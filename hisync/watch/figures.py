"""What the mirror itself shows in numbers, for metrics.

Public: `Figures`, `load_figures`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, select

from hisync.budget.shares import seconds_left
from hisync.budget.throttle import Throttle
from hisync.mirror import changes, histories, records, requests, rows, state
from hisync.mirror.tables import EDITED_TABLES, SHOWN_TABLES, change_log


@dataclass(frozen=True, slots=True)
class Figures:
    """Numbers that stand in the mirror.

    Attributes:
        rows: rows by table.
        queue: changes that wait or stand rejected, by state.
        oldest_waiting: seconds since the oldest change that waits was made, 0 if none waits.
        conflicts: conflicts recorded in all.
        conflicts_open: conflicts that nobody has settled.
        held: removals that wait for approval, by table.
        used_last_hour: requests of the last hour, by cause and outcome.
        booked_last_minute: requests booked in the last minute.
        allowed_per_minute: requests that any minute may see now, after hiTask's complaints.
        comments_read: items whose comments are all in the mirror.
        comments_items: items with comments.
        comments_forecast: seconds until all are.
    """

    rows: Mapping[str, int]
    queue: Mapping[str, int]
    oldest_waiting: float
    conflicts: int
    conflicts_open: int
    held: Mapping[str, int]
    used_last_hour: Mapping[tuple[str, str], int]
    booked_last_minute: int
    allowed_per_minute: int
    comments_read: int
    comments_items: int
    comments_forecast: float


def load_figures(connection: Connection, *, per_minute: int, now: float) -> Figures:
    """Read them, changing nothing.

    Args:
        connection: any transaction.
        per_minute: the budget, `rate.requests_per_minute`.
        now: seconds since the epoch.
    """
    memory = state.load(connection)
    read, items = histories.comment_progress(connection)
    allowed = Throttle.of(memory.throttle).limit(per_minute, now)
    return Figures(
        rows=rows.count_rows(connection, {**EDITED_TABLES, **SHOWN_TABLES}),
        queue={
            name: number
            for name, number in changes.counts(connection).items()
            if name == "rejected" or name not in changes.FINAL_STATES
        },
        oldest_waiting=_oldest_waiting(connection, now),
        conflicts=records.count_conflicts(connection),
        conflicts_open=records.open_conflicts(connection),
        held=memory.held,
        used_last_hour=requests.usage_since(connection, now, 60),
        booked_last_minute=requests.booked_since(connection, now - 60),
        allowed_per_minute=allowed,
        comments_read=read,
        comments_items=items,
        comments_forecast=seconds_left(
            items - read, requests.histories_per_minute(connection, now), allowed
        ),
    )


def _oldest_waiting(connection: Connection, now: float) -> float:
    query = select(func.min(change_log.c.changed_at)).where(change_log.c.finished_at.is_(None))
    oldest: Any = connection.execute(query).scalar_one()
    if not isinstance(oldest, datetime):
        return 0.0
    return max(0.0, now - oldest.replace(tzinfo=UTC).timestamp())
