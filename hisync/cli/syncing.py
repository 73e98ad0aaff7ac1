"""The commands that move data: `sync`, `run`, `db`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hisync.cli.cleaning import one_line
from hisync.cli.exits import ExitCode, reported
from hisync.cli.opening import lacks_mirror, open_configured, open_engine, own_name, read_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hisync.cycle import Preview, Summary
    from hisync.plan.actions import Send

HOOK_PATIENCE = 60.0
"""Seconds that `sync` gives the hooks in the end."""

db_app = typer.Typer(help="The mirror's schema.", no_args_is_help=True)


@reported
def sync(
    context: typer.Context,
    pull_only: Annotated[
        bool, typer.Option("--pull-only", help="Only fetch; local edits wait.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Read everything again, not just the changes.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")
    ] = False,
    allow_removals: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Carry out held removals, if they are N at most.",
        ),
    ] = 0,
    allow_deletes: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Carry out held deletions, if they are N at most.",
        ),
    ] = 0,
) -> None:
    """One full cycle now: fetch, merge, send. Ends with a summary."""
    from hisync.cli.progress import progress_bar
    from hisync.cli.serving import announced
    from hisync.cycle import preview, run_cycle
    from hisync.errors import ConfigurationError

    config = read_config(context.obj)
    if pull_only and allow_deletes:
        raise ConfigurationError(["--allow-deletes sends deletions, --pull-only sends nothing"])
    if allow_deletes and config.sync.direction == "pull-only":
        raise ConfigurationError(
            ["--allow-deletes sends deletions, but sync.direction is pull-only"]
        )
    with open_engine(config) as engine:
        engine.allow_removals, engine.allow_deletes = allow_removals, allow_deletes
        if dry_run:
            with progress_bar() as engine.progress:
                planned = preview(engine, full=full, pull_only=pull_only)
            typer.echo("\n".join(_preview_lines(planned)))  # at once: there may be many
            return
        with announced(config, engine, patience=HOOK_PATIENCE) as announce:
            with progress_bar() as engine.progress:
                summary = run_cycle(engine, full=full, pull_only=pull_only)
            announce(None)
    _print_summary(summary, own_name(context.obj))
    raise typer.Exit(_exit_code(summary, sent=engine.rules.push and not pull_only))


@reported
def run(
    context: typer.Context,
    standby: Annotated[
        bool,
        typer.Option(
            "--standby", help="Wait while another daemon works on the mirror, then take over."
        ),
    ] = False,
) -> None:
    """The daemon: sync again and again, in the foreground, until SIGTERM or SIGINT."""
    import threading

    from hisync.cli.serving import serve
    from hisync.daemon import stop_on_signals
    from hisync.errors import HisyncError, LockedError

    config = read_config(context.obj)
    stop = threading.Event()
    with stop_on_signals(stop):
        try:
            serve(config, stop, standby=standby)
        except LockedError as error:
            raise HisyncError(str(error)) from None  # a daemon does not wait for another one


@db_app.command("upgrade")
@reported
def db_upgrade(context: typer.Context) -> None:
    """Bring the schema to this version's, and put missing capture triggers back."""
    config = read_config(context.obj)
    lacks_mirror(config)  # which is made here, but nobody asked for one without a configuration
    with open_configured(config) as mirror:
        mirror.lock()
        before, after = mirror.upgrade()
    typer.echo(f"schema {after}" + (f" (was {before or 'empty'})" if before != after else ""))


@db_app.command("current")
@reported
def db_current(context: typer.Context) -> None:
    """Which revision the schema is at."""
    from hisync.errors import MirrorError
    from hisync.mirror import migrate

    config = read_config(context.obj)
    if path := lacks_mirror(config):
        raise MirrorError(f"there is no mirror at {path} yet: run `hisync sync` to make it")
    with open_configured(config) as mirror:
        at = mirror.revision()
    newest = migrate.head()
    typer.echo(f"{at or 'empty'}" + (" (newest)" if at == newest else f" (newest is {newest})"))


@db_app.command("copy")
@reported
def db_copy(
    context: typer.Context,
    to: Annotated[
        str, typer.Option("--to", metavar="URL", help="An empty database of either engine.")
    ],
    schema: Annotated[
        str | None,
        typer.Option(help="A PostgreSQL schema there. Otherwise database.schema, or the role's."),
    ] = None,
) -> None:
    """Move the mirror to another database, with unsent changes and all that it remembers."""
    from hisync.cli.moving import move
    from hisync.cli.progress import progress_bar

    config = read_config(context.obj)
    with progress_bar() as tell:
        lines = move(config, to, schema, tell)
    for line in lines:
        typer.echo(line)


def _exit_code(summary: Summary, *, sent: bool) -> ExitCode:
    unfinished = set(summary.waiting) & {"pending", "unknown", "sending"}
    if summary.trouble is not None or (sent and unfinished):
        return ExitCode.LATER
    if summary.rejected or summary.held or "held" in summary.waiting:
        return ExitCode.HELD
    return ExitCode.DONE


def _print_summary(summary: Summary, hisync: str) -> None:
    """Say what a cycle did; `hisync` is how to call it again."""
    typer.echo(
        f"pulled {summary.pulled} rows, pushed {summary.pushed} changes, "
        f"{summary.conflicts} conflicts, {summary.requests} requests, {summary.seconds:.1f} s"
    )
    for table, number in summary.held.items():
        typer.echo(
            f"held: {number} rows of {table} are gone from hiTask; if that is right, run "
            f"`{hisync} sync --allow-removals {sum(summary.held.values())}`"
        )
    if summary.waiting.get("held"):
        number = summary.waiting["held"]
        typer.echo(
            f"held: {number} deletions, more than safety.max_push_deletes an hour; if that is "
            f"right, run `{hisync} sync --allow-deletes {number}`"
        )
    if summary.rejected:
        typer.echo(f"rejected: {summary.rejected} changes; see `{hisync} changes list`")
    waiting = {state: n for state, n in summary.waiting.items() if state != "held"}
    if waiting:
        states = ", ".join(f"{n} {state}" for state, n in waiting.items())
        typer.echo(f"waiting: {states}; see `{hisync} changes list`")
    if summary.trouble is not None:
        typer.echo(f"stopped early: {one_line(str(summary.trouble))}")


def _preview_lines(planned: Preview) -> Iterator[str]:
    yield (
        f"would change {planned.pulled.rows} rows of the mirror, recording "
        f"{planned.pulled.conflicts} conflicts"
    )
    for table, number in planned.pulled.held.items():
        yield f"would hold {number} removals from {table}"
    for step in planned.steps:
        for send in (step.send, *step.rest):
            yield f"would send {_call(send)} ({step.table} {step.guid})"
    for said in planned.comments:
        call = "DELETE" if said.op == "delete" else "POST"
        text = "" if said.op == "delete" else f" {said.comment.message!r}"
        yield f"would send {call} /item/comment{text} (comments {said.guid})"
    for seq, reason in planned.refused.items():
        yield f"would reject change {seq}: {one_line(reason)}"
    if planned.held:
        yield f"would hold {planned.held} deletions, more than safety.max_push_deletes an hour"
    if not planned.steps and not planned.comments:
        yield "would send nothing"
    if planned.histories:
        yield f"would read comments: GET /item/history of {planned.histories} items"


def _call(send: Send) -> str:
    from hisync.plan.actions import SendArchive, SendCreate, SendUpdate

    match send:
        case SendCreate(values):
            return f"POST /item {values.get('title')!r}"
        case SendUpdate(changes):
            return f"PUT /item {', '.join(changes)}"
        case SendArchive():
            return "POST /item/archive"
        case _:
            return "DELETE /item"
