"""hisync as a systemd service, in a machine that boots for it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hisync.sandbox import API_KEY
from tests.deploy import debian
from tests.deploy.machine import SANDBOX, Machine, install_program

pytestmark = pytest.mark.deploy

DATABASE = "/var/lib/hisync/hisync.db"
REFUSED = {
    "effect": "status",
    "method": "GET",
    "path": "/user/authenticate",
    "status": 403,
    "code": 69,
    "message": "Account expired",
    "count": 9,
}
UNIT = debian.ROOT / "deploy" / "hisync.service"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A machine with the service installed and ready."""
    debian.require(systemd_nspawn="systemd-container", mmdebstrap="mmdebstrap")
    folder = Path(tempfile.mkdtemp(prefix="hisync-machine-"))
    with ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        root = debian.unpack(folder)
        install_program(root)
        machine = Machine(root, folder / "boot.log")
        cleanup.callback(machine.halt)
        machine.start_sandbox()
        machine.install_service()
        yield machine


def override(machine: Machine, *lines: str, check: bool = True) -> None:
    """Settings of the service for one test."""
    folder = "/run/systemd/system/hisync.service.d"
    budget = "Environment=HISYNC_RATE__REQUESTS_PER_MINUTE=1000"
    text = "\\n".join(["[Service]", budget, *lines])
    machine.run(f"mkdir -p {folder}; printf '{text}\\n' > {folder}/test.conf")
    machine.run("systemctl daemon-reload; systemctl restart hisync", check=check)


def test_it_is_ready_after_the_first_cycle_and_says_so_in_words(machine: Machine) -> None:
    assert machine.show("ActiveState") == "active"
    assert machine.show("StatusText").startswith("all is well; last cycle at ")
    rows = machine.run(f"sqlite3 {DATABASE} 'SELECT count(*) FROM items'")
    assert int(rows) == 20
    assert machine.show("User") == "hisync"
    pid = machine.show("MainPID")
    assert machine.run(f"stat -c %U /proc/{pid}").strip() == "hisync"


def test_members_of_the_group_edit_with_plain_sqlite3_and_nobody_else(machine: Machine) -> None:
    assert machine.run("stat -c '%a %U %G' /var/lib/hisync").strip() == "2770 hisync hisync"
    assert machine.run(f"stat -c '%a %U %G' {DATABASE}").strip() == "660 hisync hisync"
    machine.run("useradd -M ann; useradd -M bob; usermod -aG hisync ann")
    insert = "PRAGMA busy_timeout = 5000; INSERT INTO tasks (title) VALUES ('from ann')"
    machine.run(f'runuser -u ann -- sqlite3 {DATABASE} "{insert}"')
    sent = "SELECT id FROM tasks WHERE title = 'from ann' AND id IS NOT NULL"
    machine.wait(f'sqlite3 {DATABASE} "{sent}" | grep -q .', within=20)
    refused = machine.run(
        f'runuser -u bob -- sqlite3 {DATABASE} "SELECT 1 FROM tasks"', check=False
    )
    assert "unable to open" in refused


def test_a_member_may_edit_while_the_service_is_stopped(machine: Machine) -> None:
    machine.run("systemctl stop hisync; id ann || (useradd -M ann && usermod -aG hisync ann)")
    insert = "INSERT INTO tasks (title) VALUES ('while stopped')"
    machine.run(f'runuser -u ann -- sqlite3 {DATABASE} "{insert}"')
    machine.run("systemctl start hisync")
    sent = "SELECT id FROM tasks WHERE title = 'while stopped' AND id IS NOT NULL"
    machine.wait(f'sqlite3 {DATABASE} "{sent}" | grep -q .', within=20)


def test_secrets_are_seen_by_the_service_alone(machine: Machine) -> None:
    modes = machine.run("stat -c '%a %U' /etc/hisync/config.*").split("\n")
    assert set(filter(None, modes)) == {"600 root"}
    pid = machine.show("MainPID")
    seen = "".join(
        machine.run(command)
        for command in (
            "systemctl show hisync; systemctl status hisync; systemctl cat hisync",
            "journalctl -u hisync --no-pager",
            "ps auxww",
            f"tr '\\0' '\\n' < /proc/{pid}/environ",
            f"strings {DATABASE} 2>/dev/null || cat {DATABASE} | tr -cd '[:print:]'",
        )
    )
    assert "hisync" in seen
    assert API_KEY not in seen  # the sandbox's password is a word that stands everywhere


def test_it_can_write_nowhere_else(machine: Machine) -> None:
    pid = machine.show("MainPID")
    for path in ("/etc/x", "/opt/hisync/x", "/usr/x", "/home/x"):
        denied = machine.run(f"nsenter -t {pid} -m -S $(id -u hisync) touch {path}", check=False)
        assert "Read-only" in denied or "denied" in denied or "No such" in denied, denied
    assert machine.run(f"grep -E '^(NoNewPrivs|Seccomp):' /proc/{pid}/status").split() == [
        *("NoNewPrivs:", "1", "Seccomp:", "2")
    ]
    assert machine.run(f"grep CapBnd /proc/{pid}/status").split()[1] == "0" * 16


def test_killed_it_comes_back(machine: Machine) -> None:
    override(machine, "RestartSec=200ms")
    before = machine.show("MainPID")
    machine.run(f"kill -9 {before}")
    machine.wait("[ $(systemctl show --value -p NRestarts hisync) -ge 1 ]")
    machine.wait("systemctl is-active hisync")
    assert machine.show("MainPID") not in {before, "0"}


def test_a_stuck_engine_trips_the_watchdog(machine: Machine) -> None:
    """Its other threads live on: only the engine waits, for an answer that doesn't come."""
    override(
        machine, "WatchdogSec=4s", "RestartSec=200ms", "Environment=HISYNC_SYNC__POLL_INTERVAL=1"
    )
    before, restarts = machine.show("MainPID"), int(machine.show("NRestarts"))
    time.sleep(6)  # alive for longer than the watchdog's time
    assert machine.show("MainPID") == before
    machine.sandbox("POST", "faults", ["GET /item/delta/*:slow=60:1"])
    machine.wait(f"[ $(systemctl show --value -p NRestarts hisync) -gt {restarts} ]", within=30)
    assert "watchdog" in machine.run("journalctl -u hisync --no-pager").lower()
    machine.wait("systemctl is-active hisync")


def test_a_frozen_process_trips_it_too(machine: Machine) -> None:
    override(machine, "WatchdogSec=4s", "RestartSec=200ms")
    before = machine.show("MainPID")
    machine.run(f"kill -STOP {before}")
    machine.wait(
        f"systemctl is-active hisync && [ $(systemctl show --value -p MainPID hisync) != {before} ]"
    )


def test_a_refused_login_is_ready_in_a_degraded_state(machine: Machine) -> None:
    machine.sandbox("POST", "faults", [REFUSED])
    machine.run("systemctl restart hisync")
    assert machine.show("ActiveState") == "active"
    assert "refuses the login" in machine.show("StatusText")
    machine.sandbox("DELETE", "faults")
    machine.run("systemctl restart hisync")
    assert machine.show("StatusText").startswith("all is well")


def test_a_faulty_configuration_is_not_tried_again(machine: Machine) -> None:
    faulty = "Environment=HISYNC_SYNC__POLL_INTERVAL=never"
    override(machine, "RestartSec=200ms", faulty, check=False)
    machine.wait("systemctl is-failed hisync")
    restarts = machine.show("NRestarts")
    time.sleep(1.5)
    assert (machine.show("ActiveState"), machine.show("NRestarts")) == ("failed", restarts)
    override(machine, "RestartSec=200ms")


def test_a_schema_that_is_newer_is_waited_for_and_no_crash_loop(machine: Machine) -> None:
    """Not for the sake of RestartSteps, which this systemd may be too old for."""
    override(machine, "RestartSec=200ms")
    set_revision = "UPDATE sync_schema_version SET version_num = "
    known = machine.run(f"sqlite3 {DATABASE} 'SELECT version_num FROM sync_schema_version'")
    machine.run(f"systemctl stop hisync; sqlite3 {DATABASE} \"{set_revision} '9999'\"")
    machine.run("systemctl start hisync")
    time.sleep(1.5)
    assert (machine.show("ActiveState"), machine.show("NRestarts")) == ("active", "0")
    assert "install a newer hisync" in machine.show("StatusText")
    machine.run(
        f"sqlite3 {DATABASE} \"{set_revision} '{known.strip()}'\"; systemctl restart hisync"
    )
    assert machine.show("StatusText").startswith("all is well")


def test_it_stops_within_a_second_or_two_while_hitask_says_nothing(machine: Machine) -> None:
    override(machine, "Environment=HISYNC_SYNC__POLL_INTERVAL=1")
    machine.sandbox("POST", "faults", ["GET /item/delta/*:slow=60:1"])
    found = "json.load(sys.stdin)['last_requests'][-1]['fault']"
    is_slow = f"import json, sys; assert {found}"
    machine.wait(f'curl -s {SANDBOX}/sandbox/state | python3 -c "{is_slow}"')
    began = time.monotonic()
    machine.run("systemctl stop hisync")
    assert time.monotonic() - began < 3
    assert machine.show("Result") == "success"
    machine.run("systemctl start hisync")


def test_removed_it_leaves_the_data(machine: Machine) -> None:
    machine.run(
        "rm -rf /run/systemd/system/hisync.service.d; sh /src/deploy/install-service --remove"
    )
    assert "could not be found" in machine.run("systemctl status hisync", check=False)
    assert machine.run("ls /etc/hisync /var/lib/hisync").split()
    machine.run("sh /src/deploy/install-service")
    assert machine.show("ActiveState") == "active"


# Without a boot


def test_its_exposure_is_below_two() -> None:
    debian.require(systemd_analyze="systemd")
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:]


def test_it_has_no_key_that_systemd_does_not_know() -> None:
    debian.require(systemd_analyze="systemd")
    command = ["systemd-analyze", "verify", str(UNIT)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    newer = ("RestartSteps", "RestartMaxDelaySec")  # of systemd 254
    lines = [line for line in said.splitlines() if UNIT.name in line]
    assert [
        line
        for line in lines
        if not any(key in line for key in newer) and "not executable" not in line
    ] == []
