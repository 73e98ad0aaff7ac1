"""What an item's history says of its comments: new ones, changed ones, missing ones. Pure.

A history may be cut off: free accounts see its last ten units only. So what it lacks is missing
only where it reaches back far enough. Its times are cut to minutes, and it comes in no order.
Public: `plan_history`, `HistoryPlan`, `find_posted`, `judge`, `Look`, `is_whole`, `speaks_of`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from html import unescape
from typing import Any, Final

from hisync.comment import Comment, Unit

CUT: Final = 10
"""The units that a free account sees (API, History); with fewer than that nothing was cut off."""

_COMMENT, _DELETED, _CREATED = "comment", "comment_deleted", "created"


@dataclass(frozen=True, slots=True)
class HistoryPlan:
    """What a history says of an item's comments.

    Attributes:
        new: comments that the mirror lacks; their keys are still to be given.
        changed: comments that it has otherwise, as hiTask has them.
        deleted: comments that the history names as deleted.
        missing: comments that it should show and doesn't.
    """

    new: Sequence[Comment]
    changed: Sequence[Comment]
    deleted: Sequence[Comment]
    missing: Sequence[Comment]


def plan_history(
    item_guid: str,
    known: Mapping[int, Comment],
    left_alone: Collection[int],
    units: Sequence[Unit],
    last: int | None,
) -> HistoryPlan:
    """Hold a history against the comments that the mirror has.

    Args:
        item_guid: the item.
        known: its comments without unsent edits, by hiTask's number.
        left_alone: the numbers of those with unsent edits.
        units: the history.
        last: the item's newest comment as hiTask named it, None for none.
    """
    shown = {n: unit for n, unit in _comments(units).items() if n not in left_alone}
    named = deleted_ids(units)
    new, changed = [], []
    for number, unit in shown.items():
        if number in named:
            continue
        before = known.get(number)
        after = _as_comment(item_guid, number, unit, before)
        if before is None:
            new.append(after)
        elif after != before:
            changed.append(after)
    gone = [comment for number, comment in known.items() if number in named]
    lacking = [c for n, c in known.items() if n not in shown and n not in named]
    missing = [c for c in lacking if _reaches_back(units, c.time_create, last)]
    return HistoryPlan(new, changed, gone, missing)


def deleted_ids(units: Iterable[Unit]) -> frozenset[int]:
    """The comments that a history names as deleted: by their number as the value, or as its own.

    How hiTask itself writes it is not known. A number of the unit's own that a comment has, too, is
    no name: numbers may repeat.
    """
    units = list(units)
    there = _comments(units)
    named: set[int] = set()
    for unit in units:
        if unit.name == _DELETED:
            value = _number(unit.value)
            named.update(n for n in (value,) if n is not None)
            named.update(n for n in (unit.id,) if n is not None and n not in there)
    return frozenset(named)


def speaks_of(units: Sequence[Unit], number: int) -> bool:
    """Whether a history shows a comment, or names it as deleted."""
    return number in _comments(units) or number in deleted_ids(units)


def is_whole(units: Sequence[Unit]) -> bool:
    """Whether a history reaches back to the item's creation."""
    return any(unit.name == _CREATED for unit in units) or 0 < len(units) < CUT


def find_posted(
    units: Iterable[Unit],
    message: str,
    *,
    account: int | None,
    taken: Collection[int],
    since: datetime | None,
) -> Unit | None:
    """The comment that a lost answer was about, None if the history does not show it.

    Args:
        units: the history.
        message: what was sent; servers trim texts, and some escape them.
        account: who sent it.
        taken: the numbers of comments that are others.
        since: before when it can't have been made, None where any that is not taken is new.
    """
    minute = since and since.replace(second=0, microsecond=0)
    found = [
        (unit.at or datetime.min, number, unit)  # noqa: DTZ901
        for number, unit in _comments(units).items()
        if number not in taken
        and unit.user_id in (None, account)
        and _said(unit.value) == _said(message)
        and (minute is None or unit.at is None or unit.at >= minute)
    ]
    return min(found, key=lambda one: one[:2])[2] if found else None


class Look(Enum):
    """What it means that a history does not show a comment that may have been posted."""

    ABSENT = "it was not there"
    CUT_OFF = "the history does not reach back to it"
    UNBELIEVABLE = "the history lacks what it must show"


def judge(
    units: Sequence[Unit], *, since: datetime, before: Collection[int], last: int | None
) -> Look:
    """How far to trust a history that does not show what was posted.

    Args:
        units: the history.
        since: when it may have been posted, at the earliest.
        before: comments that were there before.
        last: the item's newest comment as hiTask named it, None for none.
    """
    if not units and last is not None:
        return Look.UNBELIEVABLE
    if is_whole(units) and last is not None and not speaks_of(units, last):
        return Look.UNBELIEVABLE  # it lags behind
    known = not _comments(units).keys().isdisjoint(before)
    if not units or is_whole(units) or known or _is_older(units, since):
        return Look.ABSENT
    return Look.CUT_OFF


def _comments(units: Iterable[Unit]) -> dict[int, Unit]:
    """The comments by number, the newest one where numbers repeat."""
    found: dict[int, Unit] = {}
    for unit in units:
        if unit.name != _COMMENT or unit.id is None:
            continue
        twin = found.get(unit.id)
        if twin is None or (twin.at and unit.at and unit.at > twin.at):
            found[unit.id] = unit
    return found


def _as_comment(item_guid: str, number: int, unit: Unit, before: Comment | None) -> Comment:
    text = unit.value if isinstance(unit.value, str) else ""
    if isinstance(unit.value, int | float):
        text = str(unit.value)
    if before is None:
        return Comment("", number, item_guid, unit.user_id, text, unit.at)
    return replace(
        before,
        item_guid=item_guid,
        user_id=unit.user_id or before.user_id,
        message=text,
        time_create=_finer(before.time_create, unit.at),
    )


def _finer(ours: datetime | None, shown: datetime | None) -> datetime | None:
    """The moment as the history has it, unless that is ours cut to the minute."""
    if shown is None:
        return ours
    if ours is not None and ours.replace(second=0, microsecond=0) == shown:
        return ours
    return shown


def _reaches_back(units: Sequence[Unit], moment: datetime | None, last: int | None) -> bool:
    """Whether a history must show what happened at a moment."""
    if last is None:
        return True  # the item itself says that it has none
    return is_whole(units) or (moment is not None and _is_older(units, moment))


def _is_older(units: Iterable[Unit], moment: datetime) -> bool:
    minute = moment.replace(second=0, microsecond=0)
    return any(unit.at is not None and unit.at < minute for unit in units)


def _said(value: Any) -> str:
    return " ".join(unescape(str(value if value is not None else "")).split())


def _number(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = value.strip() if isinstance(value, str) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
