"""A Docker engine of the tests' own, without a bridge and a registry.

The official base image can't be fetched where there is no registry, so a stand-in takes its name:
a Debian root file system with a Python in /usr/local, as the official one has. What TLS to the
package registry needs here goes into the stand-in only; the Dockerfile stays what users need.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path

import pytest

from tests.deploy import debian

BASE = "python:3.12-slim"
PATIENCE = 60.0
USER = 10001
"""The user that hisync's image runs as."""


def find_python() -> Path:
    """The prefix of a Python 3.12 that can be copied; skip the test if there is none."""
    candidates = [Path(sysconfig.get_config_var("prefix"))]
    candidates += sorted((Path.home() / ".pyenv/versions").glob("3.12.*"), reverse=True)
    for prefix in candidates:
        if (prefix / "bin/python3.12").exists() and prefix != Path("/usr"):
            return prefix
    pytest.skip("needs a Python 3.12 that is not the system's, to put into the base image")


class Docker:
    """A running engine."""

    def __init__(self) -> None:
        # Not pytest's folder: that is cleaned up by other runs, which must not meet our mounts.
        self.folder = folder = Path(tempfile.mkdtemp(prefix="hisync-docker-"))
        self._log = (folder / "dockerd.log").open("wb")
        socket = folder / "docker.sock"
        self._daemon = subprocess.Popen(
            [
                *("dockerd", "--data-root", str(folder / "data")),
                *("--exec-root", str(folder / "exec"), "-p", str(folder / "pid")),
                *("-H", f"unix://{socket}", "--iptables=false", "--ip6tables=false"),
                *("--ip-forward=false", "--bridge=none"),
            ],
            stdout=self._log,
            stderr=self._log,
        )
        self.environment = {
            **os.environ,
            "DOCKER_HOST": f"unix://{socket}",
        }
        if self.call("buildx", "version", check=False).returncode:
            self.environment["DOCKER_BUILDKIT"] = "0"
        until = time.monotonic() + PATIENCE
        while self.call("info", check=False).returncode:
            if time.monotonic() > until or self._daemon.poll() is not None:
                self.close()
                pytest.skip("dockerd does not start here")
            time.sleep(0.2)

    def call(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `docker`."""
        done = subprocess.run(
            ["docker", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert not check or done.returncode == 0, f"docker {arguments}: {done.stdout}{done.stderr}"
        return done

    def output(self, *arguments: str) -> str:
        return self.call(*arguments).stdout.strip()

    def import_base(self) -> None:
        """Put the stand-in for the official image in place."""
        root = self.folder / "base"
        root.mkdir()
        subprocess.run(["tar", "-xf", debian.archive(), "-C", root], check=True)
        python = find_python()
        subprocess.run(["cp", "-a", f"{python}/.", root / "usr/local"], check=True)
        for script in (root / "usr/local/bin").iterdir():
            if script.is_file() and not script.is_symlink():
                text = script.read_bytes()
                if text.startswith(b"#!" + str(python).encode()):
                    old, new = str(python).encode(), b"/usr/local"
                    script.write_bytes(text.replace(old, new, 1))
        shutil.copy(debian.CA_BUNDLE, root / "etc/ssl/certs/ca-certificates.crt")
        (root / "etc/pip.conf").write_text(f"[global]\ncert = {debian.CA_BUNDLE}\n")
        packed = self.folder / "base.tar"
        # An official image has what Python needs of the system's libraries.
        subprocess.run(["chroot", root, "ldconfig"], check=True)
        subprocess.run(["tar", "-C", root, "-cf", packed, "."], check=True)
        path = "ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        self.call("import", "-c", 'CMD ["python3"]', "-c", path, str(packed), BASE)
        packed.unlink()
        shutil.rmtree(root)

    def build(self, tag: str, **arguments: str) -> None:
        """Build hisync's image."""
        file = str(debian.ROOT / "deploy" / "Dockerfile")
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        context = str(debian.ROOT)
        self.call("build", "--network", "host", "-f", file, "-t", tag, *given, context)

    def close(self) -> None:
        self._daemon.terminate()
        try:
            self._daemon.wait(30)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait()
        self._log.close()
        unmount_below(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)


def unmount_below(folder: Path) -> None:
    """What the engine leaves mounted would keep the folder from being removed."""
    for line in reversed(Path("/proc/mounts").read_text().splitlines()):
        target = Path(line.split()[1])
        if target.is_relative_to(folder):
            subprocess.run(["umount", str(target)], check=False, capture_output=True)
