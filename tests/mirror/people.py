"""People who edit the mirror with a plain SQL client, which knows nothing of hisync."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple


class Logged(NamedTuple):
    """What the change log says of one change."""

    op: str
    guid: str
    old: dict[str, Any] | None
    new: dict[str, Any] | None


class Person:
    """One SQL client on a mirror; `log` tells what the triggers saw since the last look."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=0.0)
        self.connection.row_factory = sqlite3.Row
        self.connection.execute("PRAGMA synchronous = OFF")  # no power cuts here
        self._seen = 0

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.connection.execute(statement, values)]

    def one(self, statement: str, *values: Any) -> Any:
        """The one cell of a query's one row."""
        ((cell,),) = self.run(statement, *values)
        return cell

    def log(self) -> list[Logged]:
        query = "SELECT seq, op, row_guid, old_values, new_values FROM change_log WHERE seq > ?"
        rows = self.run(f"{query} ORDER BY seq", self._seen)
        self._seen = max([self._seen, *(row[0] for row in rows)])
        return [
            Logged(op, guid, *(None if text is None else json.loads(text) for text in (old, new)))
            for _, op, guid, old, new in rows
        ]

    def close(self) -> None:
        self.connection.close()


def inserted(guid: str, **new: Any) -> Logged:
    return Logged("insert", guid, None, new)


def deleted(guid: str, **old: Any) -> Logged:
    return Logged("delete", guid, old, None)


def updated(guid: str, old: dict[str, Any], new: dict[str, Any]) -> Logged:
    return Logged("update", guid, old, new)
