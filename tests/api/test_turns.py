"""Requests side by side, over real sockets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hisync.api import HiTask
from hisync.errors import HisyncError, RetryLaterError, UnreachableError
from tests.api.service import API_KEY, PASSWORD

NUMBER = 3
TIMEOUT = 20.0


class Hanging(ThreadingHTTPServer):
    """Answers logins, and nothing else until it is let go."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.waiting = threading.Semaphore(0)
        self.let_go = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: Hanging

    def do_GET(self) -> None:
        if "authenticate" not in self.path:
            self.server.waiting.release()
            self.server.let_go.wait(TIMEOUT)
            return
        body = b'{"session_id": "s", "id": 1}'
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    with Hanging() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.let_go.set()
        server.shutdown()
        thread.join()


def test_all_that_are_under_way_can_be_ended(hanging: Hanging) -> None:
    url = f"http://127.0.0.1:{hanging.server_address[1]}/api"

    def abort() -> None:
        for _ in range(NUMBER):
            hanging.waiting.acquire(timeout=TIMEOUT)
        api.abort()

    def fetch() -> HisyncError | None:
        try:
            api.fetch_preferences()
        except HisyncError as error:
            return error
        return None

    with HiTask(base_url=url, login="ann", password=PASSWORD, api_key=API_KEY) as api:
        ending = threading.Thread(target=abort)
        ending.start()
        errors = api.side_by_side([fetch] * NUMBER)
        ending.join()
        assert [type(error) for error in errors] == [RetryLaterError] * NUMBER
        (late,) = api.side_by_side([fetch])
        assert isinstance(late, UnreachableError)


def test_what_a_job_raises_is_raised_once_all_have_ended() -> None:
    ended = []

    def fail() -> None:
        raise ZeroDivisionError

    def end() -> None:
        ended.append(True)

    api = HiTask(base_url="http://127.0.0.1/", login="ann", password="p", api_key="k")
    with api, pytest.raises(ZeroDivisionError):
        api.side_by_side([fail, end, end])
    assert ended == [True, True]
