"""The one screen of `hisync status`. Public: `print_status`, `status_as_dict`."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import typer

from hisync.cli.advice import Advice, in_words
from hisync.cli.cleaning import one_line
from hisync.cli.examples import EXAMPLES
from hisync.cli.health import Status

_ENDLESS: Final = 1_000_000
"""The width of a pipe: whole lines."""


def status_as_dict(status: Status, advice: Sequence[Advice]) -> dict[str, Any]:
    """For `--json`: the facts, and what they mean."""
    judged = {"well": not advice, "advice": [str(one) for one in advice]}
    return {**judged, **asdict(status), "held": status.held}


def print_status(status: Status, advice: Sequence[Advice]) -> None:
    """What is not well, with the commands that mend it; then the facts."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _ENDLESS
    typer.echo(f"{'needs attention' if advice else 'all is well'}: {status.database}")
    for one in advice:
        _print_advice(one, width)
    for name, text in _facts(status):
        _print_wrapped(f"{name:<13} ", text, width)


def _print_advice(advice: Advice, width: int) -> None:
    _print_wrapped("  ! ", advice.what, width)
    for row in advice.rows:
        _print_wrapped("      ", row, width)
    longest = max((len(command) for command, _ in advice.commands), default=0)
    for command, why in advice.commands:
        # Never wrapped: it is there to be copied, comment and all.
        typer.echo(f"    {command:<{longest}}  # {why}")


def _print_wrapped(first: str, text: str, width: int) -> None:
    rest = " " * (len(first) + (2 if not first.strip() else 0))
    lines = textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    typer.echo("\n".join(lines) or first.rstrip())


def _facts(status: Status) -> list[tuple[str, str]]:
    rows = ", ".join(f"{number} {table}" for table, number in status.rows.items() if number)
    return [
        ("daemon", "none" if status.pid is None else f"running, process {status.pid or 'unknown'}"),
        ("last cycle", _last_cycle(status)),
        ("cursor", f"{one_line(status.cursor or 'none yet')} (delta: {status.delta})"),
        ("rows", rows or "none"),
        ("comments", _comments(status)),
        ("changes", _changes(status)),
        ("conflicts", f"{status.conflicts_open} open, {status.conflicts} recorded"),
        ("rate budget", _budget(status)),
        ("last hour", _last_hour(status)),
        *(("server lacks", what) for what in status.lacks),
        *(("time zone", what) for what in _time_zone(status)),
        *(("duplicates", what) for what in _duplicates(status)),
    ]


def _time_zone(status: Status) -> Iterator[str]:
    if status.unknown_zone is not None:
        yield f"UTC, since the account's, {status.unknown_zone!r}, is none: set hitask.time_zone"


def _duplicates(status: Status) -> Iterator[str]:
    for one in status.duplicates[:EXAMPLES]:
        ids = ", ".join(map(str, one["ids"]))
        guid = one_line(one["guid"])
        yield f"items {ids} have one guid on hiTask, {guid}; each has a row of its own here"
    if more := len(status.duplicates[EXAMPLES:]):
        yield f"{more} more guids"


def _budget(status: Status) -> str:
    used = f"{status.requests_last_minute} of {status.requests_per_minute} requests"
    said = f"{used} booked in the last minute"
    allowed = status.requests_allowed
    if allowed is not None and allowed < status.requests_per_minute:
        said += f"; slowed down to {allowed} because hiTask complained"
    return said


def _last_hour(status: Status) -> str:
    total = sum(status.requests_last_hour.values())
    if not total:
        return "no requests"
    causes = ", ".join(f"{number} {cause}" for cause, number in status.requests_last_hour.items())
    failed = f"; {status.requests_failed} did not go well" if status.requests_failed else ""
    return f"{total} request{'' if total == 1 else 's'}: {causes}{failed}"


def _last_cycle(status: Status) -> str:
    last, age = status.last_cycle, status.age
    if last is None or age is None:
        return "none yet"
    finished = datetime.fromtimestamp(last["finished_at"], UTC)
    did = ", ".join(f"{name} {last[name]}" for name in ("pulled", "pushed", "conflicts"))
    return f"{finished:%Y-%m-%d %H:%M:%SZ}, {in_words(age)} ago: {did}"


def _comments(status: Status) -> str:
    read, total = status.discussions["read"], status.discussions["total"]
    if not status.comments:
        return "not mirrored (sync.comments is off)"
    if read == total:
        return f"all read, of {total} items that have any"
    left = in_words(status.comments_forecast)
    return f"read of {read} of the {total} items that have any; the others in about {left}"


def _changes(status: Status) -> str:
    states = ", ".join(f"{number} {state}" for state, number in status.changes.items())
    if states and status.direction == "pull-only":
        states += " (sync.direction is pull-only: nothing is sent)"
    return states or "none waiting, none rejected"
