"""The ledger of time in PostgreSQL's words. Public: `counted_minutes`."""

from __future__ import annotations

from hisync.items import MOST_MINUTES


def counted_minutes(cell: str) -> str:
    """What an SQL expression for minutes counts: 0 where they are more than anyone spent."""
    return f"(CASE WHEN {cell} BETWEEN -{MOST_MINUTES} AND {MOST_MINUTES} THEN {cell} ELSE 0 END)"
