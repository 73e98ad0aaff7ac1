"""Items as the wire has them, made canonical: leniently, and pure.

Decoding never fails over a value: one that can't be read stays in `extra` under its wire name and
leaves its column empty.

Public: `INT64`, `decode_item`, `decode_integer`, `TimeUnit`, `Report`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final, Literal, TypeAlias

from hisync.api.dates import decode_date
from hisync.items import (
    DATE_TYPES,
    MOST_MINUTES,
    SPENT,
    Field,
    FieldType,
    Item,
    Value,
    derived_guid,
    fields_of,
    table_of_category,
)

TimeUnit: TypeAlias = Literal["minutes", "hours"]
"""The unit of `time_est` and `time_spent` on the wire."""

Report: TypeAlias = Callable[[str], None]
"""Told the name of what looked odd: `time_unit_doubtful`, `category_missing`."""

_NO_CATEGORY: Final = -1
_IDENTITY: Final = frozenset({"id", "guid", "parent", "parentGuid", "changed", "category"})
_LISTS: Final = frozenset({"alerts", "permissions"})
INT64: Final = range(-(2**63), 2**63)
_EXACT: Final = 2**53
_TRUTHS: Final[Mapping[object, bool]] = {
    "true": True,
    "false": False,
    "1": True,
    "0": False,
    "": False,
    1: True,
    0: False,
}


def _ignore(_event: str) -> None: ...


@dataclass(slots=True)  # as `Item`
class _Reading:
    """What else the value of a field depends on."""

    day: bool
    time_unit: TimeUnit
    report: Report


def decode_item(
    wire: Mapping[str, Any], *, time_unit: TimeUnit = "minutes", report: Report = _ignore
) -> Item:
    """A whole item as the wire has it; a missing field is null.

    Raises:
        ValueError: it has no integer id. Nothing else about an item is an error.
    """
    number = decode_integer(wire.get("id"))
    if number is None:
        raise ValueError("an item without an id")
    reading = _Reading(_or(False, _decode_bool, wire.get("is_all_day")), time_unit, report)
    extra: dict[str, Any] = {}
    category = _decode_category(wire.get("category"), extra, report)
    by_name, empty = _known(table_of_category(category))
    values = dict(empty)
    # Most of what a large account takes is spent in this loop.
    for name, raw in wire.items():
        if raw is None:
            continue
        known = by_name.get(name)
        if known is None:
            if name not in _IDENTITY:
                extra[name] = raw
            continue
        column, decode, field, same = known
        if type(raw) is same and (same is not int or raw in INT64):
            values[column] = raw
            continue
        try:
            values[column] = decode(field, raw, reading)
        except ValueError:
            extra[name] = raw
    if "category" in values:
        values["category"] = category
    values["extra"] = extra or None
    guid = wire.get("guid")
    has_guid = isinstance(guid, str) and guid.strip()
    return Item(
        id=number,
        guid=str(guid).strip().lower() if has_guid else derived_guid("item", number),
        category=category,
        values=values,
        parent_id=_or(None, decode_integer, wire.get("parent")) or None,
    )


def decode_integer(raw: Any) -> int | None:
    """A 64-bit integer, also one written as text or as a whole float; null is None.

    Raises:
        ValueError: it is none.
    """
    if type(raw) is int and raw in INT64:
        return raw
    if raw is None:
        return None
    if isinstance(raw, str):
        text = raw.strip()
        if not (text.isascii() and text.removeprefix("-").isdigit()):
            raise ValueError(f"{raw!r} is no 64-bit integer")
        raw = int(text)
    if isinstance(raw, float) and raw.is_integer() and abs(raw) <= _EXACT:
        raw = int(raw)  # beyond that it may stand for another one: that of another item
    if isinstance(raw, bool) or not isinstance(raw, int) or raw not in INT64:
        raise ValueError(f"{raw!r} is no 64-bit integer")
    return raw


def _or(default: Any, decode: Callable[[Any], Any], raw: Any) -> Any:
    try:
        return decode(raw)
    except ValueError:
        return default


def _decode_category(raw: Any, extra: dict[str, Any], report: Report) -> int:
    try:
        category = decode_integer(raw)
    except ValueError:
        category = None
        extra["category"] = raw
    if category is None:
        report("category_missing")
        return _NO_CATEGORY
    return category


def _decode_text(field: Field, raw: Any, _reading: _Reading) -> str | None:
    if not isinstance(raw, str):
        raise ValueError("no text")  # noqa: TRY004 - the caller catches one kind
    if field.column == "parent_guid":
        return raw.strip().lower() or None
    return raw


def _decode_bool(raw: Any) -> bool:
    key = raw.strip().lower() if isinstance(raw, str) else raw
    if key is None:
        return False
    if not isinstance(key, str | int | float) or key not in _TRUTHS:
        raise ValueError(f"{raw!r} is no boolean")
    return _TRUTHS[key]


def _decode_when(field: Field, raw: Any, reading: _Reading) -> datetime | None:
    if not isinstance(raw, str):
        raise ValueError("no date")  # noqa: TRY004
    if not raw.strip():
        return None
    return decode_date(raw, day=reading.day and field.type in DATE_TYPES)


def _decode_minutes(field: Field, raw: Any, reading: _Reading) -> int:
    # More than one entry can have is no sum of entries either.
    most = MOST_MINUTES if field.column == SPENT else _EXACT
    if type(raw) is int and reading.time_unit == "minutes" and abs(raw) <= most:
        return raw
    amount = float(raw) if isinstance(raw, str) else raw
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        raise ValueError("no amount of time")  # noqa: TRY004
    if not abs(amount) <= most:  # neither is what is no number
        raise ValueError("no amount of time")
    if reading.time_unit == "hours":
        return round(amount * 60)
    if amount != int(amount):
        reading.report("time_unit_doubtful")
    return round(amount)


def _decode_set(field: Field, raw: Any, _reading: _Reading) -> list[Value]:
    if not isinstance(raw, list):
        raise ValueError("no list")  # noqa: TRY004
    if field.column == "participants":
        numbers = [decode_integer(one) for one in raw]
        if None in numbers:
            raise ValueError("a null in a list")
        return numbers
    if not all(isinstance(one, str) for one in raw):
        raise ValueError("no list of texts")
    return list(raw)


def _decode_json(field: Field, raw: Any, _reading: _Reading) -> Value:
    if not isinstance(raw, list if field.column in _LISTS else dict):
        raise ValueError("not of the expected shape")  # noqa: TRY004
    return raw


_DECODERS: Final[Mapping[FieldType, Callable[[Field, Any, _Reading], Value]]] = {
    FieldType.TEXT: _decode_text,
    FieldType.INT: lambda _field, raw, _reading: decode_integer(raw),
    FieldType.ID: lambda _field, raw, _reading: decode_integer(raw) or None,
    FieldType.BOOL: lambda _field, raw, _reading: _decode_bool(raw),
    FieldType.INSTANT: _decode_when,
    FieldType.START_DATE: _decode_when,
    FieldType.END_DATE: _decode_when,
    FieldType.MINUTES: _decode_minutes,
    FieldType.SET: _decode_set,
    FieldType.JSON: _decode_json,
}

_SAME: Final[Mapping[FieldType, type]] = {
    FieldType.TEXT: str,
    FieldType.BOOL: bool,
    FieldType.INT: int,
}
"""What a value is in Python that needs no decoding."""

_Known: TypeAlias = tuple[str, Callable[[Field, Any, _Reading], Value], Field, type | None]
"""Column, decoder, field, and the type that needs no decoding, of a name of the wire."""


@cache
def _known(table: str) -> tuple[Mapping[str, _Known], Mapping[str, Value]]:
    """What the wire's names mean in a table, and the values of an item that says nothing."""
    fields = fields_of(table)
    known = {
        # A guid's case and the blanks around it say nothing.
        f.wire: (
            column,
            _DECODERS[f.type],
            f,
            None if column == "parent_guid" else _SAME.get(f.type),
        )
        for column, f in fields.items()
        if f.wire and f.column != "category"
    }
    return known, {column: f.empty for column, f in fields.items() if f.wire}
