"""Clearing of each kind of field each way, series, and what permissions allow."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from tests.edges.acts import edits, full_sync, refused, sql, sync
from tests.edges.edge import Edge, check_peace, run_edge, table
from tests.edges.house import House
from tests.edges.scene import Act, Scene, make_scene

BOTH = True

pytestmark = pytest.mark.slow

DAY: Final = "2026-05-01T10:00:00.000+00:00"
ALERT: Final = {"id": 1, "timeType": 4, "time": 15}
PLACE: Final = {"address": "Hill Street 3", "latitude": 59.3, "longitude": 18.0}

# Column: its name on the wire, two values, what empties it here, and what it then is there.
CLEARED: Final[dict[str, tuple[str, Any, Any, list[Any], Any]]] = {
    "message": ("message", "one", "two", [None, ""], (None, "")),
    "assignee_id": ("assignee", 190_989, 191_018, [None, 0], (0,)),
    "participants": ("participants", [190_989], [191_018], [None, "[]"], (None,)),
    "tags": ("tags", ["a", "b"], ["c"], [None, "[]"], (None,)),
    "start_date": ("start_date", DAY, DAY.replace("10", "11"), [None], (None,)),
    "end_date": ("end_date", DAY, DAY.replace("10", "11"), [None], (None,)),
    "due_date": ("due_date", DAY, DAY.replace("10", "11"), [None], (None,)),
    "recurring_end_date": ("recurring_end_date", DAY, DAY.replace("10", "11"), [None], (None,)),
    "is_all_day": ("is_all_day", True, True, [0, "false"], (False, None)),
    "completed": ("completed", True, True, [0, "false"], (False,)),
    "starred": ("starred", True, True, [0], (False,)),
    "time_track": ("time_track", True, True, [0], (False, None)),
    "recurring": ("recurring", 2, 3, [0, None], (0,)),
    "recurring_interval": ("recurring_interval", 2, 3, [None], (None,)),
    "color": ("color", 3, 4, [0, None], (0,)),
    "time_est_minutes": ("time_est", 60, 90, [None, 0], (None, 0)),
    "alerts": ("alerts", [ALERT], [ALERT, ALERT], [None, "[]"], (None,)),
    "location": ("location", PLACE, {"address": "x"}, [None], (None,)),
    "short_name": ("short_name", "ONE", "TWO", [None, ""], (None, "")),
}
EMPTY: Final = (None, "", "[]", 0)


@pytest.mark.parametrize("column", CLEARED)
def test_clearing_both_ways(house: House, column: str) -> None:
    wire, first, second, cells, empty = CLEARED[column]
    kind = "project" if column == "short_name" else "task"
    names = [f"row{n}" for n in range(len(cells))]
    values = [first, second] if column != "short_name" else ["ONE", "TWO"]
    given = {n: {"kind": kind, wire: values[i % 2]} for i, n in enumerate(names)}
    scene = make_scene(
        house,
        {**given, "by_them": {"kind": kind, wire: "T" * 3}}
        if column == "short_name"
        else {**given, "by_them": {"kind": kind, wire: first}},
    )
    for name, cell in zip(names, cells, strict=True):
        scene.sql(f"UPDATE {kind}s SET {column} = :cell WHERE guid = :{name}", cell=cell)
    nothing = {"participants": [], "tags": [], "alerts": []}.get(column, _nothing(empty))
    scene.act(edits("by_them", **{wire: nothing}))
    scene.world.sync()
    for name in names:
        assert scene.need(name).get(wire) in empty, (name, scene.changes())
    row = scene.row("by_them")
    assert row is not None
    assert row[column] in EMPTY
    assert set(scene.changes()) == {"update done"}
    assert scene.writes() == [f"PUT {name}" for name in names]
    check_peace(scene)
    scene.act(edits(names[0], **{wire: second}))
    scene.world.sync()
    assert scene.need(names[0]).get(wire) not in EMPTY
    check_peace(scene)
    scene.close()


def _nothing(empty: tuple[Any, ...]) -> Any:
    return empty[0]


def occurrence(name: str) -> Act:
    """A colleague completes one occurrence of a series."""

    def run(scene: Scene) -> None:
        moment = 1_777_629_600_000
        scene.model.complete_instance(scene.need(name).id, moment, user=scene.colleague)

    return run


SERIES: Final = {"recurring": 2, "recurring_interval": 1, "start_date": DAY, "due_date": DAY}


@table(
    Edge(
        "what can't be empty is put back",
        given={"task": {"color_value": "#111111", "priority": 5}},
        when=[
            "UPDATE tasks SET color_value = ''",
            "UPDATE tasks SET permissions = '[]'",
            "UPDATE tasks SET permissions = NULL, priority = NULL, title = 'ours'",
        ],
        there={"task": {"color_value": "#111111", "priority": 5, "title": "ours"}},
        log=[f"update rejected: {c} can't be empty" for c in ("color_value", *["permissions"] * 2)],
        writes=["PUT task"],
    ),
    Edge(
        "no boolean is null",
        given={"task": {"starred": True}},
        when=[refused("UPDATE tasks SET starred = NULL", "(?i)not.null")],
        there={"task": {"starred": True}},
        log=[],
    ),
    Edge(
        "cleared here, changed there: a conflict",
        given={"task": {"message": "base"}},
        when=["UPDATE tasks SET message = NULL", edits("task", message="theirs")],
        there={"task": {"message": "theirs"}},
        conflicts=["message: base / None / theirs -> remote"],
    ),
    Edge(
        "changed here, cleared there: a conflict",
        given={"task": {"due_date": DAY}},
        when=["UPDATE tasks SET due_date = '2026-06-01 10:00'", edits("task", due_date=None)],
        there={"task": {"due_date": None}},
        conflicts=[
            "due_date: 2026-05-01 10:00:00.000000 / 2026-06-01 10:00:00.000000 / None -> remote"
        ],
    ),
    Edge(
        "cleared on both sides",
        given={"task": {"tags": ["a"], "message": "m"}},
        when=["UPDATE tasks SET tags = NULL, message = ''", edits("task", tags=[], message=None)],
        there={"task": {"tags": None}},
        log=["update merged"],
        writes=[],
    ),
    Edge(
        "lists changed on both sides are merged, a list cleared here keeps what they added",
        given={"task": {"tags": ["a", "b"]}, "other": {"tags": ["a", "b"]}},
        when=[
            'UPDATE tasks SET tags = \'["b", "c"]\' WHERE guid = :task',
            "UPDATE tasks SET tags = NULL WHERE guid = :other",
            edits("task", tags=["a", "d"]),
            edits("other", tags=["a", "b", "d"]),
        ],
        there={"task": {"tags": ["d", "c"]}, "other": {"tags": ["d"]}},
        log=["update done", "update done"],
    ),
    Edge(
        "a list in another order is the same list, whoever orders it",
        given={"task": {"tags": ["a", "b"]}, "other": {"tags": ["a", "b"]}},
        when=[
            'UPDATE tasks SET tags = \'["b","a"]\' WHERE guid = :task',
            edits("other", tags=["b", "a"]),
        ],
        log=["update merged"],
        writes=[],
    ),
    Edge(
        "a series is made, changed, and ended",
        given={"task": {"start_date": DAY}},
        when=[
            (
                "UPDATE tasks SET recurring = 3, recurring_interval = 2, "
                "recurring_end_date = '2027-01-01 10:00'"
            ),
            sync,
            "UPDATE tasks SET recurring_interval = 999",
            sync,
            "UPDATE tasks SET recurring = 0, recurring_interval = NULL, recurring_end_date = NULL",
        ],
        there={"task": {"recurring": 0, "recurring_interval": None, "recurring_end_date": None}},
        log=["update done"] * 3,
        writes=["PUT task"] * 3,
    ),
    Edge(
        "a new series",
        when=[
            (
                "INSERT INTO events (guid, title, start_date, recurring, recurring_interval) "
                "VALUES (:new, 'new', '2026-05-01 10:00', 1, 3)"
            )
        ],
        there={"new": {"recurring": 1, "recurring_interval": 3, "instances": []}},
        log=["insert done"],
    ),
    Edge(
        "an interval that hiTask has not",
        given={"task": SERIES},
        when=[
            "UPDATE tasks SET recurring_interval = 1000",
            sync,
            "UPDATE tasks SET recurring_interval = 0",
        ],
        there={"task": {"recurring_interval": 1}},
        log=["update rejected: code 47", "update rejected: code 47"],
    ),
    Edge(
        "one occurrence is completed there",
        given={"task": SERIES},
        when=[occurrence("task"), "UPDATE tasks SET title = 'ours'"],
        there={"task": {"title": "ours", "completed": False}},
        here={"task": {"completed": 0}},
        log=["update done"],
        writes=["PUT task"],
    ),
    Edge(
        "an occurrence is completed there twice, and the whole series here",
        given={"task": SERIES},
        when=[occurrence("task"), occurrence("task"), sync, "UPDATE tasks SET completed = 1"],
        there={"task": {"completed": True}},
        log=["update done"],
    ),
    Edge(
        "an unreadable answer of one field does no harm to the others",
        given={"task": {"tags": ["a"]}},
        when=[
            lambda scene: scene.need("task").values.update(tags="not a list"),
            edits("task", title="theirs"),
            full_sync,
            "UPDATE tasks SET color = 2",
            lambda scene: scene.need("task").values.update(tags=["a"]),
            full_sync,
        ],
        there={"task": {"title": "theirs", "color": 2, "tags": ["a"]}},
    ),
    Edge(
        "a file from there is renamed and deleted here",
        given={"file": {"kind": "file", "file_size": 2**40}, "other": {"kind": "file"}},
        when=[
            "UPDATE files SET title = 'ours' WHERE guid = :file",
            "DELETE FROM files WHERE guid = :other",
        ],
        there={"file": {"title": "ours", "file_size": 2**40}, "other": None},
        log=["update done", "delete done"],
    ),
    Edge(
        "a contact and a client",
        given={"person": {"kind": "contact", "contact": '["vcard",[]]'}},
        when=[
            "UPDATE other_items SET title = 'ours' WHERE guid = :person",
            "INSERT INTO other_items (guid, title, category) VALUES (:new, 'new', 6)",
            sync,
            sql("UPDATE other_items SET category = 7 WHERE guid = :new"),
        ],
        there={"person": {"title": "ours", "category": 7}, "new": {"category": 6}},
        log=["update done", "insert done", "update rejected: category is read-only"],
        writes={"PUT person": 1, "POST": 1},
    ),
)
def test_fields(house: House, edge: Edge) -> None:
    run_edge(house, edge)


# What is done, and the level that the documentation asks for it.
NEEDS: Final[dict[str, tuple[str, int]]] = {
    "star": ("UPDATE tasks SET starred = true WHERE guid = :star", 10),
    "child": ("INSERT INTO tasks (guid, title, parent_guid) VALUES (:new, 'new', :child)", 30),
    "below": ("UPDATE tasks SET parent_guid = :below WHERE guid = :own", 30),
    "assign": ("UPDATE tasks SET assignee_id = :colleague WHERE guid = :assign", 40),
    "complete": ("UPDATE tasks SET completed = true WHERE guid = :complete", 50),
    "title": ("UPDATE tasks SET title = 'ours' WHERE guid = :title", 60),
    "message": ("UPDATE tasks SET message = 'ours' WHERE guid = :message", 60),
    "color": ("UPDATE tasks SET color = 3 WHERE guid = :color", 60),
    "tags": ("UPDATE tasks SET tags = '[\"x\"]' WHERE guid = :tags", 60),
    "date": ("UPDATE tasks SET due_date = '2026-05-01 10:00' WHERE guid = :date", 60),
    "move": ("UPDATE tasks SET parent_guid = :own WHERE guid = :move", 60),
    "priority": ("UPDATE tasks SET priority = 3 WHERE guid = :priority", 60),
    "estimate": ("UPDATE tasks SET time_est_minutes = 3 WHERE guid = :estimate", 60),
    "share": ("UPDATE tasks SET permissions = :sharing WHERE guid = :share", 70),
    "archive": ("UPDATE tasks SET archived = true WHERE guid = :archive", 80),
    "delete": ("DELETE FROM tasks WHERE guid = :delete", 100),
}


@pytest.mark.parametrize("level", [10, 20, 30, 40, 50, 60, 70, 80, 100])
def test_what_a_level_forbids_costs_no_request(house: House, level: int) -> None:
    given: dict[str, dict[str, Any]] = {name: {"permission": level} for name in NEEDS}
    scene = make_scene(house, {**given, "own": {}})
    scene.guid("new")
    shares = [{"level": 100, "principal": who} for who in ("all", str(scene.colleague.id))]
    for statement, _ in NEEDS.values():
        scene.sql(statement, sharing=json.dumps(shares))
    scene.world.sync()
    refused_ones = {name: needed for name, (_, needed) in NEEDS.items() if needed > level}
    log = scene.changes()
    assert len(log) == len(NEEDS)
    for (name, (_, needed)), line in zip(NEEDS.items(), log, strict=True):
        if name in refused_ones:
            assert f"permission {needed}" in line, (name, line)
            assert line.split()[1] == "rejected:", (name, line)
        else:
            assert line.split()[1] == "done", (name, line)
    assert len(scene.writes()) == len(NEEDS) - len(refused_ones), scene.writes()
    check_peace(scene, ["new"] if level < NEEDS["child"][1] else [])
    scene.close()


@table(
    Edge(
        "a statement of which the level allows a part",
        given={"task": {"permission": 50, "title": "base"}},
        when=["UPDATE tasks SET title = 'x', completed = true, starred = true, archived = true"],
        there={"task": {"title": "base", "completed": True, "starred": True}},
        here={"task": {"archived": 0}},
        log=["update rejected: permission 60"],
        writes=["PUT task"],
    ),
    Edge(
        "replaced whole, of which the level allows nothing",
        given={"task": {"permission": 10, "title": "base", "tags": ["a"]}},
        when=["REPLACE INTO tasks (guid, title) VALUES (:task, 'x')"],
        there={"task": {"title": "base", "tags": ["a"]}},
        here={"task": {"title": "base", "tags": '["a"]'}},
        writes=[],
    ),
    Edge(
        "the right was given since",
        given={"task": {"permission": 20}},
        when=["UPDATE tasks SET title = 'ours'", lambda scene: _share(scene, "task", 60)],
        there={"task": {"title": "ours"}},
        log=["update done"],
    ),
    Edge(
        "the right was taken since",
        given={"task": {"permission": 100, "title": "base"}},
        when=["UPDATE tasks SET title = 'ours'", lambda scene: _share(scene, "task", 20)],
        here={"task": {"permission": 20, "title": "base"}},
        log=["update rejected: permission 60"],
        writes=[],
    ),
    Edge(
        "deleted here, and the right taken there, which is an edit: the row comes back",
        given={"task": {}},
        when=["DELETE FROM tasks", lambda scene: _share(scene, "task", 20)],
        here={"task": {"permission": 20}},
        log=["delete merged"],
        conflicts=1,
        writes=[],
    ),
    Edge(
        "the item is no longer shared with the account: it leaves, an edit of it is kept",
        given={"task": {}, "other": {}},
        when=[
            "UPDATE tasks SET title = 'ours' WHERE guid = :task",
            lambda scene: _share(scene, "task", 0),
        ],
        here={"task": None},
        conflicts=["title: task / ours / None -> remote"],
        removed=["task: gone from hiTask"],
        writes=[],
    ),
    Edge(
        "it is shared again: it comes back",
        given={"task": {}, "other": {}},
        when=[
            lambda scene: _share(scene, "task", 0),
            sync,
            lambda scene: _share(scene, "task", 100),
            sync,
            "UPDATE tasks SET title = 'ours' WHERE guid = :task",
        ],
        there={"task": {"title": "ours"}},
        log=["update done"],
    ),
    Edge(
        "the account gives its own right away",
        given={"task": {}, "other": {}},
        when=[
            sql(
                "UPDATE tasks SET permissions = :only WHERE guid = :task",
                only='[{"level": 100, "principal": "190989"}]',
            ),
            sync,
        ],
        here={"task": None},
    ),
)
def test_permissions(house: House, edge: Edge) -> None:
    run_edge(house, edge)


def _share(scene: Scene, name: str, level: int) -> None:
    everyone = scene.model.team.everyone.id
    scene.model.update(
        scene.need(name).id,
        user=scene.colleague,
        permissions=[{"principal": everyone, "level": level}],
    )
