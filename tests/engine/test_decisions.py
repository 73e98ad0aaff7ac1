"""Changes tried again or dropped by a person, beside an engine that holds the mirror."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import pytest

from hisync.deciding.decisions import Decided, DecisionError
from hisync.deciding.discarding import discard_changes
from hisync.deciding.retrying import retry_changes
from hisync.mirror.store import Mirror, open_mirror
from hisync.plan.actions import Policy
from hisync.sandbox import Fault
from tests.world import World

pytestmark = pytest.mark.slow

BOTH = True
"""Those of SQLite only are about cells that PostgreSQL reads, or about the order in the log."""

GUID = "00000000-0000-4000-8000-00000000000a"
CHILD = "00000000-0000-4000-8000-00000000000b"
NOW = datetime(2026, 3, 3)
WRITES = ("POST", "PUT", "DELETE")

Decide = Callable[[Mirror, Sequence[int] | None, datetime], list[Decided]]


def decide(world: World, decision: Decide, *seqs: int) -> list[tuple[int, bool, str]]:
    """Decide about these changes, or all rejected ones, as a command does: without a lock."""
    with open_mirror(world.url) as mirror:
        mirror.check()
        decided = decision(mirror, seqs or None, NOW)
    return [(one.seq, one.done, one.text) for one in decided]


def retry(world: World, *seqs: int) -> list[tuple[int, bool, str]]:
    return decide(world, retry_changes, *seqs)


def discard(world: World, *seqs: int) -> list[tuple[int, bool, str]]:
    return decide(world, discard_changes, *seqs)


def refuse(world: World) -> None:
    """Let hiTask refuse every write until further notice."""
    for method in WRITES:
        world.service.faults.add(Fault("status", method, "/item*", status=400, code=25, count=0))


def sync_refused(world: World) -> None:
    refuse(world)
    world.sync()
    world.service.faults.clear()
    world.service.reset_log()


def insert(world: World, title: str = "base", guid: str = GUID, **cells: Any) -> None:
    columns = {"guid": guid, "title": title, **cells}
    marks = ", ".join("?" * len(columns))
    world.sql(f"INSERT INTO tasks ({', '.join(columns)}) VALUES ({marks})", *columns.values())


def update(world: World, **cells: Any) -> int:
    columns = ", ".join(f"{column} = ?" for column in cells)
    world.sql(f"UPDATE tasks SET {columns} WHERE guid = ?", *cells.values(), GUID)
    return newest(world)


def delete(world: World) -> int:
    world.sql("DELETE FROM tasks WHERE guid = ?", GUID)
    return newest(world)


def newest(world: World) -> int:
    return int(world.one("SELECT max(seq) AS seq FROM change_log")["seq"])


def row(world: World, *columns: str) -> list[dict[str, Any]]:
    return world.sql(f"SELECT {', '.join(columns or ('title',))} FROM tasks WHERE guid = ?", GUID)


def state(world: World, seq: int) -> tuple[str, str | None]:
    found = world.one("SELECT state, error FROM change_log WHERE seq = ?", seq)
    return found["state"], found["error"]


def there(world: World, number: int, **changes: Any) -> None:
    world.service.model.update(number, user=world.service.model.users[0], **changes)


def assert_quiet(world: World) -> None:
    """Both sides are equal, and a cycle finds nothing to do."""
    world.sync()
    world.service.reset_log()
    summary = world.sync(full=True)
    assert (summary.pulled, summary.pushed, world.writes()) == (0, 0, [])
    assert world.sql("SELECT 1 FROM sync_base WHERE dirty IS NOT NULL") == []


@pytest.fixture
def task(world: World) -> int:
    """A task that both sides have; its number."""
    insert(world, message="text", tags='["a","b"]', due_date="2026-05-01 10:00")
    world.sync()
    world.sync()
    world.service.reset_log()
    return int(row(world, "id")[0]["id"])


# Retry


ODD = {
    "title": "it's “odd” \U0001f409 \\ \" %s ; -- :x",
    "message": None,
    "tags": "[]",
    "participants": "[…]",
    "due_date": "2026-06-01T12:00:00+02:00",
    "is_all_day": True,
    "starred": "true",
    "priority": 30001,
    "location": '{"address": "é\\"\\u0000", "latitude": 1.5, "deep": [null, {"a": []}]}',
    "time_est_minutes": 95,
    "color": 0,
}


@pytest.mark.parametrize("column", ODD)
def test_a_rejected_update_is_tried_again_and_pushed_once(
    world: World, task: int, column: str
) -> None:
    if column == "color":
        update(world, color=3)
        world.sync()
        world.service.reset_log()
    members = f"[{world.service.model.users[0].id}]"
    seq = update(world, **{column: members if column == "participants" else ODD[column]})
    wanted = row(world, column)
    sync_refused(world)
    assert state(world, seq)[0] == "rejected"
    before = row(world, column)
    assert retry(world, seq) == [(seq, True, f"tried again as change {seq + 1}")]
    assert state(world, seq) == ("merged", f"tried again as change {seq + 1}")
    first, second = world.sql(
        "SELECT op, old_values, new_values FROM change_log WHERE seq >= ?", seq
    )
    assert first == second
    if column != "location":  # the log writes JSON without blanks
        assert row(world, column) == wanted != before
    world.sync()
    assert world.writes() == [f"PUT /item/{task}"]
    assert state(world, seq + 1) == ("done", None)
    assert_quiet(world)


def test_a_newer_edit_made_here_is_left(world: World, task: int) -> None:
    seq = update(world, title="first", color=3)
    sync_refused(world)
    newer = update(world, title="second")
    ((_, done, text),) = retry(world, seq)
    assert (done, text) == (
        False,
        f"tried again as change {newer + 1}; title is left: change {newer} is newer",
    )
    world.sync()
    assert row(world, "title", "color") == [{"title": "second", "color": 3}]
    assert world.service.model.item(task).title == "second"
    assert_quiet(world)


def test_with_nothing_but_newer_edits_it_stays_rejected(world: World, task: int) -> None:
    seq = update(world, title="first")
    sync_refused(world)
    newer = update(world, title="second")
    world.sync()
    text = f"stays rejected: title is left: change {newer} is newer"
    assert retry(world) == [(seq, False, text)]
    assert state(world, seq)[0] == "rejected"
    assert (row(world), newest(world)) == ([{"title": "second"}], newer)


def test_a_newer_value_of_hitask_is_left(world: World, task: int) -> None:
    seq = update(world, title="ours", message="ours")
    sync_refused(world)
    there(world, task, title="theirs")
    world.sync()
    ((_, done, text),) = retry(world, seq)
    assert not done
    assert "title is left: it was changed on hiTask since, to 'theirs'" in text
    world.sync()
    assert row(world, "title", "message") == [{"title": "theirs", "message": "ours"}]
    assert_quiet(world)


def test_what_hitask_has_by_now_needs_nothing(world: World, task: int) -> None:
    seq = update(world, title="same")
    sync_refused(world)
    there(world, task, title="same")
    world.sync()
    assert retry(world, seq) == [(seq, True, "nothing to do: the row has it already")]
    assert state(world, seq)[0] == "merged"


def test_edits_on_top_of_one_another_are_tried_again_by_the_last(world: World, task: int) -> None:
    """The second edit started from the first one's value, which hiTask never had."""
    first, second = update(world, title="first"), update(world, title="second")
    sync_refused(world)
    assert row(world) == [{"title": "base"}]
    decided = retry(world)
    assert [(seq, done) for seq, done, _ in decided] == [(first, False), (second, True)]
    world.sync()
    assert world.service.model.item(task).title == "second"
    assert discard(world) == [(first, True, "discarded: the row stays as it is")]
    assert_quiet(world)


def test_hitasks_value_before_an_older_edit_is_no_starting_point(world: World, task: int) -> None:
    """A → B arrived, B → C was refused, then hiTask went back to A: that is newer than C."""
    update(world, title="arrived")
    world.sync()
    seq = update(world, title="refused")
    sync_refused(world)
    there(world, task, title="base")
    world.sync()
    ((_, done, _),) = retry(world, seq)
    assert (done, row(world)) == (False, [{"title": "base"}])


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        pytest.param("due_date", "tomorrow", marks=pytest.mark.sqlite_only),
        ("tags", "a,b"),
        ("location", "nowhere"),
        ("message", b"\xc3\x28"),
    ],
)
def test_what_cant_be_read_is_not_tried_again(
    world: World, task: int, column: str, cell: Any
) -> None:
    """The log shows bytes by their digits: written back, they would be another text."""
    seq = update(world, **{column: cell})
    world.sync()
    ((_, done, text),) = retry(world, seq)
    assert (done, "can't be read" in text, newest(world)) == (False, True, seq)
    assert_quiet(world)


def test_a_read_only_column_is_not_tried_again(world: World, task: int) -> None:
    seq = update(world, version=99)
    world.sync()
    assert retry(world, seq) == [
        (seq, False, "stays rejected: version is left: only hiTask sets it")
    ]


def test_a_refused_new_row_waits_again_as_it_is_now(world: World) -> None:
    insert(world, "new")
    sync_refused(world)
    seq = newest(world)
    assert retry(world, seq) == [(seq, True, "waits to be sent again, as the row is now")]
    assert state(world, seq) == ("pending", None)
    world.sync()
    assert (world.writes(), state(world, seq)[0]) == (["POST /item"], "done")
    assert_quiet(world)


def test_all_of_a_refused_new_row_waits_again(world: World) -> None:
    insert(world, "new")
    update(world, title="newer")
    sync_refused(world)
    assert [done for _, done, _ in retry(world)] == [True, True]
    world.sync()
    assert [s for _, s in world.changes()] == ["merged", "done"]
    assert row(world) == [{"title": "newer"}]
    assert_quiet(world)


def test_a_refused_new_row_that_was_edited_since_goes_out_with_the_edit(world: World) -> None:
    insert(world, "new")
    sync_refused(world)
    seq = newest(world)
    newer = update(world, title="mended")
    ((_, _, text),) = retry(world, seq)
    assert f"with the newer change {newer}" in text
    world.sync()
    assert world.writes() == ["POST /item"]
    assert world.changes() == [("insert", "merged"), ("update", "done")]


def test_a_refused_new_row_that_a_later_edit_carried_needs_nothing(world: World) -> None:
    insert(world, "new")
    sync_refused(world)
    seq = newest(world)
    update(world, title="mended")
    world.sync()
    assert retry(world, seq) == [(seq, True, "nothing to do: hiTask has the row by now")]
    assert_quiet(world)


def test_a_refused_new_row_that_is_gone_is_said_to_be(world: World) -> None:
    insert(world, "new")
    sync_refused(world)
    seq = newest(world)
    delete(world)
    assert retry(world, seq) == [(seq, False, "stays rejected: its row is no longer in tasks")]


def test_a_refused_new_row_leaves_changes_of_an_earlier_row_with_its_guid(
    world: World, task: int
) -> None:
    old = update(world, color=3)
    sync_refused(world)
    delete(world)
    world.sync()
    world.service.reset_log()
    insert(world, "new")
    sync_refused(world)
    seq = newest(world)
    assert retry(world, seq) == [(seq, True, "waits to be sent again, as the row is now")]
    assert state(world, old)[0] == "rejected"
    world.sync()
    assert (world.writes(), state(world, seq)[0]) == (["POST /item"], "done")
    assert state(world, old)[0] == "rejected"


@pytest.mark.sqlite_only
def test_all_of_a_refused_new_row_that_was_replaced_waits_again(world: World) -> None:
    insert(world, "new")
    sync_refused(world)
    world.sql("INSERT OR REPLACE INTO tasks (guid, title) VALUES (?, 'newer')", GUID)
    sync_refused(world)
    assert [done for _, done, _ in retry(world)] == [True, True, True]
    world.sync()
    assert {s for _, s in world.changes()} <= {"done", "merged"}


def test_a_refused_file_cant_be_tried_again(world: World) -> None:
    world.sql("INSERT INTO files (title) VALUES ('a.txt')")
    world.sync()
    ((_, done, text),) = retry(world)
    assert (done, "upload the file there" in text) == (False, True)


def test_a_rejected_deletion_is_tried_again(world: World, task: int) -> None:
    update(world, title="unsent")
    seq = delete(world)
    sync_refused(world)
    assert row(world) == [{"title": "base"}]
    assert retry(world, seq) == [(seq, True, f"tried again as change {seq + 1}")]
    assert row(world) == []
    world.sync()
    assert world.writes() == [f"DELETE /item/{task}"]
    assert_quiet(world)


def test_a_rejected_deletion_leaves_what_was_edited_since(world: World, task: int) -> None:
    seq = delete(world)
    sync_refused(world)
    newer = update(world, color=2)
    assert retry(world, seq) == [
        (seq, False, f"stays rejected: change {newer} edited the row since")
    ]
    assert len(row(world)) == 1


def test_a_rejected_deletion_leaves_what_hitask_changed_since(world: World, task: int) -> None:
    seq = delete(world)
    sync_refused(world)
    there(world, task, title="still needed")
    world.sync()
    assert retry(world, seq) == [
        (seq, False, "stays rejected: it was changed on hiTask since: title")
    ]
    assert row(world) == [{"title": "still needed"}]


@pytest.mark.parametrize("what", ["time_spent_minutes", "last_comment_id"])
def test_a_rejected_deletion_leaves_what_people_work_on_since(
    world: World, task: int, what: str
) -> None:
    seq = delete(world)
    sync_refused(world)
    if what == "last_comment_id":
        world.service.model.comment(task, message="one moment", user=world.service.model.users[0])
    else:
        there(world, task, time_spent=30)
    world.sync()
    assert retry(world, seq) == [
        (seq, False, f"stays rejected: it was changed on hiTask since: {what}")
    ]
    assert row(world) == [{"title": "base"}]


def test_a_rejected_deletion_with_time_and_comments_is_tried_again(world: World, task: int) -> None:
    world.service.model.comment(task, message="before", user=world.service.model.users[0])
    there(world, task, time_spent=30)
    world.sync()
    world.sql("INSERT INTO time_entries (item_guid, minutes) VALUES (?, 5)", GUID)
    seq = delete(world)
    sync_refused(world)
    assert [done for _, done, _ in retry(world, seq)] == [True]


def test_a_rejected_deletion_of_what_is_gone_needs_nothing(world: World, task: int) -> None:
    seq = delete(world)
    sync_refused(world)
    world.service.model.delete(task, user=world.service.model.users[0])
    world.sync()
    assert retry(world, seq) == [(seq, True, "nothing to do: the row is gone already")]


def test_half_of_a_refused_replace_deletes_nothing(world: World, task: int) -> None:
    world.sql("INSERT OR REPLACE INTO tasks (guid, title, tags) VALUES (?, 'x', 'bad')", GUID)
    world.sync()
    decided = retry(world)
    assert [done for _, done, _ in decided] == [False, False]
    assert len(row(world)) == 1
    assert_quiet(world)


# What can't be decided about


@pytest.mark.parametrize("decision", [retry, discard])
def test_an_unknown_number_is_named_and_nothing_is_done(
    world: World, task: int, decision: Callable[..., Any]
) -> None:
    seq = update(world, title="x" * 300)
    world.sync()
    with pytest.raises(DecisionError, match="there is no change 99"):
        decision(world, seq, 99)
    assert state(world, seq)[0] == "rejected"


def test_what_is_over_is_neither_tried_again_nor_dropped(world: World, task: int) -> None:
    for decision in (retry, discard):
        with pytest.raises(DecisionError, match=f"change {newest(world)} is done: "):
            decision(world, newest(world))
    seq = update(world, title="waits")
    with pytest.raises(DecisionError, match=f"change {seq} is pending: it goes out by itself"):
        retry(world, seq)


@pytest.mark.parametrize(
    ("now", "reason"), [("sending", "is being sent"), ("unknown", "looked up")]
)
def test_what_is_on_its_way_is_left_alone(world: World, task: int, now: str, reason: str) -> None:
    seq = update(world, title="on its way")
    world.sql("UPDATE change_log SET state = ? WHERE seq = ?", now, seq)
    with pytest.raises(DecisionError, match=f"{reason}.*wait for the next cycle"):
        discard(world, seq)
    assert row(world) == [{"title": "on its way"}]


# Discard


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


# Any edits, dropped in any order


STEPS = 120
SEEDS = [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))]

CELLS: dict[str, tuple[Any, ...]] = {
    "title": ("a", "b", "it's “c”"),
    "message": (None, "", "x", "\U0001f409"),
    "tags": (None, "[]", '["a"]', '["a","b"]', "bad"),
    "due_date": (None, "2026-05-01", "2026-05-02 10:00", "tomorrow"),
    "is_all_day": (0, 1),
    "completed": (0, 1),
    "color": (None, 0, 3),
    "location": (None, '{"address":"x"}', '"text"', "bad"),
    "version": (1, 99),
    "archived": (0, 1),
}
REMOTE: dict[str, tuple[Any, ...]] = {
    "title": ("theirs", "a"),
    "tags": (["a", "t"], [], ["b"]),
    "due_date": ("2026-06-01T10:00:00.000+00:00", None),
    "color": (1, 3),
    "completed": (True, False),
}


def some_cells(chance: random.Random) -> dict[str, Any]:
    columns = chance.sample([*CELLS], chance.randint(1, 3))
    return {column: chance.choice(CELLS[column]) for column in columns}


def edit_somehow(world: World, guid: str, chance: random.Random) -> None:
    cells = some_cells(chance)
    match chance.choice(("update", "update", "update", "delete", "insert", "replace")):
        case "update":
            columns = ", ".join(f"{column} = ?" for column in cells)
            world.sql(f"UPDATE tasks SET {columns} WHERE guid = ?", *cells.values(), guid)
        case "delete":
            world.sql("DELETE FROM tasks WHERE guid = ?", guid)
        case how:
            columns = ", ".join(("guid", *cells))
            marks = ", ".join("?" * (len(cells) + 1))
            verb = "INSERT OR REPLACE" if how == "replace" else "INSERT OR IGNORE"
            world.sql(f"{verb} INTO tasks ({columns}) VALUES ({marks})", guid, *cells.values())


@pytest.mark.parametrize("meanwhile", [False, True], ids=["undisturbed", "hiTask changes too"])
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_waits_taking_it_all_back_leaves_hitasks_state(
    world: World, seed: int, meanwhile: bool
) -> None:
    chance = random.Random(seed)
    guids = [f"00000000-0000-4000-8000-{number:012x}" for number in range(30)]
    known = guids[:20]
    for guid in known:
        insert(world, guid=guid, tags='["a","b"]', due_date="2026-04-01 10:00")
    world.sync()
    before = world.sql("SELECT * FROM tasks ORDER BY guid")
    start = newest(world)
    for step in range(STEPS):
        edit_somehow(world, chance.choice(guids), chance)
        if meanwhile and step % 12 == 0:
            for _ in range(3):
                number = chance.choice([r["id"] for r in before if r["guid"] in known])
                column = chance.choice([*REMOTE])
                there(world, number, **{column: chance.choice(REMOTE[column])})
            world.sync(pull_only=True)
    seqs = [row["seq"] for row in world.sql("SELECT seq FROM change_log WHERE seq > ?", start)]
    chance.shuffle(seqs)
    with open_mirror(world.url) as mirror:
        for seq in seqs:
            if state(world, seq)[0] not in {"discarded", "merged"}:
                discard_changes(mirror, [seq], NOW)
    left = world.sql(
        "SELECT seq, state FROM change_log WHERE seq > ? AND finished_at IS NULL", start
    )
    assert left == []
    assert world.sql("SELECT guid, dirty FROM sync_base WHERE dirty IS NOT NULL") == []
    if not meanwhile:
        assert world.sql("SELECT * FROM tasks ORDER BY guid") == before
    world.service.reset_log()
    summary = world.sync(full=True)
    assert (summary.pulled, world.writes()) == (0, [])


@pytest.mark.parametrize("seed", SEEDS)
def test_trying_again_sends_all_that_hitask_has_not_changed_since(world: World, seed: int) -> None:
    chance = random.Random(seed)
    writable = {
        "title": ("ours", ODD["title"]),
        "message": (None, "ours"),
        "tags": ("[]", '["o","p"]'),
        "due_date": (None, "2026-05-02 10:00:00.000000"),
        "color": (6, 7),
        "completed": (1,),
    }
    guids = [f"00000000-0000-4000-8000-{number:012x}" for number in range(25)]
    for guid in guids:
        insert(world, guid=guid, message="m", tags='["a"]', due_date="2026-04-01 10:00")
    world.sync()
    expected: dict[str, dict[str, Any]] = {}
    for guid in guids:
        cells = {c: chance.choice(writable[c]) for c in chance.sample([*writable], 3)}
        columns = ", ".join(f"{column} = ?" for column in cells)
        world.sql(f"UPDATE tasks SET {columns} WHERE guid = ?", *cells.values(), guid)
        expected[guid] = cells
    sync_refused(world)
    left = set()
    for guid in chance.sample(guids, 15):
        number = world.one("SELECT id FROM tasks WHERE guid = ?", guid)["id"]
        column = chance.choice([*REMOTE])
        there(world, number, **{column: chance.choice(REMOTE[column])})
    world.sync()
    theirs = {row["guid"]: row for row in world.sql("SELECT * FROM tasks")}
    for guid, cells in expected.items():
        for column in cells:
            found = theirs[guid][column]
            base = {"message": "m", "tags": '["a"]', "due_date": "2026-04-01 10:00:00.000000"}
            first = {"title": "base", "color": 0, "completed": 0, **base}[column]
            if (found or 0 if column == "color" else found) != first:
                cells[column] = found  # hiTask's is newer
                left.add(guid)
    decided = retry(world)
    assert len(decided) == len(guids)
    assert all(done for _, done, _ in decided) is (not left)
    world.sync()
    for guid, cells in expected.items():
        got = world.one(f"SELECT {', '.join(cells)} FROM tasks WHERE guid = ?", guid)
        empty = (None, "[]", "")
        assert {c: None if v in empty else v for c, v in got.items()} == {
            c: None if v in empty else v for c, v in cells.items()
        }
    assert_quiet(world)


def convert(world: World, number: int, category: int) -> None:
    """The item becomes one of another kind on hiTask."""
    item = world.service.model.store.live[number]
    item.values["category"] = category
    world.service.model._touch(item)


def edit_project(world: World) -> int:
    """A project with an edit that waits, of what every kind has and of what only projects have."""
    world.sql("INSERT INTO projects (guid, title) VALUES (?, 'base')", GUID)
    world.sync()
    world.sync()
    number = int(world.one("SELECT id FROM projects WHERE guid = ?", GUID)["id"])
    world.sql("UPDATE projects SET title = 'ours', short_name = 'OUR' WHERE guid = ?", GUID)
    convert(world, number, 1)
    return number


def test_an_edit_of_what_the_new_kind_lacks_can_be_discarded(world: World) -> None:
    edit_project(world)
    world.sync(pull_only=True)
    (change,) = world.sql("SELECT seq, state FROM change_log WHERE op = 'update'")
    assert change["state"] == "pending"
    assert discard(world, change["seq"])[0][1]
    world.sync()
    assert world.one("SELECT title FROM tasks WHERE guid = ?", GUID)["title"] == "base"
    assert world.writes()[-1].startswith("POST")


def test_an_edit_of_what_the_new_kind_lacks_can_be_tried_again(world: World) -> None:
    edit_project(world)
    sync_refused(world)
    (change,) = world.sql("SELECT seq, state FROM change_log WHERE op = 'update'")
    assert change["state"] == "rejected"
    done, text = retry(world, change["seq"])[0][1:]
    assert not done
    assert "short_name" in text
    world.sync()
    assert world.one("SELECT title FROM tasks WHERE guid = ?", GUID)["title"] == "ours"


@pytest.mark.parametrize("taken", [0, 1])
def test_a_row_moved_to_the_table_that_its_item_came_to_can_be_taken_back(
    world: World, taken: int
) -> None:
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'base')", GUID)
    world.sync()
    world.sync()
    number = int(world.one("SELECT id FROM tasks WHERE guid = ?", GUID)["id"])
    with world.client() as client:
        client.execute("BEGIN")
        client.execute("INSERT INTO notes (guid, title) VALUES (?, 'ours')", (GUID,))
        client.execute("DELETE FROM tasks WHERE guid = ?", (GUID,))
        client.execute("COMMIT")
    convert(world, number, 4)
    world.sync(pull_only=True)
    both = world.sql("SELECT seq, op FROM change_log WHERE finished_at IS NULL ORDER BY seq")
    assert [change["op"] for change in both] == ["insert", "delete"]
    assert discard(world, both[taken]["seq"])[0][1]
    assert world.sql("SELECT 1 FROM change_log WHERE finished_at IS NULL") == []
    world.service.reset_log()
    world.sync()
    assert world.service.model.item(number).title == "base"
    assert world.one("SELECT title FROM notes WHERE guid = ?", GUID)["title"] == "base"


@pytest.mark.parametrize("refused", [True, False])
def test_a_row_that_only_the_dropped_edit_kept_after_its_item_was_lost_leaves(
    world: World, task: int, refused: bool
) -> None:
    """The item is gone from hiTask; the edit was to create it anew."""
    world.change_rules(policy=Policy("local"))
    seq = update(world, title="ours")
    model = world.service.model
    model.delete(task, user=model.users[0])
    refuse(world)
    world.sync(pull_only=not refused)
    world.service.faults.clear()
    assert row(world, "id", "title") == [{"id": None, "title": "ours"}]
    assert state(world, seq)[0] == ("rejected" if refused else "pending")
    text = "discarded: the row is kept in removed_rows"
    assert discard(world, seq) == [(seq, True, text)]
    assert (row(world), state(world, seq)[0]) == ([], "discarded")
    kept = world.sql("SELECT last_values FROM removed_rows WHERE row_guid = ?", GUID)
    assert any("ours" in one["last_values"] for one in kept)
    assert_quiet(world)
