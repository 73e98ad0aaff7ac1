"""Comments, and the lines of an item's history that tell of them, as plain values.

Public: `Unit`, `Comment`, `Place`, `COMMENTS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

COMMENTS: Final = "comments"
"""The table of the comments."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One line of an item's history; whatever the wire left out is None.

    Attributes:
        id: hiTask's number; of a comment, the comment's own.
        user_id: who did it.
        user_name: as the history calls them.
        name: the property, or what happened: `comment`, `comment_deleted`, `created`.
        at: when, UTC, possibly cut to the minute.
        value: what was written, as the wire has it.
    """

    id: int | None
    user_id: int | None
    user_name: str | None
    name: str
    at: datetime | None
    value: Any


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment of the mirror.

    Attributes:
        guid: the row's key.
        id: hiTask's number, None for one that it has not got.
        item_guid: the item that it is on.
        user_id: who said it.
        message: what was said.
        time_create: when, UTC.
    """

    guid: str
    id: int | None
    item_guid: str | None
    user_id: int | None
    message: str | None
    time_create: datetime | None


@dataclass(frozen=True, slots=True)
class Place:
    """An item that comments may be on.

    Attributes:
        guid: its key.
        id: hiTask's number, None for one that is not there yet.
        present: whether its row is there; people may have deleted it, and that is not sent yet.
        permission: what this account may do with it, None where that is not known.
        last_comment_id: its newest comment as hiTask named it, whatever people wrote there since.
        version: as the row says.
        archiving: whether the row is to be archived.
    """

    guid: str
    id: int | None
    present: bool = False
    permission: int | None = None
    last_comment_id: int | None = None
    version: int | None = None
    archiving: bool = False
