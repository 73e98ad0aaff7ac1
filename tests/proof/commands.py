"""What the commands of the proof have in common.

Public: `make_parser`, `prepare_backend`, `each_result`.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from typing import TypeVar

import pytest

from tests.proof.served import warm_up
from tests.proof.sim import quietly
from tests.world import Backend

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


def make_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """A parser for `python -m tests.NAME` with the options that each has."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.{name}", description=description)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--seconds", type=float, default=0, help="stop after so many")
    parser.add_argument("-x", action="store_true", help="stop at the first failure")
    parser.add_argument("--postgresql", action="store_true", help="not on SQLite files")
    return parser


def prepare_backend(options: argparse.Namespace) -> Backend | None:
    """The engine that was asked for, ready to be used; None if it can't be had, which is said."""
    quietly()
    if not options.postgresql:
        return "sqlite"
    try:
        warm_up()
    except pytest.skip.Exception as reason:
        print(f"nothing was run: {reason}")
        return None
    return "postgresql"


def each_result(
    run: Callable[[_Job], _Result], jobs: Sequence[_Job], options: argparse.Namespace
) -> Iterator[_Result]:
    """What each job gives, as they end; the rest is dropped when the time is up or on a signal."""
    started = time.monotonic()
    # As Ctrl-C: whoever ends it still gets the count of what was run.
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if options.jobs == 1 or len(jobs) == 1:
            yield from _in_time(map(run, jobs), started, options)
            return
        with get_context("fork").Pool(options.jobs, _leave_signals_to_the_parent) as pool:
            yield from _in_time(pool.imap_unordered(run, jobs), started, options)
    except KeyboardInterrupt:
        print("ended before its time")
    finally:
        signal.signal(signal.SIGTERM, former)


def _in_time(
    results: Iterator[_Result], started: float, options: argparse.Namespace
) -> Iterator[_Result]:
    for result in results:
        yield result
        if options.seconds and time.monotonic() - started > options.seconds:
            return


def _leave_signals_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # how the pool ends its processes
