"""The main job on the straight road: what is on one side arrives on the other, once."""

from __future__ import annotations

from typing import Any

import pytest

from hisync.items import TABLES
from tests.engine.conftest import MakeWorld
from tests.world import World

BOTH = True
TASK = "SELECT * FROM tasks WHERE permission = 100 AND parent_guid IS NULL ORDER BY id LIMIT 1"


def owner(world: World, number: int) -> Any:
    return world.service.model.user(world.service.model.item(number).user_id)


def test_the_first_sync_mirrors_every_item_with_one_read(new_world: MakeWorld) -> None:
    world = new_world(items=300)
    summary = world.sync()
    counted = {t: world.one(f"SELECT count(*) AS n FROM {t}")["n"] for t in TABLES}
    assert sum(counted.values()) == 300
    assert counted["tasks"] > counted["projects"] > 0
    discussed = world.service.requests["GET /item/history"]
    # A login, one read of all items, and who is who: contacts, team, groups, tags, preferences.
    assert summary.requests == 2 + 5 + discussed
    assert summary.pulled == 300 + world.one("SELECT count(*) AS n FROM comments")["n"]
    assert world.writes() == []


def test_a_quiet_cycle_is_one_request_and_changes_nothing(world: World) -> None:
    before = world.sql("SELECT * FROM tasks"), world.sql("SELECT * FROM sync_base")
    summary = world.sync()
    assert (summary.requests, summary.pulled, summary.pushed) == (1, 0, 0)
    assert [entry.path.split("/")[1:3] for entry in world.service.log] == [["item", "delta"]]
    assert (world.sql("SELECT * FROM tasks"), world.sql("SELECT * FROM sync_base")) == before
    assert world.changes() == []


def test_the_mirror_of_an_empty_account_is_empty_and_quiet(new_world: MakeWorld) -> None:
    world = new_world(items=0)
    assert world.sync().pulled == 0
    assert world.sync().requests == 1
    world.sql("INSERT INTO tasks (title) VALUES ('The first one')")
    assert world.sync().pushed == 1
    assert [item.title for item in world.service.model.items()] == ["The first one"]


@pytest.mark.core
def test_an_edit_on_hitask_arrives_with_the_next_delta(world: World) -> None:
    task = world.one(TASK)
    world.service.model.update(
        task["id"], user=owner(world, task["id"]), title="Neu – „fein“ 🎉", tags=["a", "b"]
    )
    assert world.sync().pulled == 1
    after = world.one("SELECT * FROM tasks WHERE guid = ?", task["guid"])
    assert (after["title"], after["tags"]) == ("Neu – „fein“ 🎉", '["a","b"]')
    assert after["version"] == task["version"] + 1
    assert world.sync().pulled == 0


@pytest.mark.core
def test_inserted_rows_are_created_and_take_what_hitask_makes_of_them(world: World) -> None:
    world.sql("INSERT INTO tasks (title) VALUES ('Call Ann')")
    world.sql("INSERT INTO notes (title, message) VALUES ('N', 'Zeile 1\nZeile 2 \"x\"')")
    summary = world.sync()
    row = world.one("SELECT * FROM tasks WHERE title = 'Call Ann'")
    made = world.service.model.item(row["id"])
    assert (made.guid, made.title) == (row["guid"], "Call Ann")
    assert (row["priority"], row["version"], row["archived"]) == (20000, 1, 0)
    assert summary.pushed == 2
    assert world.writes() == ["POST /item", "POST /item"]
    assert world.changes() == [("insert", "done"), ("insert", "done")]
    assert world.sync().pushed == 0


@pytest.mark.core
def test_many_edits_of_a_row_become_one_request_with_the_changed_fields_only(
    world: World,
) -> None:
    task = world.one(TASK)
    for title in ("one", "two", "three"):
        world.sql("UPDATE tasks SET title = ? WHERE guid = ?", title, task["guid"])
    world.sql("UPDATE tasks SET starred = NOT starred WHERE guid = ?", task["guid"])
    world.sql("UPDATE tasks SET starred = NOT starred WHERE guid = ?", task["guid"])
    world.sync()
    assert world.writes() == [f"PUT /item/{task['id']}"]
    assert world.service.model.item(task["id"]).title == "three"
    states = [state for _, state in world.changes()]
    assert (states[2], sorted(states)) == ("done", ["done", *["merged"] * 4])
    assert world.one("SELECT title FROM tasks WHERE guid = ?", task["guid"])["title"] == "three"


def test_what_cancels_out_costs_no_request(world: World) -> None:
    task = world.one(TASK)
    world.sql("UPDATE tasks SET title = 'x' WHERE guid = ?", task["guid"])
    world.sql("UPDATE tasks SET title = ? WHERE guid = ?", task["title"], task["guid"])
    world.sql("INSERT INTO tasks (guid, title) VALUES ('gone', 'never sent')")
    world.sql("DELETE FROM tasks WHERE guid = 'gone'")
    world.sync()
    assert world.writes() == []
    assert {state for _, state in world.changes()} == {"merged"}
    assert world.sql("SELECT 1 FROM sync_base WHERE dirty IS NOT NULL") == []


@pytest.mark.core
def test_a_deleted_row_is_deleted_there_and_kept_in_removed_rows(world: World) -> None:
    leaf = world.one(
        "SELECT * FROM tasks t WHERE permission = 100 AND NOT EXISTS "
        "(SELECT 1 FROM tasks c WHERE c.parent_guid = t.guid) ORDER BY id LIMIT 1"
    )
    world.sql("DELETE FROM tasks WHERE guid = ?", leaf["guid"])
    assert world.sync().pushed == 1
    assert leaf["id"] not in {item.id for item in world.service.model.items()}
    kept = world.one("SELECT * FROM removed_rows WHERE table_name <> 'comments'")
    assert (kept["row_guid"], kept["id"], kept["reason"]) == (
        leaf["guid"],
        leaf["id"],
        "deleted here",
    )
    assert leaf["title"] in kept["last_values"]
    assert world.sync().pulled == 0


def test_archiving_takes_the_row_out_on_both_sides(world: World) -> None:
    task = world.one(TASK)
    world.sql("UPDATE tasks SET archived = true, title = 'last words' WHERE guid = ?", task["guid"])
    summary = world.sync()
    assert world.writes() == [f"PUT /item/{task['id']}", "POST /item/archive"]
    assert summary.waiting == {}
    assert world.sql("SELECT 1 FROM tasks WHERE guid = ?", task["guid"]) == []
    kept = world.one("SELECT * FROM removed_rows WHERE table_name <> 'comments'")
    assert (kept["reason"], "last words" in kept["last_values"]) == ("archived here", True)
    assert world.sync().pulled in {0, 1}  # children that the archiving lifted


def test_parents_are_created_before_their_children_in_whatever_order_they_were_made(
    world: World,
) -> None:
    a, b, c = (f"00000000-0000-4000-8000-00000000000{n}" for n in "abc")
    world.sql("INSERT INTO tasks (guid, title, parent_guid) VALUES (?, 'leaf', ?)", c, b)
    world.sql("INSERT INTO tasks (guid, title, parent_guid) VALUES (?, 'branch', ?)", b, a)
    world.sql("INSERT INTO projects (guid, title) VALUES (?, 'root')", a)
    world.sync()
    made = {item.guid: item for item in world.service.model.items()}
    assert made[c].parent == made[b].id
    assert made[b].parent == made[a].id
    assert world.one("SELECT parent_guid FROM tasks WHERE guid = ?", c)["parent_guid"] == b


def test_a_tree_is_deleted_children_first_and_a_parent_alone_is_refused(world: World) -> None:
    root = "00000000-0000-4000-8000-00000000000a"
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'root')", root)
    for title in ("leaf 1", "leaf 2"):
        world.sql("INSERT INTO tasks (title, parent_guid) VALUES (?, ?)", title, root)
    world.sync()
    world.sync()  # the sandbox says only now that the parent has children
    parent = world.one("SELECT * FROM tasks WHERE guid = ?", root)
    world.sql("DELETE FROM tasks WHERE guid = ?", root)
    summary = world.sync()
    refused = world.one("SELECT state, error FROM change_log WHERE op = 'delete'")
    assert refused["state"] == "rejected"
    assert "2 child items" in refused["error"]
    assert summary.rejected == 1
    assert world.one("SELECT * FROM tasks WHERE guid = ?", root) == parent
    world.service.reset_log()
    world.sql("DELETE FROM tasks WHERE parent_guid = ? OR guid = ?", root, root)
    world.sync()
    assert world.writes()[2:] == [f"DELETE /item/{parent['id']}"]
    assert world.sql("SELECT 1 FROM tasks WHERE title LIKE 'leaf%' OR title = 'root'") == []


CLEARED = {
    "message": None,
    "assignee_id": None,
    "tags": "[]",
    "participants": "[]",
    "due_date": None,
    "start_date": None,
    "end_date": None,
    "time_est_minutes": None,
    "parent_guid": None,
}


def test_each_kind_of_field_can_be_cleared(world: World) -> None:
    task = world.one(TASK)
    person = world.service.model.users[1].id
    project = world.one("SELECT guid FROM projects LIMIT 1")["guid"]
    values = {
        "message": "m",
        "assignee_id": person,
        "tags": '["t"]',
        "participants": f"[{person}]",
        "due_date": "2026-05-01 10:00",
        "start_date": "2026-05-01 08:00",
        "end_date": "2026-05-01T09:00:00Z",
        "time_est_minutes": 90,
        "parent_guid": project,
    }
    for wanted in (values, CLEARED):
        columns = ", ".join(f"{column} = ?" for column in wanted)
        world.sql(f"UPDATE tasks SET {columns} WHERE guid = ?", *wanted.values(), task["guid"])
        summary = world.sync()
        assert (summary.pushed, summary.rejected) == (1, 0), world.sql("SELECT * FROM change_log")
    after = world.one("SELECT * FROM tasks WHERE guid = ?", task["guid"])
    emptied = {column: after[column] for column in CLEARED}
    assert all(value in (None, "[]") for value in emptied.values()), emptied
    assert world.service.model.item(task["id"]).get("message") is None


def test_the_direction_pull_only_sends_nothing_and_keeps_the_edit(world: World) -> None:
    world.change_rules(push=False)
    world.sql("INSERT INTO tasks (title) VALUES ('waits')")
    world.sync()
    assert world.writes() == []
    world.change_rules(push=True)
    assert world.sync().pushed == 1


@pytest.mark.parametrize("fresh", [False, True])
def test_a_full_read_of_an_unchanged_account_writes_nothing(world: World, fresh: bool) -> None:
    if fresh:
        world.crash()
    before = world.sql("SELECT * FROM tasks")
    summary = world.sync(full=True)
    assert (summary.pulled, world.writes()) == (0, [])
    assert world.sql("SELECT * FROM tasks") == before


def test_user_columns_and_tables_are_left_alone(world: World) -> None:
    world.sql("ALTER TABLE tasks ADD COLUMN my_note TEXT")
    world.sql("CREATE TABLE mine (guid TEXT, x TEXT)")
    task = world.one(TASK)
    world.sql("UPDATE tasks SET my_note = 'secret' WHERE guid = ?", task["guid"])
    world.service.model.update(task["id"], user=owner(world, task["id"]), title="new")
    world.sync()
    after = world.one("SELECT title, my_note FROM tasks WHERE guid = ?", task["guid"])
    assert after == {"title": "new", "my_note": "secret"}
    assert world.changes() == []


def test_numbers_that_start_anew_in_a_restored_database_lose_no_edit(world: World) -> None:
    first, second = world.sql(TASK.replace("LIMIT 1", "LIMIT 2"))
    world.sql("UPDATE tasks SET title = 'a' WHERE guid = ?", first["guid"])
    world.sql("UPDATE tasks SET title = 'b' WHERE guid = ?", first["guid"])
    world.sync()
    world.crash()
    world.sql("DELETE FROM change_log")  # as pruning does, in the end
    world.sql(
        "ALTER SEQUENCE change_log_seq_seq RESTART"
        if world.backend == "postgresql"
        else "DELETE FROM sqlite_sequence"
    )
    world.sql("UPDATE tasks SET title = 'before' WHERE guid = ?", first["guid"])
    world.sync()
    world.sql("UPDATE tasks SET title = 'after' WHERE guid = ?", second["guid"])
    world.sync()
    model = world.service.model
    assert [model.item(row["id"]).title for row in (first, second)] == ["before", "after"]
    assert world.sql("SELECT seq, state FROM change_log ORDER BY seq") == [
        {"seq": 1, "state": "done"},
        {"seq": 3, "state": "done"},
    ]
