"""Parents in any order, moves, circles, and children whose parent is gone."""

from __future__ import annotations

from typing import Any

from hisync.plan.actions import Policy
from tests.edges.acts import (
    archives,
    creates,
    deletes,
    during,
    edits,
    fault,
    full_sync,
    one_transaction,
    sync,
)
from tests.edges.edge import Edge, run_edge, table
from tests.edges.house import House
from tests.edges.scene import Act, Scene

BOTH = True

PUT, POST = "PUT /item/*", "POST /item"
ROW: dict[str, dict[str, Any]] = {"a": {}, "b": {}, "c": {}}
CHAIN: dict[str, dict[str, Any]] = {"a": {}, "b": {"parent": "a"}, "c": {"parent": "b"}}
OWN = "parent_guid makes the item its own ancestor"


def put(name: str, parent: str, kind: str = "tasks", title: str = "") -> str:
    return (
        f"INSERT INTO {kind} (guid, title, parent_guid) "
        f"VALUES (:{name}, '{title or name}', :{parent})"
    )


def move(name: str, parent: str | None, kind: str = "tasks") -> str:
    return (
        f"UPDATE {kind} SET parent_guid = {f':{parent}' if parent else 'NULL'} WHERE guid = :{name}"
    )


def under(name: str) -> dict[str, Any]:
    return {"in": name}


TOP: dict[str, Any] = {"in": None}


def hidden_parent(scene: Scene) -> None:
    """The colleague's parent is theirs alone; its child is everyone's."""
    parent = scene.model.create(
        user=scene.colleague,
        guid=scene.guid("hidden"),
        title="hidden",
        permissions=[{"principal": str(scene.colleague.id), "level": 100}],
    )
    scene.model.create(
        user=scene.colleague,
        guid=scene.guid("child"),
        title="child",
        parent=parent.id,
        permissions=[{"principal": scene.model.team.everyone.id, "level": 100}],
    )


def children(name: str, count: int) -> Act:
    def run(scene: Scene) -> None:
        for number in range(count):
            scene.create(f"{name}{number}", {"parent": name})

    return run


ORDER = table(
    Edge(
        "five generations, youngest first, of three kinds",
        when=[
            put("e", "d", "notes"),
            put("d", "c"),
            put("c", "b", "events"),
            put("b", "a"),
            "INSERT INTO projects (guid, title) VALUES (:a, 'a')",
        ],
        there={"e": under("d"), "d": under("c"), "c": under("b"), "b": under("a"), "a": TOP},
        log={"insert done": 5},
        writes={"POST": 5},
    ),
    Edge(
        "a child waits for its refused parent, and goes out once that is mended",
        when=[
            "INSERT INTO tasks (guid, title) VALUES (:a, printf('%.300c', 'x'))",
            put("b", "a"),
            put("c", "b"),
            sync,
            "UPDATE tasks SET title = 'short' WHERE guid = :a",
        ],
        there={"a": {"title": "short"}, "b": under("a"), "c": under("b")},
        writes=["POST", "POST", "POST", "POST"],
    ),
    Edge(
        "a child waits for its refused parent, without asking again and again",
        when=[
            "INSERT INTO tasks (guid, title) VALUES (:a, printf('%.300c', 'x'))",
            put("b", "a"),
            sync,
            sync,
            sync,
        ],
        there={"a": None, "b": None},
        log=["insert rejected: code 25", "insert blocked: parent"],
        writes=["POST"],
        waits=["blocked"],
        here_only=["a", "b"],
    ),
    Edge(
        "a child whose refused parent is deleted again is explained",
        when=[
            "INSERT INTO tasks (guid, title) VALUES (:a, printf('%.300c', 'x'))",
            put("b", "a"),
            sync,
            "DELETE FROM tasks WHERE guid = :a",
        ],
        log=[
            "insert rejected: code 25",
            "insert rejected: is no item of this account",
            "delete merged",
        ],
        here_only=["b"],
    ),
    Edge(
        "a child of a parent whose create got lost",
        when=[
            "INSERT INTO tasks (guid, title) VALUES (:a, 'a')",
            put("b", "a"),
            fault("POST /item:drop_after:1"),
            sync,
        ],
        there={"b": under("a")},
        log=["insert done", "insert done"],
        writes=["POST", "POST"],
    ),
    Edge(
        "a new row as the parent of known ones",
        given=ROW,
        when=["INSERT INTO projects (guid, title) VALUES (:top, 'top')", move("a", "top")],
        there={"a": under("top"), "b": TOP},
        log=["insert done", "update done"],
        writes=["POST", "PUT a"],
    ),
    Edge(
        "a parent that is in no table is refused",
        given=ROW,
        when=[move("a", "nobody"), put("x", "nobody")],
        there={"a": TOP},
        here={"a": {"parent_guid": None}},
        log=["update rejected: is no item of this account", "insert rejected: no item"],
        here_only=["x"],
        writes=[],
    ),
    Edge(
        "a parent that comes later in the day",
        when=[
            put("b", "a"),
            sync,
            "INSERT INTO tasks (guid, title) VALUES (:a, 'a')",
            sync,
            "UPDATE tasks SET title = 'b again' WHERE guid = :b",
        ],
        there={"b": {"in": "a", "title": "b again"}},
    ),
    Edge(
        "a colleague creates the parent while its child is put in here",
        when=[creates("a"), sync, put("b", "a"), creates("c", parent="a")],
        there={"b": under("a"), "c": under("a")},
        log=["insert done"],
    ),
)

MOVES = table(
    Edge(
        "moved here, moved on, and to the top",
        given=CHAIN,
        when=[move("c", "a"), sync, move("c", None)],
        there={"c": TOP, "b": under("a")},
        log=["update done", "update done"],
        writes=["PUT c", "PUT c"],
    ),
    Edge(
        "moved there, and to the top there",
        given=CHAIN,
        when=[edits("c", parent="a"), sync, edits("c", parent=0), edits("b", parent="c")],
        here={"c": TOP, "b": under("c"), "a": TOP},
        writes=[],
    ),
    Edge(
        "moved to the top by an empty text",
        given=CHAIN,
        when=["UPDATE tasks SET parent_guid = '' WHERE guid = :c"],
        there={"c": TOP},
        log=["update done"],
    ),
    Edge(
        "moved both here and there: a conflict",
        given={**ROW, "d": {}},
        when=[move("c", "a"), edits("c", parent="b")],
        there={"c": under("b")},
        conflicts=1,
    ),
    Edge(
        "parent and child change places",
        given=CHAIN,
        when=[one_transaction(move("b", None), move("a", "b"))],
        there={"a": under("b"), "b": TOP, "c": under("b")},
        log={"update done": 2},
    ),
    Edge(
        "parent and child change places, written the other way round",
        given=CHAIN,
        when=[one_transaction(move("a", "b"), move("b", None))],
        there={"a": under("b"), "b": TOP, "c": under("b")},
        log={"update done": 2},
    ),
    Edge(
        "the chain is turned upside down",
        given=CHAIN,
        when=[one_transaction(move("a", "b"), move("b", "c"), move("c", None))],
        there={"a": under("b"), "b": under("c"), "c": TOP},
        log={"update done": 3},
    ),
    Edge(
        "a row as its own parent",
        given=ROW,
        when=[move("a", "a"), put("x", "x")],
        there={"a": TOP},
        log=[f"update rejected: {OWN}", f"insert rejected: {OWN}"],
        here_only=["x"],
        writes=[],
    ),
    Edge(
        "two rows, each the other's parent",
        given=ROW,
        when=[move("a", "b"), move("b", "a")],
        there={"a": TOP, "b": TOP},
        log=[f"update rejected: {OWN}", f"update rejected: {OWN}"],
        writes=[],
    ),
    Edge(
        "a child as its grandparent's parent",
        given=CHAIN,
        when=[move("a", "c")],
        there={"a": TOP, "c": under("b")},
        log=[f"update rejected: {OWN}"],
        writes=[],
    ),
    Edge(
        "three rows in a circle, and one below it that only waits for nobody",
        given={**ROW, "d": {}},
        when=[move("a", "b"), move("b", "c"), move("c", "a"), move("d", "a")],
        there={"a": TOP, "b": TOP, "c": TOP},
        log={"update rejected": 3, "update done": 1},
        writes=["PUT d"],
    ),
    Edge(
        "three new rows in a circle",
        when=[put("a", "b"), put("b", "c"), put("c", "a")],
        log={"insert rejected": 3},
        here_only=["a", "b", "c"],
        writes=[],
    ),
    Edge(
        "a circle of new rows is mended",
        when=[
            put("a", "b"),
            put("b", "a"),
            sync,
            move("a", None),
            "UPDATE tasks SET title = 'b again' WHERE guid = :b",
        ],
        there={"a": TOP, "b": {"in": "a", "title": "b again"}},
        writes=["POST", "POST"],
    ),
    Edge(
        "a circle made by two sides, seen in time",
        given=ROW,
        when=[move("a", "b"), edits("b", parent="a")],
        there={"a": TOP, "b": under("a")},
        here={"a": TOP, "b": under("a")},
        log=[f"update rejected: {OWN}"],
        writes=[],
    ),
    Edge(
        "a circle made by two sides, seen by hiTask alone",
        given=ROW,
        when=[move("a", "b"), during(PUT, edits("b", parent="a"))],
        there={"a": TOP, "b": under("a")},
        log=["update rejected: moved into itself"],
        writes=["PUT a"],
    ),
    Edge(
        "a circle of three made by two sides",
        given=ROW,
        when=[move("a", "b"), edits("b", parent="c"), edits("c", parent="a")],
        there={"a": TOP, "b": under("c"), "c": under("a")},
        log=[f"update rejected: {OWN}"],
    ),
    Edge(
        "a refused move does not hold up the title in the same statement",
        given=CHAIN,
        when=["UPDATE tasks SET parent_guid = :c, title = 'ours' WHERE guid = :a"],
        there={"a": {"in": None, "title": "ours"}},
        log=[f"update rejected: {OWN}"],
        writes=["PUT a"],
    ),
)

GONE = table(
    Edge(
        "a parent deleted here with its children: youngest first",
        given={**CHAIN, "bystander": {}},
        when=["DELETE FROM tasks WHERE title IN ('a', 'b', 'c')"],
        there={"a": None, "b": None, "c": None},
        log={"delete done": 3},
        writes=["DELETE c", "DELETE b", "DELETE a"],
    ),
    Edge(
        "a parent deleted here alone is refused, with the number of its children",
        given=CHAIN,
        when=["DELETE FROM tasks WHERE guid = :a"],
        there={"b": under("a")},
        here={"a": {"title": "a"}},
        log=["delete rejected: 1 child items"],
        writes=[],
    ),
    Edge(
        "the child is moved away and the parent deleted in one go",
        given=CHAIN,
        when=[one_transaction(move("b", None), "DELETE FROM tasks WHERE guid = :a")],
        there={"a": None, "b": TOP, "c": under("b")},
        log=["update done", "delete done"],
        writes=["PUT b", "DELETE a"],
    ),
    Edge(
        "the child's move is refused, so the parent stays as well",
        given={"a": {}, "b": {"parent": "a", "permission": 20}, "c": {"parent": "b"}},
        when=[one_transaction(move("b", None), "DELETE FROM tasks WHERE guid = :a")],
        there={"b": under("a")},
        log=["update rejected: permission 60", "delete rejected: 1 child items"],
        writes=[],
    ),
    Edge(
        "a parent deleted here, to which a colleague added a child just before",
        given=ROW,
        when=[creates("kid", parent="a"), "DELETE FROM tasks WHERE guid = :a"],
        there={"kid": under("a")},
        log=["delete rejected: 1 child items"],
        writes=[],
    ),
    Edge(
        "a parent deleted there: its children are lifted",
        given=CHAIN,
        when=[deletes("a")],
        here={"a": None, "b": TOP, "c": under("b")},
        writes=[],
    ),
    Edge(
        "a parent deleted there with all below it",
        given={**CHAIN, "bystander": {}},
        when=[deletes("a", cascade=True)],
        here={"a": None, "b": None, "c": None},
        writes=[],
    ),
    Edge(
        "a parent archived there with all below it, an edit of a grandchild unsent: kept",
        given={**CHAIN, "bystander": {}},
        when=[archives("a", cascade=True), "UPDATE tasks SET title = 'ours' WHERE guid = :c"],
        here={"a": None, "b": None, "c": None},
        conflicts=["title: c / ours / None -> remote"],
        writes=[],
    ),
    Edge(
        "the same, where local edits win: the grandchild is made anew, at the top",
        given={**CHAIN, "bystander": {}},
        rules={"policy": Policy("local")},
        when=[archives("a", cascade=True), "UPDATE tasks SET title = 'ours' WHERE guid = :c", sync],
        here={"a": None, "b": None},
        there={"c": {"title": "ours", "in": None}},
        conflicts=["title: c / ours / None -> local"],
    ),
    Edge(
        "a child put in here under a parent that was just deleted there",
        given={**ROW, "bystander": {}},
        when=[deletes("a"), put("kid", "a")],
        there={"a": None, "kid": None},
        log=["insert rejected: is no item of this account"],
        here_only=["kid"],
        writes=[],
    ),
    Edge(
        "a child put in here under a parent that is deleted there while it is sent",
        given={**ROW, "bystander": {}},
        when=[put("kid", "a"), during(POST, deletes("a")), sync],
        there={"a": None, "kid": None},
        log={"insert rejected": 1},
        here_only=["kid"],
    ),
    Edge(
        "deleting a parent there deletes its children, on a server of that habit",
        traits=["orphans=deleted"],
        given={**ROW, "bystander": {}},
        when=[
            "DELETE FROM tasks WHERE guid = :a",
            during("DELETE /item/*", children("a", 2)),
            sync,
        ],
        there={"a": None, "a0": None},
        here={"a0": None},
    ),
    Edge(
        "archiving a parent here lifts its children",
        given=CHAIN,
        when=["UPDATE tasks SET archived = true WHERE guid = :a", sync],
        there={"a": None, "b": TOP},
        here={"a": None, "b": TOP},
        writes=["ARCHIVE"],
    ),
    Edge(
        "archiving a tree here",
        given={**CHAIN, "bystander": {}},
        when=["UPDATE tasks SET archived = true WHERE guid IN (:a, :b, :c)", sync],
        there={"a": None, "b": None, "c": None},
        here={"a": None, "b": None, "c": None},
        log={"update done": 3},
        writes={"ARCHIVE": 3},
    ),
    Edge(
        "a child whose parent the account can not see is mirrored and edited",
        when=[
            hidden_parent,
            sync,
            "UPDATE tasks SET title = 'ours' WHERE guid = :child",
            full_sync,
        ],
        there={"child": {"title": "ours"}},
        log=["update done"],
        writes=["PUT child"],
    ),
    Edge(
        "a child whose parent the account can not see is moved to the top",
        when=[hidden_parent, sync, move("child", None)],
        there={"child": TOP},
        log=["update done"],
    ),
    Edge(
        "the parent's kind changes while it has children here and there",
        given={"a": {"kind": "project", "short_name": "AAA"}, "b": {"parent": "a"}},
        when=[edits("a", category=1, short_name=None), put("new", "b"), sync, move("new", "a")],
        there={"b": under("a"), "new": under("a")},
        here={"a": {"table": "tasks"}},
    ),
)


@ORDER
def test_order(house: House, edge: Edge) -> None:
    run_edge(house, edge)


@MOVES
def test_moves(house: House, edge: Edge) -> None:
    run_edge(house, edge)


@GONE
def test_children_of_what_is_gone(house: House, edge: Edge) -> None:
    run_edge(house, edge)
