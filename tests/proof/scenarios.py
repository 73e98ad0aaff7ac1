"""The situations in which something could be lost or doubled: given, when, then.

Each is run plainly, then killed at every step and resumed, on several kinds of servers. How to
read an entry is said in `tests/edges/edge.py`; `keeps` names the texts that must be findable
whatever happens. Public: `SCENARIOS`, `TROUBLES`, `SERVERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.utils import format_datetime
from itertools import product
from typing import Any, Final

from hisync.plan.actions import Policy
from hisync.sandbox import Fault
from tests.edges.acts import (
    archives,
    comments,
    creates,
    deletes,
    during,
    edits,
    fault,
    one_transaction,
    sets,
    sql,
)
from tests.edges.scene import Act, Scene
from tests.proof.killing import Scenario
from tests.proof.stage import (
    SIDE_BY_SIDE,
    anew,
    answered,
    by_engine,
    colleague_spends,
    cycle,
    fails_here,
    fills_disk,
    full_cycle,
    is_pushed_aside,
    keeps_copy,
    late,
    locks,
    loses,
    makes_room,
    other_account,
    own_account,
    puts_copy_back,
    says,
    second_daemon,
    spends,
    takes_over,
    unlocks,
    waits,
)
from tests.world import START

SERVERS: Final = {
    "as documented": (),
    "no stubs": ("stubs=false",),
    "no delta": ("delta=false",),
    "makes a repeated guid a second item": ("repeated_guid=duplicates",),
    "with pushes side by side": (SIDE_BY_SIDE,),
    "bare": ("repeated_guid=refuses", "nulls", "history_wrapped", "version_step=3"),
}
"""Habits of servers on which every scenario is run."""

DAY: Final = 86400.0
TASK: Final = {"task": {"title": "base"}}
PAIR: Final = {**TASK, "other": {"title": "other"}}
RENAME = "UPDATE tasks SET title = 'ours' WHERE guid = :task"
AGAIN = "UPDATE tasks SET title = 'newer' WHERE guid = :task"
BACK = "UPDATE tasks SET title = 'base' WHERE guid = :task"
NEW = "INSERT INTO tasks (guid, title) VALUES (:new, 'new')"
KID = "INSERT INTO tasks (guid, title, parent_guid) VALUES (:kid, 'kid', :new)"
DELETE = "DELETE FROM tasks WHERE guid = :task"
ARCHIVE = "UPDATE tasks SET archived = true WHERE guid = :task"
DELTA, FULL, LOGIN = "GET /item/delta/*", "GET /item", "GET /user/authenticate"
PUT, POST, ERASE, STORE = "PUT /item/*", "POST /item", "DELETE /item/*", "POST /item/archive"


def once(name: str, title: str | None = None) -> Callable[[Scene], None]:
    """There is one item of this name, with this title if one is given."""

    def ask(scene: Scene) -> None:
        items = scene.model.store.by_guid(scene.guid(name))
        assert len(items) == 1, [item.id for item in items]
        assert title is None or items[0].title == title

    return ask


def titles(*wanted: str) -> Callable[[Scene], None]:
    """hiTask has items of exactly these titles."""

    def ask(scene: Scene) -> None:
        assert sorted(item.title for item in scene.model.items()) == sorted(wanted)

    return ask


def untouched(name: str, **values: object) -> Callable[[Scene], None]:
    """An item that nobody was to touch is as it was made."""

    def ask(scene: Scene) -> None:
        item = scene.need(name)
        assert (item.version, {n: item.get(n) for n in values}) == (1, values)

    return ask


def total(name: str, minutes: int) -> Callable[[Scene], None]:
    """An item's total on hiTask, and what the entries here add up to."""

    def ask(scene: Scene) -> None:
        assert (scene.need(name).get("time_spent") or 0) == minutes
        query = "SELECT sum(minutes) AS m FROM time_entries WHERE item_guid = "
        row = scene.sql(f"{query} :{name}")[0]
        assert (row["m"] or 0) == minutes

    return ask


def comment_texts(name: str, *texts: str) -> Callable[[Scene], None]:
    """The comments of an item, on both sides, each once."""

    def ask(scene: Scene) -> None:
        there = sorted(str(unit.value) for unit in scene.model.comments(scene.need(name).id))
        rows = scene.sql(f"SELECT message FROM comments WHERE item_guid = :{name}")
        assert there == sorted(row["message"] for row in rows) == sorted(texts)

    return ask


def hides(name: str) -> Act:
    """A colleague stops sharing an item with us."""
    return lambda scene: _share(scene, name, [])


def shows(name: str) -> Act:
    """And shares it again."""
    return lambda scene: _share(
        scene, name, [{"principal": scene.model.team.everyone.id, "level": 100}]
    )


def _share(scene: Scene, name: str, permissions: list[dict[str, object]]) -> None:
    scene.model.update(scene.need(name).id, user=scene.colleague, permissions=permissions)


def drops(*names: str) -> Act:
    """Some items disappear from hiTask."""

    def run(scene: Scene) -> None:
        for name in names:
            if scene.item(name) is not None:
                scene.model.delete(scene.need(name).id, user=scene.colleague)

    return run


def approves(number: int) -> Act:
    """Somebody approves held removals in a run of their own."""

    def run(scene: Scene) -> None:
        scene.world.engine.allow_removals = number
        cycle(scene)
        scene.world.engine.allow_removals = 0

    return run


def held(number: int) -> Act:
    """So many removals wait for approval."""

    def run(scene: Scene) -> None:
        rows = scene.sql("SELECT count(*) AS n FROM tasks")
        assert rows[0]["n"] >= number

    return run


FLOCK: Final = {f"sheep{n:02}": {"title": f"sheep {n}"} for n in range(24)}

Values = Mapping[str, Any]
_WRITES: Final[tuple[tuple[str, str, str, Mapping[str, Values | None], tuple[str, ...]], ...]] = (
    ("a create", NEW, POST, {"new": {"title": "new"}}, ("base", "other", "new")),
    ("an update", RENAME, PUT, {"task": {"title": "ours"}}, ("ours", "other")),
    ("a deletion", DELETE, ERASE, {"task": None}, ("other",)),
    ("an archiving", ARCHIVE, STORE, {"task": None}, ("other",)),
)

LOST_ANSWERS: Final = tuple(
    Scenario(
        f"{what}: its answer is lost {how}",
        given=PAIR,
        when=[statement, fault(f"{request}:{effect}:1"), cycle],
        there=there,
        then=[titles(*left)],
    )
    for (what, statement, request, there, left), (how, effect) in product(
        _WRITES,
        (
            ("before it was applied", "drop_before"),
            ("after it was applied", "drop_after"),
            ("in the middle of its body", "drop_midway"),
        ),
    )
)

LIES: Final = (
    Scenario(
        "a list is empty once: what is deleted later shows without a full read, as ever",
        given=PAIR,
        when=[fault("GET /item/delta/*:empty_list:1"), cycle, cycle, drops("task"), cycle],
        here={"task": None},
        then=[titles("other")],
    ),
    Scenario(
        "a row is deleted while its create's answer is lost, and the next list is empty",
        given=PAIR,
        when=[
            NEW,
            fault(f"{POST}:drop_after:1"),
            during(POST, "DELETE FROM tasks WHERE guid = :new"),
            during(POST, fault("GET /item*:empty_list:1")),
            cycle,
        ],
        there={"new": None},
        here={"new": None},
        then=[titles("base", "other")],
    ),
)

LATE: Final = (
    Scenario(
        "a create is applied after it was looked up and not found: detected, both are shown",
        given=TASK,
        when=[NEW, late(POST, after=3), cycle, cycle],
        keeps=["new"],
        settles=False,
    ),
    Scenario(
        "an update is applied late, after the same was sent again",
        given=TASK,
        when=[RENAME, late(PUT, after=3), cycle, cycle],
        there={"task": {"title": "ours"}},
    ),
    Scenario(
        "a deletion is applied late",
        given=PAIR,
        when=[DELETE, late(ERASE, after=3), cycle, cycle],
        there={"task": None},
        then=[untouched("other", title="other")],
    ),
    Scenario(
        "an update is applied late, over a newer edit: hiTask's word stands, the log has ours",
        given=TASK,
        when=[RENAME, late(PUT, after=6), cycle, AGAIN, cycle, cycle],
        then=[lambda scene: _logged(scene, "newer")],
    ),
)

FAMILIES: Final = (
    Scenario(
        "parent and child are created offline",
        when=[NEW, KID],
        there={"kid": {"in": "new"}},
        then=[once("new"), once("kid")],
        writes=["POST", "POST"],
    ),
    Scenario(
        "parent and child are created offline, the parent's outcome is unknown",
        when=[NEW, KID, fault(f"{POST}:drop_after:1"), cycle],
        there={"kid": {"in": "new"}},
        then=[once("new"), once("kid")],
    ),
    Scenario(
        "a child is put in before its parent",
        when=[KID, NEW],
        there={"kid": {"in": "new"}},
    ),
    Scenario(
        "a child is added under a parent that a colleague deletes",
        given=PAIR,
        when=[
            "INSERT INTO tasks (guid, title, parent_guid) VALUES (:kid, 'kid', :task)",
            deletes("task"),
        ],
        here_only=["kid"],
        here={"kid": {"title": "kid"}},
        then=[titles("other")],
    ),
    Scenario(
        "a child is added under a parent that is deleted here: the deletion is refused",
        given=PAIR,
        when=[
            DELETE,
            "INSERT INTO tasks (guid, title, parent_guid) VALUES (:kid, 'kid', :task)",
        ],
        there={"kid": {"in": "task"}},
        then=[titles("base", "kid", "other")],
    ),
    Scenario(
        "two rows are made each other's parent: refused, both stay",
        given=PAIR,
        when=[
            "UPDATE tasks SET parent_guid = :other WHERE guid = :task",
            "UPDATE tasks SET parent_guid = :task WHERE guid = :other",
        ],
        then=[titles("base", "other")],
        settles=False,
    ),
    Scenario(
        "an item is moved here under one that moves under it there",
        given=PAIR,
        when=[
            "UPDATE tasks SET parent_guid = :other WHERE guid = :task",
            edits("other", parent="task"),
        ],
        then=[titles("base", "other")],
    ),
    Scenario(
        "a parent is deleted with its children",
        given={"top": {}, "leaf": {"parent": "top"}, "other": {}},
        when=["DELETE FROM tasks WHERE guid IN (:top, :leaf)"],
        then=[titles("other")],
        writes=["DELETE leaf", "DELETE top"],
    ),
    Scenario(
        "a parent is deleted, its children stay: refused, nothing goes",
        given={"top": {}, "leaf": {"parent": "top"}},
        when=["DELETE FROM tasks WHERE guid = :top"],
        there={"leaf": {"in": "top"}},
        then=[titles("leaf", "top")],
        writes=[],
    ),
    Scenario(
        "children are moved away, then their parent is deleted",
        given={"top": {}, "leaf": {"parent": "top"}, "other": {}},
        when=[
            "UPDATE tasks SET parent_guid = :other WHERE guid = :leaf",
            "DELETE FROM tasks WHERE guid = :top",
        ],
        there={"leaf": {"in": "other"}},
        then=[titles("leaf", "other")],
    ),
)

EDITS: Final = (
    Scenario(
        "an edit",
        given=PAIR,
        when=["UPDATE tasks SET title = 'ours', tags = '[\"x\"]' WHERE guid = :task"],
        there={"task": {"title": "ours", "tags": ["x"]}},
        writes=["PUT task"],
        then=[untouched("other", title="other")],
    ),
    Scenario(
        "an item is edited there",
        given=PAIR,
        when=[edits("task", title="theirs")],
        here={"task": {"title": "theirs"}},
        writes=[],
    ),
    Scenario(
        "an edit is taken back before the push: nothing is sent",
        given=TASK,
        when=[RENAME, BACK],
        writes=[],
        then=[untouched("task", title="base")],
    ),
    Scenario(
        "two edits of one cell before the push",
        given=TASK,
        when=[RENAME, AGAIN],
        there={"task": {"title": "newer"}},
        writes=["PUT task"],
    ),
    Scenario(
        "two edits of one cell in one millisecond, one of them during the push",
        given=TASK,
        when=[one_transaction(RENAME, AGAIN), during(PUT, BACK)],
        there={"task": {"title": "base"}},
    ),
    Scenario(
        "a local edit during the push of the same row",
        given=TASK,
        when=[RENAME, during(PUT, AGAIN, after=True)],
        there={"task": {"title": "newer"}},
    ),
    Scenario(
        "a local edit during the push of the same row, whose answer is lost",
        given=TASK,
        when=[RENAME, during(PUT, AGAIN), fault(f"{PUT}:drop_after:1"), cycle],
        there={"task": {"title": "newer"}},
    ),
    Scenario(
        "an edit is taken back while it is sent",
        given=TASK,
        when=[RENAME, during(PUT, BACK, after=True)],
        there={"task": {"title": "base"}},
    ),
    Scenario(
        "a colleague edits the same field between our read and our write",
        given=TASK,
        when=[RENAME, during(PUT, edits("task", title="theirs"))],
        keeps=["ours", "theirs"],
        settles=False,
    ),
    Scenario(
        "a value is written over, our answer lost and the history unreadable for a while",
        given=TASK,
        when=[
            RENAME,
            during(PUT, edits("task", title="theirs")),
            fault(f"{PUT}:drop_after:1", "GET /item/history:html=502:3"),
            *(cycle for _ in range(4)),
        ],
        keeps=["ours", "theirs"],
        settles=False,
    ),
    Scenario(
        "a colleague edits a description that we edit between our read and our write",
        given=TASK,
        when=[
            "UPDATE tasks SET message = 'ours' WHERE guid = :task",
            during(PUT, edits("task", message="theirs")),
        ],
        keeps=["ours", "theirs"],
        settles=False,
    ),
    Scenario(
        "the server wants the title with every edit, and a colleague renames the item meanwhile",
        given=TASK,
        traits=["put_needs_guid_and_title"],
        when=[
            "UPDATE tasks SET color = 3 WHERE guid = :task",
            during(PUT, edits("task", title="theirs")),
            cycle,
        ],
        there={"task": {"title": "theirs", "color": 3}},
        keeps=["theirs"],
    ),
    Scenario(
        "a colleague edits the same field right after our write, whose answer is lost",
        given=TASK,
        when=[
            RENAME,
            during(PUT, edits("task", title="theirs"), after=True),
            fault(f"{PUT}:drop_after:1"),
            cycle,
        ],
        keeps=["theirs"],
        there={"task": {"title": "theirs"}},
    ),
    Scenario(
        "another field of the item is edited there: both stand",
        given=TASK,
        when=[RENAME, edits("task", color=3)],
        there={"task": {"title": "ours", "color": 3}},
        here={"task": {"title": "ours", "color": 3}},
    ),
    Scenario(
        "one field, two values: policy decides, the other is kept",
        given=TASK,
        when=[RENAME, edits("task", title="theirs")],
        there={"task": {"title": "theirs"}},
        conflicts=["title: base / ours / theirs -> remote"],
        keeps=["ours", "theirs"],
    ),
    Scenario(
        "one field, two values, policy local",
        given=TASK,
        rules={"policy": Policy("local")},
        when=[RENAME, edits("task", title="theirs")],
        there={"task": {"title": "ours"}},
        conflicts=["title: base / ours / theirs -> local"],
        keeps=["ours", "theirs"],
    ),
    Scenario(
        "the same edit on both sides is no conflict",
        given=TASK,
        when=[RENAME, edits("task", title="ours")],
        there={"task": {"title": "ours"}},
        writes=[],
    ),
    Scenario(
        "tags are added on both sides: all of them stand",
        given={"task": {"tags": ["a"]}},
        when=[
            'UPDATE tasks SET tags = \'["a", "b"]\' WHERE guid = :task',
            edits("task", tags=["a", "c"]),
        ],
        then=[lambda scene: _has_tags(scene, {"a", "b", "c"})],
    ),
    Scenario(
        "a tag is taken away here and another one there",
        given={"task": {"tags": ["a", "b", "c"]}},
        when=[
            'UPDATE tasks SET tags = \'["b", "c"]\' WHERE guid = :task',
            edits("task", tags=["a", "b"]),
        ],
        then=[lambda scene: _has_tags(scene, {"b"})],
    ),
    Scenario(
        "an item is converted to another kind while it is edited here",
        given=PAIR,
        when=[RENAME, sets("task", category=4)],
        there={"task": {"title": "ours", "category": 4}},
        here={"task": {"table": "notes", "title": "ours"}},
    ),
    Scenario(
        "an item is converted to another kind while an edit of it is sent",
        given=PAIR,
        when=[RENAME, during(PUT, sets("task", category=2))],
        there={"task": {"title": "ours", "category": 2}},
        here={"task": {"table": "events"}},
    ),
    Scenario(
        "the server trims what was sent: its word stands, on both sides",
        given=TASK,
        traits=["trims_titles"],
        when=["UPDATE tasks SET title = '  ours  ' WHERE guid = :task"],
        there={"task": {"title": "ours"}},
        here={"task": {"title": "ours"}},
    ),
    Scenario(
        "the server refuses what was sent: explained, and the cell goes back",
        given=TASK,
        when=[sql("UPDATE tasks SET title = :long, color = 3 WHERE guid = :task", long="x" * 300)],
        here={"task": {"title": "base"}},
        keeps=["x" * 300],
        settles=False,
    ),
    Scenario(
        "a cell can't be read: refused by name, the rest is sent",
        given=PAIR,
        when=[
            "UPDATE tasks SET due_date = 'infinity' WHERE guid = :task",  # a date to PostgreSQL
            "UPDATE tasks SET title = 'ours' WHERE guid = :other",
        ],
        there={"other": {"title": "ours"}, "task": {"due_date": None}},
        keeps=["infinity"],
    ),
    Scenario(
        "a bad row among good ones parks itself alone",
        given=PAIR,
        when=[
            "INSERT INTO tasks (guid, title) VALUES (:bad, '')",
            NEW,
            "UPDATE tasks SET title = 'ours' WHERE guid = :other",
        ],
        there={"new": {"title": "new"}, "other": {"title": "ours"}, "bad": None},
        here_only=["bad"],
    ),
    Scenario(
        "INSERT OR REPLACE is seen as what it does to the row",
        given={"task": {"title": "base", "color": 3}},
        when=[
            by_engine(
                sqlite="INSERT OR REPLACE INTO tasks (guid, title) VALUES (:task, 'ours')",
                postgresql="INSERT INTO tasks (guid, title) VALUES (:task, 'ours') "
                "ON CONFLICT (guid) DO UPDATE SET title = excluded.title, color = excluded.color",
            )
        ],
        there={"task": {"title": "ours", "color": 0}},
        writes=["PUT task"],
    ),
)

DELETIONS: Final = (
    Scenario(
        "a row is deleted here",
        given=PAIR,
        when=[DELETE],
        there={"task": None},
        removed=["task: deleted here"],
        then=[titles("other")],
    ),
    Scenario(
        "an item is deleted there",
        given=PAIR,
        when=[deletes("task"), cycle],
        here={"task": None},
        then=[titles("other")],
        keeps=["base"],
    ),
    Scenario(
        "deleted here, edited there: the edit survives",
        given=PAIR,
        when=[DELETE, edits("task", title="theirs")],
        there={"task": {"title": "theirs"}},
        here={"task": {"title": "theirs"}},
    ),
    Scenario(
        "edited here, deleted there: the edit is kept",
        given=PAIR,
        when=[RENAME, deletes("task"), cycle],
        here={"task": None},
        keeps=["ours"],
    ),
    Scenario(
        "edited here, deleted there, policy local: created anew, once",
        by_absence=True,
        given=PAIR,
        rules={"policy": Policy("local")},
        when=[RENAME, deletes("task"), cycle],
        then=[titles("ours", "other")],
    ),
    Scenario(
        "deleted here, converted to another kind there: the deletion stands, and is accounted for",
        given=PAIR,
        when=[DELETE, sets("task", category=4)],
        there={"task": None},
        here={"task": None},
        log=["delete done"],
    ),
    Scenario(
        "moved to another table here, converted to that kind there: one item, the edits of both",
        given=PAIR,
        when=[
            one_transaction(
                "INSERT INTO notes (guid, title) VALUES (:task, 'ours')",
                "DELETE FROM tasks WHERE guid = :task",
            ),
            sets("task", category=4, message="theirs"),
        ],
        there={"task": {"title": "ours", "message": "theirs", "category": 4}},
        here={"task": {"table": "notes"}},
        then=[once("task")],
    ),
    Scenario(
        "a parent is deleted here and converted there, its children stay: refused, and says so",
        given={"top": {}, "leaf": {"parent": "top"}},
        when=["DELETE FROM tasks WHERE guid = :top", sets("top", category=4)],
        there={"leaf": {"in": "top"}},
        here={"top": {"table": "notes"}},
        log=["delete rejected: it has 1 child items"],
    ),
    Scenario(
        "both delete",
        given=PAIR,
        when=[DELETE, deletes("task")],
        there={"task": None},
        here={"task": None},
        then=[titles("other")],
    ),
    Scenario(
        "archived here, edited there",
        given=PAIR,
        when=[ARCHIVE, edits("task", title="theirs")],
        keeps=["theirs"],
        settles=False,
    ),
    Scenario(
        "deleted here, archived there",
        given=PAIR,
        when=[DELETE, archives("task")],
        here={"task": None},
        there={"task": None},
    ),
    Scenario(
        "deleted and put in again here with the same guid",
        given=PAIR,
        when=[DELETE, "INSERT INTO tasks (guid, title) VALUES (:task, 'again')"],
        then=[titles("again", "other")],
    ),
    Scenario(
        "created and deleted before the push: nothing is sent",
        given=TASK,
        when=[NEW, "DELETE FROM tasks WHERE guid = :new"],
        writes=[],
        then=[titles("base")],
    ),
    Scenario(
        "deleted while its create is sent, whose answer is lost",
        given=TASK,
        when=[
            NEW,
            during(POST, "DELETE FROM tasks WHERE guid = :new"),
            fault(f"{POST}:drop_after:1"),
            cycle,
        ],
        then=[titles("base")],
    ),
    Scenario(
        "unshared and shared again",
        given={**PAIR, "third": {}},
        when=[hides("task"), cycle, cycle, shows("task"), cycle],
        here={"task": {"title": "base"}},
        then=[titles("base", "other", "third")],
    ),
    Scenario(
        "unshared with an unsent edit, and shared again",
        given={**PAIR, "third": {}},
        when=[RENAME, hides("task"), cycle, cycle, shows("task"), cycle],
        keeps=["ours"],
        then=[lambda scene: once("task")(scene)],
        settles=False,
    ),
)

READS: Final = (
    Scenario(
        "an empty list with 200 removes nothing",
        given=FLOCK,
        when=[edits("sheep00", color=3), fault("GET /item*:empty_list:2"), cycle],
        there={"sheep00": {"color": 3}},
        here={"sheep00": {"color": 3}, "sheep23": {"title": "sheep 23"}},
    ),
    Scenario(
        "ids are missing once and back again: nothing is removed",
        given=PAIR,
        when=[
            lambda scene: scene.world.service.faults.add(
                Fault("missing_ids", "GET", "/item*", ids=(scene.need("task").id,))
            ),
            cycle,
        ],
        here={"task": {"title": "base"}},
        then=[titles("base", "other"), lambda scene: _removed_nothing(scene)],
    ),
    *(
        Scenario(
            f"{what} body is no answer",
            given=PAIR,
            when=[RENAME, edits("other", title="theirs"), fault(f"GET /item*:{effect}:2"), cycle],
            there={"task": {"title": "ours"}, "other": {"title": "theirs"}},
            then=[lambda scene: _removed_nothing(scene)],
        )
        for what, effect in (
            ("an HTML page as", "html=200"),
            ("an empty", "empty"),
            ("a cut", "cut"),
        )
    ),
    *(
        Scenario(
            f"a push is answered by {what} body",
            given=PAIR,
            when=[NEW, RENAME, fault(f"{POST}:{effect}:1", f"{PUT}:{effect}:1"), cycle],
            there={"task": {"title": "ours"}},
            then=[once("new", "new")],
        )
        for what, effect in (("an HTML", "html=200"), ("an empty", "empty"), ("a cut", "cut"))
    ),
    Scenario(
        "a mass removal is held",
        by_absence=True,
        given=FLOCK,
        when=[drops(*list(FLOCK)[:15]), cycle, held(24), approves(15), approves(15)],
        here={"sheep23": {"title": "sheep 23"}, "sheep00": None},
    ),
    Scenario(
        "a mass removal is held, and shows again before anyone approves",
        given=FLOCK,
        when=[
            lambda scene: [hides(name)(scene) for name in list(FLOCK)[:15]],  # type: ignore[operator]
            cycle,
            cycle,
            held(24),
            lambda scene: [shows(name)(scene) for name in list(FLOCK)[:15]],  # type: ignore[operator]
        ],
        here={name: {"title": given["title"]} for name, given in FLOCK.items()},
        then=[lambda scene: _removed_nothing(scene)],
    ),
    Scenario(
        "a slow drip of removals that together pass the guard",
        by_absence=True,
        given=FLOCK,
        when=[act for n in range(0, 15, 3) for act in (drops(*list(FLOCK)[n : n + 3]), cycle)],
        here={"sheep23": {"title": "sheep 23"}, "sheep00": None},
        then=[lambda scene: _all_removed_are_kept(scene, 15)],
    ),
    Scenario(
        "the cursor is refused: everything is read again",
        given=PAIR,
        when=[
            edits("other", title="theirs"),
            RENAME,
            answered(DELTA, 400, '{"response_status": 5, "error_message": "bad cursor"}'),
            cycle,
        ],
        there={"task": {"title": "ours"}},
        here={"other": {"title": "theirs"}},
    ),
    Scenario(
        "the session is lost in the middle of a batch",
        given=PAIR,
        when=[
            NEW,
            RENAME,
            "UPDATE tasks SET title = 'third' WHERE guid = :other",
            fault(f"{PUT}:expire_session:1"),
        ],
        there={"task": {"title": "ours"}, "other": {"title": "third"}},
        then=[once("new", "new")],
    ),
    *(
        Scenario(
            f"the session is lost, said by {form}",
            given=PAIR,
            traits=[f"session_answer={form}"],
            when=[RENAME, lambda scene: scene.model.team.expire_sessions()],
            there={"task": {"title": "ours"}},
            writes=["PUT task"],
        )
        for form in ("7", "4")
    ),
    Scenario(
        "the login answers with another account: nothing is written until it is the own one again",
        given=PAIR,
        when=[
            RENAME,
            edits("other", title="theirs"),
            other_account,
            cycle,
            cycle,
            lambda scene: untouched("task", title="base")(scene),
            own_account,
        ],
        there={"task": {"title": "ours"}},
        here={"other": {"title": "theirs"}},
    ),
    *(
        Scenario(
            f"Retry-After {how}: left alone as long, then done",
            given=PAIR,
            when=[
                RENAME,
                answered(
                    request,
                    status,
                    '{"response_status": 67, "error_message": "slow down"}',
                    headers={"Retry-After": after},
                ),
                cycle,
                cycle,
            ],
            there={"task": {"title": "ours"}},
        )
        for how, request, status, after in (
            ("in seconds at the delta", DELTA, 429, "120"),
            ("in seconds at a write", PUT, 503, "120"),
            ("as a date at the delta", DELTA, 503, format_datetime(START, usegmt=True)),
            ("as a date at a write", PUT, 429, format_datetime(START, usegmt=True)),
        )
    ),
)

MACHINE: Final = (
    Scenario(
        "the database is an older copy in which an edit was not sent yet",
        given=PAIR,
        when=[RENAME, keeps_copy, cycle, edits("other", title="theirs"), puts_copy_back, cycle],
        there={"task": {"title": "ours"}, "other": {"title": "theirs"}},
        here={"other": {"title": "theirs"}},
    ),
    Scenario(
        "the database is an older copy in which a row was not created yet",
        given=TASK,
        when=[NEW, keeps_copy, cycle, puts_copy_back, cycle],
        then=[titles("base", "new")],
    ),
    Scenario(
        "the database is an older copy from before a row was put in and sent",
        given=TASK,
        when=[keeps_copy, NEW, cycle, puts_copy_back, cycle],
        then=[titles("base", "new")],
        here={"new": {"title": "new"}},
    ),
    Scenario(
        "the database is an older copy in which a row was not deleted yet",
        given=PAIR,
        when=[DELETE, keeps_copy, cycle, puts_copy_back, cycle],
        then=[titles("other")],
        here={"task": None},
    ),
    Scenario(
        "the database is an older copy, and both sides went on",
        given=PAIR,
        when=[
            keeps_copy,
            RENAME,
            cycle,
            puts_copy_back,
            "UPDATE tasks SET title = 'late' WHERE guid = :task",
            cycle,
        ],
        keeps=["ours", "late"],
        settles=False,
    ),
    Scenario(
        "the memory in sync_state is lost",
        given=PAIR,
        when=[RENAME, edits("other", title="theirs"), loses("sync_state"), cycle],
        there={"task": {"title": "ours"}},
        here={"other": {"title": "theirs"}},
    ),
    Scenario(
        "all bases are lost",
        given=PAIR,
        when=[RENAME, edits("other", title="theirs"), loses("sync_base"), cycle],
        here={"other": {"title": "theirs"}},
        keeps=["ours"],
        settles=False,
    ),
    *(
        Scenario(
            f"the clock jumps a day {way}",
            given=PAIR,
            when=[
                RENAME,
                edits("other", title="theirs"),
                waits(jump),
                cycle,
                AGAIN,
                waits(-jump),
                cycle,
            ],
            there={"task": {"title": "newer"}},
            here={"other": {"title": "theirs"}},
        )
        for way, jump in (("ahead and back", DAY), ("back and ahead", -DAY))
    ),
    Scenario(
        "the clock jumps a day ahead in the middle of a push",
        given=PAIR,
        when=[RENAME, NEW, during(PUT, waits(DAY)), cycle],
        there={"task": {"title": "ours"}},
        then=[once("new")],
    ),
    Scenario(
        "the disk is full",
        given=PAIR,
        when=[
            RENAME,
            NEW,
            creates("big", message="x" * 9000),
            fills_disk,
            fails_here,
            fails_here,
            makes_room,
            cycle,
        ],
        there={"task": {"title": "ours"}},
        here={"big": {"message": "x" * 9000}},
        then=[once("new")],
    ),
    Scenario(
        "the disk is full when the answer to a create arrives",
        given=PAIR,
        when=[
            sql(
                "INSERT INTO tasks (guid, title, message) VALUES (:new, 'new', :long)",
                long="x" * 9000,
            ),
            during(POST, fills_disk),
            fails_here,
            makes_room,
            cycle,
        ],
        then=[once("new", "new")],
    ),
    Scenario(
        "the database is locked",
        given=PAIR,
        when=[RENAME, edits("other", title="theirs"), locks, fails_here, unlocks, cycle],
        there={"task": {"title": "ours"}},
        here={"other": {"title": "theirs"}},
    ),
    *(
        Scenario(
            f"the database is locked when the answer to {what} arrives",
            given=PAIR,
            when=[statement, during(request, locks), fails_here, unlocks, cycle],
            there=there,
            then=[titles(*left)],
        )
        for what, statement, request, there, left in (
            ("a create", NEW, POST, {}, ("base", "other", "new")),
            ("an update", RENAME, PUT, {"task": {"title": "ours"}}, ("ours", "other")),
            ("a deletion", DELETE, ERASE, {"task": None}, ("other",)),
        )
    ),
    Scenario(
        "a unique index and a REPLACE take an edited row out unseen: nothing is deleted there",
        sqlite_only="no statement takes a row out unseen there",
        by_full_read=True,
        given=PAIR,
        when=[
            "ALTER TABLE tasks ADD COLUMN own TEXT",
            "CREATE UNIQUE INDEX own_index ON tasks (own)",
            "UPDATE tasks SET own = 'same' WHERE guid = :task",
            RENAME,
            "INSERT OR REPLACE INTO tasks (guid, title, own) VALUES (:new, 'new', 'same')",
            cycle,
            full_cycle,
        ],
        there={"task": {"title": "base"}},
        keeps=["ours"],
        then=[once("new")],
    ),
    Scenario(
        "a second daemon is turned away",
        given=PAIR,
        when=[RENAME, second_daemon, cycle],
        there={"task": {"title": "ours"}},
        writes=["PUT task"],
    ),
    Scenario(
        "another process takes the mirror over in the middle of a push: this one writes no more",
        given=PAIR,
        when=[
            RENAME,
            NEW,
            during(POST, takes_over),
            is_pushed_aside,
            anew,
            cycle,
        ],
        there={"task": {"title": "ours"}},
        then=[once("new")],
    ),
)

TALK: Final = (
    Scenario(
        "a comment",
        given=TASK,
        comments=True,
        when=[says("task", "ours"), comments("task", "theirs"), cycle],
        then=[comment_texts("task", "ours", "theirs")],
    ),
    *(
        Scenario(
            f"a comment's answer is lost {how}: said once",
            given=TASK,
            comments=True,
            when=[says("task", "ours"), fault(f"POST /item/comment:{effect}:1"), cycle, cycle],
            then=[comment_texts("task", "ours")],
        )
        for how, effect in (("before it is applied", "drop_before"), ("after", "drop_after"))
    ),
    Scenario(
        "a comment on an item whose create is not answered",
        comments=True,
        given=TASK,
        when=[NEW, says("new", "ours"), fault(f"{POST}:drop_after:1"), cycle, cycle],
        then=[comment_texts("new", "ours")],
    ),
    Scenario(
        "time is logged here and there",
        given=TASK,
        when=[spends("task", 30), colleague_spends("task", 5), cycle, spends("task", 7)],
        then=[total("task", 42)],
    ),
    *(
        Scenario(
            f"the answer to a logged time is lost {how}: counted once",
            given=TASK,
            when=[spends("task", 30), fault(f"{PUT}:{effect}:1"), cycle],
            then=[total("task", 30)],
        )
        for how, effect in (("before it is applied", "drop_before"), ("after", "drop_after"))
    ),
    Scenario(
        "a colleague logs time between our read and our write",
        given=TASK,
        when=[spends("task", 30), during(PUT, colleague_spends("task", 5)), cycle, cycle],
        then=[total("task", 35)],
    ),
)

TROUBLES: Final = tuple(
    Scenario(
        f"{status} at {request}",
        given={**PAIR, "gone": {}, "old": {}},
        comments=True,
        when=[
            RENAME,
            NEW,
            says("other", "said"),
            "DELETE FROM tasks WHERE guid = :gone",
            "UPDATE tasks SET archived = true WHERE guid = :old",
            edits("other", title="theirs"),
            *([lambda scene: scene.model.team.expire_sessions()] if request == LOGIN else []),
            *([anew] if request == FULL else []),
            fault(f"{request}:status={status}:1"),
            full_cycle if request == FULL else cycle,
            cycle,
        ],
        here={"other": {"title": "theirs"}},
        keeps=["ours", "new", "said", "theirs"],
        here_only=["new"] if (request, status) == (POST, 507) else [],
        then=[lambda scene: _at_most_one_each(scene)],
        settles=True,
    )
    for request, status in product(
        (LOGIN, DELTA, FULL, POST, PUT, ERASE, STORE, "POST /item/comment", "GET /item/history"),
        (401, 403, 404, 412, 429, 500, 503, 507),
    )
)

SCENARIOS: Final = (
    *LOST_ANSWERS,
    *LIES,
    *LATE,
    *FAMILIES,
    *EDITS,
    *DELETIONS,
    *READS,
    *MACHINE,
    *TALK,
)


def _has_tags(scene: Scene, tags: set[str]) -> None:
    wire = scene.wire("task")
    assert wire is not None
    assert set(wire["tags"]) == tags


def _logged(scene: Scene, text: str) -> None:
    rows = scene.sql("SELECT new_values FROM change_log")
    assert any(text in str(row["new_values"]) for row in rows)


def _removed_nothing(scene: Scene) -> None:
    assert scene.removed() == []


def _all_removed_are_kept(scene: Scene, number: int) -> None:
    assert len(scene.removed()) == number


def _at_most_one_each(scene: Scene) -> None:
    guids = [item.guid for item in scene.model.items()]
    assert len(guids) == len(set(guids))
