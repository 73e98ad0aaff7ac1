"""`[hooks]` beside `hisync sync`, as under cron."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hisync.sandbox import Fault
from tests.cli.conftest import Site


@pytest.fixture
def told(site: Site) -> Path:
    """Where the hook of the site writes what it is told."""
    told, program = site.folder / "told", site.folder / "hook.py"
    program.write_text(f"import sys; open({str(told)!r}, 'a').write(sys.stdin.read())")
    site.configure(hooks={"command": f"{sys.executable} {program}"})
    return told


def events(told: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []


def test_a_rejected_change_is_told_before_sync_ends_and_once(site: Site, told: Path) -> None:
    assert site.run("sync").returncode == 0
    assert events(told) == []
    site.sql("INSERT INTO tasks (title, due_date) VALUES ('Order', 'soon')")
    assert site.run("sync").returncode == 4
    (event,) = events(told)
    assert (event["event"], event["title"]) == ("change_rejected", "Order")
    assert site.run("sync").returncode == 4
    assert len(events(told)) == 1


def test_a_refused_login_is_told_and_ends_with_3(site: Site, told: Path) -> None:
    fault = Fault("status", "GET", "/user/authenticate", status=403, code=8, count=0)
    site.sandbox.service.faults.add(fault)
    assert site.run("sync").returncode == 3
    assert site.run("sync").returncode == 3
    assert [event["event"] for event in events(told)] == ["login_refused"]


@pytest.mark.slow
def test_a_hook_that_fails_changes_nothing_else(site: Site) -> None:
    site.configure(hooks={"command": "/no/such/program"})
    assert site.run("sync").returncode == 0
    site.sql("INSERT INTO tasks (title, due_date) VALUES ('Order', 'soon')")
    done = site.run("sync")
    assert done.returncode == 4
    assert "hook_failed" in done.stderr
