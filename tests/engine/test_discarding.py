"""Changes that a person drops: refused ones put aside, waiting ones taken back."""

from __future__ import annotations

from typing import Any

import pytest

from hisync.deciding.decisions import DecisionError
from tests.engine.decide import (
    CHILD,
    GUID,
    assert_quiet,
    delete,
    discard,
    insert,
    newest,
    refuse,
    row,
    state,
    sync_refused,
    there,
    update,
)
from tests.engine.decide import task as task
from tests.world import World

pytestmark = pytest.mark.slow

BOTH = True
"""Those of SQLite only are about cells that PostgreSQL reads, or about the order in the log."""


@pytest.mark.sqlite_only
def test_a_rejected_update_is_put_aside_with_its_reason(world: World, task: int) -> None:
    seq = update(world, due_date="tomorrow")
    world.sync()
    assert discard(world) == [(seq, True, "discarded: the row stays as it is")]
    kept = state(world, seq)
    assert (kept[0], "can't be read" in (kept[1] or "")) == ("discarded", True)
    assert discard(world) == []
    assert_quiet(world)


@pytest.mark.sqlite_only
def test_a_refused_new_row_is_taken_out_and_kept(world: World) -> None:
    insert(world, "new", due_date="tomorrow")
    world.sync()
    seq = newest(world)
    ((_, _, text),) = discard(world)
    assert (text, row(world)) == ("discarded: the row is kept in removed_rows", [])
    kept = world.one("SELECT row_guid, id, last_values, reason FROM removed_rows")
    assert (kept["row_guid"], kept["id"], kept["reason"]) == (GUID, None, "discarded here")
    assert '"new"' in kept["last_values"]
    assert '"due_date":"tomorrow"' in kept["last_values"]
    assert state(world, seq)[0] == "discarded"
    assert_quiet(world)


def test_a_refused_new_row_stays_if_a_mended_one_is_to_go_out(world: World) -> None:
    insert(world, "new")
    sync_refused(world)
    seq = newest(world)
    newer = update(world, title="mended")
    assert discard(world) == [
        (seq, True, f"discarded: the row stays, since change {newer} is to send it")
    ]
    world.sync()
    assert world.changes() == [("insert", "discarded"), ("update", "done")]
    assert_quiet(world)


@pytest.mark.sqlite_only
def test_a_waiting_update_is_taken_back(world: World, task: int) -> None:
    before = row(world, "*")
    seq = update(
        world,
        title="ours",
        tags='["x"]',
        due_date="2026-07-07",
        is_all_day=True,
        starred=True,
        message=None,
        location='{"a": 1}',
        archived=True,
    )
    ((_, done, text),) = discard(world, seq)
    assert (done, text.startswith("discarded: title is hiTask's again, ")) == (True, True)
    assert row(world, "*") == before
    world.sync()
    assert (world.writes(), state(world, seq)[0]) == ([], "discarded")
    assert_quiet(world)


@pytest.mark.sqlite_only
def test_an_update_with_one_on_top_of_it_only_ends(world: World, task: int) -> None:
    first, second = update(world, title="first", color=4), update(world, title="second")
    assert discard(world, first) == [
        (
            first,
            True,
            f"discarded: title stays as it is (change {second} is newer), color is hiTask's again",
        )
    ]
    world.sync()
    assert (world.service.model.item(task).title, row(world, "color")[0]["color"]) in {
        ("second", None),
        ("second", 0),
    }
    assert_quiet(world)


@pytest.mark.sqlite_only
def test_an_update_on_top_of_a_waiting_one_goes_back_to_that(world: World, task: int) -> None:
    first, second = update(world, title="first"), update(world, title="second", color=4)
    ((_, _, text),) = discard(world, second)
    assert text == "discarded: title is what it was before, color is hiTask's again"
    assert row(world) == [{"title": "first"}]
    assert discard(world, first) == [(first, True, "discarded: title is hiTask's again")]
    assert row(world) == [{"title": "base"}]
    world.sync()
    assert world.writes() == []
    assert_quiet(world)


def test_two_updates_of_one_column_are_taken_back_together(world: World, task: int) -> None:
    first, second = update(world, title="first"), update(world, title="second")
    assert [seq for seq, _, _ in discard(world, second, first)] == [first, second]
    assert row(world) == [{"title": "base"}]
    assert_quiet(world)


def test_taking_back_what_was_added_to_a_list_keeps_what_hitask_added(
    world: World, task: int
) -> None:
    update(world, tags='["a","b","first"]')
    second = update(world, tags='["a","first","second"]')
    there(world, task, tags=["a", "b", "theirs"])
    world.sync(pull_only=True)
    discard(world, second)
    world.sync()
    assert set(world.service.model.item(task).get("tags") or ()) == {  # type: ignore[call-overload]
        *("a", "b", "first", "theirs")
    }
    assert_quiet(world)


def test_a_waiting_update_leaves_what_hitask_has_written_since(world: World, task: int) -> None:
    seq = update(world, title="ours")
    there(world, task, title="theirs")
    world.sync(pull_only=True)
    discard(world, seq)
    assert row(world) == [{"title": "theirs"}]
    assert_quiet(world)


def test_an_edit_made_while_its_row_is_on_its_way_is_taken_back(world: World, task: int) -> None:
    """What is being sent is not touched: the newer edit alone goes back to it."""
    update(world, title="sent")
    send = world.engine.api.send_update

    def edit_and_discard(*args: Any, **options: Any) -> object:
        discard(world, update(world, title="second thoughts", color=5))
        return send(*args, **options)

    world.engine.api.send_update = edit_and_discard  # type: ignore[method-assign,assignment]
    world.sync()
    assert row(world) == [{"title": "sent"}]
    assert world.service.model.item(task).title == "sent"
    assert_quiet(world)


def test_a_waiting_new_row_is_taken_out_with_its_edits(world: World) -> None:
    insert(world, "new")
    first = newest(world)
    second = update(world, title="newer")
    ((_, _, text),) = discard(world, first)
    assert text == f"discarded with {second} of the same row: the row is kept in removed_rows"
    assert world.changes() == [("insert", "discarded"), ("update", "discarded")]
    assert "newer" in world.one("SELECT last_values FROM removed_rows")["last_values"]
    world.sync()
    assert world.writes() == []
    assert_quiet(world)


def test_an_update_of_a_waiting_new_row_is_taken_back(world: World) -> None:
    insert(world, "new", tags='["a"]')
    seq = update(world, title="newer", tags="not json", starred=True)
    discard(world, seq)
    assert row(world, "title", "tags", "starred") == [
        {"title": "new", "tags": '["a"]', "starred": 0}
    ]
    world.sync()
    assert world.changes() == [("insert", "done"), ("update", "discarded")]
    assert_quiet(world)


def test_the_children_of_a_row_that_is_taken_out_are_spoken_of(world: World) -> None:
    insert(world, "parent")
    parent = newest(world)
    insert(world, "child", CHILD, parent_guid=GUID)
    refuse(world)
    world.sync()
    world.service.faults.clear()
    assert [s for _, s in world.changes()] == ["rejected", "blocked"]
    ((_, _, text),) = discard(world, parent)
    assert "the parent of 1 rows here" in text
    world.sync()
    assert [s for _, s in world.changes()] == ["discarded", "rejected"]
    assert_quiet(world)


def test_a_blocked_row_is_taken_out(world: World) -> None:
    insert(world, "parent")
    insert(world, "child", CHILD, parent_guid=GUID)
    child = newest(world)
    sync_refused(world)
    assert state(world, child)[0] == "blocked"
    discard(world, child)
    assert world.sql("SELECT 1 FROM tasks WHERE guid = ?", CHILD) == []
    assert_quiet(world)


def test_a_waiting_deletion_is_taken_back(world: World, task: int) -> None:
    before = row(world, "*")
    seq = delete(world)
    assert discard(world, seq) == [(seq, True, "discarded: the row is back")]
    assert row(world, "*") == before
    world.sync()
    assert world.writes() == []
    assert_quiet(world)


def test_a_held_deletion_is_taken_back(world: World, task: int) -> None:
    world.change_rules(max_push_deletes=0)
    before = row(world, "*")
    seq = delete(world)
    assert world.sync().waiting == {"held": 1}
    discard(world, seq)
    assert row(world, "*") == before
    assert_quiet(world)


@pytest.mark.sqlite_only
def test_a_deletion_is_taken_back_to_the_edits_that_still_wait(world: World, task: int) -> None:
    first = update(world, title="edited", due_date="tomorrow")
    seq = delete(world)
    discard(world, seq)
    assert row(world, "title", "due_date", "message") == [
        {"title": "edited", "due_date": "tomorrow", "message": "text"}
    ]
    update(world, due_date=None)
    world.sync()
    assert (world.service.model.item(task).title, state(world, first)[0]) == ("edited", "merged")
    assert_quiet(world)


def test_an_edit_below_a_deletion_only_ends(world: World, task: int) -> None:
    first, second = update(world, title="edited"), delete(world)
    discard(world, first)
    discard(world, second)
    assert row(world) == [{"title": "base"}]
    assert_quiet(world)


def test_a_deletion_of_a_new_row_is_taken_back(world: World) -> None:
    insert(world, "new", due_date="tomorrow", completed=True)
    sync_refused(world)
    before = row(world, "*")
    discard(world, delete(world))
    assert row(world, "*") == before
    assert world.changes() == [("insert", "rejected"), ("delete", "discarded")]


def test_cells_that_are_no_text_come_back_as_they_were(world: World) -> None:
    """Bytes that are no UTF-8 make the log's JSON unreadable as a whole."""
    insert(world, "new", tags='["a"]', location='{"a":"é"}', participants="a,b", starred=True)
    world.sql("UPDATE tasks SET title = CAST(x'c328' AS TEXT) WHERE guid = ?", GUID)
    sync_refused(world)
    columns = ("hex(title) AS title", "tags", "location", "participants", "starred")
    before = row(world, *columns)
    discard(world, delete(world))
    assert row(world, *columns) == before
    assert [done for _, done, _ in discard(world)] == [True, True]
    assert "udcc3" in world.one("SELECT last_values FROM removed_rows")["last_values"]


@pytest.mark.parametrize("half", [0, 1])
def test_both_halves_of_a_replace_are_taken_back_together(
    world: World, task: int, half: int
) -> None:
    """Dropping the insert alone would delete the item."""
    before = row(world, "*")
    first = update(world, color=6)
    edited = row(world, "*")
    world.sql("INSERT OR REPLACE INTO tasks (guid, title, version) VALUES (?, 'new', 7)", GUID)
    update(world, message="on top")
    seqs = [first + 1, first + 2, first + 3]
    ((_, done, text),) = discard(world, seqs[half])
    assert (done, text.endswith("of the same row: the row is back")) == (True, True)
    assert row(world, "*") == edited
    assert [s for _, s in world.changes()][-4:] == ["pending", *["discarded"] * 3]
    discard(world, first)
    assert row(world, "*") == before
    assert_quiet(world)


def test_a_deletion_after_which_the_row_came_back_only_ends(world: World, task: int) -> None:
    there(world, task, title="still needed")
    seq = delete(world)
    world.sync(pull_only=True)
    discard(world, seq)
    assert row(world) == [{"title": "still needed"}]
    assert_quiet(world)


def test_an_insert_is_not_taken_back_from_under_its_deletion_on_the_way(
    world: World, task: int
) -> None:
    deletion = delete(world)
    world.sql("UPDATE change_log SET state = 'sending' WHERE seq = ?", deletion)
    insert(world, "again")
    with pytest.raises(DecisionError, match=f"change {deletion} of the same row is being sent"):
        discard(world, newest(world))
    assert row(world) == [{"title": "again"}]
