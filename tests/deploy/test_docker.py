"""The image, built from the Dockerfile and run as its compose file runs it."""

from __future__ import annotations

import json
import os
import re
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from hisync.sandbox import API_KEY, LOGIN, PASSWORD, Running
from tests.deploy import debian
from tests.deploy.engine import PATIENCE, USER, Docker

pytestmark = pytest.mark.deploy

LARGEST = 100  # MB that hisync and its libraries may add to the base image; it was 65


class Container:
    """hisync in a container, read-only and without rights, with secrets as files."""

    def __init__(self, docker: Docker, sandbox: Running, folder: Path) -> None:
        self.docker = docker
        secrets = folder / "secrets"
        secrets.mkdir()
        for name, text in (("hitask_password", PASSWORD), ("hitask_api_key", API_KEY)):
            (secrets / name).write_text(text)
            (secrets / name).chmod(0o400)
            os.chown(secrets / name, USER, USER)
        self.name = docker.output(
            *("run", "-d", "--network", "host", "--read-only", "--tmpfs", "/tmp"),  # noqa: S108
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *("--memory", "256m", "--pids-limit", "64"),
            *("-v", f"{secrets}:/run/secrets:ro"),
            *("-e", f"HISYNC_HITASK__LOGIN={LOGIN}"),
            *("-e", f"HISYNC_HITASK__BASE_URL={sandbox.base_url}"),
            *("-e", "HISYNC_SYNC__POLL_INTERVAL=1", "-e", "HISYNC_RATE__REQUESTS_PER_MINUTE=1000"),
            *("--health-interval", "1s", "--health-start-period", "1s", "hisync"),
        )

    def health(self) -> str:
        return self.docker.output("inspect", "-f", "{{.State.Health.Status}}", self.name)

    def wait_for(self, status: str, within: float = PATIENCE) -> None:
        began = time.monotonic()
        while self.health() != status:
            logs = self.docker.call("logs", self.name).stderr[-2000:]
            assert time.monotonic() - began < within, f"{self.health()}, not {status}: {logs}"
            time.sleep(0.3)

    def execute(self, *command: str) -> str:
        return self.docker.output("exec", self.name, *command)

    def remove(self) -> None:
        self.docker.call("rm", "-f", "-v", self.name)


@pytest.fixture
def container(docker: Docker, sandbox: Running, tmp_path: Path) -> Iterator[Container]:
    container = Container(docker, sandbox, tmp_path)
    yield container
    container.remove()


def test_it_is_healthy_read_only_and_nobody_in_particular(
    container: Container, sandbox: Running
) -> None:
    container.wait_for("healthy")
    assert container.execute("id", "-u") == str(USER)
    count = "sqlite3.connect('/data/hisync.db').execute('SELECT count(*) FROM items').fetchone()"
    program = f"import sqlite3; print({count}[0])"
    there = sandbox.model.items(sandbox.model.users[0])
    assert container.execute("python", "-c", program) == str(len(there))
    for path in ("/x", "/opt/hisync/x", "/etc/x", "/usr/x"):
        denied = container.docker.call("exec", container.name, "touch", path, check=False)
        assert "Read-only" in denied.stderr


def test_unhealthy_while_hitask_is_away_and_healthy_again(
    container: Container, sandbox: Running
) -> None:
    container.wait_for("healthy")
    sandbox.service.faults.add("* /*:status=503:100000")
    try:
        container.wait_for("unhealthy", within=90)
    finally:
        sandbox.service.faults.clear()
    container.wait_for("healthy", within=180)


def test_it_stops_in_a_second_and_goes_on_from_its_volume(container: Container) -> None:
    container.wait_for("healthy")
    began = time.monotonic()
    container.docker.call("stop", container.name)
    assert time.monotonic() - began < 2.5
    state = json.loads(container.docker.output("inspect", "-f", "{{json .State}}", container.name))
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
    logs = container.docker.call("logs", container.name).stderr
    assert '"event": "daemon_stopped"' in logs
    container.docker.call("start", container.name)
    container.wait_for("healthy")


def test_it_stops_in_a_second_while_hitask_says_nothing(
    container: Container, sandbox: Running
) -> None:
    container.wait_for("healthy")
    sandbox.service.reset_log()
    sandbox.service.faults.add("GET /item/delta/*:slow=30:1")
    until = time.monotonic() + PATIENCE
    while not any(entry.fault for entry in sandbox.service.log):
        assert time.monotonic() < until
        time.sleep(0.05)
    began = time.monotonic()
    container.docker.call("stop", container.name)
    assert time.monotonic() - began < 3


def test_its_secrets_show_nowhere(container: Container) -> None:
    container.wait_for("healthy")
    seen = container.docker.output("inspect", container.name)
    seen += container.docker.output("history", "--no-trunc", "hisync")
    done = container.docker.call("logs", container.name)
    seen += done.stdout + done.stderr + container.execute("env")
    assert "HISYNC_HITASK__API_KEY_FILE" in seen
    assert API_KEY not in seen


def test_it_has_no_tools_to_build_with_and_is_small(docker: Docker) -> None:
    listed = docker.output(
        "run", "--rm", "--entrypoint", "sh", "hisync", "-c", "ls /opt/hisync/bin"
    )
    assert "hisync" in listed.split()
    assert "pip" not in listed
    has_pip = docker.call(
        "run", "--rm", "--entrypoint", "python", "hisync", "-m", "pip", check=False
    )
    assert has_pip.returncode != 0
    sizes = [
        int(docker.output("image", "inspect", "-f", "{{.Size}}", name))
        for name in ("hisync", "python:3.12-slim")
    ]
    added = (sizes[0] - sizes[1]) / 1e6
    assert added < LARGEST, f"hisync adds {added:.0f} MB to the base image"


def test_its_command_line_is_there(docker: Docker) -> None:
    assert docker.output("run", "--rm", "hisync", "--version").startswith("hisync ")


# Without an engine


def pinned(name: str) -> set[str]:
    """The packages of a lock, each of which has to have its hashes."""
    lines = (debian.ROOT / "deploy" / name).read_text("utf-8").splitlines()
    starts = [line for line in lines if not line.startswith(" ")]
    assert all("==" in line and line.endswith("\\") for line in starts), starts
    return {re.split(r"[=\[ ]", line)[0] for line in starts}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=\[]", each)[0] for each in requirements}


def test_the_locks_pin_every_library_with_its_hashes() -> None:
    project = tomllib.loads((debian.ROOT / "pyproject.toml").read_text("utf-8"))
    runtime = names(project["project"]["dependencies"])
    assert {"httpx", "sqlalchemy", "prometheus-client"} <= runtime
    assert runtime <= pinned("requirements.lock")
    extra = names(project["project"]["optional-dependencies"]["postgres"]) | {"psycopg-binary"}
    assert pinned("requirements.lock") | extra == pinned("requirements.postgres.lock")
    assert names(project["build-system"]["requires"]) <= pinned("build.lock")


def test_nothing_is_installed_into_the_image_without_its_hash() -> None:
    text = (debian.ROOT / "deploy" / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    installs = re.findall(r"pip [^&\n]*\b(?:install|wheel)\b[^&\n]*", text)
    assert len(installs) == 4
    assert [
        one for one in installs if "--require-hashes" not in one and "--no-index" not in one
    ] == []
