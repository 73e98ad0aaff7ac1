"""What the service manager hears, at a socket that stands in for its own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hisync.watch.systemd import ServiceManager


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as server:
        server.bind(str(tmp_path / "notify"))
        server.setblocking(False)
        yield server


def heard(server: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(server.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_ready_is_said_once_and_the_status_each_time(listening: socket.socket) -> None:
    manager = ServiceManager(
        {"NOTIFY_SOCKET": listening.getsockname(), "WATCHDOG_USEC": "30000000"}
    )
    manager.alive()  # would start the manager's watch before there is anything to watch
    manager.ready("all is\nwell")
    manager.ready("held")
    manager.alive()
    manager.stopping()
    assert heard(listening) == [
        "STATUS=all is well\nREADY=1",
        "STATUS=held",
        "WATCHDOG=1",
        "STOPPING=1\nSTATUS=stopping",
    ]


def test_an_abstract_socket_is_understood() -> None:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as server:
        server.bind("")  # the kernel chooses an abstract name
        server.setblocking(False)
        name = "@" + server.getsockname()[1:].decode()
        ServiceManager({"NOTIFY_SOCKET": name}).status("well")
        assert heard(server) == ["STATUS=well"]


@pytest.mark.parametrize("address", ["", "/no/such/socket", "nonsense", "vsock:2:1234"])
def test_where_nobody_listens_nothing_happens(address: str) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": address} if address else {})
    manager.ready("x")
    manager.stopping()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "5000000"}, 5.0),
        ({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": str(os.getpid())}, 5.0),
        ({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_that_is_meant_for_us(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert ServiceManager(environment).watchdog_seconds == seconds
