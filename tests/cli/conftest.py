"""The command line as real processes, against the sandbox over real HTTP."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import structlog
from typer.testing import CliRunner

from hisync.cli import app
from hisync.sandbox import API_KEY, LOGIN, PASSWORD, Model, Running, running
from tests.backends import on_both
from tests.postgres import Client, server
from tests.world import Backend

PATIENCE = 20.0


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


@contextmanager
def logs_kept() -> Iterator[None]:
    """Take down again what a command sets up for its logs."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()


@dataclass
class Site:
    """A folder with a configuration, and the sandbox that it names.

    Attributes:
        folder: the folder.
        sandbox: what stands in for hiTask.
        served: the name of its database on the tests' PostgreSQL server; empty for a file.
        daemons: the processes that are to be ended.
    """

    folder: Path
    sandbox: Running
    served: str = ""
    daemons: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def model(self) -> Model:
        return self.sandbox.model

    @property
    def database(self) -> Path:
        return self.folder / "hisync.db"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if "HISYNC" not in name}
        return {**kept, "HOME": str(self.folder), "COLUMNS": "200"}

    def configure(self, **sections: dict[str, Any]) -> None:
        settings: dict[str, dict[str, Any]] = {
            "hitask": {
                "base_url": self.sandbox.base_url,
                "login": LOGIN,
                "password": PASSWORD,
                "api_key": API_KEY,
            },
            "rate": {"requests_per_minute": 1000},
        }
        if self.served:
            settings["database"] = {"url": server().url(self.served)}
        for section, values in sections.items():
            settings[section] = settings.get(section, {}) | values
        lines = []
        for section, values in settings.items():
            lines.append(f"[{section}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        path = self.folder / "config.toml"
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o600)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "hisync", *arguments]

    def run(self, *arguments: str, typed: str | None = None, **environment: str) -> Done:
        """Run a command to its end in this process, which is a tenth of a new one's time."""
        kept = {name: None for name in os.environ if "HISYNC" in name}
        with contextlib.chdir(self.folder), logs_kept():
            result = CliRunner().invoke(
                app,
                arguments,
                input=typed,
                env={**kept, "HOME": str(self.folder), "COLUMNS": "200", **environment},
            )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    def run_process(self, *arguments: str) -> Done:
        """Run a command to its end in a process of its own."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        with (self.folder / "daemon.log").open("a") as log:
            process = subprocess.Popen(
                self.command(*arguments),
                cwd=self.folder,
                env={**self.environment, **environment},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.daemons.append(process)
        return process

    def log(self) -> str:
        return (self.folder / "daemon.log").read_text()

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        if self.served:
            with closing(Client(self.served)) as served:
                return [tuple(row.values()) for row in served.execute(statement, values)]
        with closing(sqlite3.connect(self.database, isolation_level=None, timeout=10)) as client:
            return client.execute(statement, values).fetchall()

    def stop(self) -> None:
        for process in self.daemons:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def until(condition: Callable[[], Any], *, within: float = PATIENCE) -> float:
    """Wait for something that another process does; how long it took."""
    started = time.monotonic()
    while time.monotonic() - started < within:
        with suppress(sqlite3.OperationalError, FileNotFoundError):
            if condition():
                return time.monotonic() - started
        time.sleep(0.02)
    pytest.fail(f"it did not happen within {within} s")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of modules that say `BOTH = True` on PostgreSQL, too."""
    on_both(metafunc, "backend", scope="session")


@pytest.fixture(autouse=True)
def _logs_of_its_own() -> Iterator[None]:
    with logs_kept():
        yield


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> Backend:
    """The database engine of the test's mirrors."""
    return cast("Backend", getattr(request, "param", "sqlite"))


@pytest.fixture
def new_site(tmp_path: Path, backend: Backend) -> Iterator[Callable[..., Site]]:
    """Make a site; its processes end with the test."""
    sites: list[Site] = []
    contexts = []

    def make(items: int = 30, **options: Any) -> Site:
        context = running(items, **options)
        served = server().create() if backend == "postgresql" else ""
        site = Site(tmp_path, context.__enter__(), served)
        contexts.append(context)
        sites.append(site)
        site.configure()
        return site

    yield make
    for site in sites:
        site.stop()
    for context in contexts:
        context.__exit__(None, None, None)


@pytest.fixture
def site(new_site: Callable[..., Site]) -> Site:
    """A site with 30 items."""
    return new_site()
