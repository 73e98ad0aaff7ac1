"""An engine with the image built, and a sandbox for what runs in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hisync.sandbox import Running, running
from tests.deploy import debian
from tests.deploy.engine import Docker


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    """An engine with the image built."""
    debian.require(dockerd="docker.io", mmdebstrap="mmdebstrap")
    docker = Docker()
    try:
        docker.import_base()
        docker.build("hisync")
        yield docker
    finally:
        docker.close()


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Running]:
    with running(20) as sandbox:
        yield sandbox
