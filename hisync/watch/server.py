"""`/healthz` and `/metrics` by HTTP, in threads of their own. Public: `Monitor`.

The standard library's server does: two small pages, for a scraper and a health check.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from hisync.errors import HisyncError
from hisync.watch.vitals import Health

PATIENCE: Final = 10.0
"""Seconds after which a client that says nothing is left."""

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Monitor:
    """Serves until it is closed.

    Args:
        listen: `host:port`; port 0 takes a free one.
        health: how hisync is now.
        metrics: the metrics in Prometheus' text format.

    Raises:
        HisyncError: if that address can't be listened at.
    """

    def __init__(
        self, listen: str, health: Callable[[], Health], metrics: Callable[[], bytes]
    ) -> None:
        parts = urlsplit(f"//{listen}")
        host, port = parts.hostname or "", parts.port or 0
        try:
            self._server = _server_class(host)((host, port), _handler_class(health, metrics))
        except OSError as error:
            reason = error.strerror or str(error)
            raise HisyncError(f"monitor.listen: can't listen at {listen}: {reason}") from None
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="monitor", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _server_class(host: str) -> type[ThreadingHTTPServer]:
    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False  # a client that hangs must not keep the daemon from stopping
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that went away is no news."""

    return Server


def _handler_class(
    health: Callable[[], Health], metrics: Callable[[], bytes]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE
        server_version = "hisync"
        sys_version = ""

        def do_GET(self) -> None:
            try:
                status, kind, body = self._page()
            except Exception as error:  # noqa: BLE001 - the page fails, not the daemon
                structlog.get_logger("hisync").warning("monitor_failed", error=type(error).__name__)
                status, kind, body = 500, "text/plain", b"see hisync's log\n"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def _page(self) -> tuple[int, str, bytes]:
            match urlsplit(self.path).path:
                case "/healthz":
                    now = health()
                    status = HTTPStatus.OK if now.ok else HTTPStatus.SERVICE_UNAVAILABLE
                    body = json.dumps(now.as_dict(), indent=2).encode() + b"\n"
                    return status, "application/json", body
                case "/metrics":
                    return HTTPStatus.OK, METRICS_TYPE, metrics()
                case _:
                    return HTTPStatus.NOT_FOUND, "text/plain", b"/healthz or /metrics\n"

        def log_message(self, *_: Any) -> None:
            """Being looked at is no event."""

    return Handler
