"""What needs a person, found in the mirror after each cycle and told once.

What was told is kept in `sync_state`, so that a restart neither repeats nor forgets it. Events hold
names and reasons and no values but titles: they leave the machine. Public: `Announcer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, func, select

from hisync.engine import Engine
from hisync.mirror import changes, rows, state
from hisync.mirror.tables import ITEM_TABLES, change_log, conflicts

MOST_AT_ONCE: Final = 20
"""Events of one kind after one cycle; of what goes beyond, one event tells the number."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What was told.

    Attributes:
        rejected: the numbers of the changes that stand rejected.
        conflict: the number of the newest conflict.
        held: the removals that are held, by table.
        refused: whether the login is refused.
    """

    rejected: tuple[int, ...] = ()
    conflict: int | None = None
    held: Mapping[str, int] | None = None
    refused: bool = False

    def saved(self) -> dict[str, Any]:
        return {
            "rejected": list(self.rejected),
            "conflict": self.conflict,
            "held": self.held and dict(self.held),
            "refused": self.refused,
        }


class Announcer:
    """Looks for what is new and hands it on.

    Args:
        engine: whose mirror to look at.
        tell: delivers an event.
    """

    def __init__(self, engine: Engine, tell: Callable[[Mapping[str, Any]], None]) -> None:
        self._engine = engine
        self._tell = tell
        with engine.mirror.reading() as connection:
            saved = state.load(connection).announced or {}
            before = _Told(**(saved | {"rejected": tuple(saved.get("rejected", ()))}))
            if before.conflict is None:  # what was settled before anyone listened is no news
                before = replace(before, conflict=_newest_conflict(connection))
        self._told = before

    def look(self, refusal: str | None) -> None:
        """After a cycle: tell what is new.

        Args:
            refusal: why hiTask refuses the login, the key or the account; None if it doesn't.
        """
        found: list[dict[str, Any]] = []
        with self._engine.mirror.reading() as connection:
            told = replace(self._told, refused=refusal is not None)
            told = _look_for_rejected(connection, told, found)
            told = _look_for_conflicts(connection, told, found)
            told = _look_for_held(connection, told, found)
        if refusal is not None and not self._told.refused:
            found.append({"event": "login_refused", "reason": refusal})
        if told != self._told:
            # Written down first: after a crash, better told never than again and again.
            with self._engine.mirror.writing() as connection:
                state.save(connection, announced=told.saved())
            self._told = told
        now = datetime.fromtimestamp(self._engine.clock.time(), UTC).isoformat(timespec="seconds")
        for event in found:
            self._tell({"event": event["event"], "time": now, **event})


def _look_for_rejected(connection: Connection, told: _Told, found: list[dict[str, Any]]) -> _Told:
    log = change_log.c
    query = select(log.seq).where(changes.in_state("rejected")).order_by(log.seq)
    standing = tuple(connection.execute(query).scalars())
    new = sorted(set(standing) - set(told.rejected))
    rows_of_new = select(change_log).where(log.seq.in_(new[:MOST_AT_ONCE])).order_by(log.seq)
    found += [
        {
            "event": "change_rejected",
            "seq": row["seq"],
            **_named(connection, row),
            "op": row["op"],
            "reason": row["error"],
        }
        for row in connection.execute(rows_of_new).mappings()
    ]
    _add_rest(found, "change_rejected", len(new))
    return replace(told, rejected=standing)


def _look_for_conflicts(connection: Connection, told: _Told, found: list[dict[str, Any]]) -> _Told:
    is_new = conflicts.c.id > (told.conflict or 0)
    query = select(conflicts).where(is_new).order_by(conflicts.c.id).limit(MOST_AT_ONCE)
    found += [
        {
            "event": "conflict_recorded",
            "id": row["id"],
            **_named(connection, row),
            "field": row["field"],
            "resolution": row["resolution"],
            "policy": row["policy"],
        }
        for row in connection.execute(query).mappings()
    ]
    count = select(func.count()).select_from(conflicts).where(is_new)
    _add_rest(found, "conflict_recorded", connection.execute(count).scalar_one())
    return replace(told, conflict=max(told.conflict or 0, _newest_conflict(connection)))


def _look_for_held(connection: Connection, told: _Told, found: list[dict[str, Any]]) -> _Told:
    held = state.load(connection).held
    if held and held != told.held:
        found.append({"event": "removals_held", "tables": held, "rows": sum(held.values())})
    return replace(told, held=held or None)


def _add_rest(found: list[dict[str, Any]], event: str, number: int) -> None:
    if number > MOST_AT_ONCE:
        found.append({"event": event, "more": number - MOST_AT_ONCE})


def _newest_conflict(connection: Connection) -> int:
    return connection.execute(select(func.max(conflicts.c.id))).scalar_one() or 0


def _named(connection: Connection, row: RowMapping) -> dict[str, Any]:
    """Which row of the mirror it is about."""
    table, guid = row["table_name"], row["row_guid"]
    loaded = rows.load_rows(connection, table, [guid]) if table in ITEM_TABLES else {}
    title = loaded[guid].values.get("title") if guid in loaded else None
    return {"table": table, "guid": guid, "title": None if title is None else str(title)}
