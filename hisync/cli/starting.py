"""The command to begin with: `init` asks, checks, makes the database, and then writes.

A secret is never an option's value, which every user of the machine could read: it is asked for,
read from standard input, or left in a file or in the environment. Public: `init`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hisync.cli.exits import reported
from hisync.cli.opening import open_configured, own_name

if TYPE_CHECKING:
    from hisync.config import Config

_STDIN_TOO = "'-' reads a line of standard input, the password's first."


@reported
def init(
    context: typer.Context,
    login: Annotated[str | None, typer.Option(help="The login on hiTask.")] = None,
    password_file: Annotated[
        str | None, typer.Option(metavar="FILE", help=f"Holds the password. {_STDIN_TOO}")
    ] = None,
    api_key_file: Annotated[
        str | None, typer.Option(metavar="FILE", help=f"Holds the API key. {_STDIN_TOO}")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(metavar="URL", help="The API (https://hitask.com/api).")
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(metavar="FILE|URL", help="The mirror (hisync.db beside the config)."),
    ] = None,
    direction: Annotated[
        Literal["two-way", "pull-only"] | None,
        typer.Option(help="Whether local edits go to hiTask (two-way)."),
    ] = None,
    no_database: Annotated[
        bool, typer.Option("--no-database", help="Leave making the database to the first run.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
) -> None:
    """Ask for the essentials, write a config that only you can read, make the database.

    It asks for what neither an option nor the environment gives.
    """
    from hisync.cli.asking import Answers
    from hisync.config import render_config
    from hisync.logs import configure_logging

    configure_logging("warning", "auto")
    place = _place(context.obj)
    if not force:
        _must_be_free(place)
    answers = Answers(place, os.environ, asking=sys.stdin.isatty() and sys.stdout.isatty())
    answers.take("hitask.login", login)
    answers.take_secret("password", password_file)
    answers.take_secret("api_key", api_key_file)
    answers.take("hitask.base_url", base_url, default="https://hitask.com/api")
    answers.take("database.url", database, default=str(place.with_name("hisync.db")))
    if direction is not None:
        answers.take("sync.direction", direction)
    config = answers.check()
    files = answers.secret_files | {place: render_config(answers.sections)}
    if not force:
        for path in files:
            _must_be_free(path)
    made = None if no_database else _make_database(config)
    _write_private(files, over=force)
    for path in files:
        typer.echo(f"wrote {path} (only you can read it)")
    if made:
        typer.echo(made)
    for note in answers.notes:
        typer.echo(note)
    name = own_name(context.obj)
    typer.echo(
        f"next:\n  {name} check   # does hiTask take the login and the key?\n"
        f"  {name} sync    # the first cycle\n  {name} run     # from then on"
    )


def _place(explicit: Path | None) -> Path:
    """Where the configuration is going to be."""
    named = explicit or Path(os.environ.get("HISYNC_CONFIG") or "config.toml")
    if named.parts[:1] == ("~",):
        named = Path.home().joinpath(*named.parts[1:])
    return Path.cwd() / named


def _must_be_free(path: Path) -> None:
    from hisync.errors import ConfigurationError

    if os.path.lexists(path):
        raise ConfigurationError(
            [f"{path} is there already: overwrite it with --force, or name another --config"]
        )


def _make_database(config: Config) -> str:
    """Bring the database to this version's schema; what was done, in words."""
    path = config.database.sqlite_path
    known = path is not None and path.exists()
    with open_configured(config) as mirror:
        mirror.acquire(upgrade=True)
        where = path or mirror.name
    return f"{where} was there already" if known else f"made {where}"


def _write_private(files: dict[Path, str], *, over: bool) -> None:
    """Write files for their owner alone, each whole or not at all, in this order.

    Args:
        files: their texts.
        over: whether what is there is replaced, or what a link there points to; else it is an
            error.
    """
    import tempfile
    from contextlib import ExitStack

    from hisync.errors import HisyncError

    with ExitStack() as cleanup:
        ready: dict[Path, Path] = {}
        path = next(iter(files))
        try:
            for named, text in files.items():
                path = named.resolve() if over else named
                path.parent.mkdir(parents=True, exist_ok=True)
                # Made with mode 0600, whatever the umask is.
                descriptor, name = tempfile.mkstemp(prefix=".hisync-", dir=path.parent)
                ready[path] = Path(name)
                cleanup.callback(ready[path].unlink, missing_ok=True)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(text.encode())
                    file.flush()
                    os.fsync(file.fileno())
            for path, temporary in ready.items():
                if over:
                    temporary.replace(path)
                else:
                    path.hardlink_to(temporary)  # fails where anything is, unlike a renaming
        except OSError as error:
            raise HisyncError(f"{path} can't be written: {error.strerror}") from None
