"""SQLite's own randomness and clock, replaced by the simulation's: the same seed, the same rows.

The database fills in guids (`randomblob`, `random`) and dates (`strftime(…, 'now')`) by itself,
in people's connections and in the engine's. A connection that `determine` has seen takes both
from the simulation, so that nothing in a run depends on luck or on the time of day.
Public: `determine`.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any


def determine(connection: Any, rng: random.Random, now: Callable[[], float]) -> None:
    """Let a connection's functions go by this randomness and this clock.

    Args:
        connection: a connection of the `sqlite3` driver, or what stands for one.
        rng: where its random values come from.
        now: seconds since the epoch; asking must not move the clock.
    """

    def strftime(pattern: str, *words: Any) -> Any:
        if words != ("now",):
            return _sqlite_strftime(pattern, words)
        moment = datetime.fromtimestamp(now(), UTC)
        seconds = f"{moment:%S}.{moment.microsecond // 1000:03}"
        return moment.strftime(pattern.replace("%f", seconds))

    connection.create_function("randomblob", 1, lambda size: rng.randbytes(size))
    connection.create_function("random", 0, lambda: rng.getrandbits(63))
    connection.create_function("strftime", -1, strftime)


def _sqlite_strftime(pattern: str, words: tuple[Any, ...]) -> Any:
    marks = ", ".join("?" * (1 + len(words)))
    return _plain().execute(f"SELECT strftime({marks})", (pattern, *words)).fetchone()[0]


@cache
def _plain() -> sqlite3.Connection:
    return sqlite3.connect(":memory:")
