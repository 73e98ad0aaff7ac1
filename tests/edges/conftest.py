"""The houses in which all scenes of a session are played."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends import chosen_backend, on_both
from tests.edges.house import House, ServedHouse


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Play the scenes of modules that say `BOTH = True` on PostgreSQL, too."""
    on_both(metafunc, "house", scope="session")


@pytest.fixture(autouse=True)
def _of_sqlite_only(request: pytest.FixtureRequest) -> None:
    chosen_backend(request, "house")


@pytest.fixture(scope="session")
def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """Rooms for scenes."""
    served = getattr(request, "param", "sqlite") == "postgresql"
    made = (ServedHouse if served else House)(tmp_path_factory.mktemp("house"))
    yield made
    made.leave()
