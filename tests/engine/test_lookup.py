"""What an item looks like once hiTask has had it in hands: other guids, trimmed texts, no delta."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hisync.errors import RetryLaterError
from hisync.pulling import adoption
from hisync.sandbox import LOGIN, Fault, endpoints_items
from hisync.sandbox.messages import json_response
from tests.engine.conftest import MakeWorld
from tests.engine.talk import at_request
from tests.world import World

BOTH = True

GUID = "00000000-0000-4000-8000-00000000000a"
OTHER = "00000000-0000-4000-8000-00000000000b"
IGNORES_GUIDS = ["keeps_guid=false"]


def titled(world: World, title: str) -> list[int]:
    return [item.id for item in world.service.model.items() if item.title == title]


@pytest.mark.parametrize("delta", ["delta=true", "delta=false", "stubs=false"])
def test_a_create_with_a_lost_answer_is_known_by_what_was_sent(
    new_world: MakeWorld, delta: str
) -> None:
    world = new_world(items=5, traits=[*IGNORES_GUIDS, delta])
    world.sync()
    project = world.one("SELECT guid FROM projects LIMIT 1")["guid"]
    world.sql(
        "INSERT INTO tasks (guid, title, tags, due_date, parent_guid) VALUES (?, ?, ?, ?, ?)",
        *(GUID, "new", '["a", "b"]', "2026-05-01 10:00", project),
    )
    world.service.faults.add("POST /item:drop_after:1")
    world.sync()
    assert world.sync().pushed == 0
    (number,) = titled(world, "new")
    assert world.one("SELECT guid, id FROM tasks WHERE title = 'new'") == {
        "guid": GUID,
        "id": number,
    }
    assert world.changes() == [("insert", "done")]
    world.sql("UPDATE tasks SET title = 'newer' WHERE guid = ?", GUID)
    world.sync()
    assert titled(world, "newer") == [number]


@pytest.mark.parametrize("traits", [[], IGNORES_GUIDS], ids=["keeps_guids", "ignores_guids"])
def test_an_item_of_the_same_title_is_not_taken_for_a_create(
    new_world: MakeWorld, traits: list[str]
) -> None:
    """Someone types in by hand what did not arrive: two items are better than half of one."""
    world = new_world(items=5, traits=traits)
    world.sync()
    world.sql("INSERT INTO tasks (guid, title, message) VALUES (?, 'new', 'mine')", GUID)
    world.service.faults.add("POST /item:drop_before:1")
    model = world.service.model
    by_hand = {"title": "new", "message": "by hand"}
    at_request(world, "send_create", lambda: model.create(user=model.user(LOGIN), **by_hand))
    for _ in range(3):
        world.sync()
    assert {item.get("message") for item in model.items() if item.title == "new"} == {
        "mine",
        "by hand",
    }
    rows = world.sql("SELECT message FROM tasks WHERE title = 'new' ORDER BY 1")
    assert [row["message"] for row in rows] == ["by hand", "mine"]


@pytest.mark.parametrize(
    "how", ["answered", "lost", "older copy", "edited since", "by a colleague"]
)
def test_a_row_that_was_created_has_the_cells_that_a_pull_would_have_written(
    new_world: MakeWorld, tmp_path: Path, how: str
) -> None:
    world = new_world(items=5, traits=["nulls"])
    world.sync()
    cells = ("''", "'[]'", "NULL") if how == "by a colleague" else ("NULL", "NULL", "NULL")
    world.sql(
        "INSERT INTO tasks (guid, title, message, tags, recurring) "
        f"VALUES (?, 'new', {', '.join(cells)})",
        GUID,
    )
    ann = world.service.model.user(LOGIN)
    match how:
        case "lost":
            world.service.faults.add("POST /item:drop_after:1")
        case "by a colleague":
            world.service.model.create(user=ann, guid=GUID, title="new", color=3)
        case "older copy" | "edited since":  # as if it had been sent after the copy was made
            world.service.model.create(user=ann, guid=GUID, title="new")
    if how == "edited since":
        world.sql("UPDATE tasks SET recurring_interval = 2 WHERE guid = ?", GUID)
    world.sync()
    world.sync()
    assert world.sync().waiting == {}
    fresh = World(tmp_path / "fresh", world.time, world.service, world.rules)
    fresh.folder.mkdir()
    fresh.backend = world.backend
    fresh.sync()
    query = "SELECT * FROM tasks WHERE guid = ?"
    expected, found = fresh.one(query, GUID), world.one(query, GUID)
    fresh.close()
    assert found == expected
    assert found["recurring"] == 0


def make_unlike(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    """The server makes something else of what is sent, a number added to each alert say."""
    monkeypatch.setattr(adoption, "_is_outcome", lambda *_: False)
    monkeypatch.setattr(
        endpoints_items, "_answer_item", lambda _call, item: json_response(answer(item))
    )


@pytest.mark.parametrize("delta", ["delta=true", "delta=false", "stubs=false"])
def test_a_create_that_is_answered_with_a_number_is_known_by_that(
    new_world: MakeWorld, delta: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = new_world(items=5, traits=[*IGNORES_GUIDS, delta])
    make_unlike(monkeypatch, lambda item: {"id": item.id})
    world.sync()
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'new')", GUID)
    world.sync()
    assert world.sync().pushed == 0
    (number,) = titled(world, "new")
    rows = world.sql("SELECT guid, id FROM tasks WHERE title = 'new'")
    assert rows == [{"guid": GUID, "id": number}]
    assert world.changes() == [("insert", "done")]


def test_a_create_that_was_answered_with_ok_is_not_made_again(
    new_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = new_world(items=5, traits=IGNORES_GUIDS)
    make_unlike(monkeypatch, lambda _item: {"response_status": 0})
    world.sync()
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'new')", GUID)
    for _ in range(5):
        world.sync()
    assert len(titled(world, "new")) == 1
    assert world.changes() == [("insert", "rejected")]


def test_a_create_that_was_answered_with_nothing_is_not_made_again_and_again(
    new_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = new_world(items=5, traits=IGNORES_GUIDS, faults=["POST /item:empty:0"])
    monkeypatch.setattr(adoption, "_is_outcome", lambda *_: False)
    world.sync()
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'new')", GUID)
    for _ in range(5):
        world.sync()
    assert len(titled(world, "new")) == 1
    assert world.changes() == [("insert", "rejected")]


@pytest.mark.parametrize("step", [1, 3])
def test_what_a_server_makes_of_an_update_that_it_answers_with_ok_is_not_sent_for_ever(
    new_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    world = new_world(items=5, traits=["answers_item=false", f"version_step={step}"])
    read = endpoints_items._values

    def in_small_letters(call: Any) -> dict[str, object]:
        values = read(call)
        return values | {"tags": str(values["tags"]).lower()} if "tags" in values else values

    monkeypatch.setattr(endpoints_items, "_values", in_small_letters)
    world.sync()
    guid = world.one("SELECT guid FROM tasks LIMIT 1")["guid"]
    world.sql("UPDATE tasks SET tags = '[\"Home\"]' WHERE guid = ?", guid)
    for _ in range(3):
        world.sync()
    assert world.sync().waiting == {}
    assert world.one("SELECT tags FROM tasks WHERE guid = ?", guid) == {"tags": '["home"]'}
    assert world.changes() == [("update", "done" if step == 1 else "rejected")]


@pytest.mark.parametrize("answer", ["ok", "nothing"])
def test_a_value_that_was_answered_with_ok_and_is_not_shown_is_kept(
    new_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """A colleague's value in the one step of the version looks as if hiTask had made it of ours."""
    world = new_world(items=5, traits=["answers_item=false"] if answer == "ok" else [])
    model, ann = world.service.model, world.service.model.user(LOGIN)
    update = model.update

    def of_a_colleague(number: int, **_: Any) -> Any:
        return update(number, user=ann, priority=22222)

    monkeypatch.setattr(model, "update", of_a_colleague)
    world.sync()
    if answer == "nothing":
        world.service.faults.add("PUT /item/*:empty:0")
    guid = world.one("SELECT guid FROM tasks LIMIT 1")["guid"]
    world.sql("UPDATE tasks SET priority = 31000 WHERE guid = ?", guid)
    world.sync()
    conflict = world.one("SELECT field, local_value, remote_value FROM conflicts")
    assert conflict == {"field": "priority", "local_value": "31000", "remote_value": "22222"}
    assert world.sync().waiting == {}


@pytest.mark.parametrize("answer", ["item", "ok", "lost", "nothing"])
def test_a_text_is_emptied_where_null_is_taken_for_what_it_says(
    new_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    world = new_world(items=5, traits=["answers_item=false"] if answer == "ok" else [])
    read = endpoints_items._values

    def literally(call: Any) -> dict[str, object]:
        said = call.request.form.get("message")
        return read(call) | ({"message": said} if said == "null" else {})

    monkeypatch.setattr(endpoints_items, "_values", literally)
    world.sync()
    guid = world.one("SELECT guid FROM tasks LIMIT 1")["guid"]
    world.sql("UPDATE tasks SET message = 'm' WHERE guid = ?", guid)
    world.sync()
    world.sql("UPDATE tasks SET message = NULL WHERE guid = ?", guid)
    if answer == "lost":
        world.service.faults.add("PUT /item/*:drop_after:1")
    if answer == "nothing":
        world.service.faults.add("PUT /item/*:empty:0")
    world.sync()
    assert world.changes() == [("update", "done"), ("update", "done")]
    assert world.sql("SELECT 1 FROM conflicts") == []
    assert not world.one("SELECT message FROM tasks WHERE guid = ?", guid)["message"]
    assert not next(i for i in world.service.model.items() if i.guid == guid).get("message")
    assert world.changes() == [("update", "done"), ("update", "done")]


@pytest.mark.parametrize("delta", ["delta=true", "delta=false", "stubs=false"])
def test_an_update_that_is_answered_with_ok_and_not_taken_is_refused(
    new_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, delta: str
) -> None:
    world = new_world(items=5, traits=["answers_item=false", delta])
    monkeypatch.setattr(
        world.service.model,
        "update",
        lambda number, user, **_: world.service.model.item(number, user),
    )
    world.sync()
    before = world.one("SELECT guid, priority FROM tasks LIMIT 1")
    world.sql("UPDATE tasks SET priority = 31000 WHERE guid = ?", before["guid"])
    for _ in range(3):
        world.sync()
    assert world.changes() == [("update", "rejected")]
    assert world.one("SELECT guid, priority FROM tasks WHERE guid = ?", before["guid"]) == before


@pytest.mark.parametrize("write", ["POST /item", "PUT /item/*", "DELETE /item/*"])
def test_a_server_that_answers_writes_with_nothing_is_looked_at_and_not_in_trouble(
    world: World, write: str
) -> None:
    world.service.faults.add(f"{write}:empty:0")
    world.sql("INSERT INTO tasks (title) VALUES ('1'), ('2'), ('3'), ('4'), ('5')")
    rows = "guid IN (SELECT guid FROM tasks WHERE permission = 100 AND title <> ? LIMIT 5)"
    world.sql(f"UPDATE tasks SET title = 'changed' WHERE {rows}", "a")
    world.sql(f"DELETE FROM notes WHERE {rows.replace('tasks', 'notes')}", "a")
    summary = world.sync()
    assert (summary.trouble, summary.waiting, summary.rejected) == (None, {}, 0)
    assert {state for _, state in world.changes()} == {"done"}


def test_an_update_that_is_answered_with_ok_once_waits_for_a_read_that_lags_behind(
    new_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = new_world(items=5, traits=["answers_item=false"])
    world.sync()
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'timed')", GUID)
    world.sync()
    world.sync()
    world.sql("INSERT INTO time_entries (item_guid, minutes) VALUES (?, 30)", GUID)
    world.service.faults.add(Fault("drop_before", "PUT", "/item/*", count=2))
    api = world.engine.api
    update, delta, cursor = api.send_update, api.fetch_delta, ""
    lagging: list[Any] = []

    def read(now: str) -> Any:
        nonlocal cursor
        cursor = now
        return lagging.pop() if lagging else delta(now)

    def write(*args: Any, **options: Any) -> Any:
        before = delta(cursor)
        answer = update(*args, **options)
        lagging.append(before)
        return answer

    monkeypatch.setattr(api, "fetch_delta", read)
    monkeypatch.setattr(api, "send_update", write)
    for _ in range(3):
        world.sync()
    assert world.changes() == [("insert", "done"), ("insert", "done")]
    entries = world.sql("SELECT minutes, source FROM time_entries WHERE item_guid = ?", GUID)
    assert entries == [{"minutes": 30, "source": "local"}]


def test_minutes_that_landed_late_are_counted_once_beside_a_colleagues(
    new_world: MakeWorld,
) -> None:
    world = new_world(items=5)
    model = world.service.model
    world.sync()
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'timed')", GUID)
    world.sync()
    world.sync()
    (number,) = titled(world, "timed")
    world.sql("INSERT INTO time_entries (item_guid, minutes) VALUES (?, 30)", GUID)
    world.service.faults.add("PUT /item/*:drop_before:1")

    def land() -> None:
        """What was lost lands after all, and a colleague adds to it."""
        model.update(number, user=model.user(LOGIN), time_spent=30)
        model.update(number, user=model.user("tariq@example.com"), time_spent=45)

    at_request(world, "send_update", lambda: at_request(world, "send_update", land))
    for _ in range(3):
        world.sync()
    row = world.one("SELECT time_spent_minutes AS total FROM tasks WHERE guid = ?", GUID)
    assert row == {"total": 45}
    assert model.item(number, model.users[0]).get("time_spent") == 45


def test_minutes_that_are_answered_with_ok_and_not_taken_are_refused_beside_a_colleagues(
    new_world: MakeWorld,
) -> None:
    world = new_world(items=5, traits=["answers_item=false", "time_spent_writable=false"])
    model = world.service.model
    world.sync()
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'timed')", GUID)
    world.sync()
    world.sync()
    (number,) = titled(world, "timed")
    world.sql("INSERT INTO time_entries (item_guid, minutes) VALUES (?, 30)", GUID)
    colleague = model.users[1]
    at_request(world, "send_update", lambda: model.update(number, user=colleague, time_spent=15))
    for _ in range(3):
        world.sync()
    assert world.changes() == [("insert", "done"), ("insert", "rejected")]
    entries = world.sql("SELECT minutes, source FROM time_entries WHERE item_guid = ?", GUID)
    assert entries == [{"minutes": 15, "source": "observed"}]


def test_two_equal_creates_with_lost_answers_stay_two(new_world: MakeWorld) -> None:
    world = new_world(items=5, traits=IGNORES_GUIDS)
    world.sync()
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'new'), (?, 'new')", GUID, OTHER)
    world.service.faults.add("POST /item:drop_after:2")
    world.sync()
    world.sync()
    assert len(titled(world, "new")) == 2
    rows = world.sql("SELECT guid, id FROM tasks WHERE title = 'new'")
    assert {row["guid"] for row in rows} == {GUID, OTHER}
    assert {row["id"] for row in rows} == set(titled(world, "new"))


def test_an_equal_item_that_comes_back_is_not_taken_for_a_lost_create(
    new_world: MakeWorld,
) -> None:
    world = new_world(items=5, traits=IGNORES_GUIDS)
    world.sync()
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'new')", GUID)
    world.sync()
    (number,) = titled(world, "new")
    world.sql("UPDATE tasks SET archived = true WHERE guid = ?", GUID)
    world.sync()
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'new')", OTHER)
    world.service.faults.add("POST /item:drop_before:1")
    model = world.service.model
    at_request(world, "send_create", lambda: model.restore(number, user=model.user(LOGIN)))
    world.sync()
    world.sync()
    assert len(titled(world, "new")) == 2
    rows = world.sql("SELECT guid, id FROM tasks WHERE title = 'new'")
    assert {row["guid"]: row["id"] == number for row in rows} == {GUID: True, OTHER: False}


@pytest.mark.parametrize("known", [True, False], ids=["habit_known", "first"])
def test_a_guid_that_is_kept_in_small_letters_is_known_by_them(world: World, known: bool) -> None:
    world.sync()
    if known:
        world.sql("INSERT INTO tasks (title) VALUES ('the first teaches that guids are kept')")
        world.sync()
    capitals = GUID[:-1] + "A"
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'new')", capitals)
    create = world.engine.api.send_create

    def create_small(guid: str, *args: Any, **options: Any) -> Any:
        return create(guid.lower(), *args, **options)

    world.engine.api.send_create = create_small  # type: ignore[method-assign]
    world.service.faults.add("POST /item:drop_after:1")
    world.sync()
    assert world.sync().pushed == 0
    (number,) = titled(world, "new")
    row = world.one("SELECT guid, id FROM tasks WHERE title = 'new'")
    assert row == {"guid": capitals, "id": number}


def test_where_guids_are_kept_another_persons_equal_item_is_not_taken_for_ours(
    world: World,
) -> None:
    world.sync()
    world.sql("INSERT INTO tasks (title) VALUES ('the first teaches that guids are kept')")
    world.sync()
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'new')", GUID)
    model = world.service.model
    world.service.faults.add("POST /item:drop_before:1")
    model.create(user=model.user(LOGIN), title="new", category=1)
    world.sync()
    world.sync()
    assert len(titled(world, "new")) == 2


def test_an_item_that_differs_from_what_was_sent_is_a_strangers(new_world: MakeWorld) -> None:
    world = new_world(items=5, traits=IGNORES_GUIDS)
    world.sync()
    world.sql("INSERT INTO tasks (guid, title, color) VALUES (?, 'new', 3)", GUID)
    model = world.service.model
    world.service.faults.add("POST /item:drop_before:1")
    model.create(user=model.user(LOGIN), title="new", category=1)
    world.sync()
    world.sync()
    assert len(titled(world, "new")) == 2


@pytest.mark.parametrize("statement", ["INSERT", "UPDATE"])
def test_a_text_that_was_only_trimmed_is_nobodys_conflict(
    new_world: MakeWorld, statement: str
) -> None:
    world = new_world(items=5, traits=["trims_titles"])
    world.sync()
    if statement == "UPDATE":
        world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'old')", GUID)
        world.sync()
        world.sql("UPDATE tasks SET title = 'new  ' WHERE guid = ?", GUID)
        world.service.faults.add("PUT /item/*:drop_after:1")
    else:
        world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'new  ')", GUID)
        world.service.faults.add("POST /item:drop_after:1")
    world.sync()
    world.sync()
    assert world.one("SELECT title FROM tasks WHERE guid = ?", GUID) == {"title": "new"}
    assert len(titled(world, "new")) == 1
    assert world.sql("SELECT * FROM conflicts") == []


def test_a_row_waits_for_the_lost_answer_of_the_one_it_moves_under(world: World) -> None:
    world.sync()
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'below')", GUID)
    world.sql("INSERT INTO tasks (guid, title, parent_guid) VALUES (?, 'above', ?)", OTHER, GUID)
    world.sync()
    world.sql("UPDATE tasks SET parent_guid = NULL WHERE guid = ?", OTHER)
    world.sql("UPDATE tasks SET parent_guid = ? WHERE guid = ?", OTHER, GUID)
    world.service.faults.add("PUT /item/*:drop_before:1")
    world.sync()
    assert [state for _, state in world.changes()[2:]] == ["done", "done"]
    below, above = titled(world, "below")[0], titled(world, "above")[0]
    assert world.service.model.item(below).parent == above
    assert world.service.model.item(above).parent == 0


@pytest.mark.parametrize(("status", "code"), [(500, 100), (400, 6), (403, 3), (412, 10)])
def test_a_delta_that_only_ever_fails_is_replaced_by_full_reads(
    world: World, status: int, code: int
) -> None:
    world.sync()
    fault = Fault("status", "GET", "/item/delta/*", status=status, code=code, count=9)
    world.service.faults.add(fault)
    model = world.service.model
    model.create(user=model.user("ann@example.com"), title="theirs", category=1)
    assert world.sync().pulled == 1
    world.sync()
    world.service.reset_log()
    world.sync()
    assert [entry.path for entry in world.service.log] == ["/item"]


def test_one_failure_of_the_delta_is_forgotten(world: World) -> None:
    world.sync()
    for status in (500, 400, 412):
        world.service.faults.add(f"GET /item/delta/*:status={status}:1")
        world.sync()
        world.service.reset_log()
        world.sync()
        assert [entry.path.split("/")[2:3] for entry in world.service.log] == [["delta"]]


def test_maintenance_is_not_the_deltas_own_trouble(world: World) -> None:
    world.sync()
    world.service.reset_log()
    world.service.faults.add("GET /item/delta/*:status=503:1")
    with pytest.raises(RetryLaterError):
        world.sync()
    assert len(world.service.log) == 1
