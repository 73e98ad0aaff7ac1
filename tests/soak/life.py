"""What goes on around a daemon: people who edit by SQL, colleagues on hiTask, faults.

All of it happens through what anyone has: a SQL client, and the sandbox's own paths. So it is the
same for the soak in virtual time and for the real one. Public: `Life`, `Habits`, `Event`,
`calendar`, `Ask`, `DAY`.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

DAY: Final = 86400.0

Ask: TypeAlias = Callable[[str, str, object], Any]
"""Asks the sandbox itself: method, path below `/sandbox/`, JSON body; raises if it refuses."""

ONCE: Final = (
    *("POST /item:drop_after:1", "POST /item:cut:1", "PUT /item/*:drop_after:1"),
    *(
        "PUT /item/*:drop_midway:1",
        "DELETE /item/*:drop_after:1",
        "POST /item/comment:drop_after:1",
    ),
    *("GET /item/delta/*:status=500:1", "GET /item/history:drop_before:2", "* *:expire_session:1"),
)
"""What strikes a request or two, and is over."""

SPELLS: Final[dict[str, dict[str, Any]]] = {
    "429": {"effect": "status", "status": 429, "code": 67, "retry_after": 20},
    "code 67": {"effect": "status", "status": 403, "code": 67},
    "503": {"effect": "status", "status": 503},
    "no network": {"effect": "drop_before"},
    "the day's limit": {"effect": "status", "status": 403, "code": 87},
    "account expired": {"effect": "status", "status": 403, "code": 69},
}
"""What strikes every request until it is switched off."""


@dataclass(frozen=True)
class Habits:
    """How often things happen, in mean seconds.

    Attributes:
        ours: between two statements of the SQL client, while people work.
        theirs: between two edits by colleagues, while people work.
        bulk: between two statements about many rows, or sixty edits by colleagues at once.
        once: between two faults that strike once.
        spell: between the begins of two spells.
        lasting: how long a spell lasts, from and to.
        kill: between two deaths of the daemon.
        killing_until: when those end, so that one daemon then lives for long.
    """

    ours: float
    theirs: float
    bulk: float
    once: float
    spell: float
    lasting: tuple[float, float]
    kill: float
    killing_until: float


@dataclass(frozen=True, order=True)
class Event:
    """Something that happens at a moment, in seconds from the start: a method of `Life`."""

    at: float
    what: str
    detail: str = ""


def calendar(
    habits: Habits,
    seconds: float,
    rng: random.Random,
    *,
    works: Callable[[float], bool] = lambda _: True,
    spells: Sequence[str] = tuple(SPELLS),
) -> list[Event]:
    """Everything that is to happen, in order.

    Args:
        habits: how often.
        seconds: for how long.
        rng: decides.
        works: whether people work at a moment.
        spells: which there are; each has its turn.
    """
    events: list[Event] = []
    for what, every in (("ours", habits.ours), ("theirs", habits.theirs)):
        events += [Event(at, what) for at in _moments(every, seconds, rng) if works(at)]
    bulk = [at for at in _moments(habits.bulk, seconds, rng) if works(at)]
    events += [Event(at, rng.choice(["bulk_ours", "bulk_theirs"])) for at in bulk]
    for at in _moments(habits.once, seconds, rng):
        events.append(Event(at, "fault", rng.choice(ONCE)))
    for at in _moments(habits.kill, min(seconds, habits.killing_until), rng):
        events.append(Event(at, "kill"))
    for number, at in enumerate(_moments(habits.spell, seconds, rng)):
        name = spells[number % len(spells)]
        ends = at + rng.uniform(*habits.lasting)
        if name == "the day's limit":
            ends = at - at % DAY + DAY
        events += [Event(at, "spell", name), Event(min(ends, seconds), "healed")]
    events.append(Event(seconds, "healed"))
    return sorted(events)


def _moments(every: float, seconds: float, rng: random.Random) -> Iterator[float]:
    at = rng.expovariate(1 / every)
    while at < seconds:
        yield at
        at += rng.expovariate(1 / every)


class Life:
    """Carries events out.

    Args:
        ask: the sandbox itself.
        client: a SQL client's connection to the mirror, in autocommit.
        rng: decides who does what.
        most: items of each side beyond which it rather deletes than creates.
    """

    def __init__(self, ask: Ask, client: sqlite3.Connection, rng: random.Random, most: int) -> None:
        self._ask = ask
        self._client = client
        self._rng = rng
        self._most = most
        self.numbers = dict.fromkeys(("ours", "theirs", "faults", "spells"), 0)

    def live(self, event: Event) -> bool:
        """Carry an event out; whether it was an edit in the database."""
        match event.what:
            case "ours":
                self._edit_here()
            case "bulk_ours":
                self._edit_many_here()
            case "theirs":
                self._edit_there()
            case "bulk_theirs":
                for _ in range(60):
                    self._edit_there()
            case "fault":
                self.numbers["faults"] += 1
                self._ask("POST", "faults", [event.detail])
            case "spell":
                self.numbers["spells"] += 1
                fault = {"count": 0, "message": event.detail, **SPELLS[event.detail]}
                self._ask("POST", "faults", [fault])
            case "healed":
                self._ask("DELETE", "faults", None)
        return event.what in ("ours", "bulk_ours")

    def _run(self, statement: str, *values: object) -> None:
        self.numbers["ours"] += 1
        self._client.execute(statement, values)

    def _some(self, condition: str) -> tuple[str, int] | None:
        """The guid and id of one of the tasks."""
        query = f"SELECT guid, id FROM tasks WHERE id IS NOT NULL AND {condition} ORDER BY id"
        rows = self._client.execute(query).fetchall()
        return self._rng.choice(rows) if rows else None

    def _crowded(self, condition: str) -> bool:
        query = f"SELECT count(*) FROM tasks WHERE {condition}"
        return bool(self._client.execute(query).fetchone()[0] > self._most * self._rng.random() * 2)

    def _edit_here(self) -> None:
        mark, chance = f"ours {self.numbers['ours']}", self._rng.random()
        own = "title LIKE 'ours %'"
        if chance < 0.35 or (some := self._some("permission = 100")) is None:
            if self._crowded(own) and (old := self._some(own)):
                self._run("DELETE FROM tasks WHERE guid = ?", old[0])
            else:
                self._run("INSERT INTO tasks (title, message) VALUES (?, ?)", mark, mark * 20)
        elif chance < 0.7:
            self._run("UPDATE tasks SET message = ? WHERE guid = ?", mark * 20, some[0])
        elif chance < 0.8:
            self._run("UPDATE tasks SET completed = NOT completed WHERE guid = ?", some[0])
        elif chance < 0.9:
            query = "INSERT INTO comments (item_guid, message) VALUES (?, ?)"
            self._run(query, some[0], mark)
        else:
            query = "INSERT INTO time_entries (item_guid, minutes) VALUES (?, ?)"
            self._run(query, some[0], self._rng.randrange(1, 60))

    def _edit_many_here(self) -> None:
        number = self.numbers["ours"]
        some = "SELECT guid FROM tasks WHERE permission = 100 ORDER BY guid LIMIT 100"
        self._run(f"UPDATE tasks SET priority = ? WHERE guid IN ({some})", 20000 + number % 100)

    def _edit_there(self) -> None:
        self.numbers["theirs"] += 1
        mark, chance = f"theirs {self.numbers['theirs']}", self._rng.random()
        own = "title LIKE 'theirs %'"
        # Of what the mirror shows: an item may be gone by now, and the sandbox refuses then.
        try:
            if chance < 0.35 or (some := self._some("permission = 100")) is None:
                if self._crowded(own) and (old := self._some(own)):
                    self._ask("DELETE", f"items/{old[1]}", None)
                    return
                all_ = [{"principal": "all", "level": 100}]
                self._ask("POST", "items", {"title": mark, "permissions": all_})
            elif chance < 0.85:
                self._ask("PUT", f"items/{some[1]}", {"message": mark * 20})
            else:
                self._ask("POST", "comments", {"id": some[1], "message": mark})
        except OSError:
            self.numbers["theirs"] -= 1
