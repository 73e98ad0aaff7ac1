"""The guard: what would remove much is held, whole tables at a time, until someone approves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hisync.plan.guard import FEW, held_deletes, held_tables


@pytest.mark.parametrize(
    ("leaving", "rows", "share", "held"),
    [
        (0, 100, 0.2, False),
        (20, 100, 0.2, False),
        (21, 100, 0.2, True),
        (FEW, FEW, 0.2, False),  # ten rows may always go
        (FEW + 1, FEW + 1, 0.2, True),
        (11, 1000, 0.0, True),
        (1000, 1000, 1.0, False),
        (11, 0, 0.2, True),
    ],
)
def test_a_table_is_held_beyond_its_share_and_ten_rows(
    leaving: int, rows: int, share: float, held: bool
) -> None:
    found = held_tables({"tasks": leaving}, {"tasks": rows}, max_share=share)
    assert found == ({"tasks"} if held else set())


def test_one_tables_trouble_does_not_hold_another() -> None:
    removals, rows = {"tasks": 90, "notes": 12}, {"tasks": 100, "notes": 1000}
    assert held_tables(removals, rows, max_share=0.2) == {"tasks"}


@pytest.mark.parametrize(
    ("wanted", "recent", "limit", "held"),
    [
        (0, 0, 50, 0),
        (50, 0, 50, 0),
        (51, 0, 50, 1),
        (1, 49, 50, 0),
        (1, 50, 50, 1),
        (10, 70, 50, 10),
        (5, 0, 0, 5),
        (60, 0, 50, 10),
    ],
)
def test_deletions_beyond_an_hours_limit_are_held(
    wanted: int, recent: int, limit: int, held: int
) -> None:
    assert held_deletes(wanted, recent, limit=limit) == held


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 100))
def test_without_approval_no_hour_sees_more_than_the_limit(
    wanted: int, recent: int, limit: int
) -> None:
    held = held_deletes(wanted, recent, limit=limit)
    assert 0 <= held <= wanted
    assert wanted - held + recent <= max(limit, recent)
