"""One random run: people on both sides, an adversary, then everything heals, and the oracle asks.

A run is its seed: which server, which rules, who does what at which step and what goes wrong all
come from it, so it runs again exactly, to the hash of its trace. Public: `run_seed`, `Outcome`.
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, TypeVar

from hisync.errors import MirrorError, ServiceError, StopError
from hisync.plan.actions import Policy, PolicyName
from tests.proof.actors import Colleagues, People
from tests.proof.adversary import SERVERS, Adversary
from tests.proof.deciders import Deciders
from tests.proof.marks import Marks
from tests.proof.oracle import Ended, check_end, unequal
from tests.proof.sim import KilledError, Moment, Sim, Snapshot, make_sim
from tests.proof.watch import Watch
from tests.world import Backend

ITEMS: Final = 4
ACTING: Final = 0.08
"""How likely somebody acts at one moment of the engine's work."""

DECIDING: Final = 0.3
"""How likely somebody decides between two cycles, and then once more."""

DECIDING_LATE: Final = 0.6
"""The same once everything has come to rest, when there is most to decide about."""

POLICIES: Final[tuple[PolicyName, ...]] = ("remote", "remote", "local", "newest")
HEALING: Final = 10
"""Cycles within which everything has to come to rest once nothing goes wrong any more."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        seed: which run it was.
        steps: how many steps it made.
        fingerprint: the hash of its trace.
        failure: what did not hold, None if all did.
        trace: what happened, kept for a failure only.
    """

    seed: int
    steps: int
    fingerprint: str
    failure: str | None = None
    trace: str = ""


def run_seed(folder: Path, seed: int, backend: Backend = "sqlite") -> Outcome:
    """Make one run in a folder, which is emptied."""
    story = Story(folder, seed, backend)
    failure = None
    try:
        story.run()
    except Exception:  # noqa: BLE001 - a failure of any kind is what is looked for
        failure = traceback.format_exc()
    finally:
        story.sim.close()
    sim = story.sim
    trace = "\n".join(sim.trace) if failure else ""
    return Outcome(seed, sim.steps, sim.fingerprint, failure, trace)


class Story:
    """The run of one seed."""

    def __init__(self, folder: Path, seed: int, backend: Backend = "sqlite") -> None:
        self.rng = rng = random.Random(seed)
        server = rng.choice(SERVERS)
        base = folder.with_name(folder.name + "-base")
        self.sim = sim = _quiet_account(base, server, backend).copy(folder)
        sim.rng = random.Random(rng.getrandbits(64))
        sim.budget = rng.choice([0, 0, 0, 40])
        sim.lanes = 1 + 3 * (seed % 2)
        policy = rng.choice(POLICIES)
        sim.change_rules(
            policy=Policy(policy),
            comments=rng.random() < 0.5,
            full_every=rng.choice([86400.0, 300.0]),
        )
        self.marks = Marks()
        self.people = People(sim, rng, self.marks)
        self.colleagues = Colleagues(sim, rng, self.marks)
        self.deciders = Deciders(sim, rng, self.marks, self.people)
        self.watch = Watch(sim, self.people, self.colleagues, self.marks)
        self.adversary = Adversary(sim, rng, late=rng.random() < 0.15)
        sim.note(f"seed {seed}: {server} {sim.rules.policy} comments={sim.rules.comments}")
        sim.watchers.append(self.at_moment)
        self.acting = True

    def at_moment(self, _sim: Sim, moment: Moment, what: str) -> None:
        """Somebody may act at any moment of the engine's work."""
        if moment is Moment.COMMITTING:
            return  # it holds the lock, as it may for this long
        if moment is Moment.ANSWERED:
            self.watch.answered()
        self.watch.look_at_rows()
        if self.acting:
            while self.rng.random() < ACTING:
                self.somebody_acts()
        if moment is Moment.SENDING:
            self.watch.sent(what)

    def somebody_acts(self) -> None:
        """One act, on either side."""
        if self.rng.random() < 0.5:
            self.people.act()
            self.watch.people_acted()
        else:
            self.colleagues.act()

    def run(self) -> None:
        """The whole run."""
        for _ in range(self.rng.randrange(2, 6)):
            for _ in range(self.rng.randrange(4)):
                self.somebody_acts()
            self.adversary.prepare()
            while self.rng.random() < DECIDING:
                self.decide()
            self.cycle()
            self.sim.time.sleep(self.rng.choice([1.0, 60.0, 400.0]))
        self.heal()
        while self.rng.random() < DECIDING_LATE:
            self.decide()
            self.come_to_rest(700.0, full=False)
            self.come_to_rest(700.0)
        self.watch.check_budget()
        check_end(self.ended())
        self.stay_quiet()

    def ended(self) -> Ended:
        """The run as the oracle looks at it."""
        late = self.adversary.late_writes > 0
        return Ended(self.sim, self.people, self.colleagues, self.marks, late)

    def cycle(self, *, full: bool = False) -> bool:
        """A cycle as the daemon makes it; it may die.

        Returns:
            Whether it moved anything, or may have.
        """
        summary = self.endure(lambda: self.sim.sync(full=full))
        return summary is None or bool(summary.pulled or summary.pushed or summary.conflicts)

    def decide(self) -> None:
        """Somebody runs a command by which people decide; it may die, too."""
        self.endure(self.deciders.act)

    def endure(self, work: Callable[[], _T]) -> _T | None:
        """Let the engine work; what it does may fail, or die: nothing comes of it then."""
        sim, done, died = self.sim, None, False
        try:
            done = work()
        except (KilledError, StopError):
            sim.crash()
            died = True
        except (ServiceError, MirrorError) as error:
            sim.note(f"  failed: {type(error).__name__}")
        self.watch.look_at_rows()
        if died:
            self.watch.died()
        return done

    def heal(self) -> None:
        """Nothing goes wrong any more, nobody acts; approve what is held, as a person would."""
        sim, self.acting = self.sim, False
        sim.die_at = 0
        sim.service.settle()
        sim.note("healed")
        self.come_to_rest(700.0, full=False)
        traits = sim.service.traits
        if traits.delta and traits.stubs and sim.rules.full_every > 700.0 * HEALING:
            left = list(unequal(self.ended(), computed=False))
            assert not left, f"the delta alone does not do: {left}"
        self.come_to_rest(700.0)
        if sim.rules.comments:
            # A comment deleted before the last one shows in a week, one item in a quiet cycle.
            sim.time.sleep(8 * 86400.0)
            for _ in sim.sql("SELECT DISTINCT item_guid FROM comments"):
                self.cycle()
            self.come_to_rest(700.0)

    def come_to_rest(self, pause: float, *, full: bool = True) -> None:
        """Cycles until nothing moves any more."""
        sim = self.sim
        for number in range(HEALING):
            sim.time.sleep(pause if number == 0 else 700.0)
            with suppress(ServiceError):
                sim.engine.allow_removals = sim.engine.allow_deletes = 100
            moved = self.cycle(full=full and number == 0)
            if number > 0 and not moved and not self.waits():
                return

    def waits(self) -> bool:
        """Whether changes are unfinished that time alone may finish."""
        query = "SELECT 1 FROM change_log WHERE finished_at IS NULL AND state <> 'blocked' LIMIT 1"
        return bool(self.sim.sql(query))

    def stay_quiet(self) -> None:
        """Further cycles move nothing on either side."""
        sim = self.sim
        writes = sim.writes()
        for full in (True, False):
            summary = sim.sync(full=full)
            assert (summary.pulled, summary.pushed, summary.conflicts) == (0, 0, 0), summary
        assert sim.writes() == writes, "hisync goes on writing"


@cache
def _quiet_account(folder: Path, server: tuple[str, ...], backend: Backend) -> Snapshot:
    """A small account that is mirrored already; made once for each kind of server."""
    sim = make_sim(folder, items=ITEMS, traits=server, backend=backend)
    sim.sync()
    sim.sync()
    sim.service.reset_log()
    return sim.snapshot()
