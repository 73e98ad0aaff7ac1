"""How reports are printed: a table for people, CSV for spreadsheets, JSON for programs.

Public: `print_table`, `print_csv`, `print_json`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final, Literal

import typer
from rich.table import Table
from rich.text import Text

from hisync.cli import printing
from hisync.cli.cleaning import one_line, without_controls
from hisync.cli.printing import print_rich_table
from hisync.reports import Report

_AMOUNTS: Final = {
    *("minutes", "tasks", "completed", "percent", "progress"),
    *("time_est_minutes", "time_spent_minutes"),
}
_UNNAMED: Final = {"user_name": "user_id", "assignee_name": "assignee_id"}
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


def print_json(report: Report) -> None:
    """Print the rows as a list of objects, every text as it is."""
    rows = [{name: row[name] for name in report.columns} for row in report.rows]
    printing.print_json(rows, _json_cell)


def _json_cell(value: date | bytes) -> str:
    """A date, or bytes that somebody wrote in place of a text or a number, for JSON."""
    return value.hex() if isinstance(value, bytes) else value.isoformat()


def print_csv(report: Report) -> None:
    """Print the rows as RFC 4180 has them, no text of which a spreadsheet runs as a formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(report.columns)
    writer.writerows([_csv_cell(row[name]) for name in report.columns] for row in report.rows)
    # A cell may hold what is no text at all; it is shown by its bytes rather than not.
    typer.echo(text.getvalue().encode("utf-8", "backslashreplace").decode(), nl=False)


def _csv_cell(value: Any) -> Any:
    """A value for a spreadsheet, which would run a colleague's title that looks like a formula."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date):
        return value.isoformat()
    if not isinstance(value, str):
        return value
    return without_controls(f"'{value}" if value.startswith(_FORMULA_STARTS) else value)


def print_table(report: Report, headings: Mapping[str, str]) -> None:
    """Print these columns under their headings, times as h:mm, with a line of totals."""
    if not report.rows:
        typer.echo("nothing to report")
        return
    table = Table(box=None, pad_edge=False, show_footer=True)
    unshown = "tasks" in report.total and "tasks" not in headings
    first = f"total of {report.total['tasks']} tasks" if unshown else "total"
    for number, (name, heading) in enumerate(headings.items()):
        footer = _shown(name, report.total.get(name)) if number else first
        justify: Literal["left", "right"] = "right" if name in _AMOUNTS else "left"
        table.add_column(heading, Text(footer), overflow="fold", justify=justify)
    for row in report.rows:
        cells = {name: row[name] for name in headings}
        for name, number_of in _UNNAMED.items():
            if name in cells and cells[name] is None:
                cells[name] = row[number_of]
        # Text, since what people wrote is no markup.
        table.add_row(*(Text(_shown(name, cell)) for name, cell in cells.items()))
    print_rich_table(table)


def _shown(name: str, value: Any) -> str:
    """A cell of a table."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if name.endswith("minutes"):
        hours, minutes = divmod(abs(int(value)), 60)
        return f"{'-' if value < 0 else ''}{hours}:{minutes:02}"
    return one_line(str(value))
