"""Measure hisync beside the floors and beside other tools, in one run on one machine.

    pip install -e '.[dev,bench]' && python -m tests.benchmarks

Whole processes, start-up included, medians of interleaved runs. Nothing fails here: figures are
read. `--plot FILE` draws first mirrors beside one another, and how cost grows with the account.
"""

from __future__ import annotations

import argparse
import compileall
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from tests.benchmarks.floors import CONNINFO
from tests.benchmarks.measure import (
    HISYNC,
    ROOT,
    Cost,
    Costs,
    configure,
    daemon_cycles,
    interleaved,
    run,
    service,
    watch_daemon,
)
from tests.benchmarks.service import CHANGED, GONE
from tests.postgres import server

ONE_LANE = [
    *(sys.executable, "-c"),
    "from hisync.api import turns; turns.LANES = 1; from hisync.cli import main; main()",
]
"""hisync as it would be if it sent one request after another."""

FLOOR = "floor: httpx, orjson, one executemany"

RUNNING_FLOOR = "floor, without its start"

PARTS = ("startup", "full", "large", "postgresql", "delta", "daemon", "update", "push", "growth")


def main() -> None:
    """Run the parts that were asked for, and print their tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--items", type=int, default=100_000, help="of the large account")
    parser.add_argument("--runs", type=int, default=3, help="of each contender")
    parser.add_argument("--only", choices=PARTS, action="append", help="may be repeated")
    parser.add_argument("--plot", type=Path, help="where the plot goes, as SVG")
    options = parser.parse_args()
    compileall.compile_dir(str(ROOT / "hisync"), quiet=1)  # as pip does when it installs
    beside: dict[int, dict[str, Costs]] = {}
    grown: dict[int, Cost] = {}
    parts: dict[str, Callable[[], object]] = {
        "startup": lambda: startup(options.runs),
        "full": lambda: beside.update({10_000: full(10_000, options.runs)}),
        "large": lambda: beside.update({options.items: full(options.items, options.runs)}),
        "postgresql": lambda: postgresql((10_000, options.items), options.runs),
        "delta": lambda: delta(options.items, options.runs),
        "daemon": daemon,
        "update": lambda: update(options.items, options.runs),
        "push": push,
        "growth": lambda: grown.update(growth()),
    }
    for part in options.only or PARTS:
        parts[part]()
    if options.plot is not None:
        draw(beside, grown, options.plot)


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="hisync-bench-") as name:
        yield Path(name)


def tell(text: str) -> None:
    """Say how far it is."""
    print(text, file=sys.stderr, flush=True)


def floor(name: str, url: str, where: Path) -> Cost:
    """Run one of the floors."""
    return run([sys.executable, "-m", "tests.benchmarks.floors", name, url, str(where)], where)


def head(title: str, *columns: str) -> None:
    """Print the head of a table."""
    print(f"\n### {title}\n\n| | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")


def table(title: str, costs: dict[str, Costs], beside: str) -> None:
    """Print what each took, and how many times that of one of them."""
    head(title, "wall, s", "CPU, s", "peak, MB", "wall ×", "CPU ×")
    for name, cost in costs.items():
        times = (cost.median(what) / costs[beside].median(what) for what in ("wall", "cpu"))
        cells = [cost.shown(what) for what in ("wall", "cpu", "peak")]
        print(f"| {name} | {' | '.join(cells)} | {' | '.join(f'{t:.2f}' for t in times)} |")
    sys.stdout.flush()


def startup(runs: int) -> None:
    """How long commands take that do little."""
    libraries = [sys.executable, "-c", "import typer, rich.console, sqlalchemy"]
    with folder() as where, service(1000) as url:
        configure(where, url)
        run([*HISYNC, "sync"], where)
        commands = {
            "Python alone": [sys.executable, "-c", ""],
            "import typer, rich, sqlalchemy": libraries,
            "hisync --help": [*HISYNC, "--help"],
            "hisync status": [*HISYNC, "status"],
        }
        costs = interleaved(
            {name: partial(run, command, where) for name, command in commands.items()},
            2 * runs,
            tell,
        )
    table("Start-up", costs, "import typer, rich, sqlalchemy")


def full(items: int, runs: int) -> dict[str, Costs]:
    """A first mirror, ours and others'."""
    with folder() as where, service(items) as url:

        def hisync() -> Cost:
            configure(where, url)
            return run([*HISYNC, "sync"], where)

        contenders: dict[str, Callable[[], Cost]] = {
            FLOOR: partial(floor, "httpx", url, where),
            "floor, streaming: ijson": partial(floor, "ijson", url, where),
            "hisync": hisync,
            "sqlite-utils": partial(floor, "sqlite-utils", url, where),
        }
        if items <= 10_000:
            contenders["dlt"] = partial(floor, "dlt", url, where)
        costs = interleaved(contenders, runs, tell)
    table(f"First mirror of {items:,} items", costs, FLOOR)
    return costs


def postgresql(sizes: Sequence[int], runs: int) -> None:
    """A first mirror into PostgreSQL, whose own processes count for the wall time only."""
    own = server()
    beside, start = "floor: httpx, orjson, COPY, one upsert", "with a single item"

    def measured(where: Path, contender: Callable[[str], Cost]) -> Cost:
        database = own.create()
        (where / CONNINFO).write_text(own.conninfo(database))
        try:
            return contender(own.url(database))
        finally:
            own.drop(database)

    for items in sizes:
        with folder() as where, service(items) as url, service(1) as empty:

            def hisync(url: str, database: str, where: Path = where) -> Cost:
                configure(where, url, database=database)
                return run([*HISYNC, "sync"], where)

            def copied(url: str, _: str, where: Path = where) -> Cost:
                return floor("copy", url, where)

            contenders: dict[str, Callable[[], Cost]] = {
                name: partial(measured, where, partial(contender, address))
                for contender, called in ((copied, beside), (hisync, "hisync"))
                for name, address in ((called, url), (f"{called}, {start}", empty))
            }
            costs = interleaved(contenders, runs, tell)
        title = f"First mirror of {items:,} items in PostgreSQL"
        table(title, {name: costs[name] for name in (beside, "hisync")}, beside)
        rest = {name: costs[name] - costs[f"{name}, {start}"] for name in (beside, "hisync")}
        table(f"{title}, without what a single item takes", rest, beside)


def delta(items: int, runs: int) -> None:
    """A delta that names every item, with 100 changed and 10 gone, after a first mirror."""
    with folder() as where, service(items) as url:
        configure(where, url)
        for _ in range(2):  # the first delta shows that deltas name every item here
            run([*HISYNC, "sync"], where)
        floor("httpx", url, where)
        kept = where / "kept"  # in no process's memory, which would count for each that it starts
        kept.mkdir()
        for path in where.glob("*.db"):
            shutil.copy(path, kept)

        def again(measured: Callable[[], Cost]) -> Cost:
            for path in (*where.glob("*.db-wal"), *where.glob("*.db-shm")):
                path.unlink()
            for path in kept.iterdir():
                shutil.copy(path, where)
            return measured()

        costs = interleaved(
            {
                "floor": lambda: again(partial(floor, "delta", url, where)),
                "hisync sync": lambda: again(partial(run, [*HISYNC, "sync"], where)),
                "hisync status, its start-up": lambda: run([*HISYNC, "status"], where),
            },
            runs,
            tell,
        )
        title = f"Delta of {items:,}, {CHANGED} changed, {GONE} gone"
        table(f"{title} (looked at twice)", costs, "floor")
    with folder() as where, service(items, times=2) as url:
        table(f"{title}, in the running daemon", running(where, url, runs), RUNNING_FLOOR)


def running(where: Path, url: str, runs: int) -> dict[str, Costs]:
    """The same in a daemon that has seen its like before, beside the floor without its start."""
    start = [sys.executable, "-c", "import httpx, orjson, sqlite3; httpx.Client().close()"]
    found: dict[str, list[Cost]] = {}
    for number in range(runs):
        tell(f"  in the running daemon, run {number + 1} of {runs}")
        floor("httpx", url, where)
        bare = floor("delta", url, where) - run(start, where)
        configure(where, url, poll_interval="2")
        run([*HISYNC, "sync"], where)
        *_, changed, quiet = daemon_cycles(where, 5)
        costs = {
            RUNNING_FLOOR: bare,
            "hisync, both looks": changed,
            "hisync, a quiet look": quiet,
            "hisync, without the look that confirms": changed - quiet,
        }
        for name, cost in costs.items():
            found.setdefault(name, []).append(cost)
    return {name: Costs(each) for name, each in found.items()}


def daemon() -> None:
    """Quiet cycles of a running daemon, and an idle minute."""
    head("The daemon", "CPU, ms a cycle", "peak, MB")
    for items in (10_000, 100_000):
        with folder() as where, service(items - 10) as url:
            configure(where, url, poll_interval="1")
            run([*HISYNC, "sync"], where)
            tell(f"  a daemon on {items} items for 20 s")
            seen = watch_daemon(where, 20)
            each = seen.cpu / max(1, seen.cycles) * 1000
            print(f"| quiet cycle, {items:,} items | {each:.0f} | {seen.peak:.0f} |", flush=True)
    with folder() as where, service(10_000) as url:
        configure(where, url)
        run([*HISYNC, "sync"], where)
        tell("  an idle minute")
        seen = watch_daemon(where, 60)
        print(f"| idle minute, 10,000 items | {seen.cpu * 1000:.0f} in all | {seen.peak:.0f} |")


def update(items: int, runs: int) -> None:
    """One UPDATE of every row by a user's SQL client, with and without the capture triggers."""
    with folder() as where, service(items) as url:
        configure(where, url)
        run([*HISYNC, "sync"], where)
        captured, bare, used = (where / f"{name}.db" for name in ("hisync", "bare", "used"))
        shutil.copy(captured, bare)
        with closing(sqlite3.connect(bare, isolation_level=None)) as client:
            triggers = client.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
            for (name,) in triggers.fetchall():
                client.execute(f"DROP TRIGGER {name}")
        logged: set[int] = set()

        def timed(kept: Path) -> Cost:
            shutil.copy(kept, used)  # each finds the mirror as it is after a sync
            with closing(sqlite3.connect(used, isolation_level=None)) as client:
                client.execute("BEGIN")
                started, cpu = time.perf_counter(), time.process_time()
                for name in ("projects", "tasks", "events", "notes"):
                    client.execute(f"UPDATE {name} SET title = title || '!'")
                client.execute("COMMIT")
                cost = Cost(time.perf_counter() - started, time.process_time() - cpu, 0)
                logged.update(client.execute("SELECT count(*) FROM change_log").fetchone())
            return cost

        contenders: dict[str, Callable[[], Cost]] = {
            "without triggers": partial(timed, bare),
            "captured": partial(timed, captured),
        }
        costs = interleaved(contenders, runs, tell)
    table(f"A user's UPDATE of {max(logged):,} rows", costs, "without triggers")


def push() -> None:
    """Local edits: to be planned, and on their way to services that take their time or don't."""
    head("Pushing edits", "edits", "wall, s", "CPU per edit, ms")

    def measured(name: str, edits: int, latency: float, command: Sequence[str]) -> None:
        items = max(1000, 2 * edits)
        with folder() as where, service(items, latency) as url:
            configure(where, url)
            run([*HISYNC, "sync"], where)
            idle = run(command, where)
            with closing(sqlite3.connect(where / "hisync.db")) as client, client:
                edited = client.execute(
                    "UPDATE tasks SET title = title || '!' WHERE guid IN (SELECT guid FROM tasks "
                    # Away from what the service itself changes next.
                    f"WHERE permission = 100 AND id BETWEEN {CHANGED} + 1 AND {items} - {GONE} "
                    f"LIMIT {edits})"
                ).rowcount
            tell(f"  {edited} edits, {name}")
            cost = run(command, where)
        each = (cost.cpu - idle.cpu) / edited * 1000
        print(f"| {name} | {edited:,} | {cost.wall - idle.wall:.1f} | {each:.1f} |", flush=True)

    measured("planned alone: `--dry-run`", 10_000, 0.0, [*HISYNC, "sync", "--dry-run"])
    measured("sent, no latency", 500, 0.0, [*HISYNC, "sync"])
    measured("sent, latency 100 ms", 100, 0.1, [*HISYNC, "sync"])
    measured("the same, one after another", 100, 0.1, [*ONE_LANE, "sync"])


def growth() -> dict[int, Cost]:
    """First mirrors of accounts from a thousand items to a million."""
    costs = {}
    for items in (1_000, 10_000, 100_000, 1_000_000):
        with folder() as where, service(items) as url:
            configure(where, url)
            tell(f"  a first mirror of {items:,} items")
            costs[items] = run([*HISYNC, "sync"], where)
    head("Growth", "wall, s", "CPU, s", "µs CPU each", "peak, MB")
    for items, cost in costs.items():
        each = cost.cpu / items * 1e6
        print(f"| {items:,} | {cost.wall:.1f} | {cost.cpu:.1f} | {each:.0f} | {cost.peak:.0f} |")
    return costs


def draw(beside: Mapping[int, dict[str, Costs]], grown: Mapping[int, Cost], file: Path) -> None:
    """Draw what was measured: contenders beside the floor, and cost against the number of items."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "hisync"
    from matplotlib import pyplot as plt

    panels = len(beside) + 2 * bool(grown)
    rows = (panels + 1) // 2
    figure, axes = plt.subplots(
        rows, 2, figsize=(9.5, 3.2 * rows), layout="constrained", squeeze=False
    )
    rest = iter(axes.flat)
    for items, costs in beside.items():
        bars = next(rest)
        shown = dict(reversed(costs.items()))
        ratios = [cost.median("cpu") / costs[FLOOR].median("cpu") for cost in shown.values()]
        bars.bar_label(
            bars.barh([name.replace(", one", ",\none") for name in shown], ratios), fmt="%.1f"
        )
        bars.set(title=f"{items:,} items: CPU, × the floor's", xlim=(0, 1.15 * max(ratios)))
    if grown:
        times, memory = rest
        sizes = list(grown)
        times.loglog(sizes, [cost.cpu for cost in grown.values()], "o-", label="CPU")
        times.loglog(sizes, [cost.wall for cost in grown.values()], "s--", label="wall")
        times.set(title="First mirror, seconds", xlabel="items")
        times.legend()
        memory.semilogx(sizes, [cost.peak for cost in grown.values()], "o-")
        top = 1.1 * max(cost.peak for cost in grown.values())
        memory.set(title="Peak memory, MB", xlabel="items", ylim=(0, top))
        for panel in (times, memory):
            panel.grid(visible=True, alpha=0.3)
    for unused in rest:
        unused.axis("off")
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    main()
