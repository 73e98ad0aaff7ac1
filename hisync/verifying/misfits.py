"""What a survey of the mirror's books finds, as plain values.

Public: `MisfitKind`, `Misfit`, `Pair`, `Survey`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from hisync.change import Change
from hisync.items import Item
from hisync.mirror.base import Base
from hisync.mirror.places import Place
from hisync.pulling.identity import Identities


class MisfitKind(StrEnum):
    """What does not fit, as `--json` names it."""

    ROW_VANISHED = "row-vanished"  # a base, no row, and nobody's deletion
    BASE_LOST = "base-lost"  # a row that hiTask knows, without a base
    ID_DIFFERS = "id-differs"  # the row's id cell is not the base's
    GUID_RENAMED = "guid-renamed"  # the row stands under another key
    TABLE_DIFFERS = "table-differs"  # the row stands in another table than the base says
    GUID_TWICE = "guid-twice"  # a second row with the key of another table's
    INSERT_UNSEEN = "insert-unseen"  # a new row that no trigger saw
    LEFT_OVER = "left-over"  # a row that was hiTask's, and that nothing there answers to
    INTENT_LEFT = "intent-left"  # a request under way that carries no change
    ACCOUNT_FORGOTTEN = "account-forgotten"  # whose mirror it is was deleted


@dataclass(frozen=True, slots=True)
class Misfit:
    """One thing that does not fit.

    Attributes:
        kind: what it is.
        table: the table that the row has, or should have.
        guid: the key that the row has, or should have.
        id: hiTask's number, None where there is none.
        place: where the row stands, None where there is no row.
        base: its base, None where there is none.
        item: the item, None where hiTask shows none.
    """

    kind: MisfitKind
    table: str
    guid: str
    id: int | None = None
    place: Place | None = None
    base: Base | None = None
    item: Item | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """An item and its row.

    Attributes:
        item: as hiTask shows it.
        guid: the key that the row has, or should have.
        place: where the row stands, None for one that is gone.
        base: its base, None for one that is lost.
    """

    item: Item
    guid: str
    place: Place | None
    base: Base | None


@dataclass(slots=True)
class Survey:
    """What stands where.

    Attributes:
        rows: how many rows there are.
        pairs: items with their rows.
        vanished: keys whose rows are gone without anyone's deletion.
        strangers: items without a row.
        gone: rows of items that hiTask does not show.
        refused: new rows that hiTask has refused, and that stay as they are.
        misfits: what does not fit.
        log: unfinished changes by (table, guid).
        identities: the keys of all items.
    """

    rows: int = 0
    pairs: list[Pair] = field(default_factory=list)
    vanished: set[str] = field(default_factory=set)
    strangers: list[Item] = field(default_factory=list)
    gone: list[Place] = field(default_factory=list)
    refused: int = 0
    misfits: list[Misfit] = field(default_factory=list)
    log: Mapping[tuple[str, str], Sequence[Change]] = field(default_factory=dict)
    identities: Identities = field(default_factory=lambda: Identities({}, {}, {}, {}, {}))

    def changes_of(self, place: Place) -> Sequence[Change]:
        """The unfinished changes of a row, oldest first."""
        return self.log.get((place.table, place.guid), ())
