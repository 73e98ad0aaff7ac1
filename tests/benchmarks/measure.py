"""Whole processes, measured: wall time, CPU time and peak memory, as the kernel counts them."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from hisync.sandbox import API_KEY, LOGIN, PASSWORD

HISYNC = [sys.executable, "-m", "hisync"]
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process took.

    Attributes:
        wall: seconds from start to end.
        cpu: seconds of CPU, user and system.
        peak: the most memory that was resident, in MB.
    """

    wall: float
    cpu: float
    peak: float

    def __sub__(self, part: Cost) -> Cost:
        """What it took without a part of it."""
        return Cost(self.wall - part.wall, self.cpu - part.cpu, self.peak)


@dataclass(frozen=True, slots=True)
class Costs:
    """What several runs of one thing took."""

    runs: Sequence[Cost]

    def __sub__(self, part: Costs) -> Costs:
        """What they took without a part of it, each run without the same run of the part."""
        return Costs([one - other for one, other in zip(self.runs, part.runs, strict=True)])

    def median(self, what: str) -> float:
        """The median of `wall`, `cpu` or `peak`."""
        return float(statistics.median(getattr(run, what) for run in self.runs))

    def shown(self, what: str) -> str:
        """The median, with the least and the most."""
        values = sorted(getattr(run, what) for run in self.runs)
        digits = 0 if what == "peak" else 2
        spread = f" ({values[0]:.{digits}f}-{values[-1]:.{digits}f})" if len(values) > 1 else ""
        return f"{self.median(what):.{digits}f}{spread}"


def run(command: Sequence[str], folder: Path) -> Cost:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    with (folder / "said.txt").open("w+") as said:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, stdout=said, stderr=said, env=_environment()
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)}: {said.read()[-2000:]}")
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def interleaved(
    contenders: dict[str, Callable[[], Cost]], times: int, tell: Callable[[str], object]
) -> dict[str, Costs]:
    """Run each in turn, several times over, so that a busy moment strikes them all."""
    found: dict[str, list[Cost]] = {name: [] for name in contenders}
    for number in range(times):
        for name, contender in contenders.items():
            tell(f"  {name}, run {number + 1} of {times}")
            found[name].append(contender())
    return {name: Costs(runs) for name, runs in found.items()}


@contextmanager
def service(items: int, latency: float = 0.0, *, times: int = 1) -> Iterator[str]:
    """A stand-in with that many items, which change so often; yields its address."""
    command = [sys.executable, "-m", "tests.benchmarks.service"]
    command += [str(items), str(latency), str(times)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def configure(folder: Path, url: str, *, database: str = "", **settings: str) -> None:
    """Write a configuration for hisync into a folder, and take away what was mirrored there.

    Args:
        folder: of hisync.
        url: of the service.
        database: the URL of the mirror, a file in the folder if it is empty.
        settings: of `[sync]`.
    """
    for old in folder.glob("hisync.db*"):
        old.unlink()
    lines = [
        *("[hitask]", f'base_url = "{url}"', f'login = "{LOGIN}"', f'password = "{PASSWORD}"'),
        *(f'api_key = "{API_KEY}"', "[rate]", "requests_per_minute = 10000"),
        *(("[database]", f'url = "{database}"') if database else ()),
        *("[sync]", "comments = false", *(f"{key} = {value}" for key, value in settings.items())),
    ]
    config = folder / "config.toml"
    config.touch(mode=0o600)
    config.write_text("\n".join(lines) + "\n")


@dataclass(frozen=True, slots=True)
class Watched:
    """What a daemon took while it was watched: seconds, CPU seconds, cycles, and MB at the most."""

    seconds: float
    cpu: float
    cycles: int
    peak: float


@dataclass(frozen=True, slots=True)
class _Daemon:
    """A daemon that runs, and its log."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def cycles(self) -> int:
        """How many cycles it has finished."""
        return self.log.read_text().count("cycle_finished")

    @property
    def cpu(self) -> float:
        """Seconds of CPU that it has taken."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def peak(self) -> float:
        """The most memory that was resident, start and all, in MB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024

    def wait_for(self, cycles: int) -> None:
        """Wait until it has finished so many.

        Raises:
            RuntimeError: it ended before; with what it said.
        """
        while self.cycles < cycles:
            if self.process.poll() is not None:
                raise RuntimeError(self.log.read_text()[-2000:])
            time.sleep(0.02)


@contextmanager
def _daemon(folder: Path) -> Iterator[_Daemon]:
    """The daemon of a folder, until this is left."""
    log = folder / "log.txt"
    with (
        log.open("w") as said,
        subprocess.Popen([*HISYNC, "run"], cwd=folder, stderr=said, env=_environment()) as process,
    ):
        try:
            yield _Daemon(process, log)
        finally:
            process.terminate()


def daemon_cycles(folder: Path, count: int) -> list[Cost]:
    """Start the daemon and tell what each of its first cycles took; they must be well apart.

    The peak is that of the daemon, start and all.
    """
    with _daemon(folder) as daemon:
        used = [daemon.cpu]
        while len(used) <= count:
            daemon.wait_for(len(used))
            time.sleep(0.2)  # what a cycle leaves to be done is its own, too
            used.append(daemon.cpu)
        peak = daemon.peak
    lines = map(orjson.loads, daemon.log.read_text().splitlines())
    took = [line["seconds"] for line in lines if line["event"] == "cycle_finished"]
    each = zip(took, used, used[1:], strict=False)
    return [Cost(wall, after - before, peak) for wall, before, after in each]


def watch_daemon(folder: Path, seconds: float) -> Watched:
    """Start the daemon, wait for its second cycle, and watch it for that long."""
    with _daemon(folder) as daemon:
        daemon.wait_for(2)
        started, cpu, cycles = time.perf_counter(), daemon.cpu, daemon.cycles
        time.sleep(seconds)
        took = time.perf_counter() - started
        return Watched(took, daemon.cpu - cpu, daemon.cycles - cycles, daemon.peak)


def _environment() -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        "PYTHONPATH": str(ROOT),
        "DLT_TELEMETRY": "0",
        "RUNTIME__DLTHUB_TELEMETRY": "0",
    }
