"""The command line. Each command opens what it needs and no more; `--help` opens nothing.

Public: `app`, `main`.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

import hisync
from hisync.cli import deciding, inspecting, mending, playing, reporting, starting, syncing
from hisync.garbage import spare_end, spare_start

app = typer.Typer(
    name="hisync",
    help="Two-way sync between hiTask and a SQL database.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hisync {hisync.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            help="The configuration file. Otherwise $HISYNC_CONFIG, ./config.toml, "
            "~/.config/hisync/config.toml, /etc/hisync/config.toml.",
            show_default=False,
        ),
    ] = None,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    context.obj = config


app.command("init")(starting.init)
app.command("check")(inspecting.check)
app.command("run")(syncing.run)
app.command("sync")(syncing.sync)
app.command("status")(inspecting.status)
app.add_typer(deciding.changes_app, name="changes")
app.add_typer(deciding.conflicts_app, name="conflicts")
app.command("verify")(mending.verify)
app.command("restore")(mending.restore)
app.add_typer(reporting.report_app, name="report")
app.add_typer(syncing.db_app, name="db")
app.command("sandbox")(playing.sandbox)
app.command("demo")(playing.demo)


def main() -> None:
    """The entry point of the `hisync` command."""
    _fill_closed_streams()
    _escape_what_streams_lack()
    # It has no plugin of pydantic's; looking for one would be a twentieth of a short command.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    spare_start()
    try:
        app(prog_name="hisync")  # also in the completion of `python -m hisync`
    finally:
        spare_end()


def _fill_closed_streams() -> None:
    """Whoever closed them wants no word; but no file of ours may get their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115


def _escape_what_streams_lack() -> None:
    """A name that the output's encoding has no letters for is no reason to end."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
