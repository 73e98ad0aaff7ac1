"""The commands to try hisync out: `sandbox` and `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hisync.cli.exits import reported


@reported
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8765,
    items: Annotated[int, typer.Option(min=0, max=1_000_000, help="How many items.")] = 200,
    seed: Annotated[int, typer.Option(help="The same seed makes the same team.")] = 1,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FAULT",
            help="'METHOD path:effect[=detail][:count]', such as 'POST /item:drop_after:1'; "
            "may be repeated.",
        ),
    ] = None,
    trait: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="How this server differs, such as 'delta=false'; may be repeated.",
        ),
    ] = None,
) -> None:
    """A stand-in for hiTask on loopback, with a believable team's data, until interrupted."""
    from hisync.errors import ConfigurationError, HisyncError
    from hisync.sandbox import API_KEY, LOGIN, PASSWORD, build_service, serve

    try:
        service = build_service(items, seed, faults=fault or (), traits=trait or ())
    except ValueError as error:
        raise ConfigurationError([str(error)]) from None

    def announce(base_url: str) -> None:
        typer.echo(f"base_url  {base_url}")
        typer.echo(f"login     {LOGIN}")
        typer.echo(f"password  {PASSWORD}")
        typer.echo(f"api_key   {API_KEY}")
        typer.echo(
            f"{items} items; `curl {base_url.removesuffix('/api')}/sandbox` says how to edit as a "
            "colleague and to switch faults on; Ctrl-C ends it"
        )

    try:
        serve(port, service=service, ready=announce)
    except OSError as error:
        raise HisyncError(f"port {port} can't be used: {error.strerror}") from None


@reported
def demo(
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Keep the database, and a config there.", show_default=False
        ),
    ] = None,
    items: Annotated[int, typer.Option(min=1, help="How many items the sandbox has.")] = 200,
    database_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A PostgreSQL database instead of a file."),
    ] = None,
    schema: Annotated[
        str, typer.Option(help="With --database-url: a new schema, dropped in the end.")
    ] = "hisync_demo",
) -> None:
    """See it work: a sandbox, its mirror, and an edit in each direction, in seconds."""
    from hisync.demo import run_demo

    run_demo(keep, items, typer.echo, url=database_url, schema=schema)
