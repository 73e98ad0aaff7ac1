"""A folder in memory for the simulations of a session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.proof.sim import memory_folder, quietly


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where a simulation's mirror is; the engine keeps its events to itself meanwhile."""
    before = structlog.get_config()
    quietly()
    with memory_folder() as made:
        yield made / "run"
    structlog.configure(**before)
