"""What a write's arrival proves: the base to merge with afterwards, and how the changes end."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hisync.change import Change
from hisync.items import fields_of
from hisync.plan.actions import (
    Action,
    InsertRow,
    RecordConflict,
    SendArchive,
    SendCreate,
    SendDelete,
    SendUpdate,
    UpdateRow,
)
from hisync.plan.merge import Row, plan_row
from hisync.plan.proof import (
    Ending,
    base_after_write,
    columns_edited_after,
    end_changes,
    last_edits,
    unsent_columns,
)
from tests.plan.rows import change, conflict, policy, task

NEW = object()
"""Stands for the base of an item that the write created."""


@dataclass(frozen=True)
class Case:
    """One write of a title, and what the item shows afterwards."""

    name: str
    base: Any
    sent: str | None
    remote: str
    local: str | None
    then: tuple[Action, ...]
    edited: bool = False
    direct: bool = True


def send(title: str) -> tuple[Action, ...]:
    return (SendUpdate({"title": title}),)


def take(title: str) -> tuple[Action, ...]:
    return (UpdateRow({"title": title}),)


CASES = [
    # name, base, sent, remote, local, then
    Case("it arrived", "a", "b", "b", "b", ()),
    Case("it arrived, and was edited here since", "a", "b", "b", "c", send("c"), edited=True),
    Case("it arrived, and was taken back here since", "a", "b", "b", "a", send("a"), edited=True),
    Case("hiTask made something else of it", "a", "b", "B", "b", take("B")),
    Case("hiTask kept what it had", "a", "b", "a", "b", take("a")),
    Case(
        "hiTask made something else of it, edited since", "a", "b", "B", "c", send("c"), edited=True
    ),
    Case("not sent, the same there", "a", None, "a", "a", ()),
    Case("not sent, edited here since", "a", None, "a", "c", send("c"), edited=True),
    Case("not sent, someone edited it there", "a", None, "d", "a", take("d")),
    Case(
        "not sent, edited on both sides since",
        "a",
        None,
        "d",
        "c",
        (conflict("title", "a", "c", "d"), UpdateRow({"title": "d"})),
        edited=True,
    ),
    Case("looked up: it arrived", "a", "b", "b", "b", (), direct=False),
    Case("looked up: it did not arrive", "a", "b", "a", "b", send("b"), direct=False),
    Case(
        "looked up: someone else wrote",
        "a",
        "b",
        "d",
        "b",
        (conflict("title", "a", "b", "d"), UpdateRow({"title": "d"})),
        direct=False,
    ),
    Case(
        "looked up: arrived, edited here since",
        "a",
        "b",
        "b",
        "c",
        send("c"),
        edited=True,
        direct=False,
    ),
    Case("a create arrived", NEW, "b", "b", "b", ()),
    Case("a create of which hiTask made something else", NEW, "b", "B", "b", take("B")),
    Case("a create, edited here since", NEW, "b", "b", "c", send("c"), edited=True),
    Case("a create that hiTask filled in", NEW, None, "d", "", take("d")),
    Case("a create, another field filled in here since", NEW, None, "", "c", send("c"), True),
    Case("looked up: a create arrived", NEW, "b", "b", "b", (), direct=False),
    Case("looked up: a create, edited there since", NEW, "b", "d", "b", take("d"), direct=False),
    Case(
        "looked up: a create, edited on both sides since",
        NEW,
        "b",
        "d",
        "c",
        (conflict("title", "b", "c", "d"), UpdateRow({"title": "d"})),
        edited=True,
        direct=False,
    ),
    Case("it arrived, and the row was deleted here since", "a", "b", "b", None, (SendDelete(),)),
    Case(
        "looked up: it arrived, and the row was deleted here since",
        "a",
        "b",
        "b",
        None,
        (SendDelete(),),
        direct=False,
    ),
    Case("a create arrived, and was deleted here since", NEW, "b", "b", None, (SendDelete(),)),
    Case(
        "not sent, edited there, and the row was deleted here since",
        "a",
        None,
        "d",
        None,
        (InsertRow(task(title="d")), conflict(None, {"title": "a"}, None, {"title": "d"})),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_follows_from_an_arrival(case: Case) -> None:
    base = None if case.base is NEW else task(title=case.base)
    sent = {} if case.sent is None else {"title": case.sent}
    local = None if case.local is None else task(title=case.local)
    remote = task(title=case.remote)
    edited = {"title"} if case.edited else set()
    proven = base_after_write("tasks", base, sent, remote, local, edited, direct=case.direct)
    assert plan_row(Row("tasks", proven, local, remote), policy()) == case.then


def test_what_the_service_fills_in_by_itself_is_nobodys_edit() -> None:
    """Version, number and times of a new item make no conflict and are taken."""
    ours = task(title="a", tags=["x"])
    theirs = ours | {"version": 1, "priority": 20, "permission": 100}
    proven = base_after_write(
        "tasks", None, {"title": "a", "tags": ["x"]}, theirs, ours, (), direct=True
    )
    assert plan_row(Row("tasks", proven, ours, theirs), policy("local")) == (
        UpdateRow({"priority": 20, "permission": 100, "version": 1}),
    )


@settings(max_examples=100)
@given(st.data())
def test_an_answer_never_makes_a_conflict_of_what_only_we_wrote(data: st.DataObject) -> None:
    """Whatever hiTask makes of the values that it was sent: nobody else wrote, nobody lost."""
    columns = ["title", "message", "color_value", "issue_id"]
    texts = st.sampled_from("abc")
    known = data.draw(st.booleans())
    base = task(**{c: data.draw(texts) for c in columns}) if known else None
    local = dict(base or task())
    sent: dict[str, str] = {}
    for column in data.draw(st.sets(st.sampled_from(columns[:3]))):
        local[column] = sent[column] = data.draw(texts)
    remote = dict(base or task()) | {c: data.draw(texts) for c in sent}
    edited: Collection[str] = data.draw(st.sets(st.sampled_from(columns[:3])))
    local |= {c: data.draw(texts) for c in edited}
    proven = base_after_write("tasks", base, sent, remote, local, edited, direct=True)
    actions = plan_row(Row("tasks", proven, local, remote), policy())
    assert not [a for a in actions if isinstance(a, RecordConflict)]
    unsent = unsent_columns("tasks", actions)
    # What was edited since goes out, unless hiTask has it already; the rest is settled.
    assert unsent == {c for c in edited if local[c] != remote[c]}
    for action in actions:
        if isinstance(action, UpdateRow):
            assert not action.values.keys() & set(edited)


# Which columns people wrote


LOG = [
    change(1, "insert", new={"title": "a"}),
    change(2, old={"title": "a"}, new={"title": "b"}),
    change(3, old={"message": None, "priority": None}, new={"message": "x", "priority": 1}),
]


@pytest.mark.parametrize(
    ("seq", "columns"),
    [
        (0, set(fields_of("tasks"))),
        (1, {"title", "message", "priority"}),
        (2, {"message", "priority"}),
        (3, set()),
    ],
)
def test_the_columns_edited_after_a_change(seq: int, columns: set[str]) -> None:
    assert columns_edited_after("tasks", LOG, seq) == columns


def test_the_last_edit_of_each_column() -> None:
    edits = last_edits("tasks", LOG)
    assert edits.keys() == fields_of("tasks").keys()
    assert edits["title"] == LOG[1].changed_at
    assert edits["message"] == LOG[2].changed_at
    assert edits["tags"] == LOG[0].changed_at
    assert last_edits("tasks", LOG[1:]).keys() == {"title", "message", "priority"}
    assert last_edits("tasks", []) == {}


@pytest.mark.parametrize(
    ("actions", "columns"),
    [
        ([], set()),
        ([UpdateRow({"title": "a"}), conflict("title", "a", "b", "c")], set()),
        ([UpdateRow({"title": "a"}), SendUpdate({"tags": []})], {"tags"}),
        ([SendUpdate({"tags": []}), SendArchive()], {"tags", "archived"}),
        ([SendCreate({"title": "a"})], set(fields_of("tasks"))),
        ([SendDelete()], set(fields_of("tasks"))),
    ],
)
def test_the_columns_that_a_plan_still_sends(actions: list[Action], columns: set[str]) -> None:
    assert unsent_columns("tasks", actions) == columns


# How changes end


TITLE_B = change(1, old={"title": "a"}, new={"title": "b"})
TITLE_C = change(2, old={"title": "b"}, new={"title": "c"})
VERSION = change(3, old={"version": 1}, new={"version": 9})
DELETE = change(4, "delete", old={"title": "c"})
READ_ONLY = {"version": "version is read-only"}


@pytest.mark.parametrize(
    ("changes", "options", "endings"),
    [
        ([], {"sent": True}, []),
        ([TITLE_B], {"sent": True}, [Ending(1, "done")]),
        ([TITLE_B, TITLE_C], {"sent": True}, [Ending(1, "merged"), Ending(2, "done")]),
        # They cancelled out, or hiTask had the same already.
        ([TITLE_B, TITLE_C], {}, [Ending(1, "merged"), Ending(2, "merged")]),
        # Something is left to send.
        ([TITLE_B, TITLE_C], {"unsent": {"title"}}, []),
        ([TITLE_B, VERSION], {"unsent": {"title"}}, [Ending(3, "merged")]),
        ([TITLE_B, DELETE], {"unsent": {"priority"}, "sent": True}, [Ending(1, "done")]),
        # Something came back.
        ([VERSION], {"refused": READ_ONLY}, [Ending(3, "rejected", "version is read-only")]),
        (
            [TITLE_B, VERSION],
            {"refused": READ_ONLY, "unsent": {"title"}},
            [Ending(3, "rejected", "version is read-only")],
        ),
        (
            [TITLE_B, TITLE_C, VERSION],
            {"refused": READ_ONLY, "sent": True},
            [Ending(3, "rejected", "version is read-only"), Ending(1, "merged"), Ending(2, "done")],
        ),
        (
            [change(5, new={"version": 9, "unread": 1})],
            {"refused": READ_ONLY | {"unread": "unread is read-only"}},
            [Ending(5, "rejected", "version is read-only; unread is read-only")],
        ),
    ],
)
def test_how_changes_end(
    changes: list[Change], options: dict[str, Any], endings: list[Ending]
) -> None:
    assert end_changes(changes, **options) == endings
