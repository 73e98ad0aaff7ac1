"""What people or hiTask wrote, without what could move a terminal's cursor or do worse to it.

Public: `one_line`, `printable`, `without_controls`.
"""

from __future__ import annotations

import re
from typing import Final

_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""What a terminal may obey, but for the ends of lines and tabs."""


def one_line(text: str) -> str:
    """A text as one line, for a terminal."""
    return printable(" ".join(text.split()))


def printable(line: str) -> str:
    """A line for a terminal, its blanks as they are."""
    if line.isprintable():
        return line
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in line)


def without_controls(text: str) -> str:
    """A text for a program, which may be shown by a terminal all the same: with all its letters."""
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)
