"""The live and the archived items, with the indexes by guid and by parent.

Public: `Store`.
"""

from __future__ import annotations

from collections.abc import Iterator

from hisync.sandbox.records import Item


class Store:
    """Items by id; the live ones also by guid and by parent."""

    def __init__(self) -> None:
        self.live: dict[int, Item] = {}
        self.archived: dict[int, Item] = {}
        self._by_guid: dict[str, tuple[int, ...]] = {}
        self._children: dict[int, dict[int, None]] = {}

    def add(self, item: Item) -> None:
        """Add a live item."""
        self.live[item.id] = item
        self._by_guid[item.guid] = (*self._by_guid.get(item.guid, ()), item.id)
        if item.parent:
            self._children.setdefault(item.parent, {})[item.id] = None

    def remove(self, item: Item) -> None:
        """Take a live item away."""
        del self.live[item.id]
        rest = tuple(each for each in self._by_guid[item.guid] if each != item.id)
        if rest:
            self._by_guid[item.guid] = rest
        else:
            del self._by_guid[item.guid]
        self._leave_parent(item)

    def move(self, item: Item, parent: int) -> None:
        """Put a live item under another parent; 0 is none."""
        self._leave_parent(item)
        item.parent = parent
        if parent:
            self._children.setdefault(parent, {})[item.id] = None

    def by_guid(self, guid: str) -> list[Item]:
        """Return the live items of a guid, oldest first; usually one or none."""
        return [self.live[each] for each in self._by_guid.get(guid, ())]

    def has_children(self, item_id: int) -> bool:
        """Tell whether a live item has live children."""
        return item_id in self._children

    def children(self, item_id: int) -> list[Item]:
        """Return the live children of an item."""
        return [self.live[each] for each in self._children.get(item_id, ())]

    def descendants(self, item_id: int) -> Iterator[Item]:
        """Walk everything below an item, parents first."""
        waiting = self.children(item_id)
        while waiting:
            child = waiting.pop(0)
            yield child
            waiting.extend(self.children(child.id))

    def ancestors(self, item_id: int) -> Iterator[Item]:
        """Walk from an item up to the top, itself first."""
        item = self.live.get(item_id)
        while item is not None:
            yield item
            item = self.live.get(item.parent)

    def _leave_parent(self, item: Item) -> None:
        siblings = self._children.get(item.parent)
        if siblings is not None:
            siblings.pop(item.id, None)
            if not siblings:
                del self._children[item.parent]
