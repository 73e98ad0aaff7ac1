"""The same tests on both database engines. Public: `on_both`, `chosen_backend`."""

from __future__ import annotations

from typing import Literal, cast

import pytest

from tests.world import Backend


def on_both(
    metafunc: pytest.Metafunc, fixture: str, scope: Literal["function", "session"] = "function"
) -> None:
    """Run the tests of modules that say `BOTH = True` on PostgreSQL, too.

    Those marked `core` do so always, the others in the heavier run; `sqlite_only` says why not.

    Args:
        metafunc: a test that pytest has found.
        fixture: what takes the engine's name as its parameter.
        scope: the fixture's.
    """
    if fixture not in metafunc.fixturenames or not getattr(metafunc.module, "BOTH", False):
        return
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    if "sqlite_only" in marks:
        return
    served = pytest.param("postgresql", marks=[] if "core" in marks else pytest.mark.postgresql)
    metafunc.parametrize(fixture, ["sqlite", served], indirect=True, scope=scope)


def chosen_backend(request: pytest.FixtureRequest, fixture: str) -> Backend:
    """The engine of a test by that fixture's parameter; skips what is SQLite's only."""
    callspec = getattr(request.node, "callspec", None)
    chosen = callspec.params.get(fixture, "sqlite") if callspec is not None else "sqlite"
    if chosen == "postgresql" and request.node.get_closest_marker("sqlite_only"):
        pytest.skip("of SQLite only")
    return cast("Backend", chosen)
