"""The scenarios as tests: a cheap slice by default, more of them under `slow`.

`python -m tests.killpoints` runs them on every kind of server, with the troubles at each request.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.proof.killing import Scenario, kill_points, prepare, run_plainly
from tests.proof.scenarios import SCENARIOS, TROUBLES

PLAIN = SCENARIOS[::6]
SHORT = {"an edit", "a row is deleted here", "an empty list with 200 removes nothing"}
KILLED = [scenario for scenario in SCENARIOS if scenario.name in SHORT]
MANY = 60


def named(scenario: Scenario) -> str:
    return scenario.name


def test_there_are_many_and_each_has_a_name_of_its_own() -> None:
    names = [scenario.name for scenario in (*SCENARIOS, *TROUBLES)]
    assert len(names) == len(set(names))
    assert len(SCENARIOS) >= MANY


@pytest.mark.parametrize("scenario", PLAIN, ids=named)
def test_it_ends_well(folder: Path, scenario: Scenario) -> None:
    assert run_plainly(folder, prepare(folder, scenario), scenario, strict=True).steps > 0


@pytest.mark.parametrize("scenario", KILLED, ids=named)
def test_killed_anywhere_it_ends_well(folder: Path, scenario: Scenario) -> None:
    assert len(list(kill_points(folder, scenario))) > 5


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS[1::3], ids=named)
def test_more_of_them_killed_anywhere_end_well(folder: Path, scenario: Scenario) -> None:
    assert len(list(kill_points(folder, scenario))) > 1
