"""`hisync run`, as a process of its own."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from shutil import which

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


def test_a_remote_edit_is_in_the_mirror_within_one_poll(site: Site) -> None:
    running_daemon(site)
    item = site.model.items()[0]
    site.model.update(item.id, user=site.model.user(item.user_id), title="changed there")
    until(lambda: site.sql("SELECT 1 FROM projects WHERE title = 'changed there'"), within=5)


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


def test_trouble_is_said_once_when_it_starts_and_once_when_it_ends(site: Site) -> None:
    running_daemon(site)
    site.sandbox.service.faults.add("GET /item/delta/*:status=503:2")
    until(lambda: "trouble_ended" in site.log())
    assert site.log().count("trouble_started") == 1
    assert site.log().count("trouble_ended") == 1


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
