"""What becomes of a comment: the whole table of its states."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from hisync.comment import Comment, Place
from hisync.plan.comments import LONGEST, Plan, Post, Refuse, Remove, Wait, plan_comment

THERE = Comment("g", 5, "item", 17, "hello", datetime(2026, 3, 2, 9, 0))
NEW = Comment("g", None, "item", None, "hello", None)
ITEM = Place("item", 7, present=True, permission=20)
EDIT = "hiTask can't change a comment's text: delete it and write a new one"


def plan(base: Comment | None, local: Comment | None, place: Place | None = ITEM) -> Plan:
    return plan_comment(base, local, {}, place)


def test_a_new_one_is_posted_also_where_an_earlier_state_never_got_there() -> None:
    assert plan(None, NEW) == Post("hello")
    assert plan(replace(NEW, message=""), NEW) == Post("hello")
    assert plan(None, replace(NEW, user_id=3, time_create=datetime(2020, 1, 1))) == Post("hello")


def test_one_that_never_got_there_and_is_gone_is_forgotten() -> None:
    assert plan(None, None) is None
    assert plan(NEW, None) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"message": None}, "message is empty: say something"),
        ({"message": " \n"}, "message is empty: say something"),
        (
            {"message": "x" * (LONGEST + 1)},
            "message has 10001 characters, hiTask takes 10000 at most",
        ),
        ({"item_guid": None}, "item_guid is empty: say which item it is about"),
        ({"id": 5}, "id is given by hiTask: leave it out"),
    ],
)
def test_what_hitask_does_not_take_is_refused(change: dict[str, object], reason: str) -> None:
    assert plan(None, replace(NEW, **change)) == Refuse(reason)  # type: ignore[arg-type]


def test_the_longest_text_goes() -> None:
    assert plan(None, replace(NEW, message="x" * LONGEST)) == Post("x" * LONGEST)


def test_it_needs_an_item_that_may_be_commented_on() -> None:
    assert plan(None, NEW, None) == Refuse("item_guid 'item' is no item of this account")
    assert plan(None, NEW, replace(ITEM, id=None)) == Wait("its item is not on hiTask yet")
    assert plan(None, NEW, replace(ITEM, present=False)) == Wait("its item is being deleted")
    assert plan(None, NEW, replace(ITEM, permission=None)) == Post("hello")
    assert plan(None, NEW, replace(ITEM, permission=10)) == Refuse(
        "commenting needs permission 20 on the item, this account has 10"
    )


def test_what_hitask_has_is_deleted_there_or_stays_as_it_is() -> None:
    assert plan(THERE, None) == Remove()
    assert plan(THERE, THERE) is None
    assert plan(THERE, NEW) is None  # a row put in its place that says the same
    assert plan(THERE, replace(THERE, id=99)) is None
    assert plan(THERE, replace(THERE, message="other")) == Refuse(EDIT)
    assert plan(THERE, replace(THERE, message=None)) == Refuse(EDIT)
    refused = Refuse("user_id of a comment is read-only: only hiTask sets it")
    assert plan(THERE, replace(THERE, user_id=3)) == refused


def test_a_deleted_one_goes_with_its_item() -> None:
    assert plan(THERE, None, None) is None
    assert plan(THERE, None, replace(ITEM, id=None)) is None
    assert plan(THERE, None, replace(ITEM, present=False)) == Wait("its item is being deleted")


def test_where_comments_are_off_nothing_goes() -> None:
    off = Refuse("sync.comments is off")
    assert plan_comment(None, NEW, {}, ITEM, enabled=False) == off
    assert plan_comment(THERE, None, {}, ITEM, enabled=False) == off
    assert plan_comment(THERE, THERE, {}, ITEM, enabled=False) is None


def test_cells_that_cannot_be_read_are_named() -> None:
    unreadable = {"message": "message = b'x' can't be read"}
    assert plan_comment(None, NEW, unreadable, ITEM) == Refuse(unreadable["message"])
    assert plan_comment(THERE, THERE, unreadable, ITEM) == Refuse(EDIT)
    assert plan_comment(None, NEW, {"id": "no"}, ITEM) == Refuse(
        "id is given by hiTask: leave it out"
    )
