"""The properties that a client may write: how each is read, checked, guarded and recorded.

`FIELDS` is the table; a row says the kind of the value, whether it can be null, the permission
level that a change takes, and the name that the history uses. Values may come as text (forms)
or as plain JSON values (other team members, tests); `read_values` accepts both.

Public: `Field`, `FIELDS`, `form_values`, `read_values`, `read_flag`, `read_id`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import orjson

from hisync.sandbox.errors import (
    INTERVAL_OUT_OF_RANGE,
    INVALID_DATA,
    INVALID_FORMAT,
    SIZE_EXCEEDED,
    ApiError,
)
from hisync.sandbox.wire import parse_date, to_ms

MESSAGE_LIMIT = 10_000
TITLE_LIMIT = 256
CATEGORIES = frozenset({0, 1, 2, 4, 5, 6, 7})


@dataclass(frozen=True, slots=True)
class Field:
    """How one property is read and guarded."""

    kind: str
    null: bool = True
    level: int = 60
    unit_name: str = ""
    unit_type: str = "STRING"


def _number(*, null: bool = True, level: int = 60, unit_name: str = "") -> Field:
    return Field("int", null, level, unit_name, "INTEGER")


def _flag(*, null: bool = True, level: int = 60) -> Field:
    return Field("bool", null, level, "", "BOOLEAN")


def _date(unit_name: str = "") -> Field:
    return Field("date", unit_name=unit_name, unit_type="DATE")


FIELDS: dict[str, Field] = {
    "title": Field("text", null=False),
    "message": Field("text", unit_name="description"),
    "category": _number(null=False),
    "completed": _flag(null=False, level=50),
    "parent": _number(null=False),
    "color": _number(null=False),
    "color_value": Field("text", null=False),
    "short_name": Field("text"),
    "assignee": _number(null=False, level=40),
    "participants": Field("ints", level=40),
    "tags": Field("texts", unit_name="tag"),
    "start_date": _date("start"),
    "end_date": _date("end"),
    "due_date": _date("due"),
    "is_all_day": _flag(),
    "recurring": _number(null=False),
    "recurring_interval": _number(),
    "recurring_end_date": _date(),
    "alerts": Field("objects"),
    "priority": _number(null=False),
    "starred": _flag(null=False, level=10),
    "permissions": Field("permissions", null=False, level=70, unit_name="shared_with"),
    "time_track": _flag(),
    "time_est": _number(),
    "time_spent": _number(level=50),
    "location": Field("object"),
    "contact": Field("text"),
    "file_size": _number(),
}

# (lowest, highest, code of the refusal)
_RANGES = {
    "color": (0, 7, INVALID_DATA),
    "recurring": (0, 4, INVALID_DATA),
    "recurring_interval": (1, 999, INTERVAL_OUT_OF_RANGE),
    "priority": (0, 2**31 - 1, INVALID_DATA),
    "time_est": (0, 2**31 - 1, INVALID_DATA),
    "time_spent": (0, 2**31 - 1, INVALID_DATA),
    "file_size": (0, 2**63 - 1, INVALID_DATA),
}
_LENGTHS = {"title": TITLE_LIMIT, "message": MESSAGE_LIMIT}
_SHORT_NAME = re.compile(r"[A-Za-z0-9]{1,8}", re.ASCII)
_COLOR_VALUE = re.compile(r"#[0-9A-Fa-f]{6}", re.ASCII)
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


def form_values(form: Mapping[str, str]) -> dict[str, object]:
    """Pick the known properties out of a form; the text `null` clears what can be null."""
    return {
        name: None if form[name] == "null" and field.null else form[name]
        for name, field in FIELDS.items()
        if name in form
    }


def read_values(raw: Mapping[str, object]) -> dict[str, object]:
    """Read and check values; what comes back is as `Item` stores it."""
    values: dict[str, object] = {}
    for name, value in raw.items():
        field = FIELDS.get(name)
        if field is None:
            raise ApiError(INVALID_DATA, f"Unknown property {name}")
        if value is None:
            if not field.null:
                raise ApiError(INVALID_FORMAT, f"{name} can not be null")
            values[name] = None
        else:
            values[name] = _READERS[field.kind](name, value)
        _check(name, values[name])
    return values


def read_flag(name: str, value: object) -> bool:
    """Read a boolean: true, false, 1 or 0."""
    flag = value if isinstance(value, bool) else _FLAGS.get(str(value).lower())
    if flag is None:
        raise ApiError(INVALID_FORMAT, f"{name} is not a boolean")
    return flag


def read_id(name: str, value: object) -> int:
    """Read a whole number of 64 bits."""
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,19}", value, re.ASCII):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        raise ApiError(INVALID_FORMAT, f"{name} is not a whole number")
    return value


def _check(name: str, value: object) -> None:
    """Check what a value alone can break; what needs other items is checked by the model."""
    if isinstance(value, int) and name in _RANGES:
        low, high, code = _RANGES[name]
        if not low <= value <= high:
            raise ApiError(code, f"{name} must be between {low} and {high}")
    if isinstance(value, str):
        _check_text(name, value)
    if name == "category" and value not in CATEGORIES:
        raise ApiError(INVALID_DATA, f"Unknown category {value}")


def _check_text(name: str, value: str) -> None:
    limit = _LENGTHS.get(name)
    if limit is not None and len(value) > limit:
        raise ApiError(SIZE_EXCEEDED, f"{name} is longer than {limit} characters")
    if name == "short_name" and value and not _SHORT_NAME.fullmatch(value):
        raise ApiError(INVALID_DATA, "short_name takes up to 8 latin letters and digits")
    if name == "color_value" and not _COLOR_VALUE.fullmatch(value):
        raise ApiError(INVALID_FORMAT, "color_value is not a color")


def _read_text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ApiError(INVALID_FORMAT, f"{name} is not a text")
    return value


def _read_date(name: str, value: object) -> int | None:
    if isinstance(value, datetime):
        return to_ms(value)
    text = _read_text(name, value)
    return parse_date(name, text) if text else None


def _read_json(name: str, value: object) -> object:
    """Lists and objects come as JSON text in a form."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise ApiError(INVALID_FORMAT, f"{name} is not JSON") from error


def _read_list(name: str, value: object) -> list[object]:
    value = _read_json(name, value)
    if not isinstance(value, list | tuple):
        raise ApiError(INVALID_FORMAT, f"{name} is not a list")
    return list(value)


def _read_ints(name: str, value: object) -> list[int] | None:
    numbers = [read_id(name, each) for each in _read_list(name, value)]
    return list(dict.fromkeys(numbers)) or None


def _read_texts(name: str, value: object) -> list[str] | None:
    texts = [_read_text(name, each) for each in _read_list(name, value)]
    return list(dict.fromkeys(texts)) or None


def _read_object(name: str, value: object) -> dict[str, object]:
    value = _read_json(name, value)
    if not isinstance(value, dict):
        raise ApiError(INVALID_FORMAT, f"{name} is not an object")
    return value


def _read_objects(name: str, value: object) -> list[dict[str, object]] | None:
    return [_read_object(name, each) for each in _read_list(name, value)] or None


def _read_permissions(name: str, value: object) -> tuple[tuple[str, int], ...]:
    pairs: dict[str, int] = {}
    for entry in _read_objects(name, value) or ():
        level = read_id("level", entry.get("level"))
        if not 0 <= level <= 100 or not entry.get("principal"):
            raise ApiError(INVALID_DATA, f"{name}: a principal and a level of 0 to 100 are needed")
        pairs[str(entry["principal"])] = level
    return tuple(pairs.items())


_READERS: dict[str, Callable[[str, object], object]] = {
    "text": _read_text,
    "int": read_id,
    "bool": read_flag,
    "date": _read_date,
    "ints": _read_ints,
    "texts": _read_texts,
    "object": _read_object,
    "objects": _read_objects,
    "permissions": _read_permissions,
}
