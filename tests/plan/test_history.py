"""What a history proves about comments, and what it doesn't."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from hisync.comment import Comment, Unit
from hisync.plan.history import Look, find_posted, judge, plan_history

NINE = datetime(2026, 3, 2, 9, 0)
ME, ANN = 17, 42


def at(minute: float) -> datetime:
    return NINE + timedelta(minutes=minute)


def said(
    number: int | None, minute: float = 0, text: Any = "hello", user: int | None = ANN
) -> Unit:
    return Unit(number, user, "Ann", "comment", at(minute), text)


def changed(minute: float, name: str = "title", number: int = 900) -> Unit:
    return Unit(number, ANN, "Ann", name, at(minute), "x")


CREATED = Unit(1, ANN, "Ann", "created", at(-60), None)
TEN = [changed(20 + minute) for minute in range(10)]


def comment(number: int, minute: float = 0, text: str = "hello") -> Comment:
    return Comment(f"g{number}", number, "item", ANN, text, at(minute))


def known(*comments: Comment) -> dict[int, Comment]:
    return {c.id: c for c in comments if c.id is not None}


def numbers(comments: Any) -> list[int]:
    return [c.id for c in comments]


def test_new_changed_and_equal_ones() -> None:
    rows = known(comment(5), comment(6))
    plan = plan_history("item", rows, (), [said(7, 3), CREATED, said(6, text="edited"), said(5)], 7)
    assert plan.new == [Comment("", 7, "item", ANN, "hello", at(3))]
    assert plan.changed == [comment(6, text="edited")]
    assert not plan.deleted
    assert not plan.missing


def test_repeated_units_and_units_without_a_number() -> None:
    units = [said(5, 0, "first"), said(5, 0, "first"), said(None), said(6, 1, 12), said(6, 2, None)]
    plan = plan_history("item", {}, (), units, 6)
    assert [(c.id, c.message) for c in plan.new] == [(5, "first"), (6, "")]


def test_a_time_cut_to_the_minute_is_no_change() -> None:
    row = comment(5, 0.5)
    assert plan_history("item", known(row), (), [said(5, 0)], 5).changed == []
    (moved,) = plan_history("item", known(row), (), [said(5, 1)], 5).changed
    assert moved.time_create == at(1)


def test_comments_with_unsent_edits_are_left_alone() -> None:
    plan = plan_history("item", {}, {5}, [CREATED, said(5)], 5)
    assert (plan.new, plan.changed, plan.deleted, plan.missing) == ([], [], [], [])


@pytest.mark.parametrize("value", [5, "5", " 5 "])
def test_a_deleted_one_is_named_by_its_number(value: object) -> None:
    named = Unit(88, ANN, "Ann", "comment_deleted", at(9), value)
    for units in ([*TEN, named], [*TEN, named, said(5)]):
        plan = plan_history("item", known(comment(5), comment(6)), (), units, None)
        assert numbers(plan.deleted) == [5]
        assert plan.changed == []


def test_a_deleted_one_is_named_by_the_units_own_number_unless_it_shows() -> None:
    named = Unit(5, ANN, "Ann", "comment_deleted", at(9), None)
    assert numbers(plan_history("item", known(comment(5)), (), [*TEN, named], None).deleted) == [5]
    plan = plan_history("item", known(comment(5)), (), [*TEN, named, said(5)], 5)
    assert plan.deleted == []


@pytest.mark.parametrize(
    ("units", "missing"),
    [
        ([CREATED, *TEN], [5]),
        ([*TEN[:9], changed(-1)], [5]),
        (TEN[:3], [5]),  # fewer than a free account sees
        (TEN, []),
        ([*TEN[:9], changed(0)], []),  # within the same minute
        ([], []),
    ],
)
def test_what_a_history_lacks_is_missing_only_where_it_reaches_back(
    units: list[Unit], missing: list[int]
) -> None:
    assert numbers(plan_history("item", known(comment(5, 0.5)), (), units, 9).missing) == missing


@pytest.mark.parametrize("units", [[], TEN])
def test_any_history_counts_where_the_item_itself_says_that_it_has_none(units: list[Unit]) -> None:
    assert numbers(plan_history("item", known(comment(5)), (), units, None).missing) == [5]


def find(*units: Unit, text: str = "hello", taken: set[int] | None = None) -> int | None:
    found = find_posted(units, text, account=ME, taken=taken or set(), since=at(5.5))
    return found.id if found else None


def test_a_post_is_found_by_text_sender_and_time() -> None:
    assert find(said(5, 5, user=ME)) == 5  # the times are cut to minutes
    assert find(said(5, 4, user=ME)) is None
    assert find(said(5, 5, user=ANN)) is None
    assert find(said(5, 5, user=None)) == 5
    assert find(said(5, 5, "Hello", user=ME)) is None
    assert find(said(5, 5, user=ME), taken={5}) is None
    assert find(said(5, 6, user=ME), said(6, 5, user=ME)) == 6


@pytest.mark.parametrize("shown", ["a  & b\nc", " a &amp; b c ", "a & b c"])
def test_servers_trim_and_escape_texts(shown: str) -> None:
    assert find(said(5, 6, shown, user=ME), text="a & b\nc ") == 5


@pytest.mark.parametrize(
    ("units", "last", "look"),
    [
        ([CREATED, *TEN], None, Look.ABSENT),
        (TEN, None, Look.CUT_OFF),
        ([*TEN[:9], changed(1)], None, Look.ABSENT),
        ([*TEN[:9], said(3, 20)], 3, Look.ABSENT),  # it was there before
        (TEN[:4], None, Look.ABSENT),
        ([], None, Look.ABSENT),
        ([], 3, Look.UNBELIEVABLE),
        ([CREATED, *TEN], 3, Look.UNBELIEVABLE),
        (TEN, 3, Look.CUT_OFF),
    ],
)
def test_what_it_means_that_a_post_does_not_show(
    units: list[Unit], last: int | None, look: Look
) -> None:
    assert judge(units, since=at(5), before=[3], last=last) is look
