"""Shell completion, the version, and how little it takes to start and to end."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

import hisync
from tests.cli.conftest import Site

# Not pydantic, which typer itself loads to complete a word.
HEAVY = ("alembic", "httpx", "hisync.config", "rich.progress", "sqlalchemy", "structlog", "uvicorn")


def python(site: Site, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=site.folder,
        env={**site.environment, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_script_for_bash_names_the_command(site: Site) -> None:
    done = python(site, "from hisync.cli import main; main()", _HISYNC_COMPLETE="source_bash")
    assert done.returncode == 0
    assert "complete -o default -F _hisync_completion hisync" in done.stdout
    bash = shutil.which("bash")
    if bash:
        assert (
            subprocess.run([bash, "-n"], input=done.stdout, text=True, check=False).returncode == 0
        )


@pytest.mark.parametrize("module", [False, True], ids=["hisync", "python -m hisync"])
def test_show_completion_works_for_a_shell_that_is_found(site: Site, module: bool) -> None:
    run = "import runpy; runpy.run_module('hisync', run_name='__main__')"
    done = python(
        site,
        "import sys, shellingham\n"
        "shellingham.detect_shell = lambda *_: ('bash', '/bin/bash')\n"
        "sys.argv = ['hisync', '--show-completion']\n"
        + (run if module else "from hisync.cli import main; main()"),
    )
    assert done.returncode == 0, done.stderr
    assert "_HISYNC_COMPLETE=complete_bash" in done.stdout


def test_show_completion_without_a_shell_to_find_ends_without_a_traceback(site: Site) -> None:
    done = python(
        site,
        "import sys, shellingham\n"
        "def fail(*_): raise shellingham.ShellDetectionFailure\n"
        "shellingham.detect_shell = fail\n"
        "sys.argv = ['hisync', '--show-completion']\n"
        "from hisync.cli import main; main()",
    )
    assert done.returncode == 1
    assert "not supported" in done.stderr
    assert "Traceback" not in done.stderr


def completed(site: Site, words: str, position: int) -> list[str]:
    done = python(
        site,
        "from hisync.cli import main; main()",
        _HISYNC_COMPLETE="complete_bash",
        COMP_WORDS=words,
        COMP_CWORD=str(position),
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_commands_and_options_are_completed(site: Site) -> None:
    assert set(completed(site, "hisync s", 1)) == {"sync", "status", "sandbox"}
    assert completed(site, "hisync sync --allow-r", 2) == ["--allow-removals"]
    assert completed(site, "hisync init --direction p", 3) == ["pull-only"]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]], ids=lambda a: a[0])
def test_help_and_version_load_nothing_heavy(site: Site, arguments: list[str]) -> None:
    done = python(
        site,
        f"import sys; sys.argv = ['hisync', *{arguments!r}]\n"
        "from hisync.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('loaded', [m for m in {HEAVY!r} if m in sys.modules])",
    )
    assert done.stdout.splitlines()[-1] == "loaded []", done.stdout + done.stderr


def test_status_loads_only_what_reading_a_mirror_takes(site: Site) -> None:
    assert site.run("db", "upgrade").returncode == 0
    heavy = ("alembic", "httpx", "psycopg", "sqlalchemy.dialects.postgresql", "structlog")
    done = python(
        site,
        "import sys; sys.argv = ['hisync', 'status']\n"
        "from hisync.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('loaded', [m for m in {heavy!r} if m in sys.modules])",
    )
    assert "mirror" in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded []", done.stdout + done.stderr


def test_a_process_that_starts_searches_no_garbage_and_then_only_what_came_after(
    site: Site,
) -> None:
    done = python(
        site,
        "import gc, sys; sys.argv = ['hisync', 'sync']\n"
        "from hisync import cycle, cli\n"
        "searches, run = [], cycle.run_cycle\n"
        "def run_cycle(*given, **named):\n"
        "    print('before', len(searches), 'left to search', len(gc.get_objects()) < 10_000)\n"
        "    print('often enough', gc.get_threshold()[0] <= 20_000)\n"
        "    return run(*given, **named)\n"
        "cycle.run_cycle = run_cycle\n"
        "gc.callbacks.append(lambda phase, _: searches.append(phase))\n"
        "cli.main()\n",
    )
    assert done.stdout.splitlines()[:2] == ["before 0 left to search True", "often enough True"]


def test_a_process_that_ends_searches_no_garbage(site: Site) -> None:
    done = python(
        site,
        "import gc, sys; sys.argv = ['hisync', '--version']\n"
        "from hisync.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('left to search', len(gc.get_objects()) < 100)",
    )
    assert done.stdout.splitlines()[-1] == "left to search True", done.stdout + done.stderr


def test_completing_loads_nothing_heavy(site: Site) -> None:
    done = python(
        site,
        "import sys\nfrom hisync.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('loaded', [m for m in {HEAVY!r} if m in sys.modules])",
        _HISYNC_COMPLETE="complete_bash",
        COMP_WORDS="hisync s",
        COMP_CWORD="1",
    )
    assert done.stdout.splitlines()[-1] == "loaded []", done.stdout + done.stderr


def test_the_version_is_printed(site: Site) -> None:
    done = site.run("--version")
    assert (done.returncode, done.stdout) == (0, f"hisync {hisync.__version__}\n")
