"""What becomes of a comment that people wrote, changed or deleted. Pure.

Public: `plan_comment`, `Post`, `Remove`, `Refuse`, `Wait`, `Plan`, `LONGEST`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from hisync.comment import Comment, Place
from hisync.items import Level

LONGEST: Final = 10_000
"""The characters of a comment that hiTask takes (API documentation, Properties)."""

_NO_EDIT: Final = "hiTask can't change a comment's text: delete it and write a new one"
_OFF: Final = "sync.comments is off"


@dataclass(frozen=True, slots=True)
class Post:
    """Say it on hiTask."""

    message: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete it on hiTask."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """hiTask can't take it, for this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """It can't go out yet, for this reason."""

    reason: str


Plan: TypeAlias = Post | Remove | Refuse | Wait | None


def plan_comment(
    base: Comment | None,
    local: Comment | None,
    unreadable: Mapping[str, str],
    place: Place | None,
    *,
    enabled: bool = True,
) -> Plan:
    """What one comment needs, by the state reached; None if nothing is left to do.

    Args:
        base: the comment before what people did; one without a number was never on hiTask.
        local: the row, None when it was deleted.
        unreadable: the reason for each cell of it that can't be read.
        place: the item that it is on, None for no item of the account.
        enabled: whether comments are synced at all.
    """
    if base is None or base.id is None:
        return None if local is None else _plan_new(local, unreadable, place, enabled=enabled)
    if local is not None:
        return _plan_edited(base, local, unreadable)
    if place is None or place.id is None:
        return None  # it went with its item
    if not enabled:
        return Refuse(_OFF)
    return Remove() if place.present else Wait("its item is being deleted")


def _plan_edited(base: Comment, local: Comment, unreadable: Mapping[str, str]) -> Plan:
    """A comment that hiTask has is as it is; a row put in its place may leave out what it knows."""
    if local.message != base.message or "message" in unreadable:
        return Refuse(_NO_EDIT)
    for column in ("item_guid", "user_id", "time_create"):
        ours = getattr(local, column)
        if column in unreadable or (ours is not None and ours != getattr(base, column)):
            return Refuse(f"{column} of a comment is read-only: only hiTask sets it")
    return None


def _plan_new(
    local: Comment, unreadable: Mapping[str, str], place: Place | None, *, enabled: bool
) -> Plan:
    reason = None if enabled else _OFF
    reason = reason or _bad_cells(local, unreadable) or _bad_place(local, place)
    if reason is not None or place is None:
        return Refuse(reason or "")
    if not place.present:
        return Wait("its item is being deleted")
    if place.id is None:
        return Wait("its item is not on hiTask yet")
    return Post(local.message or "")


def _bad_cells(local: Comment, unreadable: Mapping[str, str]) -> str | None:
    if local.id is not None or "id" in unreadable:
        return "id is given by hiTask: leave it out"
    for column in ("item_guid", "message"):
        if column in unreadable:
            return unreadable[column]
    if not (local.message or "").strip():
        return "message is empty: say something"
    if len(local.message or "") > LONGEST:
        return f"message has {len(local.message or '')} characters, hiTask takes {LONGEST} at most"
    return None


def _bad_place(local: Comment, place: Place | None) -> str | None:
    if local.item_guid is None:
        return "item_guid is empty: say which item it is about"
    if place is None:
        return f"item_guid {local.item_guid!r} is no item of this account"
    if place.permission is not None and place.permission < Level.COMMENT:
        return (
            f"commenting needs permission {int(Level.COMMENT)} on the item, this account has "
            f"{place.permission}"
        )
    return None
