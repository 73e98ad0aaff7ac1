"""`/healthz` and `/metrics`, and that what `deploy/` shows and alerts on is there."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from hisync.cycle import Summary
from hisync.errors import HisyncError, RetryLaterError
from hisync.watch.figures import Figures, load_figures
from hisync.watch.metrics import render_metrics
from hisync.watch.server import Monitor
from hisync.watch.vitals import Vitals, judge
from tests.world import World, make_world

DEPLOY = Path(__file__).parents[2] / "deploy"
METRIC = r"\b(?:hisync|process)_[a-z_]+"


class Watched:
    """A world with a monitor beside it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.vitals = Vitals(lambda: world.time.now, 60.0)
        self.broken = False
        self.monitor = Monitor(
            "127.0.0.1:0",
            lambda: judge(self.vitals, world.time.now),
            render_metrics(self.vitals, 60, self.figures),
        )

    def figures(self) -> Figures | None:
        if self.broken:
            return None
        with self.world.engine.mirror.reading() as connection:
            return load_figures(connection, per_minute=60, now=self.world.time.now)

    def get(self, path: str, method: str = "GET") -> httpx.Response:
        return httpx.request(method, f"http://127.0.0.1:{self.monitor.port}{path}", timeout=10)

    def values(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Every sample, by its name and labels."""
        families = text_string_to_metric_families(self.get("/metrics").text)
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        return self.values()[name, tuple(sorted(labels.items()))]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    world = make_world(tmp_path)
    watched = Watched(world)
    yield watched
    watched.monitor.close()
    world.close()


def cycle(watched: Watched) -> Summary:
    summary = watched.world.sync()
    watched.vitals.note_cycle(summary)
    return summary


def test_health_is_a_status_and_its_reasons(watched: Watched) -> None:
    starting = watched.get("/healthz")
    assert (starting.status_code, starting.json()["status"]) == (503, "starting")
    cycle(watched)
    well = watched.get("/healthz")
    assert (well.status_code, well.json()["status"], well.json()["problems"]) == (200, "ok", [])
    assert well.headers["content-type"] == "application/json"
    watched.world.time.sleep(300)
    watched.vitals.note_trouble(RetryLaterError("down"), "down")
    old = watched.get("/healthz")
    assert (old.status_code, old.json()["status"]) == (503, "failing")
    assert old.json()["problems"] == ["no good cycle for 300 s: down"]


def test_the_numbers_are_those_of_the_mirror(watched: Watched) -> None:
    summary = cycle(watched)
    watched.vitals.note_request("delta", None)
    watched.vitals.note_request("delta", RetryLaterError("x"))
    world = watched.world
    world.sql("UPDATE tasks SET title = 'x' WHERE rowid = 1")
    world.sql("UPDATE tasks SET due_date = 'soon' WHERE rowid = 2")
    watched.vitals.note_cycle(world.sync())
    world.sql("UPDATE tasks SET title = 'waits' WHERE rowid = 3")
    tasks = world.one("SELECT count(*) AS n FROM tasks")["n"]
    assert watched.value("hisync_rows", table="tasks") == tasks
    for table in ("comments", "time_entries", "users"):
        there = world.one(f"SELECT count(*) AS n FROM {table}")["n"]
        assert watched.value("hisync_rows", table=table) == there
    assert watched.value("hisync_queue", state="pending") == 1
    assert watched.value("hisync_queue", state="rejected") == 1
    assert watched.value("hisync_queue", state="unknown") == 0
    assert watched.value("hisync_changes_pushed_total") == 1
    assert watched.value("hisync_rows_pulled_total") >= summary.pulled
    assert watched.value("hisync_cycles_total", outcome="good") == 2
    assert watched.value("hisync_requests_total", cause="delta", outcome="ok") == 1
    assert watched.value("hisync_requests_total", cause="delta", outcome="failed") == 1
    assert watched.value("hisync_request_budget") == 60
    assert watched.value("hisync_healthy") == 1
    with_comments = world.one("SELECT count(*) AS n FROM items WHERE last_comment_id IS NOT NULL")[
        "n"
    ]
    assert watched.value("hisync_comments_items") == with_comments


def test_a_database_that_can_not_be_read_leaves_the_rest(watched: Watched) -> None:
    cycle(watched)
    watched.broken = True
    assert watched.value("hisync_mirror_readable") == 0
    assert ("hisync_rows", (("table", "tasks"),)) not in watched.values()
    assert watched.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("HEAD", "/healthz", 503), ("POST", "/healthz", 501), ("GET", "/x", 404)],
)
def test_nothing_else_is_there(watched: Watched, method: str, path: str, status: int) -> None:
    assert watched.get(path, method).status_code == status


def test_a_client_that_says_nothing_keeps_nobody_waiting(watched: Watched) -> None:
    with socket.create_connection(("127.0.0.1", watched.monitor.port)):
        assert watched.get("/healthz").status_code == 503


def test_an_address_that_is_taken_is_named(watched: Watched) -> None:
    taken = f"127.0.0.1:{watched.monitor.port}"
    with pytest.raises(HisyncError, match=rf"monitor\.listen: can't listen at {taken}: Address"):
        Monitor(taken, lambda: judge(watched.vitals, 0.0), bytes)


# What stands in deploy/


def expressions(value: Any) -> Iterator[str]:
    """Every query of a dashboard, wherever it stands."""
    match value:
        case dict():
            for key, inner in value.items():
                if key in {"expr", "query", "definition"} and isinstance(inner, str):
                    yield inner
                else:
                    yield from expressions(inner)
        case list():
            for inner in value:
                yield from expressions(inner)


def alert_expressions() -> list[str]:
    rules = (DEPLOY / "prometheus-alerts.yaml").read_text()
    return re.findall(r"^ +expr: (.+)$", rules, re.MULTILINE)


def test_the_dashboard_and_the_alerts_ask_for_metrics_that_there_are(watched: Watched) -> None:
    cycle(watched)
    watched.vitals.note_request("delta", None)
    watched.vitals.held = {"tasks": 1}
    offered = {name for name, _ in watched.values()}
    # Families that have samples only once there is something to show.
    offered |= {"hisync_requests_last_hour", "hisync_removals_held"}
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    asked = [*expressions(dashboard), *alert_expressions()]
    assert len(asked) > 25
    named = {name for one in asked for name in re.findall(METRIC, one)}
    assert len(named) > 15
    assert named - offered == set()


def test_every_metric_is_on_the_dashboard_or_in_an_alert(watched: Watched) -> None:
    cycle(watched)
    shown = (DEPLOY / "grafana-dashboard.json").read_text() + str(alert_expressions())
    own = {name for name, _ in watched.values() if name.startswith("hisync_")}
    aside = {"hisync_conflicts", "hisync_requests_last_minute"}
    missing = {name for name in own - aside if not re.search(rf"\b{name}\b", shown)}
    assert missing == set()


def test_alerts_say_what_to_do() -> None:
    rules = (DEPLOY / "prometheus-alerts.yaml").read_text()
    assert rules.count("- alert:") == rules.count("summary:") == rules.count("action:")
    assert rules.count("- alert:") == len(alert_expressions())


# What it costs where nobody asks for it


def test_prometheus_is_imported_only_where_metrics_are_served() -> None:
    program = (
        "import sys, hisync.cli, hisync.cli.serving, hisync.daemon, hisync.cli.syncing;"
        "assert 'prometheus_client' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
