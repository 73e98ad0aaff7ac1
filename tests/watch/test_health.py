"""When hisync calls itself well, and what it says when it doesn't."""

from __future__ import annotations

import pytest

from hisync.cycle import Summary
from hisync.errors import RetryLaterError, StopError
from hisync.watch.vitals import Vitals, judge

START = 1_772_442_000.0


@pytest.fixture
def vitals() -> Vitals:
    """Of a process that has just begun, with a poll every minute."""
    return Vitals(lambda: START, 60.0)


def test_it_is_starting_until_the_first_good_cycle(vitals: Vitals) -> None:
    assert judge(vitals, START + 100).status == "starting"
    vitals.note_cycle(Summary())
    assert judge(vitals, START + 100).ok


def test_a_start_that_takes_too_long_is_no_start(vitals: Vitals) -> None:
    assert judge(vitals, START + 211).status == "failing"


def test_the_last_good_cycle_may_be_three_polls_old(vitals: Vitals) -> None:
    vitals.note_cycle(Summary())
    assert judge(vitals, START + 209).ok
    old = judge(vitals, START + 211)
    assert (old.status, old.problems) == ("failing", ("no good cycle for 211 s",))
    vitals.interval = 300.0  # quiet hours
    assert judge(vitals, START + 211).ok


def test_a_long_cycle_that_reads_is_no_old_one(vitals: Vitals) -> None:
    vitals.note_cycle(Summary())
    vitals.last_read_at = START + 1000
    assert judge(vitals, START + 1100).ok


def test_short_trouble_is_not_yet_a_failure(vitals: Vitals) -> None:
    vitals.note_cycle(Summary())
    vitals.note_trouble(RetryLaterError("down"), "down")
    assert judge(vitals, START + 100).ok
    late = judge(vitals, START + 300)
    assert late.problems == ("no good cycle for 300 s: down",)
    vitals.note_cycle(Summary())
    assert vitals.trouble is None


@pytest.mark.parametrize("cycles", [0, 1])
def test_a_clock_that_was_set_back_hides_no_failure(vitals: Vitals, cycles: int) -> None:
    for _ in range(cycles):
        vitals.note_cycle(Summary())
    earlier = START - 86_400
    vitals.clock = lambda: earlier
    vitals.note_trouble(RetryLaterError("down"), "down")
    assert judge(vitals, earlier + 300).problems == ("no good cycle for 300 s: down",)


def test_a_refused_login_is_said_once_and_plainly(vitals: Vitals) -> None:
    vitals.note_trouble(StopError("Invalid API key", code=8), "Invalid API key (code 8)")
    refused = judge(vitals, START + 10_000)
    assert refused.problems == (
        "hiTask refuses the login, the key or the account: Invalid API key (code 8)",
    )
    assert refused.facts["login_refused"] is True
    vitals.note_cycle(Summary())
    assert judge(vitals, START + 1).ok


def test_held_removals_need_someone(vitals: Vitals) -> None:
    vitals.note_cycle(Summary(held={"tasks": 23}))
    held = judge(vitals, START + 1)
    assert (held.status, held.facts["removals_held"]) == ("failing", {"tasks": 23})
    assert "23 of tasks" in held.in_words()


def test_what_it_says_in_words(vitals: Vitals) -> None:
    assert judge(vitals, START).in_words() == "starting: the first cycle is under way"
    vitals.note_cycle(Summary())
    assert judge(vitals, START).in_words() == "all is well; last cycle at 2026-03-02T09:00:00+00:00"


def test_a_standby_is_well_however_long_it_waits_and_misses_cycles_only_from_its_turn() -> None:
    now = START
    vitals = Vitals(lambda: now, 60.0)
    vitals.stand_by("process 7 works on the mirror")
    now += 10_000
    waiting = judge(vitals, now)
    assert (waiting.status, waiting.ok) == ("standby", True)
    assert waiting.in_words() == "standing by: process 7 works on the mirror"
    assert vitals.missed_since == now
    vitals.stand_by(None)
    assert judge(vitals, now + 100).status == "starting"
    assert judge(vitals, now + 211).status == "failing"
