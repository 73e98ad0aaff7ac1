"""Lost answers to comments: said once, whatever became of the request."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from hisync.comment import Unit
from hisync.errors import ServiceError
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

COMMENTS = True
pytestmark = pytest.mark.slow

TRAITS = [[], ["history_wrapped", "delta=false"], ["free_history"], ["trims_comments"]]


@pytest.fixture
def talk(new_world: MakeWorld) -> World:
    world = new_world(items=3)
    make_item(world)
    return world


def settle(world: World, rounds: int = 3) -> None:
    for _ in range(rounds):
        world.sync()


@pytest.mark.parametrize("traits", TRAITS, ids=str)
@pytest.mark.parametrize(
    "effect",
    [
        "drop_before:1",
        "drop_after:1",
        "drop_midway:1",
        "cut:1",
        "empty:1",
        "html=200:1",
        "status=500:1",
        "status=503:1",
        "drop_after:2",
        "drop_before:2",
        "apply_late=1:1",
        "apply_late=2:1",
        "apply_late=3:1",
    ],
)
def test_it_is_said_once(new_world: MakeWorld, effect: str, traits: list[str]) -> None:
    world = new_world(items=3, traits=traits)
    make_item(world)
    they_say(world, "theirs")
    world.sync()
    say(world, "ours ")
    world.service.faults.add(f"POST /item/comment:{effect}")
    settle(world, 5)
    text = "ours" if traits == ["trims_comments"] else "ours "
    assert there(world) == here(world) == Counter([text, "theirs"])
    (row,) = world.sql("SELECT guid, id FROM comments WHERE message LIKE 'ours%'")
    assert row["guid"] == GUID
    assert ends(world) == [("insert", "done")]
    agree(world)


def test_a_lost_answer_is_found_in_the_same_cycle(talk: World) -> None:
    say(talk, "ours")
    talk.service.faults.add("POST /item/comment:drop_after:1")
    summary = talk.sync()
    assert (summary.pushed, summary.waiting) == (1, {})
    assert talk.writes() == ["POST /item/comment"]


def test_it_is_said_again_only_after_a_second_look_in_another_cycle(talk: World) -> None:
    say(talk, "ours")
    talk.service.faults.add("POST /item/comment:drop_before:1")
    assert talk.sync().waiting == {"unknown": 1}
    assert talk.writes() == ["POST /item/comment"]
    assert talk.sync().waiting == {}
    assert talk.writes() == ["POST /item/comment"] * 2


@pytest.mark.parametrize("effect", ["drop_after", "drop_before"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_two_with_equal_texts_stay_two(talk: World, effect: str, count: int) -> None:
    say(talk, "done")
    say(talk, "done", OTHER)
    talk.service.faults.add(f"POST /item/comment:{effect}:{count}")
    settle(talk, 5)
    assert there(talk) == here(talk) == Counter({"done": 2})
    rows = talk.sql("SELECT guid FROM comments WHERE item_guid = ?", ITEM)
    assert {row["guid"] for row in rows} == {GUID, OTHER}
    agree(talk)


@pytest.mark.parametrize("looks", [1, 9], ids=["lags", "keeps_what_was_deleted"])
def test_one_that_was_deleted_is_not_taken_for_it(new_world: MakeWorld, looks: int) -> None:
    talk = new_world(items=3, traits=["deleted_comments=named"])
    make_item(talk)
    say(talk, "done")
    settle(talk, 2)
    shown = talk.engine.api.fetch_history(number_of(talk))
    talk.sql("DELETE FROM comments WHERE guid = ?", GUID)
    settle(talk, 2)
    say(talk, "done", OTHER)
    talk.service.faults.add("POST /item/comment:drop_before:1")
    fetch = talk.engine.api.fetch_history
    left = iter(range(looks))

    def fetch_old(number: int) -> list[Unit]:
        now = fetch(number)
        return now if next(left, None) is None else [*now, *(u for u in shown if u not in now)]

    talk.engine.api.fetch_history = fetch_old  # type: ignore[method-assign,assignment]
    settle(talk, 5)
    assert there(talk) == here(talk) == Counter(["done"])
    assert talk.one("SELECT guid FROM comments WHERE item_guid = ?", ITEM) == {"guid": OTHER}
    assert talk.writes().count("POST /item/comment") == 3


def test_an_older_equal_one_is_not_taken_for_it(talk: World) -> None:
    """Also where the mirror has not read it yet."""
    they_say(talk, "done", ME)
    talk.time.sleep(3600)
    talk.engine.spare = lambda _cause: False
    talk.sync()
    assert here(talk) == Counter()
    say(talk, "done")
    talk.service.faults.add("POST /item/comment:drop_before:1")
    settle(talk)
    talk.engine.spare = lambda _cause: True
    settle(talk)
    assert there(talk) == here(talk) == Counter({"done": 2})
    agree(talk)


def test_one_that_was_deleted_here_is_not_taken_for_it(talk: World) -> None:
    they_say(talk, "done", ME)
    talk.sync()
    talk.sql("DELETE FROM comments WHERE item_guid = ?", ITEM)
    say(talk, "done")
    talk.service.faults.add("POST /item/comment:drop_before:1")
    talk.service.faults.add("DELETE /item/comment:drop_before:1")
    settle(talk, 4)
    assert there(talk) == here(talk) == Counter({"done": 1})
    assert [row["guid"] for row in talk.sql("SELECT guid FROM comments WHERE item_guid = ?", ITEM)]
    assert talk.one("SELECT guid FROM comments WHERE item_guid = ?", ITEM)["guid"] == GUID
    agree(talk)


def test_a_colleagues_equal_one_is_not_taken_for_it(talk: World) -> None:
    say(talk, "done")
    at_request(talk, "send_comment", lambda: they_say(talk, "done"))
    talk.service.faults.add("POST /item/comment:drop_before:1")
    settle(talk)
    assert there(talk) == here(talk) == Counter({"done": 2})
    agree(talk)


@pytest.mark.parametrize("ahead", [-3600.0, -30.0, 30.0, 3600.0])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("effect", ["drop_after", "drop_before"])
def test_clocks_that_differ_double_nothing_of_what_is_known(
    talk: World, ahead: float, effect: str, known: bool
) -> None:
    """Where the item's comments were all read before, no clock is asked."""
    they_say(talk, "theirs")
    if not known:
        talk.engine.spare = lambda _cause: False
    talk.sync()
    model = talk.service.model
    clock = model.clock
    if not known:  # then the service's own clock, as its answers tell it, has to do
        talk.engine.api._connection.clock_skew = ahead
    from datetime import timedelta

    model.clock = lambda: clock() - timedelta(seconds=ahead)
    say(talk, "ours")
    talk.service.faults.add(f"POST /item/comment:{effect}:1")
    settle(talk, 4)
    talk.engine.spare = lambda _cause: True
    settle(talk)
    assert there(talk) == here(talk) == Counter(["ours", "theirs"])
    agree(talk)


def test_the_background_reading_does_not_take_it_for_another(talk: World) -> None:
    """The history shows it, read for other reasons than to look it up."""
    say(talk, "ours")
    talk.service.faults.add("POST /item/comment:drop_after:1")
    talk.service.faults.add("GET /item/history:status=503:1")
    talk.sync()
    talk.change_rules(push=False)
    talk.sync()
    assert here(talk) == Counter(["ours"])
    assert ends(talk) == [("insert", "done")]
    talk.change_rules(push=True)
    talk.sync()
    agree(talk)


@pytest.mark.parametrize("effect", ["drop_after", "drop_before"])
def test_an_empty_history_is_no_proof_where_there_are_comments(talk: World, effect: str) -> None:
    they_say(talk, "theirs")
    talk.sync()
    say(talk, "ours")
    talk.service.faults.add(f"POST /item/comment:{effect}:1")
    talk.service.faults.add("GET /item/history:empty_list:3")
    settle(talk, 2)
    assert talk.writes() == ["POST /item/comment"]
    settle(talk, 6)
    assert there(talk) == here(talk) == Counter(["ours", "theirs"])
    agree(talk)


def test_what_ten_units_cannot_tell_is_not_said_again(new_world: MakeWorld) -> None:
    world = new_world(items=3, traits=["free_history"])
    number = make_item(world)
    owner = world.service.model.user(ME)

    def much() -> None:
        for color in range(1, 12):
            world.service.model.update(number, user=owner, color=color % 7)

    say(world, "ours")
    world.service.faults.add("POST /item/comment:drop_before:1")
    at_request(world, "fetch_history", much)
    settle(world, 4)
    assert world.writes() == ["POST /item/comment"]
    assert "it may have arrived, so it is not said again" in reason(world)
    assert there(world) == Counter()
    assert here(world) == Counter(["ours"])
    assert world.sql("SELECT 1 FROM sync_intents") == []


def test_what_was_there_before_shows_that_ten_units_reach_back(new_world: MakeWorld) -> None:
    world = new_world(items=3, traits=["free_history"])
    make_item(world)
    for number in range(12):
        they_say(world, f"text {number}")
    world.sync()
    say(world, "ours")
    world.service.faults.add("POST /item/comment:drop_before:1")
    settle(world)
    assert there(world)["ours"] == 1
    assert ends(world) == [("insert", "done")]


def test_a_history_that_is_refused_ends_in_no_second_try(talk: World) -> None:
    say(talk, "ours")
    talk.service.faults.add("POST /item/comment:drop_before:1")
    talk.service.faults.add(Fault("status", "GET", "/item/history", status=403, code=3, count=0))
    settle(talk, 12)
    assert talk.writes() == ["POST /item/comment"]
    assert histories(talk) == 8
    assert "it may have arrived" in reason(talk)


def test_one_that_lands_after_it_was_said_again_is_reported_and_kept(talk: World) -> None:
    say(talk, "ours")
    talk.service.faults.add("POST /item/comment:apply_late=6:1")
    with capture_logs() as logs:
        settle(talk, 6)
    assert there(talk) == here(talk) == Counter({"ours": 2})
    (said,) = [entry for entry in logs if entry["event"] == "comment_doubled"]
    ids = {unit.id for unit in talk.service.model.comments(number_of(talk))}
    assert set(said["ids"]) == ids
    agree(talk)


@pytest.mark.parametrize(
    "effect", ["drop_before", "drop_after", "cut", "empty", "status=500", "apply_late=1"]
)
def test_a_lost_answer_to_a_deletion(talk: World, effect: str) -> None:
    they_say(talk, "one", ME)
    they_say(talk, "two", ME)
    talk.sync()
    talk.sql("DELETE FROM comments WHERE message = 'one'")
    talk.service.faults.add(f"DELETE /item/comment:{effect}:1")
    summary = talk.sync()
    assert summary.waiting == {}
    assert there(talk) == Counter(["two"])
    settle(talk, 2)
    assert len(talk.sql("SELECT 1 FROM removed_rows")) == 1
    agree(talk)


def test_one_deleted_while_it_is_looked_up_is_deleted_there_too(talk: World) -> None:
    say(talk, "oops")
    talk.service.faults.add("POST /item/comment:drop_after:1")
    delete = "DELETE FROM comments WHERE guid = ?"
    at_request(talk, "fetch_history", lambda: talk.sql(delete, GUID))
    settle(talk)
    assert there(talk) == here(talk) == Counter()
    assert ends(talk) == [("insert", "done"), ("delete", "done")]
    agree(talk)


def test_one_deleted_while_it_is_looked_up_and_never_arrived_is_forgotten(talk: World) -> None:
    say(talk, "oops")
    talk.service.faults.add("POST /item/comment:drop_before:1")
    talk.sync()
    talk.sql("DELETE FROM comments WHERE guid = ?", GUID)
    settle(talk)
    assert there(talk) == here(talk) == Counter()
    assert talk.writes() == ["POST /item/comment"]
    assert ends(talk) == [("insert", "merged"), ("delete", "merged")]
    agree(talk)


def test_one_edited_while_it_is_looked_up_goes_out_as_it_is_then(talk: World) -> None:
    say(talk, "frist")
    talk.service.faults.add("POST /item/comment:drop_before:1")
    talk.sync()
    talk.sql("UPDATE comments SET message = 'first' WHERE guid = ?", GUID)
    settle(talk)
    assert there(talk) == here(talk) == Counter(["first"])
    agree(talk)


def test_an_item_that_goes_while_its_comment_is_looked_up(talk: World) -> None:
    say(talk, "ours")
    talk.service.faults.add("POST /item/comment:drop_before:1")
    talk.sync()
    talk.service.model.delete(number_of(talk), user=talk.service.model.user(ME))
    settle(talk)
    assert "it may have been said there before" in reason(talk)
    assert talk.sql("SELECT 1 FROM sync_intents") == []
    assert talk.writes() == ["POST /item/comment"]


def test_one_put_in_elsewhere_while_it_is_looked_up_outlives_its_item(talk: World) -> None:
    number = number_of(talk)
    other = talk.one("SELECT guid, id FROM tasks WHERE guid != ? LIMIT 1", ITEM)
    say(talk, "ours")
    talk.service.faults.add("POST /item/comment:drop_before:1")
    talk.service.faults.add("GET /item/history:status=503:1")
    talk.sync()
    talk.sql("DELETE FROM comments WHERE guid = ?", GUID)
    talk.sql(
        "INSERT INTO comments (guid, item_guid, message) VALUES (?, ?, 'ours')",
        *(GUID, other["guid"]),
    )
    talk.service.model.delete(number, user=talk.service.model.user(ME))
    settle(talk)
    said = [unit.value for unit in talk.service.model.comments(other["id"])]
    assert said.count("ours") == 1
    assert talk.sql("SELECT * FROM sync_intents") == []
    assert ends(talk)[-1] == ("insert", "done")


def test_an_outage_tries_three_and_lets_the_rest_wait(talk: World) -> None:
    for number in range(6):
        talk.sql("INSERT INTO comments (item_guid, message) VALUES (?, ?)", ITEM, f"text {number}")
    talk.service.faults.add("* /item/comment:drop_before:0")
    summary = talk.sync()
    assert summary.trouble is not None
    assert talk.writes() == ["POST /item/comment"] * 3
    talk.service.faults.clear()
    settle(talk, 4)
    assert there(talk) == here(talk) == Counter(f"text {number}" for number in range(6))
    agree(talk)


def test_a_comment_with_the_key_of_its_item_is_said_once(world: World) -> None:
    make_item(world)
    world.service.faults.add("POST /item/comment:drop_after:1")
    blind = Fault("status", "GET", "/item/history*", status=503, count=0)
    at_request(world, "send_comment", lambda: world.service.faults.add(blind))
    say(world, "hello", ITEM)
    with suppress(ServiceError):
        world.sync()
    world.sql("UPDATE tasks SET title = 'other' WHERE guid = ?", ITEM)
    with suppress(ServiceError):
        world.sync()
    assert world.one("SELECT table_name AS t FROM sync_intents")["t"] == "comments"
    world.service.faults.clear()
    for _ in range(3):
        world.sync()
    assert there(world)["hello"] == 1
    assert world.service.model.item(number_of(world)).title == "other"
    agree(world)
