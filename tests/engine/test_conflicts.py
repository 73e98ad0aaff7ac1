"""Both sides changed the same row."""

from __future__ import annotations

from typing import Any

import pytest

from hisync.plan.actions import Policy
from hisync.sandbox import traits_from
from tests.world import World

GUID = "00000000-0000-4000-8000-00000000000a"


@pytest.fixture
def shared(world: World) -> int:
    """A task that both sides have; its number."""
    world.sql("INSERT INTO tasks (guid, title, tags) VALUES (?, 'base', '[\"a\",\"b\"]')", GUID)
    world.sync()
    world.sync()
    world.service.reset_log()
    return int(world.one("SELECT id FROM tasks WHERE guid = ?", GUID)["id"])


def there(world: World, number: int, **changes: Any) -> None:
    world.service.model.update(number, user=world.service.model.users[0], **changes)


def here(world: World, **changes: object) -> None:
    columns = ", ".join(f"{column} = ?" for column in changes)
    world.sql(f"UPDATE tasks SET {columns} WHERE guid = ?", *changes.values(), GUID)


def test_two_fields_of_one_row_merge_without_a_conflict(world: World, shared: int) -> None:
    there(world, shared, title="theirs")
    here(world, message="ours")
    assert world.sync().conflicts == 0
    item = world.service.model.item(shared)
    assert (item.title, item.get("message")) == ("theirs", "ours")
    row = world.one("SELECT title, message FROM tasks WHERE guid = ?", GUID)
    assert row == {"title": "theirs", "message": "ours"}
    assert world.writes() == [f"PUT /item/{shared}"]


@pytest.mark.parametrize(
    ("policy", "winner"),
    [
        (Policy("remote"), "theirs"),
        (Policy("local"), "ours"),
        (Policy("newest"), "theirs"),  # virtual 2026-03 there is before the trigger's real clock…
        (Policy("remote", {"title": "local"}), "ours"),
        (Policy("local", {"title": "remote"}), "theirs"),
    ],
)
def test_one_field_with_two_values_is_decided_by_policy_and_recorded(
    world: World, shared: int, policy: Policy, winner: str
) -> None:
    world.change_rules(policy=policy)
    if policy.default == "newest":
        world.time.now += 10**9  # … so theirs is made later here
    there(world, shared, title="theirs")
    here(world, title="ours")
    summary = world.sync()
    assert (summary.conflicts, summary.rejected, summary.waiting) == (1, 0, {})
    assert world.service.model.item(shared).title == winner
    assert world.one("SELECT title FROM tasks WHERE guid = ?", GUID) == {"title": winner}
    conflict = world.one(
        "SELECT field, base_value, local_value, remote_value, resolution, policy, resolved_at "
        "FROM conflicts"
    )
    assert conflict.pop("resolved_at") is not None
    assert conflict == {
        "field": "title",
        "base_value": "base",
        "local_value": "ours",
        "remote_value": "theirs",
        "resolution": "local" if winner == "ours" else "remote",
        "policy": policy.of("title"),
    }
    assert world.sync().conflicts == 0


@pytest.mark.parametrize(
    ("column", "ours", "theirs", "kept"),
    [
        ("title", "ours", "theirs", "theirs"),
        ("tags", '["ours"]', ["theirs", "b"], '["theirs","b"]'),
        ("priority", 10, 30000, "30000"),
        ("due_date", "2026-05-01", "2026-06-01T10:00:00.000+00:00", "2026-06-01 10:00:00.000000"),
    ],
)
@pytest.mark.parametrize("traits", [[], ["history_wrapped=true"]], ids=str)
def test_what_our_write_went_over_unseen_is_recorded(
    world: World, shared: int, column: str, ours: Any, theirs: Any, kept: str, traits: list[str]
) -> None:
    """A colleague writes the same field after the delta and before our request."""
    world.service.traits = traits_from(traits)
    here(world, **{column: ours})
    send = world.engine.api.send_update

    def colleague_first(*args: Any, **options: Any) -> object:
        there(world, shared, **{column: theirs})
        return send(*args, **options)

    world.engine.api.send_update = colleague_first  # type: ignore[method-assign,assignment]
    assert world.sync().conflicts == 1
    conflict = world.one("SELECT field, remote_value, resolution FROM conflicts")
    assert conflict == {"field": column, "remote_value": kept, "resolution": "local"}
    assert world.sync().requests == 1


def test_a_faster_write_to_another_field_is_merged_without_a_conflict(
    world: World, shared: int
) -> None:
    here(world, title="ours")
    send = world.engine.api.send_update

    def colleague_first(*args: Any, **options: Any) -> object:
        there(world, shared, color=5)
        return send(*args, **options)

    world.engine.api.send_update = colleague_first  # type: ignore[method-assign,assignment]
    assert world.sync().conflicts == 0
    row = world.one("SELECT title, color FROM tasks WHERE guid = ?", GUID)
    assert row == {"title": "ours", "color": 5}


def test_the_same_edit_on_both_sides_is_no_conflict_and_no_request(
    world: World, shared: int
) -> None:
    there(world, shared, title="same")
    here(world, title="same")
    assert world.sync().conflicts == 0
    assert (world.writes(), world.changes()[-1][1]) == ([], "merged")


def test_lists_merge_as_sets(world: World, shared: int) -> None:
    there(world, shared, tags=["a", "b", "theirs"])
    here(world, tags='["b", "ours"]')
    assert world.sync().conflicts == 0
    assert set(world.service.model.item(shared).get("tags") or ()) == {"b", "ours", "theirs"}  # type: ignore[call-overload]
    tags = world.one("SELECT tags FROM tasks WHERE guid = ?", GUID)["tags"]
    assert tags == '["b","theirs","ours"]'


def test_deleted_here_and_edited_there_it_comes_back(world: World, shared: int) -> None:
    there(world, shared, title="still needed")
    world.sql("DELETE FROM tasks WHERE guid = ?", GUID)
    world.sync()
    assert world.one("SELECT title FROM tasks WHERE guid = ?", GUID)["title"] == "still needed"
    conflict = world.one("SELECT field, local_value, remote_value FROM conflicts")
    assert conflict == {
        "field": None,
        "local_value": None,
        "remote_value": '{"title":"still needed"}',
    }
    assert world.writes() == []
    assert world.changes()[-1] == ("delete", "merged")


@pytest.mark.parametrize("policy", ["remote", "local", "newest"])
def test_edited_here_and_deleted_there_the_edit_survives(
    world: World, shared: int, policy: Any
) -> None:
    world.change_rules(policy=Policy(policy))
    world.service.model.delete(shared, user=world.service.model.users[0])
    here(world, title="precious")
    summary = world.sync()
    conflict = world.one("SELECT field, local_value, resolution FROM conflicts")
    assert (conflict["field"], conflict["local_value"]) == ("title", "precious")
    again = [item for item in world.service.model.items() if item.title == "precious"]
    rows = world.sql("SELECT id FROM tasks WHERE guid = ?", GUID)
    if policy == "local":
        assert [item.id for item in again] == [row["id"] for row in rows]
        assert again[0].id != shared
    else:
        assert (again, rows) == ([], [])
        assert "precious" in world.one("SELECT last_values FROM removed_rows")["last_values"]
    assert (summary.waiting, summary.rejected) == ({}, 0)


def test_deleted_on_both_sides_it_is_gone(world: World, shared: int) -> None:
    world.service.model.delete(shared, user=world.service.model.users[0])
    world.sql("DELETE FROM tasks WHERE guid = ?", GUID)
    summary = world.sync()
    assert (world.writes(), summary.waiting) == ([], {})
    assert world.sql("SELECT 1 FROM conflicts") == []
    assert world.sync().requests == 1


def test_deleted_and_put_in_again_it_is_an_update_of_the_same_item(
    world: World, shared: int
) -> None:
    world.sql("DELETE FROM tasks WHERE guid = ?", GUID)
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'again')", GUID)
    world.sync()
    assert world.writes() == [f"PUT /item/{shared}"]
    row = world.one("SELECT id, title, tags, version FROM tasks WHERE guid = ?", GUID)
    assert (row["id"], row["title"], row["tags"] in (None, "[]")) == (shared, "again", True)
    assert world.service.model.item(shared).get("tags") in (None, [])


def test_insert_or_replace_is_what_it_does_to_the_row(world: World, shared: int) -> None:
    world.sql("INSERT OR REPLACE INTO tasks (guid, title) VALUES (?, 'replaced')", GUID)
    world.sync()
    assert world.writes() == [f"PUT /item/{shared}"]
    item = world.service.model.item(shared)
    assert (item.title, item.get("tags") in (None, [])) == ("replaced", True)
    assert world.one("SELECT id FROM tasks WHERE guid = ?", GUID)["id"] == shared


def test_an_item_converted_to_another_kind_moves_with_its_unsent_edit(
    world: World, shared: int
) -> None:
    here(world, message="unsent")
    item = world.service.model.item(shared)
    there(world, shared, title="now a note")
    item.values["category"] = 4
    world.sync()
    assert world.sql("SELECT 1 FROM tasks WHERE guid = ?", GUID) == []
    row = world.one("SELECT id, title, message FROM notes WHERE guid = ?", GUID)
    assert row == {"id": shared, "title": "now a note", "message": "unsent"}
    assert world.service.model.item(shared).get("message") == "unsent"
    assert world.sync().pulled == 0


def test_an_edit_that_the_new_kind_has_no_column_for_is_kept(world: World) -> None:
    world.sql("INSERT INTO projects (guid, title) VALUES (?, 'project')", GUID)
    world.sync()
    number = world.one("SELECT id FROM projects WHERE guid = ?", GUID)["id"]
    world.sql("UPDATE projects SET short_name = 'ABC' WHERE guid = ?", GUID)
    world.service.model.item(number).values["category"] = 1
    there(world, number, title="a task now")
    assert world.sync().conflicts == 1
    conflict = world.one("SELECT field, local_value FROM conflicts")
    assert conflict == {"field": "short_name", "local_value": "ABC"}
    assert world.one("SELECT title FROM tasks WHERE guid = ?", GUID) == {"title": "a task now"}
    assert world.sync().pulled == 0


@pytest.mark.parametrize("fate", ["drop_after", "history lost"])
def test_what_an_update_went_over_is_looked_up_though_its_answer_is_lost(
    world: World, shared: int, fate: str
) -> None:
    """A colleague writes between our read and our write, and the proof of it gets lost."""
    api, send = world.engine.api, world.engine.api.send_update

    def write_before(*args: Any, **options: Any) -> Any:
        there(world, shared, title="theirs")
        return send(*args, **options)

    api.send_update = write_before  # type: ignore[method-assign]
    request = "PUT /item/*" if fate == "drop_after" else "GET /item/history"
    world.service.faults.add(f"{request}:drop_after:1")
    here(world, title="ours")
    world.sync()
    world.sync()
    assert world.service.model.item(shared).title == "ours"
    row = world.one("SELECT base_value, local_value, remote_value, resolution FROM conflicts")
    assert tuple(row.values()) == ("base", "ours", "theirs", "local")
