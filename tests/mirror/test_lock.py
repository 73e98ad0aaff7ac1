"""One writer: a lock that names its holder, and dies with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hisync.errors import LockedError, MirrorError
from hisync.mirror.dialects.sqlite.lock import FileLock
from hisync.mirror.store import open_mirror

HOLD = """
import sys
from pathlib import Path
from hisync.mirror.dialects.sqlite.lock import FileLock
FileLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(database: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the mirror."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, f"{database}.lock"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_another_process_keeps_this_one_out_until_it_dies(
    database: Path, holder: subprocess.Popen[str]
) -> None:
    with open_mirror(f"sqlite:///{database}") as mirror:
        with pytest.raises(LockedError, match=f"process {holder.pid}") as caught:
            mirror.acquire()
        assert caught.value.pid == holder.pid
        assert mirror.holder() == holder.pid
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert mirror.holder() is None
        mirror.acquire()
        assert mirror.holder() == os.getpid()


def test_a_mirror_is_held_once_even_within_a_process(database: Path) -> None:
    url = f"sqlite:///{database}"
    with open_mirror(url).acquire(), open_mirror(url) as second:
        with pytest.raises(LockedError) as caught:
            second.acquire()
        assert caught.value.pid == os.getpid()
    with open_mirror(url).acquire():
        pass


def test_a_mirror_is_held_once_by_whatever_name_it_is_opened(
    database: Path, holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    """Or a command that comes by a link would end the daemon that holds the file itself."""
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(database)
    with open_mirror(f"sqlite:///{link}") as mirror:
        with pytest.raises(LockedError, match=f"process {holder.pid}"):
            mirror.acquire()
        assert mirror.holder() == holder.pid


def test_a_mirror_that_is_held_can_be_read(database: Path) -> None:
    url = f"sqlite:///{database}"
    with open_mirror(url).acquire(), open_mirror(url) as second:
        second.check()
        with second.reading() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM tasks").scalar_one() == 0


def test_a_lock_without_a_name_in_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with FileLock(path):
        path.write_text("")
        with pytest.raises(LockedError, match="process unknown") as caught:
            FileLock(path).acquire()
        assert caught.value.pid is None


def test_a_longer_name_of_before_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("12345678901234567890\n")
    with FileLock(path):
        assert path.read_text() == f"{os.getpid()}\n"
    FileLock(path).acquire()


def test_a_lock_that_can_not_be_made(tmp_path: Path) -> None:
    with pytest.raises(MirrorError, match="can't be made: No such file"):
        FileLock(tmp_path / "nowhere" / "lock").acquire()


def test_the_umask_keeps_no_member_of_a_group_out(database: Path) -> None:
    path = database.with_name("shared.lock")
    before = os.umask(0o077)
    try:
        FileLock(path, 0o660).acquire()
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o660
