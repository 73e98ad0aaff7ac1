"""The progress bar: on a terminal, above nothing, and never in a pipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Site
from tests.cli.terminal import Shown, on_terminal
from tests.world import make_world

pytestmark = pytest.mark.slow


def shown(site: Site, *arguments: str, columns: int = 80, pipe_stdout: bool = False) -> Shown:
    return on_terminal(
        site.command(*arguments),
        site.folder,
        site.environment,
        columns=columns,
        pipe_stdout=pipe_stdout,
    )


def test_the_engine_tells_how_reading_applying_and_pushing_go_on(tmp_path: Path) -> None:
    world = make_world(tmp_path, items=40)
    told: list[tuple[str, int, int | None]] = []
    world.engine.progress = lambda stage, done, total: told.append((stage, done, total))
    world.sync()
    assert told == [
        *(("reading", 0, None), ("reading", 40, None)),
        *(("applying", 0, 40), ("applying", 40, 40)),
    ]
    for title in ("one", "two", "three"):
        world.sql("INSERT INTO tasks (title) VALUES (?)", title)
    told.clear()
    world.sync()
    assert [one for one in told if one[0] == "pushing"] == [("pushing", n, 3) for n in range(3)]
    told.clear()
    world.sync(full=True)
    assert told[:2] == [("reading", 0, None), ("reading", 43, None)]
    world.close()


def test_a_terminal_shows_a_bar_for_each_stage_and_wipes_it_away(site: Site) -> None:
    first = shown(site, "sync")
    assert first.returncode == 0, first.text
    assert "reading ━" in first.text
    assert "applying ━" in first.text
    for number in range(3):
        site.sql("INSERT INTO tasks (title) VALUES (?)", f"new {number}")
    second = shown(site, "sync")
    assert "pushing ━" in second.text
    assert "1 of 3" in second.text  # as the other two are under way
    # The line that the bar stood in is erased, and the cursor is there again.
    assert "\x1b[2Kpulled " in second.raw
    assert "\x1b[?25h" in second.raw


def test_a_cycle_with_nothing_to_do_shows_none(site: Site) -> None:
    site.run("sync")
    site.run("sync")
    quiet = shown(site, "sync")
    assert "━" not in quiet.text
    assert "pulled 0 rows" in quiet.text


def test_a_dry_run_prints_only_after_the_bar_is_gone(site: Site) -> None:
    site.run("sync")
    site.sql("INSERT INTO tasks (title) VALUES ('planned')")
    dry = shown(site, "sync", "--dry-run", "--full")
    assert "reading ━" in dry.text
    assert "\x1b[2Kwould change 0 rows" in dry.raw
    assert "would send POST /item 'planned'" in dry.text


@pytest.mark.parametrize("columns", [40, 80])
def test_a_logged_line_stays_whole_beside_the_bar(site: Site, columns: int) -> None:
    lines = shown(site, "sync", columns=columns).text.splitlines()
    (finished,) = [line for line in lines if "cycle_finished" in line]
    assert "━" not in finished
    assert "seconds=" in finished


def test_the_bar_goes_to_stderr_alone(site: Site) -> None:
    done = shown(site, "sync", pipe_stdout=True)
    assert "reading ━" in done.text
    assert "pulled 60 rows" not in done.text
    assert done.stdout.startswith("pulled 60 rows")
    assert "\x1b" not in done.stdout


def test_a_pipe_gets_no_bar(site: Site) -> None:
    done = site.run_process("sync")
    assert done.returncode == 0
    assert "━" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()][-1] == "cycle_finished"


def test_trouble_leaves_no_bar_behind(site: Site) -> None:
    site.sandbox.service.faults.add("GET /item:status=503:0")
    done = shown(site, "sync")
    assert done.returncode == 75
    assert "reading ━" in done.text
    assert done.text.splitlines()[-1].startswith("hisync: ")
    assert "\x1b[?25h" in done.raw
