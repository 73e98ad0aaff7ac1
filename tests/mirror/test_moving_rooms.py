"""Where a mirror may be moved to: never over a copy that is all that is left of another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from hisync.errors import MirrorError
from hisync.mirror import moving, state
from hisync.mirror.moving import Moved, move_mirror
from hisync.mirror.store import open_mirror


def url(folder: Path, name: str) -> str:
    return f"sqlite:///{folder / name}.db"


def make(folder: Path, name: str, title: str | None = None) -> None:
    with open_mirror(url(folder, name)).acquire() as mirror, mirror.engine.begin() as connection:
        if title is not None:
            connection.exec_driver_sql("INSERT INTO tasks (title) VALUES (?)", (title,))


def move(folder: Path, source: str, target: str) -> Moved:
    with open_mirror(url(folder, source)) as old, open_mirror(url(folder, target)) as new:
        return move_mirror(old, new, lambda *_: None)


def titles(folder: Path, name: str) -> list[str]:
    with open_mirror(url(folder, name)).acquire() as mirror, mirror.reading() as connection:
        return list(connection.exec_driver_sql("SELECT title FROM tasks").scalars())


@pytest.mark.slow
def test_a_copy_that_was_not_released_is_not_thrown_away_for_another_mirror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a", "unsent in a")
    make(tmp_path, "x", "of x")
    with monkeypatch.context() as patch:
        patch.setattr(moving, "_release", lambda _target: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            move(tmp_path, "a", "b")
    with pytest.raises(MirrorError, match=r"holds a copy of .*a\.db that was not finished"):
        move(tmp_path, "x", "b")
    move(tmp_path, "a", "b")
    assert titles(tmp_path, "b") == ["unsent in a"]
    assert titles(tmp_path, "x") == ["of x"]


def test_a_mirror_comes_back_to_where_it_was_moved_from(tmp_path: Path) -> None:
    make(tmp_path, "a")
    move(tmp_path, "a", "b")
    with open_mirror(url(tmp_path, "b")).acquire() as mirror, mirror.writing() as connection:
        state.save(connection, last_cycle={"pulled": 0})
    move(tmp_path, "b", "a")
    assert titles(tmp_path, "a") == []  # and it can be worked on


def test_a_mirror_that_was_never_synced_can_be_moved(tmp_path: Path) -> None:
    make(tmp_path, "a")
    assert move(tmp_path, "a", "b").rows == {}
