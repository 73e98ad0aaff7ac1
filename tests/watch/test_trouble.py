"""What the engine does by itself when something goes wrong, in virtual time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import event
from structlog.testing import capture_logs

from hisync.cycle import run_cycle
from hisync.daemon import Daemon
from hisync.errors import BusyError, FullError, ServiceError, SlowDownError, StopError
from hisync.mirror import state
from hisync.mirror.store import Mirror
from hisync.retention import prune_when_due
from hisync.sandbox import Fault, SandboxTransport
from tests.world import World, make_world

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = make_world(tmp_path)
    world.sync()
    yield world
    world.close()


def memory(world: World) -> state.EngineState:
    with world.engine.mirror.reading() as connection:
        return state.load(connection)


# A daily limit


def test_a_daily_limit_rests_until_the_day_is_over(world: World) -> None:
    fault = Fault("status", "GET", "/item/delta/*", status=403, code=87, count=1)
    world.service.faults.add(fault)
    with pytest.raises(SlowDownError):
        world.sync()
    asked = world.service.requests.copy()
    until = memory(world).quiet_until
    assert until is not None
    assert datetime.fromtimestamp(until, UTC).replace(second=0, microsecond=0) == datetime(
        2026, 3, 3, 0, 1, tzinfo=UTC
    )
    for _ in range(14):
        world.time.sleep(3600)
        with pytest.raises(SlowDownError, match="left alone for another"):
            world.sync()
    assert world.service.requests == asked
    world.time.sleep(3700)
    assert world.sync().trouble is None
    assert memory(world).quiet_until is None


@pytest.mark.parametrize("back", [600.0, 3600.0, 86400.0])
def test_a_rest_is_over_when_the_clock_is_set_back(world: World, back: float) -> None:
    fault = Fault("status", "GET", "/item/delta/*", status=503, retry_after=30)
    world.service.faults.add(fault)
    with pytest.raises(ServiceError):
        world.sync()
    world.time.set_by(-back)
    assert world.sync().trouble is None


# A refused login


def test_a_refused_login_is_remembered_as_such(world: World) -> None:
    world.crash()
    fault = Fault("status", "GET", "/user/authenticate", status=403, code=69, count=2)
    world.service.faults.add(fault)
    for _ in range(2):
        with pytest.raises(StopError):
            world.sync()
        assert memory(world).refused
        world.engine.api.reset()
    world.sync()
    assert (memory(world).refused, memory(world).trouble) == (False, None)


def test_an_error_that_repeats_itself_is_logged_once(world: World) -> None:
    world.service.faults.add("GET /item/delta/*:status=503:5")
    with capture_logs() as logs:
        for _ in range(5):
            with pytest.raises(Exception, match="503"):
                world.sync()
            world.time.sleep(60)
        world.sync()
        world.service.faults.add("GET /item/delta/*:status=503:1")
        with pytest.raises(Exception, match="503"):
            world.sync()
    said = [line["log_level"] for line in logs if line["event"] == "api_error"]
    assert said == ["warning", "debug", "debug", "debug", "debug", "warning"]


# The disk


def limit_pages(mirror: Mirror, extra: int | None) -> None:
    """Let the file grow by so many pages only, None for as many as it likes."""
    mirror.engine.dispose()

    @event.listens_for(mirror.engine, "connect")
    def _limit(connection: Any, _record: object) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        most = 2**30 if extra is None else pages + extra
        connection.execute(f"PRAGMA max_page_count = {most}").close()


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, html="<form>Log in</form>"),
        httpx.Response(302, headers={"location": "/login"}),
        httpx.Response(403, json={"error_message": "You are not logged in"}),
    ],
    ids=lambda answer: answer.status_code,
)
def test_a_session_that_ended_in_a_way_of_its_own_is_renewed_by_the_daemon(
    world: World, answer: httpx.Response
) -> None:
    class Ended(SandboxTransport):
        over = True

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/user/authenticate"):
                self.over = False
            return answer if self.over else super().handle_request(request)

    daemon = Daemon(world.engine, threading.Event(), poll_interval=60, push_delay=2)
    world.engine.api._connection._client._transport = Ended(world.service)
    troubles = []
    for _ in range(3):
        world.time.sleep(daemon._run_one())
        troubles.append(memory(world).trouble is not None)
    assert troubles == [True, True, False]


def test_a_full_disk_loses_nothing_and_is_gone_on_from(world: World) -> None:
    """Full before a pull, and full between the intents and the answers of a push."""
    mirror = world.engine.mirror
    user = world.service.model.users[0]
    for number in range(300):
        world.service.model.create(user=user, title=f"theirs {number}", message="x" * 500)
    world.sql("INSERT INTO tasks (title) VALUES ('ours')")
    limit_pages(mirror, 2)
    with pytest.raises(FullError, match="the disk is full: make room, nothing was lost"):
        world.sync()
    limit_pages(mirror, None)
    world.sync()
    titles = {row["title"] for row in world.sql("SELECT title FROM tasks")}
    assert {"ours", "theirs 0", "theirs 299"} <= titles
    assert sum(item.title == "ours" for item in world.service.model.items()) == 1
    assert world.changes() == [("insert", "done")]


def test_a_transaction_of_someones_is_waited_for_and_named(world: World) -> None:
    limit_patience(world.engine.mirror)
    with world.client() as client:
        client.execute("BEGIN IMMEDIATE")
        client.execute("UPDATE tasks SET title = 'mine' WHERE rowid = 1")
        model = world.service.model
        model.create(user=model.users[0], title="theirs")
        with pytest.raises(BusyError, match="someone else's transaction holds it"):
            world.sync()
        client.execute("COMMIT")
    world.sync()
    assert world.one("SELECT count(*) AS n FROM tasks WHERE title = 'theirs'")["n"] == 1
    assert world.changes() == [("update", "done")]


def limit_patience(mirror: Mirror) -> None:
    mirror.engine.dispose()

    @event.listens_for(mirror.engine, "connect")
    def _hurry(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA busy_timeout = 50").close()


# A long queue


def test_a_long_queue_lets_the_others_changes_in_between(world: World) -> None:
    """Each request takes ten seconds: twenty edits take more than three minutes."""
    model = world.service.model
    row = world.one("SELECT id, owner_id FROM tasks LIMIT 1")
    for number in range(20):
        world.sql("INSERT INTO tasks (title) VALUES (?)", f"queued {number:02}")
    slow = world.engine.api._connection

    def take_ten_seconds(_cause: str) -> None:
        world.time.sleep(10)

    slow._grant = take_ten_seconds
    first = run_cycle(world.engine, whole=False)
    assert first.unfinished
    assert 3 <= first.pushed < 10
    model.update(row["id"], user=model.user(row["owner_id"]), title="theirs meanwhile")
    second = run_cycle(world.engine, whole=False)
    assert second.pulled >= 1
    assert world.one("SELECT count(*) AS n FROM tasks WHERE title = 'theirs meanwhile'")["n"] == 1
    whole = world.sync()
    assert not whole.unfinished
    assert {state for _, state in world.changes()} == {"done"}
    deltas = [entry for entry in world.service.log if "/item/delta" in entry.path]
    assert len(deltas) >= 4  # a pull each minute, not one in the beginning


# Pruning


def test_what_is_finished_leaves_after_its_time(world: World) -> None:
    kept = world.one("SELECT guid FROM tasks ORDER BY rowid LIMIT 1")["guid"]
    world.sql("UPDATE tasks SET title = 'done' WHERE rowid = 2")
    world.sql("UPDATE tasks SET due_date = 'soon' WHERE guid = ?", kept)  # will be rejected
    world.sync()
    world.sql("UPDATE tasks SET title = 'later' WHERE guid = ?", kept)
    world.sync()
    assert [state for _, state in world.changes()] == ["done", "rejected", "done"]
    world.time.sleep(timedelta(days=91).total_seconds())
    world.sql("UPDATE tasks SET title = 'waits' WHERE rowid = 3")
    assert prune_when_due(world.engine, 90) == 1
    # The rejected one stays, with what was changed after it, and so does the one that waits.
    assert [state for _, state in world.changes()] == ["rejected", "done", "pending"]
    assert prune_when_due(world.engine, 0) == 0  # not twice a day


def test_a_closed_conflict_leaves_too_and_an_open_one_stays(world: World) -> None:
    old = (START - timedelta(days=200)).replace(tzinfo=None).isoformat(" ")
    insert = (
        "INSERT INTO conflicts (table_name, row_guid, policy, detected_at, resolved_at)"
        " VALUES ('tasks', ?, 'remote', ?, ?)"
    )
    world.sql(insert, "open", old, None)
    world.sql(insert, "closed", old, old)
    world.sql(insert, "fresh", old, START.replace(tzinfo=None).isoformat(" "))
    assert prune_when_due(world.engine, 90) == 1
    assert [row["row_guid"] for row in world.sql("SELECT row_guid FROM conflicts ORDER BY id")] == [
        "open",
        "fresh",
    ]


def test_a_long_history_is_pruned_a_part_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hisync.mirror.pruning.AT_ONCE", 3)
    for number in range(7):
        world.sql("UPDATE tasks SET title = ? WHERE rowid = 1", f"{number}")
    world.sync()
    world.time.sleep(timedelta(days=91).total_seconds())
    assert [prune_when_due(world.engine, 90) for _ in range(4)] == [3, 3, 1, 0]
    assert world.changes() == []
