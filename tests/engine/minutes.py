"""Time in a world: logged here by SQL, added there by colleagues, and what both sides have."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hisync.errors import ServiceError
from tests.engine import talk
from tests.world import World

ENTRY = "00000000-0000-4000-8000-0000000000e1"
OTHER = "00000000-0000-4000-8000-0000000000e2"
TASK = "00000000-0000-4000-8000-00000000000a"
LOG = "INSERT INTO time_entries (guid, item_guid, minutes, note) VALUES (?, ?, ?, 'a note')"
TABLES = ("projects", "tasks", "events", "notes", "files", "other_items")


def sync_in_the_dark(world: World, send: str, fault: str) -> None:
    """A cycle whose write loses its answer, as `fault` says.

    The pull that would look it up fails as well, so that others get in between.
    """
    faults = world.service.faults
    faults.add(fault)
    talk.at_request(world, send, lambda: faults.add("GET /item/delta/*:status=503:1"))
    with suppress(ServiceError):
        world.sync()


def adds_up(world: World) -> None:
    """The invariant, item by item, and hiTask's totals where nothing waits."""
    sums = {
        row["item_guid"]: row["minutes"]
        for row in world.sql(
            "SELECT item_guid, sum(minutes) AS minutes FROM time_entries GROUP BY 1"
        )
    }
    waits = world.sql("SELECT 1 FROM change_log WHERE finished_at IS NULL")
    for table in TABLES:
        for row in world.sql(f"SELECT guid, id, time_spent_minutes FROM {table}"):
            assert (row["time_spent_minutes"] or 0) == sums.get(row["guid"], 0), row
            if row["id"] is not None and not waits:
                spent = world.service.model.item(row["id"]).get("time_spent") or 0
                assert spent == (row["time_spent_minutes"] or 0)


def task(world: World, spent: int = 0) -> int:
    """A task of ours with that much time on it; its number."""
    world.sql("INSERT INTO tasks (guid, title) VALUES (?, 'task')", TASK)
    world.sync()
    number = int(world.one("SELECT id FROM tasks WHERE guid = ?", TASK)["id"])
    if spent:
        colleague_adds(world, number, spent)
        world.sync()
    return number


def spent(world: World, number: int) -> int:
    total: Any = world.service.model.item(number).get("time_spent")
    return int(total or 0)


def colleague_adds(world: World, number: int, minutes: int) -> None:
    model = world.service.model
    total = spent(world, number) + minutes
    model.update(number, user=model.user("ann@example.com"), time_spent=total)


def entries(world: World) -> list[dict[str, Any]]:
    return world.sql(
        "SELECT minutes, source, user_id, spent_on FROM time_entries WHERE item_guid = ?"
        " ORDER BY minutes",
        TASK,
    )


def states(world: World) -> list[tuple[str, str]]:
    rows = world.sql("SELECT op, state FROM change_log WHERE table_name = 'time_entries'")
    return [(row["op"], row["state"]) for row in rows]


def hook(world: World, number: int, minutes: int) -> None:
    """Let a colleague add minutes right before our next PUT arrives."""
    import httpx

    from hisync.sandbox import SandboxTransport

    class Meddling(httpx.BaseTransport):
        def __init__(self) -> None:
            self.inner = SandboxTransport(world.service)
            self.left = 1

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "PUT" and self.left:
                self.left = 0
                colleague_adds(world, number, minutes)
            return self.inner.handle_request(request)

    world.crash()
    world.transport = Meddling()


def write_between(world: World, number: int, minutes: int, meanwhile: Callable[[], Any]) -> None:
    """Let a colleague add minutes right before our next PUT, and something happen during it."""
    api, send = world.engine.api, world.engine.api.send_update

    def write_before(*args: Any, **options: Any) -> Any:
        api.send_update = send  # type: ignore[method-assign]
        colleague_adds(world, number, minutes)
        meanwhile()
        return send(*args, **options)

    api.send_update = write_before  # type: ignore[method-assign]
