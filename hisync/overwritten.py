"""What someone else wrote between our read and our write, and our write went over.

hiTask takes a write without asking what it was based on. A jump in the version of its answer
shows that somebody was faster; the item's history then tells which of the values we sent replaced
one that we had never seen, and that one is recorded as a conflict. Public: `was_jumped`,
`record_overwritten`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection

from hisync.claim import Claim
from hisync.comment import Unit
from hisync.engine import Engine
from hisync.errors import ServiceError
from hisync.history import chronological
from hisync.items import Access, Item, Value, Values, fields_of, same_value
from hisync.ledger import add_again
from hisync.mirror import base as bases
from hisync.mirror import records, rows
from hisync.mirror.records import ConflictRecord
from hisync.plan.actions import Resolution
from hisync.totals import lost_minutes, totals_since
from hisync.writes import report_conflicts


def was_jumped(claimed: Claim, item: Item) -> bool:
    """Whether the answer's version shows that ours was not the only write since we read."""
    before = claimed.base.version if claimed.base else None
    after = item.values.get("version")
    return before is not None and after is not None and after > before + 1


def record_overwritten(engine: Engine, claimed: Claim, item: Item) -> int:
    """Ask the history what was overwritten, and record it.

    Returns:
        How many conflicts were recorded. A history that can't be read is logged and costs nothing
        more: the write itself is done.
    """
    engine.log.warning(
        "version_jumped",
        guid=claimed.intent.guid,
        before=claimed.base.version if claimed.base else None,
        after=item.values.get("version"),
    )
    try:
        history = engine.api.fetch_history(item.id)
    except ServiceError as error:
        engine.log.warning("overwrite_unclear", guid=claimed.intent.guid, error=error.message)
        return 0
    found = find_overwritten(engine, claimed, history)
    minutes = lost_minutes(claimed, totals_since(engine, claimed, history))
    with engine.mirror.writing() as connection:
        for conflict in found:
            if conflict.field not in claimed.intent.sent:
                _give_back(connection, claimed, conflict.remote)
        records.record_conflicts(connection, found, engine.clock.now())
        if minutes:
            add_again(engine, connection, claimed.intent.guid, minutes)
    report_conflicts(engine.log, found)
    return len(found)


def find_overwritten(
    engine: Engine, claimed: Claim, history: Sequence[Unit]
) -> list[ConflictRecord]:
    """The values that were written after we had read the item and before our own arrived."""
    table = claimed.intent.table
    found = []
    for column, sent in _sent(engine, claimed).items():
        field = fields_of(table)[column]
        if field.access is Access.COUNTED:
            continue  # nobody's minutes are overwritten: they are added again
        before = claimed.before.get(column, field.empty)
        seen = [
            value
            for value in chronological(field, history, claimed.before.get("time_last_update"))
            if not same_value(field, value, sent) and not same_value(field, value, before)
        ]
        if seen:
            policy = engine.rules.policy.of(column)
            winner: Resolution = "local" if column in claimed.intent.sent else "remote"
            found.append(
                ConflictRecord(
                    table, claimed.intent.guid, column, before, sent, seen[-1], winner, policy
                )
            )
    return found


def _sent(engine: Engine, claimed: Claim) -> Values:
    """What went out, the title included where the server wants one with every change."""
    titled = engine.api.sends_title and claimed.intent.op == "update"
    along = {"title": claimed.before.get("title")} if titled else {}
    return {**along, **claimed.intent.sent}


def _give_back(connection: Connection, claimed: Claim, title: Value) -> None:
    """A title that was only sent along undid someone's rename: theirs goes out again."""
    guid, table = claimed.intent.guid, claimed.intent.table
    base = bases.load_bases(connection, [guid]).get(guid)
    if base is None or "title" in (base.dirty or {}):
        return
    dirty = {**(base.dirty or {}), "title": claimed.before.get("title")}
    rows.set_cells(connection, table, guid, {"title": title})
    bases.save_bases(connection, [replace(base, dirty=dirty)])
