"""The commands that look at the whole: `check` and `status`."""

from __future__ import annotations

from typing import Annotated

import typer

from hisync.cli.exits import ExitCode, reported
from hisync.cli.opening import open_to_read, own_name, read_config
from hisync.cli.printing import print_json

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@reported
def check(
    context: typer.Context,
    offline: Annotated[bool, typer.Option("--offline", help="Don't ask hiTask.")] = False,
) -> None:
    """Look whether everything is in place: one line each, with the fix for what fails.

    The exit code is that of the first thing that fails.
    """
    from hisync.cli.checking import run_checks

    config = read_config(context.obj)
    first = ExitCode.DONE
    for finding in run_checks(config, offline=offline):
        typer.echo(str(finding))
        first = first or finding.fault
    raise typer.Exit(first)


@reported
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Whether all is well, and what to do if not."""
    from hisync.cli.advice import advise
    from hisync.cli.health import load_status
    from hisync.cli.screen import print_status, status_as_dict

    config = read_config(context.obj, logs=False)
    with open_to_read(config, check=False) as mirror:
        found = load_status(config, mirror)
    advice = advise(found, own_name(context.obj))
    if as_json:
        print_json(status_as_dict(found, advice))
    else:
        print_status(found, advice)
