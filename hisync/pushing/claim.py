"""What is to be pushed: the change log compacted, planned against the base, checked, claimed.

`prepare` looks at every row with unfinished changes, ends what needs no request (edits that were
taken back, edits that can't be taken) and returns a step for each row that needs one. `claim`
does the same for one row right before its request and writes the intent down. Public: `prepare`,
`claim`, `Claim`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from hisync.change import Change
from hisync.endings import block, end, reject, unblock
from hisync.engine import Engine
from hisync.garbage import gc_paused
from hisync.items import SPENT, Access, Values, fields_of, on_the_wire, same_value
from hisync.mirror import base as bases
from hisync.mirror import changes, intents, rows, state
from hisync.mirror.base import Base
from hisync.mirror.intents import Intent, Op
from hisync.plan.actions import Policy, Send, SendArchive, SendCreate, SendDelete, SendUpdate
from hisync.plan.checks import Refusal, check, refused_edits
from hisync.plan.merge import Row, plan_row
from hisync.plan.order import Step, goes_beside_others, is_spending, order_steps
from hisync.plan.proof import VANISHED, end_changes, unsent_columns, was_deleted
from hisync.pushing.candidates import Candidate, Scene, load_scene, neighbours
from hisync.pushing.holding import hold_deletions
from hisync.pushing.refusal import put_back, refuse_whole
from hisync.timekeeping.entries import check_entries, finish_entries, reject_entries

_OPS: Mapping[type[Send], Op] = {
    SendCreate: "create",
    SendUpdate: "update",
    SendArchive: "archive",
    SendDelete: "delete",
}


@dataclass(frozen=True, slots=True)
class Claim:
    """A step whose intent is committed: it may be sent.

    Attributes:
        intent: what was written down.
        base: the row's base, None for a create.
        before: the base's values, none for a create.
        row: the values that it leaves hiTask with; what was refused meanwhile is not among them.
        parent: the base of its parent, None if it has none.
    """

    intent: Intent
    base: Base | None
    before: Values
    row: Values
    parent: Base | None


@gc_paused()
def prepare(engine: Engine, connection: Connection) -> list[Step]:
    """End what needs no request; return the requests to make, in order, and what they are for."""
    entries = check_entries(engine, connection)
    log, dirty = changes.unfinished(connection), bases.dirty_guids(connection)
    scene = load_scene(engine, connection, log, dirty, entries)
    planned = [_plan(engine, connection, candidate, scene) for candidate in scene.candidates]
    steps = order_steps(step for step in planned if step is not None)
    return _hold_deletes(engine, connection, steps)


def claim(engine: Engine, connection: Connection, steps: Sequence[Step]) -> list[Claim]:
    """Plan rows again, as they are now, and write down what will be sent.

    Args:
        engine: everything it needs.
        connection: the engine's write transaction.
        steps: one, or several that are independent, which are to be under way together.

    Returns:
        The claims, without the rows that need nothing any more, or nothing yet.
    """
    guids = [step.guid for step in steps]
    log = changes.unfinished(connection, guids)
    spends = [step.guid for step in steps if step.spends]
    entries = check_entries(engine, connection, spends[0]) if spends else {}
    scene = load_scene(engine, connection, log, guids, entries)
    candidates = {(c.table, c.guid): c for c in scene.candidates}
    claims, carried = list[Claim](), list[int]()
    for step in steps:
        candidate = candidates.get((step.table, step.guid))
        if candidate is None:
            continue
        # Of the others it is not known yet what becomes of them.
        alone = replace(scene, candidates=[candidate])
        fresh = _plan_again(engine, connection, step, candidate, alone)
        if fresh is None or (len(steps) > 1 and not goes_beside_others(fresh)):
            continue  # a row that was moved or taken away meanwhile waits for the next round
        carried += fresh.carries
        claims.append(_claimed(engine, fresh, candidate, scene))
    now = engine.clock.now()
    intents.save_intents(connection, [each.intent for each in claims])
    changes.set_state(connection, carried, "sending", now=now, attempted=True)
    return claims


def _plan_again(
    engine: Engine, connection: Connection, step: Step, candidate: Candidate, scene: Scene
) -> Step | None:
    if candidate.local is None and bases.has_unsettled_children(connection, step.guid):
        return None  # they were to go, or to move away, first
    fresh = _plan(engine, connection, candidate, scene)
    if fresh is None or (fresh.deletion and not step.deletion):
        return None  # a deletion that the guard has not seen waits for the next round
    if fresh.spends and not step.spends:
        return None  # and so does time that was not checked
    return fresh


def _claimed(engine: Engine, step: Step, candidate: Candidate, scene: Scene) -> Claim:
    intent = Intent(
        guid=step.guid,
        table=step.table,
        op=_OPS[type(step.send)],
        sent=_sent(step.table, step.send),
        last_seq=step.last_seq,
        attempt=step.attempts + 1,
        started_at=engine.clock.now(),
    )
    before = candidate.before or {}
    # An update sends the title along, and dates by whether they are days: by hiTask's own value
    # where ours can't go, since it was refused just now or can't be read.
    row: Values = {**before, **intent.sent}
    if candidate.base is None and candidate.local is not None:
        row = candidate.local.values
    parent = scene.bases.get(row.get("parent_guid") or "")
    return Claim(intent, candidate.base, before, row, parent)


def _sent(table: str, send: Send) -> Values:
    """The values that will go out: of a new row, what it says and people may say."""
    fields = fields_of(table)
    match send:
        case SendCreate(values):
            return {
                column: on_the_wire(value)
                for column, value in values.items()
                if fields[column].access in {Access.WRITABLE, Access.ON_CREATE}
                and not same_value(fields[column], value, fields[column].empty)
            }
        case SendUpdate(columns):
            return {column: on_the_wire(value) for column, value in columns.items()}
        case _:
            return {}


def _plan(
    engine: Engine, connection: Connection, candidate: Candidate, scene: Scene
) -> Step | None:
    """What one row needs; its changes are ended here as far as they need no request."""
    base, local = candidate.before, candidate.local
    unreadable = local.unreadable if local else {}
    if candidate.owner is not None:
        _refuse_stray(engine, connection, candidate, candidate.owner)
        return None
    if candidate.base is not None and local is None and _has_vanished(candidate):
        reject(engine, connection, candidate.guid, candidate.log, VANISHED)
        bases.save_bases(connection, [replace(candidate.base, dirty=None)])
        return None  # the next full read puts it back
    refused = refused_edits(candidate.table, candidate.log, base, unreadable)
    if base is None and refused:
        refuse_whole(engine, connection, candidate, "; ".join(refused.values()))
        return None
    ours = local.values if local else None
    if ours is not None and base is not None:
        # A total that someone wrote over was counted anew already.
        ours = {**ours, **{c: base.get(c) for c in refused if c != SPENT}}
    sends = _sends(candidate, base, ours)
    send = sends[0] if sends else None
    verdict = Refusal()
    if send is not None:
        verdict = check(
            candidate.table, candidate.guid, send, base, neighbours(candidate, ours, scene)
        )
    if verdict.whole:
        refuse_whole(engine, connection, candidate, verdict.whole)
        return None
    refused |= verdict.columns
    if isinstance(send, SendUpdate):
        send = _without(send, verdict.columns)
    if SPENT in verdict.columns:
        # Also those that came since the step was prepared: their total goes back with the rest.
        every = check_entries(engine, connection, candidate.guid).get(candidate.guid, [])
        reject_entries(engine, connection, every, verdict.columns[SPENT])
        candidate = replace(candidate, entries=())
    log = _end_without_request(engine, connection, candidate, send, refused)
    step = _step(engine, connection, candidate, send, verdict, log)
    return replace(step, rest=(*step.rest, *sends[1:])) if step and sends[1:] else step


def _has_vanished(candidate: Candidate) -> bool:
    """Whether an edited row is not there without having been deleted."""
    dirty = (candidate.base.dirty if candidate.base else None) or {}
    return not was_deleted(candidate.table, dirty, candidate.log)


def _carried(log: Sequence[Change], entries: Sequence[Change], send: Send) -> list[Change]:
    """The changes that a request carries."""
    return [*log, *(entries if is_spending(send) else ())]


def _one_thing(send: Send) -> Send:
    """Time spent goes out by itself, after the rest: neither is refused for the other's sake."""
    if isinstance(send, SendUpdate) and is_spending(send):
        return _without(send, {SPENT}) or send
    return send


def _without(send: SendUpdate, columns: Container[str]) -> SendUpdate | None:
    """What an update sends besides these columns, None if nothing."""
    left = {c: v for c, v in send.changes.items() if c not in columns}
    return SendUpdate(left) if left else None


def _refuse_stray(
    engine: Engine, connection: Connection, candidate: Candidate, owner: Base
) -> None:
    """The guid belongs to an item of another table: refused, unless that one is on its way out."""
    if candidate.local is None:  # it came and went: nothing is left of it to refuse
        end(engine, connection, candidate.guid, end_changes(candidate.log))
        return
    if rows.load_rows(connection, owner.table, [owner.guid]):
        reason = f"this guid belongs to a row of {owner.table}: leave it out to get one of its own"
        refuse_whole(engine, connection, candidate, reason)
        return
    why = f"its guid belongs to an item that is being deleted from {owner.table}"
    block(engine, connection, candidate.log, why)


def _sends(candidate: Candidate, base: Values | None, ours: Values | None) -> list[Send]:
    """The requests in turn that bring hiTask, which is at the base, to the local state."""
    actions = plan_row(Row(candidate.table, base, ours, base), Policy())
    return [a for a in actions if isinstance(a, SendCreate | SendUpdate | SendArchive | SendDelete)]


def _step(
    engine: Engine,
    connection: Connection,
    candidate: Candidate,
    send: Send | None,
    verdict: Refusal,
    log: Sequence[Change],
) -> Step | None:
    if send is None:
        return None
    if verdict.waits:
        rest = _without(send, {"parent_guid"}) if isinstance(send, SendUpdate) else None
        if rest is None:
            block(engine, connection, log, verdict.waits)
            return None
        send = rest  # the move alone waits
    first = _one_thing(send)
    unblock(engine, connection, log)
    values = candidate.local.values if candidate.local else candidate.before or {}
    carried = _carried(log, candidate.entries, first)
    spends = first is not send or (isinstance(send, SendCreate) and candidate.spends)
    return Step(
        table=candidate.table,
        guid=candidate.guid,
        send=first,
        parent=values.get("parent_guid"),
        last_seq=max((c.seq for c in carried), default=0) or state.load(connection).folded_seq,
        attempts=max((c.attempts for c in carried), default=0),
        carries=tuple(c.seq for c in carried),
        rest=(SendUpdate({SPENT: candidate.total}),) if spends else (),
    )


def _end_without_request(
    engine: Engine,
    connection: Connection,
    candidate: Candidate,
    send: Send | None,
    refused: Mapping[str, str],
) -> list[Change]:
    """End changes with nothing left to send, put refused columns back; return the others."""
    base, log = candidate.base, list(candidate.log)
    unsent = unsent_columns(candidate.table, [send] if send else [])
    if candidate.local is not None and candidate.local.values.get("archived"):
        unsent |= {"archived"}  # goes out in a request of its own, after the rest
    if SPENT not in unsent:
        finish_entries(engine, connection, candidate.entries)
    # A row put in does not wait for its entries' total: it may be refused, and the row is there.
    endings = end_changes(log, unsent=unsent - {SPENT}, refused=refused)
    end(engine, connection, candidate.guid, endings)
    before = candidate.before
    settled = ({*refused, *(base.dirty or ())} if base is not None else set()) - unsent
    if base is not None and before is not None and settled:
        # What is refused goes back to hiTask's value, and what says the same in other words too.
        put_back(connection, candidate, base, before, settled, unsent)
    ended = {ending.seq for ending in endings}
    return [change for change in log if change.seq not in ended]


def _hold_deletes(engine: Engine, connection: Connection, steps: Iterable[Step]) -> list[Step]:
    """The steps without the deletions that have to be approved first."""
    steps = list(steps)
    deletions = {(step.table, step.guid): step for step in steps if step.deletion}
    log = changes.unfinished(connection, [guid for _, guid in deletions]) if deletions else {}
    kept = hold_deletions(engine, connection, {key: log.get(key, ()) for key in deletions})
    return [step for step in steps if not step.deletion or (step.table, step.guid) in kept]
