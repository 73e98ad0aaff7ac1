"""Who is who: read rarely, kept when it can't be read, and enough for every join."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import structlog
from sqlalchemy import Connection
from structlog.testing import capture_logs

from hisync.cycle import preview
from hisync.errors import SlowDownError, StopError
from hisync.mirror import people
from hisync.sandbox.faults import Fault
from tests.engine.conftest import MakeWorld
from tests.world import World

pytestmark = pytest.mark.slow

BOTH = True

HOUR = 3600.0
DAY = 24 * HOUR
PEOPLE = ["GET /contact", "GET /team", "GET /group", "GET /tag", "GET /user/preferences"]
TABLE_OF = {"/contact": "users", "/team": "users", "/group": "groups", "/tag": "tags"}


@pytest.fixture
def world(new_world: MakeWorld) -> World:
    """A world whose mirror is filled and quiet, but for the comments, which take time."""
    made = new_world(rules={"comments": False})
    made.sync()
    made.sync()
    made.service.reset_log()
    return made


def asked(world: World) -> list[str]:
    """The requests about people since the last look."""
    found = [f"{entry.method} {entry.path}" for entry in world.service.log]
    world.service.reset_log()
    return [request for request in found if "/item" not in request and "authent" not in request]


def after(world: World, seconds: float, **options: Any) -> list[str]:
    """A cycle that much later, and what it asked for about people."""
    asked(world)
    world.time.sleep(seconds)
    world.sync(**options)
    return asked(world)


def assign(world: World, user: int) -> None:
    """Give some task on hiTask to someone."""
    item = next(item for item in world.service.model.items() if item.category == 1)
    owner = world.service.model.user(item.user_id)
    world.service.model.update(item.id, user=owner, assignee=user)


def names(world: World, table: str) -> set[str]:
    column = "full_name" if table == "users" else "name"
    return {row[column] for row in world.sql(f"SELECT {column} FROM {table}")}


def test_the_first_cycle_mirrors_people_groups_and_tags(world: World) -> None:
    model = world.service.model
    users = world.sql("SELECT id, login, first_name, last_name, full_name, is_self FROM users")
    assert sorted(map(str, users)) == sorted(
        str(
            {
                "id": user.id,
                "login": user.login,
                "first_name": user.first_name,
                "last_name": user.last_name,
                "full_name": user.name,
                "is_self": int(user is model.users[0]),
            }
        )
        for user in model.users
    )
    groups = world.sql("SELECT id, name, code, color, type, members FROM groups")
    assert {row["id"]: row | {"members": json.loads(row["members"])} for row in groups} == {
        group.id: {
            "id": group.id,
            "name": group.name,
            "code": group.code,
            "color": group.color,
            "type": group.type,
            "members": group.members,
        }
        for group in model.team.groups.values()
    }
    tags = world.sql("SELECT id, name, shared FROM tags")
    assert {(row["id"], row["name"], row["shared"]) for row in tags} == {
        (tag.id, tag.name, 1) for tag in model.tags.values()
    }
    assert world.changes() == []


def test_who_is_new_is_looked_for_now_and_then(
    new_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, named = list[object](), people.named_users

    def look(connection: Connection) -> frozenset[int]:  # at every row that there is
        looks.append(connection)
        return named(connection)

    monkeypatch.setattr(people, "named_users", look)
    world = new_world(rules={"comments": False})
    first, second = (user.id for user in world.service.model.users[:2])
    for seconds, user, looked in (
        *((0, first, 1), (60, second, 1), (180, first, 1)),
        *((180, None, 2), (1000, None, 2), (60, second, 3)),  # what changed in between, once
    ):
        world.time.sleep(seconds)
        if user is not None:
            assign(world, user)
        world.sync()
        assert len(looks) == looked
    world.crash()
    assign(world, first)
    world.sync()
    assert len(looks) == 4  # what the last process had still to look for, nobody knows any more


def test_whoever_is_named_by_the_first_items_of_all_is_looked_up(new_world: MakeWorld) -> None:
    world = new_world(items=0, rules={"comments": False})
    world.sync()
    world.sync()
    zoe = world.service.model.team.add_user("zoe@example.com", "x", "Zoë", "Ng")
    owner = world.service.model.users[0]
    world.service.model.create(user=owner, title="T", assignee=zoe.id)
    assert after(world, 2 * HOUR) == PEOPLE


def test_a_new_name_outlives_an_error_of_the_reading(world: World) -> None:
    zoe = world.service.model.team.add_user("zoe@example.com", "x", "Zoë", "Ng")
    assign(world, zoe.id)
    world.service.faults.add(Fault("status", "GET", "/team", status=401, code=8, count=0))
    with pytest.raises(StopError):
        after(world, 2 * HOUR)
    world.service.faults.clear()
    assert PEOPLE[0] in after(world, 60)
    assert "Zoë Ng" in names(world, "users")


def test_every_id_joins_to_a_name(world: World) -> None:
    tables = ["projects", "tasks", "events", "notes", "files", "other_items"]
    for column in ("assignee_id", "owner_id"):
        everywhere = " UNION ".join(f"SELECT {column} AS id FROM {table}" for table in tables)
        assert (
            world.sql(f"SELECT id FROM ({everywhere}) WHERE id NOT IN (SELECT id FROM users)") == []
        )
    listed = "json_each(tasks.participants)"
    if world.backend == "postgresql":
        listed = "jsonb_array_elements(tasks.participants)"
    known = "SELECT CAST(id AS TEXT) FROM users"
    query = f"SELECT 1 FROM tasks, {listed} AS p WHERE CAST(p.value AS TEXT) NOT IN ({known})"
    assert world.sql(query) == []


def test_they_are_read_once_a_day_after_everything_else(new_world: MakeWorld) -> None:
    world = new_world()
    world.sync()
    order = [f"{entry.method} {entry.path}" for entry in world.service.log]
    # The zone first, to tell what day it was; the histories of commented items come last.
    *rest, zone = PEOPLE
    assert order[:7] == ["GET /user/authenticate", zone, "GET /item", *rest]
    asked(world)
    world.change_rules(comments=False)
    assert after(world, 60) == []
    assert after(world, DAY - 120) == []
    assert after(world, 120) == PEOPLE
    assert after(world, 60) == []


def test_a_clock_set_back_is_no_excuse(world: World) -> None:
    assert after(world, -2 * DAY) == PEOPLE


def watch_people(world: World) -> None:
    """Have every write of who is who noted in a table of one's own, `seen`."""
    world.sql("CREATE TABLE seen (what TEXT)")
    served = world.backend == "postgresql"
    if served:
        world.sql(
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen "
            "VALUES (concat_ws(' ', TG_OP, TG_TABLE_NAME, coalesce(NEW.id, OLD.id))); "
            "RETURN NULL; END $$"
        )
    for table in ("users", "groups", "tags"):
        for event in ("INSERT", "UPDATE", "DELETE"):
            row = "OLD" if event == "DELETE" else "NEW"
            body = f"BEGIN INSERT INTO seen VALUES ('{event} {table} ' || {row}.id); END"
            if served:
                body = "FOR EACH ROW EXECUTE FUNCTION note()"
            world.sql(f"CREATE TRIGGER my_{table}_{event} AFTER {event} ON {table} {body}")


def test_a_reading_writes_only_what_differs(world: World) -> None:
    watch_people(world)
    team = world.service.model.team
    after(world, DAY)
    assert world.sql("SELECT * FROM seen") == []
    katya, tag = world.service.model.users[5], world.service.model.tags.popitem()[1]
    katya.last_name = "Bondar-Lys"
    group = team.add_group("Night shift", "night", [katya.id])
    with capture_logs() as logs:
        after(world, DAY)
    assert {row["what"] for row in world.sql("SELECT * FROM seen")} == {
        f"UPDATE users {katya.id}",
        f"INSERT groups {group.id}",
        f"DELETE tags {tag.id}",
    }
    assert "Катерина Bondar-Lys" in names(world, "users")
    (said,) = [entry for entry in logs if entry["event"] == "people_read"]
    assert (said["users"], said["groups"], said["tags"]) == (1, 1, 1)


def test_someone_new_is_looked_up_an_hour_after_the_last_reading_at_the_soonest(
    world: World,
) -> None:
    zoe = world.service.model.team.add_user("zoe@example.com", "x", "Zoë", "Ng")
    assign(world, zoe.id)
    assert after(world, 60) == []
    assert after(world, HOUR - 180) == []
    assert after(world, 180) == PEOPLE  # although that cycle was a quiet one
    assert "Zoë Ng" in names(world, "users")
    assert after(world, 2 * HOUR) == []


def test_someone_whom_hitask_never_shows_is_not_asked_for_again_and_again(world: World) -> None:
    zoe = world.service.model.team.add_user("zoe@example.com", "x", "Zoë", "Ng")
    world.service.faults.add(f"GET /contact:missing_ids={zoe.id}:0")
    world.service.faults.add(f"GET /team:missing_ids={zoe.id}:0")
    assign(world, zoe.id)
    assert after(world, 2 * HOUR) == PEOPLE
    for _ in range(3):
        assign(world, world.service.model.users[1].id)
        assert after(world, 2 * HOUR) == []
        assign(world, zoe.id)
        assert after(world, 2 * HOUR) == []
    assert "Zoë Ng" not in names(world, "users")


NOT_THERE = Fault("status", status=404, code=1, count=0)
TROUBLE = Fault("status", status=503, code=100, count=0)


@pytest.mark.parametrize(
    ("path", "fault", "again_after"),
    [
        *((path, NOT_THERE, DAY) for path in TABLE_OF),
        *((path, TROUBLE, HOUR) for path in TABLE_OF),
        ("/tag", replace(NOT_THERE, body="<html>nginx</html>"), DAY),
        ("/tag", replace(NOT_THERE, status=400, code=86), DAY),
        ("/tag", replace(NOT_THERE, status=403, code=3), DAY),
        ("/tag", replace(NOT_THERE, status=403, code=54), DAY),
        ("/tag", Fault("html", count=0), HOUR),
        ("/tag", Fault("cut", count=0), HOUR),
        ("/tag", Fault("empty", count=0), HOUR),
        ("/tag", Fault("drop_after", count=0), HOUR),
    ],
)
def test_what_cant_be_read_leaves_its_table_and_the_cycle_alone(
    world: World, path: str, fault: Fault, again_after: float
) -> None:
    before = {table: names(world, table) for table in ("users", "groups", "tags")}
    world.service.faults.add(replace(fault, path=path))
    with capture_logs() as logs:
        world.time.sleep(DAY)
        summary = world.sync()
    assert summary.trouble is None
    assert {table: names(world, table) for table in before} == before
    assert [e["what"] for e in logs if e["event"] == "people_unreadable"] == [
        {"/contact": "contacts", "/team": "team", "/group": "groups", "/tag": "tags"}[path]
    ]
    assert after(world, again_after - 60) == []
    with capture_logs() as logs:
        assert f"GET {path}" in after(world, 60)
    assert "people_unreadable" not in {entry["event"] for entry in logs}  # said once
    world.service.faults.clear()
    world.service.model.team.add_user("zoe@example.com", "x", "Zoë", "Ng")
    with capture_logs() as logs:
        assert after(world, again_after) == PEOPLE
    assert "people_readable_again" in {entry["event"] for entry in logs}
    assert "Zoë Ng" in names(world, "users")


def test_an_account_without_any_of_it_still_knows_itself(new_world: MakeWorld) -> None:
    world = new_world(rules={"comments": False})
    for path in TABLE_OF:
        world.service.faults.add(Fault("status", "GET", path, status=404, code=1, count=0))
    summary = world.sync()
    assert (summary.trouble, summary.pulled) == (None, 40)
    assert world.sql("SELECT full_name, is_self FROM users") == [
        {"full_name": "Ann Lindqvist", "is_self": 1}
    ]
    assert world.sync().requests == 1


def test_oneself_is_there_although_the_lists_leave_one_out(new_world: MakeWorld) -> None:
    world = new_world(rules={"comments": False})
    ann = world.service.model.users[0].id
    world.service.faults.add(f"GET /contact:missing_ids={ann}:0")
    world.service.faults.add(f"GET /team:missing_ids={ann}:0")
    world.sync()
    assert sorted(asked(world)) == sorted([*PEOPLE, "GET /user"])
    assert world.one("SELECT full_name FROM users WHERE is_self")["full_name"] == "Ann Lindqvist"
    assert len(names(world, "users")) == 7


@pytest.mark.parametrize("table", ["groups", "tags"])
def test_an_empty_answer_is_believed_when_it_comes_twice(world: World, table: str) -> None:
    path = {"groups": "/group", "tags": "/tag"}[table]
    before = names(world, table)
    world.service.faults.add(f"GET {path}:empty_list:1")
    after(world, DAY)
    assert names(world, table) == before
    after(world, DAY)
    world.service.faults.add(f"GET {path}:empty_list:2")
    after(world, DAY)
    assert names(world, table) == before  # not twice in a row
    after(world, DAY)
    assert names(world, table) == set()
    after(world, DAY)
    assert names(world, table) == before


def test_empty_answers_take_nobody_away_who_is_named(world: World) -> None:
    ann = world.service.model.users[0].id
    world.service.model.team.add_user("zoe@example.com", "x", "Zoë", "Ng")
    after(world, DAY)
    everyone = names(world, "users")
    for path in ("/contact", "/team"):
        world.service.faults.add(f"GET {path}:empty_list:0")
    after(world, DAY)
    assert names(world, "users") >= everyone - {"Zoë Ng"}
    after(world, DAY)
    assert names(world, "users") == everyone - {"Zoë Ng"}
    assert world.one("SELECT id FROM users WHERE is_self")["id"] == ann


def test_whoever_left_the_team_stays_while_anything_names_them(world: World) -> None:
    model = world.service.model
    zoe = model.team.add_user("zoe@example.com", "x", "Zoë", "Ng")
    yan = model.team.add_user("yan@example.com", "x", "Yan", "Bai")
    xin = model.team.add_user("xin@example.com", "x", "Xin", "Wu")
    assign(world, zoe.id)
    world.sql("INSERT INTO notes (title, participants) VALUES ('N', ?)", f"[{xin.id}]")
    after(world, DAY)
    assert {"Zoë Ng", "Yan Bai", "Xin Wu"} <= names(world, "users")
    for path in ("/contact", "/team"):
        world.service.faults.add(Fault("missing_ids", "GET", path, ids=(zoe.id, yan.id, xin.id)))
    after(world, DAY)
    assert {"Zoë Ng", "Xin Wu"} <= names(world, "users")
    assert "Yan Bai" not in names(world, "users")


def test_nobody_leaves_by_an_answer_that_lacks_a_part(world: World) -> None:
    world.service.model.team.add_user("zoe@example.com", "x", "Zoë", "Ng")
    after(world, DAY)
    world.service.faults.add("GET /contact:missing_ids:1")
    world.service.faults.add(Fault("status", "GET", "/team", status=503, count=1))
    after(world, DAY)
    assert len(names(world, "users")) == 8


def test_cells_that_cant_be_read_stop_nothing(world: World) -> None:
    world.sql("INSERT INTO tasks (title, participants, assignee_id) VALUES ('T', 'a,b', 'Ann')")
    world.change_rules(push=False)
    assert after(world, DAY) == PEOPLE


def test_a_wish_to_be_left_alone_is_heeded(world: World) -> None:
    world.service.faults.add(Fault("status", "GET", "/team", status=429, code=67, retry_after=30))
    world.time.sleep(DAY)
    summary = world.sync()
    assert isinstance(summary.trouble, SlowDownError)
    assert asked(world) == ["GET /contact", "GET /team"]
    with pytest.raises(SlowDownError):
        world.sync()
    assert after(world, 31) == []
    assert after(world, HOUR) == PEOPLE


def test_a_refused_key_stops(world: World) -> None:
    world.service.faults.add(Fault("status", "GET", "/team", status=401, code=8, count=0))
    world.time.sleep(DAY)
    with pytest.raises(StopError):
        world.sync()


def test_a_reading_that_was_cut_short_is_made_again(world: World) -> None:
    engine = world.engine
    engine.stopping = lambda: bool(world.service.requests["GET /team"])
    assert after(world, DAY) == ["GET /contact", "GET /team"]
    engine.stopping = bool
    assert after(world, 60) == []
    assert after(world, HOUR) == PEOPLE


def test_it_waits_until_there_are_requests_to_spare(world: World) -> None:
    world.engine.spare = lambda _cause: False
    assert after(world, DAY) == []
    world.engine.spare = lambda _cause: True
    assert after(world, 60) == PEOPLE


def test_whoever_comments_has_a_name_at_once_and_the_rest_with_the_next_reading(
    new_world: MakeWorld,
) -> None:
    world = new_world(items=5, rules={"comments": True})
    world.sync()
    zoe = world.service.model.team.add_user("zoe@example.com", "x", "Zoë", "Ng")
    item = next(item for item in world.service.model.items() if item.category == 1)
    world.service.model.comment(item.id, user=zoe, message="Hello")
    query = (
        "SELECT full_name, login FROM comments JOIN users ON users.id = user_id "
        "WHERE comments.message = 'Hello'"
    )
    assert after(world, 60) == []
    assert world.one(query) == {"full_name": "Zoë Ng", "login": None}
    after(world, DAY)
    assert world.one(query) == {"full_name": "Zoë Ng", "login": "zoe@example.com"}


def test_while_it_waits_the_zone_is_not_asked_for_again_and_again(new_world: MakeWorld) -> None:
    world = new_world(rules={"comments": False}, faults=["GET /user/preferences:status=404:0"])
    world.engine.spare = lambda _cause: False
    world.sync()
    assert asked(world) == ["GET /user/preferences"]
    assert after(world, 60) == []


def test_a_dry_run_asks_for_nobody_and_a_pull_only_does(new_world: MakeWorld) -> None:
    world = new_world(rules={"comments": False})
    preview(world.engine)
    assert asked(world) == []
    world.sync(pull_only=True)
    assert sorted(asked(world)) == sorted(PEOPLE)


# The time zone


def test_the_first_pull_knows_already_what_day_it_was(new_world: MakeWorld) -> None:
    world = new_world(items=0)
    model = world.service.model
    model.users[0].time_zone = "Asia/Tokyo"
    world.time.now += 10 * HOUR  # 19:00 UTC, tomorrow in Tokyo
    model.create(user=model.users[0], title="T", time_spent=30)
    world.sync()
    assert world.one("SELECT spent_on, minutes FROM time_entries") == {
        "spent_on": "2026-03-03",
        "minutes": 30,
    }


def test_days_go_out_where_no_preferences_are_to_be_had(new_world: MakeWorld) -> None:
    world = new_world(items=0)
    fault = Fault("status", "GET", "/user/preferences", status=501, count=0)
    world.service.faults.add(fault)
    world.sync()
    world.sql("INSERT INTO tasks (title, is_all_day, due_date) VALUES ('T', true, '2026-05-01')")
    world.sync()
    assert world.changes() == [("insert", "done")]


@pytest.mark.parametrize("status", [404, 503])
def test_a_zone_that_cant_be_read_stops_nothing(new_world: MakeWorld, status: int) -> None:
    world = new_world()
    fault = Fault("status", "GET", "/user/preferences", status=status, count=0)
    world.service.faults.add(fault)
    assert world.sync().trouble is None
    assert state(world, "zone_offset") == 0
    world.service.faults.clear()
    after(world, DAY)
    assert state(world, "zone_offset") == 60


def test_the_first_wish_to_be_left_alone_is_heeded(new_world: MakeWorld) -> None:
    world = new_world()
    world.service.faults.add(
        Fault("status", "GET", "/user/preferences", status=429, code=67, retry_after=30)
    )
    with pytest.raises(SlowDownError):
        world.sync()
    assert [entry.path for entry in world.service.log][1:] == ["/user/preferences"]
    world.time.sleep(31)
    assert world.sync().pulled


def state(world: World, key: str) -> Any:
    rows = world.sql("SELECT value FROM sync_state WHERE key = ?", key)
    # SQLite keeps a JSON number as a number.
    return json.loads(str(rows[0]["value"])) if rows and rows[0]["value"] is not None else None


def test_the_accounts_offset_of_today_is_kept(world: World) -> None:
    assert (state(world, "time_zone"), state(world, "zone_offset")) == ("Europe/Stockholm", 60)
    world.change_rules(full_every=10**9)
    world.time.sleep(40 * DAY)  # into the summer time
    assert world.sync().requests == 1
    assert state(world, "zone_offset") == 120


def test_a_configured_zone_costs_no_request(new_world: MakeWorld) -> None:
    world = new_world(rules={"zone": ZoneInfo("Asia/Kolkata"), "comments": False})
    world.sync()
    assert asked(world) == PEOPLE[:-1]
    assert (state(world, "time_zone"), state(world, "zone_offset")) == (None, 330)


def test_a_move_to_another_zone_is_noticed_within_a_day(world: World) -> None:
    world.service.model.users[0].time_zone = "America/Mexico_City"
    after(world, DAY)
    assert (state(world, "time_zone"), state(world, "zone_offset")) == (
        "America/Mexico_City",
        -360,
    )


@pytest.mark.parametrize("zone", ["Mars/Olympus", "Europe", "../etc", "", None, 7, "x" * 300])
def test_a_zone_that_is_none_counts_as_utc(new_world: MakeWorld, zone: Any) -> None:
    world = new_world(rules={"comments": False})
    world.service.model.users[0].preferences["time_zone"] = zone
    assert world.sync().trouble is None
    assert state(world, "zone_offset") == 0


@pytest.mark.parametrize("zone", ["Europe", "Nowhere/At all", "../etc"])
def test_a_day_is_sent_in_utc_where_the_zone_is_none(new_world: MakeWorld, zone: str) -> None:
    world = new_world(items=5)
    world.service.model.users[0].preferences["time_zone"] = zone
    world.sync()
    add_day(world)
    assert world.sync().pushed == 1
    made = next(item for item in world.service.model.items() if item.title == "day")
    assert made.get("due_date") == 1780358340000  # 23:59 in UTC


@pytest.mark.parametrize("zone", [" Europe/Moscow\n", "europe/moscow", "etc/gmt-3", "EUROPE/MINSK"])
def test_a_zone_is_known_by_its_name_in_any_letters(new_world: MakeWorld, zone: str) -> None:
    world = new_world(items=5, rules={"comments": False})
    world.service.model.users[0].preferences["time_zone"] = zone
    said = warnings_of(world, world.sync)
    add_day(world)
    said += warnings_of(world, world.sync)
    made = next(item for item in world.service.model.items() if item.title == "day")
    assert made.get("due_date") == 1780347540000  # 23:59 three hours ahead
    assert (state(world, "zone_offset"), said) == (180, [])


UNKNOWN = [
    ("(GMT+03:00) Moscow", "(GMT+03:00) Moscow"),
    *((offset, offset) for offset in ("UTC+3", "GMT+0300", "+03:00", "MSK")),
    (7, "7"),
    (0, "0"),
    (False, "false"),
    (["Europe/Moscow"], '["Europe/Moscow"]'),
    ([], "[]"),
    ("Europe/\x01", '"Europe/\\u0001"'),
    ("x" * 300, "x" * 79 + "…"),
]


@pytest.mark.parametrize(("zone", "kept"), UNKNOWN, ids=[repr(z)[:20] for z, _ in UNKNOWN])
def test_a_zone_that_is_none_is_told_once_until_it_changes(
    new_world: MakeWorld, zone: Any, kept: str
) -> None:
    world = new_world(items=5, rules={"comments": False})
    preferences = world.service.model.users[0].preferences
    preferences["time_zone"] = zone
    told = {"time_zone": kept, "used": "UTC", "fix": "set hitask.time_zone"}
    told |= {"event": "time_zone_unknown", "log_level": "warning"}
    assert warnings_of(world, world.sync) == [told]
    add_day(world)
    assert warnings_of(world, lambda: world.sync(full=True)) == []
    world.crash()
    add_day(world)  # which has it asked for again, after a full read
    assert warnings_of(world, lambda: after(world, DAY)) == []
    preferences["time_zone"] = "Mars/Olympus"
    assert warnings_of(world, lambda: after(world, DAY)) == [told | {"time_zone": "Mars/Olympus"}]
    preferences["time_zone"] = "Europe/Moscow"
    assert warnings_of(world, lambda: after(world, DAY)) == [
        {"event": "time_zone_known", "log_level": "info", "time_zone": "Europe/Moscow"}
    ]


@pytest.mark.parametrize("said", [{}, {"time_zone": None}, {"time_zone": " "}], ids=str)
def test_that_there_is_no_zone_is_no_trouble(
    new_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, said: dict[str, Any]
) -> None:
    world = new_world(items=5, rules={"comments": False})
    monkeypatch.setattr(world.engine.api, "fetch_preferences", lambda: said)
    assert warnings_of(world, world.sync) == []
    assert (state(world, "time_zone"), state(world, "zone_offset")) == ("UTC", 0)


def test_a_configured_zone_makes_the_accounts_moot(new_world: MakeWorld) -> None:
    world = new_world(rules={"zone": ZoneInfo("Asia/Kolkata"), "comments": False})
    world.service.model.users[0].preferences["time_zone"] = "MSK"
    assert warnings_of(world, world.sync) == []
    add_day(world)
    assert warnings_of(world, lambda: after(world, DAY)) == []


def warnings_of(world: World, run: Callable[[], object]) -> list[dict[str, Any]]:
    """What it logs about the account's time zone."""
    with capture_logs() as logs:
        world.engine.log = structlog.get_logger("hisync")
        run()
    return [dict(entry) for entry in logs if entry["event"].startswith("time_zone")]


@pytest.mark.parametrize(("status", "code"), [(403, 3), (404, 1), (403, 54)])
def test_a_day_is_sent_in_utc_where_the_zone_is_refused(
    new_world: MakeWorld, status: int, code: int
) -> None:
    world = new_world(items=5)
    fault = Fault("status", "GET", "/user/preferences", status=status, code=code, count=0)
    world.service.faults.add(fault)
    world.sync()
    add_day(world)
    assert world.sync().pushed == 1
    assert world.changes() == [("insert", "done")]


@pytest.mark.parametrize(("status", "code"), [(403, 3), (404, 1), (403, 54), (500, 100)])
def test_a_day_is_sent_in_the_zone_known_before_where_it_cant_be_read_again(
    world: World, status: int, code: int
) -> None:
    world.sync(full=True)
    fault = Fault("status", "GET", "/user/preferences", status=status, code=code, count=0)
    world.service.faults.add(fault)
    add_day(world)
    assert world.sync().pushed == 1
    made = next(item for item in world.service.model.items() if item.title == "day")
    assert made.get("due_date") == 1780351140000  # 23:59 in Stockholm
    world.service.faults.clear()
    add_day(world)
    assert "GET /user/preferences" in after(world, 60)


def test_a_day_after_the_daily_reading_does_not_ask_for_the_zone_again(world: World) -> None:
    assert "GET /user/preferences" in after(world, DAY)
    add_day(world)
    assert after(world, 60) == []
    assert world.sql("SELECT 1 FROM change_log WHERE state = 'done'")


def add_day(world: World) -> None:
    world.sql("INSERT INTO tasks (title, is_all_day, due_date) VALUES ('day', true, '2026-06-01')")
