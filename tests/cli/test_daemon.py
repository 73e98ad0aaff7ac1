"""`hisync run`, as a process of its own."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from shutil import which

import httpx
import pytest

from tests.cli.conftest import Site, until

QUICK = {"poll_interval": 1, "push_delay": 0.2}


def running_daemon(site: Site, **sync: float) -> subprocess.Popen[str]:
    site.configure(sync={**QUICK, **sync})
    daemon = site.start("run")
    until(lambda: "cycle_finished" in site.log())
    return daemon


def test_an_edit_on_either_side_arrives_on_the_other(site: Site) -> None:
    running_daemon(site, poll_interval=3600)
    shell = which("sqlite3")
    statement = "INSERT INTO tasks (title) VALUES ('from the shell')"
    if shell:
        subprocess.run([shell, str(site.database), statement], check=True, timeout=10)
    else:
        site.sql(statement)
    took = until(lambda: "from the shell" in {item.title for item in site.model.items()})
    assert took < 5


@pytest.mark.slow
def test_a_remote_edit_is_in_the_mirror_within_one_poll(site: Site) -> None:
    running_daemon(site)
    item = site.model.items()[0]
    site.model.update(item.id, user=site.model.user(item.user_id), title="changed there")
    until(lambda: site.sql("SELECT 1 FROM projects WHERE title = 'changed there'"), within=5)


@pytest.mark.slow
def test_a_quiet_cycle_costs_one_request_and_writes_nothing(site: Site) -> None:
    running_daemon(site)
    site.sandbox.service.reset_log()
    cycles = site.log().count("cycle_finished")
    until(lambda: site.log().count("cycle_finished") >= cycles + 3)
    until(lambda: len(site.sandbox.service.log) <= site.log().count("cycle_finished") - cycles)
    assert {(e.method, e.route) for e in site.sandbox.service.log} == {
        ("GET", "GET /item/delta/{}")
    }


def test_sigterm_ends_it_cleanly_and_the_lock_is_free(site: Site) -> None:
    daemon = running_daemon(site)
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(timeout=10) == 0
    assert '"event": "daemon_stopped"' in site.log()
    assert site.run("sync").returncode == 0


def test_a_second_daemon_and_a_sync_beside_it_name_the_first(site: Site) -> None:
    daemon = running_daemon(site)
    second, beside = site.run_process("run"), site.run("sync")
    assert (second.returncode, beside.returncode) == (1, 75)
    assert str(daemon.pid) in second.stderr
    assert str(daemon.pid) in beside.stderr
    assert f"process {daemon.pid}" in site.run("status").stdout
    daemon.kill()
    daemon.wait()
    assert site.run("sync").returncode == 0


@pytest.mark.slow
def test_a_second_daemon_names_the_first_also_where_that_has_its_address(site: Site) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        daemon = running_daemon(site)
        site.configure(monitor={"listen": f"127.0.0.1:{taken.getsockname()[1]}"})
        second = site.run_process("run")
    assert second.returncode == 1
    assert f"process {daemon.pid}" in second.stderr


@pytest.mark.slow
def test_trouble_is_said_once_when_it_starts_and_once_when_it_ends(site: Site) -> None:
    running_daemon(site)
    site.sandbox.service.faults.add("GET /item/delta/*:status=503:2")
    until(lambda: "trouble_ended" in site.log())
    assert site.log().count("trouble_started") == 1
    assert site.log().count("trouble_ended") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "trait",
    [
        pytest.param("repeated_guid=returns_existing", marks=pytest.mark.slow),
        "repeated_guid=duplicates",
    ],
)
def test_killed_six_times_in_the_middle_of_forty_creates(
    new_site: Callable[..., Site], trait: str
) -> None:
    site = new_site(3, traits=[trait])
    site.run("sync")
    for number in range(40):
        site.sql("INSERT INTO tasks (title) VALUES (?)", f"create {number:02}")

    def made() -> Counter[str]:
        return Counter(i.title for i in site.model.items() if i.title.startswith("create"))

    for round_ in range(6):
        wanted = 6 * (round_ + 1)
        daemon = site.start("run")
        until(lambda wanted=wanted: len(made()) >= wanted)  # type: ignore[misc]
        daemon.kill()
        daemon.wait()
    assert site.run("sync").returncode == 0
    assert made() == {f"create {number:02}": 1 for number in range(40)}
    assert site.sql("SELECT count(*) FROM tasks WHERE title LIKE 'create%' AND id IS NOT NULL") == [
        (40,)
    ]
    assert site.sql("SELECT count(*) FROM change_log WHERE state = 'done'") == [(40,)]


# Told to stop, while hiTask says nothing


@pytest.mark.slow
def test_sigterm_ends_a_request_that_hangs(site: Site) -> None:
    daemon = running_daemon(site, poll_interval=3600)
    site.sandbox.service.faults.add("PUT /item/*:slow=30:1")
    site.sql("UPDATE tasks SET title = 'slow' WHERE rowid = 1")
    until(lambda: site.sql("SELECT 1 FROM change_log WHERE state = 'sending'"))
    began = time.monotonic()
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(timeout=10) == 0
    assert time.monotonic() - began < 2
    assert '"event": "daemon_stopped"' in site.log()
    assert "trouble_started" not in site.log()
    assert site.run("sync").returncode == 0  # what became of it is looked up
    assert site.sql("SELECT count(*) FROM change_log WHERE state = 'done'") == [(1,)]


@pytest.mark.slow
def test_sigterm_ends_a_connection_that_is_never_made(site: Site) -> None:
    """What listens takes no more connections: connecting itself hangs."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [_connecting(address) for _ in range(4)]
        site.run("sync")
        site.configure(hitask={"base_url": f"http://127.0.0.1:{address[1]}/api"})
        daemon = site.start("run")
        until(lambda: "daemon_started" in site.log())
        began = time.monotonic()
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(timeout=10) == 0
        assert time.monotonic() - began < 2.5
        for one in waiting:
            one.close()


def _connecting(address: tuple[str, int]) -> socket.socket:
    one = socket.socket()
    one.setblocking(False)
    one.connect_ex(address)
    return one


# What others see of it


def test_the_monitor_says_how_it_is(site: Site) -> None:
    port = free_port()
    site.configure(monitor={"listen": f"127.0.0.1:{port}"}, sync=QUICK)
    daemon = site.start("run")
    until(lambda: "cycle_finished" in site.log())
    health = httpx.get(f"http://127.0.0.1:{port}/healthz")
    assert (health.status_code, health.json()["status"]) == (200, "ok")
    metrics = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    assert 'hisync_requests_total{cause="full",outcome="ok"} 1.0' in metrics
    assert 'hisync_requests_last_hour{cause="full",outcome="ok"} 1.0' in metrics
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(timeout=10) == 0


@pytest.mark.slow
def test_a_refused_login_is_said_once_and_seen_by_the_monitor(site: Site) -> None:
    port, told = free_port(), site.folder / "told"
    hook = site.folder / "hook.py"
    hook.write_text(f"import sys; open({str(told)!r}, 'a').write(sys.stdin.read())")
    site.configure(
        hitask={"password": "wrong-marked-secret"},
        monitor={"listen": f"127.0.0.1:{port}"},
        hooks={"command": f"{sys.executable} {hook}"},
        sync=QUICK,
    )
    site.start("run")
    until(lambda: "login_refused" in site.log())
    until(lambda: told.exists() and told.read_text().endswith("\n"))
    health = httpx.get(f"http://127.0.0.1:{port}/healthz")
    assert (health.status_code, health.json()["login_refused"]) == (503, True)
    assert json.loads(told.read_text())["event"] == "login_refused"
    seen = len(site.sandbox.service.log)
    until(lambda: site.log().count("\n") and _quiet_for(site, 2.5), within=10)
    assert len(site.sandbox.service.log) == seen == 1  # a poll a second, and none asks again
    assert site.log().count('"event": "login_refused"') == 1
    assert "marked-secret" not in site.log() + health.text + told.read_text()


def _quiet_for(site: Site, seconds: float) -> bool:
    """Let some polls go by."""
    began, size = time.monotonic(), len(site.log())
    while time.monotonic() - began < seconds:
        if len(site.log()) != size:
            return False
        time.sleep(0.05)
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_a_database_that_is_locked_at_the_start_is_waited_for(site: Site) -> None:
    """Longer than a client's transaction may last; the service manager is told why."""
    site.run("sync")
    notify = site.folder / "notify"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(notify))
        manager.settimeout(20)
        with closing(sqlite3.connect(site.database, isolation_level=None)) as client:
            client.execute("BEGIN IMMEDIATE")
            site.configure(sync=QUICK)
            daemon = site.start("run", NOTIFY_SOCKET=str(notify))
            ready = manager.recv(4096).decode()
            assert "READY=1" in ready
            assert "someone else's transaction holds it" in ready
            client.execute("ROLLBACK")
        until(lambda: "trouble_ended" in site.log(), within=40)
        assert daemon.poll() is None
    assert site.log().count("trouble_started") == 1
