"""The planted bugs still fit the engine; `python -m tests.plant` sees that each is caught."""

from __future__ import annotations

import pytest

from tests.plant import CHECKOUT
from tests.proof.plants import PLANTS, Plant

FEWEST = 20


def test_there_are_many() -> None:
    assert len({plant.name for plant in PLANTS}) == len(PLANTS) >= FEWEST


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_its_text_is_there_and_what_it_becomes_is_python(plant: Plant) -> None:
    path, text = plant.edited(CHECKOUT)
    compile(text, str(path), "exec")


def test_a_plant_that_does_not_fit_says_so() -> None:
    plant = Plant("none", "hisync/pull.py", "no such text", "", "")
    with pytest.raises(LookupError, match="0 times"):
        plant.edited(CHECKOUT)
