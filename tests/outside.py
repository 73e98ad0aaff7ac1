"""From outside: real processes, real HTTP, `kill -9` at random moments, and clients that go on.

    python -m tests.outside --kills 100 [--postgresql]

Starts `hisync sandbox` and `hisync run` as anyone would. While a SQL client in a process of its own
goes on writing and a colleague goes on editing over HTTP, the daemon is killed at random moments
and started again. In the end every value that either wrote last must be on both sides, once.

With `--postgresql` (`outages`) the server dies, too, and a standby takes over. A statement whose
commit was not acknowledged may have been carried out or not, but not twice.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal, TypeAlias

import psycopg
from psycopg.rows import dict_row

Where: TypeAlias = Path | str
"""The folder of a mirror in SQLite, or how to connect to one in PostgreSQL."""

FAULTS: Final = (
    *("POST /item:drop_after:1", "PUT /item/*:drop_after:1", "DELETE /item/*:drop_after:1"),
    *("POST /item/comment:drop_after:1", "GET /item*:status=503:1", "PUT /item/*:cut:1"),
    *("GET /item/delta/*:empty_list:1", "GET /item*:expire_session:1", "POST /item:drop_before:1"),
)
SETTLING: Final = 12
"""`hisync sync` runs after the last kill in which everything has to come to rest."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.outside", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--postgresql", action="store_true", help="the mirror on such a server")
    parser.add_argument("--keep", type=Path, help="a folder for the mirror and the daemon's log")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    with TemporaryDirectory(prefix="outside") as folder:
        play = run
        if options.postgresql:
            from tests.outages import run as play
        outcome = play(Path(folder), options.kills, options.seed)
        if options.keep:
            shutil.copytree(folder, options.keep, dirs_exist_ok=True)
    print(
        f"{options.kills} kills{outcome.remarks}, {outcome.writes} statements by a SQL client, "
        f"{outcome.edits} edits by a colleague, {outcome.requests} requests, "
        f"{len(outcome.wrong)} things wrong, "
        f"{time.monotonic() - started:.0f} s"
    )
    print(*outcome.wrong, sep="\n")
    return 1 if outcome.wrong else 0


@dataclass(frozen=True)
class Statement:
    """What a client writes: of which item, and the title, the text or the minutes."""

    kind: Literal["insert", "update", "say", "spend", "delete"]
    guid: str
    value: Any
    query: str
    values: tuple[Any, ...]


@dataclass
class Ledger:
    """What a client wrote, and nobody else writes over.

    Attributes:
        titles: of its rows, by guid.
        deleted: guids of rows that it deleted.
        comments: texts, by the guid of the item.
        minutes: how many it logged, by the guid of the item.
        statements: how many it ran.
        unknown: of how many it doesn't know the outcome.
        doubtful: those of them that still matter.
    """

    titles: dict[str, str] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    comments: dict[str, list[str]] = field(default_factory=dict)
    minutes: Counter[str] = field(default_factory=Counter)
    statements: int = 0
    unknown: int = 0
    doubtful: list[Statement] = field(default_factory=list)

    def note(self, done: Statement) -> None:
        """It was carried out."""
        match done.kind:
            case "insert" | "update":
                self.titles[done.guid] = done.value
                settled = ("update", done.guid)
                self.doubtful = [x for x in self.doubtful if (x.kind, x.guid) != settled]
            case "say":
                self.comments.setdefault(done.guid, []).append(done.value)
            case "spend":
                self.minutes[done.guid] += done.value
            case "delete":
                del self.titles[done.guid]
                self.deleted.add(done.guid)

    def doubt(self, lost: Statement) -> None:
        """It was carried out or not. A row that may be gone is left alone from now on."""
        self.unknown += 1
        self.doubtful.append(lost)
        if lost.kind == "delete":
            del self.titles[lost.guid]

    def maybe(self, kind: str, guid: str) -> list[Any]:
        """The values of what was carried out or not."""
        return [x.value for x in self.doubtful if (x.kind, x.guid) == (kind, guid)]


@dataclass
class Outcome:
    """How it went, and what is wrong."""

    writes: int
    edits: int
    requests: int
    wrong: list[str]
    remarks: str = ""


def run(folder: Path, kills: int, seed: int) -> Outcome:
    """Play it all in a folder."""
    rng = random.Random(seed)
    with sandbox() as base_url:
        configure(folder, base_url)
        hisync(folder, "sync")
        mine, theirs = multiprocessing.Pipe()
        client = multiprocessing.Process(
            target=write_on, args=(folder / "hisync.db", seed, theirs), daemon=True
        )
        client.start()
        edits = kill_often(folder, base_url, kills, rng)
        mine.send("stop")
        ledger: Ledger = mine.recv()
        client.join()
        return judge(folder, folder, base_url, ledger, edits)


def judge(folder: Path, where: Where, base_url: str, ledger: Ledger, edits: int) -> Outcome:
    """Let all come to rest, and hold both sides against what was written."""
    for _ in range(SETTLING):
        if hisync(folder, "sync", "--full").returncode == 0 and not unfinished(where):
            break
    wrong = list(differences(where, base_url, ledger))
    for guid in guids_in(wrong):
        wrong += story(where, base_url, guid)
        log = (folder / "daemon.log").read_text().splitlines()
        wrong += [f"log: {line}" for line in log if guid in line]
    state = ask(base_url.removesuffix("/api") + "/sandbox/state")
    return Outcome(ledger.statements, edits, sum(state["requests"].values()), wrong)


def kill_often(folder: Path, base_url: str, kills: int, rng: random.Random) -> int:
    """Start the daemon and kill it, again and again; returns how many edits a colleague made."""
    edits = 0
    sandbox_url = base_url.removesuffix("/api") + "/sandbox"
    items = [item["id"] for item in read_items(base_url)]
    for number in range(kills):
        if rng.random() < 0.4:
            ask(f"{sandbox_url}/faults", "POST", [rng.choice(FAULTS)])
        with (folder / "daemon.log").open("a") as log:
            print(f"start {number} of {time.time():.3f}", file=log, flush=True)
            daemon = subprocess.Popen(
                command("run"), cwd=folder, env=environment(), stdout=log, stderr=log
            )
        ends = time.monotonic() + rng.uniform(0.3, 3.0)
        while time.monotonic() < ends:
            with suppress(OSError):
                title = f"theirs {number}.{edits}"
                ask(f"{sandbox_url}/items/{rng.choice(items)}", "PUT", {"title": title})
                edits += 1
            time.sleep(rng.uniform(0.05, 0.4))
        daemon.kill()
        daemon.wait()
    ask(f"{sandbox_url}/faults", "DELETE")
    return edits


def write_on(database: Path, seed: int, pipe: Connection) -> None:
    """A SQL client that writes until it is told to stop, then says what it wrote."""
    rng, ledger = random.Random(seed + 1), Ledger()
    with closing(sqlite3.connect(database, isolation_level=None, timeout=60)) as client:
        while not pipe.poll(rng.uniform(0.02, 0.3)):
            write_once(client, rng, ledger)
    pipe.send(ledger)


def write_once(client: sqlite3.Connection, rng: random.Random, ledger: Ledger) -> None:
    """One statement, and its entry in the ledger."""
    statement = think_of_one(rng, ledger)
    client.execute(statement.query, statement.values)
    ledger.note(statement)


def think_of_one(rng: random.Random, ledger: Ledger) -> Statement:
    """What the client writes next."""
    ledger.statements += 1
    mark = f"ours {ledger.statements}"
    chance, known = rng.random(), sorted(ledger.titles)
    if chance < 0.4 or not known:
        guid = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        query = "INSERT INTO tasks (guid, title) VALUES (?, ?)"
        return Statement("insert", guid, mark, query, (guid, mark))
    guid = rng.choice(known)
    if chance < 0.65:
        query = "UPDATE tasks SET title = ? WHERE guid = ?"
        return Statement("update", guid, mark, query, (mark, guid))
    if chance < 0.8:
        query = "INSERT INTO comments (item_guid, message) VALUES (?, ?)"
        return Statement("say", guid, mark, query, (guid, mark))
    if chance < 0.92:
        minutes = rng.randrange(1, 60)
        query = "INSERT INTO time_entries (item_guid, minutes) VALUES (?, ?)"
        return Statement("spend", guid, minutes, query, (guid, minutes))
    return Statement("delete", guid, None, "DELETE FROM tasks WHERE guid = ?", (guid,))


def differences(where: Where, base_url: str, ledger: Ledger) -> Iterator[str]:
    """What is not as it must be in the end."""
    items = read_items(base_url)
    there = {item["guid"]: item for item in items}
    for guid, number in Counter(item["guid"] for item in items).items():
        if number > 1:
            yield f"{number} items of {guid}"
    here = {row["guid"]: row for row in rows(where, "SELECT * FROM items")}
    for guid in there.keys() ^ here.keys():
        yield f"{guid} is only {'there' if guid in there else 'here'}"
    for guid in there.keys() & here.keys():
        if there[guid]["title"] != here[guid]["title"]:
            yield f"{guid}: {here[guid]['title']!r} here, {there[guid]['title']!r} there"
    yield from _lost(there, ledger)
    yield from _comments_lost(where, base_url, there, ledger)
    # What was said of an item that the client then deleted is refused, and rightly.
    refused = "SELECT * FROM change_log WHERE state = 'rejected' AND table_name = 'tasks'"
    for row in rows(where, refused):
        yield f"rejected: {row['table_name']} {row['error']}"


def _lost(there: Mapping[str, dict[str, Any]], ledger: Ledger) -> Iterator[str]:
    for guid, title in ledger.titles.items():
        may_be = {title, *ledger.maybe("update", guid)}
        if guid not in there or there[guid]["title"] not in may_be:
            yield f"lost: {sorted(may_be)} of {guid}"
        sums = {ledger.minutes[guid]}
        for minutes in ledger.maybe("spend", guid):
            sums |= {known + minutes for known in sums}
        if (there.get(guid, {}).get("time_spent") or 0) not in sums:
            yield f"{guid}: {sorted(sums)} minutes logged"
    for guid in ledger.deleted & there.keys():
        yield f"{guid} was deleted here"


def _comments_lost(
    where: Where, base_url: str, there: Mapping[str, dict[str, Any]], ledger: Ledger
) -> Iterator[str]:
    texts = Counter(row["message"] for row in rows(where, "SELECT message FROM comments"))
    for guid in there:
        sure, maybe = ledger.comments.get(guid, ()), ledger.maybe("say", guid)
        if not sure and not maybe:
            continue
        units = history(base_url, there[guid]["id"])
        said = Counter(unit["value"] for unit in units if unit["property_name"] == "comment")
        for text in sure:
            if (said[text], texts[text]) != (1, 1):
                yield f"comment {text!r}: {said[text]} there, {texts[text]} here"
        for text in maybe:
            if (said[text], texts[text]) not in {(0, 0), (1, 1)}:
                yield f"comment {text!r}: {said[text]} there, {texts[text]} here"


def guids_in(wrong: Sequence[str]) -> set[str]:
    """The items that what is wrong is about."""
    return {guid for line in wrong for guid in re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]+){4}", line)}


def story(where: Where, base_url: str, guid: str) -> Iterator[str]:
    """All that is known of an item, for who looks for the reason."""
    yield f"--- {guid}"
    for table in ("change_log", "conflicts"):
        yield from (f"{table}: {row}" for row in _of(where, table, "row_guid", guid))
    yield from (f"sync_base: {row}" for row in _of(where, "sync_base", "guid", guid))
    for item in read_items(base_url):
        if item["guid"] == guid:
            yield from (f"history: {unit}" for unit in history(base_url, item["id"]))


def _of(where: Where, table: str, column: str, guid: str) -> list[dict[str, Any]]:
    return rows(where, f"SELECT * FROM {table} WHERE {column} = '{guid}'")


def unfinished(where: Where) -> int:
    """How many changes wait."""
    query = "SELECT count(*) AS n FROM change_log WHERE finished_at IS NULL"
    return int(rows(where, query)[0]["n"])


def rows(where: Where, query: str) -> list[dict[str, Any]]:
    """Ask the mirror."""
    if isinstance(where, str):
        with psycopg.connect(where, row_factory=dict_row) as served:
            return served.execute(query.encode()).fetchall()
    with closing(sqlite3.connect(where / "hisync.db")) as client:
        client.row_factory = sqlite3.Row
        return [dict(row) for row in client.execute(query)]


def command(*words: str) -> list[str]:
    """A command of hisync's."""
    return [sys.executable, "-m", "hisync", *words]


def environment() -> dict[str, str]:
    """An environment that says nothing of hisync; the checkout is where it comes from."""
    kept = {name: value for name, value in os.environ.items() if "HISYNC" not in name}
    return {**kept, "PYTHONPATH": str(Path(__file__).parent.parent)}


def hisync(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*words), cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )


@contextmanager
def sandbox(items: int = 5) -> Iterator[str]:
    """`hisync sandbox` as a process of its own; its base URL."""
    server = subprocess.Popen(
        command("sandbox", "--port", "0", "--items", str(items)),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    try:
        yield server.stdout.readline().split()[1]
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def configure(
    folder: Path,
    base_url: str,
    *,
    per_minute: int = 3000,
    poll: int = 1,
    delay: int = 0,
    database: str = "",
) -> None:
    """Write a configuration, by default one that is in a hurry."""
    from hisync.sandbox import API_KEY, LOGIN, PASSWORD

    path = folder / "config.toml"
    path.write_text(
        f'[hitask]\nbase_url = "{base_url}"\nlogin = "{LOGIN}"\npassword = "{PASSWORD}"\n'
        f'api_key = "{API_KEY}"\n[log]\nlevel = "debug"\n'
        f"[rate]\nrequests_per_minute = {per_minute}\n"
        f"[sync]\npoll_interval = {poll}\npush_delay = {delay}\n"
        "[safety]\nmax_push_deletes = 100000\n"
        + (f'[database]\nurl = "{database}"\n' if database else "")
    )
    path.chmod(0o600)


def ask(url: str, method: str = "GET", body: object = None, session: str = "") -> Any:
    """Ask the sandbox over HTTP."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json", "x-hi-session": session}
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.loads(answer.read())


def log_in(base_url: str) -> str:
    """A session of the account's own."""
    from hisync.sandbox import API_KEY, LOGIN, PASSWORD

    query = f"api_key={API_KEY}&login={LOGIN}&password={PASSWORD}"
    return str(ask(f"{base_url}/user/authenticate?{query}")["session_id"])


def read_items(base_url: str) -> list[dict[str, Any]]:
    """All items, as any client reads them."""
    items: list[dict[str, Any]] = ask(f"{base_url}/item", session=log_in(base_url))
    return items


def history(base_url: str, number: int) -> list[dict[str, Any]]:
    """The history of an item."""
    session = log_in(base_url)
    units: list[dict[str, Any]] = ask(f"{base_url}/item/history?id={number}", session=session)
    return units


if __name__ == "__main__":
    sys.exit(main())
