"""The least that a copy of an account can cost, and what others take for it.

Each keeps no base, installs no trigger, plans nothing and can lose an edit: they are what the same
bytes cost on the same machine. Run as `python -m tests.benchmarks.floors NAME URL FOLDER`.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

SESSION = {"session_id": "none"}
COLUMNS = (
    *("id", "guid", "title", "message", "category", "parentGuid", "completed", "color"),
    *("color_value", "assignee", "participants", "tags", "start_date", "end_date", "due_date"),
    *("is_all_day", "recurring", "recurring_interval", "recurring_end_date", "alerts", "priority"),
    *("starred", "time_track", "time_est", "time_spent", "location", "permissions", "issue_id"),
    *("user_id", "permission", "shared", "unread", "version", "time_create", "time_last_update"),
    *("last_comment_id", "depth", "children", "instances", "timestamp"),
)


def httpx_floor(url: str, folder: Path) -> None:
    """Httpx, orjson, one `executemany`."""
    import httpx
    import orjson

    items = orjson.loads(httpx.get(f"{url}/item", headers=SESSION, timeout=600).content)
    _insert(folder, items)


def ijson_floor(url: str, folder: Path) -> None:
    """The same with a parser that streams, which keeps memory flat."""
    import httpx
    import ijson

    with httpx.stream("GET", f"{url}/item", headers=SESSION, timeout=600) as response:
        source = _Source(response.iter_bytes())
        _insert(folder, ijson.items(source, "item", use_float=True))


class _Source:
    """Bytes as they come, as a file to read from."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = iter(parts)
        self._rest = b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size and (part := next(self._parts, b"")):
            self._rest += part
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


def sqlite_utils(url: str, folder: Path) -> None:
    """Sqlite-utils, with an upsert by key."""
    import httpx
    import orjson
    import sqlite_utils as utils

    items = orjson.loads(httpx.get(f"{url}/item", headers=SESSION, timeout=600).content)
    utils.Database(str(folder / "utils.db")).table("items").upsert_all(items, pk="id", alter=True)


def dlt(url: str, folder: Path) -> None:
    """Dlt, merging by key."""
    import dlt as loader
    import httpx

    items = httpx.get(f"{url}/item", headers=SESSION, timeout=600).json()
    destination = loader.destinations.sqlalchemy(f"sqlite:///{folder / 'dlt.db'}")
    pipeline = loader.pipeline("hitask", destination=destination, pipelines_dir=str(folder / "dlt"))
    pipeline.run(items, table_name="items", write_disposition="merge", primary_key="id")


def delta_floor(url: str, folder: Path) -> None:
    """A delta against the rows that there are: changed ones put in, missing ones taken out."""
    import httpx
    import orjson

    elements = orjson.loads(httpx.get(f"{url}/item/delta/1", headers=SESSION, timeout=600).content)
    with sqlite3.connect(folder / "floor.db") as database:
        known = {row[0] for row in database.execute("SELECT id FROM items")}
        gone = known - {element["id"] for element in elements}
        _put(database, (element for element in elements if element["changed"]))
        database.executemany("DELETE FROM items WHERE id = ?", [(number,) for number in gone])


def _insert(folder: Path, items: Iterable[dict[str, Any]]) -> None:
    path = folder / "floor.db"
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"CREATE TABLE items ({', '.join(COLUMNS)}, PRIMARY KEY (id))")
        _put(database, items)


def _put(database: sqlite3.Connection, items: Iterable[dict[str, Any]]) -> None:
    marks = ", ".join("?" * len(COLUMNS))
    database.executemany(f"INSERT OR REPLACE INTO items VALUES ({marks})", _cells(items))


def _cells(items: Iterable[dict[str, Any]]) -> Iterator[list[Any]]:
    """The cells of a row for each item."""
    import orjson

    for item in items:
        yield [
            orjson.dumps(cell).decode() if isinstance(cell := item.get(name), list | dict) else cell
            for name in COLUMNS
        ]


_TYPES = {
    **dict.fromkeys(("completed", "is_all_day", "starred", "time_track", "shared"), "boolean"),
    **dict.fromkeys(("participants", "tags", "alerts", "location", "permissions"), "jsonb"),
    **dict.fromkeys(("id", "category", "color", "priority", "version", "permission"), "bigint"),
    **dict.fromkeys(("time_est", "time_spent", "recurring", "recurring_interval"), "bigint"),
    **dict.fromkeys(("time_create", "time_last_update"), "timestamptz"),
    **dict.fromkeys(("start_date", "end_date", "due_date", "recurring_end_date"), "timestamptz"),
}
CONNINFO = "conninfo.txt"
"""The file in the folder that says where PostgreSQL is."""


def copy_floor(url: str, folder: Path) -> None:
    """Httpx, orjson, COPY into a staging table, one upsert from there; in PostgreSQL."""
    import httpx
    import orjson
    import psycopg

    items = orjson.loads(httpx.get(f"{url}/item", headers=SESSION, timeout=600).content)
    typed = ", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in COLUMNS)
    names = ", ".join(COLUMNS)
    replaced = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != "id")
    with psycopg.connect((folder / CONNINFO).read_text()) as session, session.cursor() as cursor:
        cursor.execute(f"CREATE TABLE items ({typed}, PRIMARY KEY (id))".encode())
        cursor.execute(f"CREATE TEMP TABLE staged ({typed}) ON COMMIT DROP".encode())
        with cursor.copy(f"COPY staged ({names}) FROM STDIN".encode()) as copy:
            for row in _cells(items):
                copy.write_row(row)
        cursor.execute(
            f"INSERT INTO items SELECT {names} FROM staged "
            f"ON CONFLICT (id) DO UPDATE SET {replaced}".encode()
        )


FLOORS: dict[str, Callable[[str, Path], None]] = {
    "httpx": httpx_floor,
    "copy": copy_floor,
    "ijson": ijson_floor,
    "sqlite-utils": sqlite_utils,
    "dlt": dlt,
    "delta": delta_floor,
}

if __name__ == "__main__":
    FLOORS[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))
