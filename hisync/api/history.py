"""Histories and comments as the wire has them, made canonical: leniently, and pure.

A history comes as a list or in an object, in any order. Within it nothing is an error: what can't
be read of a unit is empty. Public: `decode_history`, `decode_posted`, `Posted`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hisync.api.dates import decode_date
from hisync.api.decode import decode_integer
from hisync.api.outcomes import NOT_AN_ANSWER, Answer
from hisync.comment import Unit
from hisync.errors import RetryLaterError


@dataclass(frozen=True, slots=True)
class Posted:
    """A comment that hiTask took.

    Attributes:
        id: its number, None where the answer says only that all went well.
        at: when it was made, UTC, None where the answer doesn't say.
    """

    id: int | None
    at: datetime | None


def decode_history(answer: Answer) -> list[Unit]:
    """The units of an item's history.

    Raises:
        RetryLaterError: it is no list of objects.
    """
    payload = answer.payload
    if isinstance(payload, dict) and "history" in payload:
        payload = payload["history"] or []
    if not isinstance(payload, list) or not all(isinstance(unit, dict) for unit in payload):
        raise RetryLaterError(NOT_AN_ANSWER, status=200)
    return [_unit(wire) for wire in payload]


def decode_posted(answer: Answer) -> Posted:
    """What the answer to a new comment says of it.

    Raises:
        RetryLaterError: it says neither that nor that all went well.
    """
    payload = answer.alone
    if not isinstance(payload, dict):
        raise RetryLaterError(NOT_AN_ANSWER, status=200)
    if "category" in payload:
        return Posted(None, None)  # the item that it was said on, whose number is not the comment's
    number = _number(payload.get("id"))
    if number is None and not answer.is_plain_ok:
        raise RetryLaterError(NOT_AN_ANSWER, status=200)
    return Posted(number, _moment(payload.get("time_create") or payload.get("time")))


def _unit(wire: Mapping[str, Any]) -> Unit:
    name = wire.get("property_name")
    user_name = wire.get("user_name")
    return Unit(
        id=_number(wire.get("id")),
        user_id=_number(wire.get("user_id")) or None,  # 0 is nobody
        user_name=(user_name.strip() or None) if isinstance(user_name, str) else None,
        name=name if isinstance(name, str) else "",
        at=_moment(wire.get("time")),
        value=wire.get("value"),
    )


def _number(raw: Any) -> int | None:
    try:
        return decode_integer(raw)
    except ValueError:
        return None


def _moment(raw: Any) -> datetime | None:
    try:
        return decode_date(raw) if isinstance(raw, str) else None
    except ValueError:
        return None
