"""Sets of hiTask's numbers: of a million items, memory holds two megabytes instead of sixty-five.

Public: `Numbers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final

from pyroaring import BitMap64

_TURN: Final = 2**64
"""A negative number is kept as what it is modulo this: the library has no signs."""

_INT64: Final = range(-_TURN // 2, _TURN // 2)


class Numbers(AbstractSet[int]):
    """A set of 64-bit integers that can grow; what it is taken from or cut with may be any set."""

    __slots__ = ("_bits",)

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        self._bits = BitMap64()
        self.update(numbers)

    def add(self, number: int) -> None:
        """Put one in."""
        self._bits.add(number % _TURN)

    def update(self, numbers: Iterable[int]) -> None:
        """Put all of these in."""
        self._bits |= _bits_of(numbers)

    def __contains__(self, number: object) -> bool:
        """Whether it is one of them."""
        return isinstance(number, int) and number in _INT64 and number % _TURN in self._bits

    def __iter__(self) -> Iterator[int]:
        """All of them, the negative ones last."""
        return (n if n in _INT64 else n - _TURN for n in self._bits)

    def __len__(self) -> int:
        """How many they are."""
        return len(self._bits)

    def __and__(self, other: AbstractSet[object]) -> Numbers:
        """Those that both have."""
        both = Numbers()
        both._bits = self._bits & _bits_of(other)
        return both

    def __sub__(self, other: AbstractSet[object]) -> Numbers:
        """Those that the other lacks."""
        left = Numbers()
        left._bits = self._bits - _bits_of(other)
        return left


def _bits_of(some: Iterable[object]) -> BitMap64:
    if isinstance(some, Numbers):
        return some._bits  # noqa: SLF001 - this module's own
    numbers = [one for one in some if isinstance(one, int)]
    try:
        return BitMap64(numbers)
    except OverflowError:
        return BitMap64([one % _TURN for one in numbers if one in _INT64])
