"""Edits that fall into the middle of a request about the same row, on either side."""

from __future__ import annotations

from collections.abc import Callable

from hisync.errors import RetryLaterError, ServiceError
from tests.edges.acts import (
    archives,
    comments,
    creates,
    deletes,
    during,
    edits,
    fails,
    fault,
    full_sync,
    sets,
    sync,
)
from tests.edges.edge import Edge, run_edge, table
from tests.edges.house import House
from tests.edges.scene import Scene

BOTH = True

TASK = {"task": {"title": "base", "tags": ["a", "b"]}}
RENAME = "UPDATE tasks SET title = 'ours' WHERE guid = :task"
AGAIN = "UPDATE tasks SET title = 'newer' WHERE guid = :task"
BACK = "UPDATE tasks SET title = 'base' WHERE guid = :task"
RECOLOR = "UPDATE tasks SET color = 5 WHERE guid = :task"
NEW = "INSERT INTO tasks (guid, title) VALUES (:new, 'new')"
DELETE = "DELETE FROM tasks WHERE guid = :task"
PUT, POST, ERASE, ARCHIVE = "PUT /item/*", "POST /item", "DELETE /item/*", "POST /item/archive"
DELTA, FULL = "GET /item/delta/*", "GET /item"


def titles(*wanted: str) -> Callable[[Scene], None]:
    def ask(scene: Scene) -> None:
        assert sorted(item.title for item in scene.model.items()) == sorted(wanted)

    return ask


def keeps_title(name: str, title: str) -> Callable[[Scene], None]:
    """What left the mirror is kept with its title."""

    def ask(scene: Scene) -> None:
        query = "SELECT last_values AS kept FROM removed_rows WHERE row_guid = ?"
        (row,) = scene.ask(query, scene.guid(name))
        assert f'"{title}"' in str(row["kept"])

    return ask


PUSHES = table(
    *(
        Edge(
            f"the same column again while it is sent ({when})",
            given=TASK,
            when=[RENAME, during(PUT, AGAIN, after=after)],
            there={"task": {"title": "newer"}},
            log=["update done", "update done"],
            writes=["PUT task", "PUT task"],
        )
        for when, after in (("before it arrives", False), ("before it is answered", True))
    ),
    Edge(
        "the same column again while it is sent, and the answer is lost",
        given=TASK,
        when=[RENAME, during(PUT, AGAIN), fault("PUT /item/*:drop_after:1"), sync],
        there={"task": {"title": "newer"}},
        log=["update done", "update done"],
    ),
    Edge(
        "a cell that can't be read, while another row is sent: refused by name, the rest goes out",
        given={**TASK, "other": {}},
        when=[
            "UPDATE tasks SET color = 3 WHERE guid = :other",
            RENAME,
            during(PUT, "UPDATE tasks SET due_date = 'infinity' WHERE guid = :task"),
        ],
        there={"task": {"title": "ours", "due_date": None}},
        log=["update done", "update done", "update rejected: due_date"],
        writes=["PUT other", "PUT task"],
    ),
    Edge(
        "back to the old value while the new one is sent",
        given=TASK,
        when=[RENAME, during(PUT, BACK, after=True)],
        there={"task": {"title": "base"}},
        log=["update done", "update done"],
        writes=["PUT task", "PUT task"],
    ),
    Edge(
        "back to the old value while the new one is sent, and the answer is lost",
        given=TASK,
        when=[RENAME, during(PUT, BACK), fault("PUT /item/*:drop_after:1"), sync],
        there={"task": {"title": "base"}},
    ),
    Edge(
        "back to the old value while the new one is sent, which never arrives",
        given=TASK,
        when=[RENAME, during(PUT, BACK), fault("PUT /item/*:drop_before:1"), sync],
        there={"task": {"title": "base"}},
    ),
    Edge(
        "another column while one is sent",
        given=TASK,
        when=[RENAME, during(PUT, RECOLOR, after=True)],
        there={"task": {"title": "ours", "color": 5}},
        log=["update done", "update done"],
    ),
    Edge(
        "another column while one is sent that hiTask refuses",
        given=TASK,
        when=[
            "UPDATE tasks SET title = printf('%.300c', 'x') WHERE guid = :task",
            during(PUT, RECOLOR),
        ],
        there={"task": {"title": "base", "color": 5}},
        log=["update rejected: code 25", "update done"],
    ),
    Edge(
        "the same column, mended, while the wrong value is sent",
        given=TASK,
        when=[
            "UPDATE tasks SET title = printf('%.300c', 'x') WHERE guid = :task",
            during(PUT, AGAIN),
        ],
        there={"task": {"title": "newer"}},
        log=["update rejected: code 25", "update done"],
    ),
    Edge(
        "deleted while an edit of it is sent",
        given=TASK,
        when=[RENAME, during(PUT, DELETE)],
        there={"task": None},
        log=["update done", "delete done"],
        writes=["PUT task", "DELETE task"],
        removed=["task: deleted here"],
    ),
    Edge(
        "deleted while an edit of it is sent, and the answer is lost",
        given=TASK,
        when=[RENAME, during(PUT, DELETE), fault("PUT /item/*:drop_after:1"), sync],
        there={"task": None},
        removed=["task: deleted here"],
    ),
    Edge(
        "replaced while an edit of it is sent",
        given=TASK,
        when=[
            RENAME,
            during(PUT, "REPLACE INTO tasks (guid, title) VALUES (:task, 'whole')", after=True),
        ],
        there={"task": {"title": "whole", "tags": None}},
        writes=["PUT task", "PUT task"],
    ),
    Edge(
        "archived while an edit of it is sent",
        given=TASK,
        when=[RENAME, during(PUT, "UPDATE tasks SET archived = true")],
        there={"task": None},
        log=["update done", "update done"],
        writes=["PUT task", "ARCHIVE"],
        removed=["task: archived here"],
    ),
    Edge(
        "edited while it is created",
        when=[NEW, during(POST, "UPDATE tasks SET title = 'newer', tags = '[\"x\"]'", after=True)],
        there={"new": {"title": "newer", "tags": ["x"]}},
        log=["insert done", "update done"],
        writes=["POST", "PUT new"],
    ),
    Edge(
        "deleted while it is created",
        when=[NEW, during(POST, "DELETE FROM tasks")],
        there={"new": None},
        log=["insert done", "delete done"],
        writes=["POST", "DELETE new"],
    ),
    Edge(
        "deleted while it is created, and the answer is lost",
        when=[NEW, during(POST, "DELETE FROM tasks"), fault("POST /item:drop_after:1"), sync],
        there={"new": None},
        then=[titles()],
    ),
    Edge(
        "deleted and put in again while it is created",
        when=[
            NEW,
            during(POST, "DELETE FROM tasks", after=True),
            during(POST, "INSERT INTO tasks (guid, title) VALUES (:new, 'again')", after=True),
        ],
        there={"new": {"title": "again"}},
        then=[titles("again")],
    ),
    Edge(
        "deleted while it is created, which hiTask refuses",
        when=[
            "INSERT INTO tasks (guid, title) VALUES (:new, printf('%.300c', 'x'))",
            during(POST, "DELETE FROM tasks"),
        ],
        there={"new": None},
        log=["insert rejected: code 25", "delete merged"],
        writes=["POST"],
    ),
    Edge(
        "put in again while it is deleted",
        given=TASK,
        when=[
            DELETE,
            during(ERASE, "INSERT INTO tasks (guid, title) VALUES (:task, 'again')", after=True),
        ],
        there={"task": {"title": "again", "tags": None}},
        log=["delete done", "insert done"],
        writes=["DELETE task", "POST"],
        removed=["task: deleted here"],
    ),
    Edge(
        "put in again while it is deleted, and the answer is lost",
        given={**TASK, "other": {}},
        when=[
            DELETE,
            during(ERASE, "INSERT INTO tasks (guid, title) VALUES (:task, 'again')"),
            fault("DELETE /item/*:drop_after:1"),
            sync,
            sync,
        ],
        there={"task": {"title": "again"}},
        then=[titles("again", "other")],
    ),
    Edge(
        "put in again while it is deleted: what left is kept as it was",
        given={**TASK, "other": {}},
        when=[DELETE, during(ERASE, "INSERT INTO tasks (guid, title) VALUES (:task, 'again')")],
        there={"task": {"title": "again"}},
        log=["delete done", "insert done"],
        removed=["task: deleted here"],
        then=[keeps_title("task", "base")],
    ),
    Edge(
        "edited while it is archived: explained, and kept among the removed",
        given=TASK,
        when=["UPDATE tasks SET archived = true", during(ARCHIVE, AGAIN)],
        there={"task": None},
        log=["update done", "update rejected: archived"],
        removed=["task: archived here"],
    ),
    Edge(
        "deleted while it is archived",
        given=TASK,
        when=["UPDATE tasks SET archived = true", during(ARCHIVE, DELETE, after=True)],
        there={"task": None},
        log=["update done", "delete merged: in hiTask's archive, not deleted"],
        writes=["ARCHIVE"],
        removed=["task: archived here"],
        then=[keeps_title("task", "base")],
    ),
    Edge(
        "taken back while it is archived, too late",
        given=TASK,
        when=[
            "UPDATE tasks SET archived = true",
            during(ARCHIVE, "UPDATE tasks SET archived = false"),
        ],
        there={"task": None},
        writes=["ARCHIVE"],
        removed=["task: archived here"],
    ),
    Edge(
        "a child is added while its parent is deleted",
        given=TASK,
        when=[
            DELETE,
            during(
                ERASE, "INSERT INTO tasks (guid, title, parent_guid) VALUES (:kid, 'kid', :task)"
            ),
        ],
        there={"task": None, "kid": None},
        log=["delete done", "insert rejected: is no item of this account"],
        here_only=["kid"],
    ),
    Edge(
        "a colleague edits the same column while ours is sent: recorded",
        given=TASK,
        when=[RENAME, during(PUT, edits("task", title="theirs"))],
        there={"task": {"title": "ours"}},
        conflicts=["title: base / ours / theirs -> local"],
    ),
    Edge(
        "a colleague edits the same column after ours was taken, before it is answered",
        given=TASK,
        when=[RENAME, during(PUT, edits("task", title="theirs"), after=True), sync],
        there={"task": {"title": "theirs"}},
        log=["update done"],
    ),
    Edge(
        "a colleague edits the same column after ours was taken, and the answer is lost",
        given=TASK,
        when=[
            RENAME,
            during(DELTA, during(DELTA, edits("task", title="theirs"))),
            fault("PUT /item/*:drop_after:1"),
            sync,
        ],
        there={"task": {"title": "theirs"}},
        conflicts=["title: base / ours / theirs -> remote"],
    ),
    Edge(
        "a colleague deletes the item while an edit of it is sent: the edit is kept",
        given={**TASK, "other": {}},
        when=[RENAME, during(PUT, deletes("task"))],
        there={"task": None},
        conflicts=["title: base / ours / None -> remote"],
        removed=["task: gone from hiTask"],
    ),
    Edge(
        "a colleague archives the item while an edit of it is sent: the edit is kept",
        given={**TASK, "other": {}},
        when=[RENAME, during(PUT, archives("task"))],
        there={"task": None},
        conflicts=["title: base / ours / None -> remote"],
        removed=["task: gone from hiTask"],
    ),
    Edge(
        "a colleague edits the item while it is deleted here",
        given={**TASK, "other": {}},
        when=[DELETE, during(ERASE, edits("task", title="theirs"))],
        there={"task": None},
        log=["delete done"],
        removed=["task: deleted here"],
    ),
    Edge(
        "a colleague adds a child while its parent is deleted here",
        given={**TASK, "other": {}},
        when=[DELETE, during(ERASE, creates("kid", parent="task")), sync],
        there={"task": None, "kid": {"in": None}},
        log=["delete done"],
    ),
    Edge(
        "a colleague comments while an edit is sent: no conflict",
        given=TASK,
        when=[RENAME, during(PUT, comments("task", "hello"))],
        there={"task": {"title": "ours", "last_comment": "hello"}},
        log=["update done"],
    ),
    Edge(
        "the item becomes one of another kind while an edit of it is sent",
        given=TASK,
        when=[RENAME, during(PUT, sets("task", category=4))],
        there={"task": {"title": "ours", "category": 4}},
        here={"task": {"table": "notes"}},
        log=["update done"],
    ),
    Edge(
        "the account loses the right to edit while an edit is sent",
        given={**TASK, "other": {}},
        when=[
            RENAME,
            during(PUT, lambda scene: _narrow(scene, "task", 20)),
        ],
        there={"task": {"title": "base", "permission": 20}},
        log=["update rejected: code 3"],
        here={"task": {"title": "base"}},
    ),
)

PULLS = table(
    *(
        Edge(
            f"an edit while {read} is read ({when})",
            given=TASK,
            when=[
                edits("task", color=3),
                during(request, RENAME, after=after),
                act,
            ],
            there={"task": {"title": "ours", "color": 3}},
            log=["update done"],
            writes=["PUT task"],
        )
        for read, request, act in (("a delta", DELTA, sync), ("everything", FULL, full_sync))
        for when, after in (("on the way there", False), ("on the way back", True))
    ),
    Edge(
        "an edit of the field that the answer on its way changes: a conflict, decided by policy",
        given=TASK,
        when=[edits("task", title="theirs"), during(DELTA, RENAME, after=True)],
        there={"task": {"title": "theirs"}},
        conflicts=["title: base / ours / theirs -> remote"],
        writes=[],
    ),
    Edge(
        "a deletion while the answer on its way changes the row: the edit there survives",
        given=TASK,
        when=[edits("task", title="theirs"), during(DELTA, DELETE, after=True)],
        there={"task": {"title": "theirs"}},
        here={"task": {"title": "theirs"}},
        conflicts=['row: {"title":"base"} / None / {"title":"theirs"} -> remote'],
        log=["delete merged"],
    ),
    Edge(
        "an edit while the answer on its way lacks the row: the edit is kept",
        given={**TASK, "other": {}},
        when=[deletes("task"), during(DELTA, RENAME, after=True)],
        here={"task": None},
        conflicts=["title: base / ours / None -> remote"],
        removed=["task: gone from hiTask"],
    ),
    Edge(
        "an edit while the second look at a missing row is on its way",
        given={**TASK, "other": {}},
        when=[deletes("task"), during(DELTA, during(DELTA, RENAME, after=True), after=True)],
        here={"task": None},
        conflicts=["title: base / ours / None -> remote"],
    ),
    Edge(
        "a row of the item's guid is put in while the answer that brings the item is on its way",
        when=[
            creates("both", title="theirs", color=4),
            during(DELTA, "INSERT INTO tasks (guid, title) VALUES (:both, 'ours')", after=True),
        ],
        here={"both": {"color": 4}},
        conflicts=["title: None / ours / theirs -> remote"],
        then=[titles("theirs")],
    ),
    Edge(
        "an answer cut off in the middle changes nothing, an edit meanwhile is kept",
        given=TASK,
        when=[
            edits("task", color=3),
            fault("GET /item*:cut:2"),
            during(DELTA, RENAME),
            fails(RetryLaterError, "answer"),
        ],
        there={"task": {"title": "ours", "color": 3}},
        log=["update done"],
    ),
    Edge(
        "hiTask is away for days, people go on editing",
        given=TASK,
        when=[
            fault("* *:drop_before:6"),
            RENAME,
            fails(ServiceError, "answer"),
            NEW,
            fails(ServiceError, "answer"),
            "UPDATE tasks SET color = 3",
            fails(ServiceError, "answer"),
            "INSERT INTO tasks (guid, title) VALUES (:brief, 'brief')",
            fails(ServiceError, "answer"),
            "DELETE FROM tasks WHERE guid = :brief",
            fails(ServiceError, "answer"),
            edits("task", message="theirs"),
            fails(ServiceError, "answer"),
        ],
        there={
            "task": {"title": "ours", "color": 3, "message": "theirs"},
            "new": {"color": 3},
            "brief": None,
        },
        writes=["POST", "PUT task"],
    ),
)


def _narrow(scene: Scene, name: str, level: int) -> None:
    everyone = scene.model.team.everyone.id
    scene.model.update(
        scene.need(name).id,
        user=scene.colleague,
        permissions=[{"principal": everyone, "level": level}],
    )


@PUSHES
def test_during_a_push(house: House, edge: Edge) -> None:
    run_edge(house, edge)


@PULLS
def test_during_a_pull(house: House, edge: Edge) -> None:
    run_edge(house, edge)
