"""Changes tried again or dropped by a person, beside an engine that holds the mirror."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from hisync.deciding.decisions import DecisionError
from hisync.deciding.discarding import discard_changes
from hisync.mirror.store import open_mirror
from hisync.plan.actions import Policy
from tests.engine.decide import (
    GUID,
    NOW,
    ODD,
    assert_quiet,
    discard,
    insert,
    newest,
    refuse,
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
