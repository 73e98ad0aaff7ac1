"""The order in which changes go out, and which may go at once. Pure.

Public: `Step`, `is_spending`, `order_steps`, `independent`, `goes_beside_others`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hisync.items import SPENT
from hisync.plan.actions import Send, SendArchive, SendCreate, SendDelete, SendUpdate

# Updates before deletions, so that a child given another parent is out of the way.
_RANK: Final[Mapping[type[Send], int]] = {
    SendCreate: 0,
    SendUpdate: 1,
    SendArchive: 2,
    SendDelete: 3,
}

_IN_PLACE: Final = frozenset({"parent_guid", "permissions", "short_name", SPENT})


@dataclass(frozen=True, slots=True)
class Step:
    """One request to make for one row.

    Attributes:
        table: the row's item table.
        guid: its key.
        send: what to ask of hiTask.
        parent: the key of its parent, as people see it or saw it last.
        last_seq: the newest change that is included.
        attempts: how often its changes were sent already.
        carries: the changes that are included; what planning has ended is not among them.
        rest: what will be asked for the row after that, as far as can be seen.
        deletion: whether it goes by `safety.max_push_deletes`.
    """

    table: str
    guid: str
    send: Send
    parent: str | None
    last_seq: int
    attempts: int
    carries: Sequence[int] = ()
    rest: Sequence[Send] = ()

    @property
    def deletion(self) -> bool:
        """Whether it counts against the limit of deletions."""
        return isinstance(self.send, SendDelete)

    @property
    def spends(self) -> bool:
        """Whether it sends a total of time entries."""
        return is_spending(self.send)


def is_spending(send: Send) -> bool:
    """Whether a request sends a total of time entries, alone or with other fields."""
    return isinstance(send, SendUpdate) and SPENT in send.changes


def order_steps(steps: Iterable[Step]) -> list[Step]:
    """Creates first, parents before children; deletions last, children before parents.

    Within that, what was tried least and changed first goes first, so that a row that hiTask
    keeps failing on holds nobody up.
    """
    steps = list(steps)
    parents = {step.guid: step.parent for step in steps}

    def rank(step: Step) -> tuple[int, int, int, int]:
        depth = _depth(step.guid, parents)
        deletion = isinstance(step.send, SendDelete)
        return (_RANK[type(step.send)], -depth if deletion else depth, step.attempts, step.last_seq)

    return sorted(steps, key=rank)


def independent(steps: Sequence[Step], start: int, most: int) -> Sequence[Step]:
    """The steps from `start` on that may go at once, in any order: at least one, at most `most`.

    Whoever is under another of them waits for it.
    """
    end, guids = start, set[str]()
    while end < len(steps) and end - start < most:
        step = steps[end]
        if end > start and (step.guid in guids or step.parent in guids):
            break
        if not goes_beside_others(step):
            end = max(end, start + 1)
            break
        guids.add(step.guid)
        end += 1
    return steps[start:end]


def goes_beside_others(step: Step) -> bool:
    """Whether others may be under way with it: so it is with new rows and new values.

    What removes or moves a row has to keep its place, and so has what others may need or be in
    the way of: who may do what, and a short name. Time spent is looked up by totals.
    """
    match step.send:
        case SendCreate():
            return True
        case SendUpdate(columns):
            return not (_IN_PLACE & columns.keys())
        case _:
            return False


def _depth(guid: str, parents: Mapping[str, str | None]) -> int:
    """How many ancestors of a row are among the steps; a circle counts once around."""
    seen = {guid}
    above = parents.get(guid)
    while above is not None and above in parents and above not in seen:
        seen.add(above)
        above = parents[above]
    return len(seen)
