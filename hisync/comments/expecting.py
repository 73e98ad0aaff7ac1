"""Own comments that the next pull will show: where nothing else came between, nothing is read.

A post makes its item's `last_comment_id` new. That its history needn't be read for it, the item's
version tells: it rose by one for each post, and by nothing else. Public: `finish_post`,
`confirm_posts`.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from hisync.comments import outcome
from hisync.comments.memory import Posted
from hisync.engine import Engine
from hisync.mirror import comments, histories
from hisync.mirror.intents import Intent


def finish_post(
    engine: Engine, connection: Connection, intent: Intent, number: int, at: datetime | None
) -> None:
    """hiTask answered with the comment's number."""
    item, memory = intent.sent["item_guid"], engine.comments.posted
    before = _version_before(engine, connection, item)
    outcome.finish_post(engine, connection, intent, number, at)
    memory.pop(item, None)
    text = intent.sent["message"]
    as_sent = at is not None and text == text.strip()  # else only the history shows it as it is
    if before is not None and as_sent:
        memory[item] = Posted(number, before + 1)


def confirm_posts(engine: Engine) -> None:
    """See after a pull whether the items look as they must if only we have commented on them."""
    memory = engine.comments
    memory.looked.clear()
    if not memory.posted:
        return
    with engine.mirror.writing() as connection:
        places = comments.load_places(connection, memory.posted)
        for guid, posted in memory.posted.items():
            place = places.get(guid)
            if place and (place.last_comment_id, place.version) == (posted.id, posted.version):
                histories.set_seen(connection, guid, posted.id, engine.clock.time())
    memory.posted.clear()


def _version_before(engine: Engine, connection: Connection, item: str) -> int | None:
    """The item's version before a post, None where its comments weren't all known then."""
    earlier = engine.comments.posted.get(item)
    if earlier is not None:
        return earlier.version
    place = comments.load_places(connection, [item]).get(item)
    was_read, seen = histories.seen_of(connection, item)
    if place is None or seen != place.last_comment_id:
        return None
    return place.version if was_read or place.last_comment_id is None else None
