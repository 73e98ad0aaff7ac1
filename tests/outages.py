"""The same as `outside` on PostgreSQL, where more can die: the server, a connection, a lock.

Two daemons stand by for each other, each started again whenever it ends, as service managers do.
At random moments one or both are killed, or the server, or one of its processes, or the daemons'
connections are ended, or only the one that holds the lock of the one writer. A SQL client connects
again and writes on. Public: `run`.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import psycopg

from hisync.mirror.dialects.postgres.connection import WRITER
from tests.outside import (
    FAULTS,
    Ledger,
    Outcome,
    ask,
    command,
    configure,
    environment,
    hisync,
    judge,
    read_items,
    sandbox,
    think_of_one,
)
from tests.postgres import Server, server

OURS: Final = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'hisync %'"
HOLDER: Final = f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = {WRITER}"
PATIENCE: Final = 60.0
"""Seconds that a server may take to be there again."""


class Stand:
    """A server with two daemons on a mirror in it, and what can go wrong with them."""

    def __init__(self, folder: Path, server: Server, database: str, rng: random.Random) -> None:
        self._folder = folder
        self._server = server
        self._conninfo = server.conninfo(database)
        self._rng = rng
        self._daemons: list[subprocess.Popen[bytes]] = []

    def tend(self) -> None:
        """Start what has ended."""
        self._daemons = [daemon for daemon in self._daemons if daemon.poll() is None]
        while len(self._daemons) < 2:
            with (self._folder / "daemon.log").open("a") as log:
                self._daemons.append(
                    subprocess.Popen(
                        command("run", "--standby"),
                        cwd=self._folder,
                        env=environment(),
                        stdout=log,
                        stderr=log,
                    )
                )

    def end(self) -> None:
        """Kill both daemons."""
        for daemon in self._daemons:
            daemon.kill()
            daemon.wait()

    def cycles(self) -> int:
        """How many cycles the daemons have finished."""
        return (self._folder / "daemon.log").read_text().count("cycle_finished")

    def break_something(self) -> str:
        """What was broken."""
        ways: dict[str, Callable[[], None]] = {
            "the daemon": self._kill_the_one_that_works,
            "both daemons": self.end,
            "the server": self._kill_the_server,
            "a process of the server": self._kill_a_backend,
            "connections": lambda: self._terminate(OURS),
            "the lock's connection": lambda: self._terminate(HOLDER),
        }
        way = self._rng.choice([*ways])
        ways[way]()
        return way

    def _kill_the_one_that_works(self) -> None:
        names = "SELECT application_name FROM pg_stat_activity WHERE pid IN "
        with self._session() as session:
            row = session.execute(f"{names} ({HOLDER})".encode()).fetchone()
        for daemon in self._daemons:
            if row is not None and row[0].split()[1] == str(daemon.pid):
                daemon.kill()
                daemon.wait()

    def _kill_the_server(self) -> None:
        self._server.kill(signal.SIGKILL)
        time.sleep(self._rng.choice([0.0, 0.2, 2.0]))
        self._server.restart(PATIENCE)

    def _kill_a_backend(self) -> None:
        """The server ends every session then, and recovers."""
        with self._session() as session:
            found = session.execute(OURS.encode()).fetchall()
        if found:
            os.kill(self._rng.choice(found)[0], signal.SIGKILL)

    def _terminate(self, whose: str) -> None:
        with self._session() as session:
            session.execute(f"SELECT pg_terminate_backend(pid) FROM ({whose}) AS x".encode())

    @contextmanager
    def _session(self) -> Iterator[psycopg.Connection]:
        deadline = time.monotonic() + PATIENCE
        session = None
        while session is None:
            try:
                session = psycopg.connect(self._conninfo, autocommit=True)
            except psycopg.OperationalError:  # it recovers
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        with session:
            yield session


def run(folder: Path, kills: int, seed: int) -> Outcome:
    """Play it all in a folder.

    The server keeps whole pages in its log, since it is killed in the middle of writing them.
    """
    rng = random.Random(seed)
    own = Server(server().programs, full_page_writes="on")
    try:
        database = own.create()
        with sandbox() as base_url:
            configure(folder, base_url, database=own.url(database))
            hisync(folder, "sync")
            mine, theirs = multiprocessing.Pipe()
            client = multiprocessing.Process(
                target=write_on, args=(own.conninfo(database), seed, theirs), daemon=True
            )
            client.start()
            stand = Stand(folder, own, database, rng)
            edits, broken = break_often(stand, base_url, kills, rng)
            mine.send("stop")
            ledger, connections = mine.recv()
            client.join()
            stand.end()
            ask(base_url.removesuffix("/api") + "/sandbox/faults", "DELETE")
            outcome = judge(folder, own.conninfo(database), base_url, ledger, edits)
    finally:
        own.remove()
    log = (folder / "daemon.log").read_text()
    outcome.wrong += [line for line in log.splitlines() if "Traceback" in line]
    counts = ", ".join(f"{number} of {way}" for way, number in sorted(broken.items()))
    outcome.remarks = (
        f" ({counts}), {log.count('cycle_finished')} cycles, "
        f"{log.count('taking_over')} take-overs, "
        f"{log.count('has taken this mirror over')} daemons that were late, "
        f"{connections} connections and {ledger.unknown} unknown outcomes of the client"
    )
    return outcome


def break_often(
    stand: Stand, base_url: str, kills: int, rng: random.Random
) -> tuple[int, Counter[str]]:
    """Break things; how many edits a colleague made meanwhile, and what was broken how often."""
    edits, broken = 0, Counter[str]()
    sandbox_url = base_url.removesuffix("/api") + "/sandbox"
    items = [item["id"] for item in read_items(base_url)]
    for number in range(kills):
        if rng.random() < 0.4:
            ask(f"{sandbox_url}/faults", "POST", [rng.choice(FAULTS)])
        # Mostly something that works, but sometimes what is only on its way up.
        patience = PATIENCE * (rng.random() < 0.8)
        stand.tend()
        started, lasts, cycles = time.monotonic(), rng.uniform(0.5, 4.0), stand.cycles()
        while (passed := time.monotonic() - started) < lasts or (
            passed < patience and stand.cycles() == cycles
        ):
            stand.tend()
            with suppress(OSError):
                title = f"theirs {number}.{edits}"
                ask(f"{sandbox_url}/items/{rng.choice(items)}", "PUT", {"title": title})
                edits += 1
            time.sleep(rng.uniform(0.05, 0.4))
        broken[stand.break_something()] += 1
    return edits, broken


def write_on(conninfo: str, seed: int, pipe: Connection) -> None:
    """A SQL client that writes until it is told to stop, connecting again when it has to."""
    rng, ledger, connections = random.Random(seed + 1), Ledger(), 0
    while not pipe.poll():
        try:
            session = psycopg.connect(conninfo, autocommit=True, connect_timeout=2)
        except psycopg.OperationalError:
            time.sleep(0.1)
            continue
        connections += 1
        with session:
            while not pipe.poll(rng.uniform(0.02, 0.3)) and write_once(session, rng, ledger):
                pass
    pipe.send((ledger, connections))


def write_once(session: psycopg.Connection, rng: random.Random, ledger: Ledger) -> bool:
    """One statement, and its entry in the ledger; false if the connection was lost."""
    statement = think_of_one(rng, ledger)
    try:
        session.execute(statement.query.replace("?", "%s").encode(), statement.values)
    except psycopg.OperationalError:
        ledger.doubt(statement)
        return False
    ledger.note(statement)
    return True
