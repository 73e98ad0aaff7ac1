"""Comments as the engine reads and writes them.

Public: `LocalComment`, `load_comments`, `comments_of`, `put_comments`, `clear_id`,
`delete_comments`, `add_names`, `unfinished`, `has_work`, `was_posted_again`,
`load_intents`, `set_sent`, `load_places`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, exists, select, update

from hisync.change import Change
from hisync.comment import COMMENTS, Comment, Place
from hisync.items import Field, FieldType
from hisync.mirror import changes, dialects
from hisync.mirror.base import chunks, delete_among, rows_among
from hisync.mirror.cells import UnreadableCellError, decode_cell
from hisync.mirror.intents import Intent, load_raw
from hisync.mirror.tables import (
    ITEM_TABLES,
    change_log,
    comments,
    sync_base,
    sync_intents,
    users,
)

_KNOWN: Final = select(sync_base.c.guid, sync_base.c.id, sync_base.c.table_name, sync_base.c.dirty)
_HAS_WORK: Final = select(
    exists().where(change_log.c.finished_at.is_(None), change_log.c.table_name == COMMENTS)
    | exists().where(sync_intents.c.table_name == COMMENTS)
)

FIELDS: Final = {
    name: Field(name, "", type_)
    for name, type_ in {
        "id": FieldType.INT,
        "item_guid": FieldType.TEXT,
        "user_id": FieldType.ID,
        "message": FieldType.TEXT,
        "time_create": FieldType.INSTANT,
    }.items()
}


@dataclass(frozen=True, slots=True)
class LocalComment:
    """One row as people see it.

    Attributes:
        comment: its values, None where a cell can't be read.
        unreadable: why, by column.
    """

    comment: Comment
    unreadable: Mapping[str, str]


# Rows


def decode_comment(guid: str, cells: Mapping[str, Any]) -> LocalComment:
    """A comment's cells as values; those that are left out are empty."""
    values: dict[str, Any] = {}
    unreadable: dict[str, str] = {}
    for name, field in FIELDS.items():
        try:
            values[name] = decode_cell(field, cells.get(name))
        except UnreadableCellError as error:
            values[name] = None
            unreadable[name] = str(error)
    return LocalComment(Comment(guid=guid, **values), unreadable)


def load_comments(connection: Connection, guids: Iterable[str]) -> dict[str, LocalComment]:
    """These comments by key, those that are there."""
    return _load(connection, comments.c.guid, guids)


def comments_of(connection: Connection, items: Iterable[str]) -> dict[str, LocalComment]:
    """The comments on these items by key."""
    return _load(connection, comments.c.item_guid, items)


def _load(
    connection: Connection, column: ColumnElement[Any], keys: Iterable[str]
) -> dict[str, LocalComment]:
    rows = rows_among(connection, _raw(connection.dialect.name), column, keys)
    return {row["guid"]: decode_comment(row["guid"], dict(row)) for row in rows}


@cache
def _raw(dialect: str) -> Select[*tuple[Any, ...]]:
    raw = dialects.named(dialect).raw
    return select(*(raw(column).label(column.name) for column in comments.c))


def put_comments(connection: Connection, rows: Sequence[Comment]) -> None:
    """Put whole rows in, over whatever has their guid; people's own columns stay as they are."""
    if rows:
        upsert = dialects.of(connection).insert(comments)
        connection.execute(
            upsert.on_conflict_do_update(
                index_elements=[comments.c.guid],
                set_={c.name: upsert.excluded[c.name] for c in comments.c if c.name != "guid"},
            ),
            [asdict(row) for row in rows],
        )


def clear_id(connection: Connection, guid: str) -> None:
    """Take a number away that hiTask has not given."""
    connection.execute(update(comments).where(comments.c.guid == guid).values(id=None))


def delete_comments(connection: Connection, guids: Iterable[str]) -> None:
    """Take rows out."""
    delete_among(connection, comments.c.guid, guids)


def add_names(connection: Connection, names: Mapping[int, str]) -> None:
    """Make people known by name whom `users` lacks."""
    if names:
        rows = [{"id": number, "full_name": name} for number, name in names.items()]
        connection.execute(dialects.of(connection).insert(users).on_conflict_do_nothing(), rows)


# What people changed, and what was about to be sent


def unfinished(
    connection: Connection, guids: Iterable[str] | None = None
) -> dict[str, list[Change]]:
    """The changes of comments without an end, oldest first, by row; of all rows or of these."""
    own = change_log.c.table_name == COMMENTS
    wanted = [own] if guids is None else [own & change_log.c.row_guid.in_(c) for c in chunks(guids)]
    found: dict[str, list[Change]] = {}
    for condition in wanted:
        for change in changes.unfinished_where(connection, condition):
            found.setdefault(change.guid, []).append(change)
    return found


def has_work(connection: Connection) -> bool:
    """Whether any comment has an unfinished change or a write with an unknown outcome."""
    return connection.execute(_HAS_WORK).scalar_one()


def was_posted_again(connection: Connection, guid: str) -> bool:
    """Whether a comment was sent more than once, since the first time seemed lost."""
    log = change_log.c
    query = select(log.seq).where(log.table_name == COMMENTS, log.row_guid == guid)
    query = query.where(changes.in_state("done"), log.op == "insert", log.attempts > 1)
    return connection.execute(query.limit(1)).first() is not None


def load_intents(connection: Connection) -> dict[str, Intent]:
    """Comments that were about to be posted or deleted, with an outcome not known, by row.

    Those that were begun first come first.
    """
    found = load_raw(connection, [COMMENTS])
    return {intent.guid: intent for intent in sorted(found, key=lambda one: one.last_seq)}


def set_sent(connection: Connection, guid: str, sent: Mapping[str, Any]) -> None:
    """Remember more about what was sent."""
    row = update(sync_intents).where(sync_intents.c.guid == guid)
    connection.execute(row.values(sent=dict(sent)))


def load_places(connection: Connection, guids: Iterable[str]) -> dict[str, Place]:
    """These items, those that have a row or are on hiTask."""
    wanted = list(guids)
    found: dict[str, Place] = {}
    tables: dict[str, str] = {}
    written: dict[str, Mapping[str, Any]] = {}
    for row in rows_among(connection, _KNOWN, sync_base.c.guid, wanted):
        found[row["guid"]] = Place(row["guid"], row["id"])
        tables[row["guid"]] = row["table_name"]
        written[row["guid"]] = row["dirty"] or {}
    for name, table in ITEM_TABLES.items():
        query = _standing(connection.dialect.name, name)
        for row in rows_among(connection, query, table.c.guid, wanted):
            known = found.get(row["guid"])
            last = written.get(row["guid"], {}).get("last_comment_id", row["last_comment_id"])
            if tables.get(row["guid"], name) != name:
                continue  # moved here from the table of an item that is still to be deleted
            found[row["guid"]] = Place(
                guid=row["guid"],
                id=known.id if known else None,
                present=True,
                permission=_number(row["permission"]),
                last_comment_id=_number(last),
                version=_number(row["version"]),
                archiving=row["archived"] == 1,
            )
    return found


@cache
def _standing(dialect: str, table: str) -> Select[*tuple[Any, ...]]:
    """What of an item's row matters to its comments."""
    item, raw = ITEM_TABLES[table].c, dialects.named(dialect).raw
    names = ("permission", "last_comment_id", "version", "archived")
    return select(item.guid, *(raw(item[name]).label(name) for name in names))


def _number(cell: Any) -> int | None:
    """A raw cell that only hiTask writes; whatever else someone put there is nothing."""
    return cell if isinstance(cell, int) else None
