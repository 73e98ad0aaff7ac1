"""The house in which all scenes of a session are played."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.edges.house import House


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Rooms for scenes."""
    made = House(tmp_path_factory.mktemp("house"))
    yield made
    made.leave()
