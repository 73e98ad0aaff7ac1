"""Worlds for the engine's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.world import World, make_world

MakeWorld = Callable[..., World]


@pytest.fixture
def new_world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[MakeWorld]:
    """Make worlds that are closed at the end.

    Reading comments costs a history per item, so only modules that say `COMMENTS = True` do.
    """
    worlds: list[World] = []

    comments = getattr(request.module, "COMMENTS", False)

    def make(*, rules: Mapping[str, Any] | None = None, **options: Any) -> World:
        folder = tmp_path / str(len(worlds))
        folder.mkdir()
        worlds.append(make_world(folder, rules={"comments": comments, **(rules or {})}, **options))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


@pytest.fixture
def world(new_world: MakeWorld) -> World:
    """A world whose mirror is filled and quiet."""
    made = new_world()
    made.sync()
    made.sync()
    made.service.reset_log()
    return made
