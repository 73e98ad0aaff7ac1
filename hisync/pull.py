"""The pull: what hiTask says comes into the mirror.

    API ─ decode ─▶ remote ┐
                           ├─ plan ─▶ actions ─▶ mirror + base + cursor, one transaction
    mirror, base ──────────┘

A quiet pull costs one request: the delta since the last cursor. Public: `pull`, `Pulled`,
`second_look`, `needs_everything`, `look_up`, `LookedUp`, `apply_reading`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from sqlalchemy import Connection

from hisync.api import size_of
from hisync.engine import Engine
from hisync.mirror import base as bases
from hisync.mirror import intents, rows, state
from hisync.mirror.intents import Intent
from hisync.mirror.state import DeltaMode
from hisync.outcome.arrival import requeue
from hisync.outcome.overwritten import Overwritten, look_up_overwritten, record_overwritten
from hisync.outcome.totals import look_up_totals, lost_updates
from hisync.pulling.absence import Absence, note_absence
from hisync.pulling.apply import apply_items
from hisync.pulling.merging import ATTEMPTS
from hisync.pushing.refusal import refuse_claim
from hisync.reading import Reading, fetch_changes, fetch_everything, use_everything
from hisync.timekeeping.observed import catch_up

LOOKS: Final = 3
"""Answers that lack what hiTask said it had made after which it is not waited for any more."""

NOT_SHOWN: Final = (
    "hiTask answered OK but shows no such item: it may be there under another guid, so it is not "
    "made again"
)

NOT_TAKEN: Final = "hiTask answered OK each time but kept the item as it was"


@dataclass(slots=True)
class Pulled:
    """What a pull did.

    Attributes:
        rows: rows put in, changed or removed.
        conflicts: conflicts recorded.
        held: removals that wait for approval, by table.
        suspects: items missing for the first time.
        unsettled: whether the last answer leaves open what only a full read can tell.
    """

    rows: int = 0
    conflicts: int = 0
    held: dict[str, int] = field(default_factory=dict)
    suspects: int = 0
    unsettled: bool = False

    def add(self, rows: int, conflicts: int, absence: Absence | None) -> None:
        """Count what one answer did; None for one in which absence means nothing."""
        self.rows += rows
        self.conflicts += conflicts
        if absence is not None:
            self.rows += absence.removed
            self.conflicts += absence.conflicts
            self.held = absence.held
            self.suspects = absence.suspects


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What the history says of updates whose answers got lost.

    Attributes:
        spent: whether a total of ours arrived, by the item's id.
        overwritten: what they went over.
    """

    spent: Mapping[int, bool] = field(default_factory=dict)
    overwritten: Sequence[Overwritten] = ()


def pull(engine: Engine, *, full: bool = False) -> Pulled:
    """Bring the mirror to what hiTask says.

    Args:
        engine: everything it needs.
        full: read everything again instead of the changes.

    Raises:
        ServiceError: if hiTask can't be read; nothing of that answer was applied then.
    """
    with engine.mirror.reading() as connection:
        before = state.load(connection)
        # After a failure the answer is looked through first: one that has a fault again would be
        # applied for nothing, and keep people from writing meanwhile.
        first = (
            (full or before.cursor is None) and before.trouble is None and rows.is_blank(connection)
        )
    if first:
        return use_everything(engine, partial(_apply_first, engine))
    pulled = Pulled(held=before.held)  # until an answer in which absence counts
    if before.held and engine.allow_removals and before.delta != DeltaMode.NAMES_ALL:
        full = True  # what was approved has to be seen missing once more
    reading = fetch_everything(engine) if full else fetch_changes(engine)
    _apply(engine, reading, pulled)
    if pulled.unsettled:
        reading = fetch_everything(engine, beside=reading)
        _apply(engine, reading, pulled)
    if pulled.suspects:
        full = reading.full
        del reading  # two answers of a large account need not be in memory
        _apply(engine, second_look(engine, full=full), pulled)
    return pulled


def needs_everything(connection: Connection, reading: Reading, known: AbstractSet[int]) -> bool:
    """Whether an answer leaves something open that only a full read can tell.

    Args:
        connection: a transaction.
        reading: the answer.
        known: the ids of all items that the mirror knows.
    """
    if reading.full:
        return False
    if reading.answer.unchanged(known):
        return True  # unchanged, yet new to us: shared again, or missed
    if reading.complete:
        return False
    return reading.undecided or any(
        # That a change was not named shows that an item is as it was, not whether it is there.
        intent.op in {"create", "delete", "archive"}
        for intent in intents.load_intents(connection).values()
    )


def second_look(engine: Engine, *, full: bool) -> Reading:
    """The second complete answer that absence needs.

    Args:
        engine: everything it needs.
        full: whether the first one was a full read: a delta that was doubted would prove nothing.
    """
    return fetch_everything(engine) if full else fetch_changes(engine)


def look_up(engine: Engine, reading: Reading) -> LookedUp:
    """Ask the history about writes whose answers got lost, before their items are applied.

    Raises:
        ServiceError: if it can't be asked.
    """
    lost = lost_updates(engine, reading)
    spent = look_up_totals(engine, lost)
    overwritten = look_up_overwritten(engine, lost)
    return LookedUp(spent, overwritten)


def _apply(engine: Engine, reading: Reading, pulled: Pulled, *, first: bool = False) -> None:
    looked_up = LookedUp() if first else look_up(engine, reading)
    with engine.mirror.writing() as connection:
        apply_reading(engine, connection, reading, pulled, looked_up)


def _apply_first(engine: Engine, reading: Reading) -> Pulled:
    """Apply the first answer of all: checking it before would read a large account's twice."""
    pulled = Pulled()
    _apply(engine, reading, pulled, first=True)
    return pulled


def apply_reading(
    engine: Engine,
    connection: Connection,
    reading: Reading,
    pulled: Pulled,
    looked_up: LookedUp,
) -> None:
    """Apply one answer and advance the cursor, all in the caller's write transaction."""
    if engine.rules.time_entries and state.load(connection).entries_off:
        catch_up(engine, connection)
    items = reading.answer.items
    live = reading.answer.ids if reading.complete else None
    engine.progress("applying", 0, size_of(items))
    applied = apply_items(engine, connection, items, live=live, spent=looked_up.spent)
    known = bases.known_ids(connection)
    absence = None
    if reading.complete:
        # The ids anew: of a long answer that was checked meanwhile they are a compact set.
        absence = note_absence(engine, connection, reading.answer.ids, known)
    pulled.unsettled = needs_everything(connection, reading, known)
    settled = not pulled.unsettled and (absence is None or not absence.suspects)
    if settled:
        _resolve_rest(engine, connection, reading)
    _advance(engine, connection, reading, settled=settled)
    pulled.add(applied.changed, applied.conflicts, absence)
    for over in looked_up.overwritten:
        pulled.conflicts += record_overwritten(engine, connection, over)


def _resolve_rest(engine: Engine, connection: Connection, reading: Reading) -> None:
    """A write with an unknown outcome that a later answer does not show did not happen.

    One exception: what was to be gone and is missing may well be; absence has to prove it.
    """
    pending = intents.load_intents(connection)
    known = bases.load_bases(connection, pending)
    for intent in pending.values():
        base = known.get(intent.guid)
        named = base is not None and base.id in reading.answer.ids
        if _was_accepted(engine, connection, intent):
            continue
        if named or base is None or intent.op in {"create", "update"}:
            requeue(engine, connection, intent, error="the answer was lost; it had not arrived")


def _was_accepted(engine: Engine, connection: Connection, intent: Intent) -> bool:
    """Whether hiTask said that it had carried this out, so that it is not simply sent again.

    Reads may lag behind writes, and some of the attempts may never have arrived, so a few looks are
    waited for. A guid that hiTask keeps tells then that what was created is not there; without one
    it may be there as something that can't be told from others.
    """
    memory = state.load(connection)
    entry = (memory.accepted or {}).get(intent.guid)
    if entry is None or intent.op not in {"create", "update"}:
        return False
    created = intent.op == "create"
    if not created and intent.attempt < ATTEMPTS:
        return False
    if _is_waited_for(connection, intent):
        return True
    if created and memory.keeps_guid and entry["id"] is None:
        return False
    refuse_claim(engine, connection, intent, NOT_SHOWN if created else NOT_TAKEN)
    return True


def _is_waited_for(connection: Connection, intent: Intent) -> bool:
    """Count one more look that did not show what hiTask said it did; whether more are made."""
    accepted = state.load(connection).accepted or {}
    entry = accepted[intent.guid]
    looks = (entry["looks"] or 0) + 1
    state.save(connection, accepted={**accepted, intent.guid: {**entry, "looks": looks}})
    return bool(looks < LOOKS)


def _advance(engine: Engine, connection: Connection, reading: Reading, *, settled: bool) -> None:
    """Remember how far the mirror is, in the transaction that brought it there."""
    before = state.load(connection)
    pending = intents.load_intents(connection) if before.doubts or before.accepted else {}
    accepted = {guid: e for guid, e in (before.accepted or {}).items() if guid in pending}
    doubts = {guid: n for guid, n in (before.doubts or {}).items() if guid in pending}
    after = {
        # Until the next look has settled what is open, the same changes are asked for again: it
        # may never come, and what this answer should have shown would be behind the cursor.
        "cursor": reading.answer.cursor if settled else before.cursor,
        "delta": reading.mode,
        "delta_failed_at": reading.delta_failed_at,
        "delta_errors": reading.delta_errors,
        "last_full_at": engine.clock.time() if reading.full else before.last_full_at,
        "account_id": before.account_id or engine.api.account_id,
        "had_holes": before.had_holes and not reading.full,
        "doubts": doubts or None,
        "accepted": accepted or None,
        "entries_off": not engine.rules.time_entries,
        "zone_is_old": before.time_zone is not None and (reading.full or before.zone_is_old),
    }
    changed = {key: value for key, value in after.items() if getattr(before, key) != value}
    state.save(connection, **changed)
    # Whoever else a later login of this process turns out to be: the rows are not theirs.
    engine.api.expected_account = before.account_id or engine.api.account_id
