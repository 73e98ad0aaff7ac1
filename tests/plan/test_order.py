"""The order of requests: parents are created first and deleted last."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hisync.items import SPENT
from hisync.plan.actions import Send, SendArchive, SendCreate, SendDelete, SendUpdate
from hisync.plan.order import Step, independent, order_steps

CREATE, UPDATE, ARCHIVE, DELETE = SendCreate({}), SendUpdate({}), SendArchive(), SendDelete()


def step(
    guid: str, send: Send = CREATE, parent: str | None = None, seq: int = 1, attempts: int = 0
) -> Step:
    return Step("tasks", guid, send, parent, seq, attempts)


def ordered(*steps: Step) -> str:
    return "".join(one.guid for one in order_steps(steps))


@pytest.mark.parametrize(
    ("steps", "order"),
    [
        ([], ""),
        # Creates, then updates, archives and deletions
        ([step("d", DELETE), step("a", ARCHIVE), step("u", UPDATE), step("c", CREATE)], "cuad"),
        # Parents before children
        ([step("c", parent="b"), step("b", parent="a"), step("a")], "abc"),
        # Children before parents
        (
            [step("a", DELETE), step("b", DELETE, parent="a"), step("c", DELETE, parent="b")],
            "cba",
        ),
        # A parent that is not among them is nothing to wait for
        ([step("b", parent="x", seq=1), step("a", seq=2)], "ba"),
        # What was changed first goes first
        ([step("b", seq=2), step("a", seq=1), step("c", seq=3)], "abc"),
        # What failed often does not hold the others up
        ([step("a", seq=1, attempts=3), step("b", seq=2), step("c", seq=3, attempts=1)], "bca"),
        # but a parent goes first all the same
        ([step("b", parent="a", seq=1), step("a", seq=2, attempts=5)], "ab"),
        # Children of a new parent move there after it is made, and before the old one goes
        (
            [step("o", DELETE), step("c", UPDATE, parent="n"), step("n", CREATE)],
            "nco",
        ),
    ],
)
def test_the_order(steps: list[Step], order: str) -> None:
    assert ordered(*steps) == order


@pytest.mark.parametrize("send", [CREATE, DELETE])
def test_a_circle_is_gone_around_once(send: Send) -> None:
    found = ordered(
        step("a", send, parent="b", seq=1),
        step("b", send, parent="c", seq=2),
        step("c", send, parent="a", seq=3),
        step("s", send, parent="s", seq=4),
        step("z", send, seq=5),
    )
    assert sorted(found) == ["a", "b", "c", "s", "z"]


def test_only_deletions_count_as_deletions() -> None:
    assert step("a", DELETE).deletion
    assert not any(step("a", send).deletion for send in (CREATE, UPDATE, ARCHIVE))


GUIDS = "abcdefgh"
FAMILIES = st.fixed_dictionaries(
    {guid: st.none() | st.sampled_from([*GUIDS, "elsewhere"]) for guid in GUIDS}
)


def ancestors(guid: str, parents: dict[str, str | None]) -> list[str]:
    above: list[str] = []
    parent = parents[guid]
    while parent in parents and parent not in above:
        above.append(parent)
        parent = parents[parent]
    return above


@given(FAMILIES, st.sampled_from([CREATE, DELETE]), st.integers())
def test_every_family_is_in_order(parents: dict[str, str | None], send: Send, seed: int) -> None:
    seqs = random.Random(seed).sample(range(100), len(GUIDS))
    steps = [step(guid, send, parents[guid], seq) for guid, seq in zip(GUIDS, seqs, strict=True)]
    order = ordered(*steps)
    assert sorted(order) == sorted(GUIDS)
    for guid in GUIDS:
        above = ancestors(guid, parents)
        for parent in above:
            if parent in ancestors(parent, parents):
                continue  # in a circle: refused later
            first, second = (parent, guid) if send is CREATE else (guid, parent)
            assert order.index(first) < order.index(second)


@pytest.mark.parametrize(
    ("steps", "wave"),
    [
        ([step("a"), step("b"), step("c", UPDATE), step("d")], "abc"),
        # Under another of them
        ([step("a"), step("b", parent="a"), step("c")], "a"),
        ([step("a", UPDATE), step("b", UPDATE, parent="x"), step("c", UPDATE, parent="a")], "ab"),
        # What has to keep its place goes alone
        ([step("a", DELETE), step("b", DELETE)], "a"),
        ([step("a", UPDATE), step("b", ARCHIVE), step("c", UPDATE)], "a"),
        ([step("a", SendUpdate({"parent_guid": "x"})), step("b", UPDATE)], "a"),
        ([step("a", UPDATE), step("b", SendUpdate({SPENT: 5}))], "a"),
        ([step("a", UPDATE), step("b", SendUpdate({"permissions": []}))], "a"),
        ([step("a", SendUpdate({"short_name": None})), step("b", UPDATE)], "a"),
        # A guid that is used in two tables
        ([step("a", UPDATE), step("a", UPDATE)], "a"),
        ([step("a")], "a"),
    ],
)
def test_what_does_not_depend_on_one_another_goes_at_once(steps: list[Step], wave: str) -> None:
    assert "".join(one.guid for one in independent(steps, 0, 3)) == wave
    assert "".join(one.guid for one in independent([step("x"), *steps], 1, 3)) == wave
    assert len(independent(steps, 0, 1)) == 1
