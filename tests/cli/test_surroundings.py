"""Started in a place that lacks what most places have: streams, a folder, a home."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Site


def _by_shell(site: Site, words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", words, sys.executable, str(site.folder / "config.toml")],
        cwd=site.folder,
        env=site.environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_closed_streams_are_no_reason_to_end(site: Site) -> None:
    done = _by_shell(site, 'exec "$0" -m hisync --config "$1" sync 0<&- >&- 2>&-')
    assert done.returncode == 0
    assert site.sql("SELECT count(*) FROM tasks")[0][0] > 10


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_no_room_for_the_output_is_said(site: Site) -> None:
    done = _by_shell(site, 'exec "$0" -m hisync --config "$1" check --offline > /dev/full')
    assert done.returncode == 1
    assert done.stderr.startswith("hisync: No space left on device: make room for the output")
    assert len(done.stderr.splitlines()) == 1


def test_a_folder_that_is_gone_is_said(site: Site) -> None:
    words = 'mkdir gone; cd gone; rmdir ../gone; exec "$0" -m hisync --config "$1" status'
    done = _by_shell(site, words)
    assert done.returncode == 2
    assert done.stderr.startswith("hisync: the current folder can't be used")


def test_a_user_without_a_home_can_name_a_configuration(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", _unknown)
    assert site.run("sync").returncode == 0


def _unknown() -> Path:
    raise RuntimeError("Could not determine home directory.")
