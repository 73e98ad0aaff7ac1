"""The elements of a list of items, one by one: whether each is an item, and whose.

Public: `ElementError`, `id_of`, `is_stub`, `sort_elements`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from hisync.api.decode import INT64, decode_integer

_QUOTED: Final = 60
"""Characters of a value that an error quotes."""

_STUB: Final = frozenset({"id", "changed"})


class ElementError(Exception):
    """An element of an answer can't be read.

    Args:
        what: what is wrong with it.
        found: what stands there.
    """

    def __init__(self, what: str, found: str = "") -> None:
        super().__init__(what)
        self._found = found

    def in_words(self, redact: Callable[[str], str]) -> str:
        """All of it, without a secret and not at length."""
        found = redact(self._found)  # first: of a secret cut in two nothing would be found
        if len(found) > _QUOTED:
            found = f"{found[:_QUOTED]}…"
        return f"{self} ({found})" if found else str(self)


def sort_elements(
    part: Iterable[Any], whole: list[Any], numbers: list[int], only_named: list[int]
) -> None:
    """Tell whole items and their numbers from the numbers of those that are only named.

    Raises:
        ElementError: it is about the element after those that were sorted.
    """
    for element in part:
        number = element.get("id") if type(element) is dict else None
        if type(number) is not int or number not in INT64:
            number, stub = id_of(element), is_stub(element)
        # At a glance: a whole item, as nearly all of a full read are,
        elif element.get("title") is not None and "category" in element:
            stub = False
        # and one that did not change, as nearly all of a large account's delta are.
        elif len(element) == len(_STUB) and element.get("changed") is False:
            stub = True
        else:
            stub = is_stub(element)
        if stub:
            only_named.append(number)
        else:
            numbers.append(number)
            whole.append(element)


def id_of(element: Any) -> int:
    """The id of an element.

    Raises:
        ElementError: it has none that can be read.
    """
    if not isinstance(element, dict):
        raise ElementError("is no object", _in_short(element))
    if "id" not in element:
        raise ElementError("has no id")
    try:
        number = decode_integer(element["id"])
    except ValueError:
        number = None
    if number is None:
        raise ElementError("has no readable id", f"id = {_in_short(element['id'])}")
    return number


def is_stub(element: Mapping[str, Any]) -> bool:
    """Whether it only names an item.

    Raises:
        ElementError: it is said to be changed and is not shown whole, which is neither.
    """
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
        raise ElementError("is said to be changed, but is not shown whole")
    return title is None or said_unchanged


def _in_short(value: Any) -> str:
    match value:
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return json.dumps(value, ensure_ascii=False)
