"""Which row is which item, where the books of the mirror may be wrong.

The engine trusts its own books; this looks at rows, bases, changes and items side by side and says
where they don't fit one another. It reads and decides nothing else. Public: `survey`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from hisync.items import Item, fields_of
from hisync.mirror import base as bases
from hisync.mirror import changes, intents
from hisync.mirror.base import Base
from hisync.mirror.intents import Intent
from hisync.mirror.places import Place, last_states, load_places
from hisync.pulling.identity import Identities, identify
from hisync.verifying.misfits import Misfit, MisfitKind, Pair, Survey


def survey(connection: Connection, items: Sequence[Item], live: Collection[int]) -> Survey:
    """Lay rows, bases, changes and items side by side.

    Args:
        connection: a transaction.
        items: every item of the account.
        live: their ids.
    """
    look = _Look(connection, items, live)
    look.at_bases()
    look.at_rows_without_base()
    look.at_items(identify(connection, items, live))
    look.at_intents()
    return look.found


class _Look:
    """The survey while it is made; each method looks from another side."""

    def __init__(self, connection: Connection, items: Sequence[Item], live: Collection[int]):
        self.items = {item.id: item for item in items}
        self.live = live
        self.by_id = bases.load_bases_by_id(connection, bases.known_ids(connection))
        self.bases = {base.guid: base for base in self.by_id.values()}
        self.log = changes.unfinished(connection)
        self.intents = intents.load_intents(connection)
        self.by_guid: dict[str, list[Place]] = {}
        self.orphans: dict[object, list[Place]] = {}
        places = load_places(connection)
        for place in places:
            self.by_guid.setdefault(place.guid, []).append(place)
            if place.guid not in self.bases and not self._is_new(place):
                self.orphans.setdefault(place.id, []).append(place)
        strays = [place.guid for place in places if place.guid not in self.bases]
        self.states = last_states(connection, strays)
        self.rows: dict[str, Place] = {}  # by the key that they have or should have
        self.matched: dict[int, str] = {}  # items of rows without a base
        self.rebased: dict[int, Base] = {}  # bases whose own id is nothing's, by their row's
        self.spoken_for: set[Place] = set()
        self.found = Survey(rows=len(places), log=self.log)

    def _is_new(self, place: Place) -> bool:
        """Whether people put the row in, and hiTask has not seen it yet."""
        log = self.log.get((place.table, place.guid), [])
        return bool(log) and log[0].op == "insert"

    def _is_deleted(self, base: Base) -> bool:
        """Whether people, or a write of ours, took the row away."""
        intent = self.intents.get(base.guid)
        if intent is not None and intent.op in {"delete", "archive"}:
            return True
        log = self.log.get((base.table, base.guid))
        if log:
            return log[-1].op == "delete"
        return bool(base.dirty) and (base.dirty or {}).keys() >= fields_of(base.table).keys()

    def _misfit(self, kind: MisfitKind, base: Base, place: Place | None = None) -> None:
        table = place.table if place else base.table
        item = self.items.get(base.id)
        if item is None and kind is MisfitKind.ID_DIFFERS and place is not None:
            item = self._claimed(base, place)
        number = item.id if item else base.id
        self.found.misfits.append(Misfit(kind, table, base.guid, number, place, base, item))

    def _claimed(self, base: Base, place: Place) -> Item | None:
        """The item that the row's id names, where the base's names nothing at all."""
        item = self.items.get(place.id) if isinstance(place.id, int) else None
        if item is None or base.id in self.live or item.id in self.by_id:
            return None
        return item if self.rebased.setdefault(item.id, base) is base else None

    def at_bases(self) -> None:
        """Find the row of each base."""
        for base in self.bases.values():
            place = self._row_of(base)
            if place is not None:
                self.rows[base.guid] = place
                self.spoken_for.add(place)
            for other in self.by_guid.get(base.guid, ()):
                # One that people have just put in is refused by the push.
                if other != place and not self.log.get((other.table, other.guid)):
                    self.spoken_for.add(other)
                    self._misfit(MisfitKind.GUID_TWICE, base, other)

    def _row_of(self, base: Base) -> Place | None:
        here = self.by_guid.get(base.guid, [])
        own = next((place for place in here if place.table == base.table), None)
        if own is not None:
            if own.id != base.id:
                self._misfit(MisfitKind.ID_DIFFERS, base, own)
            return own
        if self._is_deleted(base):
            return None
        moved = next((place for place in here if not self._is_new(place)), None)
        if moved is not None:
            self._misfit(MisfitKind.TABLE_DIFFERS, base, moved)
            return moved
        renamed = next(iter(self.orphans.get(base.id, ())), None)
        if renamed is not None:
            self._misfit(MisfitKind.GUID_RENAMED, base, renamed)
            return renamed
        self.found.vanished.add(base.guid)
        self._misfit(MisfitKind.ROW_VANISHED, base)
        return None

    def at_rows_without_base(self) -> None:
        """Tell new rows from those that have lost their base, and from those nobody knows of."""
        taken = self.by_id.keys() | self.rebased.keys()
        guids = {item.guid: item for item in self.items.values() if item.id not in taken}
        free = [place for place in self._all_places() if place.guid not in self.bases]
        for place in sorted(free, key=self._is_misplaced):
            if place in self.spoken_for or self._is_new(place):
                continue
            item = self._item_of(place, guids)
            if item is not None:
                self.matched[item.id] = place.guid
                self.rows[place.guid] = place
                self._lost(place, item)
            elif self.log.get((place.table, place.guid)):
                continue  # waits: the push or the next pull decides
            elif place.guid in self.rows:
                self._plain(MisfitKind.GUID_TWICE, place)
            elif self._was_hitasks(place):
                self.matched[place.id] = place.guid
                self.rows[place.guid] = place
                self._lost(place, None)
                self.found.gone.append(place)
            else:
                self._unknown(place)

    def _is_misplaced(self, place: Place) -> bool:
        """Whether it stands in another table than its id's item: others are tried first."""
        item = self.items.get(place.id) if isinstance(place.id, int) else None
        return item is not None and item.table != place.table

    def _was_hitasks(self, place: Place) -> bool:
        """Whether its id says so, and no other row has that id."""
        number = place.id
        return isinstance(number, int) and number not in self.by_id and number not in self.matched

    def _all_places(self) -> Iterable[Place]:
        return (place for places in self.by_guid.values() for place in places)

    def _item_of(self, place: Place, by_guid: Mapping[str, Item]) -> Item | None:
        """The item whose row this must be: by its id, else by its guid."""
        item = self.items.get(place.id) if isinstance(place.id, int) else None
        if item is None and place.guid not in self.intents:
            item = by_guid.get(place.guid)
        known = item is not None and (item.id in self.by_id or item.id in self.rebased)
        return None if item is None or known or item.id in self.matched else item

    def _lost(self, place: Place, item: Item | None) -> None:
        number = item.id if item else place.id
        self.found.misfits.append(
            Misfit(MisfitKind.BASE_LOST, place.table, place.guid, number, place, None, item)
        )

    def _unknown(self, place: Place) -> None:
        state = self.states.get((place.table, place.guid))
        if state in {"rejected", "discarded"}:
            self.found.refused += 1
            return
        self._plain(MisfitKind.INSERT_UNSEEN if state is None else MisfitKind.LEFT_OVER, place)

    def _plain(self, kind: MisfitKind, place: Place) -> None:
        self.found.misfits.append(Misfit(kind, place.table, place.guid, None, place))

    def at_items(self, identities: Identities) -> None:
        """Find the row of each item, and the rows without one."""
        self._name(identities)
        alive = set()
        for item in self.items.values():
            base = self._base_of(item, identities)
            guid = self.found.identities.guids[item.id]
            if base is not None:
                alive.add(base.guid)
            if base is not None or item.id in self.matched:
                self.found.pairs.append(Pair(item, guid, self.rows.get(guid), base))
            elif self._deletion_waits(item, guid):
                self.found.misfits.append(
                    Misfit(MisfitKind.BASE_LOST, item.table, guid, item.id, None, None, item)
                )
            elif guid not in self.by_guid:
                self.found.strangers.append(item)
        self.found.gone += [
            place
            for guid, place in self.rows.items()
            if guid in self.bases and guid not in alive and not self._is_deleted(self.bases[guid])
        ]

    def _base_of(self, item: Item, identities: Identities) -> Base | None:
        known = self.by_id.get(item.id) or self.rebased.get(item.id)
        return known or identities.bases.get(item.id)

    def _name(self, identities: Identities) -> None:
        """Let items be called by the rows that they are, though the books don't say so."""
        keys = {n: key for n, key in self.matched.items() if n in self.items}
        keys |= {number: base.guid for number, base in self.rebased.items()}
        known = {self.items[n].guid: key for n, key in keys.items()}
        self.found.identities = replace(
            identities,
            guids={**identities.guids, **keys},
            parents={**identities.parents, **keys},
            aliases={
                **identities.aliases,
                **{theirs: key for theirs, key in known.items() if theirs not in self.rows},
            },
        )

    def _deletion_waits(self, item: Item, guid: str) -> bool:
        log = self.log.get((item.table, guid), [])
        return bool(log) and log[0].op != "insert" and log[-1].op == "delete"

    def at_intents(self) -> None:
        """Find requests that carry nothing."""
        carrying = {guid for _, guid in self.log}
        for intent in self.intents.values():
            base = self.bases.get(intent.guid)
            if intent.guid not in carrying and not (base and base.dirty):
                self.found.misfits.append(_left(intent, base))


def _left(intent: Intent, base: Base | None) -> Misfit:
    number = base.id if base else None
    return Misfit(MisfitKind.INTENT_LEFT, intent.table, intent.guid, number, None, base)
