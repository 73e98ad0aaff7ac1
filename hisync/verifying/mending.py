"""Setting the books right, as far as applying a full read does not: one function a misfit.

A base without its row, a row without its base, one row in two places. What has no place in the
mirror any more goes to `removed_rows`. Public: `mend`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from hisync.change import Change
from hisync.engine import Engine
from hisync.items import SPENT, TABLES, fields_of
from hisync.mirror import base as bases
from hisync.mirror import places, records, rows, time_entries
from hisync.mirror.base import Base
from hisync.mirror.cells import decode_row, to_json
from hisync.mirror.places import Place
from hisync.mirror.records import RemovedRow
from hisync.mirror.rows import LocalRow
from hisync.timekeeping.ledger import unsent_minutes
from hisync.verifying.misfits import Misfit, MisfitKind, Survey

_TWICE: Final = "repaired: its guid belonged to an item of another table"
_LEFT_OVER: Final = "repaired: hiTask had it once, and has nothing by its guid"


def mend(engine: Engine, connection: Connection, surveyed: Survey) -> None:
    """Mend every misfit of a survey, in the transaction that will apply its read."""
    found = _found_again(connection, surveyed)
    bases.save_bases(connection, found)  # at once: it may be all of them
    for misfit in surveyed.misfits:
        if misfit.kind in _MENDS:
            _MENDS[misfit.kind](engine, connection, surveyed, misfit)


def _found_again(connection: Connection, surveyed: Survey) -> list[Base]:
    """The bases of rows that have lost theirs: as hiTask says now, and what was edited since."""
    found = []
    lost = [misfit for misfit in surveyed.misfits if misfit.kind is MisfitKind.BASE_LOST]
    totals = time_entries.sums(connection, [misfit.guid for misfit in lost])
    unsent = unsent_minutes(connection)
    for misfit in lost:
        if misfit.id is None:
            continue
        item, log = misfit.item, surveyed.log.get((misfit.table, misfit.guid), ())
        theirs = item.guid if item is not None and item.guid != misfit.guid else None
        version = item.values.get("version") if item is not None else None
        dirty = _unsent(misfit.table, None, log)
        if waiting := unsent.get(misfit.guid):
            dirty[SPENT] = totals.get(misfit.guid, 0) - waiting
        found.append(Base(misfit.guid, misfit.table, misfit.id, version, dirty, remote_guid=theirs))
    return found


def _unsent(table: str, base: Base | None, log: Iterable[Change]) -> dict[str, Any]:
    """The base cells of what these changes wrote, where no base remembers them: oldest first."""
    dirty = {
        c: v for c, v in ((base.dirty if base else None) or {}).items() if c in fields_of(table)
    }
    for change in log:
        columns: Iterable[str] = fields_of(table) if change.op == "delete" else change.old_values
        for column in columns:
            dirty.setdefault(column, change.old_values.get(column))
    return dirty


def _mend_table(_engine: Engine, connection: Connection, surveyed: Survey, misfit: Misfit) -> None:
    if misfit.base is not None and misfit.place is not None:
        _move(connection, surveyed, misfit.base, misfit.place)


def _mend_name(_engine: Engine, connection: Connection, surveyed: Survey, misfit: Misfit) -> None:
    if misfit.base is not None and misfit.place is not None:
        places.rename_row(connection, misfit.place, misfit.base.guid)
        _move(connection, surveyed, misfit.base, misfit.place)


def _mend_id(_engine: Engine, connection: Connection, _surveyed: Survey, misfit: Misfit) -> None:
    """Applying the read gives a row its base's id; a base whose id is nothing's takes the row's."""
    base, item = misfit.base, misfit.item
    if base is not None and item is not None and item.id != base.id:
        theirs = item.guid if item.guid != base.guid else None
        bases.save_bases(connection, [replace(base, id=item.id, remote_guid=theirs)])


def _move(connection: Connection, surveyed: Survey, base: Base, place: Place) -> None:
    """The base follows its row, and so do the changes that were made at either place."""
    table = place.table
    log = [*surveyed.log.get((base.table, base.guid), ()), *surveyed.changes_of(place)]
    places.move_changes(connection, {change.seq for change in log}, table, base.guid)
    dirty = _unsent(table, base, sorted(log, key=lambda change: change.seq))
    bases.save_bases(connection, [replace(base, table=table, dirty=dirty)])


def _mend_vanished(
    _engine: Engine, connection: Connection, surveyed: Survey, misfit: Misfit
) -> None:
    """A row without unsent edits comes back by the read; one with edits, as it was with them."""
    base, item = misfit.base, misfit.item
    if base is None or (item is None and base.table in TABLES):
        return  # gone on both sides: absence has to prove it
    if item is None:
        bases.forget_bases(connection, [base.guid])
        return
    table = base.table if base.table in TABLES else item.table
    log = surveyed.log.get((table, base.guid), ())
    if table != base.table:
        base = replace(base, table=table, dirty=_unsent(table, base, log))
        bases.save_bases(connection, [base])
    if not base.dirty and not log:
        return
    cells = {c: to_json(v) for c, v in surveyed.identities.values_of(item).items()}
    edited = dict(cells)
    for change in log:
        edited.update(change.new_values)
    _, unreadable = decode_row(base.table, edited)
    values, _ = decode_row(base.table, edited | {c: cells.get(c) for c in unreadable})
    rows.upsert_rows(connection, base.table, [{**values, "guid": base.guid, "id": base.id}])


def _mend_stray(engine: Engine, connection: Connection, _surveyed: Survey, misfit: Misfit) -> None:
    """A row that stands for nothing leaves; its last state is kept."""
    reason = _TWICE if misfit.kind is MisfitKind.GUID_TWICE else _LEFT_OVER
    for row, raw in _rows_at(connection, misfit.place):
        left = RemovedRow(row.table, row.guid, None, {**row.values, **raw}, reason)
        records.record_removed(connection, [left], engine.clock.now())
        rows.delete_rows(connection, row.table, [row.guid])


def _mend_unseen(engine: Engine, connection: Connection, _surveyed: Survey, misfit: Misfit) -> None:
    """Somebody put the row in: logged now, the next sync creates it on hiTask."""
    for row, raw in _rows_at(connection, misfit.place):
        places.log_insert(connection, row, raw, engine.clock.now())
        rows.set_cells(connection, row.table, row.guid, {"id": None})


def _rows_at(
    connection: Connection, place: Place | None
) -> Iterable[tuple[LocalRow, Mapping[str, Any]]]:
    if place is not None:
        for row in rows.load_rows(connection, place.table, [place.guid]).values():
            yield row, places.load_raw(connection, row)


_MENDS: Final[Mapping[MisfitKind, Callable[[Engine, Connection, Survey, Misfit], None]]] = {
    MisfitKind.ID_DIFFERS: _mend_id,
    MisfitKind.TABLE_DIFFERS: _mend_table,
    MisfitKind.GUID_RENAMED: _mend_name,
    MisfitKind.ROW_VANISHED: _mend_vanished,
    MisfitKind.GUID_TWICE: _mend_stray,
    MisfitKind.LEFT_OVER: _mend_stray,
    MisfitKind.INSERT_UNSEEN: _mend_unseen,
}
"""What applying the read mends by itself is not among them."""
