"""Run every scenario plainly, killed at each of its steps, and once more, on several servers.

python -m tests.killpoints                 # the whole proof, on all cores
python -m tests.killpoints --only lost     # the scenarios with this in their names
python -m tests.killpoints --postgresql    # and with the sessions ended at every commit
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Sequence
from functools import partial

import pytest

from tests.edges.edge import Edge
from tests.proof.commands import each_result, make_parser, prepare_backend
from tests.proof.homes import Death
from tests.proof.killing import Count, Scenario, kill_points
from tests.proof.scenarios import SCENARIOS, SERVERS, TROUBLES
from tests.proof.sim import memory_folder, quietly
from tests.world import Backend

Job = tuple[str, str, bool]
"""The name of a scenario, that of a server, and whether only the plain run is made."""


def all_scenarios() -> dict[str, Edge]:
    """Every scenario by its name."""
    found: dict[str, Edge] = {}
    for each in (*SCENARIOS, *TROUBLES):
        assert each.name not in found, f"two scenarios are called {each.name!r}"
        found[each.name] = each
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = make_parser("killpoints", __doc__)
    parser.add_argument("--only", default="", help="scenarios with this text in their names")
    parser.add_argument("--server", default="", help="servers with this text in their names")
    parser.add_argument("--plain", action="store_true", help="kill none")
    options = parser.parse_args(arguments)
    chosen = {name: each for name, each in all_scenarios().items() if options.only in name}
    backend = prepare_backend(options)
    if backend is None:
        return 1
    if backend == "postgresql":
        chosen = _without_sqlites_own(chosen)
    jobs = [
        (name, server, options.plain)
        for name in chosen
        for server in SERVERS
        if options.server in server
    ]
    started, total, done = time.monotonic(), Count(), set[Job]()
    for job, count in each_result(partial(run_job, backend=backend), jobs, options):
        total.add(count)
        for failure in count.failures:
            print(f"FAILED: {job[0]} [{job[1]}]\n{failure}", flush=True)
        done.add(job)
        if total.failures and options.x:
            break
    names = {name for name, *_ in done}
    print(
        f"{len(names)} scenarios on {len({server for _, server, _ in done})} kinds of servers, "
        f"{total.scenarios} plain runs, {total.kill_points} kill points, "
        f"{f'{total.cuts} ends of sessions, ' * options.postgresql}"
        f"{len(total.failures)} failures, {time.monotonic() - started:.0f} s"
    )
    return 1 if total.failures else 0


def _without_sqlites_own(chosen: dict[str, Edge]) -> dict[str, Edge]:
    """The scenarios that PostgreSQL knows, too; says which it doesn't."""
    left = {}
    for name, each in chosen.items():
        if isinstance(each, Scenario) and each.sqlite_only:
            print(f"SQLite's own: {name} ({each.sqlite_only})")
        else:
            left[name] = each
    print(f"{len(chosen) - len(left)} of {len(chosen)} scenarios are SQLite's own", flush=True)
    return left


def run_job(job: Job, backend: Backend = "sqlite") -> tuple[Job, Count]:
    """Run one scenario on one server."""
    quietly()
    name, server, plain = job
    count = Count()
    scenario = all_scenarios()[name]
    with memory_folder() as folder:
        try:
            traits = SERVERS[server]
            for died in kill_points(folder, scenario, traits, strict=not traits, backend=backend):
                count.scenarios += died is None
                count.kill_points += died is Death.PROCESS
                count.cuts += died in (Death.CUT_BEFORE, Death.CUT_AFTER)
                if plain:
                    break
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - reported with its trace
            count.failures.append(traceback.format_exc())
    return job, count


if __name__ == "__main__":
    sys.exit(main())
