"""What can't be sent goes back to hiTask's value, and the change log says why.

Public: `put_back`, `refuse_whole`, `refuse_claim`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from hisync.change import Change
from hisync.endings import reject
from hisync.engine import Engine
from hisync.items import SPENT, Value, Values
from hisync.mirror import base as bases
from hisync.mirror import changes, intents, rows
from hisync.mirror.base import Base
from hisync.mirror.intents import Intent
from hisync.plan.proof import columns_edited_after
from hisync.pushing.candidates import Candidate, load_scene
from hisync.timekeeping.entries import carried_entries, reject_entries
from hisync.timekeeping.observed import take_back
from hisync.writes import Writes


def put_back(
    connection: Connection,
    candidate: Candidate,
    base: Base,
    before: Values,
    columns: Collection[str],
    unsent: Collection[str],
) -> None:
    """Give columns hiTask's value again; what stays dirty is what is left to send."""
    if candidate.local is not None:
        cells: dict[str, Value] = {column: before.get(column) for column in columns}
        if candidate.local.id != base.id:
            cells["id"] = base.id
        rows.set_cells(connection, candidate.table, candidate.guid, cells)
    dirty = {c: v for c, v in (base.dirty or {}).items() if c in unsent}
    bases.save_bases(connection, [replace(base, dirty=dirty)])


def refuse_whole(engine: Engine, connection: Connection, candidate: Candidate, reason: str) -> None:
    """Nothing of it can be sent: the row goes back to hiTask's state; a new row stays as it is."""
    base, before = candidate.base, candidate.before
    reject(engine, connection, candidate.guid, candidate.log, reason)
    writes = Writes()
    if base is not None and before is not None:
        # Minutes that wait are no part of what was refused.
        spent = {SPENT: candidate.total} if candidate.spends else {}
        dirty = {SPENT: before.get(SPENT)} if candidate.spends else None
        writes.put(base.table, {**before, **spent, "guid": base.guid, "id": base.id})
        writes.bases.append(replace(base, dirty=dirty))
    elif candidate.table == "files":
        writes.take_out(candidate.table, candidate.guid)
    writes.flush(connection, engine.clock.now())


def refuse_claim(engine: Engine, connection: Connection, intent: Intent, reason: str) -> None:
    """hiTask refused what was sent: the same, unless people have edited the row since."""
    reject_entries(engine, connection, carried_entries(connection, intent), reason)
    intents.forget_intents(connection, [intent.guid])
    if SPENT in intent.sent:
        take_back(engine, connection, intent.guid)
    # Even without changes: they may have ended already, for a cell that was refused here.
    log = changes.unfinished(connection, [intent.guid])
    scene = load_scene(engine, connection, log, [intent.guid])
    for candidate in scene.candidates:
        if candidate.table != intent.table:
            continue
        if intent.op == "update" and intent.sent.keys() == {SPENT}:
            _refuse_total(engine, connection, intent, candidate)
            continue
        carried = [change for change in candidate.log if change.seq <= intent.last_seq]
        later = [change for change in candidate.log if change.seq > intent.last_seq]
        waits = _unsent(intent, carried)
        if not later and not waits:
            refuse_whole(engine, connection, candidate, reason)
            continue
        reject(engine, connection, candidate.guid, [c for c in carried if c not in waits], reason)
        seqs = [change.seq for change in waits]
        changes.set_state(connection, seqs, "pending", now=engine.clock.now())
        base, before = candidate.base, candidate.before
        if base is not None and before is not None:
            newer = columns_edited_after(candidate.table, candidate.log, intent.last_seq)
            newer |= {c for c in base.dirty or () if any(change.touches(c) for change in waits)}
            newer |= {SPENT} if candidate.spends else set()
            refused = intent.sent.keys() | (base.dirty or {}).keys()
            put_back(connection, candidate, base, before, refused - newer, newer)


def _unsent(intent: Intent, carried: Sequence[Change]) -> list[Change]:
    """The changes that nothing of was sent: of a move that waits, or an archiving to follow."""
    if intent.op != "update":
        return []
    return [
        change
        for change in carried
        if change.op == "update" and not any(change.touches(column) for column in intent.sent)
    ]


def _refuse_total(
    engine: Engine, connection: Connection, intent: Intent, candidate: Candidate
) -> None:
    """hiTask refused a total: what else waits of the row, an archiving or a move, goes on."""
    waits = [change.seq for change in candidate.log if change.seq <= intent.last_seq]
    changes.set_state(connection, waits, "pending", now=engine.clock.now())
    base, before = candidate.base, candidate.before
    if base is not None and before is not None:
        # Unless more time came since, or the row was deleted, of which all is dirty.
        over = set() if candidate.spends or candidate.local is None else {SPENT}
        put_back(connection, candidate, base, before, over, (base.dirty or {}).keys() - over)
