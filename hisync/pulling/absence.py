"""What an item's absence from a complete answer leads to: at first nothing.

Absence is not deletion. It counts only in a complete, parsed answer, is confirmed by a second
one, and a mass disappearance is held. Public: `note_absence`, `Absence`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from hisync.engine import Engine
from hisync.leaving import Leaver, leave_by_absence, load_leavers
from hisync.mirror import base as bases
from hisync.mirror import rows, state
from hisync.plan.guard import CONFIRMED, held_tables


@dataclass(frozen=True, slots=True)
class Absence:
    """What was made of the items that an answer lacked.

    Attributes:
        suspects: items missing for the first time: look again.
        removed: rows taken out of the mirror.
        conflicts: conflicts recorded.
        held: removals that wait for approval, by table.
    """

    suspects: int = 0
    removed: int = 0
    conflicts: int = 0
    held: dict[str, int] = field(default_factory=dict)


def note_absence(
    engine: Engine, connection: Connection, live: AbstractSet[int], known: AbstractSet[int]
) -> Absence:
    """Draw the consequences of a complete answer.

    Args:
        engine: the rules.
        connection: the engine's write transaction.
        live: the ids of the items that it named; there are no others.
        known: the ids of all items that the mirror knows by now.
    """
    _forgive(connection, live)
    absent = known - live
    if not absent:
        return Absence()
    if not live:
        state.save(connection, nothing_shown=True)
    leavers = load_leavers(connection, bases.load_bases_by_id(connection, absent).values())
    fresh = [m for m in leavers if m.base.missed + 1 < CONFIRMED]
    sure = [m for m in leavers if m.base.missed + 1 >= CONFIRMED]
    _count_miss(connection, [*fresh, *sure])
    held = _hold(engine, connection, sure, nothing_left=not live)
    gone = [m for m in sure if not (m.counts and m.base.table in held)]
    if held and not live:
        gone = []  # an answer without any item proves nothing, our own deletions neither
    removed, conflicts = leave_by_absence(engine, connection, gone)
    return Absence(len(fresh), removed, conflicts, held)


def _forgive(connection: Connection, live: AbstractSet[int]) -> None:
    """What was missing and shows again was never gone.

    Nor does it count what an answer without any item lacked, once another shows some again.
    """
    missed = bases.missed_ids(connection)
    back = missed & live
    if live and state.load(connection).nothing_shown:
        back = missed
        state.save(connection, nothing_shown=False)
    returned = bases.load_bases_by_id(connection, back).values()
    bases.save_bases(connection, [replace(base, missed=0) for base in returned])


def _count_miss(connection: Connection, leavers: Collection[Leaver]) -> None:
    # Counted no further than the proof needs: an item held for weeks costs no writes.
    counted = [m.base for m in leavers if m.base.missed < CONFIRMED]
    bases.save_bases(connection, [replace(base, missed=base.missed + 1) for base in counted])


def _hold(
    engine: Engine, connection: Connection, sure: Collection[Leaver], *, nothing_left: bool
) -> dict[str, int]:
    removals = Counter(m.base.table for m in sure if m.counts)
    if not removals:
        return {}
    held = held_tables(
        removals,
        rows.count_rows(connection),
        max_share=engine.rules.max_removals,
        nothing_left=nothing_left,
    )
    # Enough for all or for none, and counted over the whole run, which may be several answers.
    leaving = {m.base.guid for m in sure if m.counts and m.base.table in held}
    if len(leaving | engine.allowed_to_leave) <= engine.allow_removals:
        engine.allowed_to_leave |= leaving
        return {}
    return {table: removals[table] for table in sorted(held)}
