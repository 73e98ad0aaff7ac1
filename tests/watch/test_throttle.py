"""hiTask's complaints slow everything at once, and the budget comes back little by little."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hisync.budget.throttle import RECOVERY, Throttle, pause_for, seconds_to_next_day, slows_down
from hisync.errors import RefusedError, RetryLaterError, ServiceError, SlowDownError, WaitLongError

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC).timestamp()
TOO_MANY = SlowDownError("too many", code=67)


@pytest.mark.parametrize(
    ("error", "slow"),
    [
        (SlowDownError("x", status=429), True),
        (SlowDownError("x", code=67), True),
        (WaitLongError("x", code=87), True),
        (RetryLaterError("x", code=66), True),
        (RetryLaterError("x", code=59), True),
        (RetryLaterError("x", status=503), True),
        (SlowDownError("x", status=403, retry_after=3.0), True),
        (RetryLaterError("x", status=500), False),
        (RefusedError("x", status=400), False),
        (None, False),
    ],
)
def test_what_is_a_complaint(error: ServiceError | None, slow: bool) -> None:
    assert slows_down(error) is slow


def test_each_complaint_halves_the_budget_and_time_brings_it_back() -> None:
    slow = Throttle().slowed(TOO_MANY, NOW)
    assert slow.limit(60, NOW) == 30
    slower = slow.slowed(TOO_MANY, NOW)
    assert slower.limit(60, NOW) == 15
    later = [slower.limit(60, NOW + part * RECOVERY) for part in (0.1, 0.25, 0.5, 0.75, 2.0)]
    assert later == [21, 30, 45, 60, 60]


def test_something_is_always_left() -> None:
    slow = Throttle()
    for _ in range(50):
        slow = slow.slowed(TOO_MANY, NOW)
    assert slow.limit(60, NOW) == 3
    assert slow.limit(1, NOW) == 1


def test_nothing_is_asked_for_a_moment_and_longer_each_time() -> None:
    first = Throttle().slowed(TOO_MANY, NOW)
    second = first.slowed(TOO_MANY, NOW + 5)
    assert first.wait(NOW) == 5.0
    assert first.wait(NOW + 5.1) == 0.0
    assert 9.0 < second.wait(NOW + 5) < 11.0


def test_the_services_own_word_is_kept_and_a_later_shorter_one_cuts_nothing() -> None:
    told = Throttle().slowed(SlowDownError("x", retry_after=300.0), NOW)
    assert told.wait(NOW + 100) == 200.0
    assert told.slowed(TOO_MANY, NOW + 100).wait(NOW + 100) == 200.0


@pytest.mark.parametrize("back", [1.0, 3600.0, 86400.0, 10 * 86400.0])
def test_a_clock_that_was_set_back_keeps_nobody_waiting(back: float) -> None:
    assert Throttle().slowed(TOO_MANY, NOW).wait(NOW - back) == 0.0


def test_it_outlives_the_process() -> None:
    slow = Throttle().slowed(TOO_MANY, NOW)
    assert Throttle.of(slow.saved()) == slow
    assert Throttle.of(None) == Throttle()


def test_a_daily_limit_waits_for_the_day_and_then_asks_once_an_hour() -> None:
    daily = WaitLongError("daily limit", code=87)
    assert seconds_to_next_day(NOW) == 9 * 3600 + 60
    assert pause_for(daily, NOW, None) == 9 * 3600 + 60
    midnight = NOW + 9 * 3600 + 60
    assert pause_for(daily, midnight + 5, midnight) == 3600
    assert pause_for(daily, midnight + 3700, midnight + 3605) == 3600
    assert pause_for(daily, NOW, NOW - 86400) == 9 * 3600 + 60


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (SlowDownError("x", code=67), None),
        (SlowDownError("x", status=429, retry_after=40.0), 40.0),
        (SlowDownError("x", status=429, retry_after=1e9), 86400.0),
        (WaitLongError("the account's", code=20), 3600.0),
        (RetryLaterError("x", status=500), None),
    ],
)
def test_what_makes_everything_rest(error: ServiceError, seconds: float | None) -> None:
    assert pause_for(error, NOW, None) == seconds
