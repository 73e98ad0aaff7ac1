"""Where the mirror of a simulation is: a SQLite file, or a database of the PostgreSQL server.

A `Home` is all that the simulation, its people and its adversary need of a database engine, so
that the stories are one text for both. `tests/proof/served.py` has PostgreSQL's.
Public: `Home`, `Frozen`, `FileHome`, `Death`, `Present`, `REFUSED`, `clear`, `listen`.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson
import psycopg
from sqlalchemy import Connection, create_engine, event
from sqlalchemy import Engine as SqlEngine

from hisync.mirror import dialects
from hisync.mirror.dialects.sqlite.connection import prepare, read_json
from hisync.mirror.dialects.sqlite.database import SqliteFile
from hisync.mirror.store import Mirror
from tests.proof.chance import determine
from tests.world import Backend, _empty_mirror

if TYPE_CHECKING:
    from tests.proof.sim import Sim

REFUSED: Final = (sqlite3.IntegrityError, psycopg.IntegrityError)
"""What a statement ends in that the database refuses by a rule of its own."""


class Death(Enum):
    """What ends at a kill point."""

    PROCESS = "killed"
    """The process; another one goes on."""
    CUT_BEFORE = "sessions ended"
    """Every session of the process on the server, before the commit; the process goes on."""
    CUT_AFTER = "sessions ended after the commit"
    """The same right after it, so that the process can't know what became of it."""
    SERVER_BEFORE = "server killed"
    """The server itself, by SIGKILL, before the commit; it is started again."""
    SERVER_AFTER = "server killed after the commit"
    """The same right after it."""

    @property
    def after(self) -> bool:
        """Whether it comes after the commit."""
        return self in (Death.CUT_AFTER, Death.SERVER_AFTER)


class Home(Protocol):
    """The place of one mirror.

    Attributes:
        backend: the engine's name.
        locking: the statements by which a client keeps the engine from writing, until it commits.
    """

    backend: Backend
    locking: tuple[str, ...]

    @property
    def url(self) -> str:
        """SQLAlchemy's URL of the database, which is made at the first look."""

    def mirror(self) -> Mirror:
        """The mirror, not acquired yet, on the engine that all simulations share."""

    def person(self, sim: Sim) -> sqlite3.Connection:
        """Somebody's connection, in autocommit, which never waits long for a lock.

        PostgreSQL's is none of `sqlite3`, but takes and gives the same.
        """

    def news(self, sim: Sim) -> object:
        """Another value once somebody else than `person` has committed."""

    def hurry(self, locked: bool) -> None:
        """Let the engine give up at once, or no more, where somebody keeps it from writing."""

    def fill(self, sim: Sim, *, full: bool) -> None:
        """Let there be no room for what the engine writes, or room again."""

    def end(self, death: Death, sim: Sim) -> None:
        """End what this death ends, but for the process itself."""

    def keep(self, sim: Sim) -> Any:
        """A copy as a backup makes it, of a mirror in use."""

    def put_back(self, copy: Any) -> None:
        """Put a copy in the mirror's place, which nobody has open."""

    def freeze(self) -> Frozen:
        """The mirror as it stands, which nobody has open; this home is not used any more."""

    def leave(self) -> None:
        """Close the person's connection."""

    def drop(self) -> None:
        """Take the database away where nothing else would."""


class Frozen(Protocol):
    """A mirror that stands still."""

    def copy(self, folder: Path) -> Home:
        """A home with this mirror."""

    def drop(self) -> None:
        """Take it away where nothing else would."""


class Present:
    """The simulation that runs in this process now."""

    sim: Sim | None = None
    opening = False


def listen(engine: SqlEngine) -> None:
    """Let the present simulation know of each write transaction, before anyone else does."""
    event.listen(engine, "begin", _before_begin)
    event.listen(engine, "commit", _before_commit)


def clear(folder: Path) -> None:
    """Empty the folder of a simulation, so that the next one can have it."""
    folder.mkdir(parents=True, exist_ok=True)
    for each in folder.iterdir():
        each.unlink()


class FileHome:
    """A SQLite file in a folder of the simulation's own."""

    backend: Backend = "sqlite"
    locking: tuple[str, ...] = ("BEGIN IMMEDIATE",)

    def __init__(self, folder: Path) -> None:
        self.path = folder / "mirror.db"
        self._person: sqlite3.Connection | None = None

    @property
    def url(self) -> str:
        """SQLAlchemy's URL of the file."""
        return f"sqlite:///{self._there()}"

    def mirror(self) -> Mirror:
        """The mirror, not acquired yet."""
        return Mirror(SqliteFile(_shared_engine(), self._there()), dialects.named("sqlite"))

    def person(self, sim: Sim) -> sqlite3.Connection:
        """Somebody's connection."""
        if self._person is None:
            self._person = sqlite3.connect(self._there(), isolation_level=None, timeout=0)
            self._person.row_factory = sqlite3.Row
            self._person.text_factory = lambda cell: cell.decode("utf-8", "surrogateescape")
            self._person.execute("PRAGMA synchronous = OFF").close()
            determine(self._person, sim.rng, lambda: sim.time.now)
        return self._person

    def news(self, sim: Sim) -> object:
        """SQLite's own number for it."""
        return self.person(sim).execute("PRAGMA data_version").fetchone()[0]

    def hurry(self, locked: bool) -> None:
        """It never waits here (`_hurry`)."""

    def fill(self, sim: Sim, *, full: bool) -> None:
        """Leave no room for another page."""
        with closing(sim.engine.mirror.engine.raw_connection()) as raw:
            cursor = raw.cursor()
            cursor.execute(f"PRAGMA max_page_count = {1 if full else 2**30}")  # 1: the present size
            cursor.fetchall()
            cursor.close()

    def end(self, death: Death, sim: Sim) -> None:
        """A file has no sessions and no server."""
        raise NotImplementedError

    def keep(self, sim: Sim) -> Any:
        """The bytes of a file like it."""
        return self.person(sim).serialize()

    def put_back(self, copy: Any) -> None:
        """Write them in its place."""
        clear(self.path.parent)
        self.path.write_bytes(copy)

    def freeze(self) -> Frozen:
        """The file's bytes."""
        return FrozenFile(self.path.read_bytes())

    def leave(self) -> None:
        """Close the person's connection."""
        if self._person is not None:
            self._person.close()
            self._person = None

    def drop(self) -> None:
        """The folder goes with whoever made it."""

    def _there(self) -> Path:
        if not self.path.exists():
            self.path.write_bytes(_empty_mirror())
        return self.path


@dataclass(frozen=True)
class FrozenFile:
    """A SQLite file that nobody has open."""

    content: bytes

    def copy(self, folder: Path) -> Home:
        """The file in a folder, which is emptied."""
        home = FileHome(folder)
        home.put_back(self.content)
        return home

    def drop(self) -> None:
        """It is in this process only."""


@cache
def _shared_engine() -> SqlEngine:
    """The one SQLAlchemy engine of this process; it connects to the present simulation."""

    def connect() -> sqlite3.Connection:
        sim = Present.sim
        assert sim is not None
        assert isinstance(sim.home, FileHome)
        connection = sqlite3.connect(sim.home.path, timeout=0, check_same_thread=False)
        determine(connection, sim.rng, lambda: sim.time.now)
        return connection

    engine = create_engine(
        "sqlite:///simulation",
        creator=connect,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=read_json,
    )
    listen(engine)
    prepare(engine)
    event.listen(engine, "connect", _hurry)
    return engine


def _hurry(connection: Any, _record: object) -> None:
    # Nothing here is about a power cut, and waiting for the disk is most of what a commit takes.
    connection.execute("PRAGMA synchronous = OFF").close()
    connection.execute("PRAGMA busy_timeout = 0").close()  # in one thread nobody would let go


def _writes(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get(dialects.WRITE)) and not Present.opening


def _before_begin(connection: Connection) -> None:
    if Present.sim is not None and _writes(connection):
        Present.sim.begins()


def _before_commit(connection: Connection) -> None:
    if Present.sim is not None and _writes(connection):
        Present.sim.ends()
