"""Random runs of the whole engine, against an adversary, judged by an oracle.

python -m tests.simulate --runs 20000            # seeds 0 … 19999 on all cores
python -m tests.simulate --runs 1 --seed 4711    # one run again, with its trace
python -m tests.simulate --postgresql --runs 500 # the mirrors in a PostgreSQL server of its own
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain

from tests.proof.commands import each_result, make_parser, prepare_backend
from tests.proof.sim import memory_folder, quietly
from tests.proof.simulation import Outcome, run_seed
from tests.world import Backend

CHUNK = 25
"""Runs that one process makes in a row."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = make_parser("simulate", __doc__)
    parser.add_argument("--runs", type=int, default=1000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("-q", action="store_true", help="no traces")
    parser.add_argument("-v", action="store_true", help="each run's fingerprint")
    options = parser.parse_args(arguments)
    backend = prepare_backend(options)
    if backend is None:
        return 1
    again = f"python -m tests.simulate {'--postgresql ' * options.postgresql}--runs 1 --seed"
    started, runs, steps, failed = time.monotonic(), 0, 0, list[int]()
    seeds = range(options.seed, options.seed + options.runs)
    chunks = [seeds[start : start + CHUNK] for start in range(0, options.runs, CHUNK)]
    done = each_result(partial(_run_chunk, backend=backend), chunks, options)
    for outcome in chain.from_iterable(done):
        runs, steps = runs + 1, steps + outcome.steps
        if options.v:
            print(f"seed {outcome.seed}: {outcome.steps} steps, {outcome.fingerprint}")
        if outcome.failure:
            failed.append(outcome.seed)
            print(f"FAILED: seed {outcome.seed}")
            if not options.q:
                print(outcome.trace)
            print(outcome.failure)
            print(f"again: {again} {outcome.seed}", flush=True)
            if options.x:
                break
    seconds = time.monotonic() - started
    print(f"{runs} runs, {steps} steps, {len(failed)} failures, {seconds:.0f} s")
    if failed:
        print(f"failed seeds: {sorted(failed)}")
    return 1 if failed else 0


def _run_chunk(seeds: Sequence[int], backend: Backend) -> list[Outcome]:
    return list(run_chunk(seeds, backend))


def run_chunk(seeds: Sequence[int], backend: Backend = "sqlite") -> Iterator[Outcome]:
    """Make these runs, one after another."""
    quietly()
    with memory_folder() as folder:
        for seed in seeds:
            yield run_seed(folder / "run", seed, backend)


if __name__ == "__main__":
    # Python shuffles sets of texts anew in each process; a run is to be the same in all.
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        again = [sys.executable, "-m", "tests.simulate", *sys.argv[1:]]
        os.execv(sys.executable, again)  # noqa: S606
    sys.exit(main())
