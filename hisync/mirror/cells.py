"""Cells that people wrote, read one by one, and values written for people to read.

The database hands cells over raw, since SQLite stores whatever a client gives it; one that can't
be read stops nothing but the change that wrote it. The same functions read the values in
`change_log` and `sync_base`, where JSON columns are nested. Public: `decode_cell`, `decode_row`,
`to_json`, `stored_date`, `cell_text`, `UnreadableCellError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from functools import cache
from math import isfinite
from typing import Any, Final, TypeAlias

import orjson

from hisync.errors import HisyncError
from hisync.items import DATE_TYPES, Field, FieldType, Value, fields_of

DATE_FORMS: Final = (
    "YYYY-MM-DD or YYYY-MM-DD HH:MM[:SS[.ffffff]], also with a T between and a Z or an offset "
    "behind"
)
_FIRST: Final = "is_all_day"
"""The column that is read first, since dates are read in its light."""

_INT64: Final = range(-(2**63), 2**63)
_TRUTHS: Final[Mapping[object, bool]] = {
    **dict.fromkeys((0, "0", "false"), False),
    **dict.fromkeys((1, "1", "true"), True),
}
_UNREADABLE: Final = (ValueError, TypeError, OverflowError)


class UnreadableCellError(HisyncError):
    """A cell holds something that its column can't mean; the text names the accepted forms."""


def decode_row(
    table: str, cells: Mapping[str, Any], columns: Iterable[str] | None = None
) -> tuple[dict[str, Value], dict[str, str]]:
    """The values of a row, and the reason for each cell that can't be read, by column.

    Args:
        table: the item table.
        cells: what the row holds; what they leave out is empty.
        columns: of the table, those that are wanted besides `is_all_day`; None for all.

    Returns:
        The values, where an unreadable one is empty, and what can't be read.
    """
    values: dict[str, Value] = {}
    unreadable: dict[str, str] = {}
    all_day = False
    readers = _readers(table)
    for column in readers if columns is None else dict.fromkeys((_FIRST, *columns)):
        field, decode = readers[column]
        cell = cells.get(column)
        if cell is None:  # as most are: not worth a call
            values[column] = field.empty
            continue
        try:
            values[column] = decode(field, cell, all_day)
        except _UNREADABLE:
            values[column] = field.empty
            unreadable[column] = _why(field, cell)
        if column == _FIRST:
            all_day = values[column]
    return values, unreadable


def decode_cell(field: Field, cell: Any, *, all_day: bool = False) -> Value:
    """The value that one cell means.

    Args:
        field: the column.
        cell: as the database or a JSON object of the machinery holds it.
        all_day: whether the row is all-day, which makes its dates days.

    Raises:
        UnreadableCellError: if it can't mean anything there.
    """
    if cell is None:
        return field.empty
    try:
        return _DECODERS[field.type](field, cell, all_day)
    except _UNREADABLE:
        raise UnreadableCellError(_why(field, cell)) from None


def to_json(value: Value) -> Any:
    """A value as the machinery's JSON columns hold it."""
    return stored_date(value) if isinstance(value, datetime) else value


def cell_text(value: Value) -> str | None:
    """A value as text for people: a JSON text for lists and objects, the cell's form otherwise."""
    if value is None:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return stored_date(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return orjson.dumps(value, default=stored_date, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()


def stored_date(moment: datetime) -> str:
    """A date as SQLite's cells and the machinery's JSON hold it: always with microseconds."""
    text = orjson.dumps(moment)[1:-1].decode().replace("T", " ")  # twice as quick as `isoformat`
    return text if moment.microsecond else f"{text}.000000"


def _why(field: Field, cell: Any) -> str:
    shown = repr(cell) if len(repr(cell)) <= 60 else repr(cell)[:57] + "…"
    return f"{field.column} = {shown} can't be read: {_ACCEPTED[field.type]}"


def _text(field: Field, cell: Any, _all_day: bool) -> str | None:
    if isinstance(cell, str):
        cell.encode()  # bytes that are no UTF-8 fail here
        return cell if cell or field.column != "parent_guid" else None
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return str(cell)
    raise TypeError


def _int(_field: Field, cell: Any, _all_day: bool) -> int:
    if type(cell) is int and cell in _INT64:  # as nearly all are
        return cell
    if isinstance(cell, bool):
        raise TypeError
    number = int(cell)
    if (not isinstance(cell, str) and number != cell) or number not in _INT64:
        raise ValueError
    return number


def _id(field: Field, cell: Any, all_day: bool) -> int | None:
    return _int(field, cell, all_day) or None  # hiTask's 0 is nobody


def _bool(_field: Field, cell: Any, _all_day: bool) -> bool:
    key = cell.lower() if isinstance(cell, str) else cell
    if key not in _TRUTHS:
        raise ValueError
    return _TRUTHS[key]


def _date(field: Field, cell: Any, all_day: bool) -> datetime:
    if isinstance(cell, date):  # a datetime is one
        cell = cell.isoformat()
    if not isinstance(cell, str) or len(cell.strip()) < len("YYYY-MM-DD") or "W" in cell:
        raise TypeError
    moment = datetime.fromisoformat(cell.strip())
    if field.type in DATE_TYPES and all_day:
        return datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001 - a day has no zone
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _list(field: Field, cell: Any, all_day: bool) -> Value:
    values = _json(field, cell, all_day)
    if values is None:
        return field.empty  # how some ORMs write their None into a column of JSON
    wanted = int if field.column == "participants" else str
    if not isinstance(values, list) or any(type(value) is not wanted for value in values):
        raise TypeError
    return values


def _json(_field: Field, cell: Any, _all_day: bool) -> Any:
    value = orjson.loads(cell) if isinstance(cell, str) else cell
    if isinstance(value, float) and not isfinite(value):
        raise ValueError
    orjson.dumps([[value]])  # nested too deep to be kept or sent, it fails here
    return value


_Decode: TypeAlias = Callable[[Field, Any, bool], Value]

_DECODERS: Final[Mapping[FieldType, _Decode]] = {
    FieldType.TEXT: _text,
    FieldType.INT: _int,
    FieldType.ID: _id,
    FieldType.MINUTES: _int,
    FieldType.BOOL: _bool,
    FieldType.INSTANT: _date,
    FieldType.START_DATE: _date,
    FieldType.END_DATE: _date,
    FieldType.SET: _list,
    FieldType.JSON: _json,
}


@cache
def _readers(table: str) -> Mapping[str, tuple[Field, _Decode]]:
    """The columns of a table and what reads a cell of each, in the order in which they are read."""
    fields = fields_of(table)
    return {c: (fields[c], _DECODERS[fields[c].type]) for c in dict.fromkeys((_FIRST, *fields))}


_ACCEPTED: Final[Mapping[FieldType, str]] = {
    FieldType.TEXT: "give a text",
    FieldType.INT: "give a whole number",
    FieldType.ID: "give the number of a user",
    FieldType.MINUTES: "give a whole number of minutes",
    FieldType.BOOL: "give true or false (1 or 0)",
    FieldType.INSTANT: f"give {DATE_FORMS}",
    FieldType.START_DATE: f"give {DATE_FORMS}",
    FieldType.END_DATE: f"give {DATE_FORMS}",
    FieldType.SET: "give a JSON list, such as '[\"one\", \"two\"]' for tags or '[17, 42]' for "
    "participants",
    FieldType.JSON: "give JSON",
}
