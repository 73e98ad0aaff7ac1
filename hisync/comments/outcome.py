"""What became of a comment that was posted or deleted, written down in one transaction.

Public: `finish_post`, `finish_delete`, `refuse`, `wait`, `look_up`, `resume_delete`,
`comment_in`, `keep_removed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from hisync.change import Change
from hisync.comment import COMMENTS, Comment
from hisync.comments.candidates import base_of, own_account
from hisync.comments.claim import put_back
from hisync.endings import end, reject
from hisync.engine import Engine
from hisync.mirror import changes, comments, histories, intents, records
from hisync.mirror.comments import LocalComment
from hisync.mirror.intents import Intent
from hisync.mirror.records import RemovedRow
from hisync.plan.checks import cells_said, read_only
from hisync.plan.comments import Refuse, plan_comment
from hisync.plan.proof import Ending, end_changes

DELETED_HERE: Final = "deleted here"
UNCERTAIN: Final = frozenset({"sending", "unknown"})
"""States of changes that may have reached hiTask."""


def finish_post(
    engine: Engine, connection: Connection, intent: Intent, number: int, at: datetime | None
) -> None:
    """The comment is on hiTask under this number."""
    account = own_account(engine, connection)
    posted = Comment(
        intent.guid, number, intent.sent["item_guid"], account, intent.sent["message"], at
    )
    carried, later = _split(connection, intent)
    local = comments.load_comments(connection, [intent.guid]).get(intent.guid)
    intents.forget_intents(connection, [intent.guid])
    note = "; ".join(_not_taken(posted, carried)) or None
    end(engine, connection, intent.guid, end_changes(carried, sent=True, note=note))
    if later and local is None:
        # Its number is nowhere but here: what people deleted meanwhile did not have it yet.
        _intend_delete(engine, connection, posted, later)
        return
    _settle(engine, connection, posted, local, later)


def _not_taken(posted: Comment, carried: Sequence[Change]) -> list[str]:
    """Notes on what a new comment says and hiTask alone sets, unless it is the same or nothing."""
    cells = {c: cell for c, cell in cells_said(carried).items() if c in ("user_id", "time_create")}
    given = comments.decode_comment(posted.guid, cells)
    return [
        read_only(column)
        for column in cells
        if column in given.unreadable
        or getattr(given.comment, column) not in {None, getattr(posted, column)}
    ]


def finish_delete(
    engine: Engine, connection: Connection, intent: Intent, *, by_absence: bool = False
) -> None:
    """The comment is no more on hiTask; `by_absence` if all that is known is that it lacks it."""
    gone = comment_in(intent)
    carried, _ = _split(connection, intent)
    end(engine, connection, intent.guid, end_changes(carried, sent=True))
    intents.forget_intents(connection, [intent.guid])
    keep_removed(engine, connection, [gone], DELETED_HERE)
    item = gone.item_guid or ""
    engine.comments.posted.pop(item, None)
    if by_absence:
        histories.read_again(connection, item)  # its history is the better witness


def refuse(engine: Engine, connection: Connection, intent: Intent, reason: str) -> None:
    """hiTask refused it: a comment that was to go is back; a new one stays as it is."""
    carried, later = _split(connection, intent)
    intents.forget_intents(connection, [intent.guid])
    reject(engine, connection, intent.guid, carried, reason)
    if intent.op == "create":
        return  # what people did since then is planned by itself
    local = comments.load_comments(connection, [intent.guid]).get(intent.guid)
    _settle(engine, connection, comment_in(intent), local, later)


def wait(engine: Engine, connection: Connection, intent: Intent, reason: str) -> None:
    """It is known that nothing happened: the changes wait again."""
    carried, later = _split(connection, intent)
    seqs = [change.seq for change in carried]
    changes.set_state(connection, seqs, "pending", now=engine.clock.now(), error=reason)
    local = comments.load_comments(connection, [intent.guid]).get(intent.guid)
    base = base_of(intent.guid, local, [*carried, *later])
    if intent.op == "delete" and (base is None or base.id is None):
        return  # the change log does not know the number, only the intent does
    intents.forget_intents(connection, [intent.guid])


def look_up(engine: Engine, connection: Connection, intent: Intent, reason: str) -> None:
    """The answer was lost: what became of it has to be looked up."""
    carried, _ = _split(connection, intent)
    seqs = [change.seq for change in carried]
    changes.set_state(connection, seqs, "unknown", now=engine.clock.now(), error=reason)


def resume_delete(engine: Engine, connection: Connection, intent: Intent) -> bool:
    """Whether a deletion that is written down is to be sent (again): doing so does no harm."""
    carried, later = _split(connection, intent)
    local = comments.load_comments(connection, [intent.guid]).get(intent.guid)
    if local is not None and not any(change.state in UNCERTAIN for change in carried):
        # Put in again before anything was sent.
        intents.forget_intents(connection, [intent.guid])
        _settle(engine, connection, comment_in(intent), local, [*carried, *later])
        return False
    place = comments.load_places(connection, [intent.sent["item_guid"]])
    if not any(one.present for one in place.values()):
        return False  # it goes with its item
    seqs = [change.seq for change in carried]
    changes.set_state(connection, seqs, "sending", now=engine.clock.now(), attempted=True)
    return True


def comment_in(intent: Intent) -> Comment:
    """The comment that an intent to delete is about."""
    return comments.decode_comment(intent.guid, intent.sent).comment


def keep_removed(
    engine: Engine, connection: Connection, gone: Sequence[Comment], reason: str
) -> None:
    """Keep the last state of comments that leave."""
    kept = []
    for comment in gone:
        values = asdict(comment)
        del values["guid"], values["id"]
        kept.append(RemovedRow(COMMENTS, comment.guid, comment.id, values, reason))
    records.record_removed(connection, kept, engine.clock.now())


def _split(connection: Connection, intent: Intent) -> tuple[list[Change], list[Change]]:
    """The changes that a write carries, and those made since."""
    log = comments.unfinished(connection, [intent.guid]).get(intent.guid, [])
    carried = [change for change in log if change.seq <= intent.last_seq]
    return carried, log[len(carried) :]


def _settle(
    engine: Engine,
    connection: Connection,
    there: Comment,
    local: LocalComment | None,
    later: Sequence[Change],
) -> None:
    """hiTask has this comment: end what people did to its row meanwhile, and show it as it is."""
    row = replace(local.comment, user_id=None, time_create=None) if local else None
    plan = plan_comment(there, row, local.unreadable if local else {}, None)
    if isinstance(plan, Refuse):
        reject(engine, connection, there.guid, later, plan.reason)
    else:
        end(engine, connection, there.guid, [Ending(change.seq, "merged") for change in later])
    put_back(connection, there, None)


def _intend_delete(
    engine: Engine, connection: Connection, posted: Comment, later: Sequence[Change]
) -> None:
    intent = Intent(
        guid=posted.guid,
        table=COMMENTS,
        op="delete",
        sent=asdict(posted),
        last_seq=later[-1].seq,
        attempt=0,
        started_at=engine.clock.now(),
    )
    intents.save_intents(connection, [intent])
