"""The order in which logged changes happened."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import pytest
from sqlalchemy import RowMapping

from hisync.mirror.nesting import reordered

_Change = tuple[str, dict[str, Any] | None, dict[str, Any] | None]

WHOLE = {"title": "a", "color": 1}


UNKNOWN = {"title": "?"}
"""A row that something changed unlogged."""


def _order(log: list[_Change], now: dict[str, Any] | None) -> list[int]:
    """The positions in the log, in the order that is read from it for a row that is so now."""
    rows = [
        {"seq": seq, "table_name": "tasks", "row_guid": "g", "op": op}
        | {"old_values": old, "new_values": new}
        for seq, (op, old, new) in enumerate(log, start=1)
    ]
    numbers = reordered(cast(list[RowMapping], rows), lambda keys: ((key, now) for key in keys))
    assert all(was != becomes for was, becomes in numbers.items())
    return sorted(range(1, len(log) + 1), key=lambda seq: numbers.get(seq, seq))


def _left(log: list[_Change], order: list[int]) -> dict[str, Any] | None:
    """The row that changes in an order leave."""
    now: dict[str, Any] | None = {}
    for place in order:
        op, _, new = log[place - 1]
        blank = dict.fromkeys(("title", "color", "starred")) if op == "insert" else now
        now = None if new is None else {**(blank or {}), **new}
    return now


def _update(**cells: tuple[Any, Any]) -> _Change:
    old = {column: before for column, (before, _) in cells.items()}
    return "update", old, {column: after for column, (_, after) in cells.items()}


@pytest.mark.parametrize(
    ("log", "order"),
    [
        ([_update(title=("a", "b")), _update(title=("b", "c"))], [1, 2]),
        ([_update(title=("b", "c")), _update(title=("a", "b"))], [2, 1]),
        ([_update(title=("b", "c")), _update(title=("a", "b"), color=(1, 2))], [2, 1]),
        ([_update(color=(None, 4)), ("insert", None, {"title": "a"})], [2, 1]),
        ([("delete", WHOLE, None), _update(color=(2, 1), title=("b", "a"))], [2, 1]),
        (
            [_update(color=(None, 4)), ("delete", WHOLE, None), ("insert", None, {"title": "b"})],
            [2, 3, 1],
        ),
        ([_update(title=("x", "y")), _update(title=("a", "b"))], [1, 2]),
        ([_update(starred=(False, True)), ("insert", None, {"title": "a"})], [2, 1]),
        ([_update(time_spent_minutes=(5, 9)), _update(time_spent_minutes=(0, 5))], [1, 2]),
        (
            [_update(title=("c", "d")), _update(title=("b", "c")), _update(title=("a", "b"))],
            [3, 2, 1],
        ),
        (
            # What was moved up counts for what comes after it.
            [
                _update(title=("b", "c")),
                _update(title=("a", "b"), color=(1, 2)),
                _update(color=(2, 3)),
            ],
            [2, 1, 3],
        ),
    ],
)
def test_a_change_comes_before_what_its_trigger_did(log: list[_Change], order: list[int]) -> None:
    assert _order(log, _left(log, order)) == order
    assert _order(log, UNKNOWN) == order


MINE, BACK = _update(title=("old", "mine")), _update(title=("mine", "old"))


@pytest.mark.parametrize(
    ("log", "now", "order"),
    [
        ([BACK, MINE], "old", [2, 1]),
        ([BACK, MINE], "mine", [1, 2]),  # somebody's, twice
        ([MINE, BACK], "old", [1, 2]),
        ([BACK, MINE, BACK, MINE], "old", [2, 1, 4, 3]),
        (
            [BACK, MINE, _update(title=("yours", "old")), _update(title=("old", "yours"))],
            "old",
            [2, 1, 4, 3],
        ),
        ([BACK, MINE, _update(title=("old", "b"))], "b", [2, 1, 3]),
        ([_update(title=("a", "old")), BACK, MINE], "old", [1, 3, 2]),
        ([BACK, _update(title=("old", "mine"), color=(1, 2))], "old", [2, 1]),
        (
            [_update(title=("mine", "x")), _update(title=("x", "old")), MINE],
            "old",
            [3, 1, 2],
        ),
        (
            [BACK, ("delete", {"title": "old"}, None), ("insert", None, {"title": "mine"})],
            "old",
            [2, 3, 1],
        ),
        # Not what it was by chance, after something that went by unlogged.
        ([_update(title=("a", "b")), _update(title=("b", "c"))], "b", [1, 2]),
    ],
)
def test_a_value_that_a_trigger_puts_back_was_there_before(
    log: list[_Change], now: str, order: list[int]
) -> None:
    assert _order(log, {"title": now}) == order


def test_only_rows_whose_log_can_be_read_in_two_ways_are_looked_at() -> None:
    steps = [_update(title=("a", "b")), _update(title=("b", "c"))]
    rows = [
        {"seq": 2 * row + n, "table_name": "tasks", "row_guid": f"g{row}", "op": op}
        | {"old_values": old, "new_values": new}
        for row, log in enumerate([steps, [BACK, MINE]])
        for n, (op, old, new) in enumerate(log)
    ]
    asked: list[tuple[str, str]] = []

    def look(keys: Iterable[tuple[str, str]]) -> list[tuple[tuple[str, str], dict[str, Any]]]:
        asked.extend(keys)
        return [(key, {"title": "old"}) for key in asked]

    assert reordered(cast(list[RowMapping], rows), look) == {2: 3, 3: 2}
    assert asked == [("tasks", "g1")]
