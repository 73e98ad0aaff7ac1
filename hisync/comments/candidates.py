"""Comments with unfinished changes, and what is known around them.

Public: `Candidate`, `load_candidates`, `base_of`, `own_account`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection

from hisync.change import Change
from hisync.comment import Comment, Place
from hisync.engine import Engine
from hisync.mirror import comments, intents, state
from hisync.mirror.comments import LocalComment
from hisync.mirror.time_entries import before_changes
from hisync.plan.comments import Plan, plan_comment


@dataclass(frozen=True, slots=True)
class Candidate:
    """A comment with unfinished changes.

    Attributes:
        guid: its key.
        log: its unfinished changes, oldest first.
        base: the comment before them, None for a new one.
        local: the row, None when people deleted it.
        place: the item that it is on, None for no item of the account.
        plan: what it needs.
    """

    guid: str
    log: Sequence[Change]
    base: Comment | None
    local: LocalComment | None
    place: Place | None
    plan: Plan


def load_candidates(
    engine: Engine,
    connection: Connection,
    log: Mapping[str, Sequence[Change]],
    coming: Collection[str] = (),
) -> list[Candidate]:
    """Plan these changes; comments with a write under way are left out.

    Args:
        engine: the rules.
        connection: a transaction.
        log: unfinished changes by row.
        coming: items that are taken to be on hiTask by then.
    """
    pending = intents.busy_guids(connection)
    rows = comments.load_comments(connection, log)
    states = {
        guid: (rows.get(guid), base_of(guid, rows.get(guid), entries))
        for guid, entries in log.items()
        if guid not in pending
    }
    named = {
        comment.item_guid
        for local, base in states.values()
        for comment in (local.comment if local else None, base)
        if comment is not None and comment.item_guid is not None
    }
    places = comments.load_places(connection, named)
    found = []
    for guid, (local, base) in states.items():
        comment = local.comment if local else base
        place = places.get((comment and comment.item_guid) or "")
        if place is not None and place.guid in coming:
            place = replace(place, id=place.id or 0)
        ours, unreadable = (local.comment, local.unreadable) if local else (None, {})
        plan = plan_comment(base, ours, unreadable, place, enabled=engine.rules.comments)
        found.append(Candidate(guid, log[guid], base, local, place, plan))
    return found


def base_of(guid: str, local: LocalComment | None, log: Sequence[Change]) -> Comment | None:
    """The comment before these changes, found by going back from its row; None for a new one."""
    cells = before_changes(asdict(local.comment) if local else None, log)
    return None if cells is None else comments.decode_comment(guid, cells).comment


def own_account(engine: Engine, connection: Connection) -> int | None:
    """The account that comments are posted by."""
    return engine.api.account_id or state.load(connection).account_id
