"""What people do to the database itself.

Columns, indexes, triggers and tables of their own, a table or a trigger dropped, a transaction
left open for minutes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from hisync.errors import BusyError, MirrorError, SchemaError
from hisync.mirror.dialects.sqlite import connection
from hisync.mirror.migrate import upgrade_schema
from hisync.mirror.store import open_mirror
from hisync.plan.actions import Policy
from tests.edges.acts import (
    crash,
    creates,
    during,
    edits,
    fails,
    full_sync,
    refused,
    sync,
)
from tests.edges.edge import Edge, check_peace, run_edge, table
from tests.edges.house import House
from tests.edges.scene import Act, Scene, make_scene

pytestmark = pytest.mark.slow

TASK = {"task": {"title": "base"}}
RENAME = "UPDATE tasks SET title = 'ours' WHERE guid = :task"
NEW = "INSERT INTO tasks (guid, title) VALUES (:new, 'new')"


def upgrade(scene: Scene) -> None:
    """`hisync db upgrade`."""
    upgrade_schema(scene.world.engine.mirror.engine)


def opens_not(reason: str) -> Act:
    """A process that starts now ends with this reason."""

    def run(scene: Scene) -> None:
        with (
            open_mirror(f"sqlite:///{scene.world.database}") as mirror,
            pytest.raises(SchemaError, match=reason),
        ):
            mirror.acquire()

    return run


def upgrade_beside(scene: Scene) -> None:
    """`hisync db upgrade` while no other process is there."""
    with open_mirror(f"sqlite:///{scene.world.database}") as mirror:
        upgrade_schema(mirror.engine)


def holds(query: str, *rows: tuple[Any, ...]) -> Any:
    def ask(scene: Scene) -> None:
        assert [tuple(row.values()) for row in scene.ask(query)] == list(rows)

    return ask


AUDIT = (
    "CREATE TRIGGER my_audit AFTER UPDATE OF title ON tasks BEGIN "
    "INSERT INTO my_log VALUES (OLD.title, NEW.title); END"
)

TRIM = (
    "CREATE TRIGGER my_trim AFTER UPDATE OF title ON tasks WHEN NEW.title <> trim(NEW.title) BEGIN "
    "UPDATE tasks SET title = trim(NEW.title) WHERE guid = NEW.guid; END"
)

UNDO = (
    "CREATE TRIGGER my_undo AFTER UPDATE OF title ON tasks WHEN NEW.title = 'ours' BEGIN "
    "UPDATE tasks SET title = OLD.title, due_date = OLD.due_date, tags = OLD.tags "
    "WHERE guid = NEW.guid; END"
)


def edit_table_as_guis_do(scene: Scene) -> None:
    """A new table with one more column, everything copied, the old one dropped, renamed."""
    (made,) = scene.ask("SELECT sql FROM sqlite_schema WHERE name = 'tasks' AND type = 'table'")
    columns = ", ".join(row["name"] for row in scene.ask("PRAGMA table_info(tasks)"))
    body = made["sql"].replace("CREATE TABLE tasks", "CREATE TABLE new_tasks", 1)
    head, _, tail = body.rpartition("CONSTRAINT")
    scene.sql(f"{head} mine TEXT DEFAULT 'x', CONSTRAINT{tail}")
    scene.sql(f"INSERT INTO new_tasks ({columns}) SELECT {columns} FROM tasks")
    with scene.world.client() as client:
        client.execute("PRAGMA legacy_alter_table = ON")  # as SQLite's documentation has it
        client.execute("DROP TABLE tasks")
        client.execute("ALTER TABLE new_tasks RENAME TO tasks")


OWN = table(
    Edge(
        "a column of one's own is nobody's edit, and stays through theirs",
        given={**TASK, "other": {}},
        when=[
            "ALTER TABLE tasks ADD COLUMN my_note TEXT DEFAULT 'none' NOT NULL",
            "UPDATE tasks SET my_note = 'mine' WHERE guid = :task",
            sync,
            edits("task", title="theirs", color=2),
            "INSERT INTO tasks (guid, title, my_note) VALUES (:new, 'new', 'also')",
            creates("late"),
            sync,
        ],
        here={
            "task": {"my_note": "mine", "title": "theirs"},
            "new": {"my_note": "also"},
            "late": {"my_note": "none"},
        },
        log=["insert done"],
        writes=["POST"],
    ),
    Edge(
        "a column of one's own that has no default and must not be null stops nobody's pull",
        given=TASK,
        when=[
            "ALTER TABLE tasks ADD COLUMN half INTEGER GENERATED ALWAYS AS (priority / 2)",
            "CREATE INDEX my_index ON tasks (half, lower(title)) WHERE NOT completed",
            creates("late"),
            RENAME,
        ],
        here={"late": {"half": 10_000}},
        log=["update done"],
    ),
    Edge(
        "a column of one's own in a row that goes away and comes back",
        given={**TASK, "other": {}},
        when=[
            "ALTER TABLE tasks ADD COLUMN my_note TEXT",
            "UPDATE tasks SET my_note = 'mine' WHERE guid = :task",
            "UPDATE tasks SET title = printf('%.300c', 'x') WHERE guid = :task",
            sync,
        ],
        here={"task": {"my_note": "mine", "title": "base"}},
        log=["update rejected: code 25"],
    ),
    Edge(
        "a trigger of one's own that keeps a log sees both sides' edits",
        given=TASK,
        when=[
            "CREATE TABLE my_log (old, new)",
            AUDIT,
            RENAME,
            sync,
            edits("task", title="theirs"),
        ],
        there={"task": {"title": "theirs"}},
        log=["update done"],
        then=[holds("SELECT * FROM my_log WHERE old <> new", ("base", "ours"), ("ours", "theirs"))],
    ),
    Edge(
        "a view of one's own that writes through an INSTEAD OF trigger",
        given=TASK,
        when=[
            "CREATE VIEW my_tasks AS SELECT guid, title AS what FROM tasks",
            (
                "CREATE TRIGGER my_put INSTEAD OF INSERT ON my_tasks BEGIN "
                "INSERT INTO tasks (guid, title) VALUES (NEW.guid, NEW.what); END"
            ),
            (
                "CREATE TRIGGER my_set INSTEAD OF UPDATE ON my_tasks BEGIN "
                "UPDATE tasks SET title = NEW.what WHERE guid = OLD.guid; END"
            ),
            "INSERT INTO my_tasks VALUES (:new, 'new')",
            "UPDATE my_tasks SET what = 'ours' WHERE guid = :task",
        ],
        there={"new": {"title": "new"}, "task": {"title": "ours"}},
        log=["insert done", "update done"],
    ),
    Edge(
        "a trigger of one's own that fills in a column of a new row",
        when=[
            (
                "CREATE TRIGGER my_default AFTER INSERT ON tasks WHEN NEW.color IS NULL BEGIN "
                "UPDATE tasks SET color = 4 WHERE guid = NEW.guid; END"
            ),
            NEW,
        ],
        there={"new": {"color": 4}},
        log=["insert merged", "update done"],
        writes=["POST"],
    ),
    Edge(
        "a trigger of one's own that trims what is written, while a colleague edits the item, too",
        given=TASK,
        when=[
            TRIM,
            "UPDATE tasks SET title = '  first  ' WHERE guid = :task",
            "UPDATE tasks SET title = '  ours  ', color = 3 WHERE guid = :task",
            edits("task", priority=30000),
        ],
        there={"task": {"title": "ours", "color": 3, "priority": 30000}},
        log={"update merged": 3, "update done": 1},
        writes=["PUT task"],
    ),
    Edge(
        "a trigger of one's own that puts a value back, while a colleague edits it",
        given={**TASK, "other": {"title": "base", "due_date": None}},
        when=[
            UNDO,
            "UPDATE tasks SET title = 'ours', due_date = '2026-03-02', tags = '[\"a\"]'",
            edits("task", title="theirs"),
        ],
        there={"task": {"title": "theirs"}, "other": {"title": "base"}},
        writes=[],
        rules={"policy": Policy("local")},
    ),
    Edge(
        "a trigger of one's own that deletes what is completed",
        given=TASK,
        when=[
            (
                "CREATE TRIGGER my_end AFTER UPDATE OF completed ON tasks WHEN NEW.completed BEGIN "
                "DELETE FROM tasks WHERE guid = NEW.guid; END"
            ),
            "UPDATE tasks SET completed = true WHERE guid = :task",
        ],
        there={"task": None},
        log=["update merged", "delete done"],
    ),
    Edge(
        "a trigger of one's own that fills in a column of a row that a REPLACE puts in",
        given=TASK,
        when=[
            (
                "CREATE TRIGGER my_default AFTER INSERT ON tasks WHEN NEW.color IS NULL BEGIN "
                "UPDATE tasks SET color = 4 WHERE guid = NEW.guid; END"
            ),
            "REPLACE INTO tasks (guid, title) VALUES (:task, 'ours')",
        ],
        there={"task": {"title": "ours", "color": 4}},
        log=["delete merged", "insert merged", "update done"],
        writes=["PUT task"],
    ),
    Edge(
        "a unique index of one's own that hiTask's data breaks: said, and over once dropped",
        given=TASK,
        when=[
            "CREATE UNIQUE INDEX my_titles ON tasks (title)",
            creates("twin", title="base"),
            fails(MirrorError, "drop it if it is your own"),
            RENAME,
            edits("twin", title="ours"),
            fails(MirrorError, "drop it if it is your own"),
            "DROP INDEX my_titles",
        ],
        there={"task": {"title": "ours"}, "twin": {"title": "ours"}},
        here={"twin": {"title": "ours"}},
        log=["update done"],
    ),
    Edge(
        "a trigger of one's own that refuses hiTask's data: said, and over once dropped",
        given=TASK,
        when=[
            (
                "CREATE TRIGGER my_guard BEFORE UPDATE ON tasks WHEN NEW.color > 5 BEGIN "
                "SELECT RAISE(ABORT, 'no such colour here'); END"
            ),
            edits("task", color=6),
            fails(MirrorError, "no such colour here"),
            fails(MirrorError, "drop it if it is your own"),
            "DROP TRIGGER my_guard",
        ],
        here={"task": {"color": 6}},
        writes=[],
    ),
    Edge(
        "VACUUM, REINDEX and ANALYZE",
        given=TASK,
        when=[RENAME, "VACUUM", "REINDEX", "ANALYZE", NEW],
        there={"task": {"title": "ours"}, "new": {"title": "new"}},
    ),
    Edge(
        "our own columns can not be dropped or renamed under the triggers",
        given=TASK,
        when=[
            refused("ALTER TABLE tasks DROP COLUMN tags", "error in trigger"),
            refused("ALTER TABLE tasks DROP COLUMN guid", "cannot drop PRIMARY KEY"),
        ],
        log=[],
    ),
)


DROPPED = table(
    Edge(
        "a dropped trigger stops everything with the way out, which is taken",
        given=TASK,
        when=[
            "DROP TRIGGER sync_capture_tasks_after_update",
            fails(SchemaError, "run `hisync db upgrade`"),
            fails(SchemaError, "may have gone unseen"),
            upgrade,
            RENAME,
        ],
        there={"task": {"title": "ours"}},
        log=["update done"],
    ),
    Edge(
        "the process ends while a trigger is missing, and starts again",
        given=TASK,
        when=[
            "DROP TRIGGER sync_capture_tasks_after_delete",
            crash,
            opens_not("run `hisync db upgrade`"),
            upgrade_beside,
            "DELETE FROM tasks",
        ],
        there={"task": None},
        log=["delete done"],
    ),
    Edge(
        "an edit while a trigger is missing is not lost without a word",
        given=TASK,
        when=[
            "DROP TRIGGER sync_capture_tasks_after_update",
            RENAME,
            fails(SchemaError, "may have gone unseen"),
            upgrade,
            full_sync,
        ],
        then=[lambda scene: find_word(scene, "ours")],
        conflicts=1,
    ),
    Edge(
        "a new row while a trigger is missing is not left behind without a word",
        given=TASK,
        when=[
            "DROP TRIGGER sync_capture_tasks_after_insert",
            NEW,
            fails(SchemaError, "may have gone unseen"),
            upgrade,
            full_sync,
            sync,
        ],
        then=[lambda scene: find_word(scene, "new")],
    ),
    Edge(
        "a deletion while a trigger is missing: the row comes back",
        given={**TASK, "other": {}},
        when=[
            "DROP TRIGGER sync_capture_tasks_after_delete",
            "DELETE FROM tasks WHERE guid = :task",
            fails(SchemaError, "may have gone unseen"),
            upgrade,
            full_sync,
        ],
        there={"task": {"title": "base"}},
        here={"task": {"title": "base"}},
        writes=[],
    ),
    Edge(
        "a trigger replaced by one of somebody's own making",
        given=TASK,
        when=[
            "DROP TRIGGER sync_capture_tasks_after_update",
            (
                "CREATE TRIGGER sync_capture_tasks_after_update AFTER UPDATE ON tasks BEGIN "
                "SELECT 1; END"
            ),
            fails(SchemaError, "lacks the trigger"),
            upgrade,
            RENAME,
        ],
        there={"task": {"title": "ours"}},
    ),
    Edge(
        "a table edited as graphical clients do it: dropped and made anew, without its triggers",
        given=TASK,
        when=[
            edit_table_as_guis_do,
            fails(SchemaError, "lacks the trigger"),
            upgrade,
            full_sync,
            "UPDATE tasks SET title = 'ours', mine = 'y' WHERE guid = :task",
            NEW,
        ],
        there={"task": {"title": "ours"}, "new": {"title": "new"}},
        here={"task": {"mine": "y"}, "new": {"mine": "x"}},
        log=["update done", "insert done"],
    ),
    Edge(
        "a mark left behind stops everything with the way out, which is taken",
        given=TASK,
        when=[
            "INSERT INTO sync_mark VALUES (1, 0)",
            fails(SchemaError, "DELETE FROM sync_mark"),
            "DELETE FROM sync_mark",
            RENAME,
        ],
        there={"task": {"title": "ours"}},
        log=["update done"],
    ),
)


def find_word(scene: Scene, word: str) -> None:
    """The word is on hiTask, or is kept and explained."""
    there = any(item.title == word for item in scene.model.items())
    kept = [*scene.conflicts(), *scene.changes()]
    assert there or any(word in line for line in kept), kept


@OWN
def test_things_of_ones_own(house: House, edge: Edge) -> None:
    run_edge(house, edge)


@DROPPED
def test_things_that_are_missing(house: House, edge: Edge) -> None:
    run_edge(house, edge)


def test_a_dropped_table_deletes_nothing_and_says_the_way_out(house: House) -> None:
    scene = make_scene(house, {"task": {}, "note": {"kind": "note"}})
    scene.sql("DROP TABLE tasks")
    for _ in range(2):
        with pytest.raises(SchemaError, match=r"lacks the table tasks.*restore a backup"):
            scene.world.sync()
    scene.world.crash()
    with pytest.raises(SchemaError, match="nothing was deleted on hiTask"):
        scene.world.sync()
    assert (scene.world.writes(), len(scene.model.items())) == ([], 2)
    scene.close()


def test_a_table_that_views_need_can_not_be_renamed(house: House) -> None:
    scene = make_scene(house, {"task": {}})
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        scene.sql("ALTER TABLE tasks RENAME TO todo")
    scene.sql("UPDATE tasks SET title = 'ours'")
    scene.world.sync()
    assert scene.need("task").title == "ours"
    check_peace(scene)
    scene.close()


@pytest.fixture
def hasty(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A house whose engine waits for nobody."""
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_SECONDS", 0.02)
    made = House(tmp_path)
    yield made
    made.leave()


class Window:
    """A graphical client that begins a transaction and goes to lunch."""

    def __init__(self, *statements: str) -> None:
        self.statements = statements
        self.connection: sqlite3.Connection | None = None

    def open(self, scene: Scene) -> None:
        self.connection = sqlite3.connect(scene.world.database, isolation_level=None, timeout=0.02)
        self.connection.row_factory = sqlite3.Row
        for statement in self.statements:
            scene.run(self.connection, statement)

    def commit(self, _: Scene) -> None:
        assert self.connection is not None
        with closing(self.connection) as connection:
            connection.execute("COMMIT")


def lunch(name: str, before: list[Act], *statements: str, when: str | None, **outcome: Any) -> Edge:
    """The window is opened before a cycle or in the middle of a request, and committed later."""
    window = Window("BEGIN IMMEDIATE", *statements)
    opened = window.open if when is None else during(when, window.open, after=True)
    again = [fails(BusyError, "commit or close it there"), fails(BusyError, "database")]
    return Edge(name, given=TASK, when=[*before, opened, *again, window.commit, sync], **outcome)


@table(
    lunch(
        "a transaction open before the cycle",
        [NEW, edits("task", color=2)],
        RENAME,
        when=None,
        there={"task": {"title": "ours", "color": 2}, "new": {"title": "new"}},
        log=["insert done", "update done"],
    ),
    lunch(
        "a transaction opened while a delta is read",
        [NEW, edits("task", color=2)],
        RENAME,
        when="GET /item/delta/*",
        there={"task": {"title": "ours", "color": 2}, "new": {"title": "new"}},
        log=["insert done", "update done"],
    ),
    lunch(
        "a transaction opened while a create is sent: its answer can't be written down",
        [NEW],
        RENAME,
        when="POST /item",
        traits=["repeated_guid=duplicates"],
        there={"task": {"title": "ours"}, "new": {"title": "new"}},
        log=["insert done", "update done"],
        writes=["POST", "PUT task"],
    ),
    lunch(
        "a transaction opened while an edit is sent, with a newer edit of the same cell",
        [RENAME],
        "UPDATE tasks SET title = 'newer' WHERE guid = :task",
        when="PUT /item/*",
        there={"task": {"title": "newer"}},
        log=["update done", "update done"],
        writes=["PUT task", "PUT task"],
    ),
    lunch(
        "a transaction opened while a deletion is sent",
        ["DELETE FROM tasks WHERE guid = :task"],
        NEW,
        when="DELETE /item/*",
        there={"task": None, "new": {"title": "new"}},
        log=["delete done", "insert done"],
        removed=["task: deleted here"],
    ),
    Edge(
        "a transaction that only reads stays open for minutes: nobody waits",
        given=TASK,
        when=[
            Window("BEGIN", "SELECT count(*) FROM tasks").open,
            RENAME,
            edits("task", color=2),
            NEW,
        ],
        there={"task": {"title": "ours", "color": 2}, "new": {"title": "new"}},
        log=["update done", "insert done"],
    ),
)
def test_a_client_at_lunch(hasty: House, edge: Edge) -> None:
    run_edge(hasty, edge)
