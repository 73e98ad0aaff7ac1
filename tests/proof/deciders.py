"""Who decides in the random runs, by what the commands call.

Between two cycles they drop changes and try them again, take a side of a conflict, bring back what
has left, and have the mirror repaired. They see what they decide about, and only that is
superseded. Public: `Deciders`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeAlias

import orjson

from hisync.deciding.decisions import Decided, DecisionError
from hisync.deciding.discarding import discard_changes
from hisync.deciding.recreate import put_back
from hisync.deciding.resolving import Side, resolve_conflict
from hisync.deciding.restore import restore
from hisync.deciding.retrying import retry_changes
from hisync.deciding.subject import RestoreError
from hisync.mirror.store import Mirror
from hisync.verifying.repair import repair
from tests.edges.oracle import TABLES
from tests.proof.actors import Actor, People, Row
from tests.proof.marks import Marks
from tests.proof.sim import Sim

Decision: TypeAlias = Callable[[Mirror, Sequence[int] | None, datetime], list[Decided]]

_REFUSED = "state = 'rejected'"
_TO_DROP = f"finished_at IS NULL OR {_REFUSED}"
_IN_FLIGHT = "SELECT 1 FROM change_log WHERE row_guid = ? AND state IN ('sending', 'unknown')"


class Deciders(Actor):
    """People who decide about what people wrote."""

    side = "L"

    def __init__(self, sim: Sim, rng: random.Random, marks: Marks, people: People) -> None:
        super().__init__(sim, rng, marks)
        self.people = people

    def habits(self) -> list[tuple[Callable[[], str | None], int]]:
        refused = 8 * bool(self._changes(_REFUSED))
        waiting = 8 * bool(self._changes(_TO_DROP))
        clashed = 8 * bool(self._conflicts())
        return [
            (self.discard, waiting),
            (self.retry, refused),
            (self.resolve, clashed),
            (self.restore, 2 * bool(self._left())),
            (self.repair, 1),
        ]

    def discard(self) -> str | None:
        change = self.rng.choice(self._changes(_TO_DROP))
        with self._deciding(change, self._discarded):
            return self._decide("discard", discard_changes, change)

    def retry(self) -> str | None:
        change = self.rng.choice(self._changes(_REFUSED))
        with self._deciding(change, self._retried):
            return self._decide("retry", retry_changes, change)

    def resolve(self) -> str | None:
        """What a side's value is written over is kept: the conflict has the values of both."""
        conflict = self.rng.choice(self._conflicts())
        lost: Side = "remote" if conflict["resolution"] == "local" else "local"
        take: Side = self.rng.choice(("local", "remote", lost, lost))
        engine, number = self.sim.engine, conflict["id"]
        before = self._row(conflict)
        try:
            text = resolve_conflict(engine.mirror, number, take, engine.clock.now()).text
        except DecisionError as error:
            text = str(error)
        finally:
            if before is not None and conflict["field"] is None and self._row(conflict) is None:
                self.people.leave(before)
        return f"resolve {number}, {take}: {text}"

    def restore(self) -> str | None:
        """Out of the archive under its old key, or as a new row with its last values."""
        left, again = self.rng.choice(self._left()), self.rng.random() < 0.5
        guid = left["row_guid"]
        try:
            with self._alone():
                back = (put_back if again else restore)(self.sim.engine, guid)
        except RestoreError as error:
            return f"restore {guid}: {error}"
        finally:
            # It may be back even where its answer was lost: from now on it is to stay.
            if not again and left["id"] in self.sim.service.model.store.live:
                self.people.deleted.discard(guid)
                self.people.put_again[guid] += 1
        return f"restore {guid}: {back.outcome} as {back.guid}"

    def repair(self) -> str | None:
        with self._alone():
            done = repair(self.sim.engine)
        return f"repair: {done.report.differences} differences, {done.kept} kept"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """A process of its own, which takes the writer's lock: the daemon is stopped for it."""
        self.sim.crash()
        self.sim.note("  stopped")
        try:
            yield
        finally:
            self.sim.crash()

    def _changes(self, which: str) -> list[dict[str, Any]]:
        return self.sim.sql(f"SELECT * FROM change_log WHERE {which} ORDER BY seq")

    def _left(self) -> list[dict[str, Any]]:
        return self.sim.sql("SELECT * FROM removed_rows ORDER BY 1")

    def _conflicts(self) -> list[dict[str, Any]]:
        return self.sim.sql("SELECT * FROM conflicts ORDER BY id")

    def _decide(self, what: str, decision: Decision, change: Row) -> str:
        engine = self.sim.engine
        try:
            (decided,) = decision(engine.mirror, [change["seq"]], engine.clock.now())
        except DecisionError as error:
            return f"{what} {change['seq']}: {error}"
        return f"{what} {change['seq']}: {decided.text}"

    @contextmanager
    def _deciding(self, change: Row, then: Callable[[Row, Row | None], None]) -> Iterator[None]:
        """Look at the row before; afterwards say what the decision superseded, if it was made."""
        before = self._row(change)
        try:
            yield
        finally:
            then(change, before)

    def _row(self, of: Row) -> Row | None:
        """The row that a change or a conflict is about."""
        table = of["table_name"]
        # An item that was converted since is in another table, and still the one.
        tables = [table, *TABLES] if table in TABLES else [table]
        found = (self.sim.sql(f"SELECT * FROM {t} WHERE guid = ?", of["row_guid"]) for t in tables)
        return next((rows[0] for rows in found if rows), None)

    def _discarded(self, change: Row, before: Row | None) -> None:
        guid, table, after = change["row_guid"], change["table_name"], self._row(change)
        query = (
            "SELECT seq, new_values FROM change_log "
            "WHERE table_name = ? AND row_guid = ? AND seq >= ? AND state = 'discarded'"
        )
        ended = self.sim.sql(query, table, guid, change["seq"])
        if change["seq"] not in {each["seq"] for each in ended}:
            return
        if table == "time_entries":
            self.people.entries.pop(guid, None)
            if after is not None:
                self.people.entries[guid] = (after["item_guid"], after["minutes"])
        taken_out = before is not None and after is None
        if taken_out and table in TABLES and change["op"] != "delete":
            self.people.taken_out.add(guid)
            return  # as it was last, it is kept
        # With a row, what was edited on top of it.
        self.marks.supersede(ended if change["op"] != "update" else change["new_values"])
        asked = change["op"] == "delete" or "archived" in _cells(change)
        back = after is not None and not after.get("archived")
        if asked and back and not self.sim.sql(_IN_FLIGHT, guid):
            self.people.deleted.discard(guid)

    def _retried(self, change: Row, before: Row | None) -> None:
        after = self._row(change)
        if before is None:
            self.people.put_again[change["row_guid"]] += after is not None
            return
        if after is None:
            if change["op"] == "delete":
                self.people.leave(before)
            return
        for column in _cells(change).keys() & before.keys():
            if before[column] != after[column]:
                self.marks.supersede(before[column])


def _cells(change: Row) -> dict[str, Any]:
    cells: dict[str, Any] = orjson.loads(change["new_values"] or "{}")
    return cells
