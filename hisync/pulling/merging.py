"""Merge what hiTask shows with what people changed here, or with a write of ours under way.

Public: `merge_row`, `ATTEMPTS`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import Connection

from hisync.change import Change
from hisync.endings import end
from hisync.engine import Engine
from hisync.items import DATE_TYPES, SPENT, Values, fields_of, same_value
from hisync.mirror import changes
from hisync.mirror.base import base_values
from hisync.mirror.intents import Intent
from hisync.mirror.records import ConflictRecord
from hisync.mirror.rows import LocalRow
from hisync.outcome.arrival import Arrival, finish_write
from hisync.outcome.totals import total_arrived
from hisync.plan.actions import Action, InsertRow, RecordConflict, UpdateRow
from hisync.plan.merge import Row, plan_row
from hisync.plan.proof import (
    base_after_write,
    columns_edited_after,
    last_edits,
    refused_by_column,
    unsent_columns,
)
from hisync.pulling.shown import Shown, View
from hisync.timekeeping.entries import carried_entries, reject_entries
from hisync.timekeeping.ledger import load_totals, minutes_to_send, unsent_minutes_of
from hisync.writes import Writes

ATTEMPTS: Final = 3
"""Times that hiTask answers a write with OK alone after which what it shows is its answer."""

_HOUR: Final = 60

_DATES: Final = {column for column, f in fields_of("tasks").items() if f.type in DATE_TYPES}


def merge_row(
    engine: Engine, connection: Connection, shown: Shown, local: LocalRow | None, view: View
) -> None:
    """People changed the row here, or a write of ours is under way: merge what meets."""
    table, intent = shown.item.table, shown.intent
    log = view.log_of(shown)
    ours = local.values if local else None
    before = base_values(shown.base, ours) if shown.base else None
    if local is not None and ours is not None and before is not None:
        # What can't be read is no edit to merge; the push refuses it by name.
        ours = {**ours, **{column: before.get(column) for column in local.unreadable}}
    proven: Values | None = before
    spent = direct = False
    if intent is not None:
        direct = view.direct or _is_answer(shown, intent, view)
        spent = _has_spent(shown, intent, before, view, direct=direct)
        if direct and SPENT in intent.sent and not spent:
            ours = _refuse_time(engine, connection, shown, intent, ours)
        # A row that has hiTask's number is no new one, even if what was known of it got lost.
        known = local is not None and local.id == shown.item.id
        if view.direct or shown.base is not None or not known:
            older = known or _maybe_older(intent, shown.values)
            proven = _proven(
                engine,
                *(shown, intent, before, ours, view),
                spent=spent,
                direct=direct,
                maybe_older=older,
            )
    if ours is not None:
        ours = _with_its_total(connection, shown, ours, proven, view)
    row = Row(table, proven, ours, shown.values, last_edits(table, log))
    actions = plan_row(row, engine.rules.policy)
    unsent = unsent_columns(table, actions)
    moved = local is not None and local.table != table
    left = local.unreadable if local is not None and moved else {}
    unsent -= left.keys()
    view.writes.conflicts += _lost_columns(shown, local, log)
    view.writes.conflicts += _not_shown(shown, before, unsent, read=direct and not view.direct)
    waiting = 0
    if local is None:  # should it come back
        carried = intent.last_seq if intent is not None and spent else 0
        waiting = minutes_to_send(
            connection, shown.guid, proven, kept=engine.rules.time_entries, after=carried
        )
    _write_plan(connection, shown, local, actions, unsent, waiting, view.writes)
    if left:
        # What can't be read can't be taken along either: refused here as the push would.
        since = intent.last_seq if intent is not None else 0
        later = [change for change in log if change.seq > since]
        end(engine, connection, shown.guid, refused_by_column(later, left))
    if local is not None and local.table == table:
        settled = _agreed(shown, log) - unsent - local.unreadable.keys()
        view.writes.set(table, shown.guid, {c: shown.values[c] for c in settled})
    if intent is not None:
        # What the log does not say, the row does, until the item's own number is in it.
        other = local.id if local is not None and local.id != shown.item.id else None
        arrival = Arrival(intent, before, shown.values, log, unsent, direct, spent, other)
        finish_write(engine, connection, arrival)


def _is_answer(shown: Shown, intent: Intent, view: View) -> bool:
    """Whether a read shows what hiTask made of a write that it answered with OK alone.

    By the version, or else by having been sent again and again: what is not as it was sent would be
    taken for someone else's edit each time, and go out for ever.
    """
    if intent.op != "update" or intent.guid not in view.accepted or shown.base is None:
        return False
    before, now = shown.base.version, shown.values.get("version")
    only_ours = before is not None and now is not None and bool(now == before + 1)
    return only_ours or intent.attempt >= ATTEMPTS


def _with_its_total(
    connection: Connection, shown: Shown, ours: Values, proven: Values | None, view: View
) -> Values:
    """The row with the total that is to be merged, which it gets where another one stands."""
    if proven is None:
        # No base tells what of its total is new, but the log: of the rest, hiTask has its own word.
        ours = {**ours, SPENT: unsent_minutes_of(connection, shown.guid) or None}
    if proven is None or (shown.table_before, shown.guid) in view.overwritten:
        # Else what someone wrote into the total would be taken for time seen on hiTask.
        view.writes.set(shown.item.table, shown.guid, {SPENT: ours[SPENT]})
    return ours


def _has_spent(
    shown: Shown, intent: Intent, before: Values | None, view: View, *, direct: bool
) -> bool:
    """Whether a total that a write sent is part of hiTask's now."""
    looked_up = view.spent.get(shown.item.id)
    # Of what was read the history knows better: the total may be a colleague's, and ours not taken.
    direct = view.direct or (direct and looked_up is not False)
    return SPENT in intent.sent and total_arrived(
        intent, before, shown.values, direct=direct, looked_up=looked_up
    )


def _proven(
    engine: Engine,
    shown: Shown,
    intent: Intent,
    before: Values | None,
    ours: Values | None,
    view: View,
    *,
    spent: bool,
    direct: bool,
    maybe_older: bool,
) -> Values:
    """The base that the outcome of a write proves."""
    table, again = shown.item.table, _not_emptied(shown, intent)
    proven = base_after_write(
        table,
        before,
        intent.sent,
        shown.values,
        ours,
        columns_edited_after(table, view.log_of(shown), intent.last_seq),
        direct=direct,
        maybe_older=shown.base is None and maybe_older,
    )
    if again:
        # The client sees answers alone, and this one may have been OK, or lost.
        engine.api.take_null_for_text()
        proven |= {column: shown.values[column] for column in again}
    if SPENT in intent.sent:
        # Part of hiTask's total, or not: what else people added here is what is left to send.
        proven[SPENT] = (intent.sent if spent else before or {}).get(SPENT)
    return proven


def _not_emptied(shown: Shown, intent: Intent) -> set[str]:
    """The columns that were emptied with the text `null`, which hiTask took for what it says.

    They are sent again, in another form, a limited number of times.
    """
    if intent.attempt >= ATTEMPTS:
        return set()
    return {c for c, sent in intent.sent.items() if sent is None and shown.values.get(c) == "null"}


def _agreed(shown: Shown, log: Sequence[Change]) -> set[str]:
    """The columns to be written as hiTask has them where nothing is left to send.

    People may have put the same in other words, or made a day of an instant.
    """
    columns = set(shown.values)
    if shown.intent is not None:
        return columns - columns_edited_after(shown.item.table, log, shown.intent.last_seq)
    if shown.base is None:
        return columns  # a new row that hiTask has already: all its cells are in people's words
    said = set(shown.dirty)
    return columns & (said | (_DATES if "is_all_day" in said else set()))


def _refuse_time(
    engine: Engine, connection: Connection, shown: Shown, intent: Intent, ours: Values | None
) -> Values | None:
    """hiTask answered OK and kept the total as it was: the entries are refused, and say why."""
    stored, sent = shown.values.get(SPENT) or 0, intent.sent[SPENT] or 0
    rounds = engine.api.time_unit == "hours" and abs(sent - stored) < _HOUR
    why = f"it {'rounds its hours, or ' if rounds else ''}takes no time spent from outside"
    reason = f"hiTask answered OK but kept {stored} minutes and not {sent}: {why}"
    reject_entries(engine, connection, carried_entries(connection, intent), reason)
    if ours is None:
        return None
    totals = load_totals(engine, connection, [shown.guid]) or {}
    return {**ours, SPENT: totals.get(shown.guid)}


def _lost_columns(
    shown: Shown, local: LocalRow | None, log: Sequence[Change]
) -> list[ConflictRecord]:
    """Unsent edits of columns that the item's new kind does not have: kept, since they can't go."""
    if local is None or local.table == shown.item.table:
        return []
    dirty = shown.dirty
    if shown.base is None and shown.intent is not None:  # what a create sent is not unsent
        later = columns_edited_after(local.table, log, shown.intent.last_seq)
        dirty = {column: shown.intent.sent.get(column) for column in later}
    homeless = dirty.keys() & fields_of(local.table).keys() - fields_of(shown.item.table).keys()
    homeless -= local.unreadable.keys()  # whose changes are refused, and keep what was written
    return [
        ConflictRecord(
            *(local.table, shown.guid, column, dirty[column], local.values[column], None),
            resolution="remote",
            policy="remote",
        )
        for column in sorted(homeless)
    ]


def _not_shown(
    shown: Shown, before: Values | None, unsent: Collection[str], *, read: bool
) -> list[ConflictRecord]:
    """What was sent and is not what the item shows, where a read is taken for the answer.

    It may be someone else's value as well as what hiTask made of ours, so ours is kept.
    """
    if shown.intent is None or before is None or not read:
        return []
    fields = fields_of(shown.item.table)
    return [
        ConflictRecord(
            *(shown.item.table, shown.guid, column, before.get(column), ours, stored),
            resolution="remote",
            policy="remote",
        )
        for column, ours in shown.intent.sent.items()
        if column in fields and column != SPENT and column not in unsent
        if not same_value(fields[column], stored := shown.values.get(column), ours)
        if not same_value(fields[column], stored, before.get(column))
    ]


def _maybe_older(intent: Intent, answered: Values) -> bool:
    """Whether a create may have been answered with an item that was there already."""
    return intent.attempt > 1 or (answered.get("version") or 1) > 1


def _write_plan(
    connection: Connection,
    shown: Shown,
    local: LocalRow | None,
    actions: Sequence[Action],
    unsent: Collection[str],
    waiting: int,
    writes: Writes,
) -> None:
    """Carry out what a plan says about the mirror; the rest waits in the base."""
    table, guid = shown.item.table, shown.guid
    stays = local is not None and local.table == table
    kept = set(unsent) | (set(local.unreadable) if local is not None and stays else set())
    for action in actions:
        match action:
            case InsertRow():
                writes.put(table, shown.row_with(waiting))
                kept |= {SPENT} if waiting else set()
            case UpdateRow(values):
                # A cell that can't be read stays until the push has refused it by name.
                unreadable = local.unreadable if local is not None else {}
                writes.set(table, guid, {c: v for c, v in values.items() if c not in unreadable})
            case RecordConflict():
                writes.conflict(table, guid, action)
            case _:
                pass
    if local is not None and local.id != shown.item.id:
        writes.set(table, guid, {"id": shown.item.id})
    if shown.table_before != table:  # also of a row that was deleted here
        changes.move(connection, guid, shown.table_before, to=table)
    if local is not None and local.table != table:
        ours = {c: local.values[c] for c in kept if c in local.values and c in fields_of(table)}
        writes.take_out(local.table, guid)
        writes.put(table, {**shown.row, **ours})
    writes.bases.append(shown.base_after(kept))
