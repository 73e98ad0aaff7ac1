"""The daemon's start, where the database can't be opened as it is."""

from __future__ import annotations

import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from hisync.cli import opening, serving
from hisync.cli.opening import read_config
from hisync.errors import SchemaError
from tests.cli.conftest import Site, until


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What stands in for systemd, whose socket the daemon finds in its environment."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as server:
        server.bind(str(tmp_path / "notify"))
        server.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", server.getsockname())
        yield server


@contextmanager
def served(site: Site, **sections: dict[str, Any]) -> Iterator[list[Exception]]:
    """The daemon in a thread; what ended it, if anything did."""
    site.configure(sync={"poll_interval": 1}, **sections)
    config, stop, ended = (
        read_config(site.folder / "config.toml", logs=False),
        threading.Event(),
        [],
    )

    def run() -> None:
        try:
            serving.serve(config, stop)
        except Exception as error:  # noqa: BLE001
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield ended
    finally:
        stop.set()
        thread.join(10)


def set_revision(database: Path, revision: str) -> None:
    with closing(sqlite3.connect(database, timeout=5)) as client, client:
        client.execute("UPDATE sync_schema_version SET version_num = ?", (revision,))


def test_under_a_service_manager_it_waits_for_what_somebody_has_to_mend(
    site: Site, manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "OPEN_AGAIN", (0.05,))
    assert site.run("sync").returncode == 0
    with closing(sqlite3.connect(site.database)) as client:
        (known,) = client.execute("SELECT version_num FROM sync_schema_version").fetchone()
    set_revision(site.database, "9999")
    with served(site) as ended:
        said = manager.recv(4096).decode()
        assert said.startswith("STATUS=waiting: ")
        assert "install a newer hisync" in said
        assert "READY=1" in said  # or systemd would end it after a while, and start it again
        set_revision(site.database, known)
        until(lambda: manager.recv(4096).decode().startswith("STATUS=all is well"))
    assert ended == []


def test_without_one_it_ends_with_the_reason(site: Site) -> None:
    assert site.run("sync").returncode == 0
    set_revision(site.database, "9999")
    with served(site) as ended:
        until(lambda: ended)
    assert isinstance(ended[0], SchemaError)


@pytest.mark.slow
def test_a_second_daemon_ends_even_under_a_service_manager(
    site: Site, manager: socket.socket
) -> None:
    site.configure(sync={"poll_interval": 3600})
    daemon = site.start("run")
    until(lambda: "cycle_finished" in site.log())
    with served(site) as ended:
        until(lambda: ended)
    assert str(daemon.pid) in str(ended[0])


def test_a_server_that_is_away_is_waited_for_by_anyone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def open_engine(*arguments: Any) -> Any:
        tries.append(arguments)
        return opening.open_engine(*arguments)

    monkeypatch.setattr(serving, "OPEN_AGAIN", (0.05,))
    monkeypatch.setattr(serving, "open_engine", open_engine)
    with served(site, database={"url": "postgresql+psycopg://me@127.0.0.1:1/x"}) as ended:
        until(lambda: len(tries) > 2)
    assert ended == []
