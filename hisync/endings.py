"""How changes end, written down and said in the log, and how they wait for others.

Public: `end`, `reject`, `block`, `unblock`.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from hisync.change import Change
from hisync.engine import Engine
from hisync.mirror import changes
from hisync.plan.proof import Ending


def end(engine: Engine, connection: Connection, guid: str, endings: Iterable[Ending]) -> None:
    """Write down how changes of one row end."""
    for ending in endings:
        now = engine.clock.now()
        changes.set_state(connection, [ending.seq], ending.state, now=now, error=ending.error)
        if ending.state == "rejected":
            engine.log.warning("change_rejected", seq=ending.seq, guid=guid, reason=ending.error)


def reject(
    engine: Engine, connection: Connection, guid: str, refused: Iterable[Change], reason: str
) -> None:
    """End changes that hiTask will never take, with the reason."""
    end(engine, connection, guid, [Ending(c.seq, "rejected", reason) for c in refused])


def block(engine: Engine, connection: Connection, log: Iterable[Change], why: str) -> None:
    """Let changes wait for another row; written once, not in every cycle."""
    fresh = [change.seq for change in log if change.state != "blocked"]
    changes.set_state(connection, fresh, "blocked", now=engine.clock.now(), error=why)


def unblock(engine: Engine, connection: Connection, log: Iterable[Change]) -> None:
    """What they waited for is there."""
    waited = [change.seq for change in log if change.state == "blocked"]
    if waited:
        changes.set_state(connection, waited, "pending", now=engine.clock.now())
