"""The table of the design, row by row: what became of each side of a row, and what follows."""

from __future__ import annotations

from typing import Any

import pytest

from hisync.items import Values
from hisync.plan.actions import (
    Action,
    Forget,
    InsertRow,
    RemoveRow,
    Resolution,
    SendArchive,
    SendCreate,
    SendDelete,
    SendUpdate,
    UpdateRow,
)
from hisync.plan.merge import Row, plan_row
from tests.plan.rows import conflict, policy, task

BASE = task(title="Call Ann", priority=10, tags=["home"], version=3)
OURS = BASE | {"title": "Call Bob"}
THEIRS = BASE | {"priority": 20, "version": 4}
BOTH_TITLE = BASE | {"title": "Call Carl", "version": 4}
GONE = None
NEVER = None


def plan(base: Values | None, local: Values | None, remote: Values | None) -> tuple[Action, ...]:
    return plan_row(Row("tasks", base, local, remote), policy())


TABLE = [
    # local against base, remote against base, base, local, remote, then
    ("same", "same", BASE, BASE, BASE, ()),
    ("same", "changed", BASE, BASE, THEIRS, (UpdateRow({"priority": 20, "version": 4}),)),
    ("changed", "same", BASE, OURS, BASE, (SendUpdate({"title": "Call Bob"}),)),
    (
        "changed",
        "changed elsewhere",
        BASE,
        OURS,
        THEIRS,
        (UpdateRow({"priority": 20, "version": 4}), SendUpdate({"title": "Call Bob"})),
    ),
    (
        "changed",
        "changed likewise",
        BASE,
        OURS,
        OURS | {"version": 4},
        (UpdateRow({"version": 4}),),
    ),
    (
        "changed",
        "changed to another value",
        BASE,
        OURS,
        BOTH_TITLE,
        (
            conflict("title", "Call Ann", "Call Bob", "Call Carl"),
            UpdateRow({"title": "Call Carl", "version": 4}),
        ),
    ),
    ("gone", "same", BASE, GONE, BASE, (SendDelete(),)),
    ("same", "gone", BASE, BASE, GONE, (RemoveRow(),)),
    (
        "gone",
        "changed",
        BASE,
        GONE,
        THEIRS,
        (InsertRow(THEIRS), conflict(None, {"priority": 10}, None, {"priority": 20})),
    ),
    (
        "changed",
        "gone",
        BASE,
        OURS,
        GONE,
        (conflict("title", "Call Ann", "Call Bob", None), RemoveRow()),
    ),
    ("gone", "gone", BASE, GONE, GONE, (Forget(),)),
    (
        "new",
        "never there",
        NEVER,
        OURS,
        NEVER,
        (SendCreate({c: v for c, v in OURS.items() if c != "archived"}),),
    ),
    ("never there", "new", NEVER, NEVER, THEIRS, (InsertRow(THEIRS),)),
    ("never there", "never there", NEVER, NEVER, NEVER, ()),
]


@pytest.mark.parametrize(
    ("base", "local", "remote", "then"),
    [pytest.param(*case[2:], id=f"{case[0]} - {case[1]}") for case in TABLE],
)
def test_what_follows(
    base: Values | None, local: Values | None, remote: Values | None, then: tuple[Action, ...]
) -> None:
    assert plan(base, local, remote) == then


def test_a_row_that_is_new_on_both_sides_is_merged_as_if_it_had_been_empty() -> None:
    ours = task(title="Call Ann", message="at noon", tags=["home"])
    theirs = task(title="Call Ann", priority=20, tags=["work"], version=1)
    assert plan(None, ours, theirs) == (
        UpdateRow({"tags": ["work", "home"], "priority": 20, "version": 1}),
        SendUpdate({"message": "at noon", "tags": ["work", "home"]}),
    )


def test_what_only_hitask_writes_is_no_edit_there() -> None:
    """A deletion here stands although the item's counters went on there."""
    assert plan(BASE, None, BASE | {"unread": 3, "version": 9}) == (SendDelete(),)


def test_what_only_hitask_writes_is_no_edit_here() -> None:
    assert plan(BASE, BASE | {"version": 99}, None) == (RemoveRow(),)
    assert plan(BASE, BASE | {"version": 99}, BASE) == (UpdateRow({"version": 3}),)


# Gone there, edited here


@pytest.mark.parametrize(
    ("policies", "kept"),
    [
        (policy("local"), True),
        (policy("remote"), False),
        (policy("newest"), False),
        (policy("remote", title="local"), True),
        (policy("local", title="remote"), False),
        (policy("remote", message="local"), False),  # of a field that nobody edited here
    ],
)
def test_the_policy_decides_whether_an_edit_makes_a_lost_item_anew(
    policies: Any, kept: bool
) -> None:
    actions = plan_row(Row("tasks", BASE, OURS, None), policies)
    resolution: Resolution = "local" if kept else "remote"
    assert actions[0] == conflict(
        "title", "Call Ann", "Call Bob", None, resolution, policies.of("title")
    )
    (last,) = actions[1:]
    assert isinstance(last, SendCreate if kept else RemoveRow)
    if isinstance(last, SendCreate):
        assert last.values["title"] == "Call Bob"
        assert last.values["tags"] == ["home"]


# Archived


def test_an_archived_row_is_archived_there_and_nothing_else_is_sent() -> None:
    assert plan(BASE, BASE | {"archived": True}, BASE) == (SendArchive(),)


def test_an_edit_of_an_archived_row_goes_first() -> None:
    ours = OURS | {"archived": True}
    assert plan(BASE, ours, BASE) == (SendUpdate({"title": "Call Bob"}), SendArchive())


def test_a_row_that_is_new_and_archived_is_created_first() -> None:
    create, archive = plan(None, task(title="Call Ann", archived=True), None)
    assert isinstance(create, SendCreate)
    assert "archived" not in create.values
    assert archive == SendArchive()


def test_archived_here_and_gone_there_agree() -> None:
    assert plan(BASE, BASE | {"archived": True}, None) == (RemoveRow(),)


def test_archived_here_and_edited_there_takes_the_edit_along() -> None:
    actions = plan(BASE, BASE | {"archived": True}, THEIRS)
    assert actions == (UpdateRow({"priority": 20, "version": 4}), SendArchive())


def test_an_edit_outlives_the_archiving_when_the_item_is_gone() -> None:
    ours = OURS | {"archived": True}
    assert plan(BASE, ours, None) == (
        conflict("title", "Call Ann", "Call Bob", None),
        RemoveRow(),
    )
