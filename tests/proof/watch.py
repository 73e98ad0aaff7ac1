"""Looks over the engine's shoulder at every step: what it deletes and how often it asks.

Nothing may vanish from a side unless the other side proved the deletion: an item only if somebody
deleted or archived its row here, a row only if its item left the account's sight on hiTask.
No client may find the database locked while a request is under way, and no minute may see more
requests than the budget. Public: `Watch`.
"""

from __future__ import annotations

import re
from typing import Final

from tests.edges.oracle import TABLES
from tests.proof.actors import Colleagues, People
from tests.proof.marks import Marks, marks_in
from tests.proof.sim import Sim

_ROWS: Final = " UNION ALL ".join(f"SELECT guid, id FROM {table}" for table in TABLES)
MINUTE: Final = 60.0


class Watch:
    """Compares what is there with what was there a step ago."""

    def __init__(self, sim: Sim, people: People, colleagues: Colleagues, marks: Marks) -> None:
        self.sim = sim
        self.people = people
        self.colleagues = colleagues
        self.marks = marks
        self.engine_removed: set[int] = set()
        self._version: object = None
        self._ids: dict[str, int] = {}
        self._rows = self._read_rows()
        self._live = self._read_live()
        self._asked = ""
        self._deleting: set[str] = set()
        self._shown: set[str] = set()
        self._items_before: dict[int, set[str]] = {}
        self._comments_before: dict[int, set[str]] = {}

    def sent(self, what: str) -> None:
        """A request is about to arrive; whatever people did before it is theirs."""
        self._asked = what
        self._live = self._read_live()
        self._deleting |= self._to_delete() & self.people.deleted
        model = self.sim.service.model
        live = list(model.store.live.values())
        self._items_before = {item.id: marks_in(item.values) for item in live}
        self._comments_before = {
            item.id: marks_in([unit.value for unit in model.comments(item.id)]) for item in live
        }

    def answered(self) -> None:
        """The request was handled, if it arrived."""
        shown = marks_in(self.sim.answer)
        if "/item/history" in self._asked:  # it is not read for what the item itself still says
            shown = shown.difference(*self._items_before.values())
        self._shown |= shown
        now = self._read_live()
        for number in self._live.keys() - now.keys():
            guid = self._live[number]
            asked = guid in self.people.deleted
            # It may land late, when who had asked for it has taken that back.
            asked = asked or guid in self._deleting - self._to_delete()
            assert asked, f"item {number} deleted there, not asked for here"
            self.engine_removed.add(number)
            self._deleting.discard(guid)
            # What a colleague wrote between our read and our deletion can't be known to anyone.
            self.marks.superseded |= self._items_before[number] & self.marks.unread
            # Its comments go with it. Who deleted it saw those that the mirror had; the others
            # are the limit that the README names.
            self.marks.superseded |= self._comments_before[number]
        self._live = now

    def _to_delete(self) -> set[str]:
        """The guid of the item that the request at hand is to delete."""
        named = re.match(r"DELETE /item/([^ ?]+)", self._asked)
        return {g for n, g in self._live.items() if named and named[1] in {str(n), g}}

    def look_at_rows(self) -> None:
        """Whatever the engine has committed since the last look."""
        version = self.sim.news()
        if version == self._version:
            return
        self._version = version
        self.marks.unread -= self._shown
        now = self._read_rows()
        for guid in self._rows.keys() - now.keys():
            number = self._ids.get(guid)
            known = guid in self.people.deleted or number in self.colleagues.gone
            known = known or (number is None and guid in self.people.taken_out)
            # By a deletion of ours that landed late: then the row is kept.
            known = known or (number in self.engine_removed and self._is_kept(guid))
            assert known, f"row {guid} ({number}) deleted here, not proven there"
        self._rows = now

    def died(self) -> None:
        """What the process had been shown, and had not written down, is forgotten with it."""
        self._shown.clear()

    def _is_kept(self, guid: str) -> bool:
        kept = "SELECT 1 FROM removed_rows WHERE row_guid = ?"
        return bool(self.sim.person.execute(kept, (guid,)).fetchall())

    def people_acted(self) -> None:
        """What people deleted here themselves is no news."""
        self._rows = self._read_rows()

    def check_budget(self) -> None:
        """In no minute there were more requests than the budget, unless the clock was set in it.

        A clock that is set forwards can't be told from time that passed.
        """
        budget, times, set_at = self.sim.budget, self.sim.sent_at, self.sim.time.set_at
        if not budget:
            return
        for first, last in zip(times, times[budget:], strict=False):
            if not any(first <= moment <= last for moment in set_at):
                over = 0 <= last - first < MINUTE
                assert not over, f"more than {budget} requests from {first} on"

    def _read_rows(self) -> dict[str, int | None]:
        rows = {row["guid"]: row["id"] for row in self.sim.person.execute(_ROWS).fetchall()}
        # A row that people replaced has no id for a while; it is that item's still.
        self._ids.update((guid, number) for guid, number in rows.items() if number is not None)
        return rows

    def _read_live(self) -> dict[int, str]:
        return {item.id: item.guid for item in self.sim.service.model.store.live.values()}
