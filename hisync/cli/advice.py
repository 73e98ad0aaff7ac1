"""What is not well with a mirror, and the commands that mend it. Pure.

Public: `Advice`, `advise`, `in_words`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hisync.cli.cleaning import one_line
from hisync.cli.health import Status

SLACK: Final = 3600.0
"""Seconds by which cycles without a daemon may be later than a full reading is due."""

_LONGEST_TITLE: Final = 40


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing that is not well.

    Attributes:
        what: what it is.
        rows: the rows that it concerns, one a line.
        commands: what to run, each with what it is for.
    """

    what: str
    rows: Sequence[str] = ()
    commands: Sequence[tuple[str, str]] = ()

    def __str__(self) -> str:
        """All of it in one line."""
        commands = ", ".join(f"`{command}` ({why})" for command, why in self.commands)
        parts = [self.what, "; ".join(self.rows), commands and f"run {commands}"]
        return ": ".join(part for part in parts if part)


def advise(status: Status, name: str) -> list[Advice]:
    """What is not well, the most basic first.

    Args:
        status: the facts.
        name: how hisync is called, its options included.
    """
    found = [*_basics(status, name), *_cycles(status, name)]
    found += [*_held(status, name), *_changes(status, name), *_conflicts(status, name)]
    return found


def _basics(status: Status, name: str) -> Iterator[Advice]:
    if status.fault is not None:
        named = re.findall("`hisync ([^`]+)`", status.fault)
        order = [
            _stop_first(status, "first" if named[1:] else "mends it"),
            *("then" for _ in named),
        ]
        commands = [(f"{name} {rest}", why) for rest, why in zip(named, order, strict=False)]
        yield Advice(status.fault, commands=commands)
    for warning in status.warnings:
        path = shlex.quote(status.config or "config.toml")
        yield Advice(warning, commands=[(f"chmod 600 {path}", "only you read it then")])


def _cycles(status: Status, name: str) -> Iterator[Advice]:
    if status.trouble:
        yield _trouble(status, status.trouble, name)
    if status.age is None:
        if status.pid is None:
            yield Advice("nothing was mirrored yet", commands=[(f"{name} sync", "mirrors it")])
        elif not status.trouble:
            yield Advice("nothing was mirrored yet: a process is at it, look again in a while")
    elif status.pid is None and status.age > max(status.full_every, status.poll_interval) + SLACK:
        yield Advice(
            f"the last cycle is {in_words(status.age)} old and no daemon is running",
            commands=[(f"{name} sync", "one cycle, now"), (f"{name} run", "the daemon")],
        )
    elif status.pid is not None and not status.trouble and status.age > _slow(status):
        yield Advice(
            f"process {status.pid or 'unknown'} holds the mirror and has finished no cycle for "
            f"{in_words(status.age)}: look at its log"
        )


def _trouble(status: Status, trouble: str, name: str) -> Advice:
    if status.refused:
        what = f"hiTask refuses the login, the key or the account: {one_line(trouble)}"
        return Advice(what, commands=[(f"{name} check", _then_restart(status))])
    what = f"hiTask could not be asked the last time: {one_line(trouble)}"
    if status.rest_left > 0:
        return Advice(f"{what}; it wants to be left alone for {in_words(status.rest_left)}: wait")
    return Advice(what, commands=[(f"{name} check", _then_restart(status))])


def _then_restart(status: Status) -> str:
    again = "; restart the daemon once its config is mended" if status.pid else ", and the fix"
    return f"names what fails{again}"


def _slow(status: Status) -> float:
    """Seconds after which a daemon should have finished another cycle."""
    return 3.0 * max(status.poll_interval, status.quiet_interval) + 60.0


def _held(status: Status, name: str) -> Iterator[Advice]:
    if status.held:
        total = sum(status.held.values())
        why = "these rows no more, which is more of a table than safety.max_removals allows"
        if status.nothing_shown:
            why = "no item at all any more, which looks like a mistake"
        yield Advice(
            f"held: {_count(total, 'removal')}: hiTask shows {why}, so they stay here",
            [_some_of(table, n, status.held_rows) for table, n in status.held.items()],
            [(f"{name} sync --allow-removals {total}", _stop_first(status, "if that is right"))],
        )
    if number := status.changes.get("held"):
        newest = status.held_deletes[0]["seq"]
        yield Advice(
            f"held: {_count(number, 'deletion')} made here, more than safety.max_push_deletes an "
            "hour",
            [f"{row['seq']}: {_named(row)}" for row in status.held_deletes],
            [
                (f"{name} sync --allow-deletes {number}", _stop_first(status, "if that is right")),
                (f"{name} changes discard {newest}", "if not: takes it back"),
            ],
        )


def _changes(status: Status, name: str) -> Iterator[Advice]:
    if number := status.changes.get("rejected"):
        newest = status.rejected[0]["seq"]
        yield Advice(
            f"rejected: {_count(number, 'change')}",
            [f"{r['seq']}: {_named(r)}: {one_line(r['error'] or '')}" for r in status.rejected],
            [
                (f"{name} changes list", "all of them"),
                (f"{name} changes retry {newest}", "once its reason is mended"),
                (f"{name} changes discard {newest}", "to give that edit up"),
            ],
        )
    for row in status.stuck:
        yield Advice(
            f"waiting: {_count(row['waiting'], 'row')} below {_named(row)}, which is not on hiTask "
            f"because change {row['seq']} was rejected: mend that row, and they follow"
        )
    if status.waiting["number"] and status.direction == "two-way" and not status.trouble:
        yield Advice(
            f"waiting: {_count(status.waiting['number'], 'change')} that a cycle passed by, the "
            f"oldest since {status.waiting['oldest']:%Y-%m-%d %H:%M}Z",
            commands=[(f"{name} changes list", "says what for")],
        )


def _conflicts(status: Status, name: str) -> Iterator[Advice]:
    if status.conflicts_open:
        newest = status.open_conflicts[0]["id"]
        yield Advice(
            f"open: {_count(status.conflicts_open, 'conflict')}",
            [f"{r['id']}: {r['field'] or 'all'} of {_named(r)}" for r in status.open_conflicts],
            [
                (f"{name} conflicts list", "the values of both sides"),
                (f"{name} conflicts resolve {newest} --take local", "or remote"),
            ],
        )


def in_words(seconds: float) -> str:
    """How long, in the unit that fits."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _stop_first(status: Status, why: str) -> str:
    """What a command is for, where it can't run beside the process that holds the mirror."""
    return why if status.pid is None else f"{why}; stop process {status.pid or 'unknown'} first"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _some_of(table: str, number: int, rows: Sequence[Mapping[str, Any]]) -> str:
    named = [_title(row) for row in rows if row["table"] == table]
    return f"{number} of {table}" + (f", such as {', '.join(named)}" if named else "")


def _named(row: Mapping[str, Any]) -> str:
    return f"{row['table']} {_title(row)}"


def _title(row: Mapping[str, Any]) -> str:
    """A row's title in quotes, its guid where it has none."""
    line = one_line(row["title"] or "")
    if not line:
        return str(row["guid"])
    return f"'{line if len(line) <= _LONGEST_TITLE else line[: _LONGEST_TITLE - 1] + '…'}'"
