"""What commands print: JSON, tables, and cells of either as text for people.

Public: `print_json`, `print_text`, `print_table`, `print_rich_table`, `plain`, `shown`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import typer

from hisync.cli.cleaning import one_line, printable

if TYPE_CHECKING:
    from rich.table import Table

_LEFT_BY_JSON: Final = re.compile(r"[\x7f-\x9f\ud800-\udfff]")
"""What JSON leaves as it is: controls of a terminal, and halves of what is no text at all."""


def plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of a result with names that are nothing but text."""
    return {str(name): value for name, value in row.items()}


def print_json(value: Any, default: Callable[[Any], str] | None = None) -> None:
    """Print a value as JSON: as it is read best, in ASCII where the output can't take all of it.

    Args:
        value: the value.
        default: makes a text of what JSON lacks; None for `shown`.
    """
    import json

    def dump(*, ascii_only: bool) -> str:
        return json.dumps(value, indent=2, ensure_ascii=ascii_only, default=default or shown)

    text = _LEFT_BY_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", dump(ascii_only=False))
    # Not left to the stream, whose own escapes are Python's.
    typer.echo(text if _fits(text) else dump(ascii_only=True))


def _fits(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def print_text(text: str) -> None:
    """Print lines for people; what a client stored that is no text at all is shown by its bytes."""
    typer.echo("\n".join(map(printable, text.split("\n"))))


def print_table(columns: tuple[str, ...], rows: list[dict[str, Any]], *, empty: str) -> None:
    """Print rows under the names of these columns, or that there are none."""
    if not rows:
        typer.echo(empty)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # Text, since what people wrote is no markup.
        table.add_row(*(Text(one_line(shown(row[column]))) for column in columns))
    print_rich_table(table)


def print_rich_table(table: Table) -> None:
    """Print a table that is made, the way that texts go."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = 100_000  # a pipe gets whole lines
    with console.capture() as captured:
        console.print(table)
    # Rich has seen to colours; left to itself, it writes in an encoding that texts don't have.
    typer.echo(captured.get(), nl=False, color=True)


def shown(value: Any) -> str:
    """A cell as text for people."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return str(value)
