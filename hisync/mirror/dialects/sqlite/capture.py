"""The capture triggers of SQLite: who edits what, and what nobody may edit.

AFTER triggers on each table that people edit write what changed into `change_log`. They stay
silent while `sync_mark` holds a row, which only the engine's own transaction can see. A `REPLACE`
deletes its victims without firing any trigger, so a BEFORE INSERT trigger notes the rows that
stand in the way by guid or by rowid (`sync_doomed`), and AFTER INSERT logs them as deleted. No
statement inside a trigger has a conflict clause, since the outer statement's would override it.

The triggers of `time_entries` also keep the totals of the items (`ledger`). BEFORE triggers refuse
every edit of the tables that hiTask alone fills. Public: `capture_triggers`,
`installed_triggers`, `install_capture`, `without_insert_triggers`, `missing_triggers`,
`logged_row`, `refuse_edits`, `NOT_POSTING`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

from sqlalchemy import Boolean, Column, ColumnElement, Connection, Table, literal_column

from hisync.items import SPENT
from hisync.mirror.dialects.documents import Document
from hisync.mirror.dialects.sqlite import ledger
from hisync.mirror.tables import EDITED_TABLES, ITEM_TABLES, SHOWN_TABLES

_PREFIX: Final = "sync_capture_"
_NOW: Final = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
_UNMARKED: Final = "NOT EXISTS (SELECT 1 FROM sync_mark)"
_LOG: Final = (
    "INSERT INTO change_log (table_name, row_guid, op, old_values, new_values, changed_at)"
)

NOT_POSTING: Final = f"NOT {ledger.is_posting('NEW.guid')}"
"""The condition that an item's new total is not the ledger's doing."""

_ROWID: Final = ("rowid", "oid", "_rowid_")
"""What a statement may call the number of a row, which is no column. SQLite's documentation says
that UPDATE OF takes names of no column, too, and it compares them with those that are set."""

_STAYS: Final = {
    "comments": "hisync: a comment stays with its item; delete it and insert a new one",
    "time_entries": "hisync: a time entry stays with its item; delete it and insert a new one",
}


def installed_triggers(connection: Connection) -> dict[str, str]:
    """The capture triggers that the database has, by name."""
    rows = connection.exec_driver_sql(
        f"SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND name GLOB '{_PREFIX}*'"
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


def refuse_edits(connection: Connection, message: str) -> None:
    """Refuse people's edits of every table, until the capture triggers are installed anew."""
    words = f"hisync: {message}".replace("'", "''")
    for table in EDITED_TABLES:
        for event in ("INSERT", "UPDATE", "DELETE"):
            name, sql = _trigger(
                table, f"moved_{event.lower()}", f"BEFORE {event}", _UNMARKED, [_refuse(words)]
            )
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
            connection.exec_driver_sql(sql)


@contextmanager
def without_insert_triggers(connection: Connection) -> Iterator[None]:
    """Let a great many new items in without asking the triggers of their tables about each.

    They are back before the transaction ends, and nobody else can write until then; SQLite asks
    them before any that people have made on these tables, from then on. Where this is left by an
    exception, the transaction has to be rolled back.
    """
    names = {f"{_PREFIX}{t}_{when}_insert" for t in ITEM_TABLES for when in ("before", "after")}
    for name in names & installed_triggers(connection).keys():
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
    yield
    install_capture(connection)


def missing_triggers(connection: Connection) -> list[str]:
    """The capture triggers that are missing or altered."""
    installed = installed_triggers(connection)
    return sorted(name for name, sql in capture_triggers().items() if installed.get(name) != sql)


@cache
def capture_triggers() -> Mapping[str, str]:
    """Every capture trigger's statement by its name."""
    made: list[tuple[str, str]] = []
    for name, table in EDITED_TABLES.items():
        made += [_identity_trigger(name, table), *_insert_triggers(name, table)]
        made += [_update_trigger(name, table), _delete_trigger(name, table)]
    for name in SHOWN_TABLES:
        made += _refusals(name)
    return dict(made)


def _trigger(
    table: str, name: str, event: str, condition: str, statements: Iterable[str]
) -> tuple[str, str]:
    full = f"{_PREFIX}{table}_{name}"
    body = "".join(f"\n  {statement};" for statement in statements)
    return full, (
        f"CREATE TRIGGER {full} {event} ON {table} FOR EACH ROW WHEN {condition} BEGIN{body}\nEND"
    )


def _refuse(message: str) -> str:
    return f"SELECT RAISE(ABORT, '{message}')"


def _identity_trigger(name: str, table: Table) -> tuple[str, str]:
    """Refuse what can't be said to hiTask of a row that is there."""
    identity = [column for column in ("guid", "id") if column in table.c]
    changed = [f"NEW.{column} IS NOT OLD.{column}" for column in identity]
    changed.append("NEW.rowid IS NOT OLD.rowid")
    known = "guid and id are" if "id" in identity else "guid is"
    message = (
        f"hisync: {known} the identity of a row and cannot be changed; insert a new row instead"
    )
    refusals = [_refuse(message)]
    if name in _STAYS:
        refusals = [f"{_refuse(message)} WHERE {' OR '.join(changed)}", _refuse(_STAYS[name])]
        changed.append("NEW.item_guid IS NOT OLD.item_guid")
        identity.append("item_guid")
    condition = f"{_UNMARKED} AND ({' OR '.join(changed)})"
    # For the statements alone that name one of these: most set something else.
    event = f"BEFORE UPDATE OF {', '.join([*identity, *_ROWID])}"
    return _trigger(name, "before_update", event, condition, refusals)


def _insert_triggers(name: str, table: Table) -> Iterable[tuple[str, str]]:
    this_row = f"table_name = '{name}' AND row_guid = NEW.guid"
    # Of the rows that stood in the way, those that this insert has taken out.
    replaced = (
        f"table_name = '{name}' AND (row_guid = NEW.guid OR NOT EXISTS "
        f"(SELECT 1 FROM {name} AS o WHERE o.guid = row_guid))"
    )
    no_uuid = _refuse("hisync: guid must be a UUID; leave it out to get one")
    no_item = _refuse("hisync: item_guid must be the guid of an item")
    before = [
        f"{no_uuid} WHERE typeof(NEW.guid) = 'blob' OR NEW.guid GLOB '*[^ -~]*'",
        (
            f"DELETE FROM sync_doomed WHERE {this_row} OR table_name = '{name}' AND row_guid = "
            f"(SELECT o.guid FROM {name} AS o WHERE o.rowid = NEW.rowid)"
        ),
        (
            "INSERT INTO sync_doomed (table_name, row_guid, old_values) "
            f"SELECT '{name}', o.guid, {_whole_row(table, 'o')} FROM {name} AS o "
            "WHERE o.guid = NEW.guid OR o.rowid = NEW.rowid"
        ),
    ]
    if name in _STAYS:
        before.insert(0, f"{no_item} WHERE typeof(NEW.item_guid) = 'blob'")
    after = [
        (
            f"{_LOG} SELECT table_name, row_guid, 'delete', old_values, NULL, {_NOW} "
            f"FROM sync_doomed WHERE {replaced}"
        ),
        f"DELETE FROM sync_doomed WHERE {replaced}",
        f"{_LOG} VALUES ('{name}', NEW.guid, 'insert', NULL, {_whole_row(table, 'NEW')}, {_NOW})",
    ]
    if name == "time_entries":
        after[:0] = ledger.post(ledger.added("NEW"), ledger.replaced(replaced))
    yield _trigger(name, "before_insert", "BEFORE INSERT", _UNMARKED, before)
    yield _trigger(name, "after_insert", "AFTER INSERT", _UNMARKED, after)


def _update_trigger(name: str, table: Table) -> tuple[str, str]:
    columns = [column for column, _ in _kinds(table)]
    conditions = [f"NEW.{column} IS NOT OLD.{column}" for column in columns]
    if name in ITEM_TABLES:
        # The total of an item's entries is nobody's edit of the item.
        spent = columns.index(SPENT)
        conditions[spent] = f"{conditions[spent]} AND {NOT_POSTING}"
    # Not the note of the row that a REPLACE has just taken out: a trigger of somebody's own may
    # change the new one before AFTER INSERT logs the two.
    note, row = (
        f"json_remove({cells}, '$.{SPENT}')" for cells in ("old_values", _whole_row(table, "OLD"))
    )
    statements = [
        (
            f"DELETE FROM sync_doomed WHERE table_name = '{name}' AND row_guid = NEW.guid "
            f"AND {note} = {row}"
        ),
        (
            f"{_LOG} SELECT '{name}', NEW.guid, 'update', {_object('o')}, {_object('n')}, {_NOW} "
            f"FROM ({_changed_cells(table)})"
        ),
    ]
    if name == "time_entries":
        statements[:0] = ledger.post(ledger.added("NEW"), ledger.taken("OLD"))
    condition = f"{_UNMARKED} AND ({' OR '.join(conditions)})"
    return _trigger(name, "after_update", "AFTER UPDATE", condition, statements)


def _delete_trigger(name: str, table: Table) -> tuple[str, str]:
    statements = [
        # With recursive_triggers on, a REPLACE does fire this one: then it is logged here.
        f"DELETE FROM sync_doomed WHERE table_name = '{name}' AND row_guid = OLD.guid",
        f"{_LOG} VALUES ('{name}', OLD.guid, 'delete', {_whole_row(table, 'OLD')}, NULL, {_NOW})",
    ]
    if name == "time_entries":
        statements[:0] = ledger.post(ledger.taken("OLD"))
    return _trigger(name, "after_delete", "AFTER DELETE", _UNMARKED, statements)


def _refusals(name: str) -> Iterable[tuple[str, str]]:
    """What only hiTask says: nobody else may write it."""
    message = f"hisync: {name} come from hiTask and are read-only here"
    for event in ("insert", "update", "delete"):
        yield _trigger(
            name, f"before_{event}", f"BEFORE {event.upper()}", _UNMARKED, [_refuse(message)]
        )


def _kinds(table: Table) -> list[tuple[str, str | None]]:
    """The captured columns, each with how it is written: as a `b`ool, as `j`son or as it stands.

    The id of an item is in `sync_base`; that of a comment is nowhere else once the row is gone.
    """
    identity = {"guid", "id"} if table.name in ITEM_TABLES else {"guid"}
    return [(column.name, _kind(column)) for column in table.c if column.name not in identity]


def _kind(column: Column[Any]) -> str | None:
    if isinstance(column.type, Boolean):
        return "b"
    return "j" if isinstance(column.type, Document) else None


def _changed_cells(table: Table) -> str:
    """Each column that changed as a row of (k, t, o, n): its name and kind, the old and new cell.

    Asked of each by itself: one condition for all would make a row of all the others first.
    """
    return " UNION ALL ".join(
        f"SELECT '{column}' AS k, {_word(kind)} AS t, OLD.{column} AS o, NEW.{column} AS n "
        f"WHERE OLD.{column} IS NOT NEW.{column}"
        for column, kind in _kinds(table)
    )


def _whole_row(table: Table, row: str) -> str:
    """All cells of a row that say anything (neither null nor false), as a JSON object."""
    cells = " UNION ALL ".join(
        f"SELECT '{column}' AS k, {_word(kind)} AS t, {row}.{column} AS n WHERE {row}.{column} "
        f"IS NOT NULL{f' AND {row}.{column} <> 0' if kind == 'b' else ''}"
        for column, kind in _kinds(table)
    )
    return f"(SELECT {_object('n')} FROM ({cells}))"


def logged_row(table: Table) -> ColumnElement[Any]:
    """A row as `change_log` would say it."""
    return literal_column(_whole_row(table, table.name), Document())


def _word(kind: str | None) -> str:
    return f"'{kind}'" if kind else "NULL"


def _object(cell: str) -> str:
    """The cells as a JSON object: booleans as such, JSON columns nested, the rest as it stands.

    Whatever a client stored is written without an error: what isn't JSON is a text, and bytes
    are their hexadecimal digits.
    """
    return (
        # Nearly all: not worth the questions below.
        f"json_group_object(k, CASE WHEN t IS NULL AND typeof({cell}) NOT IN ('real', 'blob') "
        f"THEN {cell} "
        f"WHEN typeof({cell}) = 'blob' THEN hex({cell}) "
        f"WHEN t = 'b' AND {cell} IN (0, 1) THEN json(iif({cell}, 'true', 'false')) "
        # Valid in the object that it becomes part of, too: SQLite limits the depth.
        f"WHEN t = 'j' AND json_valid({cell}) AND json_valid('[[' || {cell} || ']]') "
        f"THEN json({cell}) "
        f"WHEN typeof({cell}) = 'real' THEN CAST({cell} AS TEXT) ELSE {cell} END)"
    )
