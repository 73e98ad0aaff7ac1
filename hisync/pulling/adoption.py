"""Items that a service made of our creates without keeping the guid that it was given.

Whether hiTask keeps the guid of a create is not documented. On a service that does not, a create
whose answer got lost shows as an item with a guid never seen: taken for someone else's, it would
be made a second time. So it is recognised by what was sent. Public: `adopt`, `learn_guid_habit`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection

from hisync.items import Item, fields_of
from hisync.mirror import base as bases
from hisync.mirror import state
from hisync.mirror.base import Base
from hisync.mirror.intents import Intent
from hisync.mirror.removed import former_guids
from hisync.plan.proof import arrived_as

CLOCK_SLACK: Final = timedelta(minutes=10)
"""How much earlier than the request an item may claim to have been made: clocks differ."""


def adopt(
    connection: Connection, items: Collection[Item], pending: Mapping[str, Intent]
) -> dict[int, str]:
    """The rows that these items are although their guid says otherwise, by the item's id.

    By a guid in other letters, by the number that hiTask answered, or by what was sent: then only
    what is new to the mirror, was made by this account since the request, and has every value that
    was sent is taken for the outcome of a create; each create for one item.
    """
    created = [intent for intent in pending.values() if intent.op == "create"]
    shown = {item.guid for item in items} if created else set()
    lost = [intent for intent in created if intent.guid not in shown]
    if not lost:
        return {}
    memory = state.load(connection)
    # A guid may be given in capitals here, and kept in small letters there.
    kept = {item.guid.lower(): item.id for item in items}
    adopted = {kept[key]: i.guid for i in lost if (key := i.guid.lower()) in kept}
    numbers = {i.guid: (memory.accepted or {}).get(i.guid, {}).get("id") for i in lost}
    there = {item.id for item in items}
    adopted |= {n: guid for guid, n in numbers.items() if n is not None and n in there}
    if memory.keeps_guid:
        return adopted
    known = set(bases.load_bases_by_id(connection, (item.id for item in items)))
    # What left and shows again, restored say, is not new either.
    known |= former_guids(connection, [item.id for item in items if item.id not in known]).keys()
    strangers = sorted((item for item in items if item.id not in known), key=lambda one: one.id)
    parents = bases.load_bases(connection, (str(i.sent.get("parent_guid") or "") for i in lost))
    for intent in lost:
        if intent.guid in adopted.values() or numbers[intent.guid] is not None:
            continue
        parent = parents.get(intent.sent.get("parent_guid") or "")
        free = (item for item in strangers if item.id not in adopted)
        match = _first_match(intent, parent, free, memory.account_id)
        if match is not None:
            adopted[match.id] = intent.guid
    return adopted


def learn_guid_habit(connection: Connection, intent: Intent, item: Item) -> None:
    """Remember from the answer to a create whether this service keeps the guid it is given."""
    keeps = item.guid == intent.guid
    if state.load(connection).keeps_guid != keeps:
        state.save(connection, keeps_guid=keeps)


def _first_match(
    intent: Intent, parent: Base | None, items: Iterable[Item], account: int | None
) -> Item | None:
    return next((item for item in items if _is_outcome(intent, parent, item, account)), None)


def _is_outcome(intent: Intent, parent: Base | None, item: Item, account: int | None) -> bool:
    made = item.values.get("time_create")
    if item.table != intent.table or item.values.get("owner_id") not in {account, None}:
        return False
    if made is not None and made < intent.started_at - CLOCK_SLACK:
        return False
    return _same_parent(intent, parent, item) and all(
        arrived_as(fields_of(intent.table)[column], value, item.values.get(column))
        for column, value in intent.sent.items()
        if column != "parent_guid"
    )


def _same_parent(intent: Intent, parent: Base | None, item: Item) -> bool:
    if intent.sent.get("parent_guid") is None:
        return item.values.get("parent_guid") is None and item.parent_id is None
    if parent is None:
        return False
    names = {parent.guid, parent.remote_guid} - {None}
    return item.values.get("parent_guid") in names or item.parent_id == parent.id
