"""What is known of a row that somebody wants back, and how bringing it back may end.

Public: `Subject`, `look`, `load`, `waiting`, `Restored`, `Outcome`, `RestoreError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from sqlalchemy import Connection

from hisync.cycle import heed_pause
from hisync.engine import Engine
from hisync.errors import HisyncError
from hisync.items import TABLES
from hisync.mirror import base as bases
from hisync.mirror import changes, removed, rows
from hisync.mirror.base import Base
from hisync.mirror.removed import LeftRow
from hisync.mirror.rows import LocalRow
from hisync.pull import pull

Outcome: TypeAlias = Literal[
    "here", "restored", "unseen", "put back", "created", "waits", "refused"
]
"""How bringing back ended: it was here all along, it came back, hiTask said OK but does not show
it yet; and of a new item: it is in the mirror, on hiTask, waits to be sent, or was refused."""


class RestoreError(HisyncError):
    """It can't be brought back like this; the text says why, and what can be done."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of it.

    Attributes:
        outcome: how it ended.
        table: the row's table.
        guid: the row's key now.
        id: hiTask's number, None for what hiTask has not created yet.
        title: for people.
        notes: what they should know besides.
    """

    outcome: Outcome
    table: str
    guid: str
    id: int | None
    title: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """What the mirror knows of a guid.

    Attributes:
        guid: the key.
        row: the row that has it.
        base: its base.
        left: the row with this key that left last.
        had: the one that hiTask had, which others with its key may have followed.
    """

    guid: str
    row: LocalRow | None
    base: Base | None
    left: LeftRow | None
    had: LeftRow | None

    @property
    def is_here(self) -> bool:
        """Whether both sides have it; one that hiTask shows no more may be held here."""
        return self.row is not None and not (self.base and self.base.missed)

    @property
    def id(self) -> int | None:
        """hiTask's number of it."""
        if self.base is not None:
            return self.base.id
        return self.had.id if self.had else None

    def now(self, outcome: Outcome, *notes: str) -> Restored:
        """The row as it is."""
        if self.row is None:
            raise RestoreError(f"the row {self.guid} has just left the mirror: try again")
        title = str(self.row.values.get("title") or "")
        number = self.base.id if self.base else None
        return Restored(outcome, self.row.table, self.guid, number, title, notes)


def look(engine: Engine, guid: str) -> Subject:
    """What is known of a guid once hiTask was asked what is new.

    Raises:
        RestoreError: if nothing is, or it has not left yet.
    """
    with engine.mirror.reading() as connection:
        subject = load(connection, guid)
    if subject.row is None and subject.base is None and subject.left is None:
        raise RestoreError(
            f"no row with the guid {guid} is in this mirror, and none has left it: the table "
            "removed_rows has all that left, with their row_guid and last_values"
        )
    if subject.left is not None and subject.left.table not in TABLES:
        raise RestoreError(f"{guid} was a row of {subject.left.table}: only items come back")
    heed_pause(engine)
    pull(engine)
    with engine.mirror.reading() as connection:
        subject = load(connection, guid)
        log = changes.unfinished(connection, [guid])
    if subject.row is None and subject.base is not None:
        seqs = [change.seq for entries in log.values() for change in entries]
        raise RestoreError(
            f"{guid} was deleted here, and hiTask has not been told yet: "
            f"`hisync changes discard {max(seqs)}` takes that back"
            if seqs
            else f"the row {guid} vanished unseen: `hisync verify --repair` puts it back"
        )
    return subject


def load(connection: Connection, guid: str) -> Subject:
    """What the mirror knows of a guid."""
    found = rows.load_every(connection, [(table, guid) for table in TABLES])
    base = bases.load_bases(connection, [guid]).get(guid)
    row = next(iter(found.values()), None)
    if base is not None:
        row = found.get((base.table, guid), row)
    # Comments and time entries have keys of their own, which may be the same.
    left = removed.latest_of(connection, guid, TABLES) or removed.latest_of(connection, guid)
    had = removed.latest_of(connection, guid, TABLES, on_hitask=True)
    return Subject(guid, row, base, left, had)


def waiting(engine: Engine, subject: Subject) -> tuple[str, ...]:
    """What is about to happen to a row that is here."""
    if subject.row is None or not subject.row.values.get("archived"):
        return ()
    with engine.mirror.reading() as connection:
        log = changes.unfinished(connection, [subject.guid])
    seqs = [change.seq for entries in log.values() for change in entries]
    return (f"it waits to be archived: `hisync changes discard {max(seqs)}` stops that",) * bool(
        seqs
    )
