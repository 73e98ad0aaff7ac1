"""Lost answers, bad answers, refusals: nothing is lost, nothing doubled, nothing removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest

from hisync.errors import RetryLaterError, ServiceError, SlowDownError, StopError
from hisync.items import Item
from hisync.pull import pull
from hisync.push import push
from hisync.sandbox import LOGIN, Fault, SandboxTransport
from tests.engine.conftest import MakeWorld
from tests.engine.talk import at_request
from tests.world import World

BOTH = True


class Bending(SandboxTransport):
    """A service whose answers are changed on their way."""

    bend: Callable[[httpx.Request, Any], Any] = staticmethod(lambda _request, answer: answer)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if response.status_code != 200:
            return response
        headers = {k: v for k, v in response.headers.items() if k != "content-length"}
        content = orjson.dumps(self.bend(request, orjson.loads(response.read())))
        return httpx.Response(200, headers=headers, content=content, request=request)


GUID = "00000000-0000-4000-8000-00000000000a"
OTHER = "00000000-0000-4000-8000-00000000000b"


def insert(world: World, title: str = "new") -> None:
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, ?)", GUID, title)


def titles(world: World) -> Counter[str]:
    return Counter(item.title for item in world.service.model.items())


@pytest.mark.parametrize(
    "fault",
    [
        "POST /item:drop_after:1",
        "POST /item:drop_before:1",
        "POST /item:drop_midway:1",
        "POST /item:cut:1",
        "POST /item:empty:1",
        "POST /item:html=200:1",
        "POST /item:status=500:1",
        "POST /item:status=503:1",
        "POST /item:drop_after:2",
    ],
)
@pytest.mark.parametrize("traits", [[], ["repeated_guid=duplicates"], ["delta=false"]], ids=str)
def test_a_lost_answer_to_a_create_ends_in_one_item(
    new_world: MakeWorld, traits: list[str], fault: str
) -> None:
    world = new_world(items=5, traits=traits)
    world.sync()
    insert(world)
    world.service.faults.add(fault)
    world.sync()
    world.sync()
    assert titles(world)["new"] == 1
    made = next(item for item in world.service.model.items() if item.title == "new")
    assert world.one("SELECT id FROM tasks WHERE guid = ?", GUID) == {"id": made.id}
    assert world.changes() == [("insert", "done")]
    assert world.sync().pushed == 0


@pytest.mark.parametrize("effect", ["drop_after", "drop_before", "status=500", "cut"])
def test_a_lost_answer_to_an_update_is_looked_up(world: World, effect: str) -> None:
    insert(world)
    world.sync()
    world.sql("UPDATE tasks SET title = 'changed' WHERE guid = ?", GUID)
    world.service.faults.add(f"PUT /item/*:{effect}:1")
    world.sync()
    assert (titles(world)["changed"], titles(world)["new"]) == (1, 0)
    assert world.changes()[-1] == ("update", "done")
    assert world.sql("SELECT 1 FROM conflicts") == []


@pytest.mark.parametrize("effect", ["drop_after", "drop_before", "status=500"])
@pytest.mark.parametrize("traits", [[], ["stubs=false"], ["delta=false"]], ids=str)
def test_a_lost_answer_to_a_deletion_is_looked_up(
    new_world: MakeWorld, traits: list[str], effect: str
) -> None:
    world = new_world(items=5, traits=traits)
    world.sync()
    insert(world)
    world.sync()
    world.sql("DELETE FROM tasks WHERE guid = ?", GUID)
    world.service.faults.add(f"DELETE /item/*:{effect}:1")
    world.sync()
    assert titles(world)["new"] == 0
    assert world.changes()[-1] == ("delete", "done")
    assert world.one("SELECT reason FROM removed_rows")["reason"] == "deleted here"


def test_an_edit_made_while_its_row_is_being_sent_is_kept_and_sent_next(world: World) -> None:
    """The second edit comes after the request was planned and before its answer is applied."""
    insert(world, "first")
    send = world.engine.api.send_create

    def edit_then_send(*args: object, **options: object) -> object:
        world.sql("UPDATE tasks SET title = 'second', starred = true WHERE guid = ?", GUID)
        return send(*args, **options)  # type: ignore[arg-type]

    world.engine.api.send_create = edit_then_send  # type: ignore[method-assign,assignment]
    world.sync()
    row = world.one("SELECT title, starred FROM tasks WHERE guid = ?", GUID)
    assert row == {"title": "second", "starred": 1}
    assert titles(world)["second"] == 1
    assert world.changes() == [("insert", "done"), ("update", "done")]


def test_a_row_deleted_while_it_is_being_created_is_deleted_there_too(world: World) -> None:
    insert(world, "short-lived")
    send = world.engine.api.send_create

    def delete_then_send(*args: object, **options: object) -> object:
        world.sql("DELETE FROM tasks WHERE guid = ?", GUID)
        return send(*args, **options)  # type: ignore[arg-type]

    world.engine.api.send_create = delete_then_send  # type: ignore[method-assign,assignment]
    world.sync()
    assert titles(world)["short-lived"] == 0
    assert world.sql("SELECT 1 FROM tasks WHERE guid = ?", GUID) == []


def test_a_colleagues_edit_between_our_read_and_our_write_is_kept(world: World) -> None:
    insert(world, "mine")
    world.sync()
    number = world.one("SELECT id FROM tasks WHERE guid = ?", GUID)["id"]
    world.sql("UPDATE tasks SET title = 'mine too' WHERE guid = ?", GUID)
    send = world.engine.api.send_update

    def colleague_first(*args: object, **options: object) -> object:
        world.service.model.update(number, user=world.service.model.users[0], color=5)
        return send(*args, **options)  # type: ignore[arg-type]

    world.engine.api.send_update = colleague_first  # type: ignore[method-assign,assignment]
    world.sync()
    item = world.service.model.item(number)
    assert (item.title, item.get("color")) == ("mine too", 5)
    row = world.one("SELECT title, color FROM tasks WHERE guid = ?", GUID)
    assert row == {"title": "mine too", "color": 5}


@pytest.mark.parametrize("effect", ["html=200", "empty", "cut", "html=404", "status=503", "html"])
@pytest.mark.parametrize("full", [False, True])
def test_a_body_that_is_no_answer_removes_nothing(world: World, effect: str, full: bool) -> None:
    before = world.sql("SELECT * FROM tasks")
    world.service.faults.add(f"GET /item*:{effect}:10")
    with pytest.raises(ServiceError):
        world.sync(full=full)
    assert world.sql("SELECT * FROM tasks") == before
    world.service.faults.clear()
    assert world.sync().pulled == 0


@pytest.mark.parametrize("effect", ["empty_list", "missing_ids"])
@pytest.mark.parametrize("full", [False, True])
def test_ids_that_are_missing_once_and_back_again_stay(
    world: World, effect: str, full: bool
) -> None:
    before = world.sql("SELECT * FROM tasks")
    ids = "+".join(str(row["id"]) for row in before[:3])
    world.service.faults.add(f"GET /item*:{effect}{'=' + ids if effect == 'missing_ids' else ''}:1")
    world.sync(full=full)
    assert world.sql("SELECT * FROM tasks") == before
    assert world.sql("SELECT 1 FROM sync_base WHERE missed > 0") == []
    assert world.sql("SELECT 1 FROM removed_rows") == []


@pytest.mark.parametrize("first", ["empty_list", "missing_ids"])
def test_an_answer_without_any_item_is_no_half_of_a_proof(new_world: MakeWorld, first: str) -> None:
    world = new_world(items=20, traits=["delta=false"])
    world.sync()
    world.sync()
    one = world.sql("SELECT id FROM tasks")[0]["id"]
    missing = Fault("missing_ids", "GET", "/item", ids=(one,))
    faults = [Fault("empty_list", "GET", "/item"), missing]
    faults = faults if first == "empty_list" else faults[::-1]
    world.service.faults.add(faults[0], replace(faults[1], nth=2))
    world.sync()
    world.sync()
    assert world.sql("SELECT 1 FROM tasks WHERE id = ?", one)
    assert world.sql("SELECT 1 FROM removed_rows") == []
    world.service.model.delete(one, user=world.service.model.user(LOGIN))
    world.sync()
    assert not world.sql("SELECT 1 FROM tasks WHERE id = ?", one)


def test_a_move_that_waits_holds_up_nothing_else_of_its_row(new_world: MakeWorld) -> None:
    world = new_world(items=0)
    world.sync()
    insert(world, "base")
    world.sync()
    parent = GUID[:-1] + "b"
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, '')", parent)  # refused: no title
    world.sql("UPDATE tasks SET parent_guid = ?, color = 3 WHERE guid = ?", parent, GUID)
    world.sql("UPDATE tasks SET title = 'renamed' WHERE guid = ?", GUID)
    world.sql("INSERT INTO time_entries (item_guid, minutes) VALUES (?, 45)", GUID)
    world.sync()
    (item,) = world.service.model.items()
    assert (item.title, item.get("color"), item.get("time_spent")) == ("renamed", 3, 45)
    assert item.get("parent") in {0, None}
    states = [state for _, state in world.changes()]
    assert states == ["done", "rejected", "blocked", "done", "done"]
    assert world.sync().pushed == 0
    world.sql("UPDATE tasks SET title = 'above' WHERE guid = ?", parent)
    world.sync()
    above = next(i.id for i in world.service.model.items() if i.guid == parent)
    assert item.get("parent") == above
    assert {state for _, state in world.changes()} == {"done", "rejected"}


@pytest.mark.parametrize("traits", [[], ["delta=false"], ["cursor=false"]], ids=str)
def test_a_few_items_deleted_there_leave_and_are_kept_in_removed_rows(
    new_world: MakeWorld, traits: list[str]
) -> None:
    world = new_world(items=40, traits=traits)
    world.sync()
    world.sync()
    for row in world.sql("SELECT id FROM notes"):
        world.service.model.delete(
            row["id"], user=world.service.model.user(world.service.model.item(row["id"]).user_id)
        )
    summary = world.sync()
    assert world.sql("SELECT 1 FROM notes") == []
    assert {r["reason"] for r in world.sql("SELECT reason FROM removed_rows")} == {
        "gone from hiTask"
    }
    assert summary.held == {}


def test_where_the_delta_names_only_changes_a_full_read_shows_removals(
    new_world: MakeWorld,
) -> None:
    world = new_world(items=40, traits=["stubs=false"])
    world.sync()
    number = world.one("SELECT id FROM notes LIMIT 1")["id"]
    user = world.service.model.user(world.service.model.item(number).user_id)
    world.service.model.delete(number, user=user)
    world.sync()
    world.sync(full=True)
    assert world.sql("SELECT 1 FROM notes WHERE id = ?", number) == []
    assert len(world.sql("SELECT 1 FROM tasks")) > 20


def test_a_mass_removal_is_held_said_once_and_carried_out_when_approved(world: World) -> None:
    tasks = [row["id"] for row in world.sql("SELECT id FROM tasks")]
    note = world.one("SELECT id FROM notes LIMIT 1")["id"]
    ids = "+".join(map(str, [*tasks[:20], note]))
    world.service.faults.add(f"GET /item*:missing_ids={ids}:1000")
    summary = world.sync()
    assert summary.held == {"tasks": 20}
    assert len(world.sql("SELECT 1 FROM tasks")) == len(tasks)
    assert world.sql("SELECT 1 FROM notes WHERE id = ?", note) == []  # the rest is done
    assert world.sync().requests == 1  # held, not asked for again and again
    world.engine.allow_removals = 19
    assert world.sync().held == {"tasks": 20}
    world.engine.allow_removals = 20
    assert world.sync().held == {}
    assert len(world.sql("SELECT 1 FROM tasks")) == len(tasks) - 20


@pytest.mark.parametrize(("approved", "left"), [(31, 12), (32, 0)])
def test_an_approval_of_removals_counts_over_all_answers_of_a_run(
    new_world: MakeWorld, approved: int, left: int
) -> None:
    world = new_world(items=0)
    world.sync()
    for number in range(32):
        world.sql("INSERT INTO tasks (title) VALUES (?)", f"scratch {number}")
    world.sync()
    world.sync()
    ids = [str(row["id"]) for row in world.sql("SELECT id FROM tasks ORDER BY id")]
    world.engine.allow_removals = approved
    for part in (ids[:20], ids):
        world.service.faults.clear()
        world.service.faults.add(f"GET /item*:missing_ids={'+'.join(part)}:1000")
        pull(world.engine)
    assert len(world.sql("SELECT 1 FROM tasks")) == left


def test_more_deletions_than_the_limit_are_held_until_approved(world: World) -> None:
    for number in range(6):
        world.sql("INSERT INTO notes (title) VALUES (?)", f"scratch {number}")
    world.sync()
    world.change_rules(max_push_deletes=4)
    world.sql("DELETE FROM notes WHERE title LIKE 'scratch%'")
    summary = world.sync()
    assert (summary.pushed, summary.waiting) == (4, {"held": 2})
    world.time.sleep(7200)  # no later hour lets them go by itself
    assert world.sync().waiting == {"held": 2}
    world.engine.allow_deletes = 2
    assert world.sync().waiting == {}
    assert not [title for title in titles(world) if title.startswith("scratch")]


@pytest.mark.parametrize("form", ["401", "7", "4"])
@pytest.mark.parametrize("request_", ["GET /item/delta/*", "POST /item"])
def test_a_lost_session_is_renewed_without_anyone_noticing(
    new_world: MakeWorld, form: str, request_: str
) -> None:
    world = new_world(items=5)
    world.sync()
    insert(world)
    world.service.faults.add(f"{request_}:expire_session={form}:1")
    summary = world.sync()
    assert (summary.pushed, summary.trouble, titles(world)["new"]) == (1, None, 1)


def test_a_login_that_fails_is_not_taken_for_a_failure_of_the_delta(world: World) -> None:
    world.sync()
    world.service.model.team.expire_sessions()
    world.service.faults.add("GET /user/authenticate:status=500:1")
    world.service.reset_log()
    with pytest.raises(RetryLaterError, match="code 100"):
        pull(world.engine)
    assert [entry.path.split("/")[2] for entry in world.service.log] == ["delta", "authenticate"]
    pull(world.engine)
    assert "GET /item" not in world.service.requests


def test_a_refused_login_stops_everything_and_loses_nothing(world: World) -> None:
    insert(world)
    world.crash()
    world.service.faults.add(
        Fault("status", "GET", "/user/authenticate", status=403, code=6, message="Wrong password")
    )
    with pytest.raises(StopError):
        world.sync()
    with pytest.raises(StopError):
        world.sync()
    assert len(world.service.log) == 1  # the login is not hammered
    world.crash()
    assert world.sync().pushed == 1


def test_another_accounts_login_writes_nothing(world: World) -> None:
    before = world.sql("SELECT * FROM tasks")
    insert(world)
    world.crash()
    world.engine.api.expected_account = 1
    with pytest.raises(StopError, match="account"):
        world.sync()
    assert world.sql("SELECT * FROM tasks WHERE guid <> ?", GUID) == before
    assert world.writes() == []


def test_another_accounts_session_in_the_same_process_removes_nothing(new_world: MakeWorld) -> None:
    """The process that made the mirror learned only then whose it is."""
    world = new_world(items=12)
    world.transport = transport = Bending(world.service)
    world.sync()
    shown = world.sql("SELECT * FROM items ORDER BY guid")

    def bend(request: httpx.Request, answer: Any) -> Any:
        if request.url.path.endswith("/user/authenticate"):
            return {**answer, "id": 1}
        return answer[3:] if isinstance(answer, list) else answer

    transport.bend = bend
    world.service.faults.add("GET /item*:expire_session:1")
    for _ in range(2):
        with pytest.raises(StopError, match="account"):
            world.sync()
    assert world.sql("SELECT * FROM items ORDER BY guid") == shown


def test_an_answer_that_shows_an_older_state_refuses_nothing(new_world: MakeWorld) -> None:
    """A read from behind the write: the next pull tells what became of it."""
    world = new_world(items=5)
    world.transport = transport = Bending(world.service)
    world.sync()
    insert(world)
    world.sync()

    def bend(request: httpx.Request, answer: Any) -> Any:
        if request.method != "PUT":
            return answer
        return {**answer, "title": "new", "time_spent": None, "version": 0}

    transport.bend = bend
    world.sql("UPDATE tasks SET title = 'changed' WHERE guid = ?", GUID)
    world.sql("INSERT INTO time_entries (item_guid, minutes, note) VALUES (?, 30, 'mine')", GUID)
    world.sync()
    row = world.one("SELECT id, title, time_spent_minutes FROM tasks WHERE guid = ?", GUID)
    assert (row["title"], row["time_spent_minutes"]) == ("changed", 30)
    assert world.service.model.item(row["id"]).get("time_spent") == 30
    entries = world.sql("SELECT minutes, note, source FROM time_entries WHERE item_guid = ?", GUID)
    assert entries == [{"minutes": 30, "note": "mine", "source": "local"}]
    assert {state for _, state in world.changes()} == {"done"}


@pytest.mark.parametrize("effect", ["status=429", "drop_before"])
def test_what_was_not_carried_out_waits_with_its_reason(world: World, effect: str) -> None:
    insert(world)
    world.service.faults.add(f"POST /item:{effect}:100")
    summary = world.sync()
    assert summary.trouble is None or isinstance(summary.trouble, RetryLaterError)
    row = world.one("SELECT state, error FROM change_log")
    assert row["state"] in {"pending", "unknown"}
    assert row["error"]
    world.service.faults.clear()
    world.sync()
    assert (titles(world)["new"], world.changes()) == (1, [("insert", "done")])


def test_a_refused_row_is_alone_and_goes_out_once_it_is_mended(world: World) -> None:
    insert(world, "x" * 300)
    world.sql("INSERT INTO tasks (title) VALUES ('innocent')")
    summary = world.sync()
    assert (summary.pushed, summary.rejected) == (1, 1)
    assert world.changes() == [("insert", "rejected"), ("insert", "done")]
    assert world.one("SELECT id FROM tasks WHERE guid = ?", GUID) == {"id": None}
    world.sql("UPDATE tasks SET title = 'shorter' WHERE guid = ?", GUID)
    assert world.sync().pushed == 1
    assert titles(world)["shorter"] == 1


def test_a_change_that_hitask_refuses_goes_back_with_the_reason(world: World) -> None:
    insert(world)
    world.sync()
    world.sql("UPDATE tasks SET title = ?, starred = true WHERE guid = ?", "x" * 300, GUID)
    assert world.sync().rejected == 1
    assert world.one("SELECT title, starred FROM tasks WHERE guid = ?", GUID) == {
        "title": "new",
        "starred": 0,
    }
    assert "code 25" in world.one("SELECT error FROM change_log WHERE op = 'update'")["error"]


REFUSED_CELLS = {
    "due_date": ("tomorrow", "YYYY-MM-DD"),
    "tags": ("a,b", "JSON list"),
    "completed": ("yes", "true or false"),
    "recurring": ("often", "whole number"),
    "version": (99, "read-only"),
    "time_spent_minutes": (99, "time_entries"),
    "extra": ('{"a": 1}', "read-only"),
    "title": ("", "needs one"),
    "priority": (None, "can't be empty"),
    "parent_guid": ("nonsense", "no item"),
}


READ_BY_POSTGRESQL = {"due_date", "completed"}  # as the day after today, and as true


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(c, marks=pytest.mark.sqlite_only) if c in READ_BY_POSTGRESQL else c
        for c in REFUSED_CELLS
    ],
)
def test_a_cell_that_cant_be_sent_is_rejected_by_name_and_put_back(
    world: World, column: str
) -> None:
    cell, reason = REFUSED_CELLS[column]
    insert(world)
    world.sync()
    before = world.one("SELECT * FROM tasks WHERE guid = ?", GUID)
    world.sql(f"UPDATE tasks SET {column} = ?, color = 4 WHERE guid = ?", cell, GUID)
    world.sql("INSERT INTO tasks (title) VALUES ('goes on')")
    world.sync()
    after = world.one("SELECT * FROM tasks WHERE guid = ?", GUID)
    assert after[column] == (2 if column == "version" else before[column])
    assert (after["color"], titles(world)["goes on"]) == (4, 1)
    assert world.service.model.item(after["id"]).get("color") == 4
    assert world.sql("SELECT 1 FROM sync_base WHERE dirty IS NOT NULL") == []
    change = world.one("SELECT state, error FROM change_log WHERE op = 'update'")
    assert change["state"] == "rejected"
    assert column in change["error"]
    assert reason in change["error"]


def test_a_new_rows_read_only_cells_are_named_where_hitask_has_another_value(world: World) -> None:
    columns = "title, version, issue_id, time_spent_minutes, extra"
    for title, version, issue in (("ours", 9, "X-1"), ("hiTask's", 1, None)):
        spent, extra = (60, '{"a": 1}') if version == 9 else (0, "{}")
        world.sql(
            f"INSERT INTO tasks ({columns}) VALUES (?, ?, ?, ?, ?)",
            *(title, version, issue, spent, extra),
        )
    assert world.sync().rejected == 0
    ours, theirs = world.sql("SELECT state, error FROM change_log ORDER BY seq")
    assert ours["state"] == "done"
    assert [note.split(" is read-only: ")[0] for note in ours["error"].split("; ")] == [
        *("time_spent_minutes", "log time in time_entries"),
        *("issue_id", "version", "extra"),
    ]
    assert theirs == {"state": "done", "error": None}
    found = world.one("SELECT version, time_spent_minutes FROM tasks WHERE title = 'ours'")
    assert found == {"version": 1, "time_spent_minutes": None}


@pytest.mark.parametrize("lost", ["", "drop_before", "drop_after"])
def test_a_number_that_a_new_row_gave_itself_is_named(world: World, lost: str) -> None:
    """The log leaves it out, so the row tells, whichever answer shows the item."""
    if lost:
        world.service.faults.add(f"POST /item:{lost}:1")
    world.sql("INSERT INTO tasks (id, title) VALUES (77, 'own id'), (NULL, 'none')")
    for _ in range(3):
        world.sync()
    own, none = world.sql("SELECT state, error FROM change_log ORDER BY seq")
    assert own == {"state": "done", "error": "id is read-only: only hiTask sets it"}
    assert none == {"state": "done", "error": None}
    assert world.sql("SELECT 1 FROM tasks WHERE id IS NULL OR id = 77") == []
    world.sync()
    assert titles(world)["own id"] == 1


def test_the_total_of_a_new_rows_own_entries_is_nothing_that_was_not_taken(world: World) -> None:
    insert(world)
    world.sql("INSERT INTO time_entries (item_guid, minutes) VALUES (?, 45)", GUID)
    world.sql("DELETE FROM tasks WHERE guid = ?", GUID)
    columns = "guid, title, time_spent_minutes"
    world.sql(f"INSERT INTO tasks ({columns}) VALUES (?, 'as it was', 45)", GUID)
    world.sync()
    assert world.one("SELECT title, time_spent_minutes FROM tasks WHERE guid = ?", GUID) == {
        "title": "as it was",
        "time_spent_minutes": 45,
    }
    assert {row["error"] for row in world.sql("SELECT error FROM change_log")} == {None}


@pytest.mark.sqlite_only
def test_a_cell_that_cant_be_read_is_rejected_even_if_hitask_changed_it_meanwhile(
    world: World,
) -> None:
    insert(world)
    world.sync()
    number = world.one("SELECT id FROM tasks WHERE guid = ?", GUID)["id"]
    user = world.service.model.users[0]
    world.service.model.update(number, user=user, due_date="2026-07-01T10:00:00.000+00:00")
    world.sql("UPDATE tasks SET due_date = 'tomorrow' WHERE guid = ?", GUID)
    assert world.sync().rejected == 1
    change = world.one("SELECT error FROM change_log WHERE state = 'rejected'")
    assert "due_date = 'tomorrow'" in change["error"]
    after = world.one("SELECT due_date FROM tasks WHERE guid = ?", GUID)
    assert after == {"due_date": "2026-07-01 10:00:00.000000"}


def test_the_rest_of_a_partly_refused_statement_is_not_sent_for_ever(world: World) -> None:
    """One cell can't be read, and hiTask refuses the other: nothing is left to send."""
    insert(world)
    world.sync()
    world.service.reset_log()
    world.sql("UPDATE tasks SET due_date = 'tomorrow', title = ? WHERE guid = ?", "x" * 300, GUID)
    world.sync()
    world.sync()
    assert len(world.writes()) == 1
    assert world.one("SELECT title FROM tasks WHERE guid = ?", GUID) == {"title": "new"}
    assert world.sql("SELECT 1 FROM sync_base WHERE dirty IS NOT NULL") == []
    assert (
        "x" * 300
        in world.one("SELECT new_values FROM change_log WHERE op = 'update'")["new_values"]
    )


def test_a_title_emptied_while_others_are_sent_is_not_sent_along(new_world: MakeWorld) -> None:
    world = new_world(items=3, traits=["put_needs_guid_and_title"])
    world.sync()
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'one'), (?, 'two')", GUID, OTHER)
    world.sync()
    world.sql("UPDATE tasks SET message = 'ours' WHERE guid IN (?, ?)", GUID, OTHER)
    emptied = "UPDATE tasks SET title = '' WHERE guid = ?"
    at_request(world, "send_update", lambda: world.sql(emptied, OTHER))
    world.sync()
    row = world.one("SELECT title, message FROM tasks WHERE guid = ?", OTHER)
    assert row == {"title": "two", "message": "ours"}
    assert world.changes()[-2:] == [("update", "done"), ("update", "rejected")]


def test_an_answer_that_shows_changed_fields_only_empties_no_others(world: World) -> None:
    shown = {"id", "guid", "title", "category", "version", "time_last_update", "color"}

    def brief(request: httpx.Request, body: Any) -> Any:
        return {k: v for k, v in body.items() if k in shown} if request.method == "PUT" else body

    insert(world)
    world.sql("UPDATE tasks SET message = 'text', due_date = '2026-05-01 10:00'")
    world.sync()
    before = world.one("SELECT message, due_date, priority FROM tasks WHERE guid = ?", GUID)
    world.crash()
    world.transport = transport = Bending(world.service)
    transport.bend = brief
    world.sql("UPDATE tasks SET color = 3 WHERE guid = ?", GUID)
    world.sync()
    after = world.one("SELECT message, due_date, priority FROM tasks WHERE guid = ?", GUID)
    assert after == before
    assert world.changes()[-1] == ("update", "done")
    assert world.sync().pushed == 0


def test_a_refused_value_does_not_end_a_move_that_waits(world: World) -> None:
    insert(world)
    world.sync()
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, '')", OTHER)  # refused for now
    world.sql("UPDATE tasks SET parent_guid = ? WHERE guid = ?", OTHER, GUID)
    world.sql("UPDATE tasks SET title = ? WHERE guid = ?", "x" * 300, GUID)
    world.sync()
    assert [state for _, state in world.changes()[1:]] == ["rejected", "blocked", "rejected"]
    row = world.one("SELECT title, parent_guid FROM tasks WHERE guid = ?", GUID)
    assert row == {"title": "new", "parent_guid": OTHER}
    world.sql("UPDATE tasks SET title = 'parent' WHERE guid = ?", OTHER)
    world.sync()
    assert world.sync().pushed == 0
    item, parent = (
        world.one("SELECT id FROM tasks WHERE guid = ?", g)["id"] for g in (GUID, OTHER)
    )
    assert world.service.model.item(item).parent == parent


def test_a_refused_value_does_not_end_an_archiving(world: World) -> None:
    insert(world)
    world.sync()
    world.sql("UPDATE tasks SET title = ? WHERE guid = ?", "x" * 300, GUID)
    world.sql("UPDATE tasks SET archived = true WHERE guid = ?", GUID)
    world.sync()
    assert [state for _, state in world.changes()[1:]] == ["rejected", "done"]
    left = world.one("SELECT reason FROM removed_rows WHERE row_guid = ?", GUID)
    assert left == {"reason": "archived here"}
    assert world.sync().pushed == 0


def test_a_newer_edit_of_a_refused_cell_stands(world: World) -> None:
    insert(world)
    world.sync()
    world.sql("UPDATE tasks SET due_date = 'tomorrow' WHERE guid = ?", GUID)
    world.sql("UPDATE tasks SET due_date = '2026-04-01 10:00' WHERE guid = ?", GUID)
    assert world.sync().rejected == 0
    after = world.one("SELECT due_date FROM tasks WHERE guid = ?", GUID)
    assert after["due_date"] == "2026-04-01 10:00:00.000000"


def test_rows_of_files_can_only_come_from_hitask(world: World) -> None:
    world.sql("INSERT INTO files (title) VALUES ('mine.pdf')")
    assert world.sync().rejected == 1
    assert world.sql("SELECT 1 FROM files WHERE title = 'mine.pdf'") == []
    assert world.writes() == []


def test_two_rows_made_each_others_parent_are_refused(world: World) -> None:
    a, b = (f"00000000-0000-4000-8000-00000000000{n}" for n in "12")
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'a'), (?, 'b')", a, b)
    world.sync()
    world.sql("UPDATE tasks SET parent_guid = ? WHERE guid = ?", b, a)
    world.sql("UPDATE tasks SET parent_guid = ? WHERE guid = ?", a, b)
    world.sync()
    refused = world.sql("SELECT error FROM change_log WHERE state = 'rejected'")
    assert ["ancestor" in row["error"] for row in refused] == [True, True]
    links = {r["guid"]: r["parent_guid"] for r in world.sql("SELECT * FROM tasks")}
    assert (links[a], links[b]) == (None, None)
    assert world.sync().pushed == 0


def test_an_answer_that_names_no_item_at_all_removes_nothing_unapproved(
    new_world: MakeWorld,
) -> None:
    world = new_world(items=4)
    world.sync()
    world.sync()
    world.service.faults.add("GET /item*:empty_list:1000")
    summary = world.sync()
    assert sum(summary.held.values()) == 4
    assert world.sql("SELECT 1 FROM removed_rows") == []
    world.service.faults.clear()
    assert (world.sync().held, world.sql("SELECT 1 FROM removed_rows")) == ({}, [])


def test_what_is_held_stays_held_where_only_full_reads_show_it(new_world: MakeWorld) -> None:
    world = new_world(items=40, traits=["stubs=false"])
    world.sync()
    tasks = [row["id"] for row in world.sql("SELECT id FROM tasks")]
    ids = "+".join(map(str, tasks[:20]))
    world.service.faults.add(f"GET /item*:missing_ids={ids}:1000")
    assert world.sync(full=True).held == {"tasks": 20}
    assert world.sync().held == {"tasks": 20}
    world.engine.allow_removals = 20
    assert world.sync().held == {}
    assert len(world.sql("SELECT 1 FROM tasks")) == len(tasks) - 20


def test_a_pause_that_hitask_asked_for_outlives_the_process(world: World) -> None:
    world.service.faults.add(Fault("status", "GET", "/item*", status=429, retry_after=30))
    with pytest.raises(RetryLaterError):
        world.sync()
    world.crash()
    world.service.reset_log()
    with pytest.raises(SlowDownError, match="left alone"):
        world.sync()
    assert not world.service.log
    world.time.sleep(31)
    assert world.sync().trouble is None


@pytest.mark.parametrize("digits", ["123456", "1"])
def test_dates_finer_than_the_wire_are_sent_once(world: World, digits: str) -> None:
    insert(world)
    world.sync()
    world.service.reset_log()
    world.sql(f"UPDATE tasks SET due_date = '2026-03-01 10:11:12.{digits}' WHERE guid = ?", GUID)
    assert (world.sync().pushed, world.sync().pushed, len(world.writes())) == (1, 0, 1)


def test_an_item_that_is_created_as_another_kind_moves_to_its_table(world: World) -> None:
    """By the service, or by someone before a lost answer is looked up."""
    insert(world, "made")
    send = world.engine.api.send_create

    def then_convert(*args: object, **options: object) -> object:
        made = send(*args, **options)  # type: ignore[arg-type]
        assert isinstance(made, Item)
        world.service.model.item(made.id).values["category"] = 4
        return replace(made, category=4)

    world.engine.api.send_create = then_convert  # type: ignore[method-assign,assignment]
    world.sync()
    assert (titles(world)["made"], world.sql("SELECT 1 FROM tasks WHERE guid = ?", GUID)) == (1, [])
    assert world.one("SELECT title FROM notes WHERE guid = ?", GUID) == {"title": "made"}
    assert world.changes() == [("insert", "done")]


def test_a_lost_create_that_was_converted_before_the_look_is_found(world: World) -> None:
    insert(world, "made")
    world.service.faults.add("POST /item:drop_after:1")
    fetch = world.engine.api.fetch_delta

    def convert_first(cursor: str) -> object:
        for item in world.service.model.items():
            if item.title == "made":
                item.values["category"] = 4
        return fetch(cursor)

    world.engine.api.fetch_delta = convert_first  # type: ignore[method-assign,assignment]
    world.sync()
    assert (titles(world)["made"], world.sql("SELECT 1 FROM tasks WHERE guid = ?", GUID)) == (1, [])
    assert world.one("SELECT title FROM notes WHERE guid = ?", GUID) == {"title": "made"}


def test_an_edit_of_a_lost_create_that_its_new_kind_cannot_take_is_kept(world: World) -> None:
    world.sync()
    world.sql("INSERT INTO projects (guid, title) VALUES (?, 'made')", GUID)
    world.service.faults.add("POST /item:drop_after:1")
    create = world.engine.api.send_create

    def convert_and_edit(*args: object, **options: object) -> object:
        world.engine.api.send_create = create  # type: ignore[method-assign]
        with pytest.raises(RetryLaterError) as lost:
            create(*args, **options)  # type: ignore[arg-type]
        (made,) = (item for item in world.service.model.items() if item.title == "made")
        made.values["category"] = 1
        world.sql("UPDATE projects SET short_name = 'ABC' WHERE guid = ?", GUID)
        raise lost.value

    world.engine.api.send_create = convert_and_edit  # type: ignore[method-assign,assignment]
    world.sync()
    world.sync()
    assert world.one("SELECT title FROM tasks WHERE guid = ?", GUID) == {"title": "made"}
    conflict = world.one("SELECT table_name, field, local_value FROM conflicts")
    assert conflict == {"table_name": "projects", "field": "short_name", "local_value": "ABC"}


def test_a_guid_of_another_tables_row_is_refused(world: World) -> None:
    insert(world)
    world.sync()
    world.service.reset_log()
    world.sql("INSERT INTO events (guid, title) SELECT guid, title FROM tasks WHERE guid = ?", GUID)
    assert world.sync().rejected == 1
    assert (
        "belongs to a row of tasks"
        in world.one("SELECT error FROM change_log WHERE seq = 2")["error"]
    )
    assert world.writes() == []


def test_a_row_moved_to_another_table_is_deleted_there_and_made_anew(world: World) -> None:
    insert(world, "moves")
    world.sync()
    world.sql("INSERT INTO events (guid, title) SELECT guid, title FROM tasks WHERE guid = ?", GUID)
    world.sql("DELETE FROM tasks WHERE guid = ?", GUID)
    world.sync()
    assert titles(world)["moves"] == 1
    made = next(item for item in world.service.model.items() if item.title == "moves")
    assert (made.category, world.one("SELECT id FROM events WHERE guid = ?", GUID)) == (
        2,
        {"id": made.id},
    )
    assert {state for _, state in world.changes()} == {"done"}


@pytest.mark.parametrize("put_in_again", [False, True])
def test_one_gapped_answer_proves_no_deletion_of_ours_either(
    world: World, put_in_again: bool
) -> None:
    insert(world)
    world.sync()
    world.sql("DELETE FROM tasks WHERE guid = ?", GUID)
    world.service.faults.add("DELETE /item/*:drop_before:1")
    push(world.engine)
    if put_in_again:
        insert(world, "again")
    world.service.faults.add("GET /item*:empty_list:1")
    world.sync()
    world.sync()
    left = {title: n for title, n in titles(world).items() if title in {"new", "again"}}
    assert left == ({"again": 1} if put_in_again else {})
    rows = world.sql("SELECT title FROM tasks WHERE guid = ?", GUID)
    assert rows == ([{"title": "again"}] if put_in_again else [])


def test_a_refused_archiving_is_not_tried_behind_its_back(world: World) -> None:
    insert(world)
    world.sync()
    world.sql("UPDATE tasks SET archived = true WHERE guid = ?", GUID)
    send = world.engine.api.send_archive

    def edit_then_send(*args: object) -> None:
        world.sql("UPDATE tasks SET color = 3 WHERE guid = ?", GUID)
        send(*args)  # type: ignore[arg-type]

    world.engine.api.send_archive = edit_then_send  # type: ignore[method-assign,assignment]
    world.service.faults.add(Fault("status", "POST", "/item/archive", status=400, code=6))
    world.sync()
    row = world.one("SELECT archived, color FROM tasks WHERE guid = ?", GUID)
    assert row == {"archived": 0, "color": 3}
    assert (titles(world)["new"], world.changes()[-2:]) == (
        1,
        [("update", "rejected"), ("update", "done")],
    )


def test_a_row_deleted_while_its_lost_create_is_looked_up_is_deleted_there(world: World) -> None:
    world.sql("INSERT INTO tasks (guid, title, color) VALUES (?, 'short-lived', 2)", GUID)
    world.service.faults.add("POST /item:drop_after:1")
    push(world.engine)
    made = next(item for item in world.service.model.items() if item.title == "short-lived")
    made.values |= {"time_est": 60, "message": "filled in by the service"}
    world.sql("DELETE FROM tasks WHERE guid = ?", GUID)
    world.sync()
    assert titles(world)["short-lived"] == 0
    assert world.sql("SELECT 1 FROM tasks WHERE guid = ?", GUID) == []
    assert world.changes() == [("insert", "done"), ("delete", "done")]


def test_a_colleagues_edit_of_a_lost_create_is_a_conflict_with_ours(world: World) -> None:
    insert(world)
    world.service.faults.add("POST /item:drop_after:1")
    push(world.engine)
    world.sql("UPDATE tasks SET color = 3 WHERE guid = ?", GUID)
    made = next(item for item in world.service.model.items() if item.title == "new")
    world.service.model.update(made.id, user=world.service.model.users[0], color=5)
    assert world.sync().conflicts == 1
    conflict = world.one("SELECT field, local_value, remote_value FROM conflicts")
    assert conflict == {"field": "color", "local_value": "3", "remote_value": "5"}
    assert world.one("SELECT color FROM tasks WHERE guid = ?", GUID) == {"color": 5}


def test_an_edit_survives_a_create_that_arrives_late_and_answers_the_next(world: World) -> None:
    insert(world, "A")
    world.service.faults.add(Fault("apply_late", "POST", "/item", after=3))
    push(world.engine)
    pull(world.engine)
    world.sql("UPDATE tasks SET title = 'B' WHERE guid = ?", GUID)
    for _ in range(3):
        world.sync()
    assert (titles(world)["A"], titles(world)["B"]) == (0, 1)
    assert world.one("SELECT title FROM tasks WHERE guid = ?", GUID) == {"title": "B"}


def test_a_parent_is_not_deleted_before_the_child_whose_deletion_got_lost(world: World) -> None:
    child = "00000000-0000-4000-8000-00000000000b"
    insert(world)
    world.sync()
    world.sql("INSERT INTO tasks (guid, title, parent_guid) VALUES (?, 'child', ?)", child, GUID)
    world.sync()
    world.sync()
    world.sql("DELETE FROM tasks WHERE guid IN (?, ?)", child, GUID)
    world.service.faults.add("DELETE /item/*:drop_before:1")
    world.sync()
    world.sync()
    assert (titles(world)["child"], titles(world)["new"]) == (0, 0)
    assert world.sql("SELECT 1 FROM conflicts") == []
