"""The soak in real time: `hisync sandbox` and `hisync run` as processes, over HTTP.

Public: `soak`.
"""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.outside import (
    ask,
    command,
    configure,
    environment,
    hisync,
    read_items,
    rows,
    sandbox,
    unfinished,
)
from tests.soak.life import Event, Habits, Life, calendar
from tests.soak.process import resident_memory

SPELLS: Final = ("429", "code 67", "503", "no network")
"""The other two make the daemon rest for longer than this takes: those are for virtual time."""

LOOK_EVERY: Final = 0.2
GROWTH: Final = 3e6
"""Bytes that memory may grow by in the last third of the last daemon's life."""

PATIENCE: Final = 900.0
"""Seconds within which all has to come to rest in the end."""


def habits(seconds: float) -> Habits:
    """As often as makes half an hour interesting; the last daemon lives for more than half."""
    return Habits(15.0, 12.0, 240.0, 60.0, 150.0, (10.0, 60.0), seconds / 4, seconds * 0.45)


@dataclass
class Seen:
    """What was seen.

    Attributes:
        arrived: when each request arrived, as the sandbox saw it, in seconds since the epoch.
        memory: bytes of the daemon's memory, at moments, of each that was started.
    """

    arrived: list[float] = field(default_factory=list)
    memory: list[list[tuple[float, int]]] = field(default_factory=list)

    def most(self) -> int:
        """The most requests in any 60 seconds."""
        first = most = 0
        for number, at in enumerate(self.arrived):
            while self.arrived[first] <= at - 60:
                first += 1
            most = max(most, number - first + 1)
        return most

    def growth(self) -> float:
        """Bytes by which the last daemon's memory grew in the last third of its life."""
        life = self.memory[-1]
        begin, end = life[0][0], life[-1][0]
        thirds = ([m for at, m in life if at <= end - (end - begin) / 3], [m for _, m in life])
        return float(max(thirds[1]) - max(thirds[0]))


class _Soak:
    """One soak."""

    def __init__(self, folder: Path, base_url: str) -> None:
        self.folder = folder
        self.base_url = base_url
        self.seen = Seen()
        self.daemon: subprocess.Popen[bytes] | None = None

    def ask(self, method: str, path: str, body: object) -> Any:
        """Ask the sandbox itself."""
        return ask(f"{self.base_url.removesuffix('/api')}/sandbox/{path}", method, body)

    def start(self) -> None:
        """Start the daemon."""
        with (self.folder / "log").open("ab") as log:
            self.daemon = subprocess.Popen(
                command("run"), cwd=self.folder, env=environment(), stderr=log
            )
        self.seen.memory.append([])

    def kill(self) -> None:
        """End it as a crash does."""
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon.wait()

    def look(self) -> None:
        """Note what can be seen now."""
        assert self.daemon is not None
        assert self.daemon.poll() is None, "the daemon has ended"
        last = self.seen.arrived[-1] if self.seen.arrived else 0.0
        found = self.ask("GET", "state?last=100", None)["last_requests"]
        self.seen.arrived += [one["at"] for one in found if one["at"] > last]
        self.seen.memory[-1].append((time.time(), resident_memory(self.daemon.pid)))
        time.sleep(LOOK_EVERY)

    def live(self, events: list[Event], life: Life) -> None:
        """Let the events happen at their time."""
        began = time.monotonic()
        for event in events:
            while time.monotonic() - began < event.at:
                self.look()
            if event.what == "kill":
                self.kill()
                self.start()
            else:
                life.live(event)

    def come_to_rest(self) -> float:
        """Wait until nothing is left to do; the seconds that took."""
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE:
            for _ in range(50):
                self.look()
            facts = json.loads(hisync(self.folder, "status", "--json").stdout)
            read = facts["discussions"]["read"] == facts["discussions"]["total"]
            if read and facts["trouble"] is None and not unfinished(self.folder):
                break
        return time.monotonic() - began

    def wrong(self) -> Iterator[str]:
        """End it as systemd does, and say what is not as it must be."""
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGTERM)
        if (code := self.daemon.wait(10)) != 0:
            yield f"the daemon ended with {code}"
        verified = hisync(self.folder, "verify")
        if verified.returncode != 0:
            yield f"`hisync verify` ended with {verified.returncode}: {verified.stdout}"
        there = {item["guid"]: item for item in read_items(self.base_url)}
        here = {row["guid"]: row for row in rows(self.folder, "SELECT * FROM items")}
        for guid in there.keys() | here.keys():
            one, other = here.get(guid, {}), there.get(guid, {})
            for name in ("id", "title", "message", "priority", "completed", "version"):
                mine, theirs = one.get(name), other.get(name)
                if mine != theirs and (mine or theirs):
                    yield f"{guid}: {name} is {mine!r} here, {theirs!r} there"
        if waiting := unfinished(self.folder):
            yield f"{waiting} changes are unfinished"


def soak(folder: Path, minutes: float, items: int, budget: int, seed: int) -> list[str]:
    """Let it run for so long, and print what was seen; returns what is wrong."""
    rng = random.Random(seed)
    with sandbox(items) as base_url:
        configure(folder, base_url, per_minute=budget, poll=10, delay=1)
        hisync(folder, "db", "upgrade")
        run = _Soak(folder, base_url)
        events = calendar(habits(minutes * 60), minutes * 60, rng, spells=SPELLS)
        database = folder / "hisync.db"
        with closing(sqlite3.connect(database, isolation_level=None, timeout=60)) as client:
            life = Life(run.ask, client, rng, most=items // 4)
            run.start()
            try:
                run.live(events, life)
                rested = run.come_to_rest()
                wrong = list(run.wrong())
            finally:
                run.kill()
    _print(run.seen, life, rested, folder)
    if (most := run.seen.most()) > budget:
        wrong.append(f"{most} requests in 60 seconds, of {budget}")
    if (grown := run.seen.growth()) > GROWTH:
        wrong.append(f"memory grew by {grown / 1e6:.1f} MB")
    return wrong


def _print(seen: Seen, life: Life, rested: float, folder: Path) -> None:
    per_minute = Counter(int((at - seen.arrived[0]) // 60) for at in seen.arrived)
    print(f"{len(seen.arrived)} requests, at most {seen.most()} in any 60 seconds; by minute:")
    print(*(per_minute[each] for each in range(max(per_minute) + 1)))
    for number, one in enumerate(seen.memory, 1):
        at = [one[min(len(one) - 1, len(one) * part // 4)][1] / 1e6 for part in range(1, 5)]
        minutes = (one[-1][0] - one[0][0]) / 60
        print(
            f"daemon {number}, {minutes:.1f} minutes: MB at its quarters", *map("{:.1f}".format, at)
        )
    print("happened:", ", ".join(f"{number} {name}" for name, number in life.numbers.items()))
    said = Counter(json.loads(line)["event"] for line in (folder / "log").read_text().splitlines())
    print("logged:", ", ".join(f"{number} {name}" for name, number in said.most_common()))
    print(f"all was at rest {rested:.0f} s after the last fault")
