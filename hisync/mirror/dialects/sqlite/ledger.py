"""The ledger of time: an item's `time_spent_minutes` is the sum of its entries, at every moment.

When someone writes a time entry, its trigger adds the difference to the item that the entry names,
in whichever item table that is. The differences stand in `sync_doomed` meanwhile, and the triggers
of the item tables leave out a total that changes to one of them: it is no edit of the item. (Hiding
the whole statement behind the engine's mark would hide what people's own triggers do in it.)
The engine's own transactions keep the sums themselves. Public: `counted_minutes`; for the
triggers `is_posting`, `post`, `added`, `taken`, `replaced`.
"""

from __future__ import annotations

from typing import Final

from hisync.items import MOST_MINUTES, SPENT, TABLES

_POSTINGS: Final = f"sync_doomed WHERE table_name = '{SPENT}'"


def is_posting(guid: str) -> str:
    """Whether a trigger of `time_entries` is writing the total of this item (an expression)."""
    return f"EXISTS (SELECT 1 FROM {_POSTINGS} AND row_guid = {guid})"


def counted_minutes(cell: str) -> str:
    """What an SQL expression for an entry's `minutes` counts: 0 where it is no number of minutes.

    Only whole numbers count, at most `MOST_MINUTES`; SQLite itself turns `'90'` and `90.0` into one
    in that column.
    """
    return (
        f"(CASE WHEN typeof({cell}) = 'integer' AND {cell} BETWEEN -{MOST_MINUTES} AND "
        f"{MOST_MINUTES} THEN {cell} ELSE 0 END)"
    )


def added(row: str) -> str:
    """The posting for an entry that is there now: a query of (item guid, difference)."""
    return f"SELECT {row}.item_guid AS g, {counted_minutes(f'{row}.minutes')} AS d"


def taken(row: str) -> str:
    """The posting for an entry that is there no more."""
    return f"SELECT {row}.item_guid AS g, -{counted_minutes(f'{row}.minutes')} AS d"


def replaced(condition: str) -> str:
    """The postings for the entries that a `REPLACE` took out: rows of `sync_doomed`."""
    minutes = counted_minutes("json_extract(old_values, '$.minutes')")
    return (
        f"SELECT json_extract(old_values, '$.item_guid') AS g, -{minutes} AS d "
        f"FROM sync_doomed WHERE {condition}"
    )


def post(*postings: str) -> list[str]:
    """The statements that bring postings to the totals of their items."""
    return [
        f"DELETE FROM {_POSTINGS}",
        (
            "INSERT INTO sync_doomed (table_name, row_guid, old_values) "
            f"SELECT '{SPENT}', g, sum(d) FROM ({' UNION ALL '.join(postings)}) "
            "WHERE g IS NOT NULL GROUP BY g HAVING sum(d) <> 0"
        ),
        *(
            f"UPDATE {table} SET {SPENT} = coalesce({SPENT}, 0) + "
            f"(SELECT old_values FROM {_POSTINGS} AND row_guid = guid) "
            f"WHERE guid IN (SELECT row_guid FROM {_POSTINGS})"
            for table in TABLES
        ),
        f"DELETE FROM {_POSTINGS}",
    ]
