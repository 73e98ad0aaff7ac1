"""A scripted hiTask for the tests of the client: it plays answers and keeps the requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import httpx

from hisync.api import HiTask

BASE_URL = "https://hitask.test/api"
PASSWORD = "pass word/ä+1"
API_KEY = "key&of=42"
ACCOUNT = 190960

Reply = httpx.Response | Exception | Any


def error(status: int, code: int | None = None, message: str = "no", **headers: str) -> Any:
    body: dict[str, Any] = {"error_message": message}
    if code is not None:
        body["response_status"] = code
    return httpx.Response(
        status, json=body, headers={k.replace("_", "-"): headers[k] for k in headers}
    )


def wire_item(number: int = 7, **fields: Any) -> dict[str, Any]:
    whole = {"id": number, "guid": f"g-{number}", "title": "T", "category": 1, "user_id": 1}
    return {**whole, **fields}


class Service:
    """Plays `replies` in turn, the last one for ever; logins have replies of their own."""

    def __init__(self, *replies: Reply, logins: list[Reply] | None = None) -> None:
        self.replies = list(replies)
        self.logins = logins or []
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        # A copy: the client signs a repeated request in place.
        self.requests.append(
            httpx.Request(
                request.method, request.url, headers=request.headers, content=request.content
            )
        )
        if request.url.path.endswith("/user/authenticate"):
            if self.logins:
                return _play(self.logins.pop(0))
            session = f"session-{len(self.sent('/user/authenticate'))}"
            return httpx.Response(200, json={"session_id": session, "id": ACCOUNT, "level": 1})
        return _play(self.replies.pop(0) if len(self.replies) > 1 else self.replies[0])

    def sent(self, end: str) -> list[httpx.Request]:
        return [request for request in self.requests if request.url.path.endswith(end)]

    @property
    def paths(self) -> list[str]:
        return [f"{r.method} {r.url.path.removeprefix('/api')}" for r in self.requests]

    @property
    def last_form(self) -> dict[str, str]:
        return dict(parse_qsl(self.requests[-1].content.decode(), keep_blank_values=True))


def _play(reply: Reply) -> httpx.Response:
    if isinstance(reply, Exception):
        raise reply
    if isinstance(reply, httpx.Response):
        return reply
    return httpx.Response(200, json=reply)


def connect(service: Callable[[httpx.Request], httpx.Response], **options: Any) -> HiTask:
    settings: dict[str, Any] = {
        "base_url": BASE_URL,
        "login": "ann@example.com",
        "password": PASSWORD,
        "api_key": API_KEY,
    }
    return HiTask(**(settings | options), transport=httpx.MockTransport(service))
