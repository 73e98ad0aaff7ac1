"""A progress bar on stderr for long work, on a terminal only. Public: `progress_bar`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hisync.engine import Progress


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """What to tell about long work, shown as a bar until the work ends, and then wiped away.

    Lines that are logged to stderr meanwhile appear above the bar. Print to stdout afterwards.
    """
    if not sys.stderr.isatty():
        yield lambda _stage, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    # Soft, so that a long log line stays one line when it is copied from the terminal.
    console = Console(stderr=True, soft_wrap=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[amount]}", markup=False),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=console, transient=True, redirect_stdout=False) as bar:

        def tell(stage: str, done: int, total: int | None) -> None:
            if total == 0:
                return
            amount = _amount(done, total)
            last = bar.tasks[-1] if bar.tasks else None
            if last is not None and last.description == stage and done:
                bar.update(last.id, completed=done, total=total, amount=amount)
                return
            if last is not None:
                bar.remove_task(last.id)
            # Before any part is done there is no share to draw, so it pulses; the clock starts.
            bar.add_task(stage, total=None, amount=amount)

        yield tell


def _amount(done: int, total: int | None) -> str:
    if total is None:
        return f"{done:,}" if done else ""
    return f"{done:,} of {total:,}" if done else f"{total:,}"
