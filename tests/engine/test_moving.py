"""A mirror moved to the other engine goes on where it was: nothing is read, lost or sent anew."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from sqlalchemy import Connection, select, text

from hisync.errors import LockedError, MirrorError, MovedError, RetryLaterError
from hisync.mirror import moving, state
from hisync.mirror.carrying import Carrier
from hisync.mirror.moving import Moved, move_mirror
from hisync.mirror.store import Mirror, open_mirror
from hisync.mirror.tables import metadata
from hisync.sandbox.faults import Fault
from hisync.verifying.verify import verify
from tests import postgres
from tests.engine.conftest import MakeWorld
from tests.world import Backend, World

BOTH = True
COMMENTS = True
OTHER: Final[dict[Backend, Backend]] = {"sqlite": "postgresql", "postgresql": "sqlite"}
OWN = "permission = 100 AND parent_guid IS NULL AND NOT completed"
REFUSED = psycopg.errors.IntegrityConstraintViolation, sqlite3.IntegrityError


def ignore(_stage: str, _done: int, _total: int | None) -> None: ...


class House:
    """A world, and where its mirror is moved to."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.moved = World(
            folder, world.time, world.service, world.rules, backend=OTHER[world.backend]
        )
        if self.moved.backend == "postgresql":
            self.moved._served = postgres.server().create()
            self.target = self.moved.url
        else:
            self.target = f"sqlite:///{self.moved.database}"

    def move(self) -> Moved:
        self.world.crash()
        with open_mirror(self.world.url) as source, open_mirror(self.target) as target:
            return move_mirror(source, target, ignore)


@pytest.fixture
def house(world: World, tmp_path: Path) -> Iterator[House]:
    folder = tmp_path / "moved"
    folder.mkdir()
    made = House(world, folder)
    yield made
    made.moved.close()


def rows_of(url: str) -> dict[str, list[Any]]:
    """All that a mirror has, but what it remembers of itself."""
    own = {"fence", "moved_to", "moving_from"}
    found = {}
    with open_mirror(url) as mirror, mirror.engine.connect() as connection, connection.begin():
        for name, table in metadata.tables.items():
            if name in {"sync_doomed", "sync_mark"}:
                continue
            rows = [dict(row) for row in connection.execute(select(table)).mappings()]
            found[name] = sorted((r for r in rows if r.get("key") not in own), key=repr)
    return found


def some_tasks(world: World, number: int) -> list[dict[str, Any]]:
    return world.sql(f"SELECT guid, id, title FROM tasks WHERE {OWN} ORDER BY id LIMIT {number}")


def disturb(world: World) -> dict[str, Any]:
    """Leave a bit of everything in a mirror: settled, refused, under way and not yet sent."""
    model = world.service.model
    both, renamed, gone, talked, *_ = some_tasks(world, 6)
    owner = model.user(model.item(both["id"]).user_id)
    model.update(both["id"], user=owner, title="theirs")
    world.sql("UPDATE tasks SET title = 'ours' WHERE guid = ?", both["guid"])
    world.sql("UPDATE tasks SET title = ? WHERE guid = ?", "x" * 300, renamed["guid"])
    world.sql(
        "DELETE FROM notes WHERE guid = (SELECT guid FROM notes WHERE permission = 100 LIMIT 1)"
    )
    world.sync()
    world.sql("INSERT INTO tasks (title, tags) VALUES ('lost answer', '[\"a\", \"ü\"]')")
    world.service.faults.add("POST /item:drop_after:1")
    world.service.faults.add(Fault("status", "GET", "/item*", nth=2, count=99, status=503))
    with pytest.raises(RetryLaterError):  # the look at what became of it fails, too
        world.sync()
    world.service.faults.clear()
    world.sql(
        "INSERT INTO tasks (title, due_date, is_all_day, location) "
        "VALUES ('new %s \"东京\"', '2026-05-01', true, '{\"a\": {\"b\": [1, null, true]}}')"
    )
    world.sql("UPDATE tasks SET title = 'renamed', color = 3 WHERE guid = ?", renamed["guid"])
    world.sql("DELETE FROM tasks WHERE guid = ?", gone["guid"])
    world.sql("INSERT INTO comments (item_guid, message) VALUES (?, 'said')", talked["guid"])
    world.sql(
        "INSERT INTO time_entries (item_guid, minutes, spent_on, note) "
        "VALUES (?, 45, '2026-03-01', 'on the move')",
        talked["guid"],
    )
    return {"gone": gone["id"], "talked": talked["id"], "renamed": renamed["id"]}


@pytest.mark.core
def test_what_is_unsent_is_sent_once_from_the_new_place_and_nothing_is_read_again(
    house: House,
) -> None:
    world, after = house.world, house.moved
    numbers = disturb(world)
    spent = int(str(world.service.model.item(numbers["talked"]).get("time_spent") or 0))
    states = {state for _, state in world.changes()}
    assert states == {"done", "merged", "rejected", "unknown", "pending"}
    assert world.sql("SELECT op FROM sync_intents") == [{"op": "create"}]
    assert world.sql("SELECT 1 FROM conflicts")
    assert world.sql("SELECT 1 FROM removed_rows")
    moved = house.move()
    assert (moved.altered, moved.left) == (0, [])
    assert rows_of(house.target) == rows_of(world.url)
    world.service.reset_log()
    summary = after.sync()
    assert "GET /item/list" not in world.service.requests
    assert (summary.waiting, summary.trouble) == ({}, None)
    after.sync()
    model = world.service.model
    titles = [item.title for item in model.items()]
    assert [titles.count(t) for t in ("lost answer", 'new %s "东京"', "renamed")] == [1, 1, 1]
    assert numbers["gone"] not in {item.id for item in model.items()}
    assert [unit.value for unit in model.comments(numbers["talked"])].count("said") == 1
    assert model.item(numbers["talked"]).get("time_spent") == spent + 45
    posts = [f"{e.method} {e.path}" for e in world.service.log if e.method in {"POST", "DELETE"}]
    assert sorted(posts) == sorted(set(posts))
    assert {state for _, state in after.changes()} == {"done", "merged", "rejected"}
    assert verify(after.engine).misfits == []
    after.service.reset_log()
    assert after.sync().requests == 1


@pytest.mark.slow
def test_numbers_go_on_where_they_were_even_of_changes_that_were_pruned(house: House) -> None:
    world, after = house.world, house.moved
    (task,) = some_tasks(world, 1)
    for title in "abc":
        world.sql("UPDATE tasks SET title = ? WHERE guid = ?", title, task["guid"])
    world.sync()
    last = world.one("SELECT max(seq) AS n FROM change_log")["n"]
    world.sql("DELETE FROM change_log")
    house.move()
    after.sql("UPDATE tasks SET title = 'd' WHERE guid = ?", task["guid"])
    assert after.one("SELECT seq FROM change_log") == {"seq": last + 1}
    assert after.sync().pushed == 1


def test_held_removals_are_still_held(house: House) -> None:
    world, after = house.world, house.moved
    numbers = [row["id"] for row in world.sql("SELECT id FROM tasks ORDER BY id LIMIT 20")]
    missing = "+".join(map(str, numbers))
    world.service.faults.add(f"GET /item*:missing_ids={missing}:1000")
    held = world.sync().held
    assert held == {"tasks": 20}
    house.move()
    assert after.sync().held == held
    after.engine.allow_removals = 20
    assert after.sync().held == {}
    assert after.one("SELECT count(*) AS n FROM removed_rows WHERE table_name = 'tasks'") == {
        "n": 20
    }


@pytest.mark.slow
def test_the_old_mirror_takes_no_edit_and_no_daemon_and_the_new_one_can_be_moved_back(
    house: House, tmp_path: Path
) -> None:
    world, after = house.world, house.moved
    (task,) = some_tasks(world, 1)
    world.sql("UPDATE tasks SET title = 'unsent' WHERE guid = ?", task["guid"])
    house.move()
    for statement in (
        "UPDATE tasks SET title = 'lost'",
        "DELETE FROM notes",
        "INSERT INTO comments (message) VALUES ('lost')",
    ):
        with pytest.raises(REFUSED, match=r"this mirror was moved to .*; edit there"):
            world.sql(statement)
    with open_mirror(world.url) as old:
        with pytest.raises(MovedError, match="unsent edits would be sent twice"):
            old.acquire()
        with pytest.raises(MovedError, match="name that one"):
            old.check()
        old.upgrade()  # which puts the triggers in place anew
    with pytest.raises(REFUSED, match="edit there"):
        world.sql("UPDATE tasks SET title = 'lost'")
    with pytest.raises(MirrorError, match=r"this mirror was moved to .*; move that one"):
        House(world, folder_in(tmp_path, "third")).move()
    with (
        open_mirror(house.target) as source,
        open_mirror(world.url) as target,
        pytest.raises(MirrorError, match=r"isn't empty .this mirror was moved to"),
    ):
        move_mirror(source, target, ignore)
    back = House(after, folder_in(tmp_path, "back"))
    back.move()
    assert back.moved.sync().pushed == 1
    assert world.service.model.item(task["id"]).title == "unsent"
    assert world.writes()[-1:] == [f"PUT /item/{task['id']}"]
    back.moved.close()


@pytest.mark.slow
def test_a_mirror_whose_copy_was_lost_is_brought_back_by_hand(house: House) -> None:
    world = house.world
    (task,) = some_tasks(world, 1)
    world.sql("UPDATE tasks SET title = 'unsent' WHERE guid = ?", task["guid"])
    house.move()
    world.sql("DELETE FROM sync_state WHERE key = 'moved_to'")  # as the documentation says
    with open_mirror(world.url) as old:
        old.lock()
        old.upgrade()
    world.sql("UPDATE tasks SET color = 3 WHERE guid = ?", task["guid"])
    assert world.sync().pushed > 0
    assert world.service.model.item(task["id"]).title == "unsent"
    assert world.service.model.item(task["id"]).get("color") == 3


def folder_in(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made


def test_what_is_in_the_target_is_named(house: House) -> None:
    with open_mirror(house.target).acquire() as target, target.writing() as connection:
        connection.exec_driver_sql("INSERT INTO tasks (title) VALUES ('there')")
    with pytest.raises(MirrorError, match=r"isn't empty; rows are in tasks .1.: name an empty"):
        house.move()
    assert house.world.sync().pushed == 0  # still the one


def test_a_mirror_of_an_account_without_items_is_not_empty(house: House) -> None:
    with open_mirror(house.target).acquire() as target, target.writing() as connection:
        state.save(connection, account_id=7)
    with pytest.raises(MirrorError, match="the memory of a mirror without items"):
        house.move()


def test_a_daemon_on_either_side_is_named(house: House) -> None:
    house.world.crash()
    with open_mirror(house.target).acquire(), pytest.raises(LockedError, match="stop it, then"):
        house.move()
    with (
        open_mirror(house.world.url).acquire(),
        open_mirror(house.world.url) as source,
        open_mirror(house.target) as target,
        pytest.raises(LockedError, match="stop it, then"),
    ):
        move_mirror(source, target, ignore)
    with (
        open_mirror(house.target) as one,
        open_mirror(house.target) as same,
        pytest.raises(MirrorError, match="is the mirror itself"),
    ):
        move_mirror(one, same, ignore)


@pytest.mark.postgresql
def test_who_edits_meanwhile_waits_and_is_told_where_it_went(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = house.world
    if world.backend == "sqlite":
        pytest.skip("there are no gates")
    conninfo = postgres.server().conninfo(world.served)
    with ThreadPoolExecutor() as pool:
        editing: list[Future[None]] = []

        def edit() -> None:
            with psycopg.connect(conninfo) as someone:
                someone.execute("UPDATE tasks SET title = 'lost'")

        def copy(old: Connection, new: Connection, tell: Any) -> Any:
            editing.append(pool.submit(edit))
            waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            while not old.scalar(waiting):
                pass
            time.sleep(1.5)  # longer than the server takes for a deadlock, which there is none
            return carry(old, new, tell)

        carry = moving._carry
        monkeypatch.setattr(moving, "_carry", copy)
        house.move()
        with pytest.raises(REFUSED, match="edit there"):
            editing[0].result()
    assert house.moved.sync().trouble is None


class KilledError(BaseException):
    """The process ends here."""


def kill_at(patch: pytest.MonkeyPatch, place: object, name: str, call: int) -> None:
    """End the process at a function's call of this number."""
    genuine: Callable[..., Any] = getattr(place, name)
    calls = 0

    def deadly(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise KilledError
        return genuine(*arguments, **options)

    patch.setattr(place, name, deadly)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "name", "call", "is_at"),
    [
        (Carrier, "batches", 9, "old"),  # in the middle of the rows
        (moving, "_give_up", 1, "old"),  # the copy is committed, and not the other
        (moving, "_release", 1, "moved"),  # both are
    ],
)
def test_killed_anywhere_one_can_be_worked_on_and_the_same_again_ends_it(
    house: House, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, call: int, is_at: str
) -> None:
    world, after = house.world, house.moved
    disturb(world)
    world.crash()
    before = rows_of(world.url)
    with monkeypatch.context() as patch:
        kill_at(patch, place, name, call)
        with pytest.raises(KilledError):
            house.move()
    with ExitStack() as stack:
        old, new = (stack.enter_context(open_mirror(u)) for u in (world.url, house.target))
        assert usable(old) == (is_at == "old")
        assert not usable(new) or no_rows(house.target)
    if name != "batches":
        with pytest.raises(REFUSED, match="this copy of a mirror is not finished"):
            after.sql("UPDATE tasks SET title = 'lost'")
        after.crash()
    if is_at == "old":
        found = rows_of(world.url)
        assert {t: found[t] for t in found if t != "sync_state"} == {
            t: before[t] for t in before if t != "sync_state"
        }
    house.move()
    after.sync()
    after.sync()
    titles = [item.title for item in world.service.model.items()]
    assert [titles.count(title) for title in ("lost answer", "renamed")] == [1, 1]
    assert verify(after.engine).misfits == []


def usable(mirror: Mirror) -> bool:
    try:
        mirror.check()
    except MovedError:
        return False
    return True


def no_rows(url: str) -> bool:
    return not any(rows for table, rows in rows_of(url).items())


@pytest.mark.slow
@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE tasks SET priority = 'high'", "priority = 'high' can't be read: give a whole"),
        ("UPDATE tasks SET due_date = 'soon'", "due_date = 'soon' can't be read"),
        ("UPDATE tasks SET title = 'a' || char(0)", "the other engine can't hold it"),
        ("UPDATE tasks SET title = x'ff00'", "can't be read: give a text"),
        ("UPDATE tasks SET title = CAST(x'61ff' AS TEXT)", "can't be read: give a text"),
        ("UPDATE tasks SET tags = 'a, b'", "tags = 'a, b' can't be read: give a JSON list"),
        ('UPDATE tasks SET extra = \'{"a": "\\u0000"}\'', "the other engine can't hold it"),
    ],
)
@pytest.mark.parametrize("rejected", [False, True])
def test_an_unsent_cell_that_can_not_be_held_is_named_and_nothing_is_moved(
    house: House, statement: str, fault: str, rejected: bool
) -> None:
    world = house.world
    (task,) = some_tasks(world, 1)
    guid = task["guid"]
    if rejected:  # a new row that was refused stays as it was written
        guid = "00000000-0000-4000-8000-00000000000a"
        cell = statement.partition(" SET ")[2]
        column, _, value = cell.partition(" = ")
        title = "" if column == "title" else ", title"
        world.sql(
            f"INSERT INTO tasks (guid, {column}{title}, parent_guid) "
            f"VALUES ('{guid}', {value}{title and ', 0'}, 'nowhere')"
        )
        world.sync()
    else:
        world.sql(f"{statement} WHERE guid = ?", guid)
    with pytest.raises(MirrorError, match="cells that can't be moved") as caught:
        house.move()
    text = str(caught.value)
    assert f"where guid = '{guid}': " in text
    assert fault in text
    assert no_rows(house.target)
    with open_mirror(world.url) as old:
        assert usable(old)
    world.sql("DELETE FROM tasks WHERE guid = ?", guid)


@pytest.mark.sqlite_only
def test_a_day_with_a_time_is_the_day_that_a_push_takes_it_for(house: House) -> None:
    entry = "INSERT INTO time_entries (item_guid, minutes, spent_on) VALUES (?, 5, ?)"
    (task,) = some_tasks(house.world, 1)
    house.world.sql(entry, task["guid"], "2026-03-01 00:00:00.000000")
    house.move()
    days = house.moved.sql("SELECT spent_on FROM time_entries WHERE source = 'local'")
    assert days == [{"spent_on": "2026-03-01"}]


@pytest.mark.sqlite_only
def test_what_is_only_history_is_kept_as_nearly_as_can_be(house: House) -> None:
    world, after = house.world, house.moved
    (task,) = some_tasks(world, 1)
    world.service.model.update(
        task["id"],
        user=world.service.model.user(world.service.model.item(task["id"]).user_id),
        title="a\0b",
    )
    world.sync()
    assert house.move().altered == 1
    assert after.one("SELECT title FROM tasks WHERE guid = ?", task["guid"]) == {
        "title": "a\ufffdb"
    }
    assert after.sync().pushed == 0


@pytest.mark.postgresql
@pytest.mark.sqlite_only
def test_a_date_that_only_postgresql_has_is_named(tmp_path: Path, new_world: MakeWorld) -> None:
    first = House(new_world(items=5), folder_in(tmp_path, "there"))
    first.world.sync()
    first.move()
    first.moved.sql("INSERT INTO tasks (title, due_date) VALUES ('never', 'infinity')")
    back = House(first.moved, folder_in(tmp_path, "back"))
    with pytest.raises(MirrorError, match="due_date = 'infinity' can't be read"):
        back.move()
    first.moved.close()


@pytest.mark.slow
def test_more_rows_than_are_in_memory_at_a_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hisync.mirror.carrying.BATCH", 3)
    house.move()
    assert rows_of(house.target) == rows_of(house.world.url)


@pytest.mark.slow
def test_what_people_added_stays_behind_and_is_named(house: House) -> None:
    house.world.sql("ALTER TABLE tasks ADD COLUMN mine text")
    assert house.move().left == ["tasks.mine"]
