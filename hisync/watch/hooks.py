"""Tells someone outside: a command with a JSON event on its standard input, or a POST of it.

Events are delivered one after the other by a thread of their own, each within a time limit. What
fails is logged and not repeated. Nothing here makes the engine wait: what comes faster than it
can be told is dropped, with a word in the log. Public: `Hooks`, `Event`.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import httpx
import structlog

from hisync.api.connection import LOOPBACK

Event: TypeAlias = Mapping[str, Any]
"""`event` says what; the rest is what it is about."""

TIME_LIMIT: Final = 30.0
"""Seconds that a command may run, or a POST take."""

MOST_WAITING: Final = 1000
"""Events that wait to be told at most."""


class Hooks:
    """Delivers events until it is closed.

    Args:
        command: run for each event, without a shell; empty for none.
        webhook: the address to POST each event to; empty for none.
        transport: how the POST travels; None for real HTTP.
        time_limit: seconds that each delivery may take.
    """

    def __init__(
        self,
        command: str,
        webhook: str,
        *,
        transport: httpx.BaseTransport | None = None,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        self._command = shlex.split(command)
        self._webhook = webhook
        self._transport = transport
        self._time_limit = time_limit
        self._log = structlog.get_logger("hisync")
        self._queue: queue.Queue[Event | None] = queue.Queue(MOST_WAITING)
        self._running: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def wanted(self) -> bool:
        """Whether anybody wants to be told."""
        return bool(self._command or self._webhook)

    def tell(self, event: Event) -> None:
        """Have an event delivered; returns at once."""
        if not self.wanted:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="hooks", daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self._log.warning("hook_dropped", hook_event=event["event"])

    def close(self, patience: float = 0.0) -> None:
        """Stop, after what is waiting was told or as many seconds have passed."""
        if self._thread is None:
            return
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        self._thread.join(patience)
        self._closed = True
        running = self._running
        if self._thread.is_alive() and running is not None:
            _kill(running)

    def _work(self) -> None:
        while (event := self._queue.get()) is not None and not self._closed:
            if self._command:
                self._run(event)
            if self._webhook and not self._closed:
                self._post(event)

    def _run(self, event: Event) -> None:
        # It gets none of our secrets: they may be in the environment.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("HISYNC_")}
        try:
            self._running = process = subprocess.Popen(  # noqa: S603 - the user's own command
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            self._log.warning("hook_failed", hook="command", reason=reason)
            return
        try:
            process.communicate(json.dumps(event).encode() + b"\n", timeout=self._time_limit)
        except subprocess.TimeoutExpired:
            _kill(process)
            reason = f"it took longer than {self._time_limit:g} s"
            self._log.warning("hook_failed", hook="command", reason=reason)
        else:
            if process.returncode:
                reason = f"it ended with {process.returncode}"
                self._log.warning("hook_failed", hook="command", reason=reason)
        finally:
            self._running = None

    def _post(self, event: Event) -> None:
        """Of what goes wrong only the kind is said: the address may hold a secret."""
        began = time.monotonic()
        body, kind = json.dumps(event).encode(), {"content-type": "application/json"}
        try:
            # A proxy from the environment has no way to this machine's own loopback.
            proxies = httpx.URL(self._webhook).host not in LOOPBACK
            limit = self._time_limit / 3
            with (
                httpx.Client(transport=self._transport, timeout=limit, trust_env=proxies) as client,
                client.stream("POST", self._webhook, content=body, headers=kind) as answer,
            ):
                status = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError, ImportError) as error:
            # The last two where the environment's certificates or SOCKS proxy can't be used.
            self._log.warning("hook_failed", hook="webhook", reason=type(error).__name__)
            return
        if status >= httpx.codes.MULTIPLE_CHOICES:
            self._log.warning("hook_failed", hook="webhook", reason=f"HTTP {status}")
        elif time.monotonic() - began > self._time_limit:
            self._log.warning("hook_failed", hook="webhook", reason="it was slow")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The command and what it has started."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
