"""What hiTask shows, beside what the mirror has of it, while a transaction applies it.

Public: `Shown`, `View`, `Key`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from hisync.change import Change
from hisync.items import SPENT, Item, Values, fields_of
from hisync.mirror.base import Base
from hisync.mirror.cells import to_json
from hisync.mirror.intents import Intent
from hisync.mirror.rows import LocalRow
from hisync.writes import Writes

Key: TypeAlias = tuple[str, str]
"""Table and guid of a row."""


@dataclass(slots=True)  # as `Item`
class Shown:
    """One item that hiTask showed, and the row that it is.

    Attributes:
        item: as decoded.
        guid: the row's key.
        values: its values with the parent named by the row's key.
        base: the row's base, None for one that the mirror did not know.
        intent: a write of ours whose outcome it shows, None if there is none.
    """

    item: Item
    guid: str
    values: Values
    base: Base | None
    intent: Intent | None

    @property
    def table_before(self) -> str:
        """The table that has the row, which an item converted to another kind leaves."""
        if self.base is not None:
            return self.base.table
        return self.intent.table if self.intent is not None else self.item.table

    @property
    def table(self) -> str:
        """The table that it belongs to."""
        return self.item.table

    @property
    def dirty(self) -> Mapping[str, Any]:
        """The base cells of what people changed."""
        return (self.base.dirty if self.base else None) or {}

    @property
    def row(self) -> Values:
        """The whole row as hiTask says it is."""
        return {"guid": self.guid, "id": self.item.id, "archived": False, **self.values}

    def row_with(self, waiting: int) -> Values:
        """A row that comes back, with the minutes of entries that waited while it was gone.

        Without them, what the entries add up to would look like time taken back on hiTask.
        """
        if not waiting:
            return self.row
        return {**self.row, SPENT: (self.values.get(SPENT) or 0) + waiting or None}

    def base_after(self, dirty: Collection[str]) -> Base:
        """The base once this is applied and these columns still differ here."""
        cells = None
        if dirty:
            fields = fields_of(self.item.table)
            cells = {
                column: to_json(self.values.get(column, f.empty))
                for column, f in fields.items()
                if column in dirty
            }
        return Base(
            guid=self.guid,
            table=self.item.table,
            id=self.item.id,
            version=self.values.get("version"),
            dirty=cells,
            remote_guid=self.item.guid if self.item.guid != self.guid else None,
        )


@dataclass(frozen=True, slots=True)
class View:
    """What the transaction sees of the rows at hand.

    Attributes:
        rows: the rows, with the totals that count.
        overwritten: those of them in which another total stands: someone wrote over it.
        changes: their unfinished changes, oldest first.
        direct: whether the items answer a write.
        had_holes: whether edits may have gone unseen.
        spent: what was looked up about totals with lost answers, by the item's id.
        waiting: the minutes that unsent entries add to items that have no row yet, by its key.
        accepted: the rows whose write hiTask answered with OK but not with the item.
        writes: what is to be written.
    """

    rows: Mapping[Key, LocalRow] = field(default_factory=dict)
    overwritten: Collection[Key] = ()
    changes: Mapping[Key, Sequence[Change]] = field(default_factory=dict)
    direct: bool = False
    had_holes: bool = False
    spent: Mapping[int, bool] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)
    accepted: Collection[str] = ()
    writes: Writes = field(default_factory=Writes)

    def log_of(self, shown: Shown) -> Sequence[Change]:
        """The unfinished changes of an item's row, oldest first."""
        return self.changes.get((shown.table_before, shown.guid), ())
