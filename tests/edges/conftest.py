"""The houses in which all scenes of a session are played."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.edges.house import House, ServedHouse


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Play the scenes of modules that say `BOTH = True` on PostgreSQL, too.

    As with the engine's tests, those marked `core` do so always, the others in the heavier run.
    """
    if "house" not in metafunc.fixturenames or not getattr(metafunc.module, "BOTH", False):
        return
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    if "sqlite_only" in marks:
        return
    served = pytest.param("postgresql", marks=[] if "core" in marks else pytest.mark.postgresql)
    metafunc.parametrize("house", ["sqlite", served], indirect=True, scope="session")


@pytest.fixture(autouse=True)
def _of_sqlite_only(request: pytest.FixtureRequest) -> None:
    callspec = getattr(request.node, "callspec", None)
    served = callspec is not None and callspec.params.get("house") == "postgresql"
    if served and request.node.get_closest_marker("sqlite_only"):
        pytest.skip("of SQLite only")


@pytest.fixture(scope="session")
def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """Rooms for scenes."""
    served = getattr(request, "param", "sqlite") == "postgresql"
    made = (ServedHouse if served else House)(tmp_path_factory.mktemp("house"))
    yield made
    made.leave()
