"""What holds for every three copies of a row: both sides end equal, and nobody's words are lost.

The plan is carried out by a little applier of its own, which shares no code with the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hisync.plan.actions import (
    Action,
    Forget,
    InsertRow,
    Policy,
    RecordConflict,
    RemoveRow,
    SendArchive,
    SendCreate,
    SendDelete,
    SendUpdate,
    UpdateRow,
)
from hisync.plan.merge import Row, plan_row
from tests.plan.rows import NOON, task

MOMENTS = st.none() | st.integers(0, 3).map(lambda n: NOON + timedelta(hours=n))
SETS = {"tags": "abc", "participants": (7, 8, 9)}
WRITTEN_THERE = ("version", "time_last_update", "unread")

# Small pools, so that the copies often agree.
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "title": st.sampled_from(["a", "b", "c"]),
    "message": st.sampled_from([None, "", "x", "y"]),
    "priority": st.sampled_from([None, 10, 20]),
    "recurring_interval": st.sampled_from([None, 0, 1]),
    "completed": st.booleans(),
    "is_all_day": st.booleans(),
    "start_date": MOMENTS,
    "due_date": MOMENTS,
    "location": st.sampled_from([None, {}, {"at": [1, None]}, {"at": "x"}]),
    "tags": st.none() | st.lists(st.sampled_from(SETS["tags"]), max_size=3),
    "participants": st.none() | st.lists(st.sampled_from(SETS["participants"]), max_size=3),
    "version": st.integers(1, 3),
    "time_last_update": MOMENTS,
    "unread": st.sampled_from([None, 1]),
}
SOME = st.dictionaries(st.sampled_from([*VALUES]), st.none(), max_size=5).flatmap(
    lambda columns: st.fixed_dictionaries({column: VALUES[column] for column in columns})
)
POLICIES = st.builds(
    Policy,
    st.sampled_from(["remote", "local", "newest"]),
    st.dictionaries(
        st.sampled_from([*VALUES]), st.sampled_from(["remote", "local", "newest"]), max_size=3
    ),
)
EDITS: st.SearchStrategy[dict[str, datetime]] = st.dictionaries(
    st.sampled_from([*VALUES]),
    st.integers(0, 3).map(lambda n: NOON + timedelta(hours=n)),
    max_size=3,
)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    """Three copies, the later ones made from the first by a few edits; any may be missing."""
    base = task(**draw(SOME)) if draw(st.integers(0, 4)) else None

    def side() -> dict[str, Any] | None:
        edits: dict[str, Any] = draw(SOME)
        return (base or task()) | edits if draw(st.integers(0, 4)) else None

    local, remote = side(), side()
    if local is not None and not draw(st.integers(0, 4)):
        local = local | {"archived": True}
    return Row("tasks", base, local, remote, draw(EDITS))


@dataclass
class Outcome:
    """Both sides after a plan; `left` is the state of an item that left both."""

    local: dict[str, Any] | None
    remote: dict[str, Any] | None
    left: dict[str, Any] | None = None


def carry_out(actions: Sequence[Action], row: Row) -> Outcome:
    """The mirror's actions on the mirror, then the sends on a hiTask that does as it is told."""
    local = dict(row.local) if row.local is not None else None
    remote = dict(row.remote) if row.remote is not None else None
    left = None
    for action in actions:
        match action:
            case InsertRow(values):
                assert local is None
                local = dict(values)
            case UpdateRow(values):
                assert local is not None
                local |= values
            case RemoveRow() | Forget():
                left, local = local, None
            case SendCreate(values):
                assert remote is None
                remote = dict(values)
            case SendUpdate(changes):
                assert remote is not None
                remote |= changes
            case SendArchive() | SendDelete():
                left, remote, local = remote, None, None
            case RecordConflict():
                pass
    return Outcome(local, remote, left)


def canonical(values: dict[str, Any] | None) -> dict[str, Any] | None:
    """What a row says, empty things left out and sets without their order."""
    if values is None:
        return None
    said = {c: frozenset(v) if c in SETS else v for c, v in values.items() if v not in (None, "")}
    return {c: v for c, v in said.items() if v is not False and v not in ([], {}, frozenset())}


@settings(max_examples=120)
@given(rows(), POLICIES)
def test_both_sides_end_equal_and_a_second_plan_has_nothing_to_do(row: Row, policy: Policy) -> None:
    after = carry_out(plan_row(row, policy), row)
    assert canonical(after.local) == canonical(after.remote)
    again = Row("tasks", after.remote, after.local, after.remote, row.edited_at)
    assert plan_row(again, policy) == ()


@settings(max_examples=120)
@given(rows(), POLICIES)
def test_nothing_that_anyone_wrote_is_lost(row: Row, policy: Policy) -> None:
    actions = plan_row(row, policy)
    after = carry_out(actions, row)
    final = canonical(after.remote or after.left) or {}
    base, kept = canonical(dict(row.base or task())) or {}, kept_values(actions)
    for side, other in ((row.local, row.remote), (row.remote, row.local)):
        if side is None:
            continue
        for column, value in (canonical(dict(side)) or {}).items():
            known = column in WRITTEN_THERE or column == "archived"
            if known or value == base.get(column):
                continue
            if column in SETS and other is not None:
                added = value - base.get(column, frozenset())
                assert added <= final.get(column, frozenset())
            else:
                assert value == final.get(column) or value in kept.get(column, [])


def kept_values(actions: Sequence[Action]) -> dict[str, list[Any]]:
    """What conflicts keep, by column."""
    kept: dict[str, list[Any]] = {}
    for action in actions:
        if isinstance(action, RecordConflict):
            for value in (action.local, action.remote):
                each = {action.field: value} if action.field else value or {}
                for column, one in (canonical(each) or {}).items():
                    kept.setdefault(column, []).append(one)
    return kept


@settings(max_examples=40)
@given(rows(), POLICIES)
def test_a_conflict_is_recorded_only_where_both_sides_wrote(row: Row, policy: Policy) -> None:
    base = canonical(dict(row.base or task())) or {}
    for action in plan_row(row, policy):
        if isinstance(action, RecordConflict) and action.field is not None and row.remote:
            column = action.field
            ours = (canonical(dict(row.local or {})) or {}).get(column)
            theirs = (canonical(dict(row.remote)) or {}).get(column)
            assert len({repr(v) for v in (base.get(column), ours, theirs)}) == 3
            assert action.resolution in {"local", "remote"}
            assert action.policy == policy.of(column)


@settings(max_examples=40)
@given(rows(), POLICIES)
def test_only_writable_fields_that_differ_are_sent(row: Row, policy: Policy) -> None:
    dates = {"start_date", "due_date"}
    for action in plan_row(row, policy):
        if isinstance(action, SendUpdate):
            before, after = canonical(dict(row.remote or {})), canonical(dict(action.changes))
            assert before is not None
            assert after is not None
            assert not action.changes.keys() & {*WRITTEN_THERE, "archived"}
            same = {c for c in action.changes if after.get(c) == before.get(c)}
            assert same <= (dates if "is_all_day" in action.changes else set())


@settings(max_examples=40)
@given(rows(), POLICIES)
def test_the_plan_is_pure(row: Row, policy: Policy) -> None:
    before = deepcopy((row, policy))
    first = plan_row(row, policy)
    assert (row, policy) == before
    assert plan_row(row, policy) == first
