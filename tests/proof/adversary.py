"""What goes wrong in the random runs: the network, the service, the clock, the process.

Public: `Adversary`, `SERVERS`.
"""

from __future__ import annotations

import random
from typing import Final

from hisync.sandbox import Fault
from tests.proof.homes import Death
from tests.proof.sim import Sim

SERVERS: Final = (
    (),
    (),
    ("stubs=false",),
    ("delta=false",),
    ("nulls", "history_wrapped"),
    ("repeated_guid=duplicates",),
    ("repeated_guid=refuses", "session_answer=7"),
    ("put_needs_guid_and_title",),
    ("answers_item=false",),
    ("version_step=3", "trims_titles", "trims_messages", "trims_comments"),
    ("opaque_cursor", "delete_by=id"),
    ("delete_by=guid", "completes_parents"),
)

REQUESTS: Final = (
    "GET /item/delta/*",
    "GET /item",
    "GET /item*",
    "POST /item",
    "PUT /item/*",
    "DELETE /item/*",
    "POST /item/archive",
    "POST /item/comment",
    "GET /item/history",
    "GET /user/authenticate",
    "* *",
)
EFFECTS: Final = (
    *(["drop_before", "drop_after", "drop_midway", "cut", "empty"] * 2),
    *("html=200", "html=502", "expire_session=401"),
    *(f"status={status}" for status in (401, 403, 404, 412, 429, 500, 503, 507)),
)

DEATHS: Final = (Death.PROCESS, Death.CUT_BEFORE, Death.CUT_AFTER)
"""What dies where there is a server; where there is none, it is the process."""


class Adversary:
    """Chooses what goes wrong."""

    def __init__(self, sim: Sim, rng: random.Random, *, late: bool) -> None:
        self.sim = sim
        self.rng = rng
        self.late = late
        self.late_writes = 0
        self.hidden: set[int] = set()

    def prepare(self) -> None:
        """Lay traps for the next cycle."""
        rng, sim = self.rng, self.sim
        while rng.random() < 0.45:
            self._fault()
        if rng.random() < 0.3:
            sim.die_at = sim.steps + rng.randrange(1, 40)
            if sim.backend == "postgresql":
                sim.death = rng.choice(DEATHS)
            sim.note(f"  adversary: {sim.death.value} at {sim.die_at}")
        if rng.random() < 0.03:
            jump = rng.choice([-86400.0, 86400.0, 3600.0, -3600.0])
            sim.time.set_by(jump)
            sim.note(f"  adversary: clock {jump:+}")
        if rng.random() < 0.08:
            sim.service.model.team.expire_sessions()

    def _fault(self) -> None:
        rng, faults = self.rng, self.sim.service.faults
        request = rng.choice(REQUESTS)
        method, _, path = request.partition(" ")
        chance = rng.random()
        if chance < 0.1 and request.startswith("GET /item"):
            # Two complete answers in a row that lack an item are its proof: no two lies about one.
            live = [n for n in self.sim.service.model.store.live if n not in self.hidden]
            some = tuple(rng.sample(live, min(len(live), rng.randrange(1, 3))))
            if not some:
                return  # to name none would mean half of them
            self.hidden.update(some)
            fault = Fault("missing_ids", method, path, nth=rng.randrange(1, 3), ids=some)
        elif chance < 0.14 and request.startswith("GET /item"):
            fault = Fault("empty_list", method, path)
        elif chance < 0.3 and self.late and method in ("POST", "PUT", "DELETE"):
            fault = Fault("apply_late", method, path, after=rng.randrange(1, 8))
            self.late_writes += 1
        else:
            effect, _, detail = rng.choice(EFFECTS).partition("=")
            more = {"status": int(detail)} if effect in ("status", "html") else {}
            nth, count = rng.randrange(1, 4), rng.choice([1, 1, 1, 2, 4])
            if path in {"/item/history", "/item*"}:
                count = min(count, 2)  # who refuses a history for good has his way, by decision
            if effect == "status" and rng.random() < 0.2:
                more["retry_after"] = 30
            fault = Fault(effect, method, path, nth=nth, count=count, **more)  # type: ignore[arg-type]
        faults.add(fault)
        self.sim.note(f"  adversary: {fault}")
