"""Accounts with nothing in them, with little, and with much."""

from __future__ import annotations

import pytest

from tests.edges.acts import deletes, edits
from tests.edges.edge import check_peace
from tests.edges.house import House
from tests.edges.oracle import differences
from tests.edges.scene import make_scene

BOTH = True


def test_an_account_that_is_filled_becomes_empty_and_is_filled_again(house: House) -> None:
    """That nothing at all is left is believed only with somebody's word."""
    scene = make_scene(house, {})
    scene.sql("INSERT INTO tasks (guid, title) VALUES (:first, 'first')")
    scene.world.sync()
    check_peace(scene)
    scene.act(deletes("first"))
    for _ in range(3):
        assert scene.world.sync().held == {"tasks": 1}
    assert (scene.row("first") is not None, scene.removed()) == (True, [])
    scene.world.engine.allow_removals = 1
    assert scene.world.sync().held == {}
    scene.world.engine.allow_removals = 0
    assert (scene.row("first"), scene.removed()) == (None, ["first: gone from hiTask"])
    check_peace(scene)
    scene.sql("INSERT INTO tasks (guid, title) VALUES (:second, 'second')")
    scene.world.sync()
    assert [item.title for item in scene.model.items()] == ["second"]
    check_peace(scene)
    scene.close()


@pytest.mark.core
def test_an_edit_of_a_row_that_is_held_is_sent_if_the_item_shows_again(house: House) -> None:
    scene = make_scene(house, {"task": {}})
    scene.world.service.faults.add("GET /item*:empty_list:4")
    scene.sql("UPDATE tasks SET title = 'ours'")
    assert scene.world.sync().held == {"tasks": 1}
    scene.world.service.faults.clear()
    scene.world.sync()
    assert (scene.need("task").title, scene.conflicts()) == ("ours", [])
    check_peace(scene)
    scene.close()


def test_one_item_deleted_here_empties_the_account(house: House) -> None:
    scene = make_scene(house, {"task": {}})
    scene.sql("DELETE FROM tasks")
    assert scene.world.sync().held == {}
    assert (scene.model.items(), scene.removed()) == ([], ["task: deleted here"])
    check_peace(scene)
    scene.close()


@pytest.mark.slow
def test_three_thousand_items(house: House) -> None:
    """One read, one request a quiet cycle, and an edit of every project at once."""
    scene = make_scene(house, {}, account=3000, zone="Europe/Stockholm")
    assert list(differences(scene.model, scene.ask)) == []
    quiet = scene.world.sync()
    assert (quiet.requests, quiet.pulled) == (1, 0)
    scene.sql("UPDATE projects SET starred = NOT starred")
    (row,) = scene.ask("SELECT guid FROM notes LIMIT 1")
    scene.names["note"] = row["guid"]
    scene.act(edits("note", title="theirs"))
    summary = scene.world.sync()
    projects = len(scene.ask("SELECT 1 FROM projects"))
    assert (summary.pushed, summary.pulled) == (projects, 1)
    full = scene.world.sync(full=True)
    assert (full.requests, full.pulled) == (1, 0)
    assert list(differences(scene.model, scene.ask)) == []
    scene.close()
