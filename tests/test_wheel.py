"""The wheel works without the checkout: the migrations and all that is no Python travel in it."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """A wheel, built offline from a copy of the project's files."""
    copy = tmp_path_factory.mktemp("wheel") / "checkout"
    shutil.copytree(ROOT, copy, ignore=not_of_the_project, symlinks=True)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"],
        cwd=copy,
        check=True,
        capture_output=True,
    )
    (built,) = (copy / "dist").glob("*.whl")
    with zipfile.ZipFile(built) as opened:
        yield opened


def not_of_the_project(folder: str, names: list[str]) -> set[str]:
    """Environments, caches, databases and earlier builds; caches within packages stay."""
    left_out = {name for name in names if name.startswith(".") and name != ".gitignore"}
    left_out |= {name for name in names if ".db" in name}
    return left_out | ({"build", "dist"} if Path(folder) == ROOT else set())


def sources(folder: str) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*.py")}


def test_every_module_is_in_it(wheel: zipfile.ZipFile) -> None:
    modules = sources("hisync")
    assert "hisync/items.py" in modules
    assert modules <= set(wheel.namelist())


def test_the_migrations_are_in_it(wheel: zipfile.ZipFile) -> None:
    migrations = sources("migrations")
    assert "migrations/env.py" in migrations
    assert len(migrations) > 1
    assert {f"hisync/{name}" for name in migrations} <= set(wheel.namelist())


def test_what_says_that_it_is_typed_is_in_it(wheel: zipfile.ZipFile) -> None:
    assert "hisync/py.typed" in wheel.namelist()


def test_nothing_else_is_in_it(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"hisync"}
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".db"))]


def test_it_brings_the_command(wheel: zipfile.ZipFile) -> None:
    (entry,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "hisync = hisync.cli:main" in wheel.read(entry).decode()


def test_it_creates_a_database_without_the_checkout(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path / "installed")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import hisync; from hisync.logs import configure_logging\n"
        "from hisync.mirror.store import open_mirror\n"
        "configure_logging('info', 'json')\n"
        "open_mirror(sys.argv[2]).acquire().close(); print(hisync.__file__)"
    )
    database = tmp_path / "mirror.db"
    # Isolated and elsewhere, so that the only way to a migration is through the wheel.
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(tmp_path / "installed"), f"sqlite:///{database}"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == str(tmp_path / "installed" / "hisync" / "__init__.py")
    with sqlite3.connect(database) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    assert {"tasks", "change_log", "sync_state"} <= tables
