"""A stand-in for hiTask that answers lists as quickly as a socket takes them, of any length.

It shows a thousand items of the sandbox over and over, with other numbers and guids each time, and
makes them up while it sends them, so that a million cost it no memory. What is neither a list nor a
write goes to the sandbox. Run as `python -m tests.benchmarks.service ITEMS [LATENCY [TIMES]]`; it
prints its address.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import sleep
from typing import Any
from urllib.parse import urlsplit

import orjson

from hisync.sandbox import LOGIN, build_service
from hisync.sandbox.messages import Request

BLOCK = 1000
CHANGED = 100
"""Items that a delta with changes shows whole; all others of it are stubs."""
GONE = 10
"""Items that it lacks besides."""

_SANDBOX = build_service(BLOCK, 1)


@cache
def _templates() -> list[dict[str, Any]]:
    """The sandbox's items as one user sees them, without nulls left out."""
    model = _SANDBOX.model
    user = model.user(LOGIN)
    return [model.wire(item, user) for item in model.items(user)][:BLOCK]


def item(number: int, **changes: Any) -> dict[str, Any]:
    """The item at a place in the list."""
    block, place = divmod(number, len(_templates()))
    wire = _templates()[place] | {"id": number + 1, **changes}
    wire["guid"] = _moved(wire["guid"], block)
    if wire["parentGuid"]:
        wire["parentGuid"] = _moved(wire["parentGuid"], block)
        wire["parent"] = None
    return wire


def _moved(guid: Any, block: int) -> str:
    return f"{int(str(guid)[:8], 16) ^ block:08x}{str(guid)[8:]}"


@cache
def _block_format() -> bytes:
    """A whole block of the list, with places for the numbers and guids of its items."""
    parts = []
    for wire in _templates():
        part = orjson.dumps(wire | {"id": "\0id", "guid": "\0guid", "parentGuid": "\0parent"})
        part = part.replace(b"%", b"%%").replace(b'"\\u0000id"', b"%d")
        parts.append(part.replace(b'"\\u0000guid"', b"%s").replace(b'"\\u0000parent"', b"%s"))
    return b",".join(parts)


def full(items: int) -> Iterator[bytes]:
    """The answer to a full read, block by block."""
    size = len(_templates())
    yield b"["
    for block in range(0, items, size):
        if block + size > items:
            rest = [orjson.dumps(item(number)) for number in range(block, items)]
            yield b",".join(rest)
            break
        values: list[Any] = []
        for place, wire in enumerate(_templates()):
            parent = wire["parentGuid"]
            values += [
                block + place + 1,
                b'"%s"' % _moved(wire["guid"], block // size).encode(),
                b'"%s"' % _moved(parent, block // size).encode() if parent else b"null",
            ]
        yield _block_format() % tuple(values) + (b"," if block + size < items else b"")
    yield b"]"


def delta(items: int, cursor: int, times: int) -> Iterator[bytes]:
    """The answer to a delta: quiet after the full read, then with changes, quiet, and so on.

    Args:
        items: how many items the full read showed.
        cursor: how many deltas there were before.
        times: how often there are changes.
    """
    turn, changing = divmod(cursor, 2)
    changed = CHANGED * (changing and turn < times)
    left = items - GONE * min(turn + changing, times)
    whole = [item(n, title=f"changed {turn}", version=9 + turn) for n in range(changed)]
    stubs = [{"id": number + 1, "changed": False} for number in range(changed, left)]
    yield orjson.dumps([one | {"changed": True} for one in whole] + stubs)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body leave apart, and would wait for each other
    items = 0
    latency = 0.0
    times = 1

    def log_message(self, *_: Any) -> None: ...

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        path = parts.path.removeprefix("/api")
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        sleep(self.latency)
        if self.command == "GET" and path == "/item":
            self._stream(full(self.items), "0")
        elif path.startswith("/item/delta/"):
            cursor = int(path.rpartition("/")[2])
            following = str(min(cursor + 1, 2 * self.times))
            self._stream(delta(self.items, cursor, self.times), following)
        else:
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request.of(self.command, parts.path, parts.query, headers, body)
            if self.command == "PUT":
                number = int(path.rpartition("/")[2]) - 1
                changes = {k: v for k, v in request.form.items() if k in {"title", "message"}}
                version = item(number)["version"] + 1  # nobody else wrote meanwhile
                answer = orjson.dumps(item(number, version=version, **changes))
                self._send(200, {"Content-Type": "application/json"}, answer)
                return
            response = _SANDBOX.handle(request)
            self._send(response.status, dict(response.headers), response.body)

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, blocks: Iterator[bytes], cursor: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json;charset=UTF-8")
        self.send_header("X-Cursor", cursor)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for block in blocks:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
        self.wfile.write(b"0\r\n\r\n")


def main() -> None:
    """Serve until killed."""
    _Handler.items = int(sys.argv[1])
    _Handler.latency = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    _Handler.times = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    list(full(BLOCK))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(f"http://127.0.0.1:{server.server_port}/api", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
