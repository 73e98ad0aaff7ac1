"""Worlds for the engine's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.world import World, make_world

MakeWorld = Callable[..., World]


@pytest.fixture
def new_world(tmp_path: Path) -> Iterator[MakeWorld]:
    """Make worlds that are closed at the end."""
    worlds: list[World] = []

    def make(**options: object) -> World:
        folder = tmp_path / str(len(worlds))
        folder.mkdir()
        worlds.append(make_world(folder, **options))  # type: ignore[arg-type]
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
