"""What `hisync db copy` does, and what it says afterwards. Public: `move`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.engine import make_url

from hisync.cli.opening import lacks_mirror, open_configured
from hisync.config.checks import check_database_url, check_schema
from hisync.errors import ConfigurationError, MirrorError
from hisync.mirror.moving import Moved, move_mirror
from hisync.mirror.store import Mirror, open_mirror

if TYPE_CHECKING:
    from hisync.config import Config


def move(
    config: Config, to: str, schema: str | None, tell: Callable[[str, int, int | None], object]
) -> list[str]:
    """Move the configured mirror.

    Args:
        config: the configuration.
        to: the URL of the database that it goes to.
        schema: a schema there; None for that of the configuration.
        tell: is told how far it is.

    Returns:
        What to say.

    Raises:
        ConfigurationError: if the URL or the schema can't be one.
        MirrorError: if it can't be moved: then nothing was changed.
    """
    folder = config.file.parent if config.file else Path.cwd()
    try:
        url = check_database_url(to, folder)
    except ValueError as error:
        raise ConfigurationError([f"--to: {error}"]) from None
    try:
        schema = config.database.schema_name if schema is None else check_schema(schema)
    except ValueError as error:
        raise ConfigurationError([f"--schema: {error}"]) from None
    if path := lacks_mirror(config):
        raise MirrorError(f"there is no mirror at {path} to be moved")
    mode = config.database.file_mode_bits
    with (
        open_configured(config) as source,
        open_mirror(url, file_mode=mode, schema=schema) as target,
    ):
        moved = move_mirror(source, target, tell)
        return list(_said(source, target, url, schema, moved))


def _said(source: Mirror, target: Mirror, url: str, schema: str, moved: Moved) -> Iterator[str]:
    rows = ", ".join(f"{number} {table}" for table, number in moved.rows.items())
    yield f"moved to {target.name}: {rows}" if rows else f"{target.name} is released for use"
    if moved.altered:
        yield (
            f"{moved.altered} values of the past hold what the engine there can't: each such "
            "character is replaced"
        )
    if moved.left:
        yield f"left behind: columns of your own, {', '.join(moved.left)}"
    yield "now write into the configuration, with the password where there are asterisks:"
    yield "[database]"
    yield f'url = "{_hidden(url)}"'
    if schema and url.startswith("postgresql"):
        yield f'schema = "{schema}"'
    yield f"the old mirror, {source.name}, stays as it is; it takes no edits and is not synced"


def _hidden(url: str) -> str:
    """A URL with asterisks for its password, which may also stand among libpq's own settings."""
    return re.sub("([?&](?:ssl)?password=)[^&]*", r"\1***", make_url(url).render_as_string())
