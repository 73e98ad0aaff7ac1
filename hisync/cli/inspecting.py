"""The commands that only look: `check`, `status`, `changes list`, `conflicts list`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hisync.cli.exits import ExitCode, reported
from hisync.cli.opening import open_to_read, read_config

if TYPE_CHECKING:
    from hisync.cli.health import Status

changes_app = typer.Typer(help="The change log: what waits, what was refused and why.")
conflicts_app = typer.Typer(help="Recorded conflicts, with the values of both sides.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Limit = Annotated[int, typer.Option(min=1, metavar="N", help="At most so many rows.")]


@reported
def check(
    context: typer.Context,
    offline: Annotated[bool, typer.Option("--offline", help="Don't ask hiTask.")] = False,
) -> None:
    """Look whether everything is in place: one line each, with the fix for what fails."""
    from hisync.cli.checking import run_checks

    config = read_config(context.obj)
    failed = 0
    for finding in run_checks(config, offline=offline):
        typer.echo(str(finding))
        failed += not finding.ok
    raise typer.Exit(ExitCode.FAILED if failed else ExitCode.DONE)


@reported
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Whether all is well, and what to do if not."""
    from hisync.cli.health import load_status

    config = read_config(context.obj)
    with open_to_read(config) as mirror:
        found = load_status(config, mirror)
    if as_json:
        _print_json(found.as_dict())
    else:
        _print_status(found)


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
        rows = [_plain(row) for row in changes.list_changes(connection, everything, limit)]
    if as_json:
        _print_json(rows)
        return
    columns = ("seq", "table_name", "row_guid", "op", "state", "changed_at", "what", "error")
    shown = [
        row | {"what": ", ".join(row["new_values"] or row["old_values"] or ())} for row in rows
    ]
    _print_table(columns, shown, empty="no change waits or was rejected")


@conflicts_app.command("list")
@reported
def conflicts_list(context: typer.Context, as_json: AsJson = False, limit: Limit = 100) -> None:
    """List recorded conflicts, newest first."""
    from hisync.mirror import records

    with open_to_read(read_config(context.obj)) as mirror, mirror.reading() as connection:
        rows = [_plain(row) for row in records.list_conflicts(connection, limit)]
    if as_json:
        _print_json(rows)
        return
    columns = (
        *("id", "table_name", "row_guid", "field", "base_value", "local_value"),
        *("remote_value", "resolution", "policy", "detected_at"),
    )
    _print_table(columns, rows, empty="no conflict was recorded")


def _print_status(found: Status) -> None:
    typer.echo(f"{'all is well' if found.well else 'needs attention'}: {found.database}")
    for advice in found.advice:
        typer.echo(f"  ! {advice}")
    running = "not running" if found.pid is None else f"running, process {found.pid or 'unknown'}"
    typer.echo(f"daemon        {running}")
    typer.echo(f"last cycle    {found.last_cycle_text}")
    typer.echo(f"cursor        {found.cursor or 'none yet'} (delta: {found.delta})")
    rows = ", ".join(f"{n} {table}" for table, n in found.rows.items() if n)
    typer.echo(f"rows          {rows or 'none'}")
    states = ", ".join(f"{n} {state}" for state, n in found.changes.items())
    typer.echo(f"changes       {states or 'none waiting, none rejected'}")
    typer.echo(f"conflicts     {found.conflicts_open} open, {found.conflicts} recorded")
    typer.echo(
        f"rate budget   {found.requests_last_minute} of {found.requests_per_minute} requests "
        "in the last minute"
    )


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of a result with names that are nothing but text."""
    return {str(name): value for name, value in row.items()}


def _print_json(value: Any) -> None:
    import json

    text = json.dumps(value, indent=2, ensure_ascii=False, default=_shown)
    # A cell may hold what is no text at all; it is shown by its bytes rather than not.
    typer.echo(text.encode("utf-8", "backslashreplace").decode())


def _print_table(columns: tuple[str, ...], rows: list[dict[str, Any]], *, empty: str) -> None:
    if not rows:
        typer.echo(empty)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # Text, since what people wrote is no markup.
        table.add_row(*(Text(_shown(row[column])) for column in columns))
    if not console.is_terminal:
        console.width = 100_000  # a pipe gets whole lines
    console.print(table)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return str(value)
