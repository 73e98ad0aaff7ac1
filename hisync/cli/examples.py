"""A few rows of each kind that needs a person, named so that a person can judge them.

Each is a plain dictionary with `table`, `guid` and `title`, and what else its kind has, as
`hisync status --json` prints it. Public: `removals`, `changes_in`, `below_rejected`, `stuck`,
`waiting`, `open_conflicts`, `duplicates`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, RowMapping, func, select, union_all

from hisync.mirror import changes, rows
from hisync.mirror.tables import ITEM_TABLES, change_log, conflicts, sync_base
from hisync.plan.guard import CONFIRMED

EXAMPLES: Final = 3
"""How many of each kind are named."""

Example: TypeAlias = dict[str, Any]


def removals(connection: Connection, tables: Iterable[str]) -> list[Example]:
    """Rows of these tables that are gone from hiTask and held here."""
    found: list[Example] = []
    base = sync_base.c
    for table in tables:
        query = select(base.guid, base.id).where(base.table_name == table, base.missed >= CONFIRMED)
        numbers = dict(connection.execute(query.order_by(base.id).limit(10 * EXAMPLES)).all())
        titles = _titles(connection, table, numbers)
        found += [
            {"table": table, "guid": guid, "id": numbers[guid], "title": titles[guid]}
            for guid in [guid for guid in numbers if guid in titles][:EXAMPLES]
        ]
    return found


def changes_in(connection: Connection, state: str) -> list[Example]:
    """The newest changes in a state, each with its reason."""
    query = select(change_log).where(changes.in_state(state))
    # Not by `seq` as it is: for its order, SQLite would read the whole log where few are found.
    newest = query.order_by(-change_log.c.seq).limit(EXAMPLES)
    return [_change(connection, row) for row in connection.execute(newest).mappings()]


def below_rejected(connection: Connection) -> dict[str, int]:
    """The change that keeps each blocked row waiting, where that is a rejected one of a parent."""
    log = change_log.c
    blocked = set(
        connection.execute(select(log.row_guid).where(changes.in_state("blocked"))).scalars()
    )
    above = rows.parents_of(connection, blocked)
    newest = select(log.row_guid, func.max(log.seq)).where(changes.in_state("rejected"))
    refused = dict(connection.execute(newest.group_by(log.row_guid)).all())
    found = {}
    for guid in blocked:
        met, parent = {guid}, above.get(guid)
        while parent is not None and parent not in refused and parent not in met:
            met.add(parent)
            parent = above.get(parent)
        if parent in refused:
            found[guid] = refused[parent]
    return found


def stuck(connection: Connection, below: Mapping[str, int]) -> list[Example]:
    """The rejected changes that most rows wait for, and how many."""
    waiting = Counter(below.values())
    worst = [seq for seq, _ in waiting.most_common(EXAMPLES)]
    query = select(change_log).where(change_log.c.seq.in_(worst))
    return [
        {**_change(connection, row), "waiting": waiting[row["seq"]]}
        for row in connection.execute(query).mappings()
    ]


def waiting(connection: Connection, since: datetime, below: Container[str]) -> dict[str, Any]:
    """The changes that wait since before a time (UTC, no zone) for no rejected one.

    Returns:
        Their number and the oldest's time.
    """
    log = change_log.c
    query = select(log.row_guid, log.changed_at).where(
        log.finished_at.is_(None), log.state != "held", log.changed_at < since
    )
    times = [time for guid, time in connection.execute(query) if guid not in below]
    return {"number": len(times), "oldest": min(times, default=None)}


def open_conflicts(connection: Connection) -> list[Example]:
    """The newest conflicts that nobody has settled."""
    query = select(conflicts).where(conflicts.c.resolved_at.is_(None))
    newest = connection.execute(query.order_by(conflicts.c.id.desc()).limit(EXAMPLES)).mappings()
    return [
        {
            "id": row["id"],
            "table": row["table_name"],
            "guid": row["row_guid"],
            "title": _title(connection, row["table_name"], row["row_guid"]),
            "field": row["field"],
        }
        for row in newest
    ]


def duplicates(connection: Connection) -> list[Example]:
    """Guids that more than one live item has on hiTask, all of them, each with the items' ids."""
    base, shown = sync_base.c, sync_base.c.missed == 0
    renamed = select(base.remote_guid).where(base.remote_guid.is_not(None), shown)
    own = base.remote_guid.is_(None) & base.guid.in_(renamed)
    named = union_all(
        renamed.with_only_columns(base.remote_guid.label("guid"), base.id),
        select(base.guid, base.id).where(own, shown),
    ).subquery()
    several = select(named.c.guid).group_by(named.c.guid).having(func.count() > 1)
    found: dict[str, list[int]] = {}
    query = select(named.c.guid, named.c.id).where(named.c.guid.in_(several))
    for guid, number in connection.execute(query.order_by(named.c.guid, named.c.id)):
        found.setdefault(guid, []).append(number)
    return [{"guid": guid, "ids": ids} for guid, ids in found.items()]


def _change(connection: Connection, row: RowMapping) -> Example:
    table, guid = row["table_name"], row["row_guid"]
    # A row that is gone still has its title in the log.
    logged = [values["title"] for values in _logged(row) if values.get("title")]
    return {
        "seq": row["seq"],
        "table": table,
        "guid": guid,
        "title": _title(connection, table, guid) or (str(logged[0]) if logged else None),
        "op": row["op"],
        "error": row["error"],
    }


def _logged(row: RowMapping) -> list[Mapping[str, Any]]:
    return [row[name] for name in ("new_values", "old_values") if isinstance(row[name], dict)]


def _title(connection: Connection, table: str, guid: str) -> str | None:
    return _titles(connection, table, [guid]).get(guid)


def _titles(connection: Connection, table: str, guids: Iterable[str]) -> dict[str, str | None]:
    """The titles of those of these rows that are there; None where there is none to read."""
    if table not in ITEM_TABLES:
        return {}
    found = rows.load_rows(connection, table, guids)
    return {
        guid: str(title) if (title := row.values.get("title")) else None
        for guid, row in found.items()
    }
