"""The same from outside, with real processes; `python -m tests.outside` kills more often."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import outside

pytestmark = pytest.mark.slow


def test_killed_at_random_moments_nothing_is_lost(tmp_path: Path) -> None:
    outcome = outside.run(tmp_path, kills=12, seed=1)
    assert outcome.wrong == []
    assert min(outcome.writes, outcome.edits) > 12
