"""What commands print: JSON, tables, and cells of either as text for people.

Public: `print_json`, `print_table`, `plain`, `shown`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import typer


def plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of a result with names that are nothing but text."""
    return {str(name): value for name, value in row.items()}


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    import json

    print_text(json.dumps(value, indent=2, ensure_ascii=False, default=shown))


def print_text(text: str) -> None:
    """Print a text; what a client stored that is no text at all is shown by its bytes."""
    typer.echo(text.encode("utf-8", "backslashreplace").decode())


def print_table(columns: tuple[str, ...], rows: list[dict[str, Any]], *, empty: str) -> None:
    """Print rows under the names of these columns, or that there are none."""
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
        table.add_row(*(Text(shown(row[column])) for column in columns))
    if not console.is_terminal:
        console.width = 100_000  # a pipe gets whole lines
    console.print(table)


def shown(value: Any) -> str:
    """A cell as text for people."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return str(value)
