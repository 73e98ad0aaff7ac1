"""`hisync run` on PostgreSQL: its server dies under it, and so does another daemon."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import psycopg
import pytest

from hisync.mirror.store import open_mirror
from tests.cli.conftest import Site, until
from tests.mirror import test_lease
from tests.postgres import Server, server

pytestmark = pytest.mark.postgresql

PAUSE = 60
"""Seconds between two polls, so that nothing but the loss itself brings a try about."""


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server to be killed, apart from the others."""
    made = Server(server().programs)
    yield made
    made.remove()


@pytest.fixture
def database(site: Site, own_server: Server) -> str:
    """The name of a database that the site's mirror is in."""
    name = own_server.create()
    site.configure(
        database={"url": own_server.url(name)},
        sync={"poll_interval": PAUSE, "push_delay": 0.2},
        monitor={"listen": f"127.0.0.1:{free_port()}"},
    )
    return name


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def sql(server: Server, database: str, statement: str) -> list[tuple[Any, ...]]:
    with closing(psycopg.connect(server.conninfo(database), autocommit=True)) as session:
        cursor = session.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def health(site: Site) -> dict[str, Any]:
    listen = next(
        x
        for x in (site.folder / "config.toml").read_text().split('"')
        if ":" in x and x.startswith("127.0.0.1:")
    )
    found: dict[str, Any] = httpx.get(f"http://{listen}/healthz").json()
    return found


def titles(site: Site) -> list[str]:
    return [item.title for item in site.model.items()]


def test_a_server_that_dies_in_the_middle_of_a_push_is_met_again_within_seconds(
    site: Site, own_server: Server, database: str
) -> None:
    site.start("run")
    until(lambda: "cycle_finished" in site.log())
    site.sandbox.service.faults.add("POST /item:slow=2:1")
    sql(own_server, database, "INSERT INTO tasks (title) VALUES ('under way'), ('after it')")
    until(lambda: "under way" in titles(site) or "POST /item" in site.sandbox.service.requests)
    own_server.kill(signal.SIGKILL)
    until(lambda: "trouble_started" in site.log())
    assert "hisync will try again" in health(site)["trouble"]
    own_server.restart()
    sql(own_server, database, "INSERT INTO tasks (title) VALUES ('later')")
    took = until(lambda: {"under way", "after it", "later"} <= set(titles(site)))
    assert took < PAUSE / 4
    until(lambda: health(site)["trouble"] is None)
    assert [titles(site).count(t) for t in ("under way", "after it", "later")] == [1, 1, 1]
    assert site.log().count("trouble_started") == 1
    unfinished = "SELECT count(*) FROM change_log WHERE state <> 'done'"
    until(lambda: sql(own_server, database, unfinished) == [(0,)])


def test_a_backend_that_is_killed_between_two_cycles_is_missed_and_replaced(
    site: Site, own_server: Server, database: str
) -> None:
    site.start("run")
    until(lambda: "cycle_finished" in site.log())
    who = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'hisync %' LIMIT 1"
    ((pid,),) = sql(own_server, database, who)
    os.kill(pid, signal.SIGKILL)  # and the server ends every other session, too

    def edited() -> bool:
        try:
            sql(own_server, database, "INSERT INTO tasks (title) VALUES ('afterwards')")
        except psycopg.OperationalError:
            return False  # it is on its way up again
        return True

    until(edited)
    started = time.monotonic()
    until(lambda: "afterwards" in titles(site))
    assert time.monotonic() - started < PAUSE / 4
    assert titles(site).count("afterwards") == 1


# A standby


def booked(server: Server, database: str) -> list[tuple[Any, ...]]:
    """What would tell that a second daemon had written anything."""
    fence = "SELECT value FROM sync_state WHERE key = 'fence'"
    return sql(server, database, fence) + sql(server, database, "SELECT max(id) FROM sync_requests")


def test_a_standby_writes_nothing_and_takes_over_within_seconds_of_the_firsts_death(
    site: Site, own_server: Server, database: str
) -> None:
    first = site.start("run")
    until(lambda: "cycle_finished" in site.log())
    before = booked(own_server, database)
    site.configure(
        database={"url": own_server.url(database)},
        sync={"poll_interval": PAUSE, "push_delay": 0.2},
        monitor={"listen": f"127.0.0.1:{free_port()}"},
    )
    notify = site.folder / "notify"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(notify))
        manager.settimeout(20)
        second = site.start("run", "--standby", NOTIFY_SOCKET=str(notify))
        words = f"standing by: process {first.pid} works on the mirror"
        assert manager.recv(4096).decode() == f"STATUS={words}\nREADY=1"
        found = health(site)
        assert (found["status"], found["standing_by"]) == ("standby", words[13:])
        seen = len(site.sandbox.service.log)
        time.sleep(2.5)  # some looks of the standby
        assert len(site.sandbox.service.log) == seen
        assert booked(own_server, database) == before
        sql(own_server, database, "INSERT INTO tasks (title) VALUES ('while both live')")
        until(lambda: titles(site).count("while both live") == 1)
        first.kill()
        first.wait()
        sql(own_server, database, "INSERT INTO tasks (title) VALUES ('in between')")
        took = until(lambda: "in between" in titles(site))
        assert took < 10
    assert "taking_over" in site.log()
    assert second.poll() is None
    assert [titles(site).count(title) for title in ("while both live", "in between")] == [1, 1]
    assert health(site)["status"] in {"ok", "starting"}


def test_a_standby_outlives_a_restart_of_the_server_and_ends_when_it_is_told_to(
    site: Site, own_server: Server, database: str
) -> None:
    with open_mirror(own_server.url(database)).acquire():
        standby = site.start("run", "--standby")
        until(lambda: "standing_by" in site.log())
        own_server.kill()
        until(lambda: "can be reached" in site.log())
        own_server.start()
        until(lambda: "taking_over" in site.log())
        until(lambda: "cycle_finished" in site.log())
    standby.send_signal(signal.SIGTERM)
    assert standby.wait(timeout=10) == 0


def test_a_standby_that_is_told_to_stop_ends_at_once(
    site: Site, own_server: Server, database: str
) -> None:
    with open_mirror(own_server.url(database)).acquire():
        standby = site.start("run", "--standby")
        until(lambda: "standing_by" in site.log())
        standby.send_signal(signal.SIGTERM)
        assert standby.wait(timeout=5) == 0
    assert "taking_over" not in site.log()


def test_without_advisory_locks_and_notify_two_daemons_stand_by_for_each_other(site: Site) -> None:
    name = test_lease.empty()
    test_lease.take_away(name)
    sync = {"poll_interval": PAUSE, "push_delay": 0.2}
    site.configure(database={"url": test_lease.url_of(name)}, sync=sync)
    first = site.start("run")
    until(lambda: "cycle_finished" in site.log())
    assert site.log().count("database_lacks") == 2
    text = site.run("status").stdout
    assert f"process {first.pid}" in text
    assert "\nserver lacks  advisory locks: " in text
    assert "\nserver lacks  NOTIFY: " in text
    assert f"process {first.pid}" in site.run("sync").stderr
    sql(server(), name, "INSERT INTO tasks (title) VALUES ('while it works')")
    assert until(lambda: "while it works" in titles(site)) < PAUSE / 4
    second = site.start("run", "--standby")
    until(lambda: "standing_by" in site.log())
    first.kill()
    first.wait()
    sql(server(), name, "INSERT INTO tasks (title) VALUES ('in between')")
    assert "taking_over" not in site.log()
    sql(server(), name, "UPDATE sync_lease SET expires = now() - interval '1 s'")  # no half minute
    until(lambda: "in between" in titles(site))
    assert second.poll() is None
    assert [titles(site).count(title) for title in ("while it works", "in between")] == [1, 1]
    second.kill()
    second.wait()
    server().drop(name)
