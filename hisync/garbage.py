"""Python's search for cycles of garbage, put off where it would find none and cost a lot.

Public: `gc_paused`, for a great many things that are made; `spare_start`, `keep_started` and
`spare_end`, for a process of ours.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_STARTING: Final = (200_000, 10, 10)
_STARTED: Final = (20_000, 10, 10)


@contextmanager
def gc_paused() -> Iterator[None]:
    """Let no cycles be searched for, as long as it is entered.

    Items, rows and changes hold none, and to search each of many thousands for some takes up to a
    quarter of the time that it takes to plan them.
    """
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()


def spare_start() -> None:
    """Let none be searched for while a command starts.

    It makes most of its objects by importing, and none of them is garbage: to look for some four
    hundred times, as Python would, takes a tenth of a short command.
    """
    gc.set_threshold(*_STARTING)


def keep_started() -> None:
    """What a command has started with stays to its end: look only at what comes after.

    In a process that was not spared its start, which is not ours alone, it does nothing.
    """
    if gc.get_threshold()[0] == _STARTING[0]:  # not every Python keeps the others
        gc.freeze()
        gc.set_threshold(*_STARTED)


def spare_end() -> None:
    """Let none be searched for when the process ends, where Python does so several times.

    That would be another quarter of a short command. What has to be closed must be closed by now;
    the rest goes with the process.
    """
    gc.freeze()
