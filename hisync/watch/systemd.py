"""Telling the service manager how it goes: sd_notify's protocol, which is one datagram a word.

Twenty lines here instead of a library: the packages that offer it are unmaintained or need
libsystemd's headers. Where no manager listens, nothing is sent. Public: `ServiceManager`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

_LONGEST_STATUS = 200


class ServiceManager:
    """Whoever started us and wants to know.

    Args:
        environment: where it says so: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._is_ready = False
        meant = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = environment.get("WATCHDOG_USEC", "") if meant else ""
        self.watchdog_seconds = int(microseconds) / 1e6 if microseconds.isdigit() else None

    @property
    def listens(self) -> bool:
        """Whether there is one, which would start us again if we ended."""
        return bool(self._address)

    def ready(self, status: str) -> None:
        """It has started, well or in a state that the words describe; said once."""
        lines = [f"STATUS={_one_line(status)}"]
        if not self._is_ready:
            self._is_ready = True
            lines.append("READY=1")
        self._send(*lines)

    def status(self, status: str) -> None:
        """How it goes, in words."""
        self._send(f"STATUS={_one_line(status)}")

    def alive(self) -> None:
        """The engine is not stuck; before it is ready, another time limit holds."""
        if self._is_ready and self.watchdog_seconds is not None:
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """It was told to stop, and is about to."""
        self._send("STOPPING=1", "STATUS=stopping")

    def _send(self, *lines: str) -> None:
        if not self._address.startswith(("/", "@")):
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.connect(address)
                sender.send("\n".join(lines).encode(errors="replace"))
        except OSError:
            return  # a manager that doesn't listen must not stop us


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST_STATUS]
