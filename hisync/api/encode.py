"""Values as the wire wants them, in form fields: strictly, and pure.

A value that hiTask could misread is a `ValueError` here, never a guess there.

Public: `encode_changes`, `encode_new`, `emptied`, `wire_precision`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, tzinfo
from typing import Any, Final

import orjson

from hisync.api.dates import encode_day, encode_instant
from hisync.api.decode import INT64, TimeUnit
from hisync.items import DATE_TYPES, FIELDS, Access, Field, FieldType, Value, Values

_NULL: Final = "null"
_LIST_COLUMNS: Final = frozenset({"participants", "tags", "alerts", "permissions"})
# Read-only for people, but the engine writes the total of the time entries.
_SENDABLE: Final[Mapping[str, Field]] = {
    f.column: f
    for f in FIELDS
    if f.wire and (f.access is not Access.READ_ONLY or f.column == "time_spent_minutes")
}


@dataclass(frozen=True, slots=True)
class _Writing:
    """What else the form of a value depends on."""

    is_all_day: bool
    zone: tzinfo
    time_unit: TimeUnit


def encode_changes(
    values: Values,
    *,
    is_all_day: bool,
    zone: tzinfo,
    parent_id: int | None = None,
    time_unit: TimeUnit = "minutes",
) -> dict[str, str]:
    """Changed values as form fields.

    Args:
        values: canonical values by column.
        is_all_day: whether the item is all-day once the changes are made.
        zone: the account's time zone, for the days of an all-day item.
        parent_id: the new parent's number, where it is known.
        time_unit: the unit of times on the wire.

    Raises:
        ValueError: a column that can't be sent, or a value that is not canonical.
    """
    writing = _Writing(is_all_day, zone, time_unit)
    form: dict[str, str] = {}
    for column, value in values.items():
        field = _SENDABLE.get(column)
        if field is None:
            raise ValueError(f"{column} can't be sent to hiTask")
        try:
            if column == "parent_guid":
                form |= _encode_parent(value, parent_id)
            else:
                form[field.wire] = _encode_value(field, value, writing)
        except (TypeError, UnicodeEncodeError, OverflowError) as error:
            raise ValueError(f"{column}: {value!r} can't be sent to hiTask") from error
    return form


def encode_new(
    guid: str,
    category: int,
    values: Values,
    *,
    zone: tzinfo,
    parent_id: int | None = None,
    time_unit: TimeUnit = "minutes",
) -> dict[str, str]:
    """A new item as form fields: what people may write and what says something.

    Raises:
        ValueError: it has no title, or a value that is not canonical.
    """
    said = {
        column: value
        for column, value in values.items()
        if (field := _SENDABLE.get(column)) and field.writable and _says_something(field, value)
    }
    if "title" not in said:
        raise ValueError("an item without a title")
    encoded = encode_changes(
        said,
        is_all_day=bool(values.get("is_all_day")),
        zone=zone,
        parent_id=parent_id,
        time_unit=time_unit,
    )
    return {"guid": guid, "category": str(category), **encoded}


def emptied(changes: Values, form: Mapping[str, str]) -> dict[str, str]:
    """The columns that a form empties with the text `null`, by the wire's names."""
    names = {_SENDABLE[column].wire: column for column, value in changes.items() if value is None}
    return {wire: column for wire, column in names.items() if form.get(wire) == _NULL}


def wire_precision(field: Field, value: Value, *, is_all_day: bool = False) -> Value:
    """What a value is after a way to hiTask and back, if hiTask takes it as it is."""
    match value:
        case datetime() if is_all_day and field.type in DATE_TYPES:
            return datetime.combine(value.date(), time.min)
        case datetime():
            return value.replace(microsecond=value.microsecond // 1000 * 1000)
        case None if field.zero_is_none:
            return 0
        case None:
            return field.empty
        case str() if field.column == "parent_guid":
            return value.lower()
        case 0 if field.type is FieldType.ID:
            return None
    return value


def _says_something(field: Field, value: Any) -> bool:
    if field.column == "title" or field.type in (FieldType.INT, FieldType.MINUTES):
        return value is not None  # a 0 does, and an empty title is for hiTask to refuse
    return bool(value)


def _encode_parent(guid: Any, number: int | None) -> dict[str, str]:
    if not guid:
        return {"parent": "0"}
    known = {} if number is None else {"parent": str(number)}
    return {"parentGuid": _encode_text(guid), **known}


def _encode_value(field: Field, value: Any, writing: _Writing) -> str:
    if value is None:
        return _encode_nothing(field)
    return _ENCODERS[field.type](value, field, writing)


def _encode_nothing(field: Field) -> str:
    if field.column in ("title", "category"):
        raise TypeError("it has to have a value")
    if field.column in _LIST_COLUMNS:
        return "[]"
    if field.zero_is_none:
        return "0"
    return _NOTHING.get(field.type, _NULL)


_NOTHING: Final = {
    FieldType.BOOL: "false",
    FieldType.ID: "0",
    FieldType.INSTANT: "",
    FieldType.START_DATE: "",
    FieldType.END_DATE: "",
}


def _encode_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    value.encode()  # half a surrogate pair fails here and not in the HTTP library
    return value


def _encode_integer(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int) or value not in INT64:
        raise TypeError("no 64-bit integer")
    return str(value)


def _encode_bool(value: Any) -> str:
    if value not in (True, False):
        raise TypeError("no boolean")
    return "true" if value else "false"


def _encode_when(value: Any, field: Field, writing: _Writing) -> str:
    if not isinstance(value, datetime):
        raise TypeError("no date")
    if writing.is_all_day and field.type in DATE_TYPES:
        return encode_day(value, writing.zone, end=field.type is FieldType.END_DATE)
    return encode_instant(value)


def _encode_minutes(value: Any, _field: Field, writing: _Writing) -> str:
    text = _encode_integer(value)
    if writing.time_unit == "minutes":
        return text
    hours, minutes = divmod(value, 60)
    return f"{value / 60:.4f}" if minutes else str(hours)


def _encode_json(value: Any) -> str:
    if not isinstance(value, list | dict):
        raise TypeError("no list or object")
    return orjson.dumps(value).decode()


_ENCODERS: Final[Mapping[FieldType, Callable[[Any, Field, _Writing], str]]] = {
    FieldType.TEXT: lambda value, _field, _writing: _encode_text(value),
    FieldType.INT: lambda value, _field, _writing: _encode_integer(value),
    FieldType.ID: lambda value, _field, _writing: _encode_integer(value),
    FieldType.BOOL: lambda value, _field, _writing: _encode_bool(value),
    FieldType.INSTANT: _encode_when,
    FieldType.START_DATE: _encode_when,
    FieldType.END_DATE: _encode_when,
    FieldType.MINUTES: _encode_minutes,
    FieldType.SET: lambda value, _field, _writing: _encode_json(value),
    FieldType.JSON: lambda value, _field, _writing: _encode_json(value),
}
