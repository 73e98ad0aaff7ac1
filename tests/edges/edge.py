"""One entry of the tables in this folder: given, when, then; and how it is run.

Whatever an entry is about, the same has to hold after it: hiTask and the mirror hold the same,
nothing is unfinished, and further cycles (a delta, a full read, a delta) write nothing on either
side. Public: `Edge`, `table`, `run_edge`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.edges.acts import Act
from tests.edges.house import House
from tests.edges.oracle import TABLES, differences, loose_ends
from tests.edges.scene import Scene, make_scene

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Edge:
    """One situation and its outcome; rows and items are called by name.

    Attributes:
        name: what it is about, for people.
        given: items that hiTask has at first, by name, as `Scene.create` takes them.
        when: what happens: SQL statements by somebody's client (`:name` is a row's guid), and acts.
            A cycle follows the last one.
        there: values on hiTask afterwards, as the account's wire shows them; None: no such item.
        here: cells in the mirror afterwards; None: no such row. What hiTask has as well needs
            no word here: both sides are held against each other anyway.
        log: the change log: `update done`, `update rejected: part of the reason`, in order.
        writes: the requests that could change something, in order: `POST`, `PUT name`, `ARCHIVE`,
            `DELETE name`.
        conflicts: what was recorded: `field: base / local / remote -> winner`, or how many.
        removed: what is in `removed_rows`: `name: reason`.
        here_only: rows that stay without an item: refused new ones.
        waits: states of changes that rightly remain.
        traits: habits of the server.
        zone: the account's time zone.
        rules: what the user decided, as `Rules` has it.
        account: items of others that hiTask has besides.
        then: further questions to the scene, each of which asserts something.
        bug: why it does not come out like this yet.
        sqlite_only: why it can't be so on PostgreSQL.
    """

    name: str
    given: Mapping[str, Values] = field(default_factory=dict)
    when: Sequence[Act] = ()
    there: Mapping[str, Values | None] = field(default_factory=dict)
    here: Mapping[str, Values | None] = field(default_factory=dict)
    log: Sequence[str] | Mapping[str, int] | None = None
    writes: Sequence[str] | Mapping[str, int] | None = None
    conflicts: Sequence[str] | int = ()
    removed: Sequence[str] | None = None
    here_only: Sequence[str] = ()
    waits: Sequence[str] = ()
    traits: Sequence[str] = ()
    zone: str = "UTC"
    rules: Values = field(default_factory=dict)
    account: int = 0
    then: Sequence[Callable[[Scene], object]] = ()
    bug: str = ""
    sqlite_only: str = ""


def table(*edges: Edge) -> pytest.MarkDecorator:
    """Run the test once for each entry."""
    names = Counter(edge.name for edge in edges)
    assert max(names.values()) == 1, names.most_common(3)
    return pytest.mark.parametrize(
        "edge",
        [
            pytest.param(
                edge,
                id=edge.name.encode("ascii", "replace").decode().replace("::", ":"),
                marks=[
                    *([pytest.mark.xfail(reason=edge.bug, strict=True)] if edge.bug else []),
                    *([pytest.mark.sqlite_only] if edge.sqlite_only else []),
                ],
            )
            for edge in edges
        ],
    )


def run_edge(house: House, edge: Edge) -> None:
    """Play one entry, hold the outcome against it, and see that it stays so."""
    scene = make_scene(house, edge.given, edge.traits, edge.zone, edge.rules, edge.account)
    try:
        for act in edge.when:
            scene.act(act)
        scene.world.sync()
        check_outcome(scene, edge)
        check_peace(scene, edge.here_only, edge.waits)
    finally:
        scene.close()


def check_outcome(scene: Scene, edge: Edge) -> None:
    log = scene.changes()
    for name, values in edge.there.items():
        assert _of(scene.wire(name), values) == values, (name, log)
    for name, values in edge.here.items():
        assert _of(scene.row(name), values) == values, (name, log)
    if edge.log is not None:
        _check_log(log, edge.log)
    if edge.writes is not None:
        writes = scene.writes()
        counted = isinstance(edge.writes, Mapping)
        assert (dict(Counter(writes)) if counted else writes) == edge.writes, log
    conflicts = scene.conflicts()
    if isinstance(edge.conflicts, int):
        assert len(conflicts) == edge.conflicts, conflicts
    else:
        assert conflicts == list(edge.conflicts)
    if edge.removed is not None:
        assert scene.removed() == list(edge.removed)
    for question in edge.then:
        question(scene)


def _of(actual: Values | None, wanted: Values | None) -> Values | None:
    """The part of the actual values that is asked about."""
    if actual is None or wanted is None:
        return actual
    return {name: actual.get(name) for name in wanted}


def _check_log(log: list[str], wanted: Sequence[str] | Mapping[str, int]) -> None:
    if isinstance(wanted, Mapping):
        assert dict(Counter(line.partition(":")[0] for line in log)) == wanted, log
        return
    short = [line.partition(":")[0] for line in log]
    assert short == [line.partition(":")[0] for line in wanted], log
    for line, part in zip(log, wanted, strict=True):
        reason = part.partition(": ")[2]
        assert reason in line, (reason, line)


def check_peace(scene: Scene, here_only: Sequence[str] = (), waits: Sequence[str] = ()) -> None:
    """Both sides are equal, nothing is left to do, and nothing is done about it."""
    world = scene.world
    world.service.settle()
    written = scene.writes()
    world.sync()
    assert list(differences(scene.model, scene.ask, computed=False)) == []
    world.sync(full=True)
    assert list(differences(scene.model, scene.ask)) == []
    before = _everything(scene)
    summary = world.sync()
    assert (summary.pulled, summary.pushed, summary.conflicts) == (0, 0, 0)
    assert scene.writes() == written, "hisync goes on writing"
    assert _everything(scene) == before
    on_sqlite = world.backend == "sqlite"
    assert list(loose_ends(scene.ask, mark=on_sqlite)) == []
    open_states = {r["state"] for r in scene.ask(_OPEN)} - set(waits)
    assert not open_states, scene.changes()
    assert sorted(scene.rows_without_item()) == sorted(here_only)
    if on_sqlite:
        assert scene.ask("PRAGMA quick_check") == [{"quick_check": "ok"}]


_OPEN = (
    "SELECT state FROM change_log WHERE state NOT IN ('done', 'merged', 'rejected', 'discarded')"
)


def _everything(scene: Scene) -> dict[str, list[dict[str, Any]]]:
    tables = (*TABLES, "change_log", "conflicts", "removed_rows", "sync_base", "sync_intents")
    return {name: scene.ask(f"SELECT * FROM {name} ORDER BY 1") for name in tables}
