"""Whether the mirror and hiTask hold the same, told without a line of hisync's own comparison.

The oracle reads the sandbox's model and the database's raw cells, and translates the one into
the other by what the contract says about each column. Public: `differences`, `loose_ends`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

from hisync.sandbox import Item, Model, User

Ask: TypeAlias = Callable[[str], list[dict[str, Any]]]
"""Runs a query on the mirror."""

TABLES: Final = ("projects", "tasks", "events", "notes", "files", "other_items")
_TABLE_OF: Final = {0: "projects", 1: "tasks", 2: "events", 4: "notes", 5: "files"}

# Wire fields with a column of the mirror: every other field that has a value is in `extra`.
_TEXTS: Final = ("title", "message", "color_value", "issue_id")
_NUMBERS: Final = {
    "color": "color",
    "assignee_id": "assignee",
    "recurring": "recurring",
    "recurring_interval": "recurring_interval",
    "priority": "priority",
    "time_est_minutes": "time_est",
    "time_spent_minutes": "time_spent",
    "owner_id": "user_id",
    "permission": "permission",
    "unread": "unread",
    "version": "version",
    "last_comment_id": "last_comment_id",
}
_FLAGS: Final = ("completed", "is_all_day", "starred", "time_track", "shared")
_LISTS: Final = ("participants", "tags")
_JSON: Final = ("alerts", "location", "permissions")
_DATES: Final = ("start_date", "end_date", "due_date", "recurring_end_date")
_STAMPS: Final = ("time_create", "time_last_update")
_OWN: Final = {"projects": ("short_name",), "files": ("file_size",), "other_items": ()}
_ELSEWHERE: Final = frozenset({"id", "guid", "parent", "parentGuid", "category", "changed"})
_ZERO_IS_NOTHING: Final = frozenset(
    {"color", "recurring", "assignee_id", "owner_id", "time_spent_minutes"}
)

# What the service computes for an item out of others; it changes without any change of the item.
COMPUTED: Final = frozenset({"children", "parentTitle", "parentProjectTitle", "assigneeName"})


def differences(model: Model, ask: Ask, *, computed: bool = True) -> Iterator[str]:
    """Say where the mirror differs from what the account sees on hiTask.

    Args:
        model: hiTask.
        ask: the mirror.
        computed: whether to look also at what the service computes from other items, which only
            a full read is sure to have seen.
    """
    user = model.users[0]
    rows = {row["id"]: (table, row) for table, row in _rows(ask) if row["id"] is not None}
    guid_of = {number: row["guid"] for number, (_, row) in rows.items()}
    items = {item.id: item for item in model.items(user)}
    yield from (f"{number}: on hiTask only" for number in items.keys() - rows.keys())
    yield from (f"{rows[number]}: here only" for number in rows.keys() - items.keys())
    for number in items.keys() & rows.keys():
        table, row = rows[number]
        expected = _expected(model, items[number], user, guid_of)
        if table != expected.pop("table"):
            yield f"{number}: in table {table}, of category {items[number].category}"
            continue
        for column, value in expected.items():
            here, there = _plain(column, row[column]), _plain(column, value)
            if column == "extra" and not computed:
                here, there = _lasting(here), _lasting(there)
            if here != there:
                yield f"{table}.{column} of {number}: here {here!r}, there {there!r}"


def loose_ends(ask: Ask, *, mark: bool = True) -> Iterator[str]:
    """Say what the engine left unfinished; between two cycles that is nothing.

    Args:
        ask: the mirror.
        mark: whether it has a table for the engine's mark, as SQLite needs one.
    """
    for table in ("sync_intents", *(["sync_mark"] if mark else [])):
        yield from (f"{table}: {row}" for row in ask(f"SELECT * FROM {table}"))
    yield from (
        f"sync_base: {row}"
        for row in ask("SELECT * FROM sync_base WHERE dirty IS NOT NULL OR missed > 0")
    )
    doubled = "SELECT id, count(*) AS n FROM sync_base GROUP BY id HAVING count(*) > 1"
    yield from (f"doubled: {row}" for row in ask(doubled))
    rows = {row["guid"]: table for table, row in _rows(ask) if row["id"] is not None}
    bases = {r["guid"]: r["table_name"] for r in ask("SELECT * FROM sync_base")}
    if rows != bases:
        yield f"rows and bases: {rows.items() ^ bases.items()}"
    yield from (f"open: {row}" for row in ask("SELECT * FROM conflicts WHERE resolved_at IS NULL"))


def _rows(ask: Ask) -> Iterator[tuple[str, dict[str, Any]]]:
    for table in TABLES:
        yield from ((table, row) for row in ask(f"SELECT * FROM {table}"))


def _expected(model: Model, item: Item, user: User, guid_of: dict[int, str]) -> dict[str, Any]:
    """The cells that the mirror must hold for an item."""
    wire = {name: value for name, value in model.wire(item, user).items() if value is not None}
    table = _TABLE_OF.get(item.category, "other_items")
    cells: dict[str, Any] = {"table": table, "archived": False}
    parent = item.parent if item.parent in model.store.live else 0
    cells["parent_guid"] = guid_of.get(parent, model.store.live[parent].guid) if parent else None
    known = dict(_NUMBERS)
    known |= {name: name for name in (*_TEXTS, *_FLAGS, *_LISTS, *_JSON, *_OWN.get(table, ()))}
    cells |= {column: wire.pop(name, None) for column, name in known.items()}
    zone = model.team.zone(user) if cells["is_all_day"] else None
    for name in _DATES:
        wire.pop(name, None)
        stamp = item.values.get(name)
        cells[name] = None if stamp is None else _moment(int(str(stamp)), zone)
    for name, stamp in zip(_STAMPS, (item.created, item.modified), strict=True):
        wire.pop(name)
        cells[name] = _moment(stamp, None)
    if table == "other_items":
        cells["category"] = item.category
    cells["extra"] = {name: value for name, value in wire.items() if name not in _ELSEWHERE}
    return cells


def _moment(stamp: int, zone: ZoneInfo | None) -> str:
    """An instant in UTC as SQLite holds it; with a zone, the day that it is there."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=stamp)
    if zone is not None:
        return f"{moment.astimezone(zone):%Y-%m-%d} 00:00:00.000000"
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}"


def _plain(column: str, value: Any) -> Any:
    """A cell or a value of the wire without the differences that mean nothing."""
    if isinstance(value, str) and column in (*_LISTS, *_JSON, "extra"):
        value = json.loads(value)
    if column in (*_FLAGS, "archived"):
        return bool(value)
    if column in _LISTS:
        return sorted(value or [])
    if value in ("", [], {}) or (value == 0 and column in _ZERO_IS_NOTHING):
        return None
    return value


def _lasting(extra: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (extra or {}).items() if name not in COMPUTED}
