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

from hisync.api.decode import INT64, Report, TimeUnit, decode_integer, decode_item
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
_STUB: Final = frozenset({"id", "changed"})
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

    def __init__(self, elements: LongList, decode: _Decode) -> None:
        self.first: list[Item] = []
        self.checked = False
        self._elements = elements
        self._decode = decode
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
            return (self._decode(one) for one in self._elements if not _is_stub(one))
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
        for part in _believed(self._elements):
            whole, numbers, only_named = list[Any](), list[int](), list[int]()
            for element in part:
                number = element.get("id") if type(element) is dict else None
                if type(number) is not int or number not in INT64:
                    number, is_stub = _id_of(element), _is_stub(element)
                # At a glance: a whole item, as nearly all of a full read are,
                elif element.get("title") is not None and "category" in element:
                    is_stub = False
                # and one that did not change, as nearly all of a large account's delta are.
                elif len(element) == len(_STUB) and element.get("changed") is False:
                    is_stub = True
                else:
                    is_stub = _is_stub(element)
                if is_stub:
                    only_named.append(number)
                else:
                    numbers.append(number)
                    whole.append(element)
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
        long = LongItems(answer.payload, decode)
        if not checked:
            return ItemsAnswer(long, _Named(long), cursor)
        with suppress(ShownTwiceError):
            long.check()
            few = len(long) == len(long.first)
            return ItemsAnswer(long.first if few else long, long.named, cursor)
    items: dict[int, Item] = {}
    ids: set[int] = set()
    for element in _list(answer.payload):
        number = _id_of(element)
        ids.add(number)
        if not _is_stub(element):
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
        number = _id_of(payload)
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
        return _id_of(payload)
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


def _id_of(element: Any) -> int:
    try:
        number = decode_integer(element.get("id")) if isinstance(element, dict) else None
    except ValueError:
        number = None
    if number is None:
        raise _unbelievable()
    return number


def _is_stub(element: Mapping[str, Any]) -> bool:
    """Whether it only names an item; one said to be changed that is not shown whole is neither."""
    changed, title = element.get("changed"), element.get("title")
    if len(element) == len(_STUB) and changed is False:
        return True
    if title is not None and "category" in element:  # as of nearly all: no need to look further
        return False
    said_unchanged = changed in (False, "false", 0)
    if element.get("category") is not None:
        return said_unchanged
    # Taken for whole, what it says besides, a guid, a version or that it is deleted, would empty
    # all the rest of the row.
    if changed in (True, "true", 1):
        raise _unbelievable()
    return title is None or said_unchanged


def _cursor(headers: Mapping[str, str]) -> str | None:
    cursor = headers.get(_CURSOR_HEADER, "").strip()
    return cursor if cursor and cursor not in _DOTS else None


def _unbelievable() -> RetryLaterError:
    return RetryLaterError(NOT_AN_ANSWER, status=200)
