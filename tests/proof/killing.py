"""A scenario run plainly, then killed at every step and resumed, then once more: nothing moves.

On PostgreSQL it is also played with the engine's sessions ended at every commit, right before it
and right after it: there the process lives on and has to find out, and to connect again.

Public: `Scenario`, `run_plainly`, `kill_points`, `run_killed`, `Count`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from hisync.errors import (
    BusyError,
    FullError,
    LostServerError,
    MirrorError,
    ServiceError,
    StaleWriterError,
)
from tests.edges.acts import sync
from tests.edges.edge import Edge, check_outcome, check_peace
from tests.edges.oracle import TABLES, differences
from tests.proof.homes import Death
from tests.proof.sim import KilledError
from tests.proof.stage import (
    PATIENCE,
    SIDE_BY_SIDE,
    Stage,
    StoppedStage,
    cycle,
    fails_here,
    full_cycle,
    is_pushed_aside,
    makes_room,
    set_stage,
    unlocks,
)
from tests.world import Backend

ROUNDS = 3
"""Cycles after a story in which everything has to come to rest."""


@dataclass(frozen=True)
class Scenario(Edge):
    """One situation: an `Edge` whose outcome holds wherever the process is killed.

    Of its fields `log`, `writes`, `conflicts` and `removed` are held against the plain run only,
    since a kill may let a person's edit come before a request that it came after.

    Attributes:
        keeps: texts that somebody wrote, each of which must be found on both sides, in
            `conflicts`, in `removed_rows` or in a rejected change, in every run.
        settles: whether `there`, `here` and `then` hold in killed runs too.
        comments: whether comments are synced.
        by_absence: whether it is about removals that each cycle has to see: on a server whose delta
            does not name what is gone, each cycle then reads everything.
        by_full_read: whether only a full read mends what is wrong.
        sqlite_only: why PostgreSQL has no such situation, where it has none.
    """

    keeps: Sequence[str] = ()
    settles: bool = True
    comments: bool = False
    by_absence: bool = False
    by_full_read: bool = False
    sqlite_only: str = ""


def prepare(
    folder: Path, scenario: Edge, traits: Sequence[str] = (), backend: Backend = "sqlite"
) -> StoppedStage:
    """The scenario's stage before anything happens."""
    comments = isinstance(scenario, Scenario) and scenario.comments
    by_absence = isinstance(scenario, Scenario) and scenario.by_absence
    frequent = {"full_every": 0.0} if by_absence and "stubs=false" in traits else {}
    stage = set_stage(
        folder,
        scenario.given,
        traits=[*scenario.traits, *(trait for trait in traits if trait != SIDE_BY_SIDE)],
        zone=scenario.zone,
        rules={"comments": comments, **frequent, **scenario.rules},
        items=scenario.account,
        backend=backend,
    )
    if SIDE_BY_SIDE in traits:
        stage.sim.lanes = 4
    return stage.snapshot()


@dataclass(frozen=True)
class KillPoints:
    """The steps of a plain run, each of which is a kill point, and which of them are commits."""

    steps: int
    commits: tuple[int, ...]

    def deaths(self, backend: Backend) -> Iterator[tuple[int, Death]]:
        """Each step at which something dies, and what."""
        yield from ((step, Death.PROCESS) for step in range(1, self.steps + 1))
        if backend == "postgresql":
            yield from product(self.commits, (Death.CUT_BEFORE, Death.CUT_AFTER))


def run_plainly(folder: Path, stopped: StoppedStage, scenario: Edge, *, strict: bool) -> KillPoints:
    """Play it without a kill; with `strict` the outcome is held against every field."""
    stage = stopped.copy(folder)
    try:
        for act in scenario.when:
            stage.act(act)
        (cycle if isinstance(scenario, Scenario) else sync)(stage)
        points = KillPoints(stage.sim.steps, tuple(stage.sim.commits))
        if strict:
            _check_strictly(stage, scenario)
        _come_to_rest(stage, scenario)
        _check(stage, _loosely(scenario))
        return points
    finally:
        stage.close()


def run_killed(
    folder: Path,
    stopped: StoppedStage,
    scenario: Edge,
    step: int,
    death: Death = Death.PROCESS,
) -> None:
    """Play it, die at this step, go on with another process, and hold the outcome.

    Where only the sessions or the server die, it is the same process that goes on.
    """
    stage = stopped.copy(folder)
    stage.sim.die_at, stage.sim.death = step, death
    try:
        for act in (*scenario.when, cycle):
            try:
                # What was to fail may work now, and the other way round: the outcome counts.
                with suppress(ServiceError, pytest.fail.Exception):
                    stage.act(act)
            except KilledError:
                stage.sim.crash()
                fails_here(stage)
            except LostServerError:
                assert death is not Death.PROCESS
                _live_on(stage, scenario)
            except (BusyError, FullError):
                assert death is not Death.PROCESS  # the story's own trouble, only met later
        assert stage.sim.trace.count(death.value) == 1, "it was not killed"
        if death is not Death.PROCESS:  # the story may have come to its own trouble later
            makes_room(stage)
            unlocks(stage)
        _come_to_rest(stage, scenario)
        # What hiTask refused once it may take from the next process.
        here_only = [name for name in stage.rows_without_item() if name in scenario.here_only]
        _check(stage, replace(_loosely(scenario), here_only=here_only))
    except BaseException as error:
        error.add_note(f"{death.value} at step {step}\n" + "\n".join(stage.sim.trace))
        raise
    finally:
        stage.close()


def _live_on(stage: Stage, scenario: Edge) -> None:
    """The next cycle of a daemon that lost its sessions: the same process, which has its lock."""
    try:
        cycle(stage)
    except StaleWriterError:
        assert is_pushed_aside in scenario.when, "it lost the mirror to nobody"
        stage.sim.crash()
    except MirrorError:
        pass


def _come_to_rest(stage: Stage, scenario: Edge) -> None:
    by_full_read = isinstance(scenario, Scenario) and scenario.by_full_read
    stage.world.service.settle()
    stage.transport.canned.clear()
    stage.interruptions.clear()
    for number in range(ROUNDS):
        stage.world.time.sleep(PATIENCE)
        (full_cycle if number > 1 else cycle)(stage)
        if number == 1 and names_changes(stage) and not by_full_read:
            # Without a full read, which would mend what a delta was too late for.
            assert list(differences(stage.model, stage.ask, computed=False)) == []


def names_changes(stage: Stage) -> bool:
    """Whether this server's delta is enough to stay equal."""
    traits = stage.world.service.traits
    return traits.delta and traits.stubs


def _loosely(scenario: Edge) -> Edge:
    """The scenario without what only an undisturbed run is sure to show."""
    nothing: dict[str, Any] = {"log": None, "writes": None, "conflicts": (), "removed": None}
    if isinstance(scenario, Scenario) and not scenario.settles:
        nothing |= {"there": {}, "here": {}, "then": ()}
    return replace(scenario, **nothing)


def _check_strictly(stage: Stage, scenario: Edge) -> None:
    """What only the plain run shows, and only before it came to rest."""
    later: dict[str, Any] = {}
    if isinstance(scenario, Scenario):
        later = {"there": {}, "here": {}, "then": ()}
        if scenario.conflicts == ():
            later["conflicts"] = len(stage.conflicts())
    check_outcome(stage, replace(scenario, **later))


def _check(stage: Stage, scenario: Edge) -> None:
    check_outcome(stage, replace(scenario, conflicts=len(stage.conflicts())))
    if isinstance(scenario, Scenario):
        for text in scenario.keeps:
            assert is_kept(stage, text), f"{text!r} is lost"
    check_nothing_doubled(stage)
    check_peace(stage, scenario.here_only, scenario.waits)


def is_kept(stage: Stage, text: str) -> bool:
    """Whether a text is on both sides, or where what lost is kept."""
    kept = (
        "SELECT base_value, local_value, remote_value FROM conflicts",
        "SELECT last_values FROM removed_rows",
        "SELECT new_values FROM change_log WHERE state = 'rejected'",
    )
    if any(text in str(row) for query in kept for row in stage.ask(query)):
        return True
    there = any(text in str(stage.model.wire(i, stage.account)) for i in stage.model.items())
    there |= any(text == c.value for i in stage.model.items() for c in stage.model.comments(i.id))
    here = any(text in str(row) for table in (*TABLES, "comments") for row in _rows(stage, table))
    return here and there


def _rows(stage: Stage, table: str) -> list[dict[str, Any]]:
    return stage.ask(f"SELECT * FROM {table}")


def check_nothing_doubled(stage: Stage) -> None:
    """No conflict, no removed row and no row of the mirror is there twice."""
    for query in (
        "SELECT row_guid, field, base_value, local_value, remote_value FROM conflicts",
        "SELECT row_guid, id, last_values FROM removed_rows",
    ):
        found = Counter(tuple(row.values()) for row in stage.ask(query))
        doubled = [row for row, number in found.items() if number > 1]
        assert not doubled, f"twice in the books: {doubled}"


@dataclass
class Count:
    """How much was run: plain runs, ends of the process, ends of its sessions; what failed."""

    scenarios: int = 0
    kill_points: int = 0
    cuts: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Count) -> None:
        """Count what another process did."""
        self.scenarios += other.scenarios
        self.kill_points += other.kill_points
        self.cuts += other.cuts
        self.failures += other.failures


def kill_points(
    folder: Path,
    scenario: Edge,
    traits: Sequence[str] = (),
    *,
    strict: bool = True,
    backend: Backend = "sqlite",
) -> Iterator[Death | None]:
    """Run a scenario plainly and then killed at each of its steps; yields what died, None at first.

    Raises:
        AssertionError: if an outcome is not what it must be; its notes hold the trace.
    """
    stopped = prepare(folder, scenario, traits, backend)
    try:
        points = run_plainly(folder, stopped, scenario, strict=strict)
        yield None
        for step, death in points.deaths(backend):
            run_killed(folder, stopped, scenario, step, death)
            yield death
    finally:
        stopped.drop()
