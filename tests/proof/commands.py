"""What the commands of the proof have in common. Public: `make_parser`, `prepare_backend`."""

from __future__ import annotations

import argparse
import os

import pytest

from tests.proof.served import warm_up
from tests.proof.sim import quietly
from tests.world import Backend


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
