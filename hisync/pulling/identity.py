"""Which row is which item: hiTask's id is the identity, the guid is only asked where it must be.

A service may ignore the guid that it was given, take one twice, or leave it out; and an item may
come back under a new id. One that comes back under its old id (restored, shared again) takes the
key again that it had here, and with it its history. Public: `identify`, `Identities`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from hisync.items import Item, Values, derived_guid
from hisync.mirror.base import Base, load_aliases, load_bases, load_bases_by_id
from hisync.mirror.intents import Intent, load_intents
from hisync.mirror.removed import former_guids


@dataclass(frozen=True, slots=True)
class Identities:
    """The rows of some items.

    Attributes:
        guids: the key of each item's row, by the item's id.
        bases: the base of each item that the mirror knows, by the item's id.
        duplicates: guids that more than one live item has, with their ids.
        parents: the key of each parent's row, by the parent's id.
        aliases: the keys of rows that hiTask knows by another guid, by that guid.
    """

    guids: Mapping[int, str]
    bases: Mapping[int, Base]
    duplicates: Mapping[str, list[int]]
    parents: Mapping[int, str]
    aliases: Mapping[str, str]

    def values_of(self, item: Item) -> Values:
        """The item's values, its parent named by the key of the parent's row."""
        named: str | None = item.values.get("parent_guid")
        parent: str | None
        if named is not None:
            parent = self.aliases.get(named, named)
        elif item.parent_id is not None:
            parent = self.parents.get(item.parent_id)
        else:
            return item.values
        return item.values if parent == named else {**item.values, "parent_guid": parent}


def identify(
    connection: Connection,
    items: Sequence[Item],
    live: Collection[int] | None,
    answering: Mapping[int, Intent] | None = None,
    adopted: Mapping[int, str] | None = None,
) -> Identities:
    """Find the row of each item.

    Args:
        connection: a transaction.
        items: whole items.
        live: the ids of all items of the account, None where they aren't known.
        answering: the writes that the items answer, by the item's id; each is the row of its
            write, whatever its guid.
        adopted: rows that items are by other evidence than their guid, by the item's id.
    """
    by_id = load_bases_by_id(connection, (item.id for item in items))
    strangers = [item for item in items if item.id not in by_id]
    former = {} if answering else _former_keys(connection, strangers)
    named = {} if answering else former | dict(adopted or {})
    by_guid = load_bases(connection, {item.guid for item in strangers} | set(named.values()))
    guids = {number: base.guid for number, base in by_id.items()}
    bases = dict(by_id)
    duplicates: dict[str, list[int]] = {}
    taken = set(guids.values())
    for item in sorted(strangers, key=lambda one: one.id):
        guid = answering[item.id].guid if answering else named.get(item.id, item.guid)
        twin = by_guid.get(guid)
        if guid in taken or (twin is not None and _lives(twin, live)):
            other = twin.id if twin else next(n for n, g in guids.items() if g == guid)
            duplicates.setdefault(guid, [other]).append(item.id)
            guid = derived_guid("item", item.id)
        elif twin is not None:
            bases[item.id] = twin  # the same item, come back under a new id
        guids[item.id] = guid
        taken.add(guid)
    aliases = load_aliases(connection)
    for item in strangers:
        if item.id in named and item.guid not in taken and item.guid not in by_guid:
            aliases[item.guid] = guids[item.id]
    return Identities(guids, bases, duplicates, _parents(connection, items, guids), aliases)


def _former_keys(connection: Connection, strangers: Collection[Item]) -> dict[int, str]:
    """The key of each of these items that had another one here than the guid that hiTask shows.

    Left out are keys that something else has or is about to get.
    """
    former = former_guids(connection, [item.id for item in strangers])
    keys = {
        item.id: former[item.id]
        for item in strangers
        if former.get(item.id, item.guid) != item.guid
    }
    if not keys:
        return {}
    taken = {item.guid for item in strangers} | load_bases(connection, keys.values()).keys()
    taken |= {intent.guid for intent in load_intents(connection).values()}
    free: dict[str, int] = {key: number for number, key in keys.items() if key not in taken}
    return {number: key for key, number in free.items()}


def _lives(twin: Base, live: Collection[int] | None) -> bool:
    """Whether the item that has the guid is still there; unknown counts as yes."""
    return live is None or twin.id in live


def _parents(
    connection: Connection, items: Iterable[Item], guids: Mapping[int, str]
) -> dict[int, str]:
    """Rows of parents that are named by id alone."""
    wanted = {
        item.parent_id
        for item in items
        if item.parent_id is not None and item.values.get("parent_guid") is None
    }
    known = {number: guids[number] for number in wanted if number in guids}
    missing = wanted - known.keys()
    found = load_bases_by_id(connection, missing) if missing else {}
    return known | {number: base.guid for number, base in found.items()}
