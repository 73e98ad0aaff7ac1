"""The parts of the views that every engine reads alike.

Public: `PLACES`, `NAME`, `project_from`, `first_there`, `all_items`, `title_of`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hisync.items import FIELDS, TABLES

_KINDS: Final = {"other_items": "other"} | {t: t.removesuffix("s") for t in TABLES if "_" not in t}

PLACES: Final = " UNION ALL ".join(f"SELECT guid, title, parent_guid FROM {t}" for t in TABLES)
"""All items with where they stand. Ask it for one guid in a subquery: a join reads it whole."""

NAME: Final = (
    "coalesce(nullif(person.full_name, ''), "
    "nullif(trim(coalesce(person.first_name, '') || ' ' || coalesce(person.last_name, '')), ''), "
    "person.login)"
)
"""What to call a row `person` of `users`."""


def project_from(start: str) -> str:
    """The first project on the way up from an item's guid, that item included; null for none."""
    return f"""(
    WITH RECURSIVE up(guid) AS (
      SELECT {start}
      UNION -- each guid once, so a circle of parents ends
      SELECT (SELECT place.parent_guid FROM ({PLACES}) AS place WHERE place.guid = up.guid)
      FROM up WHERE NOT EXISTS (SELECT 1 FROM projects AS p WHERE p.guid = up.guid)
    )
    SELECT up.guid FROM up WHERE EXISTS (SELECT 1 FROM projects AS p WHERE p.guid = up.guid)
  )"""


def first_there(start: str, last_parent: Callable[[str], str]) -> str:
    """The first item that is still there on the way up from a guid, that one included.

    Args:
        start: the guid.
        last_parent: what an item that has left stood under, by its guid.
    """
    there = f"EXISTS (SELECT 1 FROM ({PLACES}) AS place WHERE place.guid = way.guid)"
    return f"""(
    WITH RECURSIVE way(guid) AS (
      SELECT {start}
      UNION
      SELECT {last_parent("way.guid")} FROM way WHERE NOT {there}
    )
    SELECT way.guid FROM way WHERE {there}
  )"""


def all_items() -> str:
    """The rows of all item tables: the columns that they share, and their kind."""
    common = ["guid", "id", *(field.column for field in FIELDS if not field.tables)]
    return "\nUNION ALL ".join(
        f"SELECT {', '.join(common)}, '{_KINDS[table]}' AS kind FROM {table}" for table in TABLES
    )


def title_of(guid: str) -> str:
    """The title of the item with a guid."""
    return f"(SELECT place.title FROM ({PLACES}) AS place WHERE place.guid = {guid})"
