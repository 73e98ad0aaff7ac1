"""One field that both sides have: who changed it, and which value it ends with."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hisync.items import Access, fields_of
from hisync.plan.actions import (
    Action,
    Policy,
    PolicyName,
    RecordConflict,
    RemoveRow,
    Resolution,
    SendUpdate,
    UpdateRow,
)
from hisync.plan.merge import Row, changed_columns, plan_row
from tests.plan.rows import NOON, conflict, policy, task


def merge(
    column: str, base: Any, ours: Any, theirs: Any, decide: Policy | None = None
) -> tuple[Action, ...]:
    row = Row("tasks", task(**{column: base}), task(**{column: ours}), task(**{column: theirs}))
    return plan_row(row, decide or policy())


def outcome(actions: tuple[Action, ...], column: str, ours: Any, theirs: Any) -> tuple[Any, Any]:
    """The two sides' values of a column once the actions are carried out."""
    for action in actions:
        match action:
            case UpdateRow(values) if column in values:
                ours = values[column]
            case SendUpdate(changes) if column in changes:
                theirs = changes[column]
    return ours, theirs


# Equal values agree


@pytest.mark.parametrize(
    ("column", "one", "other"),
    [
        ("message", None, ""),
        ("tags", None, []),
        ("participants", [], None),
        ("alerts", None, []),
        ("location", {}, None),
        ("completed", False, None),
        ("color", 0, None),
        ("due_date", NOON, NOON + timedelta(microseconds=999)),  # the wire has milliseconds
        ("recurring", None, 0),
        ("tags", ["a", "b"], ["b", "a"]),
        ("participants", [7, 7, 8], [8, 7]),
        ("location", {"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ],
)
def test_values_that_mean_the_same_are_no_change(column: str, one: Any, other: Any) -> None:
    for copies in ((one, one, other), (one, other, one), (None, one, other), (one, other, other)):
        assert merge(column, *copies) == ()
    assert changed_columns("tasks", {column: one}, {column: other}) == {}


@pytest.mark.parametrize(
    ("column", "one", "other"),
    [
        ("recurring_interval", 0, None),
        ("time_est_minutes", 0, None),
        ("alerts", [1, 2], [2, 1]),  # a list that is no set has an order
        ("title", "a", "A"),
        ("title", "a", "a "),
        ("due_date", NOON, NOON + timedelta(milliseconds=1)),
        ("assignee_id", None, 7),
    ],
)
def test_values_that_differ_are_a_change(column: str, one: Any, other: Any) -> None:
    assert merge(column, one, other, one) == (SendUpdate({column: other}),)
    assert merge(column, one, one, other) == (UpdateRow({column: other}),)
    assert changed_columns("tasks", {column: one}, {column: other}) == {column: other}


def test_both_sides_changed_to_the_same_value() -> None:
    assert merge("title", "Ann", "Bob", "Bob") == ()
    assert merge("message", "x", None, "") == ()


def test_clearing_a_field_is_a_change_like_any_other() -> None:
    assert merge("message", "x", None, "x") == (SendUpdate({"message": None}),)
    assert merge("message", "x", "x", None) == (UpdateRow({"message": None}),)
    assert merge("message", "x", None, "y") == (
        conflict("message", "x", None, "y"),
        UpdateRow({"message": "y"}),
    )


# What is never empty on hiTask


NEVER_EMPTY = [
    ("priority", 10, 20, [None]),
    ("priority", 10, 0, [None]),
    ("color_value", "#fff", "#000", [None, ""]),
    ("permissions", [1], [2], [None, []]),
]


@pytest.mark.parametrize(("column", "one", "other", "empties"), NEVER_EMPTY)
@pytest.mark.parametrize("decide", ["remote", "local", "newest"])
def test_an_empty_cell_says_nothing_there(
    column: str, one: Any, other: Any, empties: list[Any], decide: PolicyName
) -> None:
    for empty in empties:
        assert merge(column, one, empty, one, policy(decide)) == (UpdateRow({column: one}),)
        assert merge(column, one, empty, other, policy(decide)) == (UpdateRow({column: other}),)
        base, ours = task(title="a", **{column: one}), task(title="a", **{column: empty})
        assert plan_row(Row("tasks", base, ours, None), policy(decide)) == (RemoveRow(),)
    assert merge(column, one, other, one, policy(decide)) == (SendUpdate({column: other}),)
    assert merge(column, one, one, other, policy(decide)) == (UpdateRow({column: other}),)


# What only hiTask writes


@pytest.mark.parametrize(
    "column",
    [c for c, f in fields_of("tasks").items() if f.access is Access.READ_ONLY and c != "shared"],
)
@pytest.mark.parametrize("decide", ["remote", "local", "newest"])
def test_a_read_only_field_is_always_taken_from_there(column: str, decide: PolicyName) -> None:
    actions = merge(column, 1, 2, 3, policy(decide))
    assert actions == (UpdateRow({column: 3}),)
    assert merge(column, 1, 2, 1, policy(decide)) == (UpdateRow({column: 1}),)


def test_a_read_only_flag_is_taken_from_there() -> None:
    assert merge("shared", False, True, False, policy("local")) == (UpdateRow({"shared": False}),)
    assert merge("shared", False, False, True, policy("local")) == (UpdateRow({"shared": True}),)


def test_the_category_of_an_existing_item_is_hitasks() -> None:
    base = dict.fromkeys(fields_of("other_items")) | {"category": 6, "title": "a"}
    row = Row("other_items", base, base | {"category": 7}, base)
    assert plan_row(row, policy("local")) == (UpdateRow({"category": 6}),)


# Two values for one field


EARLIER, LATER = NOON - timedelta(seconds=1), NOON + timedelta(seconds=1)

POLICIES: list[tuple[Policy, datetime | None, datetime | None, Resolution]] = [
    # policy, edited here, updated there, winner
    (policy("remote"), LATER, EARLIER, "remote"),
    (policy("local"), EARLIER, LATER, "local"),
    (policy("newest"), LATER, NOON, "local"),
    (policy("newest"), EARLIER, NOON, "remote"),
    (policy("newest"), NOON, NOON, "remote"),
    (policy("newest"), None, NOON, "remote"),
    (policy("newest"), NOON, None, "remote"),
    (policy("newest"), None, None, "remote"),
    (policy("remote", title="local"), None, None, "local"),
    (policy("local", title="remote"), None, None, "remote"),
    (policy("remote", title="newest"), LATER, NOON, "local"),
    (policy("local", message="remote"), None, None, "local"),
]


@pytest.mark.parametrize(("decide", "edited", "updated", "winner"), POLICIES)
def test_the_policy_decides(
    decide: Policy, edited: datetime | None, updated: datetime | None, winner: Resolution
) -> None:
    row = Row(
        "tasks",
        task(title="Ann", time_last_update=updated),
        task(title="Bob", time_last_update=updated),
        task(title="Carl", time_last_update=updated),
        {"title": edited} if edited else {},
    )
    decided = decide.of("title")
    recorded = conflict("title", "Ann", "Bob", "Carl", winner, decided)
    then = SendUpdate({"title": "Bob"}) if winner == "local" else UpdateRow({"title": "Carl"})
    assert plan_row(row, decide) == (recorded, then)


def test_each_field_is_decided_by_its_own_policy_and_recorded() -> None:
    base, ours = task(title="a", message="a", priority=1), task(title="b", message="b", priority=2)
    theirs = task(title="c", message="c", priority=3)
    actions = plan_row(Row("tasks", base, ours, theirs), policy("remote", message="local"))
    assert actions == (
        conflict("title", "a", "b", "c"),
        conflict("message", "a", "b", "c", "local", "local"),
        conflict("priority", 1, 2, 3),
        UpdateRow({"title": "c", "priority": 3}),
        SendUpdate({"message": "b"}),
    )


# Lists that merge as sets


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "merged"),
    [
        (["a"], ["a", "b"], ["a"], ["a", "b"]),
        (["a"], ["a"], ["a", "c"], ["a", "c"]),
        (["a"], ["a", "b"], ["a", "c"], ["a", "c", "b"]),
        (["a", "b"], ["b"], ["a"], []),
        (["a", "b"], ["b"], ["a", "b", "c"], ["b", "c"]),
        (["a"], None, ["a", "b"], ["b"]),
        (None, ["a"], ["b"], ["b", "a"]),
        (["a"], [], None, []),
    ],
)
def test_both_sides_additions_and_removals_are_kept(
    base: Any, ours: Any, theirs: Any, merged: list[str]
) -> None:
    actions = merge("tags", base, ours, theirs, policy("local"))
    assert not [a for a in actions if isinstance(a, RecordConflict)]
    here, there = outcome(actions, "tags", ours, theirs)
    assert (here or [], there or []) == (merged, merged)


def test_the_merged_list_is_written_in_one_order() -> None:
    assert merge("tags", None, ["b", "a"], ["a"]) == (
        UpdateRow({"tags": ["a", "b"]}),
        SendUpdate({"tags": ["a", "b"]}),
    )


NAMES = st.none() | st.lists(st.sampled_from("abcdef"), max_size=6)


@given(NAMES, NAMES, NAMES)
def test_a_set_merge_has_no_sides_and_loses_nothing(base: Any, ours: Any, theirs: Any) -> None:
    here, there = outcome(merge("tags", base, ours, theirs), "tags", ours, theirs)
    # Turned around: what was theirs is ours.
    back, forth = outcome(merge("tags", base, theirs, ours), "tags", theirs, ours)
    results = [set(one or ()) for one in (here, there, back, forth)]
    assert all(one == results[0] for one in results)
    before, mine, yours = (set(one or ()) for one in (base, ours, theirs))
    assert results[0] >= (mine - before) | (yours - before)
    assert not results[0] & (before - mine)
    assert not results[0] & (before - yours)
    assert results[0] <= mine | yours


# Dates and days


def test_turning_an_item_all_day_sends_its_dates_along() -> None:
    """The same cells now mean days: on the wire they are other texts."""
    dates = {"start_date": NOON, "due_date": NOON, "recurring_end_date": NOON}
    base = task(title="a", is_all_day=False, **dates)
    ours = base | {"is_all_day": True}
    assert plan_row(Row("tasks", base, ours, base), policy()) == (
        SendUpdate({"is_all_day": True, **dates}),
    )
    assert plan_row(Row("tasks", ours, base, ours), policy()) == (
        SendUpdate({"is_all_day": False, **dates}),
    )


def test_the_dates_that_are_sent_along_are_the_merged_ones() -> None:
    base = task(due_date=NOON, start_date=NOON)
    ours = base | {"is_all_day": True, "start_date": EARLIER}
    theirs = base | {"due_date": LATER}
    assert plan_row(Row("tasks", base, ours, theirs), policy()) == (
        UpdateRow({"due_date": LATER}),
        SendUpdate({"is_all_day": True, "start_date": EARLIER, "due_date": LATER}),
    )


def test_a_cleared_date_is_sent_as_cleared() -> None:
    base = task(due_date=NOON)
    ours = base | {"is_all_day": True, "due_date": None}
    assert plan_row(Row("tasks", base, ours, base), policy()) == (
        SendUpdate({"is_all_day": True, "due_date": None}),
    )


def test_all_day_set_there_only_sends_nothing() -> None:
    base = task(due_date=NOON)
    actions = plan_row(Row("tasks", base, base, base | {"is_all_day": True}), policy())
    assert actions == (UpdateRow({"is_all_day": True}),)


def test_columns_of_other_tables_are_not_looked_at() -> None:
    base: dict[str, Any] = {"title": "a", "short_name": "x", "file_size": 1}
    row = Row("tasks", base, base | {"short_name": "y"}, base | {"file_size": 2})
    assert plan_row(row, policy()) == ()
    row = Row("projects", base, base | {"short_name": "y"}, base)
    assert plan_row(row, policy()) == (SendUpdate({"short_name": "y"}),)
