"""All that is SQLite's own: the connection, the guid default, the capture triggers, the mark.

Every other module of the mirror speaks SQLAlchemy and runs on any engine that has a module like
this one.

How capture works: AFTER triggers on each item table write what changed into `change_log`. They
stay silent while `sync_mark` holds a row, which only the engine's own transaction can see. A
`REPLACE` deletes its victims without firing any trigger, so a BEFORE INSERT trigger notes the rows
that stand in the way by guid or by rowid (`sync_doomed`), and AFTER INSERT logs them as deleted. No
statement inside a trigger has a conflict clause, since the outer statement's would override it.

Public: `GUID_DEFAULT`, `prepare`, `capture_triggers`, `install_capture`, `mark`, `unmark`,
`leftover_mark`, `schema_version`, `read_json`, `ChangeWatch`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Engine, event

from hisync.items import JSON_TYPES, TABLES, FieldType, fields_of

GUID_DEFAULT: Final = (
    "(lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || "
    "substr(hex(randomblob(2)), 2) || '-' || substr('89ab', 1 + (random() & 3), 1) || "
    "substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))))"
)
"""A random UUID, so that `INSERT INTO tasks (title) VALUES (…)` is enough."""

BUSY_TIMEOUT_SECONDS: Final = 10.0
"""How long to wait for someone else's write transaction before trying again later."""

WRITE: Final = "hisync_write"
"""The execution option of connections whose transactions take the write lock at once."""

_NOW: Final = "strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'"
_UNMARKED: Final = "NOT EXISTS (SELECT 1 FROM sync_mark)"


def prepare(engine: Engine) -> None:
    """Make every connection durable, patient and explicit about its transactions."""

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        # The driver must not open or close transactions by itself: DDL is part of them here.
        connection.isolation_level = None
        connection.text_factory = _any_text
        for pragma in (
            f"busy_timeout = {int(BUSY_TIMEOUT_SECONDS * 1000)}",
            "journal_mode = WAL",
            "synchronous = FULL",  # an intent must outlive a power cut, or it proves nothing
            "foreign_keys = ON",  # a forgotten mark then can't be committed
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get(WRITE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _any_text(cell: bytes) -> str:
    """A text cell, whatever bytes a client put in: what is no UTF-8 is refused by its column."""
    return cell.decode("utf-8", "surrogateescape")


def read_json(cell: Any) -> Any:
    """What a JSON column of the machinery holds; SQLite keeps a JSON number as a number.

    The triggers write what SQLite calls JSON, which knows texts and numbers that JSON parsers
    refuse. Such an object is taken apart here, so that the one bad value stays alone: what is
    nested in it is left as JSON text for `decode_cell` to judge.
    """
    if not isinstance(cell, str):
        return cell
    try:
        return orjson.loads(cell)
    except orjson.JSONDecodeError:
        text = cell.encode("utf-8", "surrogateescape")
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.text_factory = _any_text
            query = "SELECT key, value FROM json_each(CAST(? AS TEXT))"
            return dict(connection.execute(query, (text,)))


def mark(connection: Connection) -> None:
    """Hide this transaction's writes from the capture triggers."""
    # An INSERT OR IGNORE leaves its note behind: it must not outlive the row that it is about.
    connection.exec_driver_sql("DELETE FROM sync_doomed")
    connection.exec_driver_sql("INSERT INTO sync_mark (id, owner) VALUES (1, 0)")


def unmark(connection: Connection) -> None:
    """End the hiding; without this the transaction can't be committed."""
    connection.exec_driver_sql("DELETE FROM sync_mark")


def leftover_mark(connection: Connection) -> bool:
    """Whether a mark was committed after all: every edit since then went unseen."""
    return connection.exec_driver_sql("SELECT 1 FROM sync_mark").first() is not None


def schema_version(connection: Connection) -> int:
    """A number that changes with every change of a table or trigger, whoever makes it."""
    return int(connection.exec_driver_sql("PRAGMA schema_version").scalar_one())


class ChangeWatch:
    """Tells whether anyone has committed since the last look, without touching a table.

    It holds one connection for itself: the number it reads changes when another one commits.
    """

    def __init__(self, engine: Engine) -> None:
        self._connection = engine.raw_connection()
        self._version: object = None

    def changed(self) -> bool:
        """Whether there was a commit since the last call; true at the first."""
        cursor = self._connection.cursor()
        cursor.execute("PRAGMA data_version")
        version, self._version = self._version, cursor.fetchone()
        cursor.close()
        return bool(version != self._version)

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()


def installed_triggers(connection: Connection) -> dict[str, str]:
    """The capture triggers that the database has, by name."""
    rows = connection.exec_driver_sql(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'sync_capture_%'"
    )
    return {row.name: row.sql for row in rows}


def install_capture(connection: Connection) -> None:
    """Put every capture trigger in place as this version declares it, and drop older ones."""
    declared = capture_triggers()
    for name, sql in installed_triggers(connection).items():
        if declared.get(name) != sql:
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
    missing = declared.keys() - installed_triggers(connection).keys()
    for name in sorted(missing):
        connection.exec_driver_sql(declared[name])


def capture_triggers() -> dict[str, str]:
    """Every capture trigger's statement by its name."""
    return {name: sql for table in TABLES for name, sql in _triggers_of(table)}


def _triggers_of(table: str) -> Iterable[tuple[str, str]]:
    def trigger(name: str, event: str, condition: str, *statements: str) -> tuple[str, str]:
        full = f"sync_capture_{table}_{name}"
        body = "".join(f"\n  {statement};" for statement in statements)
        return full, (
            f"CREATE TRIGGER {full} {event} ON {table} FOR EACH ROW "
            f"WHEN {condition} BEGIN{body}\nEND"
        )

    log = "INSERT INTO change_log (table_name, row_guid, op, old_values, new_values, changed_at)"
    this_row = f"table_name = '{table}' AND row_guid = NEW.guid"
    # Of the rows that stood in the way, those that this insert has taken out.
    replaced = (
        f"table_name = '{table}' AND (row_guid = NEW.guid OR NOT EXISTS "
        f"(SELECT 1 FROM {table} AS o WHERE o.guid = row_guid))"
    )
    yield trigger(
        "before_update",
        "BEFORE UPDATE",
        f"{_UNMARKED} AND (NEW.guid IS NOT OLD.guid OR NEW.id IS NOT OLD.id"
        " OR NEW.rowid IS NOT OLD.rowid)",
        "SELECT RAISE(ABORT, 'hisync: guid and id are the identity of a row and cannot be"
        " changed; insert a new row instead')",
    )
    yield trigger(
        "before_insert",
        "BEFORE INSERT",
        _UNMARKED,
        "SELECT RAISE(ABORT, 'hisync: guid must be a UUID; leave it out to get one') "
        "WHERE typeof(NEW.guid) = 'blob' OR NEW.guid GLOB '*[^ -~]*'",
        f"DELETE FROM sync_doomed WHERE {this_row} OR table_name = '{table}' AND row_guid = "
        f"(SELECT o.guid FROM {table} AS o WHERE o.rowid = NEW.rowid)",
        "INSERT INTO sync_doomed (table_name, row_guid, old_values) "
        f"SELECT '{table}', o.guid, {_whole_row(table, 'o')} FROM {table} AS o "
        "WHERE o.guid = NEW.guid OR o.rowid = NEW.rowid",
    )
    yield trigger(
        "after_insert",
        "AFTER INSERT",
        _UNMARKED,
        f"{log} SELECT table_name, row_guid, 'delete', old_values, NULL, {_NOW} "
        f"FROM sync_doomed WHERE {replaced}",
        f"DELETE FROM sync_doomed WHERE {replaced}",
        f"{log} VALUES ('{table}', NEW.guid, 'insert', NULL, {_whole_row(table, 'NEW')}, {_NOW})",
    )
    yield trigger(
        "after_update",
        "AFTER UPDATE",
        f"{_UNMARKED} AND ({_any_change(table)})",
        f"DELETE FROM sync_doomed WHERE {this_row}",
        f"{log} SELECT '{table}', NEW.guid, 'update', {_object('o')}, {_object('n')}, {_NOW} "
        f"FROM ({_cells(table, 'OLD', 'NEW')}) WHERE o IS NOT n",
    )
    yield trigger(
        "after_delete",
        "AFTER DELETE",
        _UNMARKED,
        # With recursive_triggers on, a REPLACE does fire this one: then it is logged here.
        f"DELETE FROM sync_doomed WHERE table_name = '{table}' AND row_guid = OLD.guid",
        f"{log} VALUES ('{table}', OLD.guid, 'delete', {_whole_row(table, 'OLD')}, NULL, {_NOW})",
    )


def _any_change(table: str) -> str:
    return " OR ".join(f"NEW.{column} IS NOT OLD.{column}" for column in fields_of(table))


def _cells(table: str, old: str, new: str) -> str:
    """Each field as a row of (k, t, o, n): its name, how to write it, its old and new cell."""
    kinds = {FieldType.BOOL: "b"} | dict.fromkeys(JSON_TYPES, "j")
    return " UNION ALL ".join(
        f"SELECT '{column}' AS k, '{kinds.get(field.type, 'v')}' AS t, "
        f"{old}.{column} AS o, {new}.{column} AS n"
        for column, field in fields_of(table).items()
    )


def _whole_row(table: str, row: str) -> str:
    """All cells of a row that say anything (neither null nor false), as a JSON object."""
    cells = _cells(table, row, row)
    return f"(SELECT {_object('n')} FROM ({cells}) WHERE n IS NOT NULL AND NOT (t = 'b' AND n = 0))"


def _object(cell: str) -> str:
    """The cells as a JSON object: booleans as such, JSON columns nested, the rest as it stands.

    Whatever a client stored is written without an error: what isn't JSON is a text, and bytes
    are their hexadecimal digits.
    """
    return (
        f"json_group_object(k, json(CASE "
        f"WHEN {cell} IS NULL THEN 'null' "
        f"WHEN typeof({cell}) = 'blob' THEN json_quote(hex({cell})) "
        f"WHEN t = 'b' AND {cell} IN (0, 1) THEN iif({cell}, 'true', 'false') "
        # Valid in the object that it becomes part of, too: SQLite limits the depth.
        f"WHEN t = 'j' AND json_valid({cell}) AND json_valid('[[' || {cell} || ']]') THEN {cell} "
        f"WHEN typeof({cell}) = 'real' THEN json_quote(CAST({cell} AS TEXT)) "
        f"ELSE json_quote({cell}) END))"
    )
