"""Verify: the whole mirror against the whole account, in one full read, changing nothing.

    API ─ everything ─▶ items ┐
                              ├─ survey ─▶ which row is which item ─ compare ─▶ report
      rows, bases, changes ───┘

Public: `verify`, `look`, `Report`, `Missing`, `Gone`, `Look`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from hisync.api import ItemsAnswer
from hisync.cycle import heed_pause
from hisync.engine import Engine
from hisync.errors import MirrorError
from hisync.items import Item
from hisync.mirror import base as bases
from hisync.mirror import rows, state
from hisync.mirror.places import Place
from hisync.reading import fetch_everything
from hisync.verifying.drift import Comparison, Drift, Unreadable, compare
from hisync.verifying.misfits import Misfit, MisfitKind, Survey
from hisync.verifying.survey import survey


@dataclass(frozen=True, slots=True)
class Missing:
    """An item that has no row here.

    Attributes:
        table: the table that it belongs to.
        guid: the key that its row had, or will have.
        id: hiTask's number.
        title: hiTask's.
        vanished: whether there was a row, and it went without a deletion that anyone saw.
    """

    table: str
    guid: str
    id: int
    title: str
    vanished: bool


@dataclass(frozen=True, slots=True)
class Gone:
    """A row whose item hiTask does not show.

    Attributes:
        table: where it stands.
        guid: its key.
        id: hiTask's number.
        title: the row's.
    """

    table: str
    guid: str
    id: int | None
    title: str


@dataclass(frozen=True, slots=True)
class Report:
    """What verifying found.

    Attributes:
        rows: how many rows there are.
        items: how many items hiTask shows.
        drift: cells that differ although nobody's edit of them waits.
        missing: items without a row.
        gone: rows of items that hiTask does not show.
        unreadable: cells that can't be read, apart from edits that wait.
        misfits: bookkeeping that does not fit.
        waiting: changes that are not sent yet, by state: no drift.
        refused: new rows that hiTask has refused and that stay as they are: no drift.
        not_pulled: items changed on hiTask since the last pull: no drift.
    """

    rows: int
    items: int
    drift: Sequence[Drift]
    missing: Sequence[Missing]
    gone: Sequence[Gone]
    unreadable: Sequence[Unreadable]
    misfits: Sequence[Misfit]
    waiting: dict[str, int]
    refused: int
    not_pulled: int

    @property
    def differences(self) -> int:
        """How many things are not as they should be."""
        found = (self.drift, self.missing, self.gone, self.unreadable, self.misfits)
        return sum(map(len, found))


@dataclass(frozen=True, slots=True)
class Look:
    """Everything that one look at both sides showed."""

    surveyed: Survey
    compared: Comparison
    report: Report


def verify(engine: Engine) -> Report:
    """Compare the mirror with hiTask, row by row.

    Raises:
        ServiceError: if hiTask can't be read.
        MirrorError: if there is no mirror yet, or it is another account's.
    """
    heed_pause(engine)
    reading = fetch_everything(engine)
    with engine.mirror.reading() as connection:
        return look(connection, reading.answer).report


def look(connection: Connection, answer: ItemsAnswer) -> Look:
    """Hold the mirror against a full read.

    Raises:
        MirrorError: if nothing was mirrored yet, or nothing of it is in this account.
    """
    surveyed = survey(connection, list(answer.items), answer.ids)
    _check_account(connection, surveyed, answer)
    compared = compare(connection, surveyed)
    fresh = {item.id for item in surveyed.strangers if _is_fresh(item, compared)}
    report = Report(
        rows=surveyed.rows,
        items=len(answer.ids),
        drift=compared.drift,
        missing=[
            *(
                _missing(pair.item, pair.guid, vanished=True)
                for pair in surveyed.pairs
                if pair.guid in surveyed.vanished
            ),
            *(
                _missing(item, surveyed.identities.guids[item.id], vanished=False)
                for item in surveyed.strangers
                if item.id not in fresh
            ),
        ],
        gone=_gone(connection, surveyed.gone),
        unreadable=compared.unreadable,
        misfits=_misfits(connection, surveyed, compared),
        waiting=dict(Counter(c.state for log in surveyed.log.values() for c in log)),
        refused=surveyed.refused,
        not_pulled=compared.not_pulled + len(fresh),
    )
    return Look(surveyed, compared, report)


def _is_fresh(item: Item, compared: Comparison) -> bool:
    """Whether it was made, or changed, after everything that the mirror has."""
    until, moment = compared.pulled_until, item.values.get("time_last_update")
    return until is not None and moment is not None and bool(moment > until)


def _missing(item: Item, guid: str, *, vanished: bool) -> Missing:
    return Missing(item.table, guid, item.id, str(item.values.get("title") or ""), vanished)


def _gone(connection: Connection, places: Sequence[Place]) -> list[Gone]:
    found = rows.load_every(connection, [(place.table, place.guid) for place in places])
    return [
        Gone(place.table, place.guid, place.id, str(row.values.get("title") or ""))
        for place in places
        if (row := found.get((place.table, place.guid))) is not None
    ]


def _misfits(connection: Connection, surveyed: Survey, compared: Comparison) -> list[Misfit]:
    """What does not fit, but for what is told otherwise: rows of items that are missing."""
    told = [m for m in surveyed.misfits if m.kind is not MisfitKind.ROW_VANISHED or m.item is None]
    known = {misfit.guid for misfit in told if misfit.kind is MisfitKind.TABLE_DIFFERS}
    moved = [
        Misfit(MisfitKind.TABLE_DIFFERS, p.item.table, p.guid, p.item.id, p.place, p.base, p.item)
        for p in compared.moved
        if p.guid not in known
    ]
    forgotten = surveyed.rows > 0 and state.load(connection).account_id is None
    whose = [Misfit(MisfitKind.ACCOUNT_FORGOTTEN, "sync_state", "")] if forgotten else []
    return [*told, *moved, *whose]


def _check_account(connection: Connection, surveyed: Survey, answer: ItemsAnswer) -> None:
    """Where the mirror does not say whose it is any more, its rows must."""
    memory = state.load(connection)
    if memory.account_id is not None:
        return
    if not surveyed.rows and not bases.known_ids(connection):
        raise MirrorError("nothing was mirrored yet: run `hisync sync`")
    if answer.ids and not surveyed.pairs:
        raise MirrorError(
            "the mirror does not say whose it is (sync_state lacks account_id), and this account "
            "has none of its items: check hitask.login, or name another database"
        )
