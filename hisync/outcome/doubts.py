"""The history that tells what became of a write, when the item itself does not.

Without it a value or minutes of somebody's may go unrecorded, so while it can't be read nothing is
concluded: the pull fails and the next one asks again, a limited number of times, since nothing else
is synced meanwhile. Public: `fetch_telling`, `look_at_each`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from hisync.comment import Unit
from hisync.engine import Engine
from hisync.errors import (
    RetryLaterError,
    ServiceError,
    SlowDownError,
    StopError,
    UnreachableError,
)
from hisync.items import Item
from hisync.mirror import state
from hisync.pushing.claim import Claim

_T = TypeVar("_T")

REFUSED_LOOKS: Final = 3
"""Refusals after which a history is taken for unreadable: one may be a fault that passes."""

LOOKS: Final = 5
"""Failures after which a history is taken for unreadable."""

BUSY_LOOKS: Final = 10
"""The same where hiTask asks to be left alone: everything is, and that alone may pass."""


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
        # One without any unit lacks at least our own write: it is asked for once more.
        return engine.api.fetch_history(item_id) or engine.api.fetch_history(item_id)
    except (StopError, UnreachableError):
        raise
    except ServiceError as error:
        if _count(engine, guid) < _looks(error):
            if isinstance(error, RetryLaterError):
                raise
            raise RetryLaterError(
                f"the history is refused: {error.message}", status=error.status, code=error.code
            ) from None
        engine.log.warning(event, guid=guid, error=error.message)
        return None  # the count stays: the same pull may fail over another item, and ask again


def _looks(error: ServiceError) -> int:
    if isinstance(error, SlowDownError):
        return BUSY_LOOKS
    return LOOKS if isinstance(error, RetryLaterError) else REFUSED_LOOKS


def _count(engine: Engine, guid: str) -> int:
    """One more failure; remembered, since a process may make only one look."""
    with engine.mirror.writing() as connection:
        known = dict(state.load(connection).doubts or {})
        known[guid] = known.get(guid, 0) + 1
        state.save(connection, doubts=known)
    return int(known[guid])


def look_at_each(lost: Iterable[tuple[Claim, Item]], look: Callable[[Claim, Item], _T]) -> list[_T]:
    """Look at all updates with lost answers before failing, or the numbers of failures add up.

    Args:
        lost: the updates, each with its item.
        look: what may raise as `fetch_telling` does.

    Raises:
        RetryLaterError: the first, once all were looked at; at once if nothing can be asked now.
        StopError: if the login, key or account is refused.
    """
    found: list[_T] = []
    failure: RetryLaterError | None = None
    for claimed, item in lost:
        try:
            found.append(look(claimed, item))
        except (SlowDownError, UnreachableError):
            raise
        except RetryLaterError as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return found
