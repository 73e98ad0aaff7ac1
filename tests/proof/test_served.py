"""The proof on PostgreSQL: a very small slice by default, more of it under `postgresql`.

`python -m tests.killpoints --postgresql` and `python -m tests.simulate --postgresql` run it all.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest

from tests.proof.homes import REFUSED, Death
from tests.proof.killing import Scenario, kill_points, prepare, run_killed, run_plainly
from tests.proof.scenarios import SCENARIOS
from tests.proof.sim import Sim, make_sim
from tests.proof.simulation import run_seed

BOTH = [scenario for scenario in SCENARIOS if not scenario.sqlite_only]
AN_EDIT = next(scenario for scenario in BOTH if scenario.name == "an edit")
SOME = [*BOTH[::12], *(each for each in BOTH if each.name.startswith("the database is an older"))]
ENDED = {
    "a create: its answer is lost after it was applied",
    "one field, two values: policy decides, the other is kept",
    "time is logged here and there",
    "a row is deleted here",
}


def named(scenario: Scenario) -> str:
    return scenario.name


@pytest.fixture
def sim(folder: Path) -> Iterator[Sim]:
    made = make_sim(folder, items=2, backend="postgresql")
    yield made
    made.close()


def test_a_person_speaks_to_it_as_to_sqlite(sim: Sim) -> None:
    sim.sync()
    put = "INSERT INTO tasks (guid, title, starred, tags) VALUES (?, 'a: 100%?', true, ?)"
    sim.sql(put, "g1", '["x"]')
    query = "SELECT title, starred, tags, due_date FROM tasks WHERE guid = :g"
    (row,) = sim.person.execute(query, {"g": "g1"}).fetchall()
    assert dict(row) == {"title": "a: 100%?", "starred": 1, "tags": '["x"]', "due_date": None}
    with pytest.raises(REFUSED):
        sim.sql(put, "g1", "[]")


def test_what_the_server_makes_by_itself_comes_from_the_simulation(sim: Sim) -> None:
    sim.sync()
    sim.sql("INSERT INTO tasks (title) VALUES ('new')")
    (row,) = sim.sql("SELECT row_guid, changed_at FROM change_log")
    sim.close()
    again = make_sim(sim.folder, items=2, backend="postgresql")
    again.rng = random.Random(1)
    try:
        again.sync()
        again.sql("INSERT INTO tasks (title) VALUES ('new')")
        (other,) = again.sql("SELECT row_guid, changed_at FROM change_log")
    finally:
        again.close()
    assert row["changed_at"].startswith("2026-03-02 09:0")
    assert row["changed_at"] == other["changed_at"]
    assert row["row_guid"] != other["row_guid"]


@pytest.mark.parametrize("death", [Death.CUT_BEFORE, Death.CUT_AFTER])
def test_its_sessions_end_at_a_commit_and_it_ends_well(folder: Path, death: Death) -> None:
    stopped = prepare(folder, AN_EDIT, backend="postgresql")
    try:
        points = run_plainly(folder, stopped, AN_EDIT, strict=True)
        run_killed(folder, stopped, AN_EDIT, points.commits[len(points.commits) // 2], death)
    finally:
        stopped.drop()


@pytest.mark.parametrize("seed", [1])
def test_nothing_is_lost_and_nothing_doubled(folder: Path, seed: int) -> None:
    outcome = run_seed(folder, seed, "postgresql")
    assert not outcome.failure, outcome.trace + outcome.failure


@pytest.mark.postgresql
@pytest.mark.parametrize("seed", range(1000, 1020))
def test_in_many_runs(folder: Path, seed: int) -> None:
    outcome = run_seed(folder, seed, "postgresql")
    assert not outcome.failure, outcome.trace + outcome.failure


@pytest.mark.postgresql
def test_the_same_seed_gives_the_same_trace(folder: Path) -> None:
    one, again, other = (run_seed(folder, seed, "postgresql").fingerprint for seed in (7, 7, 8))
    assert one == again != other


@pytest.mark.postgresql
@pytest.mark.parametrize("scenario", SOME, ids=named)
def test_it_ends_well(folder: Path, scenario: Scenario) -> None:
    stopped = prepare(folder, scenario, backend="postgresql")
    try:
        assert run_plainly(folder, stopped, scenario, strict=True).steps > 0
    finally:
        stopped.drop()


@pytest.mark.postgresql
def test_killed_anywhere_and_cut_off_at_any_commit_it_ends_well(folder: Path) -> None:
    died = list(kill_points(folder, AN_EDIT, backend="postgresql"))
    assert died.count(Death.PROCESS) > died.count(Death.CUT_BEFORE) > 3
    assert died.count(Death.CUT_BEFORE) == died.count(Death.CUT_AFTER)


@pytest.mark.postgresql
@pytest.mark.parametrize("scenario", [s for s in BOTH if s.name in ENDED], ids=named)
def test_the_server_is_killed_at_every_commit_and_it_ends_well(
    folder: Path, scenario: Scenario
) -> None:
    deaths = cycle([Death.SERVER_BEFORE, Death.SERVER_AFTER])
    stopped = prepare(folder, scenario, backend="postgresql")
    try:
        for step in run_plainly(folder, stopped, scenario, strict=True).commits:
            run_killed(folder, stopped, scenario, step, next(deaths))
    finally:
        stopped.drop()
