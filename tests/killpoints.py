"""Run every scenario plainly, killed at each of its steps, and once more, on several servers.

python -m tests.killpoints                 # the whole proof, on all cores
python -m tests.killpoints --only lost     # the scenarios with this in their names
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing import get_context

import pytest

from tests.edges.edge import Edge
from tests.proof.killing import Count, kill_points
from tests.proof.scenarios import SCENARIOS, SERVERS, TROUBLES
from tests.proof.sim import memory_folder, quietly

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
    parser = argparse.ArgumentParser(prog="python -m tests.killpoints", description=__doc__)
    parser.add_argument("--only", default="", help="scenarios with this text in their names")
    parser.add_argument("--server", default="", help="servers with this text in their names")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--plain", action="store_true", help="kill none")
    parser.add_argument("--seconds", type=float, default=0, help="stop after so many")
    parser.add_argument("-x", action="store_true", help="stop at the first failure")
    options = parser.parse_args(arguments)
    jobs = [
        (name, server, options.plain)
        for name in all_scenarios()
        if options.only in name
        for server in SERVERS
        if options.server in server
    ]
    started, total, done = time.monotonic(), Count(), set[Job]()
    for job, count in _run(jobs, options.jobs):
        total.add(count)
        for failure in count.failures:
            print(f"FAILED: {job[0]} [{job[1]}]\n{failure}", flush=True)
        done.add(job)
        if total.failures and options.x:
            break
        if options.seconds and time.monotonic() - started > options.seconds:
            break
    names = {name for name, *_ in done}
    print(
        f"{len(names)} scenarios on {len({server for _, server, _ in done})} kinds of servers, "
        f"{total.scenarios} plain runs, {total.kill_points} kill points, "
        f"{len(total.failures)} failures, {time.monotonic() - started:.0f} s"
    )
    return 1 if total.failures else 0


def _run(jobs: Sequence[Job], processes: int) -> Iterator[tuple[Job, Count]]:
    if processes == 1:
        yield from map(run_job, jobs)
        return
    with get_context("fork").Pool(processes) as pool:
        yield from pool.imap_unordered(run_job, jobs)


def run_job(job: Job) -> tuple[Job, Count]:
    """Run one scenario on one server."""
    quietly()
    name, server, plain = job
    count = Count()
    scenario = all_scenarios()[name]
    with memory_folder() as folder:
        try:
            for step in kill_points(folder, scenario, SERVERS[server], strict=not SERVERS[server]):
                count.scenarios += step == 0
                count.kill_points += step > 0
                if plain:
                    break
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - reported with its trace
            count.failures.append(traceback.format_exc())
    return job, count


if __name__ == "__main__":
    sys.exit(main())
