"""What the answers of reads and writes hold, checked as a whole before any of it is believed.

Public: `ItemsAnswer`, `decode_items`, `decode_written`, `decode_created`, `decode_object`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from hisync.api.decode import Report, TimeUnit, decode_integer, decode_item
from hisync.api.long_list import LongList
from hisync.api.outcomes import NOT_AN_ANSWER, Answer
from hisync.errors import RetryLaterError
from hisync.garbage import gc_paused
from hisync.items import Item
from hisync.numbers import Numbers

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
        items: the whole items, each id once.
        ids: every id that the answer names.
        cursor: what to ask the next delta with; None when the service sent none.
    """

    items: Collection[Item]
    ids: AbstractSet[int]
    cursor: str | None

    @property
    def has_stubs(self) -> bool:
        """Whether it names items as unchanged, without their values."""
        return len(self.ids) > len(self.items)

    def unchanged(self, known: AbstractSet[int]) -> AbstractSet[int]:
        """The ids that it names as unchanged, without the known ones."""
        shown = self.items.ids if isinstance(self.items, _LongItems) else _ids_of(self.items)
        return (self.ids - known) - shown


class _LongItems(Collection[Item]):
    """The items of an answer too long to hold in memory, decoded anew each time they are read."""

    def __init__(self, elements: LongList, ids: AbstractSet[int], decode: _Decode) -> None:
        self.ids = ids
        self._elements = elements
        self._decode = decode

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, item: object) -> bool:
        return any(one == item for one in self)

    def __iter__(self) -> Iterator[Item]:
        return (self._decode(one) for one in self._elements if not _is_stub(one))


def decode_items(answer: Answer, time_unit: TimeUnit, report: Report) -> ItemsAnswer:
    """The items of a full read or of a delta.

    Raises:
        RetryLaterError: it is no list of items from its first element to its last.
    """
    decode = partial(decode_item, time_unit=time_unit, report=report)
    cursor = _cursor(answer.headers)
    if isinstance(answer.payload, LongList):
        long = _look_through(answer.payload, decode, cursor)
        if long is not None:
            return long
    items: dict[int, Item] = {}
    ids: set[int] = set()
    for element in _list(answer.payload):
        number = _id_of(element)
        ids.add(number)
        if not _is_stub(element):
            items[number] = decode(element)
    return ItemsAnswer(list(items.values()), ids, cursor)


@gc_paused()
def _look_through(elements: LongList, decode: _Decode, cursor: str | None) -> ItemsAnswer | None:
    """The items of a long answer, checked from the first to the last; None if one shows twice."""
    shown, unchanged = Numbers(), Numbers()
    first: list[Item] = []
    try:
        for element in elements:
            number = _id_of(element)
            if _is_stub(element):
                unchanged.add(number)
                continue
            if number in shown:
                return None
            shown.add(number)
            if len(first) < FEW:
                first.append(decode(element))
    except ValueError:
        raise _unbelievable() from None
    few = len(shown) == len(first)
    items = first if few else _LongItems(elements, shown, decode)
    if unchanged:
        unchanged.update(shown)
    return ItemsAnswer(items, unchanged or shown, cursor)


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
