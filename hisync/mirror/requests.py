"""The books of requests: `sync_requests`, what may be spent, and `sync_usage`, what was.

Public: `booked_since`, `count_booked`, `book`, `add_usage`, `usage_since`,
`histories_per_minute`, `Usage`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from sqlalchemy import Connection, delete, func, insert, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from hisync.mirror.tables import sync_requests, sync_usage

Usage: TypeAlias = Mapping[tuple[str, str], int]
"""Numbers of requests by cause and outcome."""

KEPT_MINUTES: Final = 61
"""Minutes for which usage is kept: an hour, and the minute that is not over."""


def booked_since(connection: Connection, moment: float) -> int:
    """How many requests were booked since a moment (seconds since the epoch)."""
    query = select(func.coalesce(func.sum(sync_requests.c.requests), 0))
    return int(connection.execute(query.where(sync_requests.c.granted_at > moment)).scalar_one())


def count_booked(connection: Connection, now: float, window: float) -> list[tuple[float, int]]:
    """The bookings that count now, as when their lease ends and how many requests, in that order.

    One from the future, left there by a clock that was set back, counts as made just now: it
    must neither be forgotten nor keep us waiting for as long as the clock jumped.

    Args:
        connection: a transaction; a write transaction forgets older bookings, too.
        now: seconds since the epoch.
        window: seconds for which a booking counts after its lease has ended.
    """
    columns = sync_requests.c.granted_at, sync_requests.c.lease_ends, sync_requests.c.requests
    counted = []
    for granted_at, lease_ends, number in connection.execute(select(*columns)):
        ends = lease_ends - max(0.0, granted_at - now)
        if ends > now - window:
            counted.append((ends, number))
    return sorted(counted)


def forget_booked(connection: Connection, now: float, window: float) -> None:
    """Forget the bookings that no longer count, and date those from the future as of now."""
    booked = sync_requests.c
    connection.execute(delete(sync_requests).where(booked.lease_ends <= now - window))
    connection.execute(
        update(sync_requests)
        .where(booked.granted_at > now)
        .values(granted_at=now, lease_ends=booked.lease_ends - booked.granted_at + now)
    )


def book(connection: Connection, moment: float, number: int, *, lease_ends: float) -> None:
    """Write down requests that may be made until their lease ends."""
    values = {"granted_at": moment, "requests": number, "lease_ends": lease_ends}
    connection.execute(insert(sync_requests).values(values))


def add_usage(connection: Connection, now: float, usage: Usage) -> None:
    """Add requests to what was used in this minute; what is older than an hour is forgotten."""
    minute, used = int(now // 60), sync_usage.c
    over = or_(used.minute <= minute - KEPT_MINUTES, used.minute > minute)
    connection.execute(delete(sync_usage).where(over))
    for (cause, outcome), number in usage.items():
        row = upsert(sync_usage).values(
            minute=minute, cause=cause, outcome=outcome, requests=number
        )
        connection.execute(
            row.on_conflict_do_update(
                index_elements=[used.minute, used.cause, used.outcome],
                set_={"requests": used.requests + row.excluded.requests},
            )
        )


def usage_since(connection: Connection, now: float, minutes: int) -> dict[tuple[str, str], int]:
    """What was used in the last minutes, this one included, by cause and outcome."""
    used, number = sync_usage.c, func.sum(sync_usage.c.requests)
    query = select(used.cause, used.outcome, number).where(used.minute > now // 60 - minutes)
    rows = connection.execute(query.group_by(used.cause, used.outcome).order_by(number.desc()))
    return {(cause, outcome): total for cause, outcome, total in rows}


def histories_per_minute(connection: Connection, now: float) -> float:
    """How many histories were read in a minute, over the last ten."""
    used = usage_since(connection, now, 10)
    return sum(number for (cause, _), number in used.items() if cause == "history") / 10
