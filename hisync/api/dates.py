"""Dates on the wire and here: `2017-05-05T23:59:00.000+03:00` against naive UTC datetimes.

An instant is the same moment whatever offset it is written with. A date of an all-day item is a
day instead: the one that the wire writes, in its own offset, kept at 00:00.

Public: `decode_date`, `encode_instant`, `encode_day`.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Final

_DAY_END: Final = time(23, 59)
_USUAL: Final = len("2017-05-05T23:59:00.000+03:00")
_OFFSET: Final = len("+03:00")


def decode_date(text: str, *, day: bool = False) -> datetime:
    """A date of the wire as a naive UTC datetime, or as its own day at 00:00.

    Milliseconds may be missing and the offset may be `Z`, `+HHMM` or missing (then it is UTC).

    Raises:
        ValueError: it can't be read, or is out of the range of dates.
    """
    if not day and len(text) == _USUAL and (offset := _offset(text[-_OFFSET:])) is not None:
        # As nearly all are, and an account has many: a zone in each would take twice as long.
        local = datetime.fromisoformat(text[:-_OFFSET])
        if local.tzinfo is None:
            return _shifted(local, offset, text) if offset else local
    read = datetime.fromisoformat(text.strip())
    if day:
        return datetime(read.year, read.month, read.day)  # noqa: DTZ001 - a day has no zone
    return _shifted(read.replace(tzinfo=None), read.utcoffset() or timedelta(0), text)


def _shifted(local: datetime, offset: timedelta, text: str) -> datetime:
    try:
        return local - offset
    except OverflowError as error:
        raise ValueError(f"{text!r} is out of range in UTC") from error


@lru_cache(maxsize=64)
def _offset(text: str) -> timedelta | None:
    """An offset as the wire has it, None for what is none."""
    try:
        return datetime.fromisoformat(f"2000-01-01T00:00{text}").utcoffset()
    except ValueError:
        return None


def encode_instant(value: datetime) -> str:
    """A naive UTC datetime as the wire writes it; what is finer than a millisecond is cut off."""
    if value.tzinfo is not None:
        raise ValueError(f"{value!r} has a zone: dates are UTC without one")
    return f"{value.isoformat(timespec='milliseconds')}+00:00"


def encode_day(value: datetime, zone: tzinfo, *, end: bool = False) -> str:
    """A day as the wire writes it: its start, or its end at 23:59, with the zone's offset then.

    Where a clock change skips that minute, the offset is taken that keeps the moment within the
    day: the one before the change for a start, the one after it for an end.
    """
    if value.tzinfo is not None:
        raise ValueError(f"{value!r} has a zone: days have none")
    at = _DAY_END if end else time.min
    moment = datetime.combine(value.date(), at).replace(fold=int(end))
    try:
        offset = zone.utcoffset(moment.replace(tzinfo=zone)) or timedelta(0)
    except OverflowError:
        offset = timedelta(0)  # the first and the last day of the calendar
    return f"{moment.isoformat(timespec='milliseconds')}{_encode_offset(offset)}"


def _encode_offset(offset: timedelta) -> str:
    sign = "-" if offset < timedelta(0) else "+"
    hours, minutes = divmod(int(abs(offset).total_seconds()) // 60, 60)
    return f"{sign}{hours:02d}:{minutes:02d}"
