"""Comments written here: said on hiTask once, or refused with a reason and put back."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import text

from hisync.cycle import preview
from hisync.deciding.discarding import discard_changes
from hisync.deciding.retrying import retry_changes
from hisync.errors import StopError
from hisync.sandbox import Fault
from tests.engine.conftest import MakeWorld
from tests.engine.talk import (
    GUID,
    ITEM,
    ME,
    OTHER,
    agree,
    at_request,
    ends,
    here,
    histories,
    make_item,
    number_of,
    reason,
    say,
    there,
    they_say,
)
from tests.world import World

pytestmark = pytest.mark.slow

BOTH = True

COMMENTS = True


@pytest.fixture
def talk(new_world: MakeWorld) -> World:
    world = new_world(items=3)
    make_item(world)
    return world


def test_an_insert_is_said_once_and_needs_no_history(talk: World) -> None:
    say(talk, "Yes 🍞\nand more")
    assert talk.sync().requests == 2
    (unit,) = talk.service.model.comments(number_of(talk))
    row = talk.one("SELECT * FROM comments WHERE guid = ?", GUID)
    assert (row["id"], row["user_id"]) == (unit.id, talk.service.model.user(ME).id)
    assert row["message"] == unit.value == "Yes 🍞\nand more"
    assert row["time_create"].startswith("2026-03-02 09:00:0")
    assert ends(talk) == [("insert", "done")]
    talk.service.reset_log()
    assert (talk.sync().requests, talk.sync().requests) == (1, 1)
    agree(talk)


def test_several_at_once_need_no_history_either(talk: World) -> None:
    they_say(talk, "theirs")
    talk.sync()
    say(talk, "one")
    say(talk, "two", OTHER)
    talk.sql("UPDATE tasks SET color = 3 WHERE guid = ?", ITEM)
    talk.service.reset_log()
    talk.sync()
    talk.sync()
    assert histories(talk) == 0
    assert here(talk) == there(talk) == Counter(["theirs", "one", "two"])
    agree(talk)


@pytest.mark.parametrize("when", ["send_comment", "fetch_delta"])
def test_what_a_colleague_says_at_the_same_moment_is_seen(talk: World, when: str) -> None:
    """Between our read and our post, so that our comment is the newest one all the same."""
    say(talk, "ours")
    at_request(talk, when, lambda: they_say(talk, "theirs"))
    talk.sync()
    talk.sync()
    assert here(talk) == Counter(["ours", "theirs"])
    agree(talk)


def test_two_with_equal_texts_are_two(talk: World) -> None:
    say(talk, "done")
    say(talk, "done", OTHER)
    talk.sync()
    assert there(talk) == Counter({"done": 2})
    agree(talk)


def test_a_comment_on_a_new_item_follows_it(talk: World) -> None:
    talk.sql("INSERT INTO comments (guid, item_guid, message) VALUES (?, ?, 'hi')", GUID, OTHER)
    talk.sql("INSERT INTO tasks (guid, title) VALUES (?, 'new')", OTHER)
    talk.sync()
    number = talk.one("SELECT id FROM tasks WHERE guid = ?", OTHER)["id"]
    assert [unit.value for unit in talk.service.model.comments(number)] == ["hi"]


def test_a_comment_waits_for_its_item(talk: World) -> None:
    talk.sql("INSERT INTO tasks (guid, title) VALUES (?, '')", OTHER)
    talk.sql("INSERT INTO comments (guid, item_guid, message) VALUES (?, ?, 'hi')", GUID, OTHER)
    talk.sync()
    assert ends(talk) == [("insert", "blocked")]
    waiting = talk.one("SELECT error FROM change_log WHERE row_guid = ?", GUID)
    assert waiting["error"] == "its item is not on hiTask yet"
    talk.sql("UPDATE tasks SET title = 'now' WHERE guid = ?", OTHER)
    talk.sync()
    assert ends(talk) == [("insert", "done")]


def test_a_comment_on_an_item_that_is_being_archived_is_said_before(talk: World) -> None:
    say(talk, "done with it")
    talk.sql("UPDATE tasks SET archived = true WHERE guid = ?", ITEM)
    number = number_of(talk)
    talk.sync()
    assert talk.writes() == ["POST /item/comment", "POST /item/archive"]
    units = talk.service.model.history.comments(number)
    assert [unit.value for unit in units] == ["done with it"]
    assert ends(talk) == [("insert", "done")]
    kept = talk.one("SELECT id FROM removed_rows WHERE row_guid = ?", GUID)
    assert kept["id"] == units[0].id


@pytest.mark.parametrize(
    ("columns", "values", "why"),
    [
        ("item_guid, message", (ITEM, ""), "message is empty"),
        ("item_guid", (ITEM,), "message is empty"),
        ("item_guid, message", (ITEM, "x" * 10_001), "message has 10001 characters"),
        ("message", ("hi",), "item_guid is empty"),
        ("item_guid, message", (OTHER, "hi"), "is no item of this account"),
        ("item_guid, message, id", (ITEM, "hi", 5), "id is given by hiTask"),
        ("item_guid, message", (ITEM, b"\xff"), "message = b'\\xff' can't be read"),
    ],
)
def test_what_cannot_be_said_is_refused_without_a_request(
    talk: World, columns: str, values: tuple[Any, ...], why: str
) -> None:
    marks = ", ".join("?" for _ in values)
    talk.sql(f"INSERT INTO comments (guid, {columns}) VALUES (?, {marks})", GUID, *values)
    say(talk, "fine", OTHER)
    talk.sync()
    assert why in reason(talk)
    assert there(talk) == Counter(["fine"])
    assert talk.one("SELECT id FROM comments WHERE guid = ?", GUID) == {"id": None}
    assert talk.sync().requests == 1


def is_said_once_put_right(talk: World) -> None:
    talk.sync()
    talk.sql("UPDATE comments SET message = 'better' WHERE guid = ?", GUID)
    talk.sync()
    assert there(talk) == Counter(["better"])
    assert ends(talk) == [("insert", "rejected"), ("update", "done")]
    agree(talk)


def test_a_refused_one_is_said_once_it_is_put_right(talk: World) -> None:
    say(talk, " ")
    is_said_once_put_right(talk)


@pytest.mark.sqlite_only
@pytest.mark.parametrize("number", [5, "abc", 7.5])
def test_a_made_up_number_is_taken_away_whatever_it_is(talk: World, number: Any) -> None:
    """Nobody can write over it, so it would stand in the way for ever."""
    row = "INSERT INTO comments (guid, id, item_guid, message) VALUES (?, ?, ?, 'hi')"
    talk.sql(row, GUID, number, ITEM)
    is_said_once_put_right(talk)


def test_a_refused_one_that_is_deleted_is_nobodys_loss(talk: World) -> None:
    say(talk, " ")
    talk.sync()
    talk.sql("DELETE FROM comments WHERE guid = ?", GUID)
    assert talk.sync().requests == 1
    assert ends(talk) == [("insert", "rejected"), ("delete", "merged")]


def test_lacking_permission_is_known_without_asking(talk: World) -> None:
    with talk.engine.mirror.writing() as connection:
        connection.execute(
            text("UPDATE tasks SET permission = 10 WHERE guid = :guid"), {"guid": ITEM}
        )
    say(talk, "hi")
    assert talk.sync().requests == 1
    assert reason(talk) == "commenting needs permission 20 on the item, this account has 10"


def test_hitasks_refusal_parks_the_comment_alone(talk: World) -> None:
    say(talk, "first")
    say(talk, "second", OTHER)
    talk.service.faults.add(
        Fault("status", "POST", "/item/comment", status=403, code=3, message="You may not")
    )
    talk.sync()
    assert "You may not" in reason(talk)
    assert there(talk) == Counter(["second"])
    assert here(talk) == Counter(["first", "second"])


def test_an_unsent_one_can_be_changed_and_taken_back(talk: World) -> None:
    say(talk, "draft")
    talk.sql("UPDATE comments SET message = 'final' WHERE guid = ?", GUID)
    say(talk, "never mind", OTHER)
    talk.sql("DELETE FROM comments WHERE guid = ?", OTHER)
    talk.sync()
    assert there(talk) == Counter(["final"])
    assert ends(talk) == [("insert", "merged"), ("update", "done")]
    assert ends(talk, OTHER) == [("insert", "merged"), ("delete", "merged")]
    agree(talk)


def said(world: World) -> World:
    say(world, "said")
    world.sync()
    world.sync()
    world.service.reset_log()
    return world


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("message = 'other'", "hiTask can't change a comment's text: delete it and write a new"),
        ("message = NULL", "hiTask can't change a comment's text"),
        ("user_id = 3", "user_id of a comment is read-only"),
        ("time_create = '2020-01-01'", "time_create of a comment is read-only"),
        ("time_create = 'soon'", "time_create of a comment is read-only"),
    ],
)
def test_what_is_said_cannot_be_changed(talk: World, change: str, why: str) -> None:
    said(talk)
    before = talk.one("SELECT * FROM comments WHERE guid = ?", GUID)
    talk.sql(f"UPDATE comments SET {change} WHERE guid = ?", GUID)
    talk.sync()
    assert why in reason(talk)
    assert talk.one("SELECT * FROM comments WHERE guid = ?", GUID) == before
    assert talk.writes() == []
    agree(talk)


@pytest.mark.parametrize("lost", ["", "drop_before", "drop_after"])
def test_who_and_when_of_a_new_comment_are_named_where_hitask_sets_them_otherwise(
    talk: World, lost: str
) -> None:
    if lost:
        talk.service.faults.add(f"POST /item/comment:{lost}:1")
    columns = "guid, item_guid, message, user_id, time_create"
    me = talk.service.model.user(ME).id
    for guid, user, at in ((GUID, 3, "2020-01-01"), (OTHER, me, None)):
        values = (guid, ITEM, f"as {user}", user, at)
        talk.sql(f"INSERT INTO comments ({columns}) VALUES (?, ?, ?, ?, ?)", *values)
    for _ in range(4):
        talk.sync()
    query = "SELECT state, error FROM change_log WHERE row_guid = ?"
    assert talk.one(query, GUID) == {
        "state": "done",
        "error": "user_id is read-only: only hiTask sets it; "
        "time_create is read-only: only hiTask sets it",
    }
    assert talk.one(query, OTHER) == {"state": "done", "error": None}
    agree(talk)


@pytest.mark.sqlite_only
def test_a_moment_of_a_new_comment_that_is_none_is_named(talk: World) -> None:
    say(talk, "hi")
    talk.sql("UPDATE comments SET time_create = 'soon' WHERE guid = ?", GUID)
    talk.sync()
    talk.sync()
    query = "SELECT error FROM change_log WHERE row_guid = ? AND state = 'done'"
    assert talk.one(query, GUID) == {"error": "time_create is read-only: only hiTask sets it"}
    agree(talk)


@pytest.mark.parametrize(("text", "state"), [("said", "merged"), ("other", "rejected")])
def test_a_replace_is_what_it_does_to_the_row(talk: World, text: str, state: str) -> None:
    said(talk)
    before = talk.one("SELECT * FROM comments WHERE guid = ?", GUID)
    talk.sql(
        "INSERT OR REPLACE INTO comments (guid, item_guid, message) VALUES (?, ?, ?)",
        *(GUID, ITEM, text),
    )
    talk.sync()
    assert ends(talk)[1:] == [("delete", state), ("insert", state)]
    assert talk.one("SELECT * FROM comments WHERE guid = ?", GUID) == before
    assert talk.writes() == []
    agree(talk)


def test_to_try_a_refused_replace_again_leaves_what_is_said(talk: World) -> None:
    """The row that stands again has a number that hiTask gave: nobody made it up."""
    said(talk)
    before = talk.one("SELECT * FROM comments WHERE guid = ?", GUID)
    talk.sql("DELETE FROM comments WHERE guid = ?", GUID)
    say(talk, "other")
    talk.sync()
    refused = talk.one("SELECT seq FROM change_log WHERE state = 'rejected' AND op = 'insert'")
    (decided,) = retry_changes(talk.engine.mirror, [refused["seq"]], datetime(2026, 3, 3))
    assert (decided.done, "insert a new one" in decided.text) == (False, True)
    talk.sync()
    assert talk.one("SELECT * FROM comments WHERE guid = ?", GUID) == before
    assert talk.writes() == []
    agree(talk)


def test_a_change_taken_back_is_nothing(talk: World) -> None:
    said(talk)
    talk.sql("UPDATE comments SET message = 'other' WHERE guid = ?", GUID)
    talk.sql("UPDATE comments SET message = 'said' WHERE guid = ?", GUID)
    talk.sync()
    assert ends(talk)[1:] == [("update", "merged"), ("update", "merged")]


def test_a_delete_deletes(talk: World) -> None:
    number = they_say(talk, "theirs", ME)
    talk.sync()
    say(talk, "ours")
    talk.sync()
    talk.sql("DELETE FROM comments WHERE item_guid = ?", ITEM)
    talk.sync()
    assert there(talk) == Counter()
    kept = talk.sql("SELECT id, last_values, reason FROM removed_rows ORDER BY id")
    assert [row["reason"] for row in kept] == ["deleted here", "deleted here"]
    assert kept[0]["id"] == number
    assert '"message":"theirs"' in kept[0]["last_values"]
    talk.sync()
    agree(talk)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", "DELETE", "/item/comment", status=404, code=1),
        Fault("html", "DELETE", "/item/comment", status=404),
    ],
    ids=["hiTask", "a proxy"],
)
def test_one_that_is_gone_there_is_done_and_one_that_is_not_comes_back(
    talk: World, fault: Fault
) -> None:
    said(talk)
    before = talk.one("SELECT * FROM comments WHERE guid = ?", GUID)
    talk.sql("DELETE FROM comments WHERE guid = ?", GUID)
    talk.service.faults.add(fault)
    talk.sync()
    assert ends(talk)[-1] == ("delete", "done")
    talk.sync()
    assert talk.one("SELECT * FROM comments WHERE guid = ?", GUID) == before  # it was not gone
    talk.service.model.delete_comment(before["id"], user=talk.service.model.user(ME))
    talk.sql("DELETE FROM comments WHERE guid = ?", GUID)
    talk.sync()
    assert ends(talk)[-1] == ("delete", "done")
    talk.sync()
    agree(talk)


def test_a_refused_deletion_brings_the_row_back(talk: World) -> None:
    they_say(talk, "theirs")
    talk.sync()
    before = talk.one("SELECT * FROM comments WHERE item_guid = ?", ITEM)
    talk.sql("DELETE FROM comments WHERE item_guid = ?", ITEM)
    talk.service.faults.add(
        Fault("status", "DELETE", "/item/comment", status=403, code=3, message="Not yours")
    )
    talk.sync()
    assert "Not yours" in reason(talk, before["guid"])
    assert talk.one("SELECT * FROM comments WHERE item_guid = ?", ITEM) == before
    assert talk.sql("SELECT 1 FROM removed_rows") == []
    agree(talk)


def test_deletions_beyond_the_limit_are_held(new_world: MakeWorld) -> None:
    world = new_world(items=3, rules={"max_push_deletes": 2})
    make_item(world)
    for number in range(4):
        they_say(world, f"text {number}", ME)
    world.sync()
    world.sql("DELETE FROM comments WHERE item_guid = ?", ITEM)
    assert world.sync().waiting == {"held": 2}
    assert len(there(world)) == 2
    world.engine.allow_deletes = 2
    world.sync()
    assert there(world) == Counter()
    world.sync()
    agree(world)


def test_deleting_the_item_too_asks_for_the_item_alone(talk: World) -> None:
    said(talk)
    number = number_of(talk)
    talk.sql("DELETE FROM comments WHERE item_guid = ?", ITEM)
    talk.sql("DELETE FROM tasks WHERE guid = ?", ITEM)
    talk.sync()
    assert talk.writes() == [f"DELETE /item/{number}"]
    assert ends(talk)[-1] == ("delete", "merged")
    assert talk.one("SELECT count(*) AS n FROM removed_rows WHERE row_guid = ?", GUID) == {"n": 1}


def test_one_deleted_while_it_is_being_said_is_deleted_there_too(talk: World) -> None:
    say(talk, "oops")
    delete = "DELETE FROM comments WHERE guid = ?"
    at_request(talk, "send_comment", lambda: talk.sql(delete, GUID))
    talk.sync()
    assert talk.writes() == ["POST /item/comment", "DELETE /item/comment"]
    assert ends(talk) == [("insert", "done"), ("delete", "done")]
    talk.sync()
    assert here(talk) == Counter()
    agree(talk)


def test_one_deleted_while_it_is_being_said_and_hitask_is_in_trouble(talk: World) -> None:
    say(talk, "oops")
    delete = "DELETE FROM comments WHERE guid = ?"
    at_request(talk, "send_comment", lambda: talk.sql(delete, GUID))
    talk.service.faults.add(Fault("status", "DELETE", "/item/comment", status=429, code=67))
    talk.sync()
    assert there(talk) == Counter(["oops"])
    talk.sync()
    assert there(talk) == Counter()
    talk.sync()
    agree(talk)


@pytest.mark.parametrize(("text", "state"), [("same", "merged"), ("other", "rejected")])
def test_one_replaced_while_it_is_being_said_is_not_said_again(
    talk: World, text: str, state: str
) -> None:
    say(talk, "same")
    replace = "INSERT OR REPLACE INTO comments (guid, item_guid, message) VALUES (?, ?, ?)"
    at_request(talk, "send_comment", lambda: talk.sql(replace, GUID, ITEM, text))
    talk.sync()
    talk.sync()
    assert there(talk) == here(talk) == Counter(["same"])
    assert ends(talk)[1:] == [("delete", state), ("insert", state)]
    agree(talk)


def test_one_put_in_again_while_it_is_being_deleted_is_said_anew(talk: World) -> None:
    said(talk)
    at_request(talk, "send_comment_delete", lambda: say(talk, "said"))
    talk.sql("DELETE FROM comments WHERE guid = ?", GUID)
    talk.sync()
    talk.sync()
    assert there(talk) == here(talk) == Counter(["said"])
    talk.sync()
    agree(talk)


def test_one_put_in_again_whose_deletion_is_refused_is_as_before(talk: World) -> None:
    said(talk)
    before = talk.one("SELECT * FROM comments WHERE guid = ?", GUID)
    at_request(talk, "send_comment_delete", lambda: say(talk, "said otherwise"))
    talk.sql("DELETE FROM comments WHERE guid = ?", GUID)
    talk.service.faults.add(Fault("status", "DELETE", "/item/comment", status=403, code=3))
    talk.sync()
    assert talk.one("SELECT * FROM comments WHERE guid = ?", GUID) == before
    assert there(talk) == Counter(["said"])
    agree(talk)


def test_where_texts_are_trimmed_the_row_shows_what_hitask_has(new_world: MakeWorld) -> None:
    world = new_world(items=3, traits=["trims_comments"])
    make_item(world)
    say(world, "  spaced \n")
    world.sync()
    world.sync()
    assert here(world) == there(world) == Counter(["spaced"])
    agree(world)


def test_an_answer_without_a_number_is_looked_up(talk: World) -> None:
    body = '{"response_status": 0}'
    say(talk, "hi")
    at_request(talk, "send_comment", lambda: they_say(talk, "hi", ME))
    talk.service.faults.add(Fault("status", "POST", "/item/comment", status=200, body=body))
    talk.sync()
    talk.sync()
    assert there(talk) == here(talk) == Counter(["hi"])
    agree(talk)


def test_without_comments_an_insert_is_refused(new_world: MakeWorld) -> None:
    world = new_world(items=3, rules={"comments": False})
    make_item(world)
    say(world, "hi")
    assert world.sync().requests == 1
    assert reason(world) == "sync.comments is off"


def test_a_refused_login_loses_nothing(talk: World) -> None:
    say(talk, "hi")
    talk.service.faults.add(
        Fault("status", "POST", "/item/comment", status=401, code=8, message="key")
    )
    with pytest.raises(StopError):
        talk.sync()
    assert ends(talk) == [("insert", "pending")]
    talk.engine.api.reset()
    talk.sync()
    assert there(talk) == Counter(["hi"])
    agree(talk)


def test_a_limit_lets_everything_wait(talk: World) -> None:
    say(talk, "one")
    say(talk, "two", OTHER)
    talk.service.faults.add(Fault("status", "POST", "/item/comment", status=429, code=67))
    summary = talk.sync()
    assert summary.trouble is not None
    assert talk.writes() == ["POST /item/comment"]
    assert summary.waiting == {"pending": 2}
    talk.sync()
    assert there(talk) == Counter(["one", "two"])
    talk.sync()
    agree(talk)


def test_the_preview_names_the_calls_and_makes_none(talk: World) -> None:
    said(talk)
    before = talk.sql("SELECT * FROM change_log")
    talk.sql("DELETE FROM comments WHERE guid = ?", GUID)
    say(talk, "hi", OTHER)
    talk.sql("INSERT INTO tasks (guid, title) VALUES (?, 'new')", GUID)
    talk.sql("INSERT INTO comments (item_guid, message) VALUES (?, 'new too')", GUID)
    talk.sql("INSERT INTO comments (item_guid, message) VALUES (?, '')", ITEM)
    planned = preview(talk.engine)
    assert [(step.op, step.comment.message) for step in planned.comments] == [
        ("delete", "said"),
        ("create", "hi"),
        ("create", "new too"),
    ]
    assert list(planned.refused.values()) == ["message is empty: say something"]
    assert talk.writes() == []
    assert len(talk.sql("SELECT * FROM change_log WHERE state = 'pending'")) == 5
    assert len(before) + 5 == len(talk.sql("SELECT * FROM change_log"))


def test_the_preview_tells_how_many_histories_are_due(talk: World) -> None:
    they_say(talk, "theirs")
    assert preview(talk.engine).histories == 1
    talk.sync()
    assert preview(talk.engine).histories == 0


def test_a_comment_on_a_row_moved_to_another_table_waits_for_its_new_item(
    new_world: MakeWorld,
) -> None:
    world = new_world(items=3, rules={"max_push_deletes": 0})
    make_item(world)
    before = number_of(world)
    with world.client() as client:
        client.execute("BEGIN")
        client.execute("INSERT INTO notes (guid, title) VALUES (?, 'moved')", (ITEM,))
        client.execute("DELETE FROM tasks WHERE guid = ?", (ITEM,))
        client.execute("COMMIT")
    say(world, "on the note")
    world.sync()
    assert world.service.model.comments(before) == []
    world.engine.allow_deletes = 1
    world.sync()
    world.sync()
    number = int(world.one("SELECT id FROM notes WHERE guid = ?", ITEM)["id"])
    assert number != before
    assert [unit.value for unit in world.service.model.comments(number)] == ["on the note"]


def test_a_refused_entry_that_is_discarded_leaves_the_comment_of_the_same_key(
    world: World,
) -> None:
    make_item(world)
    entry = "INSERT INTO time_entries (guid, item_guid, minutes) VALUES (?, ?, -5)"
    world.sql(entry, GUID, ITEM)
    world.sync()
    say(world, "hello")
    refused = world.one("SELECT seq FROM change_log WHERE state = 'rejected'")["seq"]
    discard_changes(world.engine.mirror, [refused], datetime(2026, 3, 3))
    world.sync()
    assert there(world)["hello"] == 1
    agree(world)


def test_what_is_allowed_is_for_items_and_comments_together(world: World) -> None:
    make_item(world)
    they = they_say(world, "there", ME)
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'doomed')", OTHER)
    world.sync()
    world.sync()
    world.change_rules(max_push_deletes=0)
    world.sql("DELETE FROM comments WHERE id = ?", they)
    world.sql("DELETE FROM tasks WHERE guid = ?", OTHER)
    assert world.sync().waiting == {"held": 2}
    world.engine.allow_deletes = 1
    world.service.reset_log()
    assert world.sync().waiting == {"held": 1}
    assert len(world.writes()) == 1
    world.crash()
    world.engine.allow_deletes = 1
    assert world.sync().waiting == {}
