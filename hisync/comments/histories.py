"""One item's history brought into the mirror, in one transaction.

It settles lost answers first: a comment of ours that it shows must not be taken for another one.
Public: `apply_history`, `posted_since`, `Applied`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from hisync.change import Change
from hisync.comment import COMMENTS, Comment, Unit
from hisync.comments.candidates import base_of, own_account
from hisync.comments.outcome import finish_post, keep_removed
from hisync.engine import Engine
from hisync.items import derived_guid
from hisync.mirror import comments, histories
from hisync.mirror.comments import LocalComment
from hisync.mirror.histories import Due
from hisync.mirror.intents import Intent
from hisync.mirror.removed import former_guids
from hisync.plan.history import (
    HistoryPlan,
    find_posted,
    is_whole,
    plan_history,
    speaks_of,
)
from hisync.timekeeping.authors import name_authors

GONE: Final = "gone from hiTask"
CLOCK_SLACK: Final = timedelta(minutes=2)
"""How much earlier than the request a comment may claim to have been made: clocks differ."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a history did.

    Attributes:
        rows: comments put in, changed or taken out.
        missing: the numbers of comments that it lacks, to be confirmed by a second look.
        done: whether the item's comments are all read now.
    """

    rows: int = 0
    missing: frozenset[int] = frozenset()
    done: bool = True


@dataclass(frozen=True, slots=True)
class _Local:
    """The comments of an item as the mirror has them.

    Attributes:
        known: those that hiTask has, without unsent edits, by number.
        edited: those that hiTask has and people have changed or deleted, by number.
        changed: the keys of all comments with unfinished changes.
        standing: those of them that people have not deleted.
    """

    known: Mapping[int, Comment]
    edited: Mapping[int, Comment]
    changed: Collection[str]
    standing: Collection[str]


def apply_history(
    engine: Engine,
    connection: Connection,
    due: Due,
    units: Sequence[Unit],
    doubted: Collection[int] = (),
) -> Applied:
    """Bring the comments of an item to what its history says, unsent edits kept.

    Args:
        engine: the rules and the clock.
        connection: the engine's write transaction.
        due: the item, as it was when its history was asked for.
        units: the history.
        doubted: comments that a first look lacked as well.
    """
    place = comments.load_places(connection, [due.guid]).get(due.guid)
    if place is None or place.id != due.id:
        return Applied()  # it left meanwhile
    settle_posts(engine, connection, due, units)
    if not engine.rules.comments:
        return Applied()
    local = _load(connection, due.guid)
    # That it has none is hiTask's word, not that of a row that people put in over it.
    last = place.last_comment_id if due.last_comment_id is None else due.last_comment_id
    plan = plan_history(due.guid, local.known, local.edited, units, last)
    gone = [*plan.deleted, *(c for c in plan.missing if c.id in doubted)]
    missing = frozenset(c.id for c in plan.missing if c.id is not None) - frozenset(doubted)
    _write(engine, connection, plan, gone, local)
    _report_doubles(engine, connection, plan.new, local)
    _add_names(connection, units)
    name_authors(engine, connection, due.guid, units)
    done = (
        not missing
        and not _keeps_edits(due.guid, local, units, last)
        and _is_believed(engine, due, units)
    )
    if done:
        now, whole = engine.clock.time(), is_whole(units)
        histories.save_read(connection, due.guid, seen=due.last_comment_id, at=now, complete=whole)
    return Applied(len(plan.new) + len(plan.changed) + len(gone), missing, done)


def _keeps_edits(item: str, local: _Local, units: Sequence[Unit], last: int | None) -> bool:
    """Whether a comment stands here for an unsent edit's sake alone.

    That edit will be refused, and the history has to be looked at again.
    """
    standing = {n: c for n, c in local.edited.items() if c.guid in local.standing}
    plan = plan_history(item, standing, (), units, last)
    return bool(plan.deleted or plan.missing or plan.changed)


def settle_posts(engine: Engine, connection: Connection, due: Due, units: Sequence[Unit]) -> None:
    """Finish the posts with a lost answer that a history shows."""
    lost = [
        intent
        for intent in comments.load_intents(connection).values()
        if intent.op == "create" and intent.sent["item_guid"] == due.guid
    ]
    if not lost:
        return
    local = _load(connection, due.guid)
    taken = {*local.known, *local.edited, *_numbers_in_intents(connection)}
    # A history may lag, or keep showing what was deleted: what was here before is another one.
    taken |= former_guids(connection, [unit.id for unit in units if unit.id], [COMMENTS]).keys()
    account = own_account(engine, connection)
    for intent in lost:
        unit = find_posted(
            units,
            intent.sent["message"],
            account=account,
            taken=taken | set(intent.sent["before"]),
            since=None if intent.sent["all_known"] else posted_since(engine, intent),
        )
        if unit is not None and unit.id is not None:
            taken.add(unit.id)
            finish_post(engine, connection, intent, unit.id, unit.at)


def posted_since(engine: Engine, intent: Intent) -> datetime:
    """The time on hiTask's clock before which a post did not happen."""
    ahead = timedelta(seconds=engine.api.clock_skew or 0.0)
    return intent.started_at - ahead - CLOCK_SLACK


def _numbers_in_intents(connection: Connection) -> set[int]:
    found = comments.load_intents(connection).values()
    return {intent.sent["id"] for intent in found if intent.op == "delete"}


def _load(connection: Connection, item_guid: str) -> _Local:
    rows = comments.comments_of(connection, [item_guid])
    changed = comments.unfinished(connection)
    known = {
        row.comment.id: row.comment
        for guid, row in rows.items()
        if guid not in changed and row.comment.id is not None
    }
    edited: dict[int, Comment] = {}
    for guid, log in changed.items():
        base = base_of(guid, rows.get(guid), log) if _concerns(log, guid, rows) else None
        if base is not None and base.id is not None and base.item_guid == item_guid:
            edited[base.id] = base
    # A deletion whose number the change log does not know.
    for guid, intent in comments.load_intents(connection).items():
        if intent.op == "delete" and intent.sent["item_guid"] == item_guid:
            edited[intent.sent["id"]] = comments.decode_comment(guid, intent.sent).comment
    unedited = {n: c for n, c in known.items() if n not in edited}
    standing = {guid for guid, log in changed.items() if log[-1].op != "delete"}
    return _Local(unedited, edited, changed.keys(), standing)


def _concerns(log: Sequence[Change], guid: str, rows: Mapping[str, LocalComment]) -> bool:
    """Whether a row is one of these, or was deleted, so that only the log tells where it was.

    It may have been put in again since, on another item.
    """
    return guid in rows or any(change.op == "delete" for change in log)


def _write(
    engine: Engine,
    connection: Connection,
    plan: HistoryPlan,
    gone: Sequence[Comment],
    local: _Local,
) -> None:
    keep_removed(engine, connection, gone, GONE)
    comments.delete_comments(connection, [comment.guid for comment in gone])
    comments.put_comments(connection, plan.changed)
    comments.put_comments(connection, [*_with_keys(connection, plan.new, local)])


def _with_keys(connection: Connection, new: Sequence[Comment], local: _Local) -> Iterable[Comment]:
    """Give comments their keys: the one that they had here before, or one made of the number."""
    numbers = [comment.id for comment in new if comment.id is not None]
    kept = former_guids(connection, numbers, [COMMENTS])
    wanted = {n: [*filter(None, [kept.get(n)]), derived_guid("comment", n)] for n in numbers}
    rows = comments.load_comments(connection, [guid for some in wanted.values() for guid in some])
    # A row of that key that was refused, and never had a number, is this very comment.
    taken = {g for g, row in rows.items() if row.comment.id is not None or g in local.changed}
    for comment in new:
        if comment.id is not None:
            free = [guid for guid in wanted[comment.id] if guid not in taken]
            free.append(derived_guid("comment-again", comment.id))
            yield replace(comment, guid=free[0])


def _add_names(connection: Connection, units: Sequence[Unit]) -> None:
    comments.add_names(
        connection,
        {
            unit.user_id: unit.user_name
            for unit in units
            if unit.user_id is not None and unit.user_name is not None
        },
    )


def _is_believed(engine: Engine, due: Due, units: Sequence[Unit]) -> bool:
    """Whether a history can be all; one that lacks the newest comment is asked for once more."""
    memory = engine.comments
    last = due.last_comment_id
    shown = last is None or speaks_of(units, last)
    if shown or not (is_whole(units) or not units) or memory.doubted.get(due.guid) == last:
        memory.doubted.pop(due.guid, None)
        return True
    memory.doubted[due.guid] = last
    return False


def _report_doubles(
    engine: Engine, connection: Connection, new: Sequence[Comment], local: _Local
) -> None:
    """Say so if a post that was taken for lost landed after it was made again."""
    account = own_account(engine, connection)
    ours = [comment for comment in new if comment.user_id == account]
    said = {c.message: c for c in local.known.values() if c.user_id == account} if ours else {}
    for comment in ours:
        twin = said.get(comment.message)
        if twin is not None and comments.was_posted_again(connection, twin.guid):
            engine.log.warning("comment_doubled", guid=twin.guid, ids=[twin.id, comment.id])
