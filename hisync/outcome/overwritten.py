"""What someone else wrote between our read and our write, and our write went over.

hiTask takes a write without asking what it was based on. A jump in the version of the item that
shows our write says that somebody else wrote too; the item's history then tells which of the
values we sent replaced one that we had never seen, and that one is recorded as a conflict. The
history is read before anything is written down, so that a process that dies in between finds the
write unfinished and asks again. Public: `Overwritten`, `was_jumped`, `look_for_overwritten`,
`look_up_overwritten`, `record_overwritten`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from hisync.comment import Unit
from hisync.engine import Engine
from hisync.history import chronological, units_since, value_of
from hisync.items import SPENT, Access, Field, Item, Value, Values, fields_of, same_value
from hisync.mirror import base as bases
from hisync.mirror import changes, records, rows
from hisync.mirror.records import ConflictRecord
from hisync.outcome.doubts import fetch_telling, look_at_each
from hisync.outcome.totals import lost_minutes, two_writes
from hisync.plan.actions import Resolution
from hisync.plan.proof import arrived_as
from hisync.pushing.claim import Claim
from hisync.timekeeping.observed import add_again
from hisync.writes import report_conflicts


@dataclass(frozen=True, slots=True)
class Overwritten:
    """What one write of ours went over.

    Attributes:
        claimed: the write.
        conflicts: values that stand no more.
        minutes: what someone's total had more than ours, 0 for nothing.
    """

    claimed: Claim
    conflicts: Sequence[ConflictRecord] = ()
    minutes: int = 0


def was_jumped(claimed: Claim, item: Item) -> bool:
    """Whether the answer's version shows that ours was not the only write since we read."""
    return claimed.base is not None and two_writes(claimed.base, item)


def look_for_overwritten(engine: Engine, claimed: Claim, item: Item) -> Overwritten:
    """Ask the history what a write went over, where its version jumped; no transaction is open.

    Raises:
        RetryLaterError: if the history can't be read for the moment.
        StopError: if the login, key or account is refused.
    """
    if not was_jumped(claimed, item):
        return Overwritten(claimed)
    engine.log.warning(
        "version_jumped",
        guid=claimed.intent.guid,
        before=claimed.base.version if claimed.base else None,
        after=item.values.get("version"),
    )
    history = fetch_telling(engine, claimed.intent.guid, item.id, "overwrite_unclear")
    if history is None:
        return Overwritten(claimed)
    return Overwritten(
        claimed,
        find_overwritten(engine, claimed, item, history),
        lost_minutes(engine, claimed, item, history),
    )


def look_up_overwritten(engine: Engine, lost: Iterable[tuple[Claim, Item]]) -> list[Overwritten]:
    """The same for updates whose answers were lost, once a pull shows their items.

    Raises:
        RetryLaterError: if a history can't be read for the moment.
        StopError: if the login, key or account is refused.
    """
    return look_at_each(lost, partial(look_for_overwritten, engine))


def record_overwritten(engine: Engine, connection: Connection, found: Overwritten) -> int:
    """Write down what a write went over, in the transaction that writes down the write.

    Returns:
        How many conflicts were recorded.
    """
    claimed = found.claimed
    conflicts = [
        conflict
        if conflict.field in claimed.intent.sent or _give_back(connection, claimed, conflict.remote)
        else replace(conflict, resolution="local")
        for conflict in found.conflicts
    ]
    if found.minutes and not engine.rules.time_entries:
        conflicts.append(_lost_total(engine, found))
    records.record_conflicts(connection, conflicts, engine.clock.now())
    if found.minutes and engine.rules.time_entries:
        add_again(engine, connection, claimed.intent.guid, found.minutes)
    report_conflicts(engine.log, conflicts)
    return len(conflicts)


def find_overwritten(
    engine: Engine, claimed: Claim, item: Item, history: Sequence[Unit]
) -> list[ConflictRecord]:
    """The values that were written after we had read the item and before our own arrived."""
    table = claimed.intent.table
    found = []
    for column, sent in _sent(engine, claimed, history).items():
        field = fields_of(table)[column]
        if field.access is Access.COUNTED:
            continue  # nobody's minutes are overwritten: they are added again
        before = claimed.before.get(column, field.empty)
        units = units_since(field, history, claimed.before.get("time_last_update"))
        stored = item.values.get(column, field.empty)
        ours = [unit for unit in units if same_value(field, value_of(field, unit), sent)]
        if not arrived_as(field, sent, stored) and not ours:
            continue  # it never arrived, so it went over nothing
        own = [unit.at for unit in ours if unit.user_id == engine.api.account_id]
        seen = _replaced(field, units, (sent, before, stored), own[-1] if own else None)
        policy = engine.rules.policy.of(column)
        winner: Resolution = "local" if column in claimed.intent.sent else "remote"
        found += [
            ConflictRecord(table, claimed.intent.guid, column, before, sent, value, winner, policy)
            for value in seen
        ]
    return found


def _replaced(
    field: Field, units: Iterable[Unit], known: Sequence[Value], ours_at: datetime | None
) -> list[Value]:
    """The values that a write of ours took the place of, as far as the history can tell.

    That is the last one before it. But the history's times are cut to minutes: of ours, any other
    of the same minute may be the one, or have come right after.
    """
    earlier: list[Value] = []
    same: list[Value] = []
    for unit in units:
        value = value_of(field, unit)
        if any(same_value(field, value, one) for one in (*known, *same)):
            continue
        if ours_at is None or unit.at is None or unit.at < ours_at:
            earlier.append(value)
        elif unit.at == ours_at:
            same.append(value)
    return [*earlier[-1:], *same]


def _sent(engine: Engine, claimed: Claim, history: Iterable[Unit]) -> Values:
    """What went out, the title included where the server wants one with every change.

    A process that died may have been the only one to know that, so the history is asked as well:
    there the title that we had read was written by this account once more.
    """
    title, since = claimed.before.get("title"), claimed.before.get("time_last_update")
    own = [unit for unit in history if unit.user_id == engine.api.account_id]
    written = chronological(fields_of(claimed.intent.table)["title"], own, since)
    along = claimed.intent.op == "update" and (engine.api.sends_title or title in written)
    return {**({"title": title} if along else {}), **claimed.intent.sent}


def _lost_total(engine: Engine, found: Overwritten) -> ConflictRecord:
    """Someone's total, which can't be added again: no time is sent any more."""
    intent, before = found.claimed.intent, found.claimed.before.get(SPENT)
    theirs, policy = (before or 0) + found.minutes, engine.rules.policy.of(SPENT)
    return ConflictRecord(
        *(intent.table, intent.guid, SPENT, before, intent.sent[SPENT], theirs),
        resolution="local",
        policy=policy,
    )


def _give_back(connection: Connection, claimed: Claim, title: Value) -> bool:
    """A title that was only sent along undid someone's rename: theirs goes out again.

    Unless another has been given since: on hiTask, or by people here; or the row was deleted.

    Returns:
        Whether it does.
    """
    guid, sent = claimed.intent.guid, claimed.before.get("title")
    base = bases.load_bases(connection, [guid]).get(guid)
    if base is None or "title" in (base.dirty or {}):
        return False
    row = rows.load_rows(connection, base.table, [guid]).get(guid)  # it may have moved by now
    if row is None or row.values["title"] != sent:
        return False
    # Logged, so that it outlives a later edit or deletion that is taken back.
    with changes.captured(connection):
        rows.set_cells(connection, base.table, guid, {"title": title})
    return True
