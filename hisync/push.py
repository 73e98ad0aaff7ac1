"""The push: what people changed in the mirror goes to hiTask.

    change_log ─ claim ─ plan against base ─▶ intent committed ─▶ send ─▶ answer
                                     ─▶ mirror + base + change_log, one transaction

A refused change parks itself, never the queue. An answer that was lost leaves its intent behind,
and the next pull shows what became of it. Public: `push`, `Pushed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hisync.apply import apply_items
from hisync.arrival import carried_by, requeue
from hisync.claim import Claim, claim, prepare
from hisync.engine import Engine
from hisync.errors import (
    LookAgainError,
    RefusedError,
    RetryLaterError,
    ServiceError,
    SlowDownError,
    StopError,
    UnreachableError,
)
from hisync.items import Item
from hisync.leaving import leave_by_own_write, load_leavers
from hisync.mirror import base as bases
from hisync.mirror import changes
from hisync.overwritten import (
    Overwritten,
    look_for_overwritten,
    record_overwritten,
)
from hisync.plan.order import Step
from hisync.refusal import refuse_claim
from hisync.sending import send_claim

PATIENCE: Final = 3
"""Failures in a row after which a batch stops: hiTask is in trouble, not the rows."""

ROUNDS: Final = 10
"""Batches in one push: a row that is never done must not take the whole budget."""

TRIES: Final = 8
"""Attempts after which a change that hiTask keeps calling stale or gone is refused."""


@dataclass(slots=True)
class Pushed:
    """What a push did.

    Attributes:
        sent: requests that hiTask carried out.
        refused: requests that it refused for good.
        unclear: whether an outcome must be looked up before going on.
        trouble: what ended the batch early, None if nothing did.
        failures: failures in a row.
        conflicts: conflicts recorded with someone who wrote at the same time.
        paused: whether it stopped, with more to send, because the last pull is long ago.
    """

    sent: int = 0
    refused: int = 0
    unclear: bool = False
    trouble: ServiceError | None = None
    failures: int = 0
    conflicts: int = 0
    paused: bool = False


def push(engine: Engine) -> Pushed:
    """Send what people changed, until nothing is left to send or something is in the way.

    After `Rules.refresh_every` seconds it pauses, so that the base is fresh when we write.

    Raises:
        StopError: if the login, key or account is refused; what was being sent waits again.
    """
    pushed = Pushed()
    until = engine.clock.time() + engine.rules.refresh_every
    for _ in range(ROUNDS):
        steps = _steps(engine)
        before = pushed.sent + pushed.refused
        _send_batch(engine, steps, pushed, until)
        # What was sent may let more go: an archiving after its update, edits made meanwhile.
        if (
            pushed.sent + pushed.refused == before
            or pushed.trouble is not None
            or pushed.paused
            or engine.stopping()
        ):
            break
    return pushed


def _send_batch(engine: Engine, steps: Sequence[Step], pushed: Pushed, until: float) -> None:
    for number, step in enumerate(steps):
        engine.progress("pushing", number, len(steps))
        if engine.stopping() or pushed.trouble is not None:
            break
        # At least one is sent each time, however slow it is.
        if pushed.sent + pushed.refused and engine.clock.time() >= until:
            pushed.paused = True
            break
        claimed = _claim(engine, step)
        if claimed is not None:
            _carry_out(engine, claimed, pushed)


def _steps(engine: Engine) -> list[Step]:
    with engine.mirror.reading() as connection:
        if not (changes.any_unfinished(connection) or bases.dirty_guids(connection)):
            return []  # as almost always: not worth keeping editors out
    with engine.mirror.writing() as connection:
        return prepare(engine, connection)


def _claim(engine: Engine, step: Step) -> Claim | None:
    with engine.mirror.writing() as connection:
        return claim(engine, connection, step)


def _carry_out(engine: Engine, claimed: Claim, pushed: Pushed) -> None:
    try:
        item = send_claim(engine, claimed)
    except StopError:
        _wait(engine, claimed, "hiTask refuses the login")
        raise
    except (SlowDownError, UnreachableError) as error:
        _wait(engine, claimed, str(error))  # it is known that nothing happened
        pushed.trouble = error
    except RetryLaterError as error:
        _look_up(engine, claimed, f"the answer was lost: {error}")
        pushed.unclear = True
        pushed.failures += 1
        if pushed.failures >= PATIENCE:
            pushed.trouble = error
    except LookAgainError as error:
        _look_again(engine, claimed, error, pushed)
    except (RefusedError, ValueError) as error:
        # A ValueError is the encoder's: a value that the wire has no form for.
        _refuse(engine, claimed, str(error))
        pushed.refused += 1
        pushed.failures = 0
    else:
        _finish(engine, claimed, item, pushed)


def _finish(engine: Engine, claimed: Claim, item: Item | None, pushed: Pushed) -> None:
    """hiTask answered: its answer is the proof."""
    intent = claimed.intent
    if item is None and intent.op in {"create", "update"}:
        _look_up(engine, claimed, "hiTask answered OK without the item")
        pushed.unclear = True
        return
    over = Overwritten(claimed)
    if item is not None:
        try:
            over = look_for_overwritten(engine, claimed, item)
        except RetryLaterError as error:
            # The answer alone is not all that has to be written down: the next pull asks again.
            _look_up(engine, claimed, f"what it went over is not known: {error}")
            pushed.unclear = True
            pushed.failures += 1
            if isinstance(error, SlowDownError | UnreachableError) or pushed.failures >= PATIENCE:
                pushed.trouble = error
            return
    with engine.mirror.writing() as connection:
        if item is not None:
            apply_items(engine, connection, [item], live=None, answering=intent)
        elif claimed.base is not None:
            leaver = load_leavers(connection, [claimed.base])[0]
            leave_by_own_write(engine, connection, leaver, intent)
        pushed.conflicts += record_overwritten(engine, connection, over)
    pushed.sent += 1
    pushed.failures = 0


def _look_again(engine: Engine, claimed: Claim, error: LookAgainError, pushed: Pushed) -> None:
    """What we knew was old. The next pull tells what to make of it, a limited number of times."""
    if claimed.intent.attempt >= TRIES:
        _refuse(engine, claimed, f"given up after {TRIES} attempts: {error}")
        pushed.refused += 1
        return
    _look_up(engine, claimed, str(error))
    pushed.unclear = True


def _wait(engine: Engine, claimed: Claim, reason: str) -> None:
    with engine.mirror.writing() as connection:
        requeue(engine, connection, claimed.intent, error=reason)


def _look_up(engine: Engine, claimed: Claim, reason: str) -> None:
    with engine.mirror.writing() as connection:
        seqs = [change.seq for change in carried_by(connection, claimed.intent)]
        now = engine.clock.now()
        changes.set_state(connection, seqs, "unknown", now=now, error=reason)


def _refuse(engine: Engine, claimed: Claim, reason: str) -> None:
    with engine.mirror.writing() as connection:
        refuse_claim(engine, connection, claimed.intent, reason)
