"""The history of items: what changed, who did it, and the comments.

The unit `created` is not stored but made from the item, which keeps a million items cheap; its
id is the item's. A removed comment keeps its unit, renamed to `comment_deleted`, without text.

Public: `History`.
"""

from __future__ import annotations

import orjson

from hisync.sandbox.fields import FIELDS
from hisync.sandbox.records import Item, Unit, User
from hisync.sandbox.wire import format_date, wire_permissions

FIRST_UNIT_ID = 2**40


class History:
    """History units by item, and comments by their own id."""

    def __init__(self) -> None:
        self._units: dict[int, list[Unit]] = {}
        self._comments: dict[int, Unit] = {}
        self._next_id = FIRST_UNIT_ID

    def record(self, item: Item, user: User, changes: dict[str, object], stamp: int) -> None:
        """Add a unit for every changed property."""
        for name, value in changes.items():
            field = FIELDS[name]
            text = _as_text(field.kind, value)
            self._add(item, user, field.unit_name or name, text, stamp, field.unit_type)

    def note(self, item: Item, user: User, name: str) -> None:
        """Add a unit for something that happened to the item as a whole, just now."""
        self._add(item, user, name, None, item.modified, "VOID")

    def comment(self, item: Item, user: User, message: str, stamp: int) -> Unit:
        """Add a comment and show it as the item's last one."""
        unit = self._add(item, user, "comment", message, stamp, "STRING")
        self._comments[unit.id] = unit
        self._show_last(item)
        return unit

    def find_comment(self, comment_id: int) -> Unit | None:
        """Find a comment that has not been removed."""
        return self._comments.get(comment_id)

    def delete_comment(self, item: Item, unit: Unit) -> None:
        """Remove a comment's text; the unit stays as `comment_deleted`."""
        unit.property_name, unit.property_type, unit.value = "comment_deleted", "VOID", None
        self._comments.pop(unit.id)
        self._show_last(item)

    def units(self, item: Item, owner_name: str) -> list[Unit]:
        """Return the units of an item, oldest first."""
        created = Unit(item.id, item.id, item.user_id, owner_name, "VOID", "created", item.created)
        return [created, *self._units.get(item.id, ())]

    def comments(self, item_id: int) -> list[Unit]:
        """Return the comments of an item, oldest first."""
        return [unit for unit in self._units.get(item_id, ()) if unit.property_name == "comment"]

    def count_comments(self) -> int:
        """Count the comments of all items."""
        return len(self._comments)

    def forget(self, item_id: int) -> None:
        """Drop the history of a deleted item."""
        for unit in self._units.pop(item_id, ()):
            self._comments.pop(unit.id, None)

    def _add(
        self, item: Item, user: User, name: str, value: str | None, stamp: int, kind: str
    ) -> Unit:
        unit = Unit(self._next_id, item.id, user.id, user.name, kind, name, stamp, value)
        self._next_id += 1
        self._units.setdefault(item.id, []).append(unit)
        return unit

    def _show_last(self, item: Item) -> None:
        comments = self.comments(item.id)
        last = comments[-1] if comments else None
        item.put("last_comment_id", last and last.id)
        item.put("last_comment", last and last.value)
        item.put("last_comment_user_id", last and last.user_id)
        item.put("last_comment_create_datetime", last and last.time)


def _as_text(kind: str, value: object) -> str | None:
    """Write a stored value as the history shows it."""
    if value is None:
        return None
    if kind == "date" and isinstance(value, int):
        return format_date(value)
    if kind == "permissions" and isinstance(value, tuple):
        value = wire_permissions(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if kind == "texts" and isinstance(value, list):
        return ", ".join(value)
    return str(value) if isinstance(value, str | int) else orjson.dumps(value).decode()
