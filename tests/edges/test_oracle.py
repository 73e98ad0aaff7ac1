"""The oracle itself: what it must not overlook."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.edges.house import House
from tests.edges.oracle import differences, loose_ends
from tests.edges.scene import Scene, make_scene
from tests.postgres import HIDE

BOTH = True

DAY = "2026-05-01T10:00:00.000+00:00"
GIVEN: dict[str, dict[str, Any]] = {
    "top": {"kind": "project"},
    "task": {"parent": "top", "tags": ["a"], "due_date": DAY, "time_est": 5},
}
PLANTED = {
    "title": "'x'",
    "parent_guid": "NULL",
    "tags": "'[\"b\"]'",
    "due_date": "'2026-05-01 10:00:01.000000'",
    "is_all_day": "true",
    "time_est_minutes": "300",
    "permissions": "NULL",
    "archived": "true",
    "version": "9",
    "extra": "'{\"mood\": 1}'",
    "id": "17",
}


@pytest.fixture
def scene(house: House) -> Iterator[Scene]:
    made = make_scene(house, GIVEN)
    assert list(differences(made.model, made.ask)) == []
    assert list(loose_ends(made.ask, mark=made.world.backend == "sqlite")) == []
    yield made
    made.close()


@pytest.mark.parametrize("column", PLANTED)
def test_a_cell_changed_behind_the_triggers_is_seen(scene: Scene, column: str) -> None:
    served = scene.world.backend == "postgresql"
    scene.sql("BEGIN")
    scene.sql(HIDE if served else "INSERT INTO sync_mark VALUES (1, 0)")
    scene.sql(f"UPDATE tasks SET {column} = {PLANTED[column]}")
    if not served:
        scene.sql("DELETE FROM sync_mark")
    scene.sql("COMMIT")
    assert list(differences(scene.model, scene.ask)) != []


def test_items_and_rows_without_the_other_and_changes_of_columns_are_seen(scene: Scene) -> None:
    scene.create("late", {})
    scene.model.delete(scene.need("task").id, user=scene.colleague)
    found = " ".join(differences(scene.model, scene.ask, computed=False))
    assert (found.count("on hiTask only"), found.count("here only")) == (1, 1)
    scene.sql("UPDATE sync_base SET dirty = '{}' WHERE guid = :top")
    assert len(list(loose_ends(scene.ask, mark=scene.world.backend == "sqlite"))) == 1
