"""A list of the wire that is too long to hold in memory: kept in a file, parsed part by part.

No JSON library that is quick enough parses a stream, so the list is cut into parts and each is
parsed by itself. A cut is right where what stands before it is a list by itself: then no bracket
and no quote is open. Public: `LongList`.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, BinaryIO, Final

import orjson

PART: Final = 1 << 18
"""The bytes of a part, about: some hundred and fifty items."""

TRIES: Final = 20
"""How many places are tried in a part, from its end."""

_BOM: Final = b"\xef\xbb\xbf"
_SEPARATOR: Final = re.compile(rb"\}\s*,\s*(?=(\{\s*\"[^\"]{0,40}\"))")
"""Between two objects of a list, with how the second one begins."""


class LongList:
    """The elements of a JSON list in a file, as often as they are asked for.

    It closes the file when it is no longer needed.
    """

    def __init__(
        self,
        file: BinaryIO,
        decode: Callable[[bytes], Any] = orjson.loads,
        clean: Callable[[bytes], bytes] = bytes,
    ) -> None:
        """Take over a file.

        Args:
            file: the text of the list, in UTF-8.
            decode: parses what is left when no part can be cut off any more.
            clean: makes of its text, cut off anywhere, what is parsed.
        """
        self._file = file
        self._decode = decode
        self._clean = clean
        weakref.finalize(self, file.close)

    def __iter__(self) -> Iterator[Any]:
        """The elements, in order; as `parts` else."""
        return chain.from_iterable(self.parts())

    def parts(self) -> Iterator[list[Any]]:
        """The elements, in order, some hundreds at a time.

        Raises:
            ValueError: it is no list from its first character to its last; what came before the
                fault has been given out by then.
        """
        read = self._reader()
        rest = self._clean(read(PART)).removeprefix(_BOM).lstrip()
        if not rest.startswith(b"["):
            raise ValueError("no list")
        rest, head, size = rest[1:], b"", PART
        while more := read(size):
            rest = self._clean(rest + more)  # what was at its end may only now be whole
            part, rest, head = _cut(rest, head)
            size = PART if part else 2 * size  # no place to cut: not looked for in every part
            yield part
        # The last part decides whether the list is whole: nothing may be missing or follow.
        yield self._decode(b"[" + rest)

    def _reader(self) -> Callable[[int], bytes]:
        """Reads on from the start, whoever else reads in between."""
        at = 0

        def read(size: int) -> bytes:
            nonlocal at
            self._file.seek(at)
            text = self._file.read(size)
            at += len(text)
            return text

        return read


def _cut(text: bytes, head: bytes) -> tuple[list[Any], bytes, bytes]:
    """Cut as many elements off as are whole.

    Args:
        text: what follows the list's bracket, or a separator.
        head: how elements were seen to begin, empty before the first cut.

    Returns:
        The elements, what is left, and how the next element begins.
    """
    places: list[re.Match[bytes]] = []
    end = len(text)
    while len(places) < TRIES and (end := text.rfind(b"}", 0, end)) >= 0:
        if place := _SEPARATOR.match(text, end):
            places.append(place)
    # Elements of one kind begin alike; what is nested in them mostly begins in another way.
    for place in sorted(places, key=lambda place: place[1] != head):
        try:
            part = orjson.loads(b"[" + text[: place.start() + 1] + b"]")
        except orjson.JSONDecodeError:
            continue  # within an element: one of its own lists, or a text that looks like this
        return part, text[place.end() :], place[1]
    return [], text, head
