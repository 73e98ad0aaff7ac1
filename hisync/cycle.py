"""One full cycle: pull, merge, push, and pull again where an outcome has to be looked up.

Public: `run_cycle`, `Summary`, `preview`, `Preview`, `heed_pause`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

import structlog

from hisync.budget.throttle import LONGEST, pause_for
from hisync.comments.claim import CommentStep
from hisync.comments.claim import prepare as prepare_comments
from hisync.comments.pushing import push_comments, push_early
from hisync.comments.reading import read_comments
from hisync.engine import Engine
from hisync.errors import ServiceError, SlowDownError, StopError
from hisync.mirror import base as bases
from hisync.mirror import changes, histories, state
from hisync.mirror.state import EngineState
from hisync.people.refreshing import learn_zone, read_people, zone_offset
from hisync.plan.actions import SendCreate
from hisync.plan.order import Step
from hisync.pull import LookedUp, Pulled, apply_reading, needs_everything, pull, second_look
from hisync.push import Pushed, push
from hisync.pushing.claim import prepare
from hisync.reading import fetch_changes, fetch_everything

ROUNDS: Final = 5
"""Pulls and pushes in one cycle; what is unclear after that waits for the next."""


@dataclass(slots=True)
class Summary:
    """What a cycle did, and what it leaves.

    Attributes:
        pulled: rows put in, changed or removed in the mirror.
        pushed: changes that hiTask carried out.
        conflicts: conflicts recorded.
        requests: requests made, logins included.
        seconds: how long it took.
        held: removals that wait for approval, by table.
        trouble: why something has to wait, None if nothing has.
        delay: why comments that were not read yet have to wait, None if they haven't.
        waiting: unfinished changes, by state.
        rejected: changes that stand rejected.
        unfinished: whether there was more to send, so that the next cycle should follow at once.
    """

    pulled: int = 0
    pushed: int = 0
    conflicts: int = 0
    requests: int = 0
    seconds: float = 0.0
    held: dict[str, int] = field(default_factory=dict)
    trouble: ServiceError | None = None
    delay: ServiceError | None = None
    waiting: dict[str, int] = field(default_factory=dict)
    rejected: int = 0
    unfinished: bool = False


def run_cycle(
    engine: Engine, *, full: bool = False, pull_only: bool = False, whole: bool = True
) -> Summary:
    """Pull, then push until the queue is empty or only waiting.

    Args:
        engine: everything it needs.
        full: whether to read everything again instead of the changes.
        pull_only: whether local edits wait.
        whole: whether a queue that takes longer than `Rules.refresh_every` is sent to its end, with
            pulls in between; else the summary says that it is `unfinished`.

    Raises:
        ServiceError: if hiTask could not be read, or refuses the login.
        MirrorError: if the database can't be used.
    """
    heed_pause(engine)
    started, requests = engine.clock.time(), engine.api.requests
    summary = Summary()
    # What the last cycle saw counts for this one only, whatever becomes of it.
    idle, engine.comments.nothing_due = engine.comments.nothing_due, False
    try:
        learn_zone(engine)
        since = _pull_and_push(engine, summary, full=full, pull_only=pull_only, whole=whole)
        if summary.trouble is None:
            summary.trouble = _do_the_rest(engine, summary, since, idle=idle)
    except ServiceError as error:
        if engine.stopping():
            raise  # it may be only that we stop
        with engine.mirror.writing() as connection:
            rest = _rest(engine, state.load(connection), error)
            refused = isinstance(error, StopError)
            state.save(connection, trouble=str(error), refused=refused, **rest)
        raise
    summary.requests = engine.api.requests - requests
    summary.seconds = round(engine.clock.time() - started, 3)
    _remember(engine, summary)
    return summary


def heed_pause(engine: Engine) -> None:
    """Ask nothing before the time that hiTask named, not even in a new process."""
    with engine.mirror.reading() as connection:
        left = state.load(connection).rest_left(engine.clock.time())
    if 0 < left <= LONGEST + 60:  # the day's end, and what clocks differ by
        raise SlowDownError(
            f"hiTask asked to be left alone for another {left:.0f} s", retry_after=left
        )


def _rest(
    engine: Engine, before: EngineState, error: ServiceError | None
) -> dict[str, float | None]:
    """From when until when an error wants everything to rest, as the engine's memory has it."""
    now = engine.clock.time()
    wait = None if error is None else pause_for(error, now, before.quiet_until)
    if wait is None:
        return {"quiet_since": None, "quiet_until": None}
    return {"quiet_since": now, "quiet_until": now + wait}


def _pull_and_push(
    engine: Engine, summary: Summary, *, full: bool, pull_only: bool, whole: bool
) -> int:
    """Do both, and again where needed.

    Returns:
        The number of the newest change that the last push has seen.
    """
    sends, since, round_ = engine.rules.push and not pull_only, 0, 0
    while round_ < ROUNDS:
        pulled = pull(engine, full=full)
        full = False
        _count(summary, pulled)
        with engine.mirror.reading() as connection:
            since = changes.newest_seq(connection)
        if not sends or engine.stopping() or _has_trouble(summary, push_early(engine)):
            return since
        pushed = push(engine)
        trouble = _has_trouble(summary, pushed)
        if pushed.paused and not trouble:
            # A long queue: what changed over there, and what can wait, must not wait for all of it.
            summary.unfinished = not whole
            if not whole or _has_other_trouble(engine, summary, since):
                return since
            continue
        if not pushed.unclear or (trouble and not pushed.sent):
            break
        round_ += 1
    if summary.trouble is None and not engine.stopping():
        _has_trouble(summary, push_comments(engine))
    return since


def _has_trouble(summary: Summary, pushed: Pushed) -> bool:
    """Count what was pushed, and tell whether something was in the way."""
    summary.pushed += pushed.sent
    summary.conflicts += pushed.conflicts
    summary.trouble = pushed.trouble
    return pushed.trouble is not None


def _has_other_trouble(engine: Engine, summary: Summary, since: int) -> bool:
    summary.trouble = _do_the_rest(engine, summary, since, idle=False)
    return summary.trouble is not None


def _do_the_rest(
    engine: Engine, summary: Summary, since: int, *, idle: bool
) -> ServiceError | None:
    """What can wait: people and comments, as far as there is budget to spare."""
    changed = bool(summary.pulled or summary.pushed)
    trouble = read_people(engine, changed=changed)
    if trouble is None:
        read = read_comments(engine, idle=idle and not changed, since=since)
        summary.pulled += read.rows
        summary.delay = read.trouble
    return trouble


def _count(summary: Summary, pulled: Pulled) -> None:
    summary.pulled += pulled.rows
    summary.conflicts += pulled.conflicts
    summary.held = pulled.held


def _remember(engine: Engine, summary: Summary) -> None:
    """Keep the outcome for `hisync status`, and say it once."""
    with engine.mirror.writing() as connection:
        counted = changes.counts(connection)
        summary.rejected = counted.get("rejected", 0)
        final = changes.FINAL_STATES
        summary.waiting = {s: n for s, n in sorted(counted.items()) if s not in final}
        known = state.load(connection)
        before = known.last_cycle or {}
        kept = ("pulled", "pushed", "conflicts", "requests", "seconds", "held")
        facts = {name: getattr(summary, name) for name in kept}
        facts["finished_at"] = engine.clock.time()
        failed = summary.trouble is not None and not engine.stopping()  # else it may be only that
        trouble = str(summary.trouble) if failed else None
        state.save(
            connection,
            last_cycle=facts,
            trouble=trouble,
            refused=False,
            **_rest(engine, known, summary.trouble or summary.delay),
        )
        if (offset := zone_offset(engine, known)) != known.zone_offset:
            state.save(connection, zone_offset=offset)
        books_kept = engine.keep_books(connection, engine.next_cycle_in)
    books_kept()
    if summary.held and summary.held != before.get("held"):
        engine.log.warning("removals_held", **summary.held)
    engine.log.info(
        "cycle_finished",
        pulled=summary.pulled,
        pushed=summary.pushed,
        conflicts=summary.conflicts,
        requests=summary.requests,
        seconds=summary.seconds,
    )


@dataclass(frozen=True, slots=True)
class Preview:
    """What a cycle would do.

    Attributes:
        pulled: what would change in the mirror.
        steps: the requests it would make for items, in order.
        refused: why changes would be refused, by their number.
        comments: the requests that it would make for comments after that.
        histories: how many items' histories are to be read.
        held: deletions made here that it would hold.
    """

    pulled: Pulled
    steps: list[Step]
    refused: dict[int, str]
    comments: list[CommentStep] = field(default_factory=list)
    histories: int = 0
    held: int = 0


def _drop(_logger: Any, _method: str, _event: Any) -> Any:
    raise structlog.DropEvent


def preview(engine: Engine, *, full: bool = False, pull_only: bool = False) -> Preview:
    """Plan a cycle without changing anything on either side.

    The mirror's part is really applied, in a transaction that is then rolled back, so that what
    is shown is what the real run does.
    """
    engine = replace(engine, log=structlog.wrap_logger(None, processors=[_drop]))
    pulled = Pulled()
    readings = [fetch_everything(engine) if full else fetch_changes(engine)]
    with engine.mirror.reading() as connection:
        unsettled = needs_everything(connection, readings[0], bases.known_ids(connection))
    if unsettled:
        readings.append(fetch_everything(engine, beside=readings[0]))
    while True:
        with engine.mirror.writing(commit=False) as connection:
            pulled = Pulled()
            before = changes.rejected(connection)
            for reading in readings:
                apply_reading(engine, connection, reading, pulled, LookedUp())
            sends = engine.rules.push and not pull_only
            steps = prepare(engine, connection) if sends else []
            coming = {step.guid for step in steps if isinstance(step.send, SendCreate)}
            said = prepare_comments(engine, connection, coming) if sends else []
            unread = histories.load_due(connection) if engine.rules.comments else []
            after = changes.rejected(connection)
            held = changes.counts(connection).get("held", 0) if sends else 0
        if not pulled.suspects:
            refused = {seq: why for seq, why in after.items() if seq not in before}
            return Preview(pulled, steps, refused, said, len(unread), held)
        readings.append(second_look(engine, full=readings[-1].full))
