"""The documentation can't drift: every command and every key is in it, and it starts with a result.

The first two fenced commands of the README are what a newcomer runs, so each is one line, above
line 30, and the second is what `.ci/run` runs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from hisync.config import known_keys

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
EXAMPLE = (ROOT / "config.example.toml").read_text("utf-8")

LAST_LINE_OF_THE_START = 30


def fenced_blocks() -> list[tuple[int, str]]:
    """The README's fenced blocks, each with the number of its last line and its text."""
    return [
        (README[: found.end()].count("\n") + 1, found[2])
        for found in re.finditer(r"^(```+)[^\n]*\n(.*?)\n\1$", README, re.MULTILINE | re.DOTALL)
    ]


@pytest.mark.parametrize(
    ("number", "part"), [(0, "hisync demo"), (1, "python -m pytest")], ids=["demo", "tests"]
)
def test_the_readme_starts_with_two_commands_of_one_line(number: int, part: str) -> None:
    last_line, text = fenced_blocks()[number]
    assert "\n" not in text
    assert part in text
    assert last_line <= LAST_LINE_OF_THE_START


def test_ci_runs_the_readmes_test_command() -> None:
    script = ROOT / ".ci" / "run"
    assert fenced_blocks()[1][1] in script.read_text("utf-8")
    assert os.access(script, os.X_OK)


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The command line's commands and their own commands, by their names."""
    for name, inner in getattr(command, "commands", {}).items():
        yield (*path, name)
        yield from commands(inner, (*path, name))


def test_the_readme_names_every_command() -> None:
    from hisync.cli import app

    names = list(commands(typer.main.get_command(app)))
    assert ("sync",) in names
    assert [" ".join(name) for name in names if not is_documented(name)] == []


def is_documented(name: tuple[str, ...]) -> bool:
    """Whether a line of the README names `hisync COMMAND`, and the command's own one after it."""
    pattern = rf"hisync {name[0]}\b" + "".join(rf".*\b{re.escape(word)}\b" for word in name[1:])
    return re.search(pattern, README) is not None


@pytest.mark.parametrize("key", sorted({key for _, key, _ in known_keys()}))
def test_every_key_is_documented(key: str) -> None:
    assert re.search(rf"^(\[\w+\.)?{key}( =|\])", EXAMPLE, re.MULTILINE) or f"`{key}`" in README
