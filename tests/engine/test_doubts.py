"""Answers that leave something open: what is concluded from them, and how long it is waited for."""

from __future__ import annotations

from pathlib import Path

import httpx
import orjson

from hisync.errors import ServiceError
from tests.edges.acts import during, edits
from tests.proof.stage import Stage, StageTransport, set_stage
from tests.world import World


class Omitting(StageTransport):
    """A service whose delta leaves an unchanged item out."""

    hidden = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if "/item/delta" not in request.url.path:
            return response
        shown = [
            unit
            for unit in orjson.loads(response.read())
            if unit["id"] != self.hidden or unit.get("changed") is not False
        ]
        headers = {k: v for k, v in response.headers.items() if k != "content-length"}
        return httpx.Response(200, headers=headers, content=orjson.dumps(shown))


def omitting(folder: Path) -> Stage:
    """A stage on which the delta leaves `b` out while it is unchanged."""
    names = ["a", "b", *(f"x{n}" for n in range(12))]
    stage = set_stage(folder / "m", {name: {"title": name} for name in names})
    stage.world.crash()
    transport = Omitting(stage.world.service)
    transport.scene, transport.hidden = stage, stage.need("b").id
    stage.sim.transport = transport
    stage.sql("DELETE FROM sync_state WHERE key = 'delta'")  # as at a first sync
    return stage


def test_that_a_delta_happens_to_name_all_does_not_make_it_one_that_always_does(
    tmp_path: Path,
) -> None:
    stage = omitting(tmp_path)
    stage.world.sync()
    stage.act(edits("b", title="b2"))
    for _ in range(4):
        stage.world.time.sleep(60)
        stage.world.sync()
    assert stage.sql("SELECT title FROM tasks WHERE guid = :b") == [{"title": "b2"}]
    assert stage.sql("SELECT * FROM removed_rows") == []
    stage.close()


def test_a_history_that_stays_unreadable_does_not_stop_everything_for_good(tmp_path: Path) -> None:
    stage = set_stage(tmp_path / "m", {"task": {"title": "base"}, "other": {"title": "other"}})
    stage.act(during("PUT /item/*", edits("task", title="theirs")))
    stage.act("UPDATE tasks SET title = 'ours' WHERE guid = :task")
    stage.world.service.faults.add("PUT /item/*:drop_after:1", "GET /item/history:status=500:99")
    failed = 0
    for _ in range(10):
        stage.world.crash()  # as a command run by cron: each time a new process
        try:
            stage.world.sync()
        except ServiceError:
            failed += 1
    assert 0 < failed < 6
    stage.act(edits("other", title="news"))
    stage.world.sync()
    assert stage.sql("SELECT title FROM tasks WHERE guid = :other") == [{"title": "news"}]
    assert stage.sql("SELECT * FROM change_log WHERE finished_at IS NULL") == []
    stage.close()


def test_a_key_with_nul_is_refused_by_name(world: World) -> None:
    world.sync()
    world.sql("INSERT INTO tasks (guid, title) VALUES ('a' || char(0) || 'b', 'precious')")
    world.sql("INSERT INTO tasks (title) VALUES ('another')")
    world.sync()
    found = world.one("SELECT state, error FROM change_log WHERE seq = 1")
    assert found["state"] == "rejected"
    assert "UUID" in found["error"]
