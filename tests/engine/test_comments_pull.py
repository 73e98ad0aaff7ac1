"""Comments of hiTask in the mirror: read when they change, kept, and taken out only on proof."""

from __future__ import annotations

from collections import Counter

import pytest
from sqlalchemy import text

from hisync.items import derived_guid
from hisync.sandbox import Fault
from tests.engine.conftest import MakeWorld
from tests.engine.talk import (
    GUID,
    ITEM,
    ME,
    agree,
    at_request,
    ends,
    here,
    histories,
    make_item,
    number_of,
    say,
    there,
    they_delete,
    they_say,
)
from tests.world import World

pytestmark = pytest.mark.slow

BOTH = True

COMMENTS = True

WEEK = 8 * 86400.0


@pytest.fixture
def talk(new_world: MakeWorld) -> World:
    world = new_world(items=3)
    make_item(world)
    return world


def test_what_colleagues_say_appears_with_its_author(talk: World) -> None:
    number = they_say(talk, "Rye?")
    talk.sync()
    row = talk.one("SELECT * FROM comments WHERE item_guid = ?", ITEM)
    author = talk.service.model.user("tariq@example.com")
    assert row["guid"] == derived_guid("comment", number)
    assert (row["id"], row["message"], row["user_id"]) == (number, "Rye?", author.id)
    assert row["time_create"].startswith("2026-03-02 09:00:0")
    assert talk.one("SELECT full_name FROM users WHERE id = ?", author.id) == {
        "full_name": author.name
    }
    agree(talk)


def test_an_author_whom_the_service_does_not_show_is_known_by_name(talk: World) -> None:
    they_say(talk, "Rye?")
    author = talk.service.model.user("tariq@example.com")
    with talk.engine.mirror.writing() as connection:
        connection.execute(text("DELETE FROM users WHERE id = :id"), {"id": author.id})
    talk.sync()
    assert talk.one("SELECT full_name FROM users WHERE id = ?", author.id) == {
        "full_name": author.name
    }


@pytest.mark.parametrize("trait", ["history_wrapped", "free_history", "delta=false", "nulls"])
def test_however_the_service_answers(new_world: MakeWorld, trait: str) -> None:
    world = new_world(items=3, traits=[trait])
    make_item(world)
    they_say(world, "one")
    they_say(world, "two", ME)
    world.sync()
    assert here(world) == Counter(["one", "two"])
    agree(world)


def test_the_first_mirror_reads_what_has_comments_and_no_more(new_world: MakeWorld) -> None:
    world = new_world(items=200)
    world.sync()
    with_comments = sum(
        1 for item in world.service.model.items() if item.get("last_comment_id") is not None
    )
    assert 0 < with_comments < 100
    assert histories(world) == with_comments
    units = [u for i in world.service.model.items() for u in world.service.model.comments(i.id)]
    rows = world.sql("SELECT id, message, user_id FROM comments")
    assert {(r["id"], r["message"], r["user_id"]) for r in rows} == {
        (u.id, u.value, u.user_id) for u in units
    }
    world.service.reset_log()
    assert (world.sync().requests, histories(world)) == (1, 0)


def test_the_newest_come_first_and_a_restart_goes_on(new_world: MakeWorld) -> None:
    world = new_world(items=60)
    left = [4]

    def spare(_cause: str) -> bool:
        left[0] -= 1
        return left[0] >= 0

    world.engine.spare = spare
    world.sync()
    seen = {r["seen_comment_id"] for r in world.sql("SELECT seen_comment_id FROM sync_comments")}
    last = sorted(
        (
            int(str(i.get("last_comment_id")))
            for i in world.service.model.items()
            if i.get("last_comment_id")
        ),
        reverse=True,
    )
    assert seen == set(last[: len(seen)])
    assert 2 <= len(seen) <= 4
    world.crash()
    world.service.reset_log()
    world.sync()
    assert histories(world) == len(last) - len(seen)
    agreed = world.sql("SELECT count(*) AS n FROM comments")[0]["n"]
    assert agreed == world.service.model.history.count_comments()


def test_edits_made_meanwhile_go_first(new_world: MakeWorld) -> None:
    world = new_world(items=60)
    world.sync(pull_only=True)
    for number in range(5):
        at = world.sql("SELECT id FROM tasks ORDER BY guid")[number]["id"]
        world.service.model.comment(
            at, user=world.service.model.user(world.service.model.item(at).user_id), message="x"
        )
    world.service.reset_log()
    at_request(world, "fetch_history", lambda: world.sql("UPDATE tasks SET starred = NOT starred"))
    world.sync()
    assert histories(world) == 1
    world.service.reset_log()
    world.sync()
    paths = [f"{e.method} {e.path}" for e in world.service.log]
    assert [p for p in paths if p.startswith("PUT")]
    assert paths.index("GET /item/history") > max(
        n for n, path in enumerate(paths) if path.startswith("PUT")
    )
    assert histories(world) == 4


@pytest.mark.parametrize("how", ["renamed", "named", "untraced"])
@pytest.mark.parametrize("free", ["free_history=false", "free_history=true"])
def test_a_comment_deleted_there_leaves_and_is_kept(
    new_world: MakeWorld, how: str, free: str
) -> None:
    world = new_world(items=3, traits=[f"deleted_comments={how}", free])
    make_item(world)
    first, last = they_say(world, "first"), they_say(world, "last")
    world.sync()
    they_delete(world, last)
    world.sync()
    assert here(world) == Counter(["first"])
    they_delete(world, first)
    world.sync()
    assert here(world) == Counter()
    kept = world.sql("SELECT row_guid, id, reason FROM removed_rows ORDER BY seq")
    assert kept == [
        {"row_guid": derived_guid("comment", n), "id": n, "reason": "gone from hiTask"}
        for n in (last, first)
    ]
    world.sync()
    agree(world)


def test_one_deleted_among_older_ones_is_found_by_the_weekly_look(new_world: MakeWorld) -> None:
    world = new_world(items=3, rules={"full_every": 1e9})
    make_item(world)
    first = they_say(world, "first")
    they_say(world, "last")
    world.sync()
    they_delete(world, first)
    world.sync()
    assert here(world) == Counter(["first", "last"])  # nothing tells of it
    world.time.sleep(WEEK)
    world.service.reset_log()
    for _ in range(8):
        before = histories(world)
        world.sync()
        assert histories(world) - before <= 1
    assert here(world) == Counter(["last"])
    agree(world)


def test_a_weekly_look_waits_for_spare_budget(new_world: MakeWorld) -> None:
    world = new_world(items=3, rules={"full_every": 1e9})
    make_item(world)
    they_say(world, "first")
    world.sync()
    world.time.sleep(WEEK)
    world.engine.spare = lambda _cause: False
    assert world.sync().requests == 1


def test_what_ten_units_do_not_show_is_not_missing(new_world: MakeWorld) -> None:
    world = new_world(items=3, traits=["free_history"])
    number = make_item(world)
    they_say(world, "old")
    world.sync()
    world.time.sleep(600)
    owner = world.service.model.user(ME)
    for color in (1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5):
        world.service.model.update(number, user=owner, color=color)
    they_say(world, "new")
    world.sync()
    world.sync()
    assert here(world) == Counter(["old", "new"])
    agree(world)


@pytest.mark.parametrize("again", [False, True], ids=["emptied", "put_in_again"])
def test_that_an_item_has_no_comments_is_not_for_people_to_say(
    new_world: MakeWorld, again: bool
) -> None:
    """What ten units do not show would be taken for gone, and never be shown again."""
    world = new_world(items=3, traits=["free_history"])
    number = make_item(world)
    they_say(world, "old")
    world.sync()
    owner = world.service.model.user(ME)
    for color in (1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5):
        world.service.model.update(number, user=owner, color=color)
    world.sync()
    world.service.model.comment(
        int(world.one("SELECT id FROM tasks WHERE guid != ? LIMIT 1", ITEM)["id"]),
        user=owner,
        message="elsewhere",  # for the cycle to look for what is due
    )
    world.change_rules(push=False)
    if again:
        world.sql("DELETE FROM tasks WHERE guid = ?", ITEM)
        world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'talk')", ITEM)
    else:
        world.sql("UPDATE tasks SET last_comment_id = NULL WHERE guid = ?", ITEM)
    world.sync()
    world.sync()
    assert here(world) == Counter(["old"])
    world.change_rules(push=True)
    world.sync()
    world.sync()
    assert here(world) == Counter(["old"])
    agree(world)


@pytest.mark.parametrize("trait", ["free_history=false", "free_history=true"])
@pytest.mark.parametrize("effect", ["empty_list", "missing_ids"])
def test_an_answer_that_lacks_some_once_removes_nothing(
    new_world: MakeWorld, effect: str, trait: str
) -> None:
    world = new_world(items=3, traits=[trait])
    make_item(world)
    numbers = [they_say(world, text) for text in ("a", "b", "c")]
    world.sync()
    they_say(world, "d")
    lacking = "=" + "+".join(map(str, numbers)) if effect == "missing_ids" else ""
    world.service.faults.add(f"GET /item/history:{effect}{lacking}:1")
    world.sync()
    world.sync()
    assert here(world) == Counter("abcd")
    assert world.sql("SELECT 1 FROM removed_rows") == []
    agree(world)


@pytest.mark.parametrize("effect", ["status=500", "html=200", "empty", "cut", "drop_after"])
def test_trouble_ends_the_round_quietly_and_the_next_one_goes_on(talk: World, effect: str) -> None:
    they_say(talk, "Rye?")
    talk.service.faults.add(f"GET /item/history:{effect}:1")
    summary = talk.sync()
    assert summary.trouble is None
    assert summary.delay is not None
    assert here(talk) == Counter()
    talk.time.sleep(120)
    assert talk.sync().delay is None
    assert here(talk) == Counter(["Rye?"])


def test_what_a_cycle_that_failed_has_pulled_is_read_by_the_next(talk: World) -> None:
    talk.sync()
    they_say(talk, "Rye?")
    talk.sql("UPDATE tasks SET starred = true WHERE guid = ?", ITEM)
    talk.service.faults.add(Fault("status", "PUT", "/item/*", status=429, code=67))
    assert talk.sync().trouble is not None
    talk.sql("UPDATE tasks SET starred = false WHERE guid = ?", ITEM)
    summary = talk.sync()
    assert (summary.pushed, summary.pulled) == (0, 1)
    assert here(talk) == Counter(["Rye?"])


def test_one_history_that_always_fails_keeps_no_other_waiting(talk: World) -> None:
    others = talk.sql("SELECT guid, id FROM tasks WHERE guid <> ? LIMIT 1", ITEM)
    model = talk.service.model
    model.comment(
        others[0]["id"], user=model.user(model.item(others[0]["id"]).user_id), message="heard"
    )
    they_say(talk, "Rye?")  # the newest, so its turn comes first
    talk.service.faults.add("GET /item/history:status=500:1")
    talk.sync()
    talk.sync()
    assert talk.sql("SELECT 1 FROM comments WHERE message = 'heard'")
    talk.time.sleep(120)
    talk.sync()
    assert here(talk) == Counter(["Rye?"])


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", "GET", "/item/history", status=404, code=1),
        Fault("status", "GET", "/item/history", status=403, code=3),
        Fault("html", "GET", "/item/history", status=404),
    ],
    ids=["gone", "refused", "a proxy"],
)
def test_a_refused_history_is_asked_for_again_but_not_in_every_cycle(
    talk: World, fault: Fault
) -> None:
    they_say(talk, "Rye?")
    talk.service.faults.add(fault)
    assert talk.sync().delay is None
    assert talk.sync().requests == 1
    assert here(talk) == Counter()
    talk.time.sleep(3700)
    talk.sync()
    assert here(talk) == Counter(["Rye?"])


def test_a_wish_to_be_left_alone_is_heeded(talk: World) -> None:
    they_say(talk, "Rye?")
    talk.service.faults.add(
        Fault("status", "GET", "/item/history", status=429, code=67, retry_after=60)
    )
    talk.sync()
    assert talk.one("SELECT value FROM sync_state WHERE key = 'quiet_until'")["value"] != "null"


def test_a_history_that_lags_behind_is_read_once_more(talk: World) -> None:
    they_say(talk, "first")
    talk.sync()
    number = they_say(talk, "second")
    talk.service.faults.add(f"GET /item/history:missing_ids={number}:1")
    talk.sync()
    assert here(talk) == Counter(["first"])
    talk.sync()
    assert here(talk) == Counter(["first", "second"])
    agree(talk)


def test_a_service_whose_histories_never_show_the_newest_is_not_asked_for_ever(
    talk: World,
) -> None:
    number = they_say(talk, "first")
    talk.service.faults.add(f"GET /item/history:missing_ids={number}:0")
    talk.sync()
    talk.sync()
    assert talk.sync().requests == 1


def test_our_own_first_comment_deleted_there_before_we_saw_it_leaves(talk: World) -> None:
    say(talk, "ours")
    talk.sync()
    talk.crash()
    they_delete(talk, talk.one("SELECT id FROM comments WHERE guid = ?", GUID)["id"])
    talk.sync()
    assert here(talk) == Counter()
    agree(talk)


def test_a_deletion_that_hitask_did_not_know_while_the_others_went_too(talk: World) -> None:
    """Nothing but our own doubt tells then that the item has to be looked at."""
    first = they_say(talk, "first", ME)
    last = they_say(talk, "last", ME)
    talk.sync()
    talk.sql("DELETE FROM comments WHERE id = ?", last)
    they_delete(talk, last)
    at_request(talk, "send_comment_delete", lambda: they_delete(talk, first))
    talk.sync()
    talk.sync()
    assert here(talk) == Counter()
    agree(talk)


def test_comments_leave_with_their_item_and_come_back_with_it(talk: World) -> None:
    they_say(talk, "theirs")
    talk.sync()
    say(talk, "ours")
    talk.sync()
    before = talk.sql("SELECT * FROM comments WHERE item_guid = ? ORDER BY guid", ITEM)
    number = number_of(talk)
    talk.service.model.archive(number, user=talk.service.model.user(ME))
    talk.sync()
    assert here(talk) == Counter()
    kept = talk.sql("SELECT row_guid FROM removed_rows WHERE table_name = 'comments'")
    assert {row["row_guid"] for row in kept} == {row["guid"] for row in before}
    assert talk.sql("SELECT 1 FROM sync_comments WHERE item_guid = ?", ITEM) == []
    talk.service.model.restore(number, user=talk.service.model.user(ME))
    talk.sync()
    assert talk.sql("SELECT * FROM comments WHERE item_guid = ? ORDER BY guid", ITEM) == before
    talk.sync()
    agree(talk)


def test_an_unsent_comment_on_an_item_that_is_gone_is_rejected_and_kept(talk: World) -> None:
    talk.change_rules(push=False)
    say(talk, "too late")
    talk.service.model.delete(number_of(talk), user=talk.service.model.user(ME))
    talk.sync()
    assert ends(talk) == [("insert", "rejected")]
    kept = talk.one("SELECT row_guid, last_values FROM removed_rows WHERE table_name = 'comments'")
    assert kept["row_guid"] == GUID
    assert "too late" in kept["last_values"]


def test_a_deletion_not_sent_yet_stays_deleted_and_an_edit_stays_edited(talk: World) -> None:
    they_say(talk, "one")
    they_say(talk, "two")
    talk.sync()
    talk.change_rules(push=False)
    talk.sql("DELETE FROM comments WHERE message = 'one'")
    talk.sql("UPDATE comments SET message = 'edited' WHERE message = 'two'")
    they_say(talk, "three")
    talk.sync()
    assert here(talk) == Counter(["edited", "three"])
    talk.change_rules(push=True)
    talk.sync()
    assert here(talk) == Counter(["two", "three"])
    talk.sync()


@pytest.mark.parametrize("traits", [[], ["deleted_comments=untraced"]], ids=str)
@pytest.mark.parametrize(
    ("text", "state"), [("edited", "rejected"), ("theirs", "merged")], ids=["kept", "taken_back"]
)
def test_one_deleted_there_while_it_stood_edited_here_leaves_afterwards(
    new_world: MakeWorld, text: str, state: str, traits: list[str]
) -> None:
    talk = new_world(items=3, traits=traits)
    make_item(talk)
    number = they_say(talk, "theirs")
    talk.sync()
    guid = talk.one("SELECT guid FROM comments WHERE id = ?", number)["guid"]
    talk.change_rules(push=False)
    talk.sql("UPDATE comments SET message = 'edited' WHERE guid = ?", guid)
    they_delete(talk, number)
    they_say(talk, "newer")
    talk.sync()
    talk.sql("UPDATE comments SET message = ? WHERE guid = ?", text, guid)
    talk.change_rules(push=True)
    talk.sync()
    assert here(talk) == Counter(["newer"])
    assert {how for _, how in ends(talk, guid)} == {state}
    agree(talk)


@pytest.mark.parametrize("goes", [False, True], ids=["stays", "goes_there"])
def test_one_put_in_again_on_another_item_is_not_two(talk: World, goes: bool) -> None:
    number = they_say(talk, "theirs")
    talk.sync()
    guid = talk.one("SELECT guid FROM comments WHERE id = ?", number)["guid"]
    other = talk.sql("SELECT guid FROM tasks WHERE guid != ?", ITEM)[0]["guid"]
    talk.change_rules(push=False)
    talk.sql("DELETE FROM comments WHERE guid = ?", guid)
    talk.sql("INSERT INTO comments (guid, item_guid, message) VALUES (?, ?, 'theirs')", guid, other)
    if goes:
        they_delete(talk, number)
    they_say(talk, "newer")
    talk.sync()
    assert here(talk) == Counter(["newer"])
    talk.change_rules(push=True)
    talk.sync()
    talk.sync()
    assert here(talk) == there(talk)
    assert {how for _, how in ends(talk, guid)} == {"rejected"}
    agree(talk)


def test_pulling_only_sends_nothing_and_reads(talk: World) -> None:
    they_say(talk, "theirs")
    talk.change_rules(push=False)
    say(talk, "ours")
    talk.service.reset_log()
    talk.sync()
    talk.sync()
    assert talk.writes() == []
    assert here(talk) == Counter(["theirs", "ours"])
    assert ends(talk) == [("insert", "pending")]


def test_without_comments_nothing_is_read(new_world: MakeWorld) -> None:
    world = new_world(items=10, rules={"comments": False})
    make_item(world)
    they_say(world, "theirs")
    world.sync()
    assert histories(world) == 0
    assert world.sql("SELECT 1 FROM comments") == []


def test_a_copy_of_hitasks_comment_becomes_it(talk: World) -> None:
    """Someone copies rows from another mirror, where a comment has the same key."""
    number = they_say(talk, "theirs")
    guid = derived_guid("comment", number)
    talk.sql(
        "INSERT INTO comments (guid, id, item_guid, message) VALUES (?, ?, ?, 'theirs')",
        *(guid, number, ITEM),
    )
    talk.sync()
    assert ends(talk, guid) == [("insert", "rejected")]
    assert there(talk) == Counter(["theirs"])
    assert talk.one("SELECT guid, id FROM comments WHERE item_guid = ?", ITEM) == {
        "guid": guid,
        "id": number,
    }
    agree(talk)


def test_a_key_that_is_taken_is_left_to_its_row(talk: World) -> None:
    talk.change_rules(push=False)
    number = they_say(talk, "theirs")
    say(talk, "ours", derived_guid("comment", number))
    talk.sync()
    assert here(talk) == Counter(["theirs", "ours"])
    talk.change_rules(push=True)
    talk.sync()
    talk.sync()
    assert there(talk) == Counter(["theirs", "ours"])
    agree(talk)
