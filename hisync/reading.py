"""Which read a pull makes, and how far its answer can be believed.

The delta is the cheap read, but what it is good for differs from server to server, and absence
counts only where it was seen to name every item. Public: `Reading`, `fetch_changes`,
`fetch_everything`, `use_everything`.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TypeVar

from hisync.api import ItemsAnswer, size_of
from hisync.engine import Engine
from hisync.errors import (
    LookAgainError,
    RefusedError,
    RetryLaterError,
    ServiceError,
    SlowDownError,
    UnreachableError,
)
from hisync.mirror import base as bases
from hisync.mirror import state
from hisync.mirror.state import DeltaMode, EngineState

_T = TypeVar("_T")

ENDPOINT_DEPRECATED = 86
"""hiTask's code for an endpoint that is no more."""

BROKEN_AFTER = 2
"""Failures in a row after which a delta that only ever fails is taken for missing, and one that
no longer names all for one that names only what changed."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer, and what it proves.

    Attributes:
        answer: what hiTask said.
        full: whether everything was asked for, not only the changes.
        mode: what the server's delta is now known to be.
        undecided: whether a full read beside this delta would tell what the delta is.
        delta_failed_at: when the server was last seen to have no delta, None while it has one.
        delta_errors: failures of the delta in a row beside which a full read worked.
    """

    answer: ItemsAnswer
    full: bool
    mode: DeltaMode
    undecided: bool = False
    delta_failed_at: float | None = None
    delta_errors: int = 0

    @property
    def complete(self) -> bool:
        """Whether the answer names every item, so that absence can count."""
        return self.full or (self.mode is DeltaMode.NAMES_ALL and not self.undecided)


def fetch_changes(engine: Engine) -> Reading:
    """The changes since the cursor, or everything where that can't be had or is due."""
    with engine.mirror.reading() as connection:
        before = state.load(connection)
    if before.cursor is None or _full_is_due(engine, before) or _delta_is_missing(engine, before):
        return fetch_everything(engine)
    try:
        answer = engine.api.fetch_delta(before.cursor)
    except (LookAgainError, RefusedError) as error:
        return _fall_back(engine, before, error)
    except RetryLaterError as error:
        if not _is_the_deltas_own(error):
            raise
        return _fall_back(engine, before, error)
    if answer.cursor is None:
        answer = replace(answer, cursor=before.cursor)
    mode = DeltaMode(before.delta)
    if mode is DeltaMode.NONE:
        mode = DeltaMode.UNKNOWN
    with engine.mirror.reading() as connection:
        lacking = bases.known_ids(connection) - answer.ids
        missed = bases.missed_ids(connection) if mode is DeltaMode.PARTIAL else frozenset()
    named = not lacking
    if mode is DeltaMode.UNKNOWN and named and answer.has_stubs and not answer.items:
        # Every item that a full read showed, changed or not: a missing one would be gone.
        mode = DeltaMode.NAMES_ALL
    # Without a single stub, a delta that named them all may have stopped to.
    doubtful = mode is DeltaMode.NAMES_ALL and not answer.has_stubs
    undecided = not named and (mode is DeltaMode.UNKNOWN or doubtful)
    if mode is DeltaMode.PARTIAL and lacking <= missed and answer.has_stubs and not answer.items:
        # That it once lacked some may have been a faulty answer; that it lacks what the last
        # complete one did not show either is no fault.
        undecided = True
    errors = before.delta_errors if undecided else 0
    return Reading(answer, full=False, mode=mode, undecided=undecided, delta_errors=errors)


def fetch_everything(engine: Engine, *, beside: Reading | None = None) -> Reading:
    """Everything; `beside` a delta that was just read, it tells what that delta is good for."""
    with engine.mirror.reading() as connection:
        before = state.load(connection)
        known = bases.known_ids(connection) if beside and beside.undecided else frozenset()
    engine.progress("reading", 0, None)
    answer = engine.api.fetch_items()
    engine.progress("reading", len(answer.items), None)
    reading = _judge(engine, before, answer, beside, known)
    _say_what_is_missing(engine, reading, beside.mode if beside else DeltaMode(before.delta))
    return reading


def use_everything(engine: Engine, use: Callable[[Reading], _T]) -> _T:
    """Everything, used while the answer is still being checked, as `HiTask.use_items` has it."""
    with engine.mirror.reading() as connection:
        before = state.load(connection)
    engine.progress("reading", 0, None)
    judged: list[Reading] = []

    def judge_and_use(answer: ItemsAnswer) -> _T:
        if (size := size_of(answer.items)) is not None:  # of a long one nobody knows yet
            engine.progress("reading", size, None)
        judged.append(_judge(engine, before, answer))
        return use(judged[-1])

    used = engine.api.use_items(judge_and_use)
    _say_what_is_missing(engine, judged[-1], DeltaMode(before.delta))
    return used


def _judge(
    engine: Engine,
    before: EngineState,
    answer: ItemsAnswer,
    beside: Reading | None = None,
    known: AbstractSet[int] = frozenset(),
) -> Reading:
    """What an answer to the question for everything proves."""
    mode = beside.mode if beside else DeltaMode(before.delta)
    failed_at, errors = before.delta_failed_at, 0
    if answer.cursor is None and mode is not DeltaMode.NONE:
        mode, failed_at = DeltaMode.NONE, engine.clock.time()
    elif beside is not None and beside.undecided:
        stubs = beside.answer.has_stubs or beside.mode is DeltaMode.NAMES_ALL
        # What is new to us may have been made after the delta.
        lacked = (known & answer.ids) - beside.answer.ids
        names_all = bool(stubs) and not lacked
        if beside.mode is DeltaMode.NAMES_ALL and lacked:
            errors = before.delta_errors + 1
        # One that named all of them and now lacks some may be a faulty answer: once it is.
        faulty = 0 < errors < BROKEN_AFTER
        mode = DeltaMode.NAMES_ALL if names_all or faulty else DeltaMode.PARTIAL
    return Reading(answer, full=True, mode=mode, delta_failed_at=failed_at, delta_errors=errors)


def _say_what_is_missing(engine: Engine, reading: Reading, former: DeltaMode) -> None:
    if reading.mode is DeltaMode.NONE is not former:
        engine.log.warning("fell_back_to_full_read", reason="the service sends no cursor")


def _is_the_deltas_own(error: RetryLaterError) -> bool:
    """Whether another request may fare better: neither the way nor the whole service fails."""
    return not (
        isinstance(error, SlowDownError | UnreachableError)
        or error.at_login
        or error.status in {None, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}
        or error.retry_after is not None
    )


def _full_is_due(engine: Engine, before: EngineState) -> bool:
    if before.last_full_at is None:
        return True
    age = engine.clock.time() - before.last_full_at
    return not 0 <= age < engine.rules.full_every  # a clock that was set back is no excuse


def _delta_is_missing(engine: Engine, before: EngineState) -> bool:
    """Whether the delta was seen to be missing so lately that asking again is not due."""
    if before.delta != DeltaMode.NONE or before.delta_failed_at is None:
        return False
    return 0 <= engine.clock.time() - before.delta_failed_at < engine.rules.full_every


def _fall_back(engine: Engine, before: EngineState, error: ServiceError) -> Reading:
    """Read everything instead; once, if the cursor was refused, for long if there is no delta."""
    if before.delta != DeltaMode.NONE:  # said once, not at every new attempt
        engine.log.warning(
            "fell_back_to_full_read", reason=error.message, status=error.status, code=error.code
        )
    missing = error.status in {404, 405, 410, 501} or error.code == ENDPOINT_DEPRECATED
    reading = fetch_everything(engine)
    # A refusal counts as well: one may be of the cursor alone, but this read brings another.
    errors = before.delta_errors + 1
    if not missing and errors < BROKEN_AFTER:
        return replace(reading, delta_errors=errors)
    return replace(
        reading,
        mode=DeltaMode.NONE,
        delta_failed_at=engine.clock.time(),
        delta_errors=errors,
    )
