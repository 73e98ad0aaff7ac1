"""The purse: never more requests than the budget in any minute, whoever restarts or crashes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, event
from structlog.testing import capture_logs

from hisync.budget.purse import LEASE_LIFE, WINDOW, Purse
from hisync.budget.shares import STARVED
from hisync.engine import Clock
from hisync.errors import RetryLaterError, SlowDownError, UnreachableError
from hisync.mirror import requests
from hisync.mirror.store import Mirror, open_mirror
from tests import postgres

START = 1_772_442_000.0


@dataclass
class Minute:
    """Virtual time, and when each request was granted."""

    mirror: Mirror
    per_minute: int
    now: float = START
    granted: list[float] = field(default_factory=list)
    stopping: bool = False

    def purse(self) -> Purse:
        """The purse of a process that just started."""
        return Purse(
            self.mirror,
            self.per_minute,
            clock=Clock(lambda: self.now),
            pause=self.pause,
            stopping=lambda: self.stopping,
        )

    def pause(self, seconds: float) -> None:
        assert 0 < seconds <= WINDOW + LEASE_LIFE
        self.now += seconds

    def grant(self, purse: Purse, times: int = 1) -> None:
        for _ in range(times):
            purse.grant("test")
            self.granted.append(self.now)

    def book_ahead(self, purse: Purse, seconds: float, *, commit: bool = True) -> None:
        """What the end of a cycle does."""
        with self.mirror.writing(commit=commit) as connection:
            committed = purse.keep_books(connection, seconds)
        if commit:
            committed()

    def used(self) -> dict[tuple[str, str], int]:
        with self.mirror.reading() as connection:
            return requests.usage_since(connection, self.now, 60)

    @property
    def most(self) -> int:
        """The most requests that any 60 seconds saw."""
        return max(
            (sum(start <= one < start + 60 for one in self.granted) for start in self.granted),
            default=0,
        )


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
)
def mirror(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mirror]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('purse') / 'mirror.db'}"
    else:
        url = postgres.server().url(postgres.server().create())
    with open_mirror(url).acquire() as mirror:
        yield mirror


def fresh(mirror: Mirror, per_minute: int) -> Minute:
    with mirror.booking() as connection:
        for table in ("sync_requests", "sync_usage", "sync_state WHERE key = 'throttle'"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    return Minute(mirror, per_minute)


# Minutes of requests, pauses, crashes and a second process


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["grant", "grant", "grant", "grant by another", "burst", "crash", "ahead", "complaint"]
        ),
        st.sampled_from([0.0, 0.0, 0.1, 1.0, 4.9, 5.0, 5.1, 30.0, 54.9, 55.5, 60.5, 61.0]),
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(per_minute=st.sampled_from([1, 2, 7, 30]), steps=STEPS)
def test_no_minute_sees_more_than_the_budget(
    mirror: Mirror, per_minute: int, steps: list[tuple[str, float]]
) -> None:
    minute = fresh(mirror, per_minute)
    purse, another = minute.purse(), minute.purse()
    for action, gap in steps:
        minute.now += gap
        match action:
            case "grant":
                minute.grant(purse)
            case "grant by another":
                minute.grant(another)
            case "burst":
                minute.grant(purse, 5)
            case "ahead":
                minute.book_ahead(purse, 60.0)
            case "complaint":
                purse.settle("test", SlowDownError("too many", code=67))
            case _:
                purse = minute.purse()  # whatever it had booked is lost
    assert minute.most <= per_minute


def test_a_crash_right_after_booking_gives_nothing_away(mirror: Mirror) -> None:
    """Booked early, made late, then a new process a minute after the booking."""
    minute = fresh(mirror, 10)
    purse = minute.purse()
    for _ in range(10):
        minute.grant(purse)
        minute.now += 0.5
    minute.now = START + WINDOW + 0.6
    minute.grant(minute.purse(), 10)
    assert minute.most <= 10


# It does not ask for more patience than it must


@pytest.mark.parametrize("per_minute", [1, 10, 60])
def test_the_whole_budget_is_there_at_once(mirror: Mirror, per_minute: int) -> None:
    minute = fresh(mirror, per_minute)
    minute.grant(minute.purse(), per_minute)
    assert minute.now == START


@pytest.mark.parametrize("per_minute", [1, 10, 60])
def test_the_next_one_waits_about_a_minute(mirror: Mirror, per_minute: int) -> None:
    minute = fresh(mirror, per_minute)
    minute.grant(minute.purse(), per_minute + 1)
    assert START + 60 < minute.now <= START + WINDOW + LEASE_LIFE
    assert minute.most <= per_minute


def test_one_request_a_minute_never_waits(mirror: Mirror) -> None:
    minute = fresh(mirror, 2)
    purse = minute.purse()
    for number in range(5):
        minute.now = START + 60.0 * number
        minute.grant(purse)
        assert minute.now == START + 60.0 * number


def test_a_clock_that_was_set_back_costs_a_window_at_most(mirror: Mirror) -> None:
    minute = fresh(mirror, 10)
    purse = minute.purse()
    minute.grant(purse, 10)
    minute.now -= 86_400.0
    minute.granted.clear()
    minute.grant(purse, 10)
    assert minute.now <= START - 86_400.0 + WINDOW + LEASE_LIFE
    assert minute.most <= 10


# What can wait asks first


@pytest.mark.parametrize("per_minute", [1, 2, 7, 60])
def test_what_can_wait_leaves_a_quarter_and_never_waits(mirror: Mirror, per_minute: int) -> None:
    minute = fresh(mirror, per_minute)
    purse = minute.purse()
    while purse.spare("history"):
        minute.grant(purse)
    assert minute.now == START
    assert len(minute.granted) >= per_minute // 2
    left = per_minute - len(minute.granted)
    assert left >= per_minute // 4
    minute.now += WINDOW + LEASE_LIFE
    assert purse.spare("history")


def test_whether_there_is_some_to_spare_is_known_in_a_new_process(mirror: Mirror) -> None:
    minute = fresh(mirror, 10)
    minute.grant(minute.purse(), 9)
    assert not minute.purse().spare("history")
    minute.now -= 86_400.0  # a clock that was set back gives nothing away
    assert not minute.purse().spare("history")


def test_asking_whether_there_is_some_to_spare_books_nothing(mirror: Mirror) -> None:
    minute = fresh(mirror, 10)
    purse = minute.purse()
    for _ in range(50):
        assert purse.spare("history")
    minute.grant(purse, 10)
    assert minute.now == START


def test_stopping_ends_the_wait_without_a_request(mirror: Mirror) -> None:
    minute = fresh(mirror, 1)
    purse = minute.purse()
    minute.grant(purse)
    minute.stopping = True
    with pytest.raises(UnreachableError, match="the request was not made"):
        purse.grant("test")


def test_the_books_forget_what_is_over(mirror: Mirror) -> None:
    minute = fresh(mirror, 60)
    purse = minute.purse()
    for number in range(20):
        minute.now = START + 60.0 * number
        minute.grant(purse)
    with mirror.reading() as connection:
        count = connection.exec_driver_sql("SELECT count(*) FROM sync_requests").scalar_one()
    assert count <= 2


def test_the_books_are_no_edit_of_peoples(mirror: Mirror) -> None:
    minute = fresh(mirror, 60)
    minute.grant(minute.purse(), 30)
    with mirror.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM change_log").scalar_one() == 0


# What hiTask complains about


def test_a_wait_is_said_but_not_before_each_request_of_a_long_queue(mirror: Mirror) -> None:
    minute = fresh(mirror, 10)
    purse = minute.purse()
    with capture_logs() as logs:
        for number in range(30):
            minute.grant(purse)
            minute.now += 0.5 if number < 10 else 0.1
    waits = [line["wait_seconds"] for line in logs if line["event"] == "budget_spent"]
    assert 1 <= len(waits) <= 6
    assert min(waits) >= 1


def test_a_complaint_slows_everything_and_the_budget_comes_back(mirror: Mirror) -> None:
    minute = fresh(mirror, 60)
    purse = minute.purse()
    purse.settle("delta", SlowDownError("too many", code=67))
    minute.grant(purse)
    assert minute.now == START + 5.0  # a moment of rest
    minute.grant(purse, 29)
    assert minute.now == START + 5.0
    minute.grant(purse)
    assert minute.now > START + 60
    minute.now = START + 2000
    minute.granted.clear()
    minute.grant(purse, 60)
    assert minute.now == START + 2000


def test_a_complaint_is_known_in_a_new_process_and_in_one_beside_it(mirror: Mirror) -> None:
    minute = fresh(mirror, 60)
    beside = minute.purse()
    minute.purse().settle("delta", RetryLaterError("overloaded", code=66))
    assert not beside.spare("history")
    minute.grant(beside)
    assert minute.now == START + 5.0
    minute.grant(minute.purse(), 30)
    assert minute.now > START + 60


def test_a_long_rest_is_not_waited_for(mirror: Mirror) -> None:
    minute = fresh(mirror, 60)
    purse = minute.purse()
    purse.settle("delta", SlowDownError("x", status=429, retry_after=600.0))
    with pytest.raises(SlowDownError) as raised:
        purse.grant("test")
    assert raised.value.retry_after == 600.0
    assert minute.now == START


# Nobody starves


def test_what_found_nothing_to_spare_for_long_gets_its_turn(mirror: Mirror) -> None:
    """Edits take the whole budget all the time, and comments are read all the same."""
    minute = fresh(mirror, 10)
    purse = minute.purse()
    turns = []
    assert purse.spare("history")
    while minute.now < START + 3 * STARVED:
        minute.now += WINDOW + LEASE_LIFE
        minute.grant(purse, 10)
        if purse.spare("history"):
            minute.grant(purse)
            turns.append(minute.now)
    assert len(turns) == 2
    assert minute.most <= 10


def test_people_leave_more_than_comments(mirror: Mirror) -> None:
    minute = fresh(mirror, 20)
    purse = minute.purse()
    minute.grant(purse, 13)
    assert (purse.spare("history"), purse.spare("people")) == (True, False)


# The books


def test_every_request_is_booked_with_its_cause_and_outcome(mirror: Mirror) -> None:
    minute = fresh(mirror, 60)
    purse = minute.purse()
    for cause, error in [("delta", None), ("delta", RetryLaterError("x")), ("update", None)]:
        purse.grant(cause)
        purse.settle(cause, error)
    purse.close()
    assert minute.used() == {("delta", "ok"): 1, ("delta", "failed"): 1, ("update", "ok"): 1}
    minute.now += 30 * 60
    purse.grant("delta")
    purse.settle("delta", None)
    purse.close()
    assert minute.used()["delta", "ok"] == 2
    minute.now += 31 * 60
    assert minute.used() == {("delta", "ok"): 1}


def test_what_was_not_committed_is_not_spent(mirror: Mirror) -> None:
    minute = fresh(mirror, 60)
    purse = minute.purse()
    purse.settle("delta", None)
    minute.book_ahead(purse, 60.0, commit=False)
    minute.now += 60.0
    minute.grant(purse)
    with mirror.reading() as connection:
        assert requests.booked_since(connection, START - 1) == 1
    assert minute.used() == {("delta", "ok"): 1}


def test_a_request_booked_ahead_takes_no_commit_of_its_own(mirror: Mirror) -> None:
    minute = fresh(mirror, 60)
    purse = minute.purse()
    minute.book_ahead(purse, 60.0)
    minute.now += 60.0
    commits: list[Connection] = []

    def note(connection: Connection) -> None:
        commits.append(connection)

    event.listen(mirror.engine, "commit", note)
    minute.grant(purse)
    assert commits == []
    minute.now += 2 * WINDOW  # what was booked has lapsed
    minute.grant(purse)
    event.remove(mirror.engine, "commit", note)
    assert len(commits) == 1


@pytest.mark.parametrize("per_minute", [1, 2, 3])
def test_a_small_budget_is_not_booked_ahead(mirror: Mirror, per_minute: int) -> None:
    minute = fresh(mirror, per_minute)
    minute.book_ahead(minute.purse(), 60.0)
    minute.grant(minute.purse(), per_minute)
    assert minute.now == START


@pytest.mark.parametrize(("per_minute", "at_once"), [(600, 10), (60, 9), (30, 4), (3, 1)])
def test_what_may_be_made_at_once_is_booked(mirror: Mirror, per_minute: int, at_once: int) -> None:
    minute = fresh(mirror, per_minute)
    purse = minute.purse()
    minute.grant(purse)
    assert purse.ready() == at_once
    assert purse.ready() == at_once
    before = minute.now
    minute.grant(purse, at_once)
    assert minute.now == before


def test_nothing_is_ready_once_the_budget_is_spent(mirror: Mirror) -> None:
    minute = fresh(mirror, 20)
    purse = minute.purse()
    minute.grant(purse, 20)
    assert purse.ready() == 1
    assert minute.now == START
