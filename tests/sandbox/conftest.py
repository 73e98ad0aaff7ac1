from __future__ import annotations

import pytest

from hisync.sandbox import Service, seeded_model

from .client import Client, Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(clock: Clock) -> Client:
    """Ann, logged in, in a team without any items."""
    client = Client(Service(seeded_model(0, clock=clock)))
    client.log_in()
    return client
