"""Repair: what verifying found is mended, and nothing that anyone wrote is lost.

A cell that drifted may hold an edit that the triggers missed: it is kept in `conflicts` before
hiTask's value takes its place. Then the books are set right, and the same full read is applied as
any other, all in one transaction; what it lacks leaves by the rules of absence. Public: `repair`,
`Repaired`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from hisync.cycle import heed_pause
from hisync.engine import Engine
from hisync.items import Value, fields_of
from hisync.mirror import records, rows
from hisync.mirror.records import ConflictRecord
from hisync.pull import Pulled, apply_reading, look_up, second_look
from hisync.reading import fetch_everything
from hisync.verifying.drift import Drift, Unreadable
from hisync.verifying.mending import mend
from hisync.verifying.misfits import MisfitKind
from hisync.verifying.verify import Look, Report, look
from hisync.writes import report_conflicts

POLICY: Final = "repair"
"""What the table `conflicts` names as the policy behind a value that drifted."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What repairing did.

    Attributes:
        report: what was found before.
        kept: values that were recorded in `conflicts` because hiTask's took their place.
        requeued: new rows that no trigger saw, and that the next sync will create on hiTask.
        held: removals that wait for approval, by table.
        suspects: items that were missing for the first time in the second look.
    """

    report: Report
    kept: int
    requeued: int
    held: Mapping[str, int]
    suspects: int

    @property
    def complete(self) -> bool:
        """Whether verifying again would find nothing."""
        return not self.held and not self.suspects


def repair(engine: Engine) -> Repaired:
    """Verify, and mend what that finds.

    Raises:
        ServiceError: if hiTask can't be read.
        MirrorError: as verifying does, or if an index of somebody's own refuses a row.
    """
    heed_pause(engine)
    reading = fetch_everything(engine)
    looked_up, pulled = look_up(engine, reading), Pulled()
    with engine.mirror.writing() as connection:
        found = look(connection, reading.answer)
        kept = _keep_values(engine, connection, found)
        mend(engine, connection, found.surveyed)
        apply_reading(engine, connection, reading, pulled, looked_up)
    if pulled.suspects:
        again = second_look(engine, full=reading.full)
        looked_up = look_up(engine, again)
        with engine.mirror.writing() as connection:
            apply_reading(engine, connection, again, pulled, looked_up)
    unseen = MisfitKind.INSERT_UNSEEN
    return Repaired(
        report=found.report,
        kept=kept,
        requeued=sum(misfit.kind is unseen for misfit in found.report.misfits),
        held=pulled.held,
        suspects=pulled.suspects,
    )


def _keep_values(engine: Engine, connection: Connection, found: Look) -> int:
    """Record what hiTask's values are about to take the place of."""
    kept = [
        _record(one.table, one.guid, one.column, one.here, one.there)
        for one in found.compared.drift
    ] + [
        _record(one.table, one.guid, one.column, one.text, one.there)
        for one in found.compared.unreadable
    ]
    records.record_conflicts(connection, kept, engine.clock.now())
    report_conflicts(engine.log, kept)
    _take_back(connection, found)
    return len(kept)


def _record(table: str, guid: str, column: str, here: Value, there: Value) -> ConflictRecord:
    # The item is at the version that was pulled, so hiTask's value is what both agreed on.
    return ConflictRecord(table, guid, column, there, here, there, "remote", POLICY)


def _take_back(connection: Connection, found: Look) -> None:
    """Drifted cells would be taken for edits, if not by this read then by a push: they go first."""
    standing = {pair.guid: pair.place for pair in found.surveyed.pairs if pair.place}
    cells: list[Drift | Unreadable] = [*found.compared.drift, *found.compared.unreadable]
    by_row: dict[str, dict[str, Value]] = {}
    for one in cells:
        empty = fields_of(standing[one.guid].table)[one.column].empty
        value = empty if one.there is None else one.there
        by_row.setdefault(one.guid, {})[one.column] = value
    for guid, values in by_row.items():
        rows.set_cells(connection, standing[guid].table, standing[guid].guid, values)
