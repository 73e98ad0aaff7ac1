"""Worlds for the engine's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.backends import chosen_backend, on_both
from tests.world import Backend, Frozen, World, make_world

MakeWorld = Callable[..., World]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of modules that say `BOTH = True` on PostgreSQL, too."""
    on_both(metafunc, "backend")


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Backend:
    """The database engine of the test's mirrors."""
    return chosen_backend(request, "backend")


@pytest.fixture
def new_world(
    tmp_path: Path, request: pytest.FixtureRequest, backend: Backend
) -> Iterator[MakeWorld]:
    """Make worlds that are closed at the end.

    Reading comments costs a history per item, so only modules that say `COMMENTS = True` do.
    """
    worlds: list[World] = []

    comments = getattr(request.module, "COMMENTS", False)

    def make(*, rules: Mapping[str, Any] | None = None, **options: Any) -> World:
        folder = tmp_path / str(len(worlds))
        folder.mkdir()
        rules = {"comments": comments, **(rules or {})}
        worlds.append(make_world(folder, rules=rules, backend=backend, **options))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


@cache
def _quiet(*, comments: bool, backend: Backend) -> Frozen:
    with TemporaryDirectory() as folder:
        made = make_world(Path(folder), rules={"comments": comments}, backend=backend)
        made.sync()
        made.sync()
        return made.freeze()


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest, backend: Backend) -> Iterator[World]:
    """A world whose mirror is filled and quiet."""
    comments = getattr(request.module, "COMMENTS", False)
    made = _quiet(comments=comments, backend=backend).thaw(tmp_path)
    made.sync()  # what an engine learns in its first cycle: a session, and that nothing is due
    made.service.reset_log()
    yield made
    made.close()
