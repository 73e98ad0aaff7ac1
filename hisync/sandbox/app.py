"""The sandbox over real HTTP: an ASGI app, a server in the foreground, one in the background.

Public: `build_service`, `build_app`, `serve`, `running`, `Running`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from hisync.sandbox.faults import Fault
from hisync.sandbox.messages import Request, Response
from hisync.sandbox.model import Model, utc_now
from hisync.sandbox.seed import seeded_model
from hisync.sandbox.service import Service
from hisync.sandbox.traits import Traits, traits_from

HOST = "127.0.0.1"
BASE_PATH = "/api"
_LOST = "ASGI callable returned without completing response."


@dataclass(frozen=True, slots=True)
class Running:
    """A sandbox that serves in a background thread."""

    base_url: str
    service: Service

    @property
    def model(self) -> Model:
        """The team's data; its methods may be called while the server runs."""
        return self.service.model


def build_service(
    items: int = 200,
    seed: int = 1,
    *,
    clock: Callable[[], datetime] = utc_now,
    faults: Iterable[Fault | str] = (),
    traits: Traits | Iterable[str] | None = None,
) -> Service:
    """Make a service over seeded data; faults and traits may be short texts."""
    if not isinstance(traits, Traits):
        traits = traits_from(traits or ())
    return Service(seeded_model(items, seed, clock), traits, faults)


def build_app(service: Service) -> Starlette:
    """Wrap a service as an ASGI app."""

    async def answer(http: HttpRequest) -> HttpResponse:
        raw_path = http.scope.get("raw_path") or http.url.path.encode()
        request = Request.of(
            http.method,
            raw_path.decode("ascii", "replace"),
            http.url.query,
            {name.lower(): value for name, value in http.headers.items()},
            await http.body(),
        )
        response = service.handle(request)
        if response.delay:
            await asyncio.sleep(response.delay)
        return _LostResponse(response) if response.drop else _as_http(response)

    methods = ["GET", "POST", "PUT", "DELETE"]
    return Starlette(routes=[Route("/{path:path}", answer, methods=methods)])


def serve(
    port: int = 0,
    items: int = 200,
    seed: int = 1,
    *,
    faults: Iterable[Fault | str] = (),
    traits: Traits | Iterable[str] | None = None,
    service: Service | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve on the loopback until interrupted; `ready` is told the base URL."""
    service = service or build_service(items, seed, faults=faults, traits=traits)
    listener = _listen(port)
    if ready is not None:
        ready(_base_url(listener))
    with contextlib.suppress(KeyboardInterrupt):
        _server(service).run(sockets=[listener])


@contextlib.contextmanager
def running(
    items: int = 200,
    seed: int = 1,
    *,
    port: int = 0,
    faults: Iterable[Fault | str] = (),
    traits: Traits | Iterable[str] | None = None,
    service: Service | None = None,
) -> Iterator[Running]:
    """Serve from a background thread for as long as the block runs."""
    service = service or build_service(items, seed, faults=faults, traits=traits)
    listener = _listen(port)
    server = _server(service)
    # The socket listens already: a request that comes before the loop runs waits its turn.
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name="sandbox", daemon=True
    )
    thread.start()
    try:
        yield Running(_base_url(listener), service)
    finally:
        server.should_exit = True
        thread.join(timeout=10)


class _LostResponse(HttpResponse):
    """Promises more than it sends: the server then closes the connection."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self._sent = response.body if response.drop == "body" else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        length = str(2 * len(self._sent) + 1).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self._sent, "more_body": True})


def _as_http(response: Response) -> HttpResponse:
    http = HttpResponse(response.body, response.status)
    http.raw_headers = [
        *((name.encode(), value.encode()) for name, value in response.headers.items()),
        (b"content-length", str(len(response.body)).encode()),
    ]
    return http


def _listen(port: int) -> socket.socket:
    # Only of a socket that names TCP does asyncio know that small answers must not wait.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def _base_url(listener: socket.socket) -> str:
    return f"http://{HOST}:{listener.getsockname()[1]}{BASE_PATH}"


def _server(service: Service) -> uvicorn.Server:
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    config = uvicorn.Config(
        build_app(service),
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        http="h11",
        ws="none",
        loop="asyncio",
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


def _is_news(record: logging.LogRecord) -> bool:
    """Drop the server's complaint about connections that were lost on purpose."""
    return record.msg != _LOST
