"""Requests and responses as plain values, so that the service needs no sockets.

Public: `Request`, `Response`, and the makers `json_response`, `list_response`,
`error_response`, `html_response`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote

import orjson

from hisync.sandbox.errors import ApiError

# How a connection ends: normally, before any of the answer arrived, or in the middle of the body.
Drop = Literal["", "connection", "body"]


@dataclass(frozen=True, slots=True)
class Request:
    """One request, decoded; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def of(
        cls, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> Request:
        """Decode a raw request: the query string and, if it is one, the form in the body."""
        kind = headers.get("content-type", "")
        form = body.decode("utf-8", "replace") if kind.startswith(_FORM) else ""
        return cls(
            method=method,
            path=unquote(path),
            query=dict(parse_qsl(query, keep_blank_values=True)),
            form=dict(parse_qsl(form, keep_blank_values=True)),
            headers=headers,
            body=body,
        )

    def param(self, name: str) -> str | None:
        """Return a parameter from wherever it was sent: the form wins over the query."""
        return self.form.get(name, self.query.get(name))


@dataclass(frozen=True, slots=True)
class Response:
    """One answer; `drop` marks a connection lost on the way, `delay` a slow one (seconds)."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    drop: Drop = ""
    delay: float = 0.0


_FORM = "application/x-www-form-urlencoded"
_JSON = {"Content-Type": "application/json;charset=UTF-8"}


def json_response(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer a value as JSON."""
    return Response(status, {**_JSON, **(headers or {})}, orjson.dumps(value))


def list_response(values: Iterable[object], headers: Mapping[str, str]) -> Response:
    """Answer a list as JSON, written value by value: long ones would fill the memory."""
    body = bytearray(b"[")
    for value in values:
        body += orjson.dumps(value)
        body += b","
    body[max(1, len(body) - 1) :] = b"]"
    return Response(200, {**_JSON, **headers}, bytes(body))


def error_response(error: ApiError) -> Response:
    """Answer an error in the service's own shape."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    body = {"error_message": error.message, "response_status": error.code}
    return json_response(body, error.status, headers)


def html_response(status: int, title: str) -> Response:
    """Answer an HTML page, as a proxy or a maintenance screen would."""
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body>{title}</body></html>"
    return Response(status, {"Content-Type": "text/html;charset=UTF-8"}, page.encode())
