"""What became of a total of minutes that we wrote while colleagues may have written theirs.

hiTask takes a total without asking what it was counted from: read, add, write, verify. When the
answer got lost, or the item's version shows another write in between, its history tells whose
total came when. The race that remains: two totals within the history's minute and of the same
number can't be told apart. Public: `lost_updates`, `look_up_totals`, `lost_minutes`,
`total_arrived`, `two_writes`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection

from hisync.comment import Unit
from hisync.engine import Engine
from hisync.history import minute_of, read_total, units_since
from hisync.items import SPENT, Item, Value, Values, fields_of, same_value
from hisync.mirror import base as bases
from hisync.mirror import intents, rows
from hisync.mirror.base import Base
from hisync.mirror.intents import Intent
from hisync.outcome.doubts import fetch_telling, look_at_each
from hisync.pushing.claim import Claim
from hisync.reading import Reading

_FIELD: Final = fields_of("tasks")[SPENT]


def lost_updates(engine: Engine, reading: Reading) -> list[tuple[Claim, Item]]:
    """The updates whose answers got lost, with the items that a pull shows of them.

    No transaction may be open.
    """
    with engine.mirror.reading() as connection:
        updates = _pending_updates(connection)
    if not updates:
        return []
    # What people changed since is folded in first: a row alone does not say what it was based on.
    with engine.mirror.writing() as connection:
        updates = _pending_updates(connection)
        known = {base.id: base for base in bases.load_bases(connection, updates).values()}
        local = rows.load_every(connection, [(base.table, base.guid) for base in known.values()])
    found = []
    for item in reading.answer.items:
        base = known.get(item.id)
        if base is not None:
            row = local.get((base.table, base.guid))
            before = bases.base_values(base, row.values if row else None)
            values = row.values if row else before
            found.append((Claim(updates[base.guid], base, before, values, None), item))
    return found


def _pending_updates(connection: Connection) -> dict[str, Intent]:
    pending = intents.load_intents(connection)
    return {guid: intent for guid, intent in pending.items() if intent.op == "update"}


def look_up_totals(engine: Engine, lost: Iterable[tuple[Claim, Item]]) -> dict[int, bool]:
    """Ask the history about totals whose answers got lost and that a pull leaves open.

    No transaction may be open. Raises as `fetch_telling` does.

    Returns:
        Whether our total arrived, by the item's id; only for items where the answer is not ours,
        nor what it was before without two writes since: ours, and one that took it back.
    """

    def ask(claimed: Claim, item: Item) -> tuple[int, bool] | None:
        sent, stored = claimed.intent.sent, item.values.get(SPENT)
        if SPENT not in sent or _same(stored, sent[SPENT]):
            return None
        if claimed.base is None:
            return None
        if _same(stored, claimed.before.get(SPENT)) and not two_writes(claimed.base, item):
            return None
        return item.id, _ask(engine, claimed, claimed.base, item)

    return dict(answer for answer in look_at_each(lost, ask) if answer is not None)


def total_arrived(
    intent: Intent,
    before: Values | None,
    remote: Values,
    *,
    direct: bool,
    looked_up: bool | None,
) -> bool:
    """Whether a total that was sent is part of what hiTask has now.

    Args:
        intent: what was sent.
        before: the base before it.
        remote: the item's values now.
        direct: whether they are the answer to the write itself.
        looked_up: what the history says, None where it was not asked.
    """
    if _same(remote.get(SPENT), intent.sent[SPENT]):
        return True
    if _same(remote.get(SPENT), (before or {}).get(SPENT)):
        return bool(looked_up)
    return direct or bool(looked_up)


def lost_minutes(engine: Engine, claimed: Claim, item: Item, history: Iterable[Unit]) -> int:
    """The minutes that someone else added between our read and our write, which went over them.

    Args:
        engine: whose account wrote, and the unit of totals.
        claimed: the write.
        item: the item as hiTask shows it since.
        history: its history.
    """
    if SPENT not in claimed.intent.sent:
        return 0
    sent = claimed.intent.sent[SPENT] or 0
    before = claimed.before.get(SPENT) or 0
    seen = _written_since(engine, claimed, history)
    same = [index for index, (_, total) in enumerate(seen) if total == sent]
    if not same and not _same(item.values.get(SPENT), sent):
        return 0  # ours never arrived, so it went over nothing
    # Someone may have come to the very number that we had sent, after us.
    ours = [index for index in same if seen[index][0] in {None, engine.api.account_id}] or same
    # One of ours that got lost may have landed late: what was added to that holds our minutes.
    lost, counted_from, total = 0, before, before
    for index, (_, written) in enumerate(seen[: ours[-1] + 1] if ours else seen):
        if index in ours:
            lost += total - counted_from
            counted_from = total = sent
        elif written != sent:
            total = written
    return lost if ours else total - before


def _ask(engine: Engine, claimed: Claim, base: Base, item: Item) -> bool:
    history = fetch_telling(engine, base.guid, item.id, "total_unclear")
    written = _written_since(engine, claimed, history or ())
    if written:
        return (claimed.intent.sent[SPENT] or 0) in {total for _, total in written}
    # No word of it: two writes since we read are ours and theirs, one is theirs alone. But ones
    # that left the total as it was need not have been about it.
    same = _same(item.values.get(SPENT), claimed.before.get(SPENT))
    return not same and two_writes(base, item)


def two_writes(base: Base, item: Item) -> bool:
    """Whether the item's version shows more than one write since we read it."""
    version = item.values.get("version")
    return version is not None and base.version is not None and version > base.version + 1


def _written_since(
    engine: Engine, claimed: Claim, history: Iterable[Unit]
) -> list[tuple[int | None, int]]:
    """The totals that a history shows since we read the item, oldest first, each with its writer.

    By hiTask's own clock: ours may be wrong.
    """
    read_at, before = claimed.before.get("time_last_update"), claimed.before.get(SPENT) or 0
    written: list[tuple[int | None, int]] = []
    for unit in units_since(_FIELD, history, read_at):
        total = read_total(unit.value, engine.api.time_unit)
        if total is None:
            continue
        written.append((unit.user_id, total))
        if total == before and (
            read_at is None or unit.at is None or minute_of(unit.at) <= read_at
        ):
            written.clear()  # the one that we had read
    return written


def _same(one: Value, other: Value) -> bool:
    return same_value(_FIELD, one, other)
