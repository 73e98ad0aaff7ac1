"""The order in which logged changes happened."""

from __future__ import annotations

from typing import Any, cast

import pytest
from sqlalchemy import Connection, RowMapping

from hisync.mirror.nesting import unnest

_Change = tuple[str, dict[str, Any] | None, dict[str, Any] | None]

WHOLE = {"title": "a", "color": 1}


class _Recorder:
    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}

    def execute(self, _statement: object, moves: list[dict[str, int]]) -> None:
        self.numbers |= {m["was"]: -m["becomes"] for m in moves if m["was"] > 0}


def _order(log: list[_Change]) -> list[int]:
    """The positions in the log, in the order that `unnest` gives them."""
    rows = [
        {"seq": seq, "table_name": "tasks", "row_guid": "g", "op": op}
        | {"old_values": old, "new_values": new}
        for seq, (op, old, new) in enumerate(log, start=1)
    ]
    recorder = _Recorder()
    moved = unnest(cast(Connection, recorder), cast(list[RowMapping], rows))
    assert moved == bool(recorder.numbers)
    return sorted(range(1, len(log) + 1), key=lambda seq: recorder.numbers.get(seq, seq))


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
    assert _order(log) == order
