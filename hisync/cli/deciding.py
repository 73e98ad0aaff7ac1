"""The commands in which a person decides: `changes` and `conflicts`, with what they list and show.

They need no lock: they work beside a running daemon.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from hisync.cli.exits import ExitCode, reported
from hisync.cli.opening import open_to_read, own_name, read_config
from hisync.cli.printing import plain, print_json, print_table, print_text, shown

if TYPE_CHECKING:
    from hisync.deciding.decisions import Decided
    from hisync.deciding.sight import Sight


class ListByDefault(TyperGroup):
    """A group of commands of which `list` is the one that is meant when none is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `list` in where an option or nothing stands in a command's place."""
        names_none = not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names)
        if names_none and not ctx.resilient_parsing:
            args = ["list", *args]
        return super().parse_args(ctx, args)


class Side(StrEnum):
    """The side whose value is to stand."""

    LOCAL = "local"
    REMOTE = "remote"


changes_app = typer.Typer(
    cls=ListByDefault, help="The change log: what waits, what was refused and why. Alone, it lists."
)
conflicts_app = typer.Typer(
    cls=ListByDefault, help="Recorded conflicts, with the values of both sides. Alone, it lists."
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Limit = Annotated[int, typer.Option(min=1, max=10**9, metavar="N", help="At most so many rows.")]
Number = Annotated[int, typer.Argument(min=1, max=2**63 - 1, metavar="ID", show_default=False)]
Seqs = Annotated[
    list[int] | None,
    typer.Argument(min=1, max=2**63 - 1, metavar="SEQ", help="Changes by their numbers."),
]
AllRejected = Annotated[
    bool, typer.Option("--all-rejected", help="All that stand rejected, instead of numbers.")
]


@changes_app.command("list")
@reported
def changes_list(
    context: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Finished changes too, not only what needs attention.")
    ] = False,
    as_json: AsJson = False,
    limit: Limit = 100,
) -> None:
    """List what waits and what was rejected, newest first."""
    from hisync.mirror import changes

    with open_to_read(read_config(context.obj)) as mirror, mirror.reading() as connection:
        rows = [plain(row) for row in changes.list_changes(connection, everything, limit + 1)]
    rows = _at_most(limit, rows)
    if as_json:
        print_json(rows)
        return
    columns = ("seq", "table_name", "row_guid", "op", "state", "changed_at", "what", "error")
    listed = [
        row | {"what": ", ".join(row["new_values"] or row["old_values"] or ())} for row in rows
    ]
    print_table(columns, listed, empty="no change waits or was rejected")


@changes_app.command("retry")
@reported
def changes_retry(
    context: typer.Context, seqs: Seqs = None, all_rejected: AllRejected = False
) -> None:
    """Try rejected changes again; what somebody has changed since is left as it is."""
    from hisync.deciding.retrying import retry_changes

    chosen = _chosen(seqs, all_rejected=all_rejected)
    with open_to_read(read_config(context.obj)) as mirror:
        decided = retry_changes(mirror, chosen, _now())
    _end(decided)


@changes_app.command("discard")
@reported
def changes_discard(
    context: typer.Context, seqs: Seqs = None, all_rejected: AllRejected = False
) -> None:
    """Drop rejected changes, and take back changes that wait."""
    from hisync.deciding.discarding import discard_changes

    chosen = _chosen(seqs, all_rejected=all_rejected)
    with open_to_read(read_config(context.obj)) as mirror:
        decided = discard_changes(mirror, chosen, _now())
    _end(decided)


@conflicts_app.command("list")
@reported
def conflicts_list(context: typer.Context, as_json: AsJson = False, limit: Limit = 100) -> None:
    """List recorded conflicts, newest first."""
    from hisync.mirror import records

    with open_to_read(read_config(context.obj)) as mirror, mirror.reading() as connection:
        rows = [plain(row) for row in records.list_conflicts(connection, limit + 1)]
    rows = _at_most(limit, rows)
    if as_json:
        print_json(rows)
        return
    columns = (
        *("id", "table_name", "row_guid", "field", "base_value", "local_value"),
        *("remote_value", "resolution", "policy", "detected_at"),
    )
    print_table(columns, rows, empty="no conflict was recorded")


@conflicts_app.command("show")
@reported
def conflicts_show(context: typer.Context, number: Number, as_json: AsJson = False) -> None:
    """Show a conflict in full: its row, all values, what stands now and what can be done."""
    from hisync.deciding.sight import load_sight

    with open_to_read(read_config(context.obj)) as mirror, mirror.reading() as connection:
        sight = load_sight(connection, number)
    advice = _advice(sight, own_name(context.obj))
    if as_json:
        print_json(_facts(sight) | {"advice": advice})
    else:
        _print_sight(sight)
        print_text(advice)


@conflicts_app.command("resolve")
@reported
def conflicts_resolve(
    context: typer.Context,
    number: Number,
    take: Annotated[Side, typer.Option(help="The side whose value is to stand.")],
    as_json: AsJson = False,
) -> None:
    """Let one side's value stand; the other side's is written as a new local edit."""
    from hisync.deciding.resolving import resolve_conflict

    with open_to_read(read_config(context.obj)) as mirror:
        resolved = resolve_conflict(mirror, number, take.value, _now())
    if as_json:
        facts = {"id": resolved.number, "resolution": resolved.resolution}
        print_json(facts | {"change": resolved.change, "text": resolved.text})
    else:
        print_text(f"conflict {resolved.number}: {resolved.text}")


def _at_most(limit: int, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """So many rows; that there are more is said on stderr, where it is in no script's way."""
    if len(rows) > limit:
        typer.echo(f"only the newest {limit} are listed: --limit N lists more", err=True)
    return rows[:limit]


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _chosen(seqs: list[int] | None, *, all_rejected: bool) -> list[int] | None:
    if bool(seqs) == all_rejected:
        message = "give the numbers of changes, or --all-rejected"
        raise typer.BadParameter(message, param_hint="SEQ")
    return seqs or None


def _end(decided: Iterable[Decided]) -> None:
    """Say what became of each change, and end with whether everything asked for was done."""
    decided = list(decided)
    for one in decided:
        print_text(f"change {one.seq}: {one.text}")
    if not decided:
        typer.echo("no change stands rejected")
    raise typer.Exit(ExitCode.DONE if all(one.done for one in decided) else ExitCode.HELD)


def _facts(sight: Sight) -> dict[str, Any]:
    row = sight.row
    return {
        **sight.conflict,
        "title": row.values["title"] if row else None,
        "present_table": row.table if row else None,
        "present_value": sight.cell.text if sight.cell else None,
    }


def _print_sight(sight: Sight) -> None:
    of, row = sight.conflict, sight.row
    title = repr(row.values["title"]) if row else "its row is in no table now"
    lines = {
        "row": f"{row.table if row else of['table_name']} {of['row_guid']}, {title}",
        "field": of["field"] or "the row as a whole",
        "base": _value(of["base_value"]),
        "here": "deleted" if of["field"] is None else _value(of["local_value"]),
        "hiTask": _value(of["remote_value"]),
        "stands": f"{of['resolution'] or 'nothing yet'} (policy {of['policy']})",
        "detected": shown(of["detected_at"]),
        "resolved": shown(of["resolved_at"]) or "not yet",
    }
    if sight.cell is not None:
        lines["now"] = _value(sight.cell.text)
    print_text(f"conflict {of['id']}")
    for name, text in lines.items():
        print_text(f"  {name:<9} {text}")


def _advice(sight: Sight, hisync: str) -> str:
    """What can be done about a conflict, with the exact command."""
    if sight.obstacle is not None:
        return sight.obstacle
    number, stands = sight.conflict["id"], sight.conflict["resolution"]
    commands = " or ".join(
        f"{hisync} conflicts resolve {number} --take {side}"
        for side in Side
        if side != stands or sight.lapsed
    )
    if sight.conflict["field"] is None and stands == Side.REMOTE:
        return f"to delete the row after all: {commands}"
    return f"to take the other value: {commands}"


def _value(text: str | None) -> str:
    return "(empty)" if text is None else text
