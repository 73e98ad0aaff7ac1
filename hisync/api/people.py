"""People, groups and tags as the wire has them, made canonical: leniently, and pure.

An answer counts only if it is a list from its first element to its last. Within it nothing is an
error: an element without a number is left out, a field that can't be read is empty.

Public: `decode_people`, `decode_person`, `decode_groups`, `decode_tags`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from hisync.api.decode import decode_integer
from hisync.api.outcomes import NOT_AN_ANSWER, Answer
from hisync.errors import RetryLaterError
from hisync.items import Values

Wire: TypeAlias = Mapping[str, Any]

_TRUTHS: Final[Mapping[object, bool]] = {
    "true": True,
    "1": True,
    1: True,
    "false": False,
    "0": False,
    0: False,
}


def decode_people(answer: Answer) -> list[Values]:
    """The people in an answer, by the columns of `users` but `is_self`.

    Raises:
        RetryLaterError: it is no list.
    """
    return _decode(answer, decode_person)


def decode_groups(answer: Answer) -> list[Values]:
    """The groups in an answer, by the columns of `groups`.

    Raises:
        RetryLaterError: it is no list.
    """
    return _decode(answer, _group)


def decode_tags(answer: Answer) -> list[Values]:
    """The tags in an answer, by the columns of `tags`.

    Raises:
        RetryLaterError: it is no list.
    """
    return _decode(answer, _tag)


def _decode(answer: Answer, decode: Callable[[Wire], Values]) -> list[Values]:
    if not isinstance(answer.payload, list):
        raise RetryLaterError(NOT_AN_ANSWER, status=200)
    found = [decode(element) for element in answer.payload if isinstance(element, dict)]
    return [values for values in found if values["id"] is not None]


def decode_person(wire: Wire) -> Values:
    """One of the people, by the columns of `users` but `is_self`; `id` is None if it has none."""
    first, last = _text(wire.get("firstName")), _text(wire.get("lastName"))
    login, email = _text(wire.get("login")), _text(wire.get("email"))
    names = " ".join(name for name in (first, last) if name)
    return {
        "id": _number(wire.get("id")),
        "login": login,
        "first_name": first,
        "last_name": last,
        # Whoever has given no name is still someone to show: by the login then.
        "full_name": _text(wire.get("fullName")) or names or login or email,
        "email": email,
        "account_type": _text(wire.get("accountType")),
        "business_level": _number(wire.get("businessLevel")),
    }


def _group(wire: Wire) -> Values:
    members = wire.get("members")
    numbers = [_number(one) for one in members] if isinstance(members, list) else []
    return {
        "id": _text(wire.get("id")),
        "name": _text(wire.get("name")),
        "code": _text(wire.get("code")),
        "color": _number(wire.get("color")),
        "type": _number(wire.get("type")),
        "members": [number for number in numbers if number is not None],
    }


def _tag(wire: Wire) -> Values:
    shared = wire.get("shared")
    key = shared.strip().lower() if isinstance(shared, str) else shared
    return {
        "id": _number(wire.get("id")),
        "name": _text(wire.get("name")),
        "shared": _TRUTHS.get(key) if isinstance(key, str | int | float) else None,
    }


def _number(raw: Any) -> int | None:
    try:
        return decode_integer(raw)
    except ValueError:
        return None


def _text(raw: Any) -> str | None:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return str(raw)
    return (raw.strip() or None) if isinstance(raw, str) else None
