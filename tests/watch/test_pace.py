"""When the daemon asks next: the configuration bounds it on both sides."""

from __future__ import annotations

import pytest

from hisync.budget.pace import LONGEST_LOCAL_WAIT, LONGEST_WAIT, Pace
from hisync.errors import BusyError, LostServerError, RetryLaterError, SlowDownError, StopError

HOUR = 3600.0


@pytest.mark.parametrize(
    ("idle", "seconds"),
    [(0, 60), (HOUR - 1, 60), (HOUR, 120), (2 * HOUR, 240), (3 * HOUR, 300), (30 * 24 * HOUR, 300)],
)
def test_polls_become_fewer_while_nothing_changes(idle: float, seconds: float) -> None:
    assert Pace(60, 300, 1000.0).interval(1000.0 + idle) == seconds


def test_a_change_brings_them_back_at_once() -> None:
    pace = Pace(60, 300, 0.0)
    assert pace.interval(9 * HOUR) == 300
    pace.note_work(9 * HOUR)
    assert pace.interval(9 * HOUR + 1) == 60


@pytest.mark.parametrize("quiet", [0.0, 60.0, 10.0])
def test_they_never_slow_down_where_that_is_not_wanted(quiet: float) -> None:
    assert Pace(60, quiet, 0.0).interval(1000 * HOUR) == 60


def test_a_clock_that_was_set_back_speeds_nothing_up() -> None:
    assert Pace(60, 300, 9 * HOUR).interval(0.0) == 60


def test_trouble_that_lasts_is_asked_about_less_and_less() -> None:
    pace = Pace(60, 300, 0.0)
    waits = [pace.note_trouble(RetryLaterError("down")) for _ in range(7)]
    assert waits == [60, 120, 240, 480, LONGEST_WAIT, LONGEST_WAIT, LONGEST_WAIT]
    pace.note_success()
    assert pace.note_trouble(RetryLaterError("down")) == 60


def test_a_refused_login_is_tried_rarely_from_the_start() -> None:
    pace = Pace(1, 300, 0.0)
    assert [pace.note_trouble(StopError("no")) for _ in range(5)] == [900, 1800, 3600, 3600, 3600]


def test_the_services_own_word_is_the_least() -> None:
    assert Pace(1, 1, 0.0).note_trouble(SlowDownError("x", retry_after=5000.0)) == 5000.0


def test_the_databases_trouble_is_looked_at_more_often() -> None:
    pace = Pace(60, 300, 0.0)
    assert [pace.note_trouble(BusyError("locked")) for _ in range(3)] == [LONGEST_LOCAL_WAIT] * 3


def test_a_database_server_that_went_away_is_tried_again_within_seconds() -> None:
    pace = Pace(60, 300, 0.0)
    waits = [pace.note_trouble(LostServerError("gone")) for _ in range(8)]
    assert waits == [1, 2, 5, 10, 20, 30, 30, 30]
    assert pace.note_trouble(RetryLaterError("down")) == 60  # hiTask's trouble has just begun
    pace.note_success()
    assert pace.note_trouble(LostServerError("gone")) == 1
