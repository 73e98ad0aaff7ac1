"""An httpx transport that asks the service in the same process, with no sockets and no time.

Public: `SandboxTransport`.
"""

from __future__ import annotations

from collections.abc import Callable

import httpx

from hisync.sandbox.messages import Request, Response
from hisync.sandbox.service import Service


class SandboxTransport(httpx.BaseTransport):
    """Hands requests to a `Service`; lost connections become httpx's own errors.

    Args:
        service: what answers.
        sleep: called with the seconds of a slow answer; by default they pass at once.
    """

    def __init__(self, service: Service, sleep: Callable[[float], None] | None = None) -> None:
        self.service = service
        self._sleep = sleep

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        response = self.service.handle(
            Request.of(
                request.method,
                request.url.raw_path.partition(b"?")[0].decode("ascii"),
                request.url.query.decode("ascii"),
                headers,
                request.read(),
            )
        )
        if response.delay and self._sleep is not None:
            self._sleep(response.delay)
        _raise_if_lost(response, request)
        return httpx.Response(
            response.status,
            headers=list(response.headers.items()),
            content=response.body,
            request=request,
        )


def _raise_if_lost(response: Response, request: httpx.Request) -> None:
    if response.drop == "connection":
        raise httpx.ReadError("Connection reset by peer", request=request)
    if response.drop == "body":
        raise httpx.RemoteProtocolError(
            "peer closed connection without sending complete message body", request=request
        )
