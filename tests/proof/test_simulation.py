"""Random runs as tests, and that a run is its seed.

`python -m tests.simulate --runs 20000` makes as many as one likes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.proof.marks import Marks, marks_in
from tests.proof.simulation import run_seed


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_lost_and_nothing_doubled(folder: Path, seed: int) -> None:
    outcome = run_seed(folder, seed)
    assert not outcome.failure, outcome.trace + outcome.failure


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1060))
def test_in_many_runs(folder: Path, seed: int) -> None:
    outcome = run_seed(folder, seed)
    assert not outcome.failure, outcome.trace + outcome.failure


@pytest.mark.slow
def test_the_same_seed_gives_the_same_trace(folder: Path) -> None:
    one, again, other = (run_seed(folder, seed).fingerprint for seed in (7, 7, 8))
    assert one == again != other


@pytest.mark.slow
def test_another_process_gives_the_same_trace() -> None:
    def fingerprints(hash_seed: str) -> str:
        command = [sys.executable, "-m", "tests.simulate", "--runs", "3", "--jobs", "1", "-v"]
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        output = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
        return output[: output.rindex("runs")].rpartition("\n")[0]

    assert fingerprints("1") == fingerprints("random")


def test_a_mark_is_lost_unless_it_is_found_or_written_over() -> None:
    marks = Marks()
    one, two, three = marks.text("L", "one"), marks.number("R", "two"), marks.text("R", "three")
    marks.supersede({"title": three})
    assert marks.lost({str(two)}) == [one]
    assert marks_in([{"tags": [one], "priority": two, "title": "m1"}]) == {one, str(two)}
