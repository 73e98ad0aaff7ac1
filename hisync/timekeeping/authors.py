"""Who spent the time that was seen on hiTask: an item's history names who wrote each total.

An observed entry is what a total rose or fell by between two looks. Where the history shows that
one person alone wrote the totals between, the time is theirs; otherwise nobody can tell, and
nobody is named. Public: `name_authors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection

from hisync.comment import Unit
from hisync.engine import Engine
from hisync.history import read_total, units_of
from hisync.items import SPENT, fields_of
from hisync.mirror import state, time_entries
from hisync.mirror.time_entries import counted
from hisync.plan.history import is_whole

_FIELD: Final = fields_of("tasks")[SPENT]


def name_authors(
    engine: Engine, connection: Connection, item_guid: str, units: Sequence[Unit]
) -> None:
    """Name who wrote the observed entries of an item that nobody is named for yet.

    Args:
        engine: the unit that totals come in.
        connection: the engine's write transaction.
        item_guid: the item.
        units: its history.
    """
    if not engine.rules.time_entries:
        return
    entries = time_entries.load_ledger(connection, item_guid)
    if all(entry["source"] != "observed" or entry["user_id"] is not None for entry in entries):
        return
    written = _totals(engine, units)
    # Among totals that we wrote, which of them came when is not told well enough to name ourselves.
    ours = any(entry["source"] == "local" for entry in entries)
    account = state.load(connection).account_id
    after = 0
    for entry in entries:
        before, after = after, after + counted(entry["minutes"])
        if entry["source"] == "observed" and entry["user_id"] is None:
            user = _author(written, before, after)
            user = None if ours and user == account else user
            time_entries.set_entry(connection, entry["guid"], {"user_id": user})


def _totals(engine: Engine, units: Sequence[Unit]) -> list[tuple[int | None, int]]:
    """Who wrote which total, oldest first; the item began with none, if that is still told."""
    written: list[tuple[int | None, int]] = [(None, 0)] if is_whole(units) else []
    for unit in _ordered(units_of(_FIELD, units)):
        total = read_total(unit.value, engine.api.time_unit)
        if total is not None:
            written.append((unit.user_id, total))
    return written


def _ordered(units: Sequence[Unit]) -> Sequence[Unit]:
    """The units in their order; nameless where it can't be told.

    Times are cut to minutes (API, History). Within one, the numbers tell, if elsewhere they agree
    with the times.
    """
    by_number = sorted(units, key=lambda unit: unit.id or 0)
    if [unit.at for unit in by_number] == [unit.at for unit in units]:
        return by_number
    return [replace(unit, user_id=None) for unit in units]


def _author(written: Sequence[tuple[int | None, int]], before: int, after: int) -> int | None:
    """The one who alone led a total from one number to another, None where that can't be told."""
    found: set[int | None] = set()
    for end, (_, total) in enumerate(written):
        starts = [i for i in range(end) if written[i][1] == before] if total == after else []
        if starts:
            found |= {user for user, _ in written[starts[-1] + 1 : end + 1]}
    return found.pop() if len(found) == 1 else None
