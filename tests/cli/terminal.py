"""A command on a pseudo-terminal, answered by the text that it shows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

PATIENCE = 30.0


@dataclass(frozen=True)
class Shown:
    """How a command ended, and what the terminal was sent; `stdout` if that was a pipe instead."""

    returncode: int
    raw: str
    stdout: str

    @property
    def text(self) -> str:
        """What was sent without colours and cursor movements, each time over a line on its own."""
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw)
        return plain.replace("\r\n", "\n").replace("\r", "\n")


def on_terminal(
    command: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    answers: Sequence[tuple[str, str]] = (),
    *,
    columns: int = 80,
    pipe_stdout: bool = False,
) -> Shown:
    """Run a command with a terminal of its own.

    Args:
        command: program and arguments.
        cwd: where it runs.
        environment: its environment.
        answers: pairs of what to wait for on the screen, and what to type then.
        columns: the terminal's width.
        pipe_stdout: whether stdout is a pipe, so that only stdin and stderr are the terminal.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**environment, "TERM": "xterm", "COLUMNS": str(columns)},
        stdin=theirs,
        stdout=subprocess.PIPE if pipe_stdout else theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        raw = _converse(ours, list(answers))
        stdout = process.stdout.read().decode() if process.stdout else ""
        return Shown(process.wait(timeout=PATIENCE), raw, stdout)
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
        os.close(ours)


def _converse(terminal: int, answers: list[tuple[str, str]]) -> str:
    """What is shown until the other end closes; answers are typed when their time comes."""
    raw, seen, deadline = b"", 0, time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1.0)[0]:
            continue
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            chunk = b""
        if not chunk:
            return raw.decode()
        raw += chunk
        while answers and (found := raw.find(answers[0][0].encode(), seen)) >= 0:
            seen = found + len(answers[0][0].encode())
            os.write(terminal, answers.pop(0)[1].encode() + b"\n")
    pytest.fail(f"the command did not end; it waits after {raw[-200:]!r}")
