"""Answers too long for memory end in the same mirror as short ones, whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import pytest
from structlog.testing import capture_logs

from hisync.api import answers, body, long_list
from hisync.api.decode import decode_item
from hisync.errors import FullError, MirrorError, RetryLaterError
from hisync.items import Item
from hisync.pulling import apply, bulk, first
from tests.engine.conftest import MakeWorld
from tests.world import World

BOTH = True

TABLES = ("projects", "tasks", "events", "notes", "files", "other_items", "time_entries", "users")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything counts as long: a body of 2 kB, a part of 1 kB, a batch of 7 items."""
    monkeypatch.setattr(body, "SHORT", 2000)
    monkeypatch.setattr(long_list, "PART", 1000)
    monkeypatch.setattr(bulk, "BATCH", 7)
    monkeypatch.setattr(bulk, "BATCH_AT_FIRST", 7)


def rows(world: World) -> dict[str, list[Any]]:
    """Every row but for the keys that the mirror makes up."""
    columns = {"time_entries": "item_guid, user_id, minutes, spent_on, source, time_create"}
    return {
        table: [
            tuple(row.values())
            for row in world.sql(f"SELECT {columns.get(table, '*')} FROM {table} ORDER BY 1, 2, 3")
        ]
        for table in TABLES
    }


@pytest.fixture
def short(new_world: MakeWorld) -> dict[str, list[Any]]:
    world = new_world()
    world.sync()
    return rows(world)


def test_a_long_answer_makes_the_same_mirror(
    short: dict[str, list[Any]], small: None, new_world: MakeWorld
) -> None:
    world = new_world()
    assert world.sync().pulled == 40
    assert rows(world) == short
    assert world.sync(full=True).pulled == 0


def test_children_that_name_their_parent_by_number_come_behind_it(
    short: dict[str, list[Any]],
    small: None,
    new_world: MakeWorld,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def by_number(wire: dict[str, Any], **options: Any) -> Item:
        return decode_item(wire | {"parentGuid": None}, **options)

    monkeypatch.setattr(answers, "decode_item", by_number)
    world = new_world()
    listed = world.service.model.store.live
    for number in reversed(list(listed)):  # children first
        listed[number] = listed.pop(number)
    assert world.sync().pulled == 40
    assert rows(world) == short
    assert any(row["parent_guid"] for row in world.sql("SELECT parent_guid FROM tasks"))


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, FullError), (errno.EACCES, MirrorError)]
)
def test_no_place_for_it_is_said(
    number: int,
    kind: type[MirrorError],
    small: None,
    new_world: MakeWorld,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class File(BytesIO):
        def write(self, _: object) -> int:
            raise OSError(number, os.strerror(number))

    world = new_world()
    with monkeypatch.context() as patch:
        patch.setattr(body, "TemporaryFile", lambda **_: File())
        with pytest.raises(kind, match=os.strerror(number)):
            world.sync()
    assert world.sync().pulled == 40


def test_a_lost_session_is_renewed_in_the_middle(small: None, new_world: MakeWorld) -> None:
    world = new_world()
    world.sync()
    world.service.model.team.expire_sessions()
    assert world.sync(full=True).pulled == 0


@pytest.mark.core
@pytest.mark.parametrize("fault", ["drop_midway", "cut"])
def test_a_long_answer_that_is_cut_changes_nothing(
    fault: str, small: None, new_world: MakeWorld
) -> None:
    world = new_world(faults=[f"GET /item:{fault}:1"])
    with pytest.raises(RetryLaterError):
        world.sync()
    assert not any(rows(world).values())
    assert world.sync().pulled == 40


def test_after_a_fault_an_answer_is_looked_through_before_it_is_applied(
    small: None, new_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = list[object]()

    def put_first(*args: Any) -> tuple[int, Sequence[Item]]:
        parts.append(args)
        return first.put_first(*args)

    monkeypatch.setattr(apply, "put_first", put_first)
    world = new_world(faults=["GET /item:cut:2"])
    with pytest.raises(RetryLaterError):
        world.sync()
    tried = len(parts)
    with pytest.raises(RetryLaterError):
        world.sync()
    assert len(parts) == tried > 0  # people could write all the while
    assert world.sync().pulled == 40


def test_what_only_a_good_answer_shows_is_said_of_one(small: None, new_world: MakeWorld) -> None:
    world = new_world(traits=["cursor=false"], faults=["GET /item:cut:1"])
    with capture_logs() as logs, pytest.raises(RetryLaterError):
        world.sync()
    assert [entry["event"] for entry in logs] == ["api_error"]
    with capture_logs() as logs:
        world.sync()
    assert [entry["event"] for entry in logs].count("fell_back_to_full_read") == 1


def test_people_edit_while_a_long_answer_is_applied_later(
    small: None, new_world: MakeWorld
) -> None:
    world = new_world()
    world.sync()
    world.sql("UPDATE tasks SET title = 'ours' WHERE permission = 100")
    world.sync(full=True)
    assert {item.title for item in world.service.model.items()} >= {"ours"}
    world.sync(full=True)
    assert world.sync(full=True).pulled == 0
