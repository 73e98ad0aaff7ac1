"""The wire shape: how instants, items and history units look in JSON.

Public: `to_ms`, `parse_date`, `format_date`, `wire_item`, `wire_unit`, `BLANK`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from hisync.sandbox.errors import INVALID_DATA, INVALID_FORMAT, ApiError
from hisync.sandbox.records import Item, Permissions, Unit

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?([+-]\d\d:?\d\d|Z)", re.ASCII)

DATE_NAMES = frozenset(
    {
        "recurring_end_date",
        "start_date",
        "end_date",
        "due_date",
        "last_comment_create_datetime",
        "last_transition_time",
    }
)

# Every property of an item, in the order of the service's answers.
_NAMES = (
    "id", "user_id", "title", "completed", "color", "color_value", "category", "message", "parent",
    "recurring", "recurring_interval", "recurring_end_date", "time_last_update", "time_create",
    "start_date", "end_date", "due_date", "due_date_actual", "is_all_day", "shared",
    "reminder_enabled", "reminder_time", "reminder_time_type", "starred", "time_track", "time_est",
    "time_spent", "priority", "depth", "last_comment_id", "last_comment", "last_comment_user_id",
    "last_comment_create_datetime", "last_instance_date", "guid", "parentGuid", "file_size",
    "assignee", "tags", "version", "changed", "instances", "participants", "mirror", "publish_url",
    "location", "alerts", "complete_changed_cascade", "share_changed_cascade", "unread",
    "short_name", "issue_id", "permission", "adminPermission", "permissions", "parentTitle",
    "parentProjectTitle", "assigneeName", "children", "previews", "last_transition_time",
    "last_transition_time_format", "last_transition_user", "last_transition_user_name",
)  # fmt: skip
BLANK: dict[str, object] = dict.fromkeys(_NAMES)
BLANK.update(
    completed=False,
    color=0,
    color_value="#5e93c3",
    parent=0,
    recurring=0,
    starred=False,
    priority=20000,
    assignee=0,
)


def to_ms(moment: datetime) -> int:
    """Return the milliseconds since 1970 of an aware moment."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def parse_date(name: str, text: str) -> int:
    """Read a date of the wire; it must carry its offset."""
    if not _DATE.fullmatch(text):
        raise ApiError(INVALID_FORMAT, f"Invalid date format of {name}")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ApiError(INVALID_FORMAT, f"Invalid date in {name}") from error
    if not 1900 <= moment.year <= 9000:
        raise ApiError(INVALID_DATA, f"Date out of range in {name}")
    return to_ms(moment)


@lru_cache(maxsize=20_000)
def format_date(ms: int, zone: ZoneInfo | None = None) -> str:
    """Write an instant in the offset that a zone has then; without a zone in UTC."""
    moment = _EPOCH + timedelta(milliseconds=ms)
    return moment.astimezone(zone or UTC).isoformat(timespec="milliseconds")


def _format_stamp(ms: int) -> str:
    """Write an instant in UTC; there are too many different ones to remember them."""
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")


def wire_item(
    item: Item, *, level: int, zone: ZoneInfo, parent: Item | None, children: bool
) -> dict[str, object]:
    """Put together the whole shape of an item for one user, nulls included."""
    wire = dict(BLANK)
    for name, value in item.values.items():
        wire[name] = (
            format_date(value, zone) if name in DATE_NAMES and isinstance(value, int) else value
        )
    wire["id"] = item.id
    wire["guid"] = item.guid
    wire["user_id"] = item.user_id
    wire["version"] = item.version
    wire["time_create"] = _format_stamp(item.created)
    wire["time_last_update"] = _format_stamp(item.modified)
    wire["permission"] = level
    wire["permissions"] = wire_permissions(item.permissions)
    wire["shared"] = len(item.permissions) > 1
    wire["children"] = children or None
    if wire["recurring"]:
        _show_recurrence(wire)
    if parent is not None:
        wire["parent"] = parent.id
        wire["parentGuid"] = parent.guid
        wire["parentTitle"] = parent.title
    return wire


def _show_recurrence(wire: dict[str, object]) -> None:
    """Fill in what the service computes for a recurring item."""
    wire["due_date_actual"] = None if wire["completed"] else wire["due_date"]
    if wire["instances"] is None:
        wire["instances"] = []


def wire_permissions(permissions: Permissions) -> list[dict[str, object]]:
    """Write permissions as the service lists them."""
    return [{"level": level, "principal": principal} for principal, level in permissions]


def wire_unit(unit: Unit) -> dict[str, object]:
    """Write one history unit; units without a value have no `value` at all."""
    wire: dict[str, object] = {
        "id": unit.id,
        "user_id": unit.user_id,
        "user_name": unit.user_name,
        "property_type": unit.property_type,
        "time": format_date(unit.time),
        "property_name": unit.property_name,
    }
    if unit.property_type != "VOID":
        wire["value"] = unit.value
    return wire
