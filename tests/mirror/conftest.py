"""Mirrors for the tests: each its own copy of one that was migrated once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hisync.mirror.store import Mirror, open_mirror
from tests.mirror.people import Person


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty mirror, not to be changed."""
    path = tmp_path_factory.mktemp("migrated") / "mirror.db"
    open_mirror(f"sqlite:///{path}").acquire().close()
    return path


@pytest.fixture
def database(migrated: Path, tmp_path: Path) -> Path:
    """The path of an empty mirror that nobody has open."""
    return Path(shutil.copy(migrated, tmp_path / "mirror.db"))


@pytest.fixture
def mirror(database: Path) -> Iterator[Mirror]:
    """A mirror that this process holds."""
    with open_mirror(f"sqlite:///{database}").acquire() as mirror:
        yield mirror


@pytest.fixture
def person(database: Path) -> Iterator[Person]:
    """Somebody's SQL client on the same mirror."""
    person = Person(database)
    yield person
    person.close()
