"""Python's search for cycles of garbage, put off while a great many things are made.

Public: `gc_paused`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


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
