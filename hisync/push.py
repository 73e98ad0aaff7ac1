"""The push: what people changed in the mirror goes to hiTask.

    change_log ─ claim ─ plan against base ─▶ intent committed ─▶ send ─▶ answer
                                     ─▶ mirror + base + change_log, one transaction

What doesn't depend on one another goes side by side once something has gone well. A refused
change parks itself, never the queue. An answer that was lost leaves its intent behind, and the
next pull shows what became of it. Public: `push`, `Pushed`, `ROUNDS`,
`TRIES`, `PATIENCE`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from hisync.engine import Engine
from hisync.errors import (
    HisyncError,
    LookAgainError,
    RetryLaterError,
    ServiceError,
    SilentError,
    SlowDownError,
    StopError,
    UnreachableError,
)
from hisync.items import Item
from hisync.leaving import leave_by_own_write, load_leavers
from hisync.mirror import base as bases
from hisync.mirror import changes, state
from hisync.outcome.arrival import carried_by, requeue
from hisync.outcome.overwritten import (
    Overwritten,
    look_for_overwritten,
    record_overwritten,
)
from hisync.plan.order import Step, independent
from hisync.pulling.apply import apply_items
from hisync.pushing.claim import Claim, claim, prepare
from hisync.pushing.refusal import refuse_claim
from hisync.pushing.sending import send_claim

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
    number, width = 0, engine.lanes.first
    while number < len(steps):
        engine.progress("pushing", number, len(steps))
        if engine.stopping() or pushed.trouble is not None:
            break
        # At least one is sent each time, however slow it is.
        if pushed.sent + pushed.refused and engine.clock.time() >= until:
            pushed.paused = True
            break
        wave = independent(steps, number, min(width, engine.lanes.ready()) if width > 1 else 1)
        number += len(wave)
        claims = _claim(engine, wave)
        if claims:
            well = _carry_out(engine, claims, pushed)
            # Whatever is wrong with hiTask, or with us, strikes one at a time.
            width = engine.lanes.wider(width) if well else 1


def _steps(engine: Engine) -> list[Step]:
    with engine.mirror.reading() as connection:
        if not (changes.any_unfinished(connection) or bases.dirty_guids(connection)):
            return []  # as almost always: not worth keeping editors out
    with engine.mirror.writing() as connection:
        return prepare(engine, connection)


def _claim(engine: Engine, wave: Sequence[Step]) -> list[Claim]:
    with engine.mirror.writing() as connection:
        return claim(engine, connection, wave)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A claim that was sent.

    Attributes:
        claimed: the claim.
        item: what hiTask answered, None where it didn't say.
        number: the number alone of what was created, where it said no more.
        error: what it was answered instead.
    """

    claimed: Claim
    item: Item | None = None
    number: int | None = None
    error: HisyncError | ValueError | None = None


def _send(engine: Engine, claimed: Claim) -> _Sent:
    try:
        answered = send_claim(engine, claimed)
        if isinstance(answered, int):
            return _Sent(claimed, number=answered)
        return _Sent(claimed, answered)
    except (HisyncError, ValueError) as error:
        # A ValueError is the encoder's: a value that the wire has no form for.
        return _Sent(claimed, error=error)


def _carry_out(engine: Engine, claims: Sequence[Claim], pushed: Pushed) -> bool:
    """Send what was claimed, and write down what came of it.

    Returns:
        Whether all went well.

    Raises:
        StopError: if the login, key or account is refused.
    """
    before = pushed.sent
    sent = engine.lanes.run([partial(_send, engine, claimed) for claimed in claims])
    failed = [each for each in sent if each.error is not None]
    refusal = _finish(engine, [each for each in sent if each.error is None], pushed)
    for each in failed:
        _put_up_with(engine, each, pushed)
    lost = [each.error for each in failed if isinstance(each.error, RetryLaterError)]
    if pushed.sent > before:
        pushed.failures = min(pushed.failures, 1)  # hiTask is well: it is about these rows
    elif lost and pushed.failures >= PATIENCE:
        pushed.trouble = pushed.trouble or lost[-1]
    final = next((each.error for each in failed if _is_final(each.error)), refusal)
    if final is not None:
        raise final
    return pushed.sent == before + len(claims)


def _is_final(error: HisyncError | ValueError | None) -> bool:
    """Whether nothing more can be sent: the login is refused, or the mirror can't be used."""
    return isinstance(error, StopError) or not isinstance(error, ServiceError | ValueError)


def _put_up_with(engine: Engine, sent: _Sent, pushed: Pushed) -> None:
    claimed = sent.claimed
    match sent.error:
        case StopError():
            _wait(engine, claimed, "hiTask refuses the login")
        case SlowDownError() | UnreachableError() as error:
            _wait(engine, claimed, str(error))  # it is known that nothing happened
            pushed.trouble = error
        case SilentError() as error:
            # It says success, if no more: such a server is not in trouble, only short of words.
            _look_up(engine, claimed, str(error))
            _accept(engine, claimed, None)
            pushed.unclear = True
        case RetryLaterError() as error:
            _look_up(engine, claimed, f"the answer was lost: {error}")
            pushed.unclear = True
            pushed.failures += 1
        case LookAgainError() as error:
            _look_again(engine, claimed, error, pushed)
        case ServiceError() | ValueError() as error:
            _refuse(engine, claimed, str(error))
            pushed.refused += 1
            pushed.failures = 0
        # Any other leaves it as it was written down: the next pull looks it up.


def _finish(engine: Engine, answered: Sequence[_Sent], pushed: Pushed) -> StopError | None:
    """hiTask answered: its answers are the proof.

    Returns:
        What refused the login, key or account when a history was asked, None if nothing did.
    """
    proven, refusal = [], None
    for each in answered:
        try:
            over = _look_over(engine, each, pushed)
        except StopError as error:
            _look_up(engine, each.claimed, f"what it went over is not known: {error}")
            refusal = error
            continue
        if over is not None:
            proven.append((each, over))
    if not proven:
        return refusal
    with engine.mirror.writing() as connection:
        for sent in _one_for_each_item([each for each, _ in proven]):
            answering = {item.id: each.claimed.intent for each, item in sent}
            items = [item for _, item in sent]
            apply_items(engine, connection, items, live=None, answering=answering)
        for each, _ in proven:
            if each.item is None:
                # Of a row that was deleted meanwhile, only the base knows by now what it said.
                known = bases.load_bases(connection, [each.claimed.intent.guid]).values()
                for leaver in load_leavers(connection, known):
                    leave_by_own_write(engine, connection, leaver, each.claimed.intent)
        conflicts = sum(record_overwritten(engine, connection, over) for _, over in proven)
    pushed.conflicts += conflicts
    pushed.sent += len(proven)
    pushed.failures = 0
    return refusal


def _one_for_each_item(answered: Sequence[_Sent]) -> Iterator[list[tuple[_Sent, Item]]]:
    """The answers with an item, in parts in which no item answers twice, whatever hiTask says."""
    part: dict[int, tuple[_Sent, Item]] = {}
    for each in answered:
        if each.item is None:
            continue
        if each.item.id in part:
            yield list(part.values())
            part = {}
        part[each.item.id] = (each, each.item)
    if part:
        yield list(part.values())


def _look_over(engine: Engine, sent: _Sent, pushed: Pushed) -> Overwritten | None:
    """What a write went over; None if the next pull has to tell what became of it."""
    claimed, item = sent.claimed, sent.item
    if item is None:
        if claimed.intent.op not in {"create", "update"}:
            return Overwritten(claimed)
        _look_up(engine, claimed, "hiTask answered OK without the item")
        _accept(engine, claimed, sent.number)
        pushed.unclear = True
        return None
    if _is_older(claimed, item):
        error = LookAgainError("hiTask answered with an older state of the item")
        _look_again(engine, claimed, error, pushed)
        return None
    try:
        return look_for_overwritten(engine, claimed, item)
    except RetryLaterError as error:
        # The answer alone is not all that has to be written down: the next pull asks again.
        _look_up(engine, claimed, f"what it went over is not known: {error}")
        pushed.unclear = True
        pushed.failures += 1
        if isinstance(error, SlowDownError | UnreachableError) or pushed.failures >= PATIENCE:
            pushed.trouble = error
        return None


def _is_older(claimed: Claim, item: Item) -> bool:
    """Whether an answer shows the item as it was before we read it, so that it proves nothing.

    The version that we had read proves something: that nothing of what we sent was taken.
    """
    before = claimed.base.version if claimed.base else None
    after = item.values.get("version")
    return before is not None and after is not None and bool(after < before)


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


def _accept(engine: Engine, claimed: Claim, number: int | None) -> None:
    """It was carried out, so that what the item shows next is what hiTask made of it."""
    with engine.mirror.writing() as connection:
        known = state.load(connection).accepted or {}
        entry = {"id": number, "looks": 0}
        state.save(connection, accepted={**known, claimed.intent.guid: entry})


def _refuse(engine: Engine, claimed: Claim, reason: str) -> None:
    with engine.mirror.writing() as connection:
        refuse_claim(engine, connection, claimed.intent, reason)
