"""Who is who: `users`, `groups` and `tags`, and the account's time zone, read now and then.

These change rarely and cost requests, so they are read at the first cycle and then once per
`sync.full_every`, after everything else. Someone whom an item names and `users` lacks brings the
next reading forward, to an hour after the last at the soonest, and so does trouble. What can't be
read leaves its table as it is. Only the time zone is read before the first pull, which needs it to
tell on which day something was. Public: `learn_zone`, `save_zone`, `read_people`, `zone_offset`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from sqlalchemy import Connection

from hisync.engine import Engine
from hisync.errors import SlowDownError
from hisync.items import Values
from hisync.mirror import people, state
from hisync.mirror.state import EngineState
from hisync.people.roster import Roster, ask_everyone, ask_zone, own_id

SOONEST: Final = 3600.0
"""Seconds from one reading to the next at least."""


@dataclass(frozen=True, slots=True)
class _Memory:
    """What is remembered of the last reading.

    Attributes:
        read_at: when it was, in seconds since the epoch, None before the first.
        early: whether the next one is due as soon as may be.
        strangers: the ids that something names and that it did not show.
        failing: what could not be read.
        emptied: the tables that have rows and of which it showed none.
    """

    read_at: float | None = None
    early: bool = False
    strangers: list[int] = field(default_factory=list)
    failing: list[str] = field(default_factory=list)
    emptied: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, before: EngineState) -> Self:
        known = {one.name for one in fields(cls)}
        return cls(
            **{name: value for name, value in (before.people or {}).items() if name in known}
        )


def learn_zone(engine: Engine) -> None:
    """Read the account's time zone if it was never read; that it can't be stops nothing.

    Raises:
        StopError: if the login, key or account is refused.
        SlowDownError: if hiTask wants to be left alone.
    """
    with engine.mirror.reading() as connection:
        before = state.load(connection)
    if engine.rules.zone is not None or before.time_zone or before.people:
        return
    roster = ask_zone(engine)
    if roster.slow_down is not None:
        raise roster.slow_down
    if roster.zone is not None:
        with engine.mirror.writing() as connection:
            save_zone(engine, connection, roster.zone)


def save_zone(engine: Engine, connection: Connection, said: str) -> None:
    """Remember what the account's time zone is called; where that is none, say so once."""
    before = state.load(connection)
    state.save(connection, time_zone=said, zone_is_old=False)
    if said == before.time_zone:
        return
    if state.is_no_zone(said):
        fix = "set hitask.time_zone"
        engine.log.warning("time_zone_unknown", time_zone=said, used="UTC", fix=fix)
    elif before.unknown_zone is not None:
        engine.log.info("time_zone_known", time_zone=said)


def read_people(engine: Engine, *, changed: bool) -> SlowDownError | None:
    """Read people, groups, tags and the time zone again if that is due.

    Args:
        engine: everything it needs.
        changed: whether this cycle brought anything, so that there may be someone new.

    Returns:
        hiTask's wish to be left alone for a while, None if it has none. No other trouble over
        there matters to the cycle.

    Raises:
        StopError: if the login, key or account is refused.
    """
    now = engine.clock.time()
    lookout = engine.lookout
    lookout.changed |= changed
    with engine.mirror.reading() as connection:
        before = state.load(connection)
        memory = _Memory.of(before)
        first = memory.read_at is None
        looks = not memory.early and (lookout.changed if first else lookout.is_due(now))
        if looks:  # before the first reading everyone is new
            news = first or _strangers(connection) - {*memory.strangers}
            memory = replace(memory, early=bool(news))
    # It can wait until there is budget to spare; once begun it is brought to its end.
    if _is_due(engine, memory) and not engine.stopping() and engine.spare("people"):
        is_known = before.people is None and before.time_zone is not None  # learned just now
        roster = ask_everyone(engine, before, zone=engine.rules.zone is None and not is_known)
        with engine.mirror.writing() as connection:
            _save(engine, connection, memory, roster)
        lookout.looked(now)
        return roster.slow_down
    if memory.early and not _Memory.of(before).early:
        with engine.mirror.writing() as connection:
            state.save(connection, people=asdict(memory))
    if looks:  # and what was found is kept
        lookout.looked(now)
    return None


def zone_offset(engine: Engine, known: EngineState) -> int:
    """The minutes that the account's clocks are ahead of UTC today."""
    zone = engine.rules.zone or known.zone
    offset = datetime.fromtimestamp(engine.clock.time(), UTC).astimezone(zone).utcoffset()
    return (offset or timedelta()) // timedelta(minutes=1)


def _is_due(engine: Engine, memory: _Memory) -> bool:
    if memory.read_at is None:
        return True
    every = engine.rules.full_every
    age = engine.clock.time() - memory.read_at
    return not 0 <= age < (min(SOONEST, every) if memory.early else every)


def _strangers(connection: Connection) -> frozenset[int]:
    return people.named_users(connection) - people.known_users(connection)


def _save(engine: Engine, connection: Connection, memory: _Memory, roster: Roster) -> None:
    before = state.load(connection)
    if roster.zone is not None:
        save_zone(engine, connection, roster.zone)
    named = people.named_users(connection)  # every row is looked at for it, so only once
    # Who stays although not shown: whoever something names, and all if not all was read.
    staying = named if roster.shows_everyone else None
    counted, emptied = _save_rows(connection, own_id(engine, before), memory, roster, staying)
    after = _Memory(
        read_at=engine.clock.time(),
        early=roster.early,
        strangers=sorted(named - people.known_users(connection)),
        failing=sorted(roster.failures),
        emptied=emptied,
    )
    state.save(connection, people=asdict(after))
    _report(engine, memory, roster, counted)


def _save_rows(
    connection: Connection,
    oneself: int | None,
    memory: _Memory,
    roster: Roster,
    staying: Collection[int] | None,
) -> tuple[dict[str, int], list[str]]:
    """Write what was read; how much changed by table, and the tables whose answer was empty."""
    everyone = roster.everyone
    rows: dict[str, list[Values]] = dict(roster.words)
    if everyone or roster.shows_everyone:
        rows["users"] = [row | {"is_self": id_ == oneself} for id_, row in everyone.items()]
    counted, emptied = {}, []
    for name, read in rows.items():
        if not read and people.count_shown(connection, name):
            emptied.append(name)
            if name not in memory.emptied:
                continue  # one look is no proof
        kept = staying if name == "users" else ()
        counted[name] = people.save_shown(connection, name, read, kept=kept)
    return counted, emptied


def _report(engine: Engine, memory: _Memory, roster: Roster, counted: Mapping[str, int]) -> None:
    """Say what changed; of trouble, once when it starts and once when it ends."""
    for name, error in roster.failures.items():
        if name not in memory.failing:
            engine.log.warning("people_unreadable", what=name, reason=str(error))
    for name in memory.failing:
        if name in roster.answers:
            engine.log.info("people_readable_again", what=name)
    if any(counted.values()):
        engine.log.info("people_read", **counted)
