"""Let the daemon run for long, with people at work and faults that come and go.

    python -m tests.soak --days 30 --plot soak.svg   # in virtual time, in minutes
    python -m tests.soak --real 30                   # minutes of real processes and HTTP

In virtual time the daemon is killed once a day in the first half of a month and then lives to its
end. It fails when any 60 seconds saw more requests than the budget, when both sides are not equal
in the end, or when memory grows.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.proof.sim import memory_folder
from tests.soak.plot import plot
from tests.soak.virtual import Soak

GROWTH = 5e6
"""Bytes that memory may grow by, from the last daemon's third day to its last."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--days", type=float, default=30, help="of virtual time, the last 1.25 quiet"
    )
    parser.add_argument("--real", type=float, metavar="MINUTES", help="of real time instead")
    parser.add_argument("--items", type=int, default=300, help="of the account at first")
    parser.add_argument("--budget", type=int, help="requests a minute (60; 30 in real time)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path, help="where a plot of the virtual soak goes")
    options = parser.parse_args(arguments)
    if options.real:
        from tests.soak.real import soak

        with TemporaryDirectory(prefix="soak") as folder:
            budget = options.budget or 30
            faults = soak(Path(folder), options.real, options.items, budget, options.seed)
    else:
        with memory_folder() as folder:
            budget = options.budget or 60
            virtual = Soak(folder, options.days, options.items, budget, options.seed)
            faults = _soak(virtual, options.plot)
    for fault in faults:
        print(f"FAILED: {fault}")
    return 1 if faults else 0


def _soak(soak: Soak, file: Path | None) -> list[str]:
    began = time.monotonic()
    soak.run(_say_day)
    print(f"{soak.days:g} days in {time.monotonic() - began:.0f} s; {len(soak.starts)} starts")
    print("happened:", _in_words(soak.numbers))
    print("logged:", _in_words(dict(soak.events.most_common())))
    total = sum((hour.causes for hour in soak.hours), Counter[str]())
    print(f"{total.total()} requests:", _in_words(dict(total.most_common())))
    print(f"at most {soak.most} requests in any 60 seconds, of {soak.budget}")
    print("rows:", _in_words(soak.rows))
    if file is not None:
        plot(soak, file)
    faults = [f"both sides differ: {one}" for one in soak.wrong[:20]]
    if soak.most > soak.budget:
        faults.append("more requests than the budget")
    if (grown := _growth(soak)) > GROWTH:
        faults.append(f"memory grew by {grown / 1e6:.1f} MB")
    return faults


def _say_day(soak: Soak) -> None:
    if len(soak.hours) % 24:
        return
    day = soak.hours[-24:]
    requests, busiest = sum(hour.causes.total() for hour in day), max(max(h.minutes) for h in day)
    print(
        f"day {len(soak.hours) // 24}: {requests} requests, {busiest} in the busiest minute; "
        f"memory {day[-1].memory / 1e6:.1f} MB, database {day[-1].database / 1e6:.2f} MB, "
        f"{day[-1].machinery} rows of the machinery",
        flush=True,
    )


def _growth(soak: Soak) -> float:
    """Bytes that the last daemon's memory grew by, from its third day to its last."""
    life = [hour.memory for hour in soak.hours[soak.starts[-1] :]]
    first, last = life[48:72], life[-24:]
    return 0.0 if len(life) < 96 else (sum(last) - sum(first)) / 24


def _in_words(numbers: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in numbers.items() if number)


if __name__ == "__main__":
    sys.exit(main())
