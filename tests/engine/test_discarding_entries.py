"""Changes of comments and time entries that a person takes back while they wait."""

from __future__ import annotations

from typing import Any

import pytest

from hisync.deciding.decisions import DecisionError
from tests.engine import minutes, talk
from tests.engine.conftest import MakeWorld
from tests.engine.decide import discard, newest, state
from tests.engine.minutes import ENTRY, LOG, TASK, adds_up, sync_in_the_dark
from tests.engine.talk import GUID, agree, at_request, ends, here, make_item, say, there, they_say
from tests.world import World

pytestmark = pytest.mark.slow

BOTH = True
COMMENTS = True


@pytest.fixture
def number(world: World) -> int:
    """A task that both sides have, with 30 minutes of a colleague's; its number."""
    number = minutes.task(world, spent=30)
    world.sync()
    world.service.reset_log()
    return number


@pytest.fixture
def said(world: World) -> None:
    """A comment of ours that both sides have, on an item of ours."""
    make_item(world)
    say(world, "said")
    world.sync()
    world.sync()
    world.service.reset_log()


def changed(world: World, statement: str, *values: Any) -> int:
    world.sql(statement, *values)
    return newest(world)


def comment(world: World) -> list[dict[str, Any]]:
    return world.sql("SELECT * FROM comments WHERE guid = ?", GUID)


def entry(world: World) -> list[dict[str, Any]]:
    return world.sql("SELECT * FROM time_entries WHERE guid = ?", ENTRY)


def total(world: World) -> int:
    row = world.one("SELECT time_spent_minutes FROM tasks WHERE guid = ?", TASK)
    return int(row["time_spent_minutes"] or 0)


def removed(world: World) -> list[tuple[str, Any, str]]:
    rows = world.sql("SELECT table_name, id, last_values, reason FROM removed_rows")
    assert all(row["reason"] == "discarded here" for row in rows)
    return [(row["table_name"], row["id"], row["last_values"]) for row in rows]


def sends_nothing(world: World) -> None:
    """Nothing of it goes out, neither now nor later, and nothing waits."""
    for _ in range(2):
        world.sync()
    assert world.writes() == []
    assert world.sql("SELECT 1 FROM sync_base WHERE dirty IS NOT NULL") == []
    assert world.sql("SELECT 1 FROM sync_intents") == []
    assert world.sql("SELECT 1 FROM change_log WHERE finished_at IS NULL") == []
    adds_up(world)


# Comments


def test_a_waiting_comment_is_taken_out_and_kept(world: World, said: None) -> None:
    world.sql("DELETE FROM change_log")
    say(world, "second thoughts", talk.OTHER)
    seq = newest(world)
    text = "discarded: the row is kept in removed_rows"
    assert discard(world, seq) == [(seq, True, text)]
    assert here(world) == {"said": 1}
    ((table, number, values),) = removed(world)
    assert (table, number, "second thoughts" in values) == ("comments", None, True)
    assert state(world, seq) == ("discarded", None)
    sends_nothing(world)
    agree(world)


def test_a_waiting_comment_goes_with_its_edit_and_what_it_said_last_is_kept(
    world: World, said: None
) -> None:
    say(world, "first", talk.OTHER)
    seq = newest(world)
    changed(world, "UPDATE comments SET message = 'then' WHERE guid = ?", talk.OTHER)
    ((_, _, text),) = discard(world, seq)
    assert text == f"discarded with {seq + 1} of the same row: the row is kept in removed_rows"
    assert ends(world, talk.OTHER) == [("insert", "discarded"), ("update", "discarded")]
    assert '"then"' in removed(world)[0][2]
    sends_nothing(world)


def test_an_edit_of_a_waiting_comment_is_taken_back_alone(world: World, said: None) -> None:
    say(world, "first", talk.OTHER)
    seq = changed(world, "UPDATE comments SET message = 'then' WHERE guid = ?", talk.OTHER)
    assert discard(world, seq) == [(seq, True, "discarded: message is what it was before")]
    world.sync()
    world.sync()
    assert there(world) == {"said": 1, "first": 1}
    agree(world)


def test_a_waiting_comment_deletion_puts_it_back(world: World, said: None) -> None:
    before = comment(world)
    seq = changed(world, "DELETE FROM comments WHERE guid = ?", GUID)
    assert discard(world, seq) == [(seq, True, "discarded: the row is back")]
    assert (comment(world), state(world, seq)) == (before, ("discarded", None))
    sends_nothing(world)
    assert comment(world) == before
    agree(world)


def test_a_comment_that_hitask_lost_while_its_deletion_waited_does_not_stay(
    world: World, said: None
) -> None:
    world.change_rules(max_push_deletes=0)
    number = comment(world)[0]["id"]
    seq = changed(world, "DELETE FROM comments WHERE guid = ?", GUID)
    talk.they_delete(world, number)
    assert world.sync().waiting == {"held": 1}
    they_say(world, "theirs")
    world.sync()
    assert discard(world, seq) == [(seq, True, "discarded: the row is back")]
    for _ in range(3):
        world.sync()
    assert world.writes() == []
    agree(world)


def test_a_refused_comment_that_is_discarded_is_kept(world: World, said: None) -> None:
    say(world, " ", talk.OTHER)
    world.sync()
    assert discard(world) == [(newest(world), True, "discarded")]
    assert [table for table, _, _ in removed(world)] == ["comments"]
    agree(world)


def test_a_mended_comment_whose_refusal_is_discarded_does_not_stay_unsent(
    world: World, said: None
) -> None:
    say(world, " ", talk.OTHER)
    world.sync()
    seq = changed(world, "UPDATE comments SET message = 'mended' WHERE guid = ?", talk.OTHER)
    discard(world)
    discard(world, seq)
    assert here(world) == {"said": 1}
    sends_nothing(world)


@pytest.mark.sqlite_only
@pytest.mark.parametrize("half", [0, 1])
def test_both_halves_of_a_replaced_comment_are_taken_back(
    world: World, said: None, half: int
) -> None:
    before = comment(world)
    row = "(guid, item_guid, message) VALUES (?, ?, 'other')"
    seq = changed(world, f"INSERT OR REPLACE INTO comments {row}", GUID, talk.ITEM)
    ((_, done, _),) = discard(world, seq - half)
    assert (done, comment(world)) == (True, before)
    sends_nothing(world)


def test_a_deletion_of_a_comment_on_its_way_is_taken_back(world: World, said: None) -> None:
    """Its number is nowhere but in what is to be deleted."""
    say(world, "on its way", talk.OTHER)

    def delete_and_stop() -> None:
        world.sql("DELETE FROM comments WHERE guid = ?", talk.OTHER)
        world.engine.stopping = lambda: True

    at_request(world, "send_comment", delete_and_stop)
    world.sync()
    world.crash()
    assert world.sql("SELECT op FROM sync_intents") == [{"op": "delete"}]
    seq = newest(world)
    assert discard(world, seq) == [(seq, True, "discarded: the row is back")]
    world.service.reset_log()
    sends_nothing(world)
    assert there(world) == {"said": 1, "on its way": 1}
    agree(world)


def test_a_comment_that_is_being_sent_is_left(world: World, said: None) -> None:
    say(world, "sent", talk.OTHER)
    seq = newest(world)

    def try_it() -> None:
        with pytest.raises(DecisionError, match="is sending: it is being sent"):
            discard(world, seq)

    at_request(world, "send_comment", try_it)
    world.sync()
    world.sync()
    assert there(world) == {"said": 1, "sent": 1}
    agree(world)


# Time entries


def test_a_waiting_entry_is_taken_out_with_its_minutes(world: World, number: int) -> None:
    seq = changed(world, LOG, ENTRY, TASK, 45)
    text = "discarded: the row is kept in removed_rows"
    assert discard(world, seq) == [(seq, True, text)]
    assert (entry(world), total(world), state(world, seq)[0]) == ([], 30, "discarded")
    ((table, _, values),) = removed(world)
    assert (table, "a note" in values) == ("time_entries", True)
    sends_nothing(world)
    assert minutes.spent(world, number) == 30


def test_a_change_of_an_entry_is_taken_back(world: World, number: int) -> None:
    world.sql(LOG, ENTRY, TASK, 45)
    world.sync()
    world.service.reset_log()
    before = entry(world)
    seq = changed(world, "UPDATE time_entries SET minutes = 60, note = NULL WHERE guid = ?", ENTRY)
    ((_, done, text),) = discard(world, seq)
    assert (done, "minutes is what it was before" in text) == (True, True)
    assert (entry(world), total(world)) == (before, 75)
    sends_nothing(world)


def test_a_deletion_of_an_entry_is_taken_back(world: World, number: int) -> None:
    world.sql(LOG, ENTRY, TASK, 45)
    world.sync()
    world.service.reset_log()
    before = entry(world)
    seq = changed(world, "DELETE FROM time_entries WHERE guid = ?", ENTRY)
    assert total(world) == 30
    assert discard(world, seq) == [(seq, True, "discarded: the row is back")]
    assert (entry(world), total(world)) == (before, 75)
    sends_nothing(world)
    assert minutes.spent(world, number) == 75


def test_an_entry_goes_with_its_edits_and_what_else_waits_is_sent(
    world: World, number: int
) -> None:
    world.sql(LOG, minutes.OTHER, TASK, 5)
    seq = changed(world, LOG, ENTRY, TASK, 45)
    world.sql("UPDATE time_entries SET minutes = 50 WHERE guid = ?", ENTRY)
    assert discard(world, seq)[0][1]
    assert total(world) == 35
    world.sync()
    ended = [("insert", "discarded"), ("insert", "done"), ("update", "discarded")]
    assert sorted(minutes.states(world)) == ended
    assert minutes.spent(world, number) == 35
    adds_up(world)


def test_an_edit_under_a_newer_one_is_only_taken_back_with_it(world: World, number: int) -> None:
    world.sql(LOG, ENTRY, TASK, 45)
    world.sync()
    world.service.reset_log()
    before = entry(world)
    edit = "UPDATE time_entries SET minutes = ? WHERE guid = ?"
    first, second = changed(world, edit, 50, ENTRY), changed(world, edit, 60, ENTRY)
    note = changed(world, "UPDATE time_entries SET note = 'other' WHERE guid = ?", ENTRY)
    ((_, done, text),) = discard(world, first)
    assert (done, f"`hisync changes discard {first} {second}`" in text) == (False, True)
    assert (entry(world)[0]["minutes"], total(world), state(world, first)[0]) == (60, 90, "pending")
    assert [done for _, done, _ in discard(world, second, first)] == [True, True]
    assert entry(world) == [{**before[0], "note": "other"}]
    assert discard(world, note)[0][1]
    assert entry(world) == before
    sends_nothing(world)


def test_the_newer_of_two_edits_is_taken_back_to_the_older(world: World, number: int) -> None:
    world.sql(LOG, ENTRY, TASK, 45)
    edit = "UPDATE time_entries SET minutes = ? WHERE guid = ?"
    world.sql(edit, 50, ENTRY)
    seq = changed(world, edit, -500, ENTRY)
    assert discard(world, seq)[0][1]
    assert total(world) == 80
    world.sync()
    assert minutes.spent(world, number) == 80
    adds_up(world)


def test_an_entry_of_an_item_that_waits_is_taken_back(world: World) -> None:
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'task')", TASK)
    seq = changed(world, LOG, ENTRY, TASK, 45)
    assert discard(world, seq)[0][1]
    world.sync()
    world.sync()
    assert world.service.model.item(int(world.one("SELECT max(id) AS i FROM tasks")["i"])).get(
        "time_spent"
    ) in {None, 0}
    adds_up(world)


@pytest.mark.sqlite_only
def test_an_entry_put_in_on_another_item_comes_back_to_its_own(world: World, number: int) -> None:
    world.sql(LOG, ENTRY, TASK, 45)
    world.sync()
    world.service.reset_log()
    before = entry(world)
    elsewhere = world.sql("SELECT guid FROM tasks WHERE guid <> ?", TASK)[0]["guid"]
    row = "(guid, item_guid, minutes) VALUES (?, ?, 7)"
    seq = changed(world, f"INSERT OR REPLACE INTO time_entries {row}", ENTRY, elsewhere)
    ((_, done, text),) = discard(world, seq)
    assert (done, text) == (True, f"discarded with {seq - 1} of the same row: the row is back")
    assert (entry(world), total(world)) == (before, 75)
    sends_nothing(world)


def test_what_was_put_on_top_of_minutes_on_their_way_is_taken_back(
    world: World, number: int
) -> None:
    world.sql(LOG, ENTRY, TASK, 45)
    sync_in_the_dark(world, "send_update", "PUT /item/*:drop_after:1")
    with pytest.raises(DecisionError, match="being looked up"):
        discard(world, newest(world))
    seq = changed(world, "UPDATE time_entries SET minutes = 60 WHERE guid = ?", ENTRY)
    assert discard(world, seq)[0][1]
    assert total(world) == 75
    for _ in range(3):
        world.sync()
    assert minutes.spent(world, number) == 75
    adds_up(world)


@pytest.mark.parametrize("pulled", [False, True])
def test_switched_off_an_entry_is_taken_back_once(new_world: MakeWorld, pulled: bool) -> None:
    world = new_world(items=5, rules={"time_entries": False})
    world.sync()
    minutes.task(world)
    world.sync()
    seq = changed(world, LOG, ENTRY, TASK, 45)
    if pulled:
        world.sync(pull_only=True)
    assert discard(world, seq)[0][1]
    world.service.reset_log()
    assert total(world) == 0
    for _ in range(2):
        world.sync()
    assert (entry(world), world.writes()) == ([], [])
