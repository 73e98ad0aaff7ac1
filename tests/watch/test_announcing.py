"""What needs a person is told once, restarts included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hisync.watch.announcing import MOST_AT_ONCE, Announcer
from tests.world import World, make_world


class Told:
    """An announcer on a world, and what it told."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.events: list[Mapping[str, Any]] = []
        self.restart()

    def restart(self) -> None:
        self.world.crash()
        self.announcer = Announcer(self.world.engine, self.events.append)

    def cycle(self, refusal: str | None = None) -> list[Mapping[str, Any]]:
        """One cycle; what was told after it."""
        self.events.clear()
        if refusal is None:
            self.world.sync()
        self.announcer.look(refusal)
        return list(self.events)


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    world = make_world(tmp_path)
    told = Told(world)
    assert told.cycle() == []
    yield told
    world.close()


def test_a_rejected_change_is_told_once_with_its_reason(told: Told) -> None:
    told.world.sql("UPDATE tasks SET due_date = 'tomorrow' WHERE rowid = 1")
    (event,) = told.cycle()
    title = told.world.one("SELECT title FROM tasks WHERE rowid = 1")["title"]
    assert event["event"] == "change_rejected"
    assert (event["seq"], event["table"], event["title"]) == (1, "tasks", title)
    assert "due_date = 'tomorrow'" in event["reason"]
    assert event["time"].startswith("2026-03-02T09:")
    told.restart()
    assert told.cycle() == []


def test_a_conflict_is_told_once_and_without_values(told: Told) -> None:
    row = told.world.one("SELECT guid, id, owner_id FROM tasks LIMIT 1")
    told.world.sql("UPDATE tasks SET title = 'Ours' WHERE guid = ?", row["guid"])
    model = told.world.service.model
    model.update(row["id"], user=model.user(row["owner_id"]), title="Theirs")
    (event,) = told.cycle()
    assert event["event"] == "conflict_recorded"
    assert (event["guid"], event["field"], event["resolution"]) == (row["guid"], "title", "remote")
    assert "Ours" not in str(event)
    told.restart()
    assert told.cycle() == []


def test_held_removals_are_told_when_their_number_changes(told: Told) -> None:
    model = told.world.service.model
    tasks = told.world.sql("SELECT id FROM tasks ORDER BY id")
    for row in tasks[:16]:
        item = model.store.live.get(row["id"])
        if item is not None:
            model.delete(row["id"], user=model.user(item.user_id))
    (event,) = told.cycle()
    assert event["event"] == "removals_held"
    assert event["tables"]["tasks"] == event["rows"] > 10
    told.restart()
    assert told.cycle() == []


def test_a_refused_login_is_told_once_until_it_works_again(told: Told) -> None:
    (event,) = told.cycle(refusal="Invalid API key")
    assert (event["event"], event["reason"]) == ("login_refused", "Invalid API key")
    assert told.cycle(refusal="Invalid API key") == []
    told.restart()
    assert told.cycle(refusal="Invalid API key") == []
    assert told.cycle() == []
    assert len(told.cycle(refusal="Invalid API key")) == 1


def test_a_flood_is_told_in_a_word(told: Told) -> None:
    for number in range(MOST_AT_ONCE + 5):
        told.world.sql("INSERT INTO tasks (title, due_date) VALUES (?, 'soon')", f"new {number}")
    events = told.cycle()
    assert len(events) == MOST_AT_ONCE + 1
    assert events[-1]["more"] == 5


def test_where_nothing_is_new_nothing_is_written(told: Told) -> None:
    told.cycle()
    with told.world.client() as client:
        before = client.execute("PRAGMA data_version").fetchone()[0]
        told.announcer.look(None)
        assert client.execute("PRAGMA data_version").fetchone()[0] == before
        told.announcer.look("refused")
        assert client.execute("PRAGMA data_version").fetchone()[0] != before
