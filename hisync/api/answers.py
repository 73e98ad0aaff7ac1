"""What the answers of reads and writes hold: no part of it is kept unless the whole can be read.

Public: `ItemsAnswer`, `LongItems`, `ShownTwiceError`, `size_of`, `decode_items`,
`decode_written`, `decode_created`, `decode_object`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from hisync.api.decode import Report, TimeUnit, decode_item
from hisync.api.elements import ElementError, id_of, is_stub, sort_elements
from hisync.api.long_list import LongList
from hisync.api.outcomes import NOT_AN_ANSWER, Answer
from hisync.errors import RetryLaterError
from hisync.garbage import gc_paused
from hisync.items import Item
from hisync.numbers import Numbers

_S = TypeVar("_S")
_Decode: TypeAlias = Callable[[Mapping[str, Any]], Item]

FEW: Final = 1000
"""Items that are held in memory however long the list is that they stand in, as in a delta."""

_CURSOR_HEADER: Final = "x-cursor"
_DOTS: Final = frozenset({".", ".."})  # as a part of a path these would mean another one
_VERDICT: Final = frozenset({"response_status", "error_message"})
# What every whole item has, whatever its kind: without it an answer says only that all went well.
_WHOLE: Final = frozenset({"title", "category"})
# What never changes: an answer that shows the changed fields only has none of it, and taken for
# whole it would empty the rest of the row.
_LASTING: Final = frozenset({"user_id", "time_create"})


@dataclass(frozen=True)
class ItemsAnswer:
    """One parsed answer about items.

    Attributes:
        items: the whole items, each id once; those of a long answer that is used before it is
            checked end with an error where it has a fault.
        named: as `ids`, before a long answer was checked.
        cursor: what to ask the next delta with; None when the service sent none.
    """

    items: Collection[Item]
    named: AbstractSet[int]
    cursor: str | None

    @property
    def ids(self) -> AbstractSet[int]:
        """Every id that the answer names."""
        if isinstance(self.items, LongItems) and self.items.checked:
            return self.items.named
        return self.named

    @property
    def has_stubs(self) -> bool:
        """Whether it names items as unchanged, without their values."""
        return len(self.ids) > len(self.items)

    def unchanged(self, known: AbstractSet[int]) -> AbstractSet[int]:
        """The ids that it names as unchanged, without the known ones."""
        shown = self.items.ids if isinstance(self.items, LongItems) else _ids_of(self.items)
        return (self.ids - known) - shown


class ShownTwiceError(Exception):
    """A long answer shows an item twice, so that its items can't be given out one by one."""


class LongItems(Collection[Item]):
    """The items of an answer too long to hold in memory, decoded anew each time they are read.

    The answer is checked when it is first read to its end: until then any item may be the last
    before a fault, which raises `RetryLaterError`, or before one that was there, which raises
    `ShownTwiceError`.

    Attributes:
        checked: whether it was read to its end.
        first: the first of the items, up to `FEW`, once it was checked without being used.
    """

    def __init__(self, elements: LongList, decode: _Decode, redact: Callable[[str], str]) -> None:
        self.first: list[Item] = []
        self.checked = False
        self._elements = elements
        self._decode = decode
        self._redact = redact
        self._shown = Numbers()
        self._named = self._shown

    @property
    def ids(self) -> AbstractSet[int]:
        """The ids of the items."""
        self.check()
        return self._shown

    @property
    def named(self) -> AbstractSet[int]:
        """Their ids and those of what is named as unchanged."""
        self.check()
        return self._named

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, item: object) -> bool:
        return any(one == item for one in self)

    def __iter__(self) -> Iterator[Item]:
        if self.checked:
            return (self._decode(one) for one in self._elements if not is_stub(one))
        return (self._decode(one) for one in self._checking())

    def check(self) -> None:
        """Read the answer to its end, unless it was."""
        if not self.checked:
            self._look_through()

    @gc_paused()
    def _look_through(self) -> None:
        first: list[Item] = []
        for element in self._checking():
            if len(first) < FEW:
                first.append(self._decode(element))
        self.first = first

    def _checking(self) -> Iterator[Any]:
        """The items as the wire has them."""
        shown, unchanged = Numbers(), Numbers()
        parts = 0
        for part in _believed(self._elements):
            whole, numbers, only_named = list[Any](), list[int](), list[int]()
            try:
                sort_elements(part, whole, numbers, only_named)
            except ElementError as error:
                place = parts + len(numbers) + len(only_named) + 1
                raise _unreadable(place, error, self._redact) from None
            parts += len(part)
            before = len(shown)
            shown.update(numbers)
            if len(shown) - before < len(numbers):
                raise ShownTwiceError
            unchanged.update(only_named)
            yield from whole
        self._shown = self._named = shown
        if unchanged:
            unchanged.update(shown)
            self._named = unchanged
        self.checked = True


def size_of(items: Collection[Item]) -> int | None:
    """How many items these are, None for a long answer that is not yet checked."""
    return None if isinstance(items, LongItems) and not items.checked else len(items)


class _Named(AbstractSet[int]):
    """The ids that an unchecked answer names: it is read to its end if somebody asks before."""

    def __init__(self, items: LongItems) -> None:
        self._items = items

    def __contains__(self, number: object) -> bool:
        return number in self._items.named

    def __iter__(self) -> Iterator[int]:
        return iter(self._items.named)

    def __len__(self) -> int:
        return len(self._items.named)

    @classmethod
    def _from_iterable(cls, numbers: Iterable[_S]) -> AbstractSet[_S]:
        return frozenset(numbers)


def decode_items(
    answer: Answer, time_unit: TimeUnit, report: Report, *, checked: bool = True
) -> ItemsAnswer:
    """The items of a full read or of a delta.

    Args:
        answer: what came.
        time_unit: the unit of its amounts of time.
        report: told what looks odd.
        checked: whether it is looked through first; else a long one is as `LongItems` has it.

    Raises:
        RetryLaterError: it is no list of items from its first element to its last.
    """
    decode = partial(decode_item, time_unit=time_unit, report=report)
    cursor = _cursor(answer.headers)
    if isinstance(answer.payload, LongList):
        long = LongItems(answer.payload, decode, answer.redact)
        if not checked:
            return ItemsAnswer(long, _Named(long), cursor)
        with suppress(ShownTwiceError):
            long.check()
            few = len(long) == len(long.first)
            return ItemsAnswer(long.first if few else long, long.named, cursor)
    items: dict[int, Item] = {}
    ids: set[int] = set()
    for place, element in enumerate(_list(answer.payload), 1):
        try:
            number, stub = id_of(element), is_stub(element)
        except ElementError as error:
            raise _unreadable(place, error, answer.redact) from None
        ids.add(number)
        if not stub:
            items[number] = decode(element)
    return ItemsAnswer(list(items.values()), ids, cursor)


def decode_written(
    answer: Answer, expected_id: int | None, time_unit: TimeUnit, report: Report
) -> Item | None:
    """The item that the answer of a write shows, None when it says only that all went well.

    Raises:
        RetryLaterError: it is neither, or it shows another item than the one that was written.
    """
    payload = answer.alone
    if isinstance(payload, dict) and payload.keys() >= _WHOLE and payload.keys() & _LASTING:
        number = _id_alone(payload, answer)
        if expected_id not in (None, number):
            raise RetryLaterError("the answer shows another item than the one sent", status=200)
        return decode_item(payload, time_unit=time_unit, report=report)
    if answer.is_plain_ok or (isinstance(payload, dict) and "id" in payload):
        return None
    raise _unbelievable()


def decode_created(answer: Answer, time_unit: TimeUnit, report: Report) -> Item | int | None:
    """The item that the answer to a create shows, or its number where it says no more of it.

    Raises:
        RetryLaterError: as `decode_written` does.
    """
    item = decode_written(answer, None, time_unit, report)
    payload = answer.alone
    if item is None and isinstance(payload, dict) and "id" in payload:
        return _id_alone(payload, answer)
    return item


def decode_object(answer: Answer) -> dict[str, Any]:
    """An object, as the wire has it; a plain OK is none.

    Raises:
        RetryLaterError: it is none.
    """
    payload = answer.payload
    if not isinstance(payload, dict) or (payload and payload.keys() <= _VERDICT):
        raise _unbelievable()
    return payload


def _ids_of(items: Iterable[Item]) -> set[int]:
    return {item.id for item in items}


def _list(payload: Any) -> Iterable[Any]:
    if not isinstance(payload, list | LongList):
        raise _unbelievable()
    return payload


def _believed(elements: LongList) -> Iterator[list[Any]]:
    try:
        yield from elements.parts()
    except ValueError:
        raise _unbelievable() from None


def _unreadable(place: int, error: ElementError, redact: Callable[[str], str]) -> RetryLaterError:
    """The answer as a whole can't be believed: what can't be read may be what is gone otherwise."""
    said = f"hiTask's list can't be read: element {place} {error.in_words(redact)}"
    return RetryLaterError(said, status=200)


def _id_alone(element: Any, answer: Answer) -> int:
    """The id of the only item of an answer."""
    try:
        return id_of(element)
    except ElementError as error:
        said = f"hiTask's answer can't be read: the item {error.in_words(answer.redact)}"
        raise RetryLaterError(said, status=200) from None


def _cursor(headers: Mapping[str, str]) -> str | None:
    cursor = headers.get(_CURSOR_HEADER, "").strip()
    return cursor if cursor and cursor not in _DOTS else None


def _unbelievable() -> RetryLaterError:
    return RetryLaterError(NOT_AN_ANSWER, status=200)
