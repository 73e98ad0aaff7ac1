"""Servers that differ from the documentation, or from one another."""

from __future__ import annotations

from collections.abc import Callable

from hisync.sandbox import Fault, traits_from
from tests.edges.acts import (
    creates,
    deletes,
    during,
    edits,
    fault,
    full_sync,
    sets,
    sync,
)
from tests.edges.edge import Edge, run_edge, table
from tests.edges.house import House
from tests.edges.scene import Act, Scene

BOTH = True

NEW = "INSERT INTO tasks (guid, title) VALUES (:new, 'new')"
RENAME = "UPDATE tasks SET title = 'ours' WHERE guid = :task"
TASK = {"task": {"title": "base"}}


def titles(*wanted: str) -> Callable[[Scene], None]:
    """hiTask has items of exactly these titles, however often each is named."""

    def ask(scene: Scene) -> None:
        assert sorted(item.title for item in scene.model.items()) == sorted(wanted)

    return ask


def habits(*traits: str) -> Act:
    """The server changes its habits."""

    def run(scene: Scene) -> None:
        scene.world.service.traits = traits_from(traits)

    return run


def next_id(number: int) -> Act:
    """The next item gets this number."""
    return lambda scene: setattr(scene.model, "next_id", number)


def strikes(*faults: Fault) -> Act:
    return lambda scene: scene.world.service.faults.add(*faults)


def twin(scene: Scene) -> None:
    """A second item with the task's guid."""
    scene.model.create(user=scene.colleague, guid=scene.guid("task"), title="twin")


def delete_the_older_twin(scene: Scene) -> None:
    scene.model.delete(scene.need("task").id, user=scene.colleague)


READS = table(
    Edge(
        "a changed item without a field: that field is empty now",
        given={"task": {"message": "m", "due_date": "2026-05-01T10:00:00.000+00:00", "color": 3}},
        when=[edits("task", message=None, due_date=None, color=0)],
        here={"task": {"message": None, "due_date": None}},
        writes=[],
    ),
    Edge(
        "a changed item with its nulls written out",
        traits=["nulls"],
        given={"task": {"message": "m", "tags": ["a"]}},
        when=[edits("task", message=None, tags=[])],
        here={"task": {"message": None}},
        writes=[],
    ),
    Edge(
        "cursors get another form overnight: everything is read once",
        given=TASK,
        when=[habits("opaque_cursor"), edits("task", title="theirs"), sync],
        here={"task": {"title": "theirs"}},
        writes=[],
    ),
    Edge(
        "the delta is gone overnight",
        given=TASK,
        when=[habits("delta=false"), edits("task", title="theirs"), sync, RENAME, sync],
        there={"task": {"title": "ours"}},
        log=["update done"],
    ),
    Edge(
        "cursors are gone overnight",
        given={**TASK, "other": {}},
        when=[habits("cursor=false"), deletes("other"), sync, sync, RENAME],
        there={"task": {"title": "ours"}},
        here={"other": None},
        removed=["other: gone from hiTask"],
    ),
    Edge(
        "stubs are gone overnight: what a delta no longer names is not deleted",
        given={**TASK, "other": {}},
        when=[habits("stubs=false"), sync, edits("task", title="theirs"), sync, sync],
        here={"other": {"title": "other"}, "task": {"title": "theirs"}},
        removed=[],
    ),
    Edge(
        "without stubs an item deleted there stays until a full read shows it",
        traits=["stubs=false"],
        given={**TASK, "other": {}},
        when=[deletes("other"), sync, edits("task", title="theirs"), full_sync, full_sync],
        here={"other": None, "task": {"title": "theirs"}},
        removed=["other: gone from hiTask"],
        writes=[],
    ),
    Edge(
        "an unknown category has a table, and can be edited",
        given=TASK,
        when=[
            sets("task", category=9),
            sync,
            "UPDATE other_items SET title = 'ours' WHERE guid = :task",
        ],
        there={"task": {"title": "ours", "category": 9}},
        here={"task": {"table": "other_items", "category": 9}},
        writes=["PUT task"],
    ),
    Edge(
        "an item of an unknown category can be deleted",
        given=TASK,
        when=[sets("task", category=99), sync, "DELETE FROM other_items WHERE guid = :task"],
        there={"task": None},
        removed=["task: deleted here"],
    ),
    Edge(
        "a new item of a category that hiTask does not know is refused",
        when=["INSERT INTO other_items (guid, title, category) VALUES (:new, 'new', 9)"],
        there={"new": None},
        log=["insert rejected: category 9"],
        here_only=["new"],
    ),
    Edge(
        "unknown fields are kept in extra, through an edit of ours",
        given=TASK,
        when=[sets("task", mood="good", depth_of_field={"a": [1, None]}), sync, RENAME],
        there={"task": {"title": "ours", "mood": "good"}},
        here={"task": {"extra": '{"mood":"good","depth_of_field":{"a":[1,null]}}'}},
        writes=["PUT task"],
    ),
    Edge(
        "a known field of an unreadable value is kept in extra and leaves its column empty",
        given={"task": {"priority": 10_000}},
        when=[sets("task", due_date_actual="soon", short_name=7), RENAME],
        there={"task": {"title": "ours"}},
        writes=["PUT task"],
    ),
    Edge(
        "numbers of 64 bits",
        given=TASK,
        when=[
            next_id(2**63 - 2),
            creates("large"),
            sync,
            "INSERT INTO tasks (guid, title, parent_guid) VALUES (:new, 'new', :large)",
            "UPDATE tasks SET title = 'ours' WHERE guid = :large",
        ],
        there={"new": {"in": "large"}, "large": {"title": "ours", "id": 2**63 - 2}},
        here={"new": {"id": 2**63 - 1}},
        writes=["POST", "PUT large"],
    ),
    Edge(
        "a large number is deleted by its number",
        when=[next_id(2**53 + 1), creates("large"), sync, "DELETE FROM tasks WHERE guid = :large"],
        there={"large": None},
        writes=["DELETE large"],
    ),
)


WRITES = table(
    Edge(
        "PUT wants guid and title: both go along, the title as freshly read",
        traits=["put_needs_guid_and_title"],
        given=TASK,
        when=[edits("task", title="theirs"), "UPDATE tasks SET color = 4 WHERE guid = :task"],
        there={"task": {"title": "theirs", "color": 4}},
        log=["update done"],
        writes=["PUT task", "PUT task"],
    ),
    Edge(
        "PUT wants a title, and a colleague renames in the middle: their title is not lost",
        traits=["put_needs_guid_and_title"],
        given={**TASK, "first": {}},
        when=[
            "UPDATE tasks SET color = 1 WHERE guid = :first",
            sync,
            "UPDATE tasks SET color = 4 WHERE guid = :task",
            during("PUT /item/*", edits("task", title="theirs")),
        ],
        there={"task": {"color": 4, "title": "theirs"}},
        here={"task": {"color": 4, "title": "theirs"}},
        conflicts=["title: base / base / theirs -> remote"],
    ),
    Edge(
        "PUT wants a title, and a colleague renames and converts: neither is lost",
        traits=["put_needs_guid_and_title"],
        given={**TASK, "first": {}},
        when=[
            "UPDATE tasks SET color = 1 WHERE guid = :first",
            sync,
            "UPDATE tasks SET color = 4 WHERE guid = :task",
            during("PUT /item/*", sets("task", category=4)),
            during("PUT /item/*", edits("task", title="theirs")),
        ],
        there={"task": {"color": 4, "title": "theirs", "category": 4}},
        here={"task": {"table": "notes", "title": "theirs"}},
        conflicts=["title: base / base / theirs -> remote"],
    ),
    Edge(
        "DELETE knows guids only",
        traits=["delete_by=guid"],
        given=TASK,
        when=["DELETE FROM tasks WHERE guid = :task"],
        there={"task": None},
        log=["delete done"],
        writes=["DELETE task", "DELETE task"],
        removed=["task: deleted here"],
    ),
    Edge(
        "DELETE knows numbers only",
        traits=["delete_by=id"],
        given=TASK,
        when=["DELETE FROM tasks WHERE guid = :task"],
        there={"task": None},
        writes=["DELETE task"],
    ),
    Edge(
        "DELETE by guid of an item whose guid the server made itself",
        traits=["delete_by=guid", "keeps_guid=false"],
        when=[NEW, sync, "DELETE FROM tasks WHERE guid = :new"],
        log=["insert done", "delete done"],
        then=[titles()],
    ),
    Edge(
        "DELETE of an item that is gone already",
        given=TASK,
        when=["DELETE FROM tasks WHERE guid = :task", during("DELETE /item/*", deletes("task"))],
        there={"task": None},
        log={"delete done": 1},
    ),
    Edge(
        "the server makes its own guids: the row keeps its own and is edited by number",
        traits=["keeps_guid=false"],
        when=[NEW, sync, "UPDATE tasks SET title = 'ours', color = 2 WHERE guid = :new"],
        there={"new": {"title": "ours", "color": 2}},
        log=["insert done", "update done"],
        then=[titles("ours")],
    ),
    Edge(
        "the server makes its own guids: children name their parent by its number",
        traits=["keeps_guid=false"],
        when=[
            "INSERT INTO projects (guid, title) VALUES (:top, 'top')",
            "INSERT INTO tasks (guid, title, parent_guid) VALUES (:new, 'new', :top)",
            sync,
            "INSERT INTO tasks (guid, title, parent_guid) VALUES (:late, 'late', :new)",
        ],
        here={"new": {"in": "top"}, "late": {"in": "new"}},
        log={"insert done": 3},
        then=[titles("top", "new", "late")],
    ),
    Edge(
        "the server makes its own guids, and the answer to a create is lost: one item",
        traits=["keeps_guid=false"],
        given=TASK,
        when=[NEW, fault("POST /item:drop_after:1"), sync, sync],
        log=["insert done"],
        then=[titles("base", "new")],
    ),
    Edge(
        "the server is known to make its own guids, and the answer to a create is lost: one item",
        traits=["keeps_guid=false"],
        when=[
            "INSERT INTO tasks (guid, title) VALUES (:first, 'first')",
            sync,
            NEW,
            fault("POST /item:drop_after:1"),
            sync,
            sync,
        ],
        log=["insert done", "insert done"],
        then=[titles("first", "new")],
    ),
    Edge(
        "the server makes its own guids: a colleague's item of one title is not ours",
        traits=["keeps_guid=false"],
        given=TASK,
        when=[NEW, fault("POST /item:drop_before:1"), creates("theirs", title="new"), sync, sync],
        then=[titles("base", "new", "new")],
    ),
    Edge(
        "a guid is accepted twice, and the answer to a create is lost: one item",
        traits=["repeated_guid=duplicates"],
        when=[NEW, fault("POST /item:drop_after:1")],
        log=["insert done"],
        then=[titles("new")],
    ),
    Edge(
        "a guid is accepted twice: both items are mirrored, each is edited by its number",
        traits=["repeated_guid=duplicates"],
        given=TASK,
        when=[
            twin,
            sync,
            RENAME,
            "UPDATE tasks SET title = 'their twin' WHERE title = 'twin'",
        ],
        log=["update done", "update done"],
        then=[titles("ours", "their twin")],
    ),
    Edge(
        "a guid is accepted twice, and the older item is deleted: the other keeps its row",
        traits=["repeated_guid=duplicates"],
        given=TASK,
        when=[twin, sync, delete_the_older_twin, sync],
        writes=[],
        then=[titles("twin")],
    ),
    Edge(
        "a guid is accepted twice, and the twin's row is deleted here: the first item stays",
        traits=["repeated_guid=duplicates"],
        given=TASK,
        when=[twin, sync, "DELETE FROM tasks WHERE title = 'twin'"],
        log=["delete done"],
        then=[titles("base")],
    ),
    Edge(
        "a guid is refused twice, and the answer to a create is lost: one item",
        traits=["repeated_guid=refuses"],
        when=[NEW, fault("POST /item:drop_after:1")],
        log=["insert done"],
        then=[titles("new")],
    ),
    Edge(
        "versions jump by themselves: no conflict is made up",
        traits=["version_step=5"],
        given=TASK,
        when=[NEW, RENAME, sync, "UPDATE tasks SET color = 2 WHERE guid = :new"],
        there={"new": {"color": 2}, "task": {"title": "ours"}},
        log=["insert done", "update done", "update done"],
        writes=["POST", "PUT task", "PUT new"],
    ),
    Edge(
        "versions jump since a colleague was faster, in a history of ten units",
        traits=["free_history", "history_wrapped"],
        given=TASK,
        when=[RENAME, during("PUT /item/*", edits("task", title="theirs"))],
        there={"task": {"title": "ours"}},
        conflicts=["title: base / ours / theirs -> local"],
    ),
    Edge(
        "versions jump, and the history can not be read: the write is done",
        given=TASK,
        when=[
            RENAME,
            during("PUT /item/*", edits("task", color=2)),
            fault("GET /item/history:status=500:1"),
        ],
        there={"task": {"title": "ours", "color": 2}},
        log=["update done"],
    ),
    Edge(
        "the last child is completed here, the parent there by itself",
        traits=["completes_parents"],
        given={"top": {}, "task": {"parent": "top"}},
        when=["UPDATE tasks SET completed = true WHERE guid = :task", sync],
        there={"top": {"completed": True}},
        here={"top": {"completed": 1}},
        writes=["PUT task"],
    ),
    Edge(
        "the parent is completed by itself while an edit of it waits",
        traits=["completes_parents"],
        given={"top": {}, "task": {"parent": "top"}},
        when=[
            "UPDATE tasks SET completed = true WHERE guid = :task",
            "UPDATE tasks SET title = 'ours' WHERE guid = :top",
        ],
        there={"top": {"completed": True, "title": "ours"}},
        writes={"PUT task": 1, "PUT top": 1},
    ),
    Edge(
        "parent and child are both completed here, the parent twice as it were",
        traits=["completes_parents", "version_step=2"],
        given={"top": {}, "task": {"parent": "top"}},
        when=["UPDATE tasks SET completed = true"],
        there={"top": {"completed": True}},
        log=["update done", "update done"],
    ),
    Edge(
        "a title of 256 characters is mirrored, and not sent along with an edit",
        given={"task": {"title": "é" * 256}},
        when=[habits("title_limit=255"), "UPDATE tasks SET color = 2 WHERE guid = :task"],
        there={"task": {"title": "é" * 256, "color": 2}},
        log=["update done"],
    ),
    Edge(
        "a title of 256 characters where only 255 are taken is refused",
        traits=["title_limit=255"],
        given=TASK,
        when=[
            f"UPDATE tasks SET title = '{'x' * 256}' WHERE guid = :task",
            f"INSERT INTO tasks (guid, title) VALUES (:new, '{'y' * 256}')",
            f"INSERT INTO tasks (guid, title) VALUES (:other, '{'z' * 255}')",
        ],
        there={"task": {"title": "base"}, "other": {"title": "z" * 255}},
        here={"task": {"title": "base"}},
        log=["update rejected: code 25", "insert rejected: code 25", "insert done"],
        here_only=["new"],
    ),
    Edge(
        "PUT wants a title that it does not take: the edit is refused, the rest goes on",
        traits=["put_needs_guid_and_title", "title_limit=255"],
        given={"task": {"title": "t" * 256}, "other": {}},
        when=["UPDATE tasks SET color = 2"],
        there={"task": {"color": 0}, "other": {"color": 2}},
        log={"update rejected": 1, "update done": 1},
    ),
    Edge(
        "spaces that the server trims come back trimmed, and are not sent again",
        traits=["trims_titles", "trims_messages"],
        given=TASK,
        when=[
            "INSERT INTO tasks (guid, title, message) VALUES (:new, ' new  ', 'm\n ')",
            "UPDATE tasks SET title = 'ours  ', message = 'n ' WHERE guid = :task",
        ],
        there={"new": {"title": "new", "message": "m"}, "task": {"title": "ours", "message": "n"}},
        here={"new": {"title": "new", "message": "m"}, "task": {"title": "ours", "message": "n"}},
        log=["insert done: hiTask stored 'new'", "update done: hiTask stored 'ours'"],
        writes=["POST", "PUT task"],
    ),
    Edge(
        "only a trailing space was added, and the server trims it",
        traits=["trims_titles"],
        given=TASK,
        when=["UPDATE tasks SET title = 'base ' WHERE guid = :task"],
        here={"task": {"title": "base"}},
        log=["update rejected: kept 'base'"],
        writes=["PUT task"],
    ),
    Edge(
        "spaces that the server trims, and an answer that was lost",
        traits=["trims_titles", "trims_messages"],
        given=TASK,
        when=[
            "INSERT INTO tasks (guid, title, message) VALUES (:new, 'new  ', 'm ')",
            "UPDATE tasks SET title = 'ours  ' WHERE guid = :task",
            fault("POST /item:drop_after:1", "PUT /item/*:drop_after:1"),
            sync,
            sync,
        ],
        there={"new": {"title": "new", "message": "m"}, "task": {"title": "ours"}},
        log=["insert done", "update done"],
    ),
    Edge(
        "writes are answered with OK alone",
        traits=["answers_item=false"],
        given=TASK,
        when=[NEW, RENAME],
        there={"new": {"title": "new"}, "task": {"title": "ours"}},
        log=["insert done", "update done"],
        writes=["POST", "PUT task"],
    ),
    Edge(
        "writes are answered with OK alone, by a server that makes its own guids",
        traits=["answers_item=false", "keeps_guid=false"],
        given=TASK,
        when=[NEW, sync, sync],
        log=["insert done"],
        then=[titles("base", "new")],
    ),
    Edge(
        "hiTask calls our copy stale: it is read again and sent again",
        given=TASK,
        when=[RENAME, strikes(Fault("status", "PUT", "/item/*", status=412, code=10))],
        there={"task": {"title": "ours"}},
        log=["update done"],
        writes=["PUT task", "PUT task"],
    ),
    Edge(
        "the account is full: the new item is refused, edits go on",
        traits=["items_limit=1"],
        given=TASK,
        when=[NEW, RENAME],
        there={"task": {"title": "ours"}, "new": None},
        log=["insert rejected: limit", "update done"],
        here_only=["new"],
    ),
    Edge(
        "dates in the wrong order are refused where the server minds",
        traits=["orders_dates"],
        given={"task": {"start_date": "2026-05-02T10:00:00.000+00:00"}},
        when=[
            "UPDATE tasks SET end_date = '2026-05-01 10:00' WHERE guid = :task",
            (
                "INSERT INTO tasks (guid, title, start_date, end_date) "
                "VALUES (:new, 'new', '2026-05-02', '2026-05-01')"
            ),
        ],
        there={"task": {"end_date": None}},
        here={"task": {"end_date": None}},
        log=["update rejected: before the start", "insert rejected: before the start"],
        here_only=["new"],
    ),
)


@READS
def test_what_servers_answer(house: House, edge: Edge) -> None:
    run_edge(house, edge)


@WRITES
def test_what_servers_make_of_writes(house: House, edge: Edge) -> None:
    run_edge(house, edge)
