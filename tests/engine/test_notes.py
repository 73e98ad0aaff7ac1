"""The note of a time entry as a comment, and who spent the time that was seen on hiTask."""

from __future__ import annotations

from typing import Any

import pytest

from hisync.sandbox import LOGIN
from tests.engine.conftest import MakeWorld
from tests.engine.talk import ITEM, agree, here, histories, make_item, number_of, there
from tests.world import World

pytestmark = pytest.mark.slow

BOTH = True
COMMENTS = True

ENTRY = "00000000-0000-4000-8000-0000000000e1"


@pytest.fixture
def talk(new_world: MakeWorld) -> World:
    world = new_world(items=3, rules={"time_entry_comments": True})
    share_item(world)
    return world


def share_item(world: World) -> None:
    make_item(world)
    model = world.service.model
    everyone = [{"principal": "all", "level": 60}]
    model.update(number_of(world), user=model.user(LOGIN), permissions=everyone)
    world.sync()
    world.service.reset_log()


def spend(world: World, minutes: int, note: str | None = "First talk") -> None:
    world.sql(
        "INSERT INTO time_entries (guid, item_guid, minutes, note) VALUES (?, ?, ?, ?)",
        *(ENTRY, ITEM, minutes, note),
    )


def they_spend(world: World, total: int, who: str = "tariq@example.com") -> None:
    model = world.service.model
    model.update(number_of(world), user=model.user(who), time_spent=total)


def spent(world: World) -> int:
    return int(world.one("SELECT time_spent_minutes AS m FROM tasks WHERE guid = ?", ITEM)["m"])


def observed(world: World) -> list[tuple[Any, Any]]:
    rows = world.sql(
        "SELECT minutes, user_id FROM time_entries WHERE source = 'observed' AND item_guid = ?"
        " ORDER BY time_create, rowid",
        ITEM,
    )
    return [(row["minutes"], row["user_id"]) for row in rows]


def test_a_note_is_said_once_the_time_is_there(talk: World) -> None:
    spend(talk, 45)
    talk.sync()
    assert there(talk) == here(talk) == {"First talk": 1}
    agree(talk)


@pytest.mark.parametrize("fault", ["drop_before", "drop_after"])
def test_a_note_is_said_once_whichever_answer_is_lost(talk: World, fault: str) -> None:
    talk.service.faults.add(f"PUT /item*:{fault}:1", f"POST /item/comment:{fault}:1")
    spend(talk, 45)
    for _ in range(4):
        talk.sync()
    assert there(talk) == here(talk) == {"First talk": 1}
    agree(talk)


@pytest.mark.parametrize("note", [None, "", "  "])
def test_no_note_says_nothing(talk: World, note: str | None) -> None:
    spend(talk, 45, note)
    talk.sync()
    assert there(talk) == here(talk) == {}


def test_a_later_change_of_an_entry_says_nothing_more(talk: World) -> None:
    spend(talk, 45)
    talk.sync()
    talk.sql("UPDATE time_entries SET minutes = 50, note = 'Other' WHERE guid = ?", ENTRY)
    talk.sync()
    assert there(talk) == {"First talk": 1}


def test_an_entry_of_a_key_that_was_told_of_long_ago_says_nothing_more(talk: World) -> None:
    spend(talk, 30)
    talk.sync()
    talk.sql("DELETE FROM time_entries WHERE guid = ?", ENTRY)
    talk.sync()
    talk.sql("DELETE FROM change_log")  # as after `retention.change_log_days`
    spend(talk, 45)
    for _ in range(2):
        talk.sync()
    assert spent(talk) == 45
    assert there(talk) == here(talk) == {"First talk": 1}


def test_an_entry_that_is_refused_says_nothing(talk: World) -> None:
    spend(talk, -45)
    talk.sync()
    assert there(talk) == here(talk) == {}


def test_without_the_setting_a_note_stays_here(talk: World) -> None:
    talk.change_rules(time_entry_comments=False)
    spend(talk, 45)
    talk.sync()
    assert there(talk) == here(talk) == {}


def test_who_spent_time_on_hitask_is_read_from_the_history(talk: World) -> None:
    model = talk.service.model
    they_spend(talk, 30)
    talk.sync()
    they_spend(talk, 45, LOGIN)
    talk.sync()
    tariq, me = model.user("tariq@example.com").id, model.user(LOGIN).id
    assert observed(talk) == [(30, tariq), (15, me)]
    assert histories(talk) == 2
    agree(talk)


def test_time_of_two_people_between_two_looks_is_nobodys(talk: World) -> None:
    they_spend(talk, 30)
    they_spend(talk, 50, LOGIN)
    talk.sync()
    assert observed(talk) == [(50, None)]


def test_time_beside_our_own_is_never_taken_for_ours(talk: World) -> None:
    they_spend(talk, 50)
    talk.sync()
    they_spend(talk, 56)
    talk.sql(
        "INSERT INTO time_entries (item_guid, minutes, time_create) VALUES (?, 6, ?)",
        *(ITEM, "2026-03-02 09:00:00.100000"),
    )
    talk.sync()
    talk.sync()
    me = talk.service.model.user(LOGIN).id
    assert spent(talk) == 62
    assert {minutes for minutes, _ in observed(talk)} == {50, 6}
    assert me not in {user for _, user in observed(talk)}


def test_a_history_that_is_cut_off_names_nobody(new_world: MakeWorld) -> None:
    world = new_world(items=3, traits=["free_history=true"])
    share_item(world)
    they_spend(world, 10, LOGIN)
    for minutes in range(20, 130, 10):
        they_spend(world, minutes)
    world.sync()
    assert observed(world) == [(120, None)]


def test_units_that_come_in_no_order_name_nobody(talk: World) -> None:
    they_spend(talk, 30)
    they_spend(talk, 50, LOGIN)
    units = talk.service.model.history._units[number_of(talk)]
    one, two = [unit for unit in units if unit.property_name == "time_spent"]
    one.id, two.id, two.time = two.id, one.id, two.time + 60_000
    talk.sync()
    assert observed(talk) == [(50, None)]


def test_totals_of_a_first_mirror_cost_no_history(new_world: MakeWorld) -> None:
    world = new_world(items=40)
    world.sync()
    talked = world.one("SELECT count(*) AS n FROM items WHERE last_comment_id IS NOT NULL")["n"]
    assert histories(world) == talked
    assert world.one("SELECT count(*) AS n FROM time_entries")["n"] > 0
