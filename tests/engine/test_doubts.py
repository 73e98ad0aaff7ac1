"""Answers that leave something open: what is concluded from them, and how long it is waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import httpx
import orjson
import pytest

from hisync.deciding.discarding import discard_changes
from hisync.deciding.resolving import resolve_conflict
from hisync.errors import ServiceError
from hisync.mirror import state
from hisync.mirror.state import DeltaMode
from hisync.sandbox import Fault
from tests.edges.acts import creates, deletes, during, edits
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


@pytest.fixture
def stage_of(tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    """Make the one stage of a test, which is closed at the end."""
    made: list[Stage] = []

    def make(*names: str) -> Stage:
        made.append(set_stage(tmp_path / "m", {name: {"title": name} for name in names}))
        return made[0]

    yield make
    for stage in made:
        stage.close()


MakeStage = Callable[..., Stage]


@pytest.mark.parametrize("status", [403, 404, 507])
def test_a_history_that_was_refused_once_is_asked_for_again(
    stage_of: MakeStage, status: int
) -> None:
    stage = stage_of("task")
    stage.act(during("PUT /item/*", edits("task", title="theirs")))
    stage.act("UPDATE tasks SET title = 'ours' WHERE guid = :task")
    stage.world.service.faults.add(f"GET /item/history:status={status}:1")
    for _ in range(3):
        with suppress(ServiceError):
            stage.world.sync()
    found = stage.sql("SELECT local_value, remote_value FROM conflicts")
    assert found == [{"local_value": "ours", "remote_value": "theirs"}]


def mode(world: World) -> DeltaMode:
    with world.engine.mirror.reading() as connection:
        return DeltaMode(state.load(connection).delta)


def test_an_item_made_right_after_a_delta_says_nothing_about_that_delta(
    stage_of: MakeStage,
) -> None:
    stage = stage_of("a", "b", "c")
    assert mode(stage.world) is DeltaMode.NAMES_ALL
    # No stub is left, and one is gone: so a full read is made beside it.
    stage.act(edits("a", title="a2"))
    stage.act(edits("b", title="b2"))
    stage.act(deletes("c"))
    stage.act(during("GET /item", creates("d", title="d")))
    stage.world.sync()
    assert "d" in {row["title"] for row in stage.sql("SELECT title FROM tasks")}
    assert mode(stage.world) is DeltaMode.NAMES_ALL


@pytest.mark.parametrize("times", [1, 2])
def test_a_delta_that_lacks_an_item_once_may_be_a_faulty_answer(
    stage_of: MakeStage, times: int
) -> None:
    stage = stage_of("a", "b")
    for number in range(times):
        stage.act(edits("a", title=f"again {number}"))
        stage.act(edits("b", title=f"again {number}"))
        fault = Fault("missing_ids", "GET", "/item/delta/*", ids=(stage.need("b").id,))
        stage.world.service.faults.add(fault)
        stage.world.sync()
    assert mode(stage.world) is (DeltaMode.NAMES_ALL if times == 1 else DeltaMode.PARTIAL)
    assert len(stage.sql("SELECT 1 FROM tasks")) == 2


def test_what_left_in_the_meantime_does_not_keep_a_delta_under_suspicion(
    stage_of: MakeStage,
) -> None:
    stage = stage_of("a", "b", "c")
    for number in range(2):  # as above: the delta is not believed any more
        for name in ("a", "b", "c"):
            stage.act(edits(name, title=f"again {number}"))
        fault = Fault("missing_ids", "GET", "/item/delta/*", ids=(stage.need("b").id,))
        stage.world.service.faults.add(fault)
        if number == 1:
            # The full read is the first to lack it, and there is no second one to prove it.
            stage.act(during("GET /item", deletes("c")))
            fault = Fault("status", "GET", "/item", nth=2, status=404)
            stage.world.service.faults.add(fault)
        with suppress(ServiceError):
            stage.world.sync()
    assert mode(stage.world) is DeltaMode.PARTIAL
    for _ in range(3):
        stage.world.time.sleep(60)
        stage.world.sync()
    assert mode(stage.world) is DeltaMode.NAMES_ALL
    assert {row["title"] for row in stage.sql("SELECT title FROM tasks")} == {"again 1"}
    assert len(stage.sql("SELECT 1 FROM tasks")) == 2


def test_a_title_undone_in_passing_is_told_of_though_people_gave_another_since(
    tmp_path: Path,
) -> None:
    stage = set_stage(
        tmp_path / "m", {"task": {"title": "base"}}, traits=["put_needs_guid_and_title"]
    )
    again = "UPDATE tasks SET title = 'mine' WHERE guid = :task"
    stage.act("UPDATE tasks SET message = 'ours' WHERE guid = :task")
    # The first PUT lacks the title; the second one goes over a colleague's, and its answer is lost.
    stage.act(during("PUT /item/*", edits("task", title="theirs")))
    stage.world.service.faults.add(
        Fault("drop_after", "PUT", "/item/*", nth=2),
        Fault("status", "GET", "/item/delta/*", nth=2, status=503),  # nor is it looked up yet
    )
    with suppress(ServiceError):
        stage.world.sync()
    stage.world.crash()
    stage.act(during("GET /item", again))
    stage.world.sync(full=True)
    found = stage.sql("SELECT field, remote_value FROM conflicts")
    assert found == [{"field": "title", "remote_value": "theirs"}]
    wire = stage.wire("task")
    assert wire is not None
    assert wire["title"] == "mine"
    stage.close()


@pytest.mark.parametrize("then", ["deleted", "retitled"])
def test_a_title_to_be_given_back_outlives_what_is_taken_back_after_it(
    tmp_path: Path, then: str
) -> None:
    stage = set_stage(
        tmp_path / "m", {"task": {"title": "base"}}, traits=["put_needs_guid_and_title"]
    )
    engine = stage.world.engine
    stage.act("UPDATE tasks SET message = 'ours' WHERE guid = :task")
    stage.act(during("PUT /item/*", edits("task", title="theirs")))
    stage.act(during("GET /item/history", lambda _: setattr(engine, "stopping", lambda: True)))
    stage.world.sync()
    engine.stopping = lambda: False
    assert stage.sql("SELECT title FROM tasks") == [{"title": "theirs"}]
    if then == "deleted":
        stage.act("DELETE FROM tasks WHERE guid = :task")
    else:
        stage.act("UPDATE tasks SET title = 'mine' WHERE guid = :task")
    (newest,) = stage.sql("SELECT max(seq) AS seq FROM change_log")
    discard_changes(engine.mirror, [newest["seq"]], datetime(2026, 3, 3))
    stage.world.sync()
    wire = stage.wire("task")
    assert wire is not None
    assert wire["title"] == "theirs"
    assert stage.sql("SELECT title FROM tasks") == [{"title": "theirs"}]
    stage.close()


def test_a_title_undone_in_passing_can_be_taken_though_its_row_was_deleted(tmp_path: Path) -> None:
    stage = set_stage(
        tmp_path / "m", {"task": {"title": "base"}}, traits=["put_needs_guid_and_title"]
    )
    stage.world.change_rules(max_push_deletes=0)
    stage.act("UPDATE tasks SET message = 'ours' WHERE guid = :task")
    stage.act(during("PUT /item/*", edits("task", title="theirs")))
    stage.act(during("GET /item/history", "DELETE FROM tasks WHERE guid = :task"))
    stage.world.sync()
    mirror, now = stage.world.engine.mirror, datetime(2026, 3, 3)
    (newest,) = stage.sql("SELECT max(seq) AS seq FROM change_log")
    discard_changes(mirror, [newest["seq"]], now)
    assert resolve_conflict(mirror, 1, "remote", now).change is not None
    stage.world.sync()
    wire = stage.wire("task")
    assert wire is not None
    assert wire["title"] == "theirs"
    stage.close()


def test_what_someone_wrote_after_our_write_is_not_what_it_went_over(stage_of: MakeStage) -> None:
    stage = stage_of("task")
    stage.act("UPDATE tasks SET title = 'ours' WHERE guid = :task")
    stage.act(during("PUT /item/*", edits("task", title="before")))
    stage.act(during("GET /item/history", edits("task", title="after")))
    stage.world.sync()
    stage.world.sync()
    found = stage.sql("SELECT local_value, remote_value FROM conflicts")
    assert found == [{"local_value": "ours", "remote_value": "before"}]
    assert stage.sql("SELECT title FROM tasks") == [{"title": "after"}]


def test_a_title_given_after_ours_is_not_undone_for_an_earlier_one(stage_of: MakeStage) -> None:
    """The history's minutes can't tell whether our title went out once more with the next edit."""
    stage = stage_of("task")
    stage.act("UPDATE tasks SET title = 'ours' WHERE guid = :task")
    stage.act(during("PUT /item/*", edits("task", title="before")))
    stage.world.sync()
    stage.act("UPDATE tasks SET message = 'more' WHERE guid = :task")
    stage.world.service.faults.add(
        Fault("drop_after", "PUT", "/item/*"),
        Fault("status", "GET", "/item/delta/*", nth=2, status=503),
    )
    with suppress(ServiceError):
        stage.world.sync()
    stage.act(edits("task", title="latest"))
    for _ in range(3):
        stage.world.sync()
    wire = stage.wire("task")
    assert wire is not None
    assert wire["title"] == "latest"
    assert stage.sql("SELECT title FROM tasks") == [{"title": "latest"}]
