"""The history that tells what became of a write, when the item itself does not.

Without it a value or minutes of somebody's may go unrecorded, so while it can't be read nothing is
concluded: the pull fails and the next one asks again, a limited number of times, since nothing else
is synced meanwhile. Public: `fetch_telling`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hisync.comment import Unit
from hisync.engine import Engine
from hisync.errors import (
    RetryLaterError,
    ServiceError,
    SlowDownError,
    StopError,
    UnreachableError,
)

LOOKS: Final = 5
"""Failures after which a history is taken for unreadable."""


def fetch_telling(engine: Engine, guid: str, item_id: int, event: str) -> Sequence[Unit] | None:
    """An item's history; no transaction may be open.

    Args:
        engine: everything it needs.
        guid: the item's row.
        item_id: hiTask's number of the item.
        event: what to log when it is given up.

    Returns:
        None if it can't be read and it makes no sense to wait longer.

    Raises:
        RetryLaterError: if the next look may fare better.
        StopError: if the login, key or account is refused.
    """
    try:
        units = engine.api.fetch_history(item_id)
    except (StopError, SlowDownError, UnreachableError):
        raise
    except ServiceError as error:
        if isinstance(error, RetryLaterError):
            engine.doubts[guid] += 1
            if engine.doubts[guid] < LOOKS:
                raise
        engine.log.warning(event, guid=guid, error=error.message)
        return None
    engine.doubts.pop(guid, None)
    return units
