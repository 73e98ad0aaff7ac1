"""What the history of an item tells of a post whose answer was lost. Public: `conclude`, `doubt`.

One look proves no absence: the post may land late. So it is made again only after a second look in
another cycle, and never where the history can't tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection

from hisync.comment import Unit
from hisync.comments import outcome
from hisync.comments.histories import apply_history, posted_since
from hisync.engine import Engine
from hisync.mirror import comments
from hisync.mirror.histories import Due
from hisync.mirror.intents import Intent
from hisync.plan.history import Look, judge

LOOKS: Final = 2
"""Histories without a comment after which it is taken for not posted."""

PATIENCE: Final = 8
"""Histories that can't be believed or read after which a post is given up."""

_PERHAPS: Final = "the answer was lost and {why}: it may have arrived, so it is not said again"


def conclude(
    engine: Engine, connection: Connection, intent: Intent, due: Due, units: Sequence[Unit]
) -> bool:
    """Apply a history, and say whether it shows the post; decide what to do if it doesn't."""
    apply_history(engine, connection, due, units)
    fresh = comments.load_intents(connection).get(intent.guid)
    if fresh is None or fresh.op != "create":
        return True
    look = judge(
        units,
        since=posted_since(engine, fresh),
        before=fresh.sent["before"],
        last=due.last_comment_id,
    )
    if look is Look.CUT_OFF:
        outcome.refuse(engine, connection, fresh, _PERHAPS.format(why=look.value))
    elif look is Look.UNBELIEVABLE:
        doubt(engine, connection, fresh, look.value)
    elif fresh.sent["looks"] + 1 < LOOKS:
        sent = {**fresh.sent, "looks": fresh.sent["looks"] + 1}
        comments.set_sent(connection, fresh.guid, sent)
    else:
        outcome.wait(engine, connection, fresh, "the answer was lost; it had not arrived")
    return False


def doubt(engine: Engine, connection: Connection, intent: Intent, why: str) -> None:
    """A history was no help; look again later, a limited number of times."""
    doubts = intent.sent.get("doubts", 0) + 1
    if doubts >= PATIENCE:
        outcome.refuse(engine, connection, intent, _PERHAPS.format(why=why))
    else:
        comments.set_sent(connection, intent.guid, {**intent.sent, "doubts": doubts})
