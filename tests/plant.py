"""Plant bugs in a copy of the engine, one after another, and see which test catches each.

python -m tests.plant                  # all of them
python -m tests.plant --only cursor    # those with this in their names
python -m tests.plant --fit            # only whether each still fits the engine
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.proof.plants import PLANTS, Plant
from tests.proof.sim import MEMORY

CHECKOUT = Path(__file__).parent.parent
PARTS = ("hisync", "migrations", "tests", "pyproject.toml", "README.md", "docs")

STAGES = (
    "tests.killpoints --jobs 1 -x --server documented --plain",
    "tests.simulate --jobs 1 -x -q --runs 200",
    "pytest tests/plan tests/mirror tests/engine tests/edges tests/api",
)
"""What is run after a plant's own first guess, the quickest first."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.plant", description=__doc__)
    parser.add_argument("--only", default="", help="plants with this text in their names")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at the same time")
    parser.add_argument("--trust", action="store_true", help="don't first run it all unplanted")
    parser.add_argument("--quick", action="store_true", help="only each one's own first stage")
    parser.add_argument("--fit", action="store_true", help="only see whether each still fits")
    options = parser.parse_args(arguments)
    plants = [plant for plant in PLANTS if options.only in plant.name]
    started = time.monotonic()
    if not (options.fit or options.trust) and (broken := broken_stages(plants, options.jobs)):
        print("without any planted bug these fail, so they prove nothing:", *broken, sep="\n")
        return 1
    with ThreadPool(options.jobs) as pool:
        caught = 0
        later = () if options.quick else STAGES
        see = fit if options.fit else partial(catch, later=later)
        for plant, by in pool.imap_unordered(see, plants):
            caught += by is not None
            print(f"{'ok' if by else 'NOT CAUGHT'}: {plant.name}: {by or '-'}", flush=True)
    print(f"{caught} of {len(plants)} planted bugs, {time.monotonic() - started:.0f} s")
    return 0 if caught == len(plants) else 1


def fit(plant: Plant) -> tuple[Plant, str | None]:
    """See whether a plant still fits, without running anything."""
    try:
        plant.edited(CHECKOUT)
    except LookupError as error:
        print(error)
        return plant, None
    return plant, "fits"


def broken_stages(plants: Sequence[Plant], jobs: int) -> list[str]:
    """The stages that fail on the engine as it is."""
    with _copy() as copy:
        stages = list(dict.fromkeys([*(plant.first for plant in plants), STAGES[0]]))
        with ThreadPool(jobs) as pool:
            found = pool.map(lambda stage: _run(stage, Path(copy)), stages)
        return [f"{stage}: {by}" for stage, by in zip(stages, found, strict=True) if by]


def catch(plant: Plant, later: Sequence[str]) -> tuple[Plant, str | None]:
    """Put a plant into a copy and run the suite until something fails; says what did."""
    with _copy() as copy:
        path, text = plant.edited(Path(copy))
        path.write_text(text)
        for stage in (plant.first, *later):
            by = _run(stage, Path(copy))
            if by is not None:
                return plant, by
    return plant, None


def _copy() -> TemporaryDirectory[str]:
    folder = TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None, prefix="planted")
    for part in PARTS:
        source = CHECKOUT / part
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, Path(folder.name) / part, ignore=ignored)
        else:
            shutil.copy(source, folder.name)
    return folder


def _run(stage: str, copy: Path) -> str | None:
    """Run one stage in a copy: None if it passes, else its command and the first failure."""
    module, *words = shlex.split(stage)
    if module == "pytest":
        words += [
            "-x",
            "-n0",
            "-q",
            "-p",
            "no:cacheprovider",
            f"--basetemp={copy / uuid.uuid4().hex}",
        ]
    command = [sys.executable, "-m", module, *words]
    env = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(copy)}
    done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    lines = done.stdout.splitlines()
    failed = next((line for line in lines if line.startswith(("FAILED", "ERROR"))), "")
    return failed or f"{stage} ended with {done.returncode}: {done.stderr[-200:]}"


if __name__ == "__main__":
    sys.exit(main())
