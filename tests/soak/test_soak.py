"""A soak of most of a day; the month is `python -m tests.soak`."""

from __future__ import annotations

import random

import pytest

from tests.proof.sim import memory_folder
from tests.soak.life import DAY, SPELLS, calendar
from tests.soak.outside import HABITS, works
from tests.soak.virtual import Soak


@pytest.mark.slow
def test_most_of_a_day_with_faults_and_a_crash_ends_with_both_sides_equal() -> None:
    with memory_folder() as folder:
        soak = Soak(folder, days=0.8, items=100, seed=35, quiet=0.3)
        soak.run()
    assert soak.wrong == []
    assert 20 <= soak.most <= soak.budget
    assert len(soak.starts) == 2
    assert min(soak.numbers.values()) > 0, soak.numbers
    assert len(soak.hours) == 19
    arrived = sum(sum(hour.minutes) for hour in soak.hours)
    counted = sum(hour.causes.total() for hour in soak.hours)
    # A daemon that dies while it waits for an answer has not counted that request.
    assert 0 <= arrived - counted < len(soak.starts)


def test_a_month_has_every_fault_and_people_rest_at_night() -> None:
    events = calendar(HABITS, 28 * DAY, random.Random(0), works=works)
    assert events == sorted(events)
    assert {event.detail for event in events if event.what == "spell"} == set(SPELLS)
    assert {event.what for event in events} >= {"ours", "theirs", "kill", "fault", "healed"}
    assert all(works(event.at) for event in events if event.what == "ours")
    assert not works(3 * 3600.0)
    assert not works(5 * DAY + 12 * 3600.0)
    assert events[-1].what == "healed"
