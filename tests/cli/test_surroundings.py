"""Started in a place that lacks what most places have: streams, letters, a folder, a home."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

import hisync.cli
from tests.cli.conftest import Site, logs_kept

NAME, TITLE = "Ünal 日本", "日本 ü 😀"


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


@pytest.fixture
def foreign(site: Site) -> Site:
    """A mirror with letters that few encodings have: in a task, its user, a refused edit."""
    user = site.model.team.add_user("u@example.com", "x", *NAME.split())
    site.model.create(user=site.model.users[0], title=TITLE, assignee=user.id)
    site.run("sync")
    site.sql("UPDATE tasks SET due_date = ? WHERE title = ?", TITLE, TITLE)
    assert site.run("sync").returncode == 4
    return site


def _main(site: Site, encoding: str, *arguments: str) -> str:
    """What hisync prints to a stream of this encoding."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding, newline="")
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(site.folder), logs_kept():
        for name in ("spare_start", "spare_end"):
            patch.setattr(hisync.cli, name, lambda: None)
        patch.setattr(sys, "argv", ["hisync", *arguments])
        patch.setattr(sys, "stdout", stream)
        patch.setenv("PYDANTIC_DISABLE_PLUGINS", "1")
        with pytest.raises(SystemExit) as ended:
            hisync.cli.main()
    stream.flush()
    assert ended.value.code == 0
    printed = stream.buffer.getvalue()
    return printed.decode("utf-8" if encoding == "ascii" else encoding)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_letters_that_the_output_lacks_are_escaped(foreign: Site, encoding: str) -> None:
    lacking = encoding != "ascii"  # for which the command line's library writes UTF-8

    def shown(text: str) -> str:
        return text.encode(encoding, "backslashreplace").decode(encoding) if lacking else text

    table = _main(foreign, encoding, "report", "assigned")
    assert [text for text in (NAME, TITLE) if shown(text) not in table] == []
    text = _main(foreign, encoding, "report", "assigned", "--format", "csv")
    (row,) = [r for r in csv.DictReader(io.StringIO(text)) if r["title"] == shown(TITLE)]
    assert row["assignee_name"] == shown(NAME)
    rows = json.loads(_main(foreign, encoding, "report", "assigned", "--format", "json"))
    assert (NAME, TITLE) in {(row["assignee_name"], row["title"]) for row in rows}
    assert shown(TITLE) in _main(foreign, encoding, "changes")
    assert TITLE in json.loads(_main(foreign, encoding, "changes", "--json"))[0]["error"]
    assert shown(TITLE) in _main(foreign, encoding, "status")
    assert json.loads(_main(foreign, encoding, "status", "--json"))["rejected"][0]["title"] == TITLE


def test_letters_that_the_output_has_stay(foreign: Site) -> None:
    assert f'"{TITLE}"' in _main(foreign, "utf-8", "report", "assigned", "--format", "json")
    assert NAME in _main(foreign, "utf-8", "report", "assigned")


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", ["PYTHONIOENCODING=latin-1", "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0"]
)
def test_an_environment_of_few_letters_is_no_reason_to_end(foreign: Site, words: str) -> None:
    command = f'exec env {words} "$0" -m hisync --config "$1" report assigned > printed'
    done = _by_shell(foreign, command)
    assert (done.returncode, done.stderr) == (0, "")


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
