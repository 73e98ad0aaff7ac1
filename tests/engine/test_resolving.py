"""Recorded conflicts of which a person takes the other side after all."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
import pytest

from hisync.deciding.decisions import DecisionError
from hisync.deciding.discarding import discard_changes
from hisync.deciding.resolving import Resolved, Side, resolve_conflict
from hisync.deciding.sight import Sight, load_sight
from hisync.items import fields_of
from hisync.mirror.store import open_mirror
from hisync.plan.actions import Policy
from hisync.sandbox import Fault
from tests.world import World

BOTH = True

pytestmark = pytest.mark.slow

GUID = "00000000-0000-4000-8000-00000000000a"
NOW = datetime(2030, 1, 1)
ODD = "it's “odd” \U0001f409 \\ \" %s ; -- :x"


def resolve(world: World, number: int, take: Side) -> Resolved:
    """Resolve as a command does: beside the engine, without a lock."""
    with open_mirror(world.url) as mirror:
        mirror.check()
        return resolve_conflict(mirror, number, take, NOW)


def look(world: World, number: int = 1) -> Sight:
    with open_mirror(world.url) as mirror, mirror.reading() as connection:
        return load_sight(connection, number)


def make(world: World, table: str = "tasks", **cells: Any) -> int:
    """A row that both sides have; its number."""
    columns = {"guid": GUID, "title": "base", **cells}
    marks = ", ".join("?" * len(columns))
    world.sql(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", *columns.values())
    world.sync()
    world.sync()
    world.service.reset_log()
    return int(world.one(f"SELECT id FROM {table} WHERE guid = ?", GUID)["id"])


def here(world: World, table: str = "tasks", **cells: Any) -> None:
    columns = ", ".join(f"{column} = ?" for column in cells)
    world.sql(f"UPDATE {table} SET {columns} WHERE guid = ?", *cells.values(), GUID)


def there(world: World, number: int, **changes: Any) -> None:
    world.service.model.update(number, user=world.service.model.users[0], **changes)


def cell(world: World, column: str, table: str = "tasks") -> Any:
    return world.one(f"SELECT {column} AS cell FROM {table} WHERE guid = ?", GUID)["cell"]


def conflict(world: World, number: int = 1) -> dict[str, Any]:
    return world.one("SELECT * FROM conflicts WHERE id = ?", number)


def assert_quiet(world: World) -> None:
    """Both sides are equal, and a cycle finds nothing to do."""
    world.sync()
    world.service.reset_log()
    summary = world.sync(full=True)
    assert (summary.pulled, summary.pushed, world.writes()) == (0, 0, [])
    assert world.sql("SELECT 1 FROM sync_base WHERE dirty IS NOT NULL") == []


def clash(world: World, policy: Any = "remote") -> int:
    """A conflict about the title, settled by policy; the item's number."""
    number = make(world)
    world.change_rules(policy=Policy(policy))
    there(world, number, title="theirs")
    here(world, title="ours")
    assert world.sync().conflicts == 1
    world.service.reset_log()
    return number


@pytest.mark.parametrize(("policy", "take"), [("remote", "local"), ("local", "remote")])
def test_the_other_side_is_taken_as_a_new_edit_and_back_again(
    world: World, policy: str, take: Side
) -> None:
    number = clash(world, policy)
    won, lost = ("theirs", "ours") if policy == "remote" else ("ours", "theirs")
    resolved = resolve(world, 1, take)
    seq = resolved.change
    assert resolved.text == f"title is {lost!r} now, as change {seq}"
    assert (cell(world, "title"), world.changes()[-1]) == (lost, ("update", "pending"))
    after = conflict(world)
    assert (after["resolution"], after["resolved_at"][:4]) == (take, "2030")
    assert (after["local_value"], after["remote_value"]) == ("ours", "theirs")
    world.sync()
    assert world.writes() == [f"PUT /item/{number}"]
    assert world.service.model.item(number).title == lost
    assert_quiet(world)
    assert resolve(world, 1, policy).change is not None  # type: ignore[arg-type]
    assert_quiet(world)
    assert world.service.model.item(number).title == won
    assert len(world.sql("SELECT 1 FROM conflicts")) == 1


def test_what_won_already_needs_nothing(world: World) -> None:
    clash(world)
    before = conflict(world)
    assert resolve(world, 1, "remote") == Resolved(
        1, "remote", None, "nothing to do: remote stands already"
    )
    assert conflict(world) == before
    world.sql("UPDATE conflicts SET resolved_at = NULL")
    resolve(world, 1, "remote")
    assert conflict(world)["resolved_at"][:4] == "2030"
    assert_quiet(world)


def test_a_value_that_somebody_has_changed_since_is_left(world: World) -> None:
    clash(world)
    here(world, title="newer")
    before = conflict(world)
    with pytest.raises(DecisionError, match=r"title is 'newer' by now, not 'theirs'"):
        resolve(world, 1, "local")
    assert (conflict(world), cell(world, "title")) == (before, "newer")
    here(world, due_date="2026-01-01")
    here(world, title="ours")
    assert resolve(world, 1, "local").text == "nothing to do: title is 'ours' already"
    assert conflict(world)["resolution"] == "local"


@pytest.mark.sqlite_only
def test_a_cell_that_cant_be_read_is_left(world: World) -> None:
    number = make(world, due_date="2026-05-01 10:00")
    there(world, number, due_date="2026-06-01T10:00:00.000+00:00")
    here(world, due_date="2026-07-01")
    world.sync()
    here(world, due_date="tomorrow")
    with pytest.raises(DecisionError, match="can't be read"):
        resolve(world, 1, "local")
    assert cell(world, "due_date") == "tomorrow"


def test_an_open_conflict_is_settled(world: World) -> None:
    """Policy closes each at once; should one be open, it can be settled."""
    clash(world)
    world.sql("UPDATE conflicts SET resolved_at = NULL, resolution = NULL")
    assert resolve(world, 1, "local").change is not None
    assert (cell(world, "title"), conflict(world)["resolution"]) == ("ours", "local")


def test_a_side_whose_edit_was_taken_back_can_be_taken_again(world: World) -> None:
    number = clash(world)
    first = resolve(world, 1, "local").change
    assert first is not None
    with open_mirror(world.url) as mirror:
        discard_changes(mirror, [first], NOW)
    assert (cell(world, "title"), look(world).lapsed) == ("theirs", True)
    assert resolve(world, 1, "local").change == first + 1
    world.sync()
    assert (world.service.model.item(number).title, look(world).lapsed) == ("ours", False)
    assert resolve(world, 1, "local").change is None


def test_what_policy_decided_is_not_decided_again(world: World) -> None:
    """Somebody wrote the value that had lost: that edit is newer than the conflict."""
    clash(world)
    here(world, title="ours")
    with pytest.raises(DecisionError, match="title is 'ours' by now, not 'theirs', which had won"):
        resolve(world, 1, "remote")
    assert cell(world, "title") == "ours"


def test_a_side_that_had_won_and_stands_no_more_is_not_said_to_stand(world: World) -> None:
    number = make(world)
    world.change_rules(policy=Policy("local"))
    there(world, number, title="theirs")
    here(world, title="ours")
    world.service.faults.add(Fault("status", "PUT", "/item/*", status=400, code=25))
    assert (world.sync().rejected, conflict(world)["resolution"]) == (1, "local")
    with pytest.raises(DecisionError, match="title is 'theirs' by now, not 'ours', which had won"):
        resolve(world, 1, "local")


def test_a_deletion_that_was_refused_can_be_taken_again(world: World) -> None:
    number = revive(world)
    resolve(world, 1, "local")
    world.service.faults.add(Fault("status", "DELETE", "/item/*", status=400, code=25))
    assert world.sync().rejected == 1
    assert look(world).lapsed
    assert resolve(world, 1, "local").change is not None
    world.sync()
    assert number not in {item.id for item in world.service.model.items()}
    assert not look(world).lapsed


def test_what_was_merged_leaves_nothing_to_choose(world: World) -> None:
    clash(world)
    world.sql("UPDATE conflicts SET resolution = 'merged'")
    with pytest.raises(DecisionError, match="nothing to choose"):
        resolve(world, 1, "local")


def test_an_unknown_conflict_is_named(world: World) -> None:
    world.sync()
    with pytest.raises(DecisionError, match="there is no conflict 7"):
        resolve(world, 7, "local")


# By field: (our cell, their value on the wire). Lists merge, so they have a test of their own.

DAY = "2026-06-01T00:00:00.000+00:00"
NOON = "2026-06-01T12:30:00.250+00:00"
PLACE = {"longitude": 1.5, "latitude": -2, "address": 'Č "q"'}
ALERTS: list[dict[str, Any]] = [{"id": 1, "timeType": 4, "time": 10, "sound": None}]
VALUES: Mapping[str, tuple[Any, Any]] = {
    "title": (ODD, "theirs 'n' all"),
    "message": ("line\nline\t" + ODD, ""),
    "completed": (True, False),
    "color": (3, 5),
    "color_value": ("#123456", "#654321"),
    "start_date": ("2026-05-01 09:00:00.123456", NOON),
    "end_date": ("2026-05-02T09:00:00+02:00", NOON),
    "due_date": ("2026-05-03", NOON),
    "recurring": (1, 2),
    "recurring_interval": (7, 2),
    "recurring_end_date": ("2027-05-03", DAY),
    "alerts": (orjson.dumps(ALERTS).decode(), []),
    "priority": (10001, 30001),
    "time_est_minutes": (0, 95),
    "location": (orjson.dumps(PLACE).decode(), {"address": ODD}),
    "short_name": ("OURS", "THEIRS"),
}
BASES: Mapping[str, Any] = {
    "color": 1,
    "message": "base",
    "alerts": '[{"id": 2}]',
    "time_est_minutes": 5,
    "short_name": "BASE",
}


@pytest.mark.parametrize("take", ["local", "remote"])
@pytest.mark.parametrize("all_day", [False, True])
def test_every_kind_of_value_survives_the_record(world: World, take: Side, all_day: bool) -> None:
    base = {**BASES, "is_all_day": all_day, "completed": False}
    number = make(world, "projects", **base)
    world.change_rules(policy=Policy("remote" if take == "local" else "local"))
    here(world, "projects", **{column: ours for column, (ours, _) in VALUES.items()})
    theirs = {column: value for column, (_, value) in VALUES.items() if column != "completed"}
    there(
        world,
        number,
        **{("time_est" if c == "time_est_minutes" else c): v for c, v in theirs.items()},
    )
    written = world.one("SELECT * FROM projects WHERE guid = ?", GUID)
    world.sync()
    conflicts = world.sql("SELECT id, field FROM conflicts")
    assert {one["field"] for one in conflicts} == theirs.keys()
    lost = world.one("SELECT * FROM projects WHERE guid = ?", GUID)
    for one in conflicts:
        assert resolve(world, one["id"], take).change is not None, one
    chosen = world.one("SELECT * FROM projects WHERE guid = ?", GUID)
    assert all(chosen[column] != lost[column] for column in theirs)
    world.sync()
    assert_quiet(world)
    for one in conflicts:
        recorded = look(world, one["id"])
        assert recorded.cell is not None
        assert recorded.cell.holds(recorded.conflict[f"{take}_value"]), one
    if take == "local" and not all_day:
        # What hiTask's dates can't carry aside, the cells mean what people had written.
        for column in ("title", "message", "color", "priority", "short_name", "location"):
            same = chosen[column], written[column]
            if fields_of("projects")[column].type.value == "json":
                same = orjson.loads(same[0]), orjson.loads(same[1])
            assert same[0] == same[1]


@pytest.mark.parametrize("column", ["assignee_id", "parent_guid"])
def test_what_names_another_thing_is_taken(world: World, column: str) -> None:
    number = make(world)
    first, second = world.sql(
        "SELECT guid, id FROM tasks WHERE permission = 100 AND title <> 'base' LIMIT 2"
    )
    users = [user.id for user in world.service.model.users[:2]]
    mine: dict[str, Any]
    if column == "parent_guid":
        mine, theirs = {column: first["guid"]}, {"parent": second["id"]}
    else:
        mine, theirs = {column: users[0]}, {"assignee": users[1]}
    there(world, number, **theirs)
    here(world, **mine)
    assert world.sync().conflicts == 1
    assert cell(world, column) != mine[column]
    resolve(world, 1, "local")
    assert cell(world, column) == mine[column]
    world.sync()
    world.sync(full=True)  # that the parents have children or not, no delta says
    assert_quiet(world)
    assert cell(world, column) == mine[column]


@pytest.mark.parametrize("nothing", ["local", "remote"])
@pytest.mark.parametrize(
    ("column", "base", "value"),
    [
        ("message", "base", "x"),
        ("due_date", "2026-05-01 10:00", "2026-06-01T10:00:00.000+00:00"),
        ("location", '{"address": "a"}', {"address": "b"}),
        ("alerts", '[{"id": 1}]', [{"id": 2}]),
        ("time_est_minutes", 5, 10),
    ],
)
def test_nothing_is_a_value_too(
    world: World, nothing: Side, column: str, base: Any, value: Any
) -> None:
    number = make(world, **{column: base})
    wire = "time_est" if column == "time_est_minutes" else column
    cells = {"location": '{"address": "b"}', "alerts": '[{"id": 2}]'}
    ours = None if nothing == "local" else cells.get(column, value)
    there(world, number, **{wire: value if nothing == "local" else None})
    mine: dict[str, Any] = {column: ours}
    here(world, **mine)
    world.change_rules(policy=Policy("remote" if nothing == "local" else "local"))
    assert world.sync().conflicts == 1
    assert (cell(world, column) is None) is False
    resolve(world, 1, nothing)
    assert cell(world, column) is None
    assert_quiet(world)
    assert cell(world, column) is None


@pytest.mark.parametrize("ours", ['["x", "it\'s"]', "[]"])
def test_a_list_that_was_written_over_unseen_is_taken(world: World, ours: str) -> None:
    number = make(world, tags='["a"]')
    here(world, tags=ours)
    send = world.engine.api.send_update

    def colleague_first(*args: Any, **options: Any) -> object:
        there(world, number, tags=["theirs", "\U0001f409"])
        return send(*args, **options)

    world.engine.api.send_update = colleague_first  # type: ignore[method-assign,assignment]
    assert world.sync().conflicts == 1
    world.engine.api.send_update = send  # type: ignore[method-assign]
    resolve(world, 1, "remote")
    world.sync()
    tags = world.service.model.item(number).get("tags")
    assert set(tags or ()) == {"theirs", "\U0001f409"}  # type: ignore[call-overload]
    assert_quiet(world)
    resolve(world, 1, "local")
    assert_quiet(world)


def test_json_that_is_a_text_is_taken(world: World) -> None:
    number = make(world, location='{"address": "a"}')
    there(world, number, location={"address": "b"})
    here(world, location='"nowhere"')
    world.sync()
    resolve(world, 1, "local")
    assert cell(world, "location") == '"nowhere"'


# Rows as a whole


def revive(world: World) -> int:
    number = make(world, due_date="2026-05-01 10:00")
    there(world, number, title="still needed", due_date="2026-06-01T10:00:00.000+00:00")
    world.sql("DELETE FROM tasks WHERE guid = ?", GUID)
    world.sync()
    world.service.reset_log()
    assert (conflict(world)["field"], cell(world, "title")) == (None, "still needed")
    return number


def test_a_row_that_came_back_is_deleted_after_all(world: World) -> None:
    number = revive(world)
    resolved = resolve(world, 1, "local")
    assert resolved.text == f"the row is deleted, as change {resolved.change}"
    with pytest.raises(DecisionError, match="--as-new"):
        resolve(world, 1, "remote")
    world.sync()
    assert world.writes() == [f"DELETE /item/{number}"]
    assert_quiet(world)
    assert conflict(world)["resolution"] == "local"


def test_a_row_that_came_back_can_be_deleted_with_edits_that_were_never_sent(world: World) -> None:
    number = make(world)
    there(world, number, title="still needed")
    here(world, color=5)
    world.sql("DELETE FROM tasks WHERE guid = ?", GUID)
    world.sync()
    assert resolve(world, 1, "local").change is not None


@pytest.mark.parametrize("column", ["title", "color"])
def test_a_row_that_came_back_is_left_if_it_was_edited_since(world: World, column: str) -> None:
    number = revive(world)
    mine: dict[str, Any] = {column: 3}
    here(world, **mine)
    with pytest.raises(DecisionError, match="edited the row since"):
        resolve(world, 1, "local")
    world.sql("UPDATE change_log SET state = 'discarded'")  # … or if hiTask has
    there(world, number, **{column: "4" if column == "title" else 4})
    with pytest.raises(DecisionError, match=f"{column} was changed since"):
        resolve(world, 1, "local")
    assert world.sql("SELECT 1 FROM tasks WHERE guid = ?", GUID)


@pytest.mark.parametrize("what", ["time_spent_minutes", "last_comment_id"])
def test_a_row_that_came_back_is_left_if_people_work_on_it_since(world: World, what: str) -> None:
    number = revive(world)
    if what == "last_comment_id":
        world.service.model.comment(number, message="one moment", user=world.service.model.users[0])
    else:
        there(world, number, time_spent=30)
    world.sync()
    with pytest.raises(DecisionError, match=f"{what} was changed since"):
        resolve(world, 1, "local")
    assert world.sql("SELECT 1 FROM tasks WHERE guid = ?", GUID)


def test_a_row_that_is_gone_already_needs_nothing(world: World) -> None:
    number = revive(world)
    world.service.model.delete(number, user=world.service.model.users[0])
    world.sync()
    assert resolve(world, 1, "local").change is None
    assert conflict(world)["resolution"] == "local"


@pytest.mark.parametrize("policy", ["remote", "local"])
def test_an_edit_of_what_hitask_had_lost_names_the_way_back(world: World, policy: Any) -> None:
    number = make(world)
    world.change_rules(policy=Policy(policy))
    world.service.model.delete(number, user=world.service.model.users[0])
    here(world, title="precious", message=None, color=4)
    world.sync()
    before = world.sql("SELECT * FROM conflicts")
    match = rf"`hisync restore {GUID} --as-new`" if policy == "remote" else "DELETE the row"
    with pytest.raises(DecisionError, match=match):
        resolve(world, 1, "local" if policy == "remote" else "remote")
    assert world.sql("SELECT * FROM conflicts") == before
    assert_quiet(world)


def test_an_item_of_another_kind_by_now_is_found(world: World) -> None:
    number = clash(world)
    world.service.model.item(number).values["category"] = 4
    there(world, number, message="a note now")
    world.sync()
    sight = look(world)
    assert (sight.row.table if sight.row else None, sight.obstacle) == ("notes", None)
    resolve(world, 1, "local")
    assert cell(world, "title", "notes") == "ours"
    assert_quiet(world)


def test_a_field_that_the_items_new_kind_lacks_is_named(world: World) -> None:
    number = make(world, "projects")
    here(world, "projects", short_name="ABC")
    world.service.model.item(number).values["category"] = 1
    there(world, number, title="a task now")
    world.sync()
    with pytest.raises(DecisionError, match="in tasks now, which has no short_name"):
        resolve(world, 1, "local")


def test_a_resolution_beside_a_running_write_goes_out_next(world: World) -> None:
    number = clash(world)
    here(world, message="being sent")
    send = world.engine.api.send_update

    def resolve_first(*args: Any, **options: Any) -> object:
        resolve(world, 1, "local")
        return send(*args, **options)

    world.engine.api.send_update = resolve_first  # type: ignore[method-assign,assignment]
    world.sync()
    item = world.service.model.item(number)
    assert (item.title, item.get("message")) == ("ours", "being sent")
    assert_quiet(world)


def test_a_row_that_came_back_is_left_if_it_was_edited_and_then_changed_kinds(
    world: World,
) -> None:
    number = revive(world)
    here(world, color=3)
    world.sync()
    item = world.service.model.store.live[number]
    item.values["category"] = 4
    world.service.model._touch(item)
    world.sync()
    assert cell(world, "color", "notes") == 3
    with pytest.raises(DecisionError, match="edited the row since"):
        resolve(world, 1, "local")
