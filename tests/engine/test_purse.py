"""The purse: never more requests than the budget in any minute, whoever restarts or crashes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hisync.engine import Clock
from hisync.errors import UnreachableError
from hisync.mirror.store import Mirror, open_mirror
from hisync.purse import LEASE_LIFE, WINDOW, Purse

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

    @property
    def most(self) -> int:
        """The most requests that any 60 seconds saw."""
        return max(
            (sum(start <= one < start + 60 for one in self.granted) for start in self.granted),
            default=0,
        )


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    path = tmp_path_factory.mktemp("purse") / "mirror.db"
    with open_mirror(f"sqlite:///{path}").acquire() as mirror:
        yield mirror


def fresh(mirror: Mirror, per_minute: int) -> Minute:
    with mirror.booking() as connection:
        connection.exec_driver_sql("DELETE FROM sync_requests")
    return Minute(mirror, per_minute)


# Minutes of requests, pauses, crashes and a second process


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["grant", "grant", "grant", "grant by another", "burst", "crash"]),
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
    while purse.spare():
        minute.grant(purse)
    assert minute.now == START
    assert len(minute.granted) >= per_minute // 2
    left = per_minute - len(minute.granted)
    assert left >= per_minute // 4
    minute.now += WINDOW + LEASE_LIFE
    assert purse.spare()


def test_whether_there_is_some_to_spare_is_known_in_a_new_process(mirror: Mirror) -> None:
    minute = fresh(mirror, 10)
    minute.grant(minute.purse(), 9)
    assert not minute.purse().spare()
    minute.now -= 86_400.0  # a clock that was set back gives nothing away
    assert not minute.purse().spare()


def test_asking_whether_there_is_some_to_spare_books_nothing(mirror: Mirror) -> None:
    minute = fresh(mirror, 10)
    purse = minute.purse()
    for _ in range(50):
        assert purse.spare()
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
