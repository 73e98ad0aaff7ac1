"""A first mirror, which asks nothing of what it puts in, is the one that asks of everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from sqlalchemy import event

from hisync.api import answers
from hisync.api.decode import decode_item
from hisync.errors import FullError, MirrorError
from hisync.items import Item, derived_guid
from hisync.pulling import apply, bulk, first
from tests.engine.conftest import MakeWorld
from tests.world import World

BOTH = True

KEPT = (
    *("projects", "tasks", "events", "notes", "files", "other_items", "sync_base", "removed_rows"),
    *("change_log", "conflicts"),
)
LEDGER = "SELECT item_guid, user_id, minutes, spent_on, source, time_create FROM time_entries"


@pytest.fixture(autouse=True)
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty items are a great many: they come in batches of seven."""
    monkeypatch.setattr(bulk, "BATCH", 7)
    monkeypatch.setattr(bulk, "BATCH_AT_FIRST", 7)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each batch could be put in as it is."""
    told: list[bool] = []

    def put_first(*args: Any) -> tuple[int, Sequence[Item]]:
        put, left = first.put_first(*args)
        told.append(not left)
        return put, left

    monkeypatch.setattr(apply, "put_first", put_first)
    return told


def everything(world: World) -> dict[str, list[Any]]:
    """Every row but for the keys that the mirror makes up."""
    found = {t: world.sql(f"SELECT * FROM {t} ORDER BY 1, 2, 3") for t in KEPT}
    return found | {"time_entries": world.sql(f"{LEDGER} ORDER BY 1, 3")}


def looked_at(monkeypatch: pytest.MonkeyPatch, world: World) -> dict[str, list[Any]]:
    """The mirror of a world for whose items everything was asked."""
    with monkeypatch.context() as patch:
        patch.setattr(apply, "put_first", lambda *args: (0, list(args[-1])))
        world.sync()
    return everything(world)


def twins(world: World, first: int, second: int) -> str:
    """Give an item of the answer the guid of another one; the key that it gets here."""
    live = list(world.service.model.store.live.values())
    live[second].guid = live[first].guid
    return derived_guid("item", live[second].id)


@pytest.mark.core
def test_it_is_the_same_mirror(
    new_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, asked: list[bool]
) -> None:
    world, other = new_world(), new_world()
    assert world.sync().pulled == 40
    assert asked == [True] * 6
    assert everything(world) == looked_at(monkeypatch, other)
    assert any(row["time_spent_minutes"] for row in world.sql("SELECT * FROM tasks"))
    assert world.sync(full=True).pulled == 0


@pytest.mark.core
def test_a_guid_of_two_items(
    new_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, asked: list[bool]
) -> None:
    world, other = new_world(), new_world()
    keys = {twins(one, *two) for one in (world, other) for two in ((3, 20), (30, 31))}
    assert world.sync().pulled == 40
    assert asked.count(False) == 2
    assert everything(world) == looked_at(monkeypatch, other)
    bases = [row["guid"] for row in world.sql("SELECT guid FROM sync_base")]
    assert len(bases) == 40
    assert keys < set(bases)


def test_parents_that_are_known_by_number(
    new_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, asked: list[bool]
) -> None:
    def some_by_number(wire: dict[str, Any], **options: Any) -> Item:
        return decode_item(wire | ({} if wire["id"] % 3 else {"parentGuid": None}), **options)

    world, other, plain = new_world(), new_world(), new_world()
    plain.sync()
    asked.clear()
    monkeypatch.setattr(answers, "decode_item", some_by_number)
    world.sync()
    assert 0 < asked.count(False) < len(asked)
    assert everything(world) == looked_at(monkeypatch, other) == everything(plain)


def test_an_entry_that_a_trigger_of_their_own_writes(
    new_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, other = new_world(), new_world()
    for one in (world, other):
        one.engine.mirror.check()  # which it makes first
        entry = (
            "INSERT INTO time_entries (item_guid, minutes) "
            "SELECT NEW.guid, 5 WHERE NEW.time_spent_minutes > 0"
        )
        if one.backend == "sqlite":
            one.sql(f"CREATE TRIGGER mine AFTER INSERT ON tasks BEGIN {entry}; END")
        else:
            one.sql(
                "CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$BEGIN {entry}; RETURN NULL; END$$"
            )
            one.sql(
                "CREATE TRIGGER mine AFTER INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION mine()"
            )
    world.sync()
    counted = "SELECT item_guid, sum(minutes) AS m FROM time_entries GROUP BY 1 ORDER BY 1"
    found = world.sql(counted)
    looked_at(monkeypatch, other)
    assert found == other.sql(counted)
    world.sync(full=True)
    assert found == world.sql(counted)


def test_a_trigger_of_their_own_finds_the_project_that_was_shown_before(
    new_world: MakeWorld, asked: list[bool]
) -> None:
    world = new_world()
    world.engine.mirror.check()  # which it makes first
    listed = world.service.model.store.live
    for number in sorted(listed, key=lambda number: listed[number].category != 0):
        listed[number] = listed.pop(number)  # the projects first
    orphan = (
        "NEW.parent_guid IS NOT NULL AND NOT EXISTS (SELECT 1 FROM projects WHERE guid = "
        "NEW.parent_guid UNION SELECT 1 FROM tasks WHERE guid = NEW.parent_guid)"
    )
    if world.backend == "sqlite":
        refuse = "SELECT RAISE(ABORT, 'no parent')"
        world.sql(f"CREATE TRIGGER mine AFTER INSERT ON tasks WHEN {orphan} BEGIN {refuse}; END")
    else:
        world.sql(
            "CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$BEGIN IF {orphan} THEN RAISE EXCEPTION 'no parent'; END IF; RETURN NULL; END$$"
        )
        world.sql("CREATE TRIGGER mine AFTER INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION mine()")
    assert world.sync().pulled == 40
    assert asked == [True] * 6


@pytest.mark.core
def test_what_a_database_can_not_hold(new_world: MakeWorld, asked: list[bool]) -> None:
    world = new_world()
    item = next(i for i in world.service.model.store.live.values() if i.category == 1)
    item.put("title", "before\0after")
    item.put("tags", ["a\0b"])
    assert world.sync().pulled == 40
    assert asked == [True] * 6
    nul = "\ufffd" if world.backend == "postgresql" else "\0"
    row = world.one("SELECT title, tags FROM tasks WHERE guid = ?", item.guid)
    assert (row["title"], orjson.loads(row["tags"])) == (f"before{nul}after", [f"a{nul}b"])


@pytest.mark.core
def test_people_are_watched_again_afterwards(new_world: MakeWorld) -> None:
    world = new_world()
    world.sync()
    world.sql("INSERT INTO tasks (title) VALUES ('ours')")
    world.sql("UPDATE tasks SET title = 'changed' WHERE title = 'ours'")
    assert world.changes() == [("insert", "pending"), ("update", "pending")]
    world.sync()
    assert [i.title for i in world.service.model.items()].count("changed") == 1


def test_one_that_fails_leaves_nothing(
    new_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, calls = new_world(), list[object]()

    def fail(*args: object) -> None:
        calls.append(args)
        if len(calls) == 3:
            raise MirrorError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(first, "settle", fail)
        with pytest.raises(MirrorError, match="the disk is full"):
            world.sync()
    assert not any(everything(world).values())
    world.sql("INSERT INTO tasks (title) VALUES ('ours')")  # which is seen
    assert world.changes() == [("insert", "pending")]
    assert world.sync().pulled == 40
    assert "ours" in [i.title for i in world.service.model.items()]


@pytest.mark.sqlite_only
def test_a_full_disk_is_called_so(new_world: MakeWorld) -> None:
    world = new_world()
    for item in world.service.model.store.live.values():
        item.put("message", "x" * 5000)
    engine = world.engine.mirror.engine
    pages = world.sql("SELECT page_count FROM pragma_page_count()")[0]["page_count"]

    @event.listens_for(engine, "connect")
    def _limit(connection: Any, _record: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages + 21}")

    engine.dispose()
    with pytest.raises(FullError, match="the disk is full"):
        world.sync()
    assert not any(everything(world).values())


@pytest.mark.sqlite_only
@pytest.mark.parametrize("how", ["ABORT", "FAIL", "ROLLBACK"])
def test_what_a_trigger_of_their_own_says(new_world: MakeWorld, how: str) -> None:
    world = new_world()
    world.engine.mirror.check()  # which it makes first
    world.sql(
        "CREATE TRIGGER mine AFTER INSERT ON tasks WHEN (SELECT count(*) FROM tasks) > 8 "
        f"BEGIN SELECT RAISE({how}, 'not this one'); END"
    )
    with pytest.raises(MirrorError, match="not this one"):
        world.sync()
    assert not any(everything(world).values())


def test_what_waits_here_is_looked_at(new_world: MakeWorld, asked: list[bool]) -> None:
    world = new_world()
    world.engine.mirror.check()  # which it makes first
    world.sql("INSERT INTO tasks (title) VALUES ('ours')")
    world.sync()
    assert asked == []
    assert "ours" in [i.title for i in world.service.model.items()]
