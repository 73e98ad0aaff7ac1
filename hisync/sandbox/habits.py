"""Habits that this server has or has not, by its traits.

They are the form of its cursors, its way with texts, and what else a write sets going.

Public: `write_cursor`, `read_cursor`, `treat_texts`, `follow_write`.
"""

from __future__ import annotations

import re

from hisync.sandbox.calls import Call
from hisync.sandbox.errors import SIZE_EXCEEDED, ApiError
from hisync.sandbox.records import Item
from hisync.sandbox.traits import Traits

_PLAIN = re.compile(r"\d{1,18}", re.ASCII)
# Nothing that can be counted with, and nothing that fits into a path as it is.
_OPAQUE = re.compile(r"v1; t=([0-9a-f]{1,16})\+&%\?#", re.ASCII)


def write_cursor(traits: Traits, latest: int) -> str:
    """Return the cursor for a moment (milliseconds)."""
    return f"v1; t={latest:x}+&%?#" if traits.opaque_cursor else str(latest)


def read_cursor(traits: Traits, text: str) -> int | None:
    """Return the moment that a cursor stands for, none if it is not one of this server's."""
    if not traits.opaque_cursor:
        return int(text) if _PLAIN.fullmatch(text) else None
    read = _OPAQUE.fullmatch(text)
    return int(read[1], 16) if read else None


def treat_texts(traits: Traits, values: dict[str, object]) -> dict[str, object]:
    """Return the values with their texts as this server stores them, or refuse a long title."""
    title, message = values.get("title"), values.get("message")
    if isinstance(title, str):
        if traits.title_limit and len(title) > traits.title_limit:
            raise ApiError(SIZE_EXCEEDED, f"title is longer than {traits.title_limit} characters")
        if traits.trims_titles:
            values = {**values, "title": title.strip()}
    if traits.trims_messages and isinstance(message, str):
        values = {**values, "message": message.strip()}
    return values


def follow_write(call: Call, item: Item) -> None:
    """Do what this server does by itself after an item was created or changed."""
    item.version += call.traits.version_step - 1
    if not call.traits.completes_parents or not item.parent or not item.get("completed"):
        return
    if all(each.get("completed") for each in call.model.store.children(item.parent)):
        parent = call.model.update(item.parent, user=call.user, completed=True)
        follow_write(call, parent)
