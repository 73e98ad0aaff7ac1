"""What SQL clients do to rows: planning goes by the state reached, not by the statement."""

from __future__ import annotations

from collections.abc import Mapping

from tests.edges.acts import (
    deletes,
    edits,
    fault,
    one_transaction,
    refused,
    sets,
    sql,
    sync,
)
from tests.edges.edge import Edge, run_edge, table
from tests.edges.house import House
from tests.edges.scene import Act, Scene

BOTH = True

TASK = {"task": {"title": "base", "tags": ["a"], "color": 3}}
IDENTITY = "guid and id are the identity of a row"


def executemany(statement: str, *rows: Mapping[str, object]) -> Act:
    """One prepared statement with many sets of values."""

    def run(scene: Scene) -> None:
        with scene.world.client() as connection:
            connection.executemany(statement, rows)

    return run


def attached(*statements: str) -> Act:
    """Statements of a client that has the mirror attached to a database of its own, as `m`."""

    def run(scene: Scene) -> None:
        with scene.world.client() as connection:
            connection.execute("ATTACH ':memory:' AS own")
            connection.execute("CREATE TABLE own.ideas AS SELECT 'idea' AS title")
            connection.execute(f"ATTACH '{scene.world.database}' AS m")
            for statement in statements:
                scene.run(connection, statement)

    return run


REPLACING = table(
    Edge(
        "INSERT OR REPLACE of a known row is an update of the same item",
        given=TASK,
        when=["INSERT OR REPLACE INTO tasks (guid, title) VALUES (:task, 'ours')"],
        there={"task": {"title": "ours", "tags": None, "color": 0}},
        log=["delete merged", "insert done"],
        writes=["PUT task"],
        removed=[],
    ),
    Edge(
        "INSERT OR REPLACE of a row by itself costs no request",
        given=TASK,
        when=["INSERT OR REPLACE INTO tasks SELECT * FROM tasks"],
        log={"delete merged": 1, "insert merged": 1},
        writes=[],
    ),
    Edge(
        "REPLACE over another row, by its rowid: that one is deleted, the new one made",
        given=TASK,
        when=[
            (
                "REPLACE INTO tasks (rowid, guid, title) "
                "SELECT rowid, :new, 'new' FROM tasks WHERE guid = :task"
            )
        ],
        there={"task": None, "new": {"title": "new"}},
        log=["delete done", "insert done"],
        writes={"DELETE task": 1, "POST": 1},
        removed=["task: deleted here"],
    ),
    Edge(
        "REPLACE of a row that was never sent",
        when=[
            "INSERT INTO tasks (guid, title) VALUES (:new, 'one')",
            "REPLACE INTO tasks (guid, title) VALUES (:new, 'two')",
        ],
        there={"new": {"title": "two"}},
        log={"insert done": 1, "insert merged": 1, "delete merged": 1},
        writes=["POST"],
    ),
    Edge(
        "REPLACE with recursive_triggers on says the same",
        given=TASK,
        when=[
            one_transaction(
                "REPLACE INTO tasks (guid, title) VALUES (:task, 'ours')",
                pragma="recursive_triggers = on",
            )
        ],
        there={"task": {"title": "ours", "tags": None}},
        log=["delete merged", "insert done"],
        writes=["PUT task"],
    ),
    Edge(
        "an upsert that finds the row is an update",
        given=TASK,
        when=[
            (
                "INSERT INTO tasks (guid, title) VALUES (:task, 'ours'), (:new, 'new') "
                "ON CONFLICT (guid) DO UPDATE SET title = excluded.title"
            )
        ],
        there={"task": {"title": "ours", "tags": ["a"]}, "new": {"title": "new"}},
        log={"update done": 1, "insert done": 1},
        writes={"PUT task": 1, "POST": 1},
    ),
    Edge(
        "an upsert that does nothing does nothing",
        given=TASK,
        when=["INSERT INTO tasks (guid, title) VALUES (:task, 'ours') ON CONFLICT DO NOTHING"],
        there={"task": {"title": "base"}},
        log=[],
        writes=[],
    ),
    Edge(
        "INSERT OR IGNORE of a known row does nothing, also to a later deletion",
        given=TASK,
        when=[
            "INSERT OR IGNORE INTO tasks (guid, title) VALUES (:task, 'ours')",
            sync,
            "DELETE FROM tasks WHERE guid = :task",
        ],
        there={"task": None},
        log=["delete done"],
        writes=["DELETE task"],
    ),
    Edge(
        "UPDATE OR REPLACE of ordinary columns",
        given=TASK,
        when=["UPDATE OR REPLACE tasks SET title = 'ours' WHERE guid = :task"],
        there={"task": {"title": "ours", "tags": ["a"]}},
        log=["update done"],
        writes=["PUT task"],
    ),
    Edge(
        "UPDATE OR REPLACE of a guid is refused at once, and so is every other way",
        given={**TASK, "other": {}},
        when=[
            refused("UPDATE OR REPLACE tasks SET guid = :other WHERE guid = :task", IDENTITY),
            refused("UPDATE OR IGNORE tasks SET guid = :free WHERE guid = :task", IDENTITY),
            refused("UPDATE OR FAIL tasks SET id = 5 WHERE guid = :task", IDENTITY),
            refused("UPDATE tasks SET id = NULL, title = 'x'", IDENTITY),
            refused("UPDATE tasks SET rowid = rowid + 10", IDENTITY),
            refused(
                "INSERT INTO tasks (guid, title) VALUES (:task, 'x') "
                "ON CONFLICT (guid) DO UPDATE SET guid = :free",
                IDENTITY,
            ),
        ],
        there={"task": {"title": "base"}, "other": {"title": "other"}},
        log=[],
        writes=[],
    ),
    Edge(
        "guid set to itself is no change of it",
        given=TASK,
        when=["UPDATE tasks SET guid = guid, id = id, title = 'ours'"],
        there={"task": {"title": "ours"}},
        log=["update done"],
    ),
    Edge(
        "a null guid is refused at once",
        when=[refused("INSERT INTO tasks (guid, title) VALUES (NULL, 'x')", "(?i)not.null")],
        log=[],
    ),
    Edge(
        "a guid that is no UUID is refused with the reason",
        sqlite_only="PostgreSQL reads or takes such cells otherwise",
        when=[
            "INSERT INTO tasks (guid, title) VALUES ('mine', 'x')",
            "INSERT INTO tasks (guid, title) VALUES ('', 'y')",
            refused("INSERT INTO tasks (guid, title) VALUES (x'00ff', 'z')", "must be a UUID"),
            refused("INSERT INTO tasks (guid, title) VALUES ('ключ', 'z')", "must be a UUID"),
        ],
        log=["insert rejected: is not a UUID", "insert rejected: is not a UUID"],
        here_only=["x", "y"],
        writes=[],
    ),
)


def upper(statement: str) -> Act:
    """A statement with the guid of `new` in capitals."""
    return lambda scene: scene.sql(statement, capitals=scene.guid("new").upper())


STATES = table(
    Edge(
        "one statement over many rows",
        given={f"task{n}": {} for n in range(12)},
        when=["UPDATE tasks SET starred = true, color = 5"],
        there={"task7": {"starred": True, "color": 5}},
        log={"update done": 12},
        then=[lambda scene: _expect(len(scene.writes()), 12)],
    ),
    Edge(
        "rows copied within the table get identities of their own",
        given=TASK,
        when=["INSERT INTO tasks (title, tags, color) SELECT 'copy', tags, color FROM tasks"],
        log=["insert done"],
        then=[lambda scene: _expect(_titles(scene), ["base", "copy"])],
    ),
    Edge(
        "a row copied with everything but its guid is a new item, whatever its id says",
        given=TASK,
        when=[
            "CREATE TEMP TABLE t AS SELECT 1",  # of one client, and gone with it
            one_transaction(
                "CREATE TEMP TABLE copy AS SELECT * FROM tasks",
                "UPDATE copy SET guid = :new, title = 'copy'",
                "INSERT INTO tasks SELECT * FROM copy",
            ),
        ],
        there={"new": {"title": "copy", "tags": ["a"]}, "task": {"title": "base"}},
        log=["insert done"],
        writes=["POST"],
    ),
    Edge(
        "a new row with an id of its own invention gets hiTask's",
        when=["INSERT INTO tasks (guid, id, title, version) VALUES (:new, 17, 'new', 99)"],
        there={"new": {"title": "new", "version": 1}},
        log=["insert done"],
    ),
    Edge(
        "UPDATE FROM another table",
        given={"top": {"kind": "project", "title": "top"}, "task": {"parent": "top"}},
        when=["UPDATE tasks SET title = p.title FROM projects p WHERE p.guid = tasks.parent_guid"],
        there={"task": {"title": "top"}},
        log=["update done"],
    ),
    Edge(
        "executemany",
        when=[
            executemany(
                "INSERT INTO notes (title) VALUES (:t)", *({"t": f"n{i}"} for i in range(15))
            )
        ],
        log={"insert done": 15},
        writes={"POST": 15},
    ),
    Edge(
        "a statement that changes nothing, and one that is rolled back",
        given=TASK,
        when=[
            "UPDATE tasks SET title = title, color = 3",
            one_transaction(
                "SAVEPOINT s",
                "UPDATE tasks SET title = 'x'",
                "INSERT INTO tasks (title) VALUES ('y')",
                "DELETE FROM tasks",
                "ROLLBACK TO s",
            ),
        ],
        there={"task": {"title": "base"}},
        log=[],
        writes=[],
    ),
    Edge(
        "an edit that is taken back costs no request",
        given=TASK,
        when=[
            "UPDATE tasks SET title = 'x', color = 1",
            "UPDATE tasks SET title = 'base'",
            "UPDATE tasks SET color = 3",
        ],
        there={"task": {"title": "base", "color": 3}},
        log=["update merged"] * 3,
        writes=[],
    ),
    Edge(
        "an edit that is taken back while hiTask's title changed: theirs stays",
        given=TASK,
        when=[
            "UPDATE tasks SET title = 'x'",
            "UPDATE tasks SET title = 'base'",
            edits("task", title="theirs"),
        ],
        there={"task": {"title": "theirs"}},
        writes=[],
    ),
    Edge(
        "an edit is sent, and then taken back",
        given=TASK,
        when=["UPDATE tasks SET title = 'x'", sync, "UPDATE tasks SET title = 'base'"],
        there={"task": {"title": "base"}},
        log=["update done", "update done"],
        writes=["PUT task", "PUT task"],
    ),
    Edge(
        "two hundred edits of one row are one request",
        given=TASK,
        when=[executemany("UPDATE tasks SET title = :t", *({"t": f"t{n}"} for n in range(200)))],
        there={"task": {"title": "t199"}},
        log={"update done": 1, "update merged": 199},
        writes=["PUT task"],
    ),
    Edge(
        "deleted and put in again as it was: nothing happened",
        given=TASK,
        when=[
            one_transaction(
                "CREATE TEMP TABLE keep AS SELECT * FROM tasks",
                "DELETE FROM tasks",
                "INSERT INTO tasks SELECT * FROM keep",
            )
        ],
        log=["delete merged", "insert merged"],
        writes=[],
        removed=[],
    ),
    Edge(
        "deleted, put in again, deleted: deleted once",
        given=TASK,
        when=[
            "DELETE FROM tasks",
            "INSERT INTO tasks (guid, title) VALUES (:task, 'again')",
            "DELETE FROM tasks",
        ],
        there={"task": None},
        log=["delete merged", "insert merged", "delete done"],
        writes=["DELETE task"],
        removed=["task: deleted here"],
    ),
    Edge(
        "deleted and sent, then put in again: a new item with the old guid",
        given=TASK,
        when=["DELETE FROM tasks", sync, "INSERT INTO tasks (guid, title) VALUES (:task, 'again')"],
        there={"task": {"title": "again", "tags": None}},
        log=["delete done", "insert done"],
        writes=["DELETE task", "POST"],
        removed=["task: deleted here"],
    ),
    Edge(
        "put in and deleted before anything was sent",
        when=[
            "INSERT INTO tasks (guid, title) VALUES (:new, 'new')",
            "UPDATE tasks SET color = 2",
            "DELETE FROM tasks",
        ],
        there={"new": None},
        log=["insert merged", "update merged", "delete merged"],
        writes=[],
        removed=[],
    ),
    Edge(
        "put in, deleted, and put in again under one guid",
        when=[
            "INSERT INTO tasks (guid, title, color) VALUES (:new, 'one', 2)",
            "DELETE FROM tasks",
            "INSERT INTO tasks (guid, title) VALUES (:new, 'two')",
        ],
        there={"new": {"title": "two", "color": 0}},
        log={"insert done": 1, "insert merged": 1, "delete merged": 1},
        writes=["POST"],
    ),
    Edge(
        "a refused new row is deleted again",
        when=[
            "INSERT INTO tasks (guid, title) VALUES (:new, '')",
            sync,
            "DELETE FROM tasks WHERE guid = :new",
        ],
        log=["insert rejected: title", "delete merged"],
        writes=[],
        removed=[],
    ),
    Edge(
        "a new row that is archived at once",
        when=["INSERT INTO tasks (guid, title, archived) VALUES (:new, 'new', true)"],
        there={"new": None},
        here={"new": None},
        log=["insert done"],
        writes=["POST", "ARCHIVE"],
        removed=["new: archived here"],
    ),
    Edge(
        "archived and taken back",
        given=TASK,
        when=["UPDATE tasks SET archived = true", "UPDATE tasks SET archived = false"],
        there={"task": {"title": "base"}},
        log=["update merged", "update merged"],
        writes=[],
    ),
    Edge(
        "archived and deleted: deleted",
        given=TASK,
        when=["UPDATE tasks SET archived = true", "DELETE FROM tasks"],
        there={"task": None},
        log=["update merged", "delete done"],
        writes=["DELETE task"],
        then=[lambda scene: _expect(len(scene.model.store.archived), 0)],
    ),
    Edge(
        "archived here, deleted there",
        given={**TASK, "other": {}},
        when=["UPDATE tasks SET archived = true WHERE guid = :task", deletes("task")],
        there={"task": None},
        log={"update merged": 1},
        writes=[],
    ),
    Edge(
        "a guid in capitals is one row and one item",
        when=[upper("INSERT INTO tasks (guid, title) VALUES (:capitals, 'new')")],
        log=["insert done"],
        writes=["POST"],
        then=[lambda scene: _expect(_titles(scene), ["new"])],
    ),
    Edge(
        "a guid in capitals, and the answer to its create is lost",
        traits=["repeated_guid=duplicates"],
        when=[
            upper("INSERT INTO tasks (guid, title) VALUES (:capitals, 'new')"),
            fault("POST /item:drop_after:1"),
            sync,
            sync,
        ],
        log=["insert done"],
        then=[
            lambda scene: _expect(_titles(scene), ["new"]),
            lambda scene: _expect(len(scene.ask("SELECT 1 FROM tasks")), 1),
        ],
    ),
    Edge(
        "the same guid in small letters and in capitals: two rows, but never one item twice",
        when=[
            "INSERT INTO tasks (guid, title) VALUES (:new, 'small')",
            upper("INSERT INTO tasks (guid, title) VALUES (:capitals, 'large')"),
            sync,
        ],
        then=[
            lambda scene: _expect(
                len(scene.ask("SELECT id FROM tasks WHERE id IS NOT NULL")),
                len(scene.model.items()),
            )
        ],
        here_only=[],
    ),
    Edge(
        "a parent in capitals, named in capitals",
        when=[
            upper("INSERT INTO tasks (guid, title) VALUES (:capitals, 'new')"),
            upper("INSERT INTO tasks (guid, title, parent_guid) VALUES (:kid, 'kid', :capitals)"),
            sync,
            edits("kid", title="theirs"),
        ],
        there={"kid": {"parentTitle": "new", "title": "theirs"}},
        log=["insert done", "insert done"],
    ),
    Edge(
        "a parent in small letters, named in capitals, is explained",
        given={"new": {"title": "top"}},
        when=[
            upper("INSERT INTO tasks (guid, title, parent_guid) VALUES (:kid, 'kid', :capitals)")
        ],
        log=["insert rejected: is no item of this account"],
        here_only=["kid"],
        writes=[],
    ),
    Edge(
        "other words for the same values cost no request",
        sqlite_only="PostgreSQL reads or takes such cells otherwise",
        given={
            "task": {
                "due_date": "2026-05-01T10:00:00.000+00:00",
                "tags": ["a", "b"],
                "time_est": 90,
                "starred": True,
                "location": {"address": "x", "latitude": 1.5},
            }
        },
        when=[
            (
                "UPDATE tasks SET due_date = '2026-05-01T13:00:00+03:00', message = '', "
                "time_est_minutes = '90', starred = 'TRUE', assignee_id = 0, color = NULL, "
                'location = \'{"latitude": 1.50, "address": "x"}\', tags = \'[ "b","a" ]\', '
                "participants = '[]'"
            )
        ],
        here={"task": {"due_date": "2026-05-01 10:00:00.000000", "starred": 1, "message": None}},
        log=["update merged"],
        writes=[],
    ),
    Edge(
        "other words for new values",
        given=TASK,
        when=[
            (
                "UPDATE tasks SET due_date = '2026-05-01 10:00Z', tags = '[ \"x\" , \"x\" ]', "
                "time_est_minutes = '90', starred = 'true', priority = 30000.0, title = 17"
            )
        ],
        there={
            "task": {
                "due_date": "2026-05-01T10:00:00.000+00:00",
                "tags": ["x"],
                "time_est": 90,
                "starred": True,
                "title": "17",
            }
        },
        here={"task": {"due_date": "2026-05-01 10:00:00.000000", "title": "17", "starred": 1}},
        log=["update done"],
        writes=["PUT task"],
    ),
    Edge(
        "foreign_keys off, and a transaction of everything",
        given=TASK,
        when=[
            one_transaction(
                "INSERT INTO tasks (guid, title, parent_guid) VALUES (:kid, 'kid', :task)",
                "UPDATE tasks SET color = 1",
                "INSERT INTO notes (guid, title) VALUES (:note, 'note')",
                "DELETE FROM notes",
                pragma="foreign_keys = off",
            )
        ],
        there={"kid": {"in": "task", "color": 1}, "task": {"color": 1}, "note": None},
        writes={"POST": 1, "PUT task": 1},
    ),
    Edge(
        "the mirror attached to another database",
        given=TASK,
        when=[
            attached(
                "INSERT INTO m.tasks (guid, title) SELECT :new, title FROM own.ideas",
                "UPDATE m.tasks SET color = 1 WHERE guid = :task",
            )
        ],
        there={"new": {"title": "idea"}, "task": {"color": 1}},
        log=["insert done", "update done"],
    ),
    Edge(
        "a row moved to another table becomes an item of that kind",
        given=TASK,
        when=[
            one_transaction(
                "INSERT INTO notes (guid, title) SELECT guid, title FROM tasks",
                "DELETE FROM tasks",
            ),
            sync,
        ],
        there={"task": {"title": "base", "category": 4}},
        here={"task": {"table": "notes"}},
        writes=["DELETE task", "POST"],
    ),
    Edge(
        "a row moved to another table with a comment: said on the new item",
        given={**TASK, "other": {}},
        rules={"comments": True},
        when=[
            one_transaction(
                "INSERT INTO notes (guid, title) SELECT guid, title FROM tasks WHERE guid = :task",
                "DELETE FROM tasks WHERE guid = :task",
            ),
            "INSERT INTO comments (item_guid, message) VALUES (:task, 'said')",
            sync,
        ],
        there={"task": {"category": 4, "last_comment": "said"}},
        log=["insert done", "delete done", "insert done"],
    ),
    Edge(
        "a row moved to another table, and its item likewise there: the edits of both stand",
        given={**TASK, "other": {}},
        when=[
            one_transaction(
                "INSERT INTO notes (guid, title, message, color) VALUES (:task, 'ours', 'more', 3)",
                "DELETE FROM tasks WHERE guid = :task",
            ),
            sets("task", category=4, message="theirs", color=7),
        ],
        there={"task": {"title": "ours", "message": "theirs", "color": 7, "category": 4}},
        here={"task": {"table": "notes"}},
        conflicts=["message: None / more / theirs -> remote"],
        writes=["PUT task"],
    ),
    Edge(
        "a second row with an item's guid where the item goes to: refused, and kept",
        given={**TASK, "other": {}},
        when=[
            "INSERT INTO notes (guid, title) VALUES (:task, 'ours')",
            "UPDATE tasks SET color = 5 WHERE guid = :task",
            sets("task", category=4),
        ],
        there={"task": {"title": "base", "color": 5, "category": 4}},
        here={"task": {"table": "notes"}},
        log=["insert rejected: its guid belongs to an item that came to notes", "update done"],
        removed=["task: its guid belongs to an item that came to notes"],
    ),
    Edge(
        "a row moved to another table and back: nothing happened",
        given=TASK,
        when=[
            "INSERT INTO notes (guid, title) SELECT guid, title FROM tasks",
            "DELETE FROM notes",
        ],
        there={"task": {"title": "base"}},
        log=["insert merged", "delete merged"],
        writes=[],
    ),
    Edge(
        "a deletion with the answer lost, and the row put in again at once",
        given=TASK,
        when=[
            "DELETE FROM tasks",
            fault("DELETE /item/*:drop_after:1"),
            sync,
            "INSERT INTO tasks (guid, title) VALUES (:task, 'again')",
            sync,
        ],
        there={"task": {"title": "again"}},
        log={"delete done": 1, "insert done": 1},
    ),
    Edge(
        "a read-only column is put back, the rest of the statement goes out",
        given=TASK,
        when=[sql("UPDATE tasks SET owner_id = 5, issue_id = 'X-1', shared = 0, color = 2")],
        there={"task": {"color": 2}},
        log=["update rejected: owner_id is read-only"],
        writes=["PUT task"],
    ),
)


def _expect(actual: object, wanted: object) -> None:
    assert actual == wanted


def _titles(scene: Scene) -> list[str]:
    return sorted(item.title for item in scene.model.items())


@REPLACING
def test_replacing(house: House, edge: Edge) -> None:
    run_edge(house, edge)


@STATES
def test_states_reached(house: House, edge: Edge) -> None:
    run_edge(house, edge)
