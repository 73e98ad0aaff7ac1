"""Bringing an archived item back on hiTask.

It looks first, by a pull, so that running it again is safe: what is back already is left alone.
Public: `restore`.
"""

from __future__ import annotations

from hisync.deciding.subject import Restored, RestoreError, Subject, load, look, waiting
from hisync.engine import Engine
from hisync.errors import (
    GoneError,
    RefusedError,
    RetryLaterError,
    ServiceError,
    SlowDownError,
    UnreachableError,
)
from hisync.mirror import base as bases
from hisync.pull import pull


def restore(engine: Engine, guid: str) -> Restored:
    """Bring an archived item back on hiTask, and its row under the same key.

    Raises:
        RestoreError: if nothing is known of it, nothing is to be sent, or hiTask has it not in its
            archive or refuses.
        ServiceError: if hiTask can't be asked, or its answer was lost.
    """
    subject = look(engine, guid)
    if subject.is_here:
        return subject.now("here", *waiting(engine, subject))
    number = subject.id
    if number is None:
        raise RestoreError(
            f"{guid} never was on hiTask: `hisync restore {guid} --as-new` creates it"
        )
    if not engine.rules.push:
        raise RestoreError(
            "sync.direction is pull-only, so hisync changes nothing on hiTask: restore it there, "
            "and the next sync brings it back"
        )
    try:
        engine.api.send_restore(number, guid)
    except GoneError as error:
        raise RestoreError(_not_archived(subject)) from error
    except RefusedError as error:
        raise RestoreError(f"hiTask refuses to restore it: {error}") from error
    except (SlowDownError, UnreachableError):
        raise  # it is known that nothing happened
    except RetryLaterError as error:
        back = _look_for_lost(engine, number)
        if back is None:
            raise RetryLaterError(
                f"the answer was lost, so it may be restored or not ({error}): `hisync sync` "
                "shows it if it is, and running this again is safe"
            ) from error
        return back
    return _await(engine, subject, number)


def _look_for_lost(engine: Engine, number: int) -> Restored | None:
    try:
        pull(engine)
    except ServiceError:
        return None
    return _by_id(engine, number)


def _await(engine: Engine, subject: Subject, number: int) -> Restored:
    """hiTask said that it is back: it must show."""
    for full in (False, True):
        pull(engine, full=full)
        back = _by_id(engine, number)
        if back is not None:
            return back
    if subject.had is None:
        return subject.now("unseen")
    title = str(subject.had.last_values.get("title") or "")
    return Restored("unseen", subject.had.table, subject.guid, number, title)


def _by_id(engine: Engine, number: int) -> Restored | None:
    """The item's row, if hiTask shows it; under another key, if somebody has taken its own."""
    with engine.mirror.reading() as connection:
        base = bases.load_bases_by_id(connection, [number]).get(number)
        subject = load(connection, base.guid) if base is not None else None
    return subject.now("restored") if subject is not None and subject.is_here else None


def _not_archived(subject: Subject) -> str:
    left = subject.had
    how = f" ({left.reason} on {left.removed_at:%Y-%m-%d})" if left else ""
    return (
        f"hiTask has no item {subject.id} in its archive{how}: it was deleted, or this account "
        f"may not see it; `hisync restore {subject.guid} --as-new` creates it again from its last "
        "values"
    )
