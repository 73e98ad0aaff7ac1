"""A machine that boots systemd in a container, with hisync installed as the README says."""

from __future__ import annotations

import json
import re
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from hisync.sandbox import API_KEY, LOGIN, PASSWORD
from tests.deploy.debian import CA_BUNDLE, ROOT

SANDBOX = "http://127.0.0.1:8080"
PATIENCE = 60.0


def readme_installation() -> list[str]:
    """The three lines of the README that install the service."""
    text = (ROOT / "README.md").read_text("utf-8")
    section = text.partition("## Run it as a service")[2]
    block = re.search(r"```\n(.*?)\n```", section, re.DOTALL)
    assert block is not None
    return block[1].splitlines()


def install_program(root: Path) -> None:
    """The first of them, before the machine boots, since it needs the network."""
    resolv = root / "etc/resolv.conf"
    resolv.unlink(missing_ok=True)
    resolv.touch()
    (root / "ca.crt").touch()
    (root / "etc/pip.conf").write_text("[global]\ncert = /ca.crt\n")
    subprocess.run(
        [
            *("systemd-nspawn", "-q", "-D", str(root), "--register=no", "--keep-unit"),
            *("--as-pid2", "--pipe", f"--bind-ro={CA_BUNDLE}:/ca.crt"),
            "--bind-ro=/etc/resolv.conf:/etc/resolv.conf",
            *("sh", "-ec", f"cd /src; {readme_installation()[0]}"),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        timeout=300,
    )


class Machine:
    """A booted machine; its state is fresh and is gone when it is halted."""

    def __init__(self, root: Path, log: Path) -> None:
        with log.open("wb") as output:
            self._container = subprocess.Popen(
                [
                    *("systemd-nspawn", "-q", "-b", "-D", str(root), "-M", "hisync-test"),
                    *("--register=no", "--keep-unit", "--private-network"),
                    *("--volatile=overlay", "--console=pipe"),
                    "systemd.mask=console-getty.service",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={
                    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
                },
            )
        self._leader = self._find_leader()
        self.wait("systemctl is-system-running --wait | grep -Eq 'running|degraded'")

    def _find_leader(self) -> str:
        """The container's process 1, by its number outside.

        Its first child is a helper that sets the mounts up and ends, so being there is not enough:
        what is looked for is number 1 of a PID namespace of its own (proc(5), `NSpid`).
        """
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self._container.poll() is None:
            children = subprocess.run(
                ["pgrep", "-P", str(self._container.pid)],
                capture_output=True,
                text=True,
                check=False,
            ).stdout.split()
            for child in children:
                with suppress(OSError):  # ended meanwhile
                    status = Path("/proc", child, "status").read_text("utf-8")
                    if re.search(r"^NSpid:\s.*\s1$", status, re.MULTILINE):
                        return child
            time.sleep(0.05)
        raise AssertionError("the machine does not boot")

    def run(self, command: str, *, check: bool = True) -> str:
        """Run a shell command in it as root; what it printed."""
        done = subprocess.run(
            ["nsenter", "-t", self._leader, "-a", "sh", "-c", command],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
        )
        if check:
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def wait(self, command: str, *, within: float = PATIENCE) -> float:
        """Wait until a command succeeds; how long that took."""
        began = time.monotonic()
        while time.monotonic() - began < within:
            done = subprocess.run(
                ["nsenter", "-t", self._leader, "-a", "sh", "-c", command],
                capture_output=True,
                check=False,
                timeout=PATIENCE,
                stdin=subprocess.DEVNULL,
            )
            if done.returncode == 0:
                return time.monotonic() - began
            time.sleep(0.1)
        journal = self.run(
            "journalctl -u hisync -n 30 --no-pager; systemctl status hisync", check=False
        )
        raise AssertionError(f"it did not happen within {within} s: {command}\n{journal}")

    def show(self, name: str) -> str:
        """A property of the service."""
        return self.run(f"systemctl show --value -p {name} hisync").strip()

    def start_sandbox(self) -> None:
        self.run(
            "systemd-run -q --unit=sandbox /opt/hisync/bin/hisync sandbox --port 8080 --items 20"
        )
        self.wait(
            f"python3 -c 'import urllib.request as u; u.urlopen(\"{SANDBOX}/sandbox/state\")'"
        )

    def sandbox(self, method: str, path: str, body: object = None) -> str:
        """Ask the sandbox itself something."""
        program = (
            "import sys, urllib.request as u;"
            f"r = u.Request('{SANDBOX}/sandbox/{path}', sys.argv[1].encode(), method='{method}');"
            "print(u.urlopen(r).read().decode())"
        )
        return self.run(f"python3 -c \"{program}\" '{json.dumps(body)}'")

    def install_service(self) -> None:
        """The README's other two lines, with the answers to the questions of the second."""
        _, configure, service = readme_installation()
        answers = f"--login {LOGIN} --base-url {SANDBOX}/api --password-file - --api-key-file -"
        self.run(f"cd /src; printf '%s\\n' '{PASSWORD}' '{API_KEY}' | {configure} {answers}")
        self.run(f"cd /src; {service}")

    def halt(self) -> None:
        self._container.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._container.wait(30)
        self._container.kill()
        self._container.wait()
