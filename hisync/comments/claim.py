"""Which comments are to be posted and deleted, and the intent that is committed before each.

Public: `prepare`, `claim`, `put_back`, `CommentStep`, `Claim`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from sqlalchemy import Connection

from hisync.change import Change
from hisync.comment import COMMENTS, Comment, Place
from hisync.comments.candidates import Candidate, load_candidates
from hisync.endings import block, end, reject, unblock
from hisync.engine import Engine
from hisync.mirror import changes, comments, histories, intents
from hisync.mirror.comments import LocalComment
from hisync.mirror.intents import Intent
from hisync.plan.comments import Post, Refuse, Remove, Wait
from hisync.plan.proof import Ending
from hisync.pushing.holding import hold_deletions

KEPT: Final = 10
"""Numbers of earlier comments that an intent remembers: a history is cut off after so many."""


@dataclass(frozen=True, slots=True)
class CommentStep:
    """One request to make for one comment.

    Attributes:
        guid: its key.
        op: whether it is posted or deleted.
        comment: what is said, or what goes.
        place: the item that it is on.
        last_seq: the newest change that is included.
    """

    guid: str
    op: Literal["create", "delete"]
    comment: Comment
    place: Place
    last_seq: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A step whose intent is committed: it may be sent.

    Attributes:
        intent: what was written down.
        item_id: hiTask's number of the item.
    """

    intent: Intent
    item_id: int


def prepare(
    engine: Engine, connection: Connection, coming: Collection[str] = ()
) -> list[CommentStep]:
    """End what needs no request; return the requests to make, in the order of the changes.

    Args:
        engine: everything it needs.
        connection: the engine's write transaction.
        coming: items that are taken to be on hiTask by then.
    """
    log = comments.unfinished(connection)
    found = load_candidates(engine, connection, log, coming) if log else []
    steps = [_step(engine, connection, candidate) for candidate in found]
    ordered = sorted((s for s in steps if s is not None), key=lambda step: step.last_seq)
    return _hold_deletes(engine, connection, ordered)


def claim(engine: Engine, connection: Connection, step: CommentStep) -> Claim | None:
    """Plan one comment again, as it is now, and write down what will be sent; None if nothing."""
    log = comments.unfinished(connection, [step.guid])
    found = load_candidates(engine, connection, log)
    fresh = _step(engine, connection, found[0]) if found else None
    if fresh is None or fresh.place.id is None or fresh.op != step.op:
        return None  # a deletion that the guard has not seen waits for the next round
    carried = log[step.guid]
    intent = Intent(
        guid=fresh.guid,
        table=COMMENTS,
        op=fresh.op,
        sent=_sent(connection, fresh),
        last_seq=fresh.last_seq,
        attempt=max(change.attempts for change in carried) + 1,
        started_at=engine.clock.now(),
    )
    intents.save_intents(connection, [intent])
    changes.set_state(
        connection,
        [change.seq for change in carried],
        "sending",
        now=intent.started_at,
        attempted=True,
    )
    return Claim(intent, fresh.place.id)


def put_back(connection: Connection, base: Comment | None, local: LocalComment | None) -> None:
    """Make a row again what hiTask has; one that it doesn't have only loses a made-up number."""
    if base is not None and base.id is not None:
        if local is None or base != local.comment:
            comments.put_comments(connection, [base])
    elif local is not None and (local.comment.id is not None or "id" in local.unreadable):
        comments.clear_id(connection, local.comment.guid)


def _sent(connection: Connection, step: CommentStep) -> dict[str, Any]:
    """What goes out; of a new comment, also what tells it from others if the answer is lost."""
    if step.op == "delete":
        return asdict(step.comment)
    place = step.place
    there = comments.comments_of(connection, [place.guid]).values()
    numbers = sorted(row.comment.id for row in there if row.comment.id is not None)
    was_read, seen = histories.seen_of(connection, place.guid)
    return {
        "item_guid": place.guid,
        "message": step.comment.message,
        "before": numbers[-KEPT:],
        "all_known": was_read and seen == place.last_comment_id,
        "looks": 0,
    }


def _step(engine: Engine, connection: Connection, candidate: Candidate) -> CommentStep | None:
    """What one comment needs; its changes are ended here as far as they need no request."""
    log, guid = candidate.log, candidate.guid
    local = candidate.local
    match candidate.plan:
        case Wait(reason):
            block(engine, connection, log, reason)
            return None
        case Refuse(reason):
            reject(engine, connection, guid, log, reason)
            put_back(connection, candidate.base, local)
            return None
        case None:
            end(engine, connection, guid, [Ending(change.seq, "merged") for change in log])
            put_back(connection, candidate.base if local else None, local)
            return None
    unblock(engine, connection, log)
    return _request(candidate, log)


def _request(candidate: Candidate, log: Sequence[Change]) -> CommentStep | None:
    comment = candidate.base if candidate.plan == Remove() else None
    if isinstance(candidate.plan, Post) and candidate.local is not None:
        comment = candidate.local.comment
    if comment is None or candidate.place is None:
        return None
    op: Literal["create", "delete"] = "delete" if candidate.plan == Remove() else "create"
    return CommentStep(candidate.guid, op, comment, candidate.place, log[-1].seq)


def _hold_deletes(
    engine: Engine, connection: Connection, steps: Sequence[CommentStep]
) -> list[CommentStep]:
    """The steps without the deletions that have to be approved first."""
    deletions = [step.guid for step in steps if step.op == "delete"]
    log = comments.unfinished(connection, deletions)
    kept = hold_deletions(engine, connection, {guid: log[guid] for guid in deletions})
    return [step for step in steps if step.op == "create" or step.guid in kept]
