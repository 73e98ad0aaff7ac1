"""What people wrote, by unique marks, and where each may be found in the end.

Every value that an actor of the random runs writes bears a mark that no other value has. Writing
over a value whose mark one can see supersedes that mark: its author, or someone who read it,
decided so. Whatever is not superseded must be there in the end, on both sides or in what hisync
keeps of losers. No line of this knows how hisync decides. Public: `Marks`, `marks_in`.
"""

from __future__ import annotations

import re
from typing import Any, Final

_MARK: Final = re.compile(r"m\d+[LR](?![0-9])|\b7\d{6}\b")
FIRST_NUMBER: Final = 7_000_000


def marks_in(value: Any) -> set[str]:
    """The marks in a value, however it is wrapped."""
    return set(_MARK.findall(str(value)))


class Marks:
    """The marks of one run.

    Attributes:
        superseded: marks that somebody who saw them wrote over, or deleted with their row.
        unread: marks written on hiTask that no answer that was acted on has shown since.
    """

    def __init__(self) -> None:
        self._count = 0
        self.written: dict[str, str] = {}
        self.superseded: set[str] = set()
        self.unread: set[str] = set()

    def text(self, side: str, what: str) -> str:
        """A new text, written on a side (`L` or `R`)."""
        self._count += 1
        return self._remember(f"m{self._count}{side}", side, what)

    def number(self, side: str, what: str) -> int:
        """A new number, written on a side."""
        self._count += 1
        return int(self._remember(str(FIRST_NUMBER + self._count), side, what))

    def _remember(self, mark: str, side: str, what: str) -> str:
        self.written[mark] = f"{side}: {what}"
        if side == "R":
            self.unread.add(mark)
        return mark

    def forget(self, mark: object) -> None:
        """It was not written after all."""
        self.written.pop(str(mark), None)
        self.unread.discard(str(mark))

    def supersede(self, value: Any) -> None:
        """Somebody who sees this value writes over it."""
        self.superseded |= marks_in(value)

    def withdraw(self, what: str) -> None:
        """Whoever wrote these on hiTask took them away before anyone here read them."""
        self.superseded |= {mark for mark in self.unread if self.written[mark].endswith(what)}

    def lost(self, found: set[str]) -> list[str]:
        """The marks that nobody superseded and that are nowhere."""
        return sorted(self.written.keys() - self.superseded - found)
