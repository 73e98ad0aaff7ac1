"""The guard: a mass disappearance is held until someone approves it. Pure.

Public: `held_tables`, `held_deletes`, `CONFIRMED`.
"""

from __future__ import annotations

from collections.abc import Mapping

CONFIRMED = 2
"""Complete answers in a row that must lack an item before it counts as gone."""

FEW = 10
"""So many rows of a table may always go: small tables would trip over their share otherwise."""


def held_tables(
    removals: Mapping[str, int],
    rows: Mapping[str, int],
    *,
    max_share: float,
    nothing_left: bool = False,
) -> frozenset[str]:
    """The tables whose removals are held, unless someone has approved them.

    Args:
        removals: rows that would leave, by table; those that an own deletion caused not counted.
        rows: rows that each table has now.
        max_share: the share of a table that may leave at once (`safety.max_removals`).
        nothing_left: whether the answer named no item at all, which is suspicious by itself.
    """
    suspicious = {
        table
        for table, leaving in removals.items()
        if nothing_left or (leaving > FEW and leaving > max_share * rows.get(table, 0))
    }
    return frozenset(suspicious)


def held_deletes(wanted: int, recent: int, *, limit: int) -> int:
    """How many of the wanted remote deletions are held.

    Args:
        wanted: deletions waiting to be sent.
        recent: deletions carried out within the last hour.
        limit: how many an hour need no approval (`safety.max_push_deletes`).
    """
    return max(0, wanted - max(0, limit - recent))
