"""Comments leave the mirror with the item that they are on. Public: `leave_with_items`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection

from hisync.change import Change
from hisync.comment import Comment
from hisync.comments import outcome
from hisync.comments.candidates import base_of
from hisync.endings import end, reject
from hisync.engine import Engine
from hisync.mirror import comments, histories, intents
from hisync.mirror.intents import Intent
from hisync.plan.proof import Ending

_GONE: Final = "its item is gone"
_PERHAPS: Final = "its item is gone; the answer was lost, so it may have been said there before"


@dataclass(frozen=True, slots=True)
class _Leaver:
    """A comment whose item leaves.

    Attributes:
        guid: its key.
        row: the row, None when people deleted it.
        there: the comment as hiTask had it, None if it was not said there yet.
        intent: a write of ours with an unknown outcome.
        log: its unfinished changes, oldest first.
    """

    guid: str
    row: Comment | None
    there: Comment | None
    intent: Intent | None
    log: Sequence[Change]

    @property
    def item(self) -> str | None:
        """The item that it is on."""
        comment = self.there or self.row
        if comment is not None:
            return comment.item_guid
        return self.intent.sent["item_guid"] if self.intent else None

    @property
    def items(self) -> set[str | None]:
        """That item, and the one that it was to be said on: it may be put in elsewhere since."""
        return {self.item, self.intent.sent["item_guid"] if self.intent else self.item}

    @property
    def last(self) -> Comment | None:
        """Its last state, people's edits included."""
        if self.row is None or self.there is None:
            return self.row or self.there
        return replace(self.row, id=self.there.id)


def leave_with_items(
    engine: Engine, connection: Connection, items: Mapping[str, bool], reason: str
) -> None:
    """Take the comments of items that leave along into `removed_rows`.

    Args:
        engine: everything it needs.
        connection: the engine's write transaction.
        items: the items; true for one whose row stays, to be created anew: what was not said on
            hiTask yet waits for that.
        reason: why they leave.
    """
    if not items:
        return
    gone = []
    for leaver in _load(connection, items):
        if leaver.there is None and items.get(leaver.item or "", True):
            if leaver.intent is not None:
                outcome.wait(engine, connection, leaver.intent, _GONE)
            continue
        intents.forget_intents(connection, [leaver.guid])
        _end_changes(engine, connection, leaver)
        if leaver.last is not None:
            gone.append(leaver.last)
    outcome.keep_removed(engine, connection, gone, reason)
    comments.delete_comments(connection, [comment.guid for comment in gone])
    histories.forget_read(connection, items)


def _load(connection: Connection, items: Mapping[str, bool]) -> list[_Leaver]:
    log = comments.unfinished(connection)
    pending = comments.load_intents(connection)
    rows = comments.load_comments(connection, {*log, *pending})
    rows |= comments.comments_of(connection, items)
    found = []
    for guid in sorted({*rows, *log, *pending}):
        row, intent, entries = rows.get(guid), pending.get(guid), log.get(guid, [])
        if intent is not None and intent.op == "delete":
            there: Comment | None = outcome.comment_in(intent)
        else:
            there = base_of(guid, row, entries)
        there = there if there is not None and there.id is not None else None
        found.append(_Leaver(guid, row.comment if row else None, there, intent, entries))
    return [leaver for leaver in found if not leaver.items.isdisjoint(items)]


def _end_changes(engine: Engine, connection: Connection, leaver: _Leaver) -> None:
    if leaver.there is None and leaver.intent is not None:
        reject(engine, connection, leaver.guid, leaver.log, _PERHAPS)
    elif leaver.row is None:  # deleted here, too
        endings = [Ending(change.seq, "merged", _GONE) for change in leaver.log]
        end(engine, connection, leaver.guid, endings)
    else:
        reject(engine, connection, leaver.guid, leaver.log, _GONE)
