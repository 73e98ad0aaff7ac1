"""Rows with unfinished changes, and what a transaction knows around them.

Public: `Candidate`, `Scene`, `load_scene`, `neighbours`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from sqlalchemy import Connection

from hisync.change import Change
from hisync.engine import Engine
from hisync.items import SPENT, TABLES, Values
from hisync.mirror import base as bases
from hisync.mirror import intents, rows
from hisync.mirror.base import Base
from hisync.mirror.rows import LocalRow
from hisync.plan.checks import Neighbours, Standing
from hisync.timekeeping.ledger import load_totals, with_totals


@dataclass(frozen=True)
class Candidate:
    """A row with unfinished changes.

    Attributes:
        table: its item table.
        guid: its key.
        log: its unfinished changes, oldest first.
        base: its base, None for a new row.
        local: the row, None when people deleted it.
        owner: the base of the item of another table that has its guid, None where none has.
        entries: unfinished changes of its time entries, oldest first.
        total: what its time entries add up to, None where they aren't kept.
    """

    table: str
    guid: str
    log: Sequence[Change]
    base: Base | None
    local: LocalRow | None
    owner: Base | None = None
    entries: Sequence[Change] = ()
    total: int | None = None

    @cached_property
    def before(self) -> Values | None:
        """The base's values."""
        if self.base is None:
            return None
        return bases.base_values(self.base, self.local.values if self.local else None)

    @property
    def spends(self) -> bool:
        """Whether its entries add up to another total than hiTask has."""
        return self.total is not None and self.total != ((self.before or {}).get(SPENT) or 0)


@dataclass(frozen=True)
class Scene:
    """What the transaction knows around the candidates.

    Attributes:
        candidates: the rows to plan.
        parents: the parent of each row above them, by guid.
        children: the rows below those that people deleted, by guid.
        bases: the bases of the candidates and of their parents, by guid.
        pending: rows with a write of ours whose outcome is not known.
        levels: the permission that this account has on each parent, by guid.
    """

    candidates: Sequence[Candidate]
    parents: Mapping[str, str | None]
    children: Mapping[str, list[str]]
    bases: Mapping[str, Base]
    pending: Collection[str] = ()
    levels: Mapping[str, int | None] = field(default_factory=dict)

    @cached_property
    def coming(self) -> frozenset[str]:
        """New rows that are about to be created on hiTask."""
        return frozenset(c.guid for c in self.candidates if c.base is None and c.local)


def load_scene(
    engine: Engine,
    connection: Connection,
    log: Mapping[tuple[str, str], Sequence[Change]],
    dirty: Iterable[str] = (),
    entries: Mapping[str, Sequence[Change]] | None = None,
) -> Scene:
    """Load what is needed to plan these changes; rows with a write under way are left out.

    Args:
        engine: the rules.
        connection: a transaction.
        log: unfinished changes by (table, guid); those of other tables are left out.
        dirty: rows to look at even without changes, where their bases say that they differ.
        entries: unfinished changes of time entries by their item, which is looked at too.
    """
    entries = entries or {}
    log = {key: changes for key, changes in log.items() if key[0] in TABLES}
    pending = intents.busy_guids(connection)
    wanted_too = {*dirty, *entries}
    known = bases.load_bases(connection, {guid for _, guid in log} | wanted_too)
    unsent = {(known[guid].table, guid): () for guid in sorted(wanted_too) if guid in known}
    wanted: dict[tuple[str, str], Sequence[Change]] = {**unsent, **log}
    totals = load_totals(engine, connection, [guid for _, guid in wanted])
    local = with_totals(rows.load_every(connection, wanted), totals, known)
    candidates = []
    for (table, guid), changes in wanted.items():
        if guid in pending:
            continue
        base = known.get(guid)
        owner = base if base is not None and base.table != table else None
        row = local.get((table, guid))
        candidates.append(
            Candidate(
                table,
                guid,
                changes,
                None if owner else base,
                row,
                owner,
                () if owner else entries.get(guid, ()),
                None if totals is None else totals.get(guid, 0),
            )
        )
    named = {c.local.values["parent_guid"] for c in candidates if c.local} - {None}
    parents = rows.parents_of(connection, named)
    deleted = [c.guid for c in candidates if c.local is None]
    return Scene(
        candidates,
        parents,
        rows.children_of(connection, deleted),
        {**bases.load_bases(connection, named), **known},
        pending,
        rows.permissions_of(connection, named),
    )


def neighbours(candidate: Candidate, ours: Values | None, scene: Scene) -> Neighbours:
    """The rows around one, its refused columns taken back."""
    parent = (ours or {}).get("parent_guid")
    ancestors: list[str] = []
    above = parent
    while above is not None and above not in ancestors:
        ancestors.append(above)
        above = scene.parents.get(above)
    standing: Standing = "none"
    if parent is not None:
        if parent in scene.bases:
            standing = "known"
        elif parent in scene.coming:
            standing = "coming"  # if not after all, the row is blocked when its turn comes
        else:
            standing = "waiting" if parent in scene.parents else "absent"
    unsettled = any(above in scene.pending for above in ancestors)
    children = len(scene.children.get(candidate.guid, ()))
    level = scene.levels.get(parent or "")
    return Neighbours(standing, ancestors, children, unsettled, level)
