"""Rows with unfinished changes, and what a transaction knows around them.

Public: `Candidate`, `Scene`, `load_scene`, `neighbours`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import Connection

from hisync.change import Change
from hisync.items import Values
from hisync.mirror import base as bases
from hisync.mirror import intents, rows
from hisync.mirror.base import Base
from hisync.mirror.rows import LocalRow
from hisync.plan.checks import Neighbours, Standing


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row with unfinished changes."""

    table: str
    guid: str
    log: Sequence[Change]
    base: Base | None
    local: LocalRow | None

    @property
    def before(self) -> Values | None:
        """The base's values."""
        if self.base is None:
            return None
        return bases.base_values(self.base, self.local.values if self.local else None)


@dataclass(frozen=True)
class Scene:
    """What the transaction knows around the candidates."""

    candidates: Sequence[Candidate]
    parents: Mapping[str, str | None]
    children: Mapping[str, list[str]]
    bases: Mapping[str, Base]

    @cached_property
    def coming(self) -> frozenset[str]:
        """New rows that are about to be created on hiTask."""
        return frozenset(c.guid for c in self.candidates if c.base is None and c.local)


def load_scene(connection: Connection, log: Mapping[str, list[Change]]) -> Scene:
    """Load what is needed to plan these changes; rows with a write under way are left out."""
    pending = intents.load_intents(connection)
    open_log = {guid: entries for guid, entries in log.items() if guid not in pending}
    known = bases.load_bases(connection, open_log)
    keys = {
        guid: known[guid].table if guid in known else entries[-1].table
        for guid, entries in open_log.items()
    }
    local = rows.load_every(connection, [(table, guid) for guid, table in keys.items()])
    candidates = [
        Candidate(table, guid, open_log[guid], known.get(guid), local.get((table, guid)))
        for guid, table in keys.items()
    ]
    named = {c.local.values["parent_guid"] for c in candidates if c.local} - {None}
    parents = rows.parents_of(connection, named)
    deleted = [c.guid for c in candidates if c.local is None]
    return Scene(
        candidates,
        parents,
        rows.children_of(connection, deleted),
        {**bases.load_bases(connection, named), **known},
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
    return Neighbours(standing, ancestors, len(scene.children.get(candidate.guid, ())))
