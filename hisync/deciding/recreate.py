"""Creating again what has left, as a new item from its last values.

Public: `put_back`, `outcome_of`.
"""

from __future__ import annotations

from sqlalchemy import Connection

from hisync.deciding.subject import Restored, RestoreError, load, look, waiting
from hisync.engine import Engine
from hisync.items import Value, derived_guid, fields_of
from hisync.mirror import changes, rows
from hisync.mirror.cells import decode_row
from hisync.mirror.removed import LeftRow


def put_back(engine: Engine, guid: str) -> Restored:
    """Put a row that has left in again, as a person would: a new row with its last values.

    It gets a guid of its own, since hiTask may still know the old one, and always the same one, so
    that doing it twice makes no second item. The next push creates it on hiTask.

    Raises:
        RestoreError: if nothing is known of it, or hisync can't create such an item.
        ServiceError: if hiTask can't be asked whether it is back.
    """
    subject = look(engine, guid)
    left = subject.left
    if subject.row is not None or left is None:
        return subject.now("here", *waiting(engine, subject))
    if left.table == "files":
        raise RestoreError(f"{guid} was an uploaded file, which hisync can't create on hiTask")
    new = derived_guid(f"restored/{left.guid}", left.seq)
    with engine.mirror.writing() as connection:
        again = load(connection, new)
        if again.row is not None:
            return again.now("here", f"it was created again from {guid} before")
        if again.left is not None or again.base is not None:
            raise RestoreError(
                f"it was created again as {new}, which is gone too: run `hisync restore {new}`"
            )
        values, notes = _last_values(connection, left)
        with changes.captured(connection):
            rows.upsert_rows(connection, left.table, [{**values, "guid": new, "id": None}])
    return Restored("put back", left.table, new, None, str(values.get("title") or ""), notes)


def outcome_of(engine: Engine, put: Restored) -> Restored:
    """What a push made of a row that was put back."""
    with engine.mirror.reading() as connection:
        subject = load(connection, put.guid)
        log = changes.unfinished(connection, [put.guid]).get((put.table, put.guid), ())
    if subject.base is not None:
        return subject.now("created", *put.notes)
    return subject.now("waits" if log else "refused", *put.notes)


def _last_values(connection: Connection, left: LeftRow) -> tuple[dict[str, Value], tuple[str, ...]]:
    """What people may write of a row's last values, and what of them does not come along."""
    last, unreadable = decode_row(left.table, left.last_values)
    values: dict[str, Value] = {
        column: last[column]
        for column, f in fields_of(left.table).items()
        if not f.hitasks_own and column != "archived"
    }
    notes = [f"{column} could not be read, and is empty" for column in unreadable]
    parent = values["parent_guid"]
    if parent is not None and parent not in rows.parents_of(connection, [parent]):
        values["parent_guid"] = None
        notes.append(f"its parent {parent} is not in the mirror any more: it has none now")
    if last.get("time_spent_minutes"):
        notes.append(f"the {last['time_spent_minutes']} minutes spent on it are not taken along")
    return values, tuple(notes)
