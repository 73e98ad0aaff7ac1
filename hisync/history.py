"""What an item's history says was written to a field, in the order it was written.

The history names some properties otherwise than the item does, cuts times to minutes and comes in
no order, as recorded answers show. Public: `chronological`, `moment_of`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from hisync.comment import Unit
from hisync.items import Field, FieldType, Value
from hisync.mirror.cells import UnreadableCellError, decode_cell

# Properties that the history calls otherwise than the item does.
_HISTORY_NAMES: Final[Mapping[str, str]] = {
    "tags": "tag",
    "start_date": "start",
    "end_date": "end",
    "due_date": "due",
}


def chronological(field: Field, history: Iterable[Unit], moment: datetime | None) -> list[Value]:
    """What the history says was written to a field since then, oldest first."""
    names = {field.column, field.wire, _HISTORY_NAMES.get(field.column)}
    units = []
    for unit in history:
        at = unit.at
        # The history's times are cut to minutes.
        since = moment is None or at is None or at >= moment.replace(second=0, microsecond=0)
        if unit.name in names and since:
            units.append((at or datetime.min, _value(field, unit.value)))  # noqa: DTZ901
    return [value for _, value in sorted(units, key=lambda unit: unit[0])]


def _value(field: Field, text: Any) -> Value:
    """A value of the history as the mirror would hold it, or as it stands where it can't."""
    if field.type is FieldType.SET and isinstance(text, str) and not text.startswith("["):
        text = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return decode_cell(field, text)
    except UnreadableCellError:
        return text
