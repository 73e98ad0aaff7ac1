"""What has left comes back: out of the archive under its old key, or as a new item, once."""

from __future__ import annotations

from typing import Any

import pytest

from hisync.cycle import run_cycle
from hisync.deciding.discarding import discard_changes
from hisync.deciding.recreate import outcome_of, put_back
from hisync.deciding.restore import restore
from hisync.deciding.subject import Restored, RestoreError
from hisync.errors import MirrorError, RetryLaterError, UnreachableError
from hisync.items import derived_guid
from hisync.sandbox import Fault
from tests.engine.conftest import MakeWorld
from tests.world import World

BOTH = True

pytestmark = pytest.mark.slow

PROJECT = "00000000-0000-4000-8000-00000000000a"
TASK = "00000000-0000-4000-8000-00000000000b"
SERVERS = [[], ["stubs=false"], ["delta=false"], ["keeps_guid=false"], ["answers_item=false"]]


def made_here(world: World) -> int:
    """Make a task here; hiTask's number of it."""
    world.sql("INSERT INTO tasks (guid, title, tags) VALUES (?, 'mine', '[\"a\"]')", TASK)
    world.sync()
    world.sync()
    return int(world.one("SELECT id FROM tasks WHERE guid = ?", TASK)["id"])


def archived_here(world: World) -> int:
    number = made_here(world)
    world.sql("UPDATE tasks SET archived = true WHERE guid = ?", TASK)
    world.sync()
    assert world.sql("SELECT 1 FROM tasks WHERE guid = ?", TASK) == []
    world.service.reset_log()
    return number


def archive_there(world: World, number: int, *, cascade: bool = False) -> None:
    model = world.service.model
    model.archive(number, user=model.user(model.item(number).user_id), cascade=cascade)


def calls(world: World) -> list[str]:
    return [entry.path for entry in world.service.log if "authenticate" not in entry.path]


@pytest.mark.parametrize("traits", SERVERS, ids=str)
@pytest.mark.parametrize("where", ["here", "there"])
def test_an_archived_item_comes_back_under_its_old_key(
    new_world: MakeWorld, traits: list[str], where: str
) -> None:
    world = new_world(items=8, traits=traits)
    world.sync()
    number = made_here(world)
    before = world.one("SELECT * FROM tasks WHERE guid = ?", TASK)
    if where == "here":
        world.sql("UPDATE tasks SET archived = true WHERE guid = ?", TASK)
    else:
        archive_there(world, number)
    world.sync(full=True)
    world.sync(full=True)
    assert world.sql("SELECT 1 FROM tasks WHERE guid = ?", TASK) == []
    back = restore(world.engine, TASK)
    assert (back.outcome, back.table, back.guid, back.id) == ("restored", "tasks", TASK, number)
    changed = {"version", "time_last_update", "time_create", "extra"}
    after = world.one("SELECT * FROM tasks WHERE guid = ?", TASK)
    assert {c: v for c, v in after.items() if c not in changed} == {
        c: v for c, v in before.items() if c not in changed
    }
    world.sync()
    assert world.sql("SELECT count(*) AS n FROM tasks WHERE id = ?", number) == [{"n": 1}]
    assert world.sync().pushed == 0
    world.sql("UPDATE tasks SET title = 'edited' WHERE guid = ?", TASK)
    world.sync()
    assert world.service.model.item(number).title == "edited"


@pytest.mark.parametrize("traits", SERVERS, ids=str)
def test_what_is_archived_and_restored_there_takes_its_history_up_again(
    new_world: MakeWorld, traits: list[str]
) -> None:
    """Also where hiTask's own guid is not the row's key, and for the children that come along."""
    world = new_world(items=8, traits=traits)
    world.sync()
    world.sql("INSERT INTO projects (guid, title) VALUES (?, 'parent')", PROJECT)
    world.sql("INSERT INTO tasks (guid, title, parent_guid) VALUES (?, 'c', ?)", TASK, PROJECT)
    for _ in range(3):
        world.sync()
    number = int(world.one("SELECT id FROM projects WHERE guid = ?", PROJECT)["id"])
    archive_there(world, number, cascade=True)
    world.sync(full=True)
    world.sync(full=True)
    assert world.sql("SELECT 1 FROM tasks WHERE guid = ?", TASK) == []
    model = world.service.model
    model.restore(number, user=model.users[0])
    world.sync()
    world.sync(full=True)
    assert world.one("SELECT id FROM projects WHERE guid = ?", PROJECT) == {"id": number}
    assert world.one("SELECT parent_guid FROM tasks WHERE guid = ?", TASK) == {
        "parent_guid": PROJECT
    }
    assert world.sync().pulled == 0
    assert world.writes().count("POST /item") == 2


def test_a_child_that_comes_back_names_its_parents_key_at_once(new_world: MakeWorld) -> None:
    world = new_world(items=8, traits=["keeps_guid=false"])
    world.sync()
    world.sql("INSERT INTO projects (guid, title) VALUES (?, 'parent')", PROJECT)
    world.sql("INSERT INTO tasks (guid, title, parent_guid) VALUES (?, 'c', ?)", TASK, PROJECT)
    for _ in range(3):
        world.sync()
    number = int(world.one("SELECT id FROM projects WHERE guid = ?", PROJECT)["id"])
    archive_there(world, number, cascade=True)
    world.sync(full=True)
    world.sync(full=True)
    world.service.model.restore(number, user=world.service.model.users[0])
    world.sync()
    assert world.one("SELECT parent_guid FROM tasks WHERE guid = ?", TASK) == {
        "parent_guid": PROJECT
    }


def test_a_key_that_somebody_has_taken_since_is_left_to_them(new_world: MakeWorld) -> None:
    world = new_world(items=8, traits=["keeps_guid=false"])
    world.sync()
    number = archived_here(world)
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'another')", TASK)
    world.sync()
    world.sync()
    model = world.service.model
    model.restore(number, user=model.users[0])
    world.sync()
    assert world.one("SELECT title FROM tasks WHERE guid = ?", TASK) == {"title": "another"}
    assert world.one("SELECT title FROM tasks WHERE id = ?", number) == {"title": "mine"}
    back = restore(world.engine, TASK)
    assert (back.outcome, back.title) == ("here", "another")


@pytest.mark.parametrize("later", ["an entry", "a row"])
def test_what_left_later_under_the_same_guid_hides_no_archived_item(
    world: World, later: str
) -> None:
    number = archived_here(world)
    if later == "an entry":
        world.sql(
            "INSERT INTO time_entries (guid, item_guid, minutes) "
            "SELECT ?, guid, -500 FROM tasks LIMIT 1",
            TASK,
        )
        world.sync()
    else:
        world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'another')", TASK)
        seq = world.one("SELECT max(seq) AS n FROM change_log")["n"]
        discard_changes(world.engine.mirror, [seq], world.time.utc())
    assert world.one("SELECT count(*) AS n FROM removed_rows WHERE row_guid = ?", TASK)["n"] == 2
    back = restore(world.engine, TASK)
    assert (back.outcome, back.guid, back.id) == ("restored", TASK, number)


def test_what_is_still_here_needs_no_restoring(world: World) -> None:
    task = world.one("SELECT guid, title FROM tasks LIMIT 1")
    back = restore(world.engine, task["guid"])
    assert (back.outcome, back.title, back.notes) == ("here", task["title"], ())
    assert len(calls(world)) == 1
    assert put_back(world.engine, task["guid"]).outcome == "here"


def test_what_waits_to_leave_is_named(world: World) -> None:
    made_here(world)
    world.sql("UPDATE tasks SET archived = true WHERE guid = ?", TASK)
    (note,) = restore(world.engine, TASK).notes
    assert "waits to be archived: `hisync changes discard 2`" in note
    world.sql("DELETE FROM tasks WHERE guid = ?", TASK)
    for bring_back in (restore, put_back):
        with pytest.raises(RestoreError, match="`hisync changes discard 3` takes that back"):
            bring_back(world.engine, TASK)


def test_an_unknown_guid_costs_no_request(world: World) -> None:
    for bring_back in (restore, put_back):
        with pytest.raises(RestoreError, match="no row with the guid"):
            bring_back(world.engine, TASK)
    assert calls(world) == []


def test_time_that_is_not_taken_along_stands_in_no_total(world: World) -> None:
    number = made_here(world)
    world.service.model.update(number, user=world.service.model.users[0], time_spent=30)
    world.sync()
    world.sql("DELETE FROM tasks WHERE guid = ?", TASK)
    world.sync()
    put = put_back(world.engine, TASK)
    assert any("30 minutes" in note for note in put.notes)
    total = world.one("SELECT time_spent_minutes AS t FROM tasks WHERE guid = ?", put.guid)["t"]
    assert not total


def test_a_deleted_item_is_not_in_the_archive(world: World) -> None:
    number = made_here(world)
    world.sql("DELETE FROM tasks WHERE guid = ?", TASK)
    world.sync()
    with pytest.raises(RestoreError) as caught:
        restore(world.engine, TASK)
    text = str(caught.value)
    assert f"no item {number} in its archive (deleted here on 2026-03-02)" in text
    assert f"`hisync restore {TASK} --as-new`" in text


@pytest.mark.parametrize("effect", ["drop_after", "drop_midway", "cut", "empty"])
def test_a_lost_answer_is_looked_up_and_the_write_not_repeated(world: World, effect: str) -> None:
    number = archived_here(world)
    world.service.faults.add(f"GET /archive/restore:{effect}:1")
    assert restore(world.engine, TASK).outcome == "restored"
    assert calls(world).count("/archive/restore") == 1
    assert world.one("SELECT id FROM tasks WHERE guid = ?", TASK) == {"id": number}


def test_a_restore_that_did_not_arrive_can_be_run_again(world: World) -> None:
    archived_here(world)
    world.service.faults.add("GET /archive/restore:drop_before:1")
    with pytest.raises(RetryLaterError, match="running this again is safe"):
        restore(world.engine, TASK)
    assert calls(world).count("/archive/restore") == 1
    assert restore(world.engine, TASK).outcome == "restored"


def test_a_lost_answer_without_a_look_can_be_run_again(world: World) -> None:
    archived_here(world)
    world.service.faults.add("GET /archive/restore:drop_after:1")
    world.service.faults.add(Fault("status", "GET", "/item*", nth=2, count=2, status=503))
    with pytest.raises(RetryLaterError, match="running this again is safe"):
        restore(world.engine, TASK)
    world.service.faults.clear()
    assert restore(world.engine, TASK).outcome == "here"
    assert calls(world).count("/archive/restore") == 1


@pytest.mark.parametrize("code", [1, 4, 104])
def test_a_server_that_wants_the_guid_gets_it(world: World, code: int) -> None:
    archived_here(world)
    fault = Fault("status", "GET", "/archive/restore", status=404 if code == 1 else 400, code=code)
    world.service.faults.add(fault)
    assert restore(world.engine, TASK).outcome == "restored"
    assert calls(world).count("/archive/restore") == 2


def test_a_full_account_refuses(new_world: MakeWorld) -> None:
    world = new_world(items=8, traits=["items_limit=9"])
    world.sync()
    archived_here(world)
    model = world.service.model
    model.create(user=model.users[0], title="the last that fits")
    with pytest.raises(RestoreError, match="hiTask refuses to restore it"):
        restore(world.engine, TASK)


def test_what_is_held_here_can_be_restored(world: World) -> None:
    ids = [row["id"] for row in world.sql("SELECT id FROM tasks WHERE permission = 100 LIMIT 12")]
    guid = world.one("SELECT guid FROM tasks WHERE id = ?", ids[0])["guid"]
    for number in ids:
        archive_there(world, number)
    assert world.sync().held == {"tasks": 12}
    back = restore(world.engine, guid)
    assert (back.outcome, back.id) == ("restored", ids[0])
    assert world.sync(full=True).held == {"tasks": 11}


def test_an_item_that_is_said_to_be_back_and_does_not_show(world: World) -> None:
    number = archived_here(world)
    ok = Fault("status", "GET", "/archive/restore", status=200, body='{"response_status": 0}')
    world.service.faults.add(ok)
    back = restore(world.engine, TASK)
    assert (back.outcome, back.id, back.title) == ("unseen", number, "mine")


# As a new item.


def recreate(world: World, guid: str = TASK) -> Restored:
    put = put_back(world.engine, guid)
    run_cycle(world.engine)
    return outcome_of(world.engine, put)


def in_model(world: World, title: str) -> list[Any]:
    return [item for item in world.service.model.items() if item.title == title]


def test_a_deleted_item_is_created_again_from_its_last_values(world: World) -> None:
    number = made_here(world)
    world.sql(
        "UPDATE tasks SET message = 'm', due_date = '2026-05-01', is_all_day = 1, "
        "priority = 31000, participants = json_array(id / id + 0) WHERE guid = ?",
        TASK,
    )
    world.sql("UPDATE tasks SET participants = NULL WHERE guid = ?", TASK)
    world.sync()
    before = world.one("SELECT * FROM tasks WHERE guid = ?", TASK)
    world.sql("DELETE FROM tasks WHERE guid = ?", TASK)
    world.sync()
    put = put_back(world.engine, TASK)
    assert (put.outcome, put.id, put.notes) == ("put back", None, ())
    assert put.guid != TASK
    (change,) = world.sql("SELECT op, state FROM change_log WHERE row_guid = ?", put.guid)
    assert change == {"op": "insert", "state": "pending"}
    run_cycle(world.engine)
    made = outcome_of(world.engine, put)
    assert made.outcome == "created"
    assert made.id not in {None, number}
    after = world.one("SELECT * FROM tasks WHERE guid = ?", put.guid)
    same = ("title", "message", "due_date", "is_all_day", "priority", "tags", "permissions")
    assert [after[c] for c in same] == [before[c] for c in same]
    assert len(in_model(world, "mine")) == 1


def test_creating_again_twice_makes_one_item(world: World) -> None:
    archived_here(world)
    first = recreate(world)
    again = put_back(world.engine, TASK)
    assert (again.outcome, again.guid) == ("here", first.guid)
    assert again.notes == (f"it was created again from {TASK} before",)
    world.sync()
    assert len(in_model(world, "mine")) == 1
    world.sql("DELETE FROM tasks WHERE guid = ?", first.guid)
    world.sync()
    with pytest.raises(RestoreError, match=f"run `hisync restore {first.guid}`"):
        put_back(world.engine, TASK)
    assert recreate(world, first.guid).outcome == "created"
    assert len(in_model(world, "mine")) == 1


@pytest.mark.parametrize("effect", ["drop_after", "drop_before"])
def test_a_lost_answer_to_creating_again_makes_one_item(world: World, effect: str) -> None:
    archived_here(world)
    world.service.faults.add(f"POST /item:{effect}:1")
    recreate(world)
    recreate(world)
    world.sync()
    assert len(in_model(world, "mine")) == 1


def test_a_parent_that_is_gone_is_left_out(world: World) -> None:
    world.sql("INSERT INTO projects (guid, title) VALUES (?, 'parent')", PROJECT)
    world.sql("INSERT INTO tasks (guid, title, parent_guid) VALUES (?, 'c', ?)", TASK, PROJECT)
    world.sync()
    world.sql("DELETE FROM tasks WHERE guid = ?", TASK)
    world.sync()
    with_parent = recreate(world)
    assert with_parent.notes == ()
    assert world.one("SELECT parent_guid FROM tasks WHERE guid = ?", with_parent.guid) == {
        "parent_guid": PROJECT
    }
    world.sql("DELETE FROM tasks WHERE guid = ?", with_parent.guid)
    world.sql("DELETE FROM projects WHERE guid = ?", PROJECT)
    world.sync()
    (note,) = recreate(world, with_parent.guid).notes
    assert f"its parent {PROJECT} is not in the mirror any more" in note


def test_what_hitask_refuses_is_said(world: World) -> None:
    archived_here(world)
    refused = Fault("status", "POST", "/item", status=403, code=3, message="no more")
    world.service.faults.add(refused)
    assert recreate(world).outcome == "refused"


def test_a_file_can_not_be_created_again(world: World) -> None:
    model = world.service.model
    uploaded = model.create(user=model.users[0], title="a file", category=5)
    world.sync()
    row = world.one("SELECT guid FROM files WHERE id = ?", uploaded.id)
    model.delete(uploaded.id, user=model.users[0])
    world.sync()
    with pytest.raises(RestoreError, match="uploaded file, which hisync can't create"):
        put_back(world.engine, row["guid"])


def test_only_items_come_back_and_only_their_numbers_count(world: World) -> None:
    """What else leaves the mirror has numbers of its own, which may be some item's."""
    model = world.service.model
    item = model.create(user=model.users[0], title="new there")
    world.sql(
        "INSERT INTO removed_rows (table_name, row_guid, id, last_values, removed_at, reason) "
        "VALUES ('comments', ?, ?, '{}', '2026-03-02 09:00:00.000000', 'gone')",
        TASK,
        item.id,
    )
    for bring_back in (restore, put_back):
        with pytest.raises(RestoreError, match="was a row of comments"):
            bring_back(world.engine, TASK)
    assert calls(world) == []
    world.sync()
    assert world.one("SELECT guid FROM tasks WHERE id = ?", item.id) == {"guid": item.guid}


def test_what_came_back_by_itself_is_not_created_again(world: World) -> None:
    number = archived_here(world)
    model = world.service.model
    model.restore(number, user=model.users[0])
    put = put_back(world.engine, TASK)
    assert (put.outcome, put.guid, put.id) == ("here", TASK, number)


def test_trouble_before_anything_was_asked_is_passed_on(world: World) -> None:
    archived_here(world)

    def refuse(cause: str) -> None:
        if cause == "restore":
            raise UnreachableError("no way")

    world.engine.api._connection._grant = refuse
    with pytest.raises(UnreachableError, match="no way"):
        restore(world.engine, TASK)


def test_the_key_of_a_new_item_follows_from_what_left(world: World) -> None:
    archived_here(world)
    seq = world.one("SELECT max(seq) AS seq FROM removed_rows")["seq"]
    assert put_back(world.engine, TASK).guid == derived_guid(f"restored/{TASK}", seq)


@pytest.mark.sqlite_only
def test_a_client_that_holds_the_database_is_no_damage(world: World) -> None:
    archived_here(world)
    with world.client() as client:
        client.execute("DROP TRIGGER sync_capture_tasks_after_insert")
    with pytest.raises(MirrorError, match="hisync db upgrade"):
        put_back(world.engine, TASK)
