"""`sync_requests`: requests booked lately. Public: `booked_since`, `count_since`, `book`."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, update

from hisync.mirror.tables import sync_requests


def booked_since(connection: Connection, moment: float) -> list[tuple[float, int]]:
    """When (seconds since the epoch) and how many requests were booked since then, in order."""
    query = select(sync_requests.c.granted_at, sync_requests.c.requests).order_by(
        sync_requests.c.granted_at
    )
    return list(connection.execute(query.where(sync_requests.c.granted_at > moment)))


def count_since(connection: Connection, now: float, seconds: float) -> list[tuple[float, int]]:
    """The bookings of the last seconds, older ones forgotten.

    One from the future, left there by a clock that was set back, counts as made just now: it
    must neither be forgotten nor keep us waiting for as long as the clock jumped.
    """
    booked = sync_requests.c.granted_at
    connection.execute(delete(sync_requests).where(booked <= now - seconds))
    connection.execute(update(sync_requests).where(booked > now).values(granted_at=now))
    return booked_since(connection, now - seconds)


def book(connection: Connection, moment: float, number: int) -> None:
    """Write down requests about to be made."""
    connection.execute(insert(sync_requests).values(granted_at=moment, requests=number))
