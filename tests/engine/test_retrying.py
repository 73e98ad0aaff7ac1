"""Refused changes that a person has tried again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.decide import (
    GUID,
    ODD,
    assert_quiet,
    delete,
    discard,
    insert,
    newest,
    retry,
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
@pytest.mark.usefixtures("task")
def test_a_row_put_in_again_and_refused_stays_so_beside_a_newer_title(world: World) -> None:
    """Seed 1649999: called settled, its title was nowhere but among what had been merged."""
    world.sql("REPLACE INTO tasks (guid, title) VALUES (?, 'again')", GUID)
    seq = newest(world)
    sync_refused(world)
    assert state(world, seq)[0] == "rejected"
    after = update(world, title="newer")
    world.sync()
    assert retry(world, seq) == [
        (seq, False, f"stays rejected: title is left: change {after} is newer")
    ]
    assert state(world, seq)[0] == "rejected"
    assert row(world) == [{"title": "newer"}]


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
