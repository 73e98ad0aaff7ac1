"""Verifying tells apart drift, what waits and what is merely new; repairing loses nothing."""

from __future__ import annotations

import random
import sqlite3
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hisync.errors import MirrorError
from hisync.mirror import migrate
from hisync.mirror.store import open_mirror
from hisync.push import push
from hisync.verifying.repair import repair
from hisync.verifying.verify import Report, verify
from tests.engine.conftest import MakeWorld
from tests.engine.kill import KilledError, Steps
from tests.postgres import HIDE
from tests.world import World

pytestmark = pytest.mark.slow

BOTH = True

NEW = "00000000-0000-4000-8000-00000000000a"
TABLES = ("projects", "tasks", "events", "notes", "files", "other_items")
MACHINERY = ("change_log", "conflicts", "removed_rows", "sync_base", "sync_intents", "sync_state")


@contextmanager
def unseen(world: World) -> Iterator[sqlite3.Connection]:
    """A client behind the triggers' back: they are dropped and made again around what it does.

    On PostgreSQL it says that it is the daemon.
    """
    if world.backend == "postgresql":
        with world.client() as client:
            client.execute("BEGIN")
            client.execute(HIDE)
            yield client
            client.execute("COMMIT")
        return
    with world.client() as client:
        triggers = client.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
        ).fetchall()
        client.execute("BEGIN")
        for name, _ in triggers:
            client.execute(f"DROP TRIGGER {name}")
        yield client
        for _, sql in triggers:
            client.execute(sql)
        client.execute("COMMIT")


def a_task(world: World, number: int = 0) -> dict[str, Any]:
    """A task that this account may change in every way."""
    query = "SELECT * FROM tasks WHERE permission = 100 ORDER BY id LIMIT 1 OFFSET ?"
    return world.one(query, number)


def everything(world: World) -> list[Any]:
    tables = [t for t in (*TABLES, *MACHINERY) if t != "sync_state"]
    kept = "SELECT * FROM sync_state WHERE key != 'fence'"
    return [world.sql(f"SELECT * FROM {table} ORDER BY 1") for table in tables] + [world.sql(kept)]


def edit_there(world: World, number: int, **values: Any) -> None:
    item = world.service.model.item(number)
    world.service.model.update(number, user=world.service.model.user(item.user_id), **values)


def kinds(report: Report) -> list[str]:
    return sorted(misfit.kind.value for misfit in report.misfits)


def assert_mended(world: World) -> None:
    """Verifying finds nothing, nor does it after a sync; and both sides are equal."""
    world.sync()
    world.sync(full=True)
    found = verify(world.engine)
    assert (found.differences, found.not_pulled) == (0, 0), found
    here = {row["id"] for table in TABLES for row in world.sql(f"SELECT id FROM {table}")}
    me = world.service.model.users[0]
    assert here == {item.id for item in world.service.model.items(me)}


def test_a_quiet_mirror_has_no_differences_and_one_request_shows_it(world: World) -> None:
    before = everything(world)
    found = verify(world.engine)
    assert (found.differences, found.not_pulled, found.refused, found.waiting) == (0, 0, 0, {})
    assert (found.rows, found.items) == (40, 40)
    assert [entry.path for entry in world.service.log] == ["/item"]
    assert everything(world) == before


def test_drift_names_the_cell_and_both_values_and_verifying_changes_nothing(world: World) -> None:
    task = a_task(world)
    with unseen(world) as client:
        client.execute(
            "UPDATE tasks SET title = 'x', starred = NOT starred, archived = true WHERE id = ?",
            [task["id"]],
        )
    before = everything(world)
    found = verify(world.engine)
    assert [(d.guid, d.column, d.here, d.there) for d in found.drift] == [
        (task["guid"], "title", "x", task["title"]),
        (task["guid"], "starred", not task["starred"], bool(task["starred"])),
        (task["guid"], "archived", True, False),
    ]
    assert found.differences == 3
    assert everything(world) == before
    assert world.writes() == []


def test_what_waits_is_counted_and_is_no_drift(world: World) -> None:
    first, second = a_task(world, 0), a_task(world, 1)
    world.sql("UPDATE tasks SET title = 'mine' WHERE id = ?", first["id"])
    world.sql("UPDATE tasks SET is_all_day = NOT is_all_day WHERE id = ?", second["id"])
    world.sql("UPDATE tasks SET due_date = 'tomorrow' WHERE id = ?", a_task(world, 2)["id"])
    world.sql("INSERT INTO tasks (title) VALUES ('new')")
    world.sql("DELETE FROM tasks WHERE id = ?", a_task(world, 3)["id"])
    for _ in range(2):  # before and after the edits are folded into the base
        found = verify(world.engine)
        assert (found.differences, found.waiting) == (0, {"pending": 5})
        world.sync(pull_only=True)


def test_a_drifted_cell_beside_an_unsent_edit_is_drift(world: World) -> None:
    task = a_task(world)
    with unseen(world) as client:
        client.execute("UPDATE tasks SET message = 'm' WHERE id = ?", [task["id"]])
    world.sql("UPDATE tasks SET title = 'mine' WHERE id = ?", task["id"])
    assert [d.column for d in verify(world.engine).drift] == ["message"]


def test_a_refused_new_row_is_counted_and_is_no_difference(world: World) -> None:
    world.sql("INSERT INTO tasks (title) VALUES (' ')")
    world.sync()
    found = verify(world.engine)
    assert (found.differences, found.refused, found.waiting) == (0, 1, {})
    repair(world.engine)
    assert verify(world.engine).refused == 1


def test_what_changed_on_hitask_since_the_last_pull_is_not_pulled_yet(world: World) -> None:
    task, other = a_task(world, 0), a_task(world, 1)
    edit_there(world, task["id"], title="theirs")
    me = world.service.model.users[0]
    world.service.model.create(user=me, title="new there")
    with unseen(world) as client:
        client.execute("UPDATE tasks SET message = 'm' WHERE id = ?", [other["id"]])
    found = verify(world.engine)
    assert (found.not_pulled, [d.column for d in found.drift]) == (2, ["message"])
    assert found.differences == 1


def test_a_comment_that_moves_an_items_time_alone_is_not_pulled_yet(world: World) -> None:
    """As on a server where a comment, our own too, makes no new version of its item."""
    item = world.service.model.item(a_task(world, 0)["id"])
    made = world.service.model.create(user=world.service.model.users[0], title="made before that")
    item.modified = made.modified + 30_000
    with unseen(world) as client:
        client.execute(
            "UPDATE tasks SET time_last_update = '2099-01-01 00:00:00.000000' WHERE id = ?",
            [a_task(world, 1)["id"]],
        )
    found = verify(world.engine)
    assert (found.not_pulled, found.missing) == (2, [])
    assert [d.column for d in found.drift] == ["time_last_update"]
    assert found.drift[0].here > found.drift[0].there


def test_a_lost_answer_waits_and_is_no_difference(world: World) -> None:
    task = a_task(world)
    world.service.faults.add("PUT /item/*:drop_after:1")
    world.sql("UPDATE tasks SET title = 'mine' WHERE id = ?", task["id"])
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'made')", NEW)
    world.service.faults.add("POST /item:drop_after:1")
    push(world.engine)
    found = verify(world.engine)
    assert (found.differences, found.waiting, found.not_pulled) == (0, {"unknown": 2}, 1)
    repair(world.engine)
    assert world.changes() == [("update", "done"), ("insert", "done")]
    assert_mended(world)


def test_missing_and_gone_rows_are_told_apart(world: World) -> None:
    missing, gone = a_task(world, 0), a_task(world, 1)
    with unseen(world) as client:
        client.execute("DELETE FROM tasks WHERE id = ?", [missing["id"]])
        client.execute("DELETE FROM sync_base WHERE id = ?", [missing["id"]])
    model = world.service.model
    model.delete(gone["id"], user=model.user(model.item(gone["id"]).user_id))
    found = verify(world.engine)
    assert [(m.guid, m.vanished) for m in found.missing] == [(missing["guid"], False)]
    assert [place.guid for place in found.gone] == [gone["guid"]]
    assert found.misfits == []
    done = repair(world.engine)
    assert done.complete
    assert world.one("SELECT reason FROM removed_rows")["reason"] == "gone from hiTask"
    assert_mended(world)


def test_a_mass_disappearance_is_held(world: World) -> None:
    ids = [row["id"] for row in world.sql("SELECT id FROM tasks LIMIT 12")]
    for number in ids:
        model = world.service.model
        model.delete(number, user=model.user(model.item(number).user_id))
    done = repair(world.engine)
    assert (done.complete, dict(done.held)) == (False, {"tasks": 12})
    assert len(verify(world.engine).gone) == 12
    world.sync(full=True)
    world.engine.allow_removals = 12
    world.sync(full=True)
    assert_mended(world)


def test_an_empty_answer_removes_nothing(world: World) -> None:
    world.service.faults.add("GET /item*:empty_list:0")
    assert len(verify(world.engine).gone) == 40
    assert not repair(world.engine).complete
    world.service.faults.clear()
    assert_mended(world)


def test_a_repaired_value_is_kept_once(world: World) -> None:
    task = a_task(world)
    with unseen(world) as client:
        client.execute(
            "UPDATE tasks SET title = 'missed', due_date = 'soon' WHERE id = ?", [task["id"]]
        )
    found = verify(world.engine)
    assert [(u.column, u.text) for u in found.unreadable] == [("due_date", "soon")]
    assert "give YYYY-MM-DD" in found.unreadable[0].reason
    assert repair(world.engine).kept == 2
    assert repair(world.engine).kept == 0
    assert world.sql(
        "SELECT field, base_value, local_value, remote_value, resolution, policy FROM conflicts"
    ) == [
        {
            "field": "title",
            "base_value": task["title"],
            "local_value": "missed",
            "remote_value": task["title"],
            "resolution": "remote",
            "policy": "repair",
        },
        {
            "field": "due_date",
            "base_value": task["due_date"],
            "local_value": "soon",
            "remote_value": task["due_date"],
            "resolution": "remote",
            "policy": "repair",
        },
    ]
    assert world.one("SELECT * FROM tasks WHERE id = ?", task["id"]) == task
    assert_mended(world)
    assert world.writes() == []


def test_what_a_missing_trigger_hid_is_kept_once(world: World) -> None:
    """Also where the full read that follows looks for such edits by itself."""
    task = a_task(world)
    world.crash()
    on_postgresql = world.backend == "postgresql"
    world.sql(
        f"DROP TRIGGER sync_capture_tasks_{'log ON tasks' if on_postgresql else 'after_update'}"
    )
    world.sql("UPDATE tasks SET title = 'missed' WHERE id = ?", task["id"])
    with open_mirror(world.url) as mirror:
        migrate.upgrade_schema(mirror.engine)
    assert [one.column for one in verify(world.engine).drift] == ["title"]
    repair(world.engine)
    assert [row["local_value"] for row in world.sql("SELECT * FROM conflicts")] == ["missed"]
    assert_mended(world)


def test_what_was_said_and_spent_while_a_trigger_was_missing_goes_out(world: World) -> None:
    world.change_rules(comments=True)
    task = a_task(world)
    world.crash()
    on_postgresql = world.backend == "postgresql"
    for table, column, cell in (("comments", "message", "missed"), ("time_entries", "minutes", 45)):
        name = f"log ON {table}" if on_postgresql else "after_insert"
        world.sql(f"DROP TRIGGER sync_capture_{table}_{name}")
        world.sql(f"INSERT INTO {table} (item_guid, {column}) VALUES (?, ?)", task["guid"], cell)
    with open_mirror(world.url) as mirror:
        migrate.upgrade_schema(mirror.engine)
    world.sync(full=True)
    world.sync(full=True)
    model = world.service.model
    assert [unit.value for unit in model.comments(task["id"])].count("missed") == 1
    spent = (task["time_spent_minutes"] or 0) + 45
    assert model.item(task["id"]).get("time_spent") == spent
    entries = world.sql("SELECT minutes FROM time_entries WHERE item_guid = ?", task["guid"])
    assert sum(entry["minutes"] for entry in entries) == spent
    assert world.changes() == [("insert", "done")] * 2
    assert_mended(world)


@pytest.mark.sqlite_only
def test_drift_beside_an_unsent_edit_is_mended_and_the_edit_goes_out(world: World) -> None:
    task = a_task(world)
    with unseen(world) as client:
        client.execute(
            "UPDATE tasks SET message = 'm', archived = 1, due_date = x'ff' WHERE id = ?",
            [task["id"]],
        )
    world.sql("UPDATE tasks SET title = 'mine' WHERE id = ?", task["id"])
    assert repair(world.engine).kept == 3
    world.sync()
    item = world.service.model.item(task["id"])
    assert (item.title, item.get("message")) == ("mine", task["message"])
    assert world.writes() == [f"PUT /item/{task['id']}"]
    assert_mended(world)


# What can go wrong with the books, each by a plain client behind the triggers' back.

Damage = Callable[[sqlite3.Connection, dict[str, Any], str], None]


def drift_text(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    client.execute("UPDATE tasks SET message = ? WHERE guid = ?", [mark, row["guid"]])


def drift_set(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    client.execute("UPDATE tasks SET tags = json_array(?) WHERE guid = ?", [mark, row["guid"]])


def drift_unreadable(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    client.execute("UPDATE tasks SET start_date = ? WHERE guid = ?", [mark, row["guid"]])


def drift_archived(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    client.execute("UPDATE tasks SET archived = 1, message = ? WHERE guid = ?", [mark, row["guid"]])


def delete_row(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    client.execute("DELETE FROM tasks WHERE guid = ?", [row["guid"]])


def delete_base(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    client.execute("DELETE FROM sync_base WHERE guid = ?", [row["guid"]])


def delete_both(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    delete_row(client, row, mark)
    delete_base(client, row, mark)


def null_id(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    client.execute("UPDATE tasks SET id = NULL WHERE guid = ?", [row["guid"]])


def odd_id(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    client.execute("UPDATE tasks SET id = 'x' WHERE guid = ?", [row["guid"]])


def null_id_and_base(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    null_id(client, row, mark)
    delete_base(client, row, mark)


def drift_without_base(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    drift_text(client, row, mark)
    delete_base(client, row, mark)


def wrong_base_table(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    client.execute("UPDATE sync_base SET table_name = 'notes' WHERE guid = ?", [row["guid"]])


def odd_base_table(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    client.execute("UPDATE sync_base SET table_name = 'x' WHERE guid = ?", [row["guid"]])


def odd_base_table_without_row(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    odd_base_table(client, row, mark)
    delete_row(client, row, mark)


def wrong_base_id(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    client.execute("UPDATE sync_base SET id = -id WHERE guid = ?", [row["guid"]])


def moved_row(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    copied_row(client, row, mark)
    delete_row(client, row, mark)


def copied_row(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    """The same guid in two tables."""
    client.execute(
        "INSERT INTO notes (guid, id, title, message) SELECT guid, id, title, ? FROM tasks "
        "WHERE guid = ?",
        [mark, row["guid"]],
    )


def renamed_row(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    client.execute(
        "UPDATE tasks SET guid = ?, message = ? WHERE guid = ?",
        [str(uuid.uuid5(uuid.NAMESPACE_URL, mark)), mark, row["guid"]],
    )


def doubled_row(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    """The same id twice: a new row, put in by a client that copied the old one."""
    client.execute("INSERT INTO tasks (id, title) VALUES (?, ?)", [row["id"], mark])


def new_row(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    client.execute("INSERT INTO tasks (title) VALUES (?)", [mark])


def dead_base(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    client.execute(
        "INSERT INTO sync_base (guid, table_name, id) VALUES (?, 'tasks', ?)",
        [str(uuid.uuid5(uuid.NAMESPACE_URL, mark)), zlib.crc32(mark.encode())],
    )


def dead_row(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    """A row with an id that hiTask does not know, and no base."""
    client.execute("INSERT INTO tasks (id, title) VALUES (?, ?)", [zlib.crc32(mark.encode()), mark])


def left_intent(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    client.execute(
        "INSERT INTO sync_intents VALUES (?, 'tasks', 'update', '{}', 0, 1, ?) "
        "ON CONFLICT DO NOTHING",
        [row["guid"], "2026-03-02 09:00:00.000000"],
    )


def lost_memory(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    client.execute("DELETE FROM sync_state")


def lost_bases(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    client.execute("DELETE FROM sync_base")


def old_version(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    client.execute("UPDATE tasks SET version = 0, message = ? WHERE guid = ?", [mark, row["guid"]])


def swallowed_row(client: sqlite3.Connection, row: dict[str, Any], mark: str) -> None:
    """The README's trap: a REPLACE of somebody's UNIQUE index takes a row out unseen."""
    client.execute("ALTER TABLE tasks ADD COLUMN own TEXT")
    client.execute("CREATE UNIQUE INDEX own_index ON tasks (own)")
    client.execute("UPDATE tasks SET own = 'same' WHERE guid = ?", [row["guid"]])
    client.execute("INSERT OR REPLACE INTO tasks (title, own) VALUES (?, 'same')", [mark])
    client.execute("DROP INDEX own_index")
    client.execute("ALTER TABLE tasks DROP COLUMN own")


DAMAGES: tuple[Damage, ...] = (
    *(drift_text, drift_set, drift_unreadable, drift_archived, delete_row, delete_base),
    *(delete_both, null_id, odd_id, null_id_and_base, drift_without_base, wrong_base_table),
    *(odd_base_table, odd_base_table_without_row, wrong_base_id, moved_row, copied_row),
    *(renamed_row, doubled_row, new_row, dead_base, dead_row, left_intent, lost_memory),
    *(lost_bases, old_version),
)
IN_SIGHT: tuple[Damage, ...] = (swallowed_row,)

KINDS: dict[Damage, list[str]] = {
    delete_base: ["base-lost"],
    null_id: ["id-differs"],
    odd_id: ["id-differs"],
    null_id_and_base: ["base-lost"],
    wrong_base_table: ["table-differs"],
    odd_base_table: ["table-differs"],
    odd_base_table_without_row: [],
    wrong_base_id: ["id-differs"],
    moved_row: ["table-differs"],
    copied_row: ["guid-twice"],
    renamed_row: ["guid-renamed"],
    doubled_row: ["insert-unseen"],
    new_row: ["insert-unseen"],
    dead_base: ["row-vanished"],
    dead_row: ["base-lost"],
    left_intent: ["intent-left"],
    lost_memory: ["account-forgotten"],
    lost_bases: ["base-lost"] * 40,
    swallowed_row: [],
    delete_row: [],
}
MARKED = {
    *(drift_text, drift_set, drift_unreadable, drift_archived, drift_without_base, moved_row),
    *(copied_row, renamed_row, doubled_row, new_row, dead_row, old_version, swallowed_row),
}
"""Damages that write something which somebody may miss."""


def assert_kept(world: World, mark: str) -> None:
    """What somebody wrote is on hiTask, or in a record of what lost."""
    texts = [str((item.title, item.values)) for item in world.service.model.items()]
    for table in ("conflicts", "removed_rows"):
        texts += [str(row) for row in world.sql(f"SELECT * FROM {table}")]
    assert len([text for text in texts if mark in text]) == 1, mark


@pytest.mark.parametrize("damage", KINDS, ids=lambda damage: damage.__name__)
def test_every_misfit_has_a_name(world: World, damage: Damage) -> None:
    row = a_task(world)
    world.crash()
    with world.client() if damage in IN_SIGHT else unseen(world) as client:
        damage(client, row, "the-mark")
    found = verify(world.engine)
    assert kinds(found) == KINDS[damage]
    vanished = damage in {delete_row, swallowed_row, odd_base_table_without_row}
    assert [m.vanished for m in found.missing] == [True] * vanished


@pytest.mark.parametrize(
    "edited", ["quiet", pytest.param("edited", marks=pytest.mark.slow), "edited, then folded"]
)
@pytest.mark.parametrize("damage", [*DAMAGES, *IN_SIGHT], ids=lambda damage: damage.__name__)
def test_every_damage_is_found_and_mended(world: World, damage: Damage, edited: str) -> None:
    row = a_task(world)
    if edited != "quiet":
        world.sql("UPDATE tasks SET title = 'my edit', starred = 1 WHERE guid = ?", row["guid"])
    if edited == "edited, then folded":
        world.sync(pull_only=True)
    world.service.reset_log()
    world.crash()
    with world.client() if damage in IN_SIGHT else unseen(world) as client:
        damage(client, row, "the-mark")
    # A request under way that an edit explains is none too many.
    explained = damage is left_intent and edited != "quiet"
    assert (verify(world.engine).differences > 0) is not explained
    assert repair(world.engine).complete
    assert (world.writes(), verify(world.engine).differences) == ([], 0)
    world.sync()
    expected = row["title"] if edited == "quiet" or damage is delete_both else "my edit"
    assert world.service.model.item(row["id"]).title == expected  # it is there at all
    assert world.one("SELECT title FROM tasks WHERE id = ?", row["id"]) == {"title": expected}
    assert {line.split()[0] for line in world.writes()} <= {"PUT", "POST"}
    if damage in MARKED:
        assert_kept(world, "the-mark")
    assert_mended(world)


@pytest.mark.parametrize(
    "seed", [pytest.param(n, marks=[pytest.mark.slow] * (n >= 5)) for n in range(40)]
)
def test_any_damages_together_are_mended(new_world: MakeWorld, seed: int) -> None:
    rng = random.Random(seed)
    traits = [[], ["stubs=false"], ["delta=false"], ["keeps_guid=false"], ["nulls=true"]]
    world = new_world(traits=traits[seed % len(traits)])
    world.sync()
    world.sql("INSERT INTO tasks (title) VALUES ('made here')")
    for _ in range(3):
        world.sync()
    rows = world.sql("SELECT * FROM tasks WHERE permission = 100 ORDER BY id")
    for number, row in enumerate(rng.sample(rows, 4)):
        world.sql("UPDATE tasks SET title = ? WHERE guid = ?", f"edit {number}.", row["guid"])
    world.service.reset_log()
    world.crash()
    hit = rng.sample(rows, 8)
    done = [rng.choice(DAMAGES) for _ in hit]
    with unseen(world) as client:
        for number, (damage, row) in enumerate(zip(done, hit, strict=True)):
            damage(client, row, f"mark {number}.")
    assert repair(world.engine).complete
    assert (world.writes(), verify(world.engine).differences) == ([], 0)
    world.sync()
    for number, damage in enumerate(done):
        # Without its base, a row says by its version alone when it was pulled.
        if damage in MARKED and (damage is not old_version or lost_bases not in done):
            assert_kept(world, f"mark {number}.")
    assert {row["id"] for row in rows} <= {item.id for item in world.service.model.items()}
    assert_mended(world)


def test_a_repair_that_is_killed_anywhere_ends_as_one_that_is_not(world: World) -> None:
    row, other = a_task(world, 0), a_task(world, 1)
    world.crash()
    with unseen(world) as client:
        drift_text(client, row, "kept once")
        renamed_row(client, other, "kept too")
        new_row(client, row, "made once")
        dead_row(client, row, "gone once")
    step, died = 0, True
    while died:
        step += 1
        killed = world.fork(world.folder / str(step))
        Steps(killed, die_at=step)
        try:
            repair(killed.engine)
            died = False
        except KilledError:
            pass
        killed.crash()
        killed.transport = None
        repair(killed.engine)
        assert verify(killed.engine).differences == 0
        killed.sync()
        for mark in ("kept once", "kept too", "made once", "gone once"):
            assert_kept(killed, mark)
        killed.close()
    assert step > 5


def test_an_index_of_ones_own_is_named_and_nothing_is_lost(world: World) -> None:
    row = a_task(world)
    world.sql("CREATE UNIQUE INDEX own_index ON tasks (title)")
    world.sql("INSERT OR REPLACE INTO tasks (title) VALUES (?)", row["title"])
    before = everything(world)
    with pytest.raises(MirrorError, match="drop it if it is your own"):
        repair(world.engine)
    assert everything(world) == before
    world.sql("DROP INDEX own_index")
    repair(world.engine)
    assert world.one("SELECT * FROM tasks WHERE guid = ?", row["guid"]) == row
    assert_mended(world)


def test_a_mirror_that_forgot_whose_it_is_is_not_repaired_from_another_account(
    world: World, new_world: MakeWorld
) -> None:
    other = new_world(items=5)
    other.service.model.next_id = 1
    world.crash()
    with unseen(world) as client:
        lost_memory(client, {}, "")
    for item in list(other.service.model.items()):
        other.service.model.delete(item.id, user=other.service.model.user(item.user_id))
    me = other.service.model.users[0]
    other.service.model.create(user=me, title="somebody else's")
    world.service = other.service
    before = everything(world)
    for work in (verify, repair):
        with pytest.raises(MirrorError, match=r"hitask\.login"):
            work(world.engine)
    assert everything(world) == before


def test_nothing_can_be_verified_before_the_first_sync(new_world: MakeWorld) -> None:
    world = new_world(items=5)
    for work in (verify, repair):
        with pytest.raises(MirrorError, match="run `hisync sync`"):
            work(world.engine)


def test_a_lost_memory_makes_no_old_edit_new_again(world: World) -> None:
    """What was folded is forgotten with `sync_state`: finished edits must not look unsent."""
    row = a_task(world)
    world.sql("UPDATE tasks SET title = 'old edit' WHERE guid = ?", row["guid"])
    world.sync()
    edit_there(world, row["id"], title="newer")
    world.crash()
    world.sql("DELETE FROM sync_state")
    world.sync()
    assert world.sql("SELECT * FROM conflicts") == []
    assert world.one("SELECT title FROM tasks WHERE guid = ?", row["guid"]) == {"title": "newer"}
    assert world.service.model.item(row["id"]).title == "newer"


def test_repairing_twice_is_repairing_once(world: World) -> None:
    world.crash()
    with unseen(world) as client:
        for number, damage in enumerate(DAMAGES):
            damage(client, a_task(world, number % 5), f"mark {number}.")
    repair(world.engine)
    before = everything(world)
    repair(world.engine)
    cursors = [[row for row in table if row.get("key") != "last_full_at"] for table in before]
    after = everything(world)
    assert [[r for r in table if r.get("key") != "last_full_at"] for table in after] == cursors
