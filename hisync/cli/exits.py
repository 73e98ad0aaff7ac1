"""Errors as messages and exit codes. Public: `ExitCode`, `reported`, `exit_code_of`."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import ParamSpec, TypeVar

import typer

from hisync.cli.cleaning import one_line, printable
from hisync.errors import (
    NO_ROOM,
    BusyError,
    ConfigurationError,
    HisyncError,
    LockedError,
    LookAgainError,
    RetryLaterError,
    ServiceError,
    StopError,
)

P = ParamSpec("P")
R = TypeVar("R")


class ExitCode(IntEnum):
    """What hisync's exit codes mean."""

    DONE = 0
    FAILED = 1
    USAGE = 2  # also a faulty configuration
    REFUSED = 3  # by hiTask, for good: login, key or account
    HELD = 4  # done, but something is rejected or held
    LATER = 75  # network, rate, maintenance, another hisync at work


def exit_code_of(error: HisyncError) -> ExitCode:
    """The exit code that an error leads to."""
    match error:
        case ConfigurationError():
            return ExitCode.USAGE
        case StopError():
            return ExitCode.REFUSED
        case RetryLaterError() | LookAgainError() | LockedError() | BusyError():
            return ExitCode.LATER
        case _:
            return ExitCode.FAILED


def reported(command: Callable[P, R]) -> Callable[P, R]:
    """Make a command end with a message and an exit code instead of a traceback."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        with reporting():
            return command(*args, **kwargs)

    return wrapped


@contextmanager
def reporting() -> Iterator[None]:
    """Turn an error into a message on stderr and an exit code."""
    try:
        yield
    except HisyncError as error:
        for line in _lines(error) or [type(error).__name__]:
            print(f"hisync: {line}", file=sys.stderr)  # noqa: T201 - the command line's own words
        raise typer.Exit(exit_code_of(error)) from None
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        text = f"hisync: {error.strerror}: make room for the output, then try again"
        print(text, file=sys.stderr)  # noqa: T201
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - what is left fits nowhere
        raise typer.Exit(ExitCode.FAILED) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _lines(error: HisyncError) -> list[str]:
    """What an error says; hiTask's own words are one line, whatever is in them."""
    if isinstance(error, ServiceError):
        return [one_line(str(error))]
    return [printable(line) for line in str(error).splitlines()]
