"""The first mirror and the way of every edit, both ways, against each kind of server."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.edges.acts import archives, creates, deletes, edits
from tests.edges.edge import check_peace
from tests.edges.house import House
from tests.edges.scene import Scene, make_scene

BOTH = True

SERVERS: Final = {
    "as documented": [],
    "no delta": ["delta=false"],
    "no stubs": ["stubs=false"],
    "no cursor": ["cursor=false"],
    "opaque cursor, other case, nulls": ["opaque_cursor", "cursor_header=x-CURSOR", "nulls"],
    "PUT wants guid and title, DELETE a guid": ["put_needs_guid_and_title", "delete_by=guid"],
    "makes its own guids": ["keeps_guid=false", "delete_by=id"],
    "takes a guid twice, jumps": ["repeated_guid=duplicates", "version_step=4", "free_history"],
    "answers OK alone, refuses a guid twice": ["answers_item=false", "repeated_guid=refuses"],
    "trims, has effects": [
        "trims_titles",
        "trims_messages",
        "completes_parents",
        "orphans=deleted",
    ],
}
GIVEN: Final[dict[str, dict[str, Any]]] = {
    "top": {"kind": "project"},
    "changed": {"tags": ["a", "b"], "due_date": "2026-05-01T10:00:00.000+02:00"},
    "deleted": {"kind": "note", "message": "m"},
    "archived": {"kind": "event", "participants": []},
}

ENDINGS: Final = {"insert done", "update done", "delete done"}

servers = pytest.mark.parametrize("traits", SERVERS.values(), ids=SERVERS.keys())


@servers
def test_the_first_mirror(house: House, traits: list[str]) -> None:
    scene = make_scene(house, {}, traits, "Europe/Stockholm", account=60)
    assert sum(len(scene.ask(f"SELECT 1 FROM {t}")) for t in ("tasks", "events", "projects")) > 30
    assert scene.writes() == []
    check_peace(scene)
    scene.close()


@servers
def test_edits_go_both_ways(house: House, traits: list[str]) -> None:
    """Created, changed, deleted and archived, on each side at the same time."""
    scene = make_scene(house, {**given("here"), **given("there")}, traits, "Europe/Stockholm")
    for act in (
        "INSERT INTO projects (guid, title) VALUES (:new_here, 'new here')",
        (
            "INSERT INTO tasks (guid, title, parent_guid, due_date, is_all_day, tags) "
            "VALUES (:child_here, 'child here', :new_here, '2026-06-01', true, '[\"x\"]')"
        ),
        (
            "UPDATE tasks SET title = 'ours', due_date = NULL, tags = '[\"b\"]', completed = true "
            "WHERE guid = :changed_here"
        ),
        "DELETE FROM notes WHERE guid = :deleted_here",
        "UPDATE events SET archived = true WHERE guid = :archived_here",
        creates("new_there", kind="project"),
        creates("child_there", parent="new_there", tags=["x"], is_all_day=True),
        edits("changed_there", title="theirs", due_date=None, tags=["b"], parent="new_there"),
        deletes("deleted_there"),
        archives("archived_there"),
    ):
        scene.act(act)
    scene.world.sync()
    scene.world.sync(full=True)
    scene.world.sync(full=True)
    check_there(scene)
    expect_row(scene, "new_there", table="projects")
    expect_row(scene, "child_there", **{"in": "new_there", "is_all_day": 1})
    expect_row(scene, "changed_there", **{"in": "new_there", "title": "theirs", "tags": '["b"]'})
    assert sorted(scene.removed()) == [
        "archived_here: archived here",
        "archived_there: gone from hiTask",
        "deleted_here: deleted here",
        "deleted_there: gone from hiTask",
    ]
    assert (set(scene.changes()), scene.conflicts()) == (ENDINGS, [])
    check_peace(scene)
    scene.close()


def given(side: str) -> dict[str, dict[str, Any]]:
    """What hiTask has at first, for the edits on one side."""
    return {
        f"{name}_{side}": {"title": f"{name} {side}", **values} for name, values in GIVEN.items()
    }


def check_there(scene: Scene) -> None:
    titles = sorted(item.title for item in scene.model.items())
    left = ["child here", "child_there", "new here", "new_there", "ours", "theirs"]
    assert titles == [*left, "top here", "top there"]
    child, changed = scene.wire("child_here"), scene.wire("changed_here")
    assert child is not None
    assert changed is not None
    assert (child["parentTitle"], child["due_date"]) == (
        "new here",
        "2026-06-01T23:59:00.000+02:00",
    )
    assert (changed["due_date"], changed["tags"], changed["completed"]) == (None, ["b"], True)
    archived = {item.title for item in scene.model.store.archived.values()}
    assert archived == {"archived here", "archived there"}


def expect_row(scene: Scene, name: str, **cells: object) -> None:
    row = scene.row(name)
    assert row is not None, name
    assert {column: row[column] for column in cells} == cells
