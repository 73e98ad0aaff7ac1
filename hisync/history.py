"""What an item's history says was written to a field, in the order it was written.

The history names some properties otherwise than the item does, cuts times to minutes and comes in
no order, as recorded answers show. Public: `chronological`, `units_since`, `units_of`,
`value_of`, `minute_of`, `read_total`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from math import isfinite
from typing import Any, Final

from hisync.comment import Unit
from hisync.items import Field, FieldType, Value
from hisync.mirror.cells import UnreadableCellError, decode_cell

# Properties that the history calls otherwise than the item does. That of `message` was never seen:
# the own names of a field are looked for as well.
_HISTORY_NAMES: Final[Mapping[str, str]] = {
    "message": "description",
    "tags": "tag",
    "start_date": "start",
    "end_date": "end",
    "due_date": "due",
}


def chronological(field: Field, history: Iterable[Unit], moment: datetime | None) -> list[Value]:
    """What the history says was written to a field since then, oldest first."""
    return [value_of(field, unit) for unit in units_since(field, history, moment)]


def units_since(field: Field, history: Iterable[Unit], moment: datetime | None) -> list[Unit]:
    """The units that tell of a field since then, oldest first."""
    since = moment and minute_of(moment)
    return [
        unit
        for unit in units_of(field, history)
        if since is None or unit.at is None or unit.at >= since
    ]


def minute_of(moment: datetime) -> datetime:
    """A moment as the history has it, whose times are cut to minutes."""
    return moment.replace(second=0, microsecond=0)


def units_of(field: Field, history: Iterable[Unit]) -> list[Unit]:
    """The units that tell of a field, oldest first."""
    names = {field.column, field.wire, _HISTORY_NAMES.get(field.column)}
    units = (unit for unit in history if unit.name in names)
    return sorted(units, key=lambda unit: unit.at or datetime.min)  # noqa: DTZ901


def read_total(value: Any, time_unit: str) -> int | None:
    """The minutes that a history says were written as a total; None where it is no number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return round(number * (60 if time_unit == "hours" else 1)) if isfinite(number) else None


def value_of(field: Field, unit: Unit) -> Value:
    """A value of the history as the mirror would hold it, or as it stands where it can't."""
    text = unit.value
    if field.type is FieldType.SET and isinstance(text, str) and not text.startswith("["):
        text = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return decode_cell(field, text)
    except UnreadableCellError:
        return text
