"""What the mirror itself shows in numbers, for metrics and for forecasts.

Public: `Figures`, `load_figures`, `forecast_comments`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, select

from hisync.mirror import changes, histories, people, records, requests, rows, state
from hisync.mirror.tables import SHOWN_TABLES, change_log
from hisync.purse import RESERVES, STARVED
from hisync.throttle import Throttle


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
        comments_forecast: seconds until all are, None while that can't be said.
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
    comments_forecast: float | None


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
        rows={
            **rows.count_rows(connection),
            **{name: people.count_shown(connection, name) for name in SHOWN_TABLES},
        },
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
        comments_forecast=forecast_comments(connection, items - read, allowed, now),
    )


def forecast_comments(
    connection: Connection, unread: int, allowed_per_minute: int, now: float
) -> float | None:
    """Seconds until the comments of so many items are read, at the pace of the last ten minutes.

    Where none was read in them, at the pace that the budget leaves; None if that isn't going on.
    """
    if unread <= 0:
        return 0.0
    used = requests.usage_since(connection, now, 10)
    lately = sum(number for (cause, _), number in used.items() if cause == "history") / 10
    expected = allowed_per_minute * (1 - RESERVES["history"])
    return 60.0 * unread / (lately or max(expected, 60.0 / STARVED))


def _oldest_waiting(connection: Connection, now: float) -> float:
    query = select(func.min(change_log.c.changed_at)).where(change_log.c.finished_at.is_(None))
    oldest: Any = connection.execute(query).scalar_one()
    if not isinstance(oldest, datetime):
        return 0.0
    return max(0.0, now - oldest.replace(tzinfo=UTC).timestamp())
