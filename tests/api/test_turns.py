"""Requests side by side, over real sockets."""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
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


def fetch(api: HiTask) -> HisyncError | None:
    try:
        api.fetch_preferences()
    except HisyncError as error:
        return error
    return None


def test_all_that_are_under_way_can_be_ended(hanging: Hanging) -> None:
    url = f"http://127.0.0.1:{hanging.server_address[1]}/api"

    def abort() -> None:
        for _ in range(NUMBER):
            hanging.waiting.acquire(timeout=TIMEOUT)
        api.abort()

    with HiTask(base_url=url, login="ann", password=PASSWORD, api_key=API_KEY) as api:
        ending = threading.Thread(target=abort)
        ending.start()
        errors = api.side_by_side([lambda: fetch(api)] * NUMBER)
        ending.join()
        assert [type(error) for error in errors] == [RetryLaterError] * NUMBER
        (late,) = api.side_by_side([lambda: fetch(api)])
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


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What a shell runs in the background starts with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_does_not_wait_for_requests_that_hang(hanging: Hanging) -> None:
    url = f"http://127.0.0.1:{hanging.server_address[1]}/api"
    ended = threading.Event()

    def interrupt() -> None:
        for _ in range(NUMBER):
            hanging.waiting.acquire(timeout=TIMEOUT)
        # A signal at the worst of times: just before the main thread goes to sleep, so that it
        # does not wake it.
        _thread.interrupt_main(signal.SIGINT)
        if not ended.wait(TIMEOUT / 2):
            hanging.let_go.set()

    api = HiTask(base_url=url, login="ann", password=PASSWORD, api_key=API_KEY)
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt), api:
        api.side_by_side([lambda: fetch(api)] * NUMBER)
    ended.set()
    thread.join()
    assert not hanging.let_go.is_set(), "it waited for the requests"


def test_no_job_is_left_running_when_a_thread_can_not_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go, started = threading.Event(), list[str]()
    real = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name.startswith("hisync-lane"):
            started.append(thread.name)
            if len(started) == 2:
                go.set()
                raise RuntimeError("can't start new thread")
        real(thread)

    ended = list[bool]()

    def job() -> None:
        go.wait(TIMEOUT)
        ended.append(True)

    with HiTask(base_url="http://127.0.0.1/", login="ann", password="p", api_key="k") as api:
        monkeypatch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError):
            api.side_by_side([job] * NUMBER)
        left = len(ended)
        assert not [t for t in threading.enumerate() if t.name.startswith("hisync-lane")]
    assert len(ended) == left


def test_bodies_that_are_slow_are_read_side_by_side() -> None:
    both = threading.Barrier(2)

    class Slow(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            both.wait(TIMEOUT)  # each comes only when the other is being read as well
            yield b"{}"

    def answer(request: httpx.Request) -> httpx.Response:
        if "authenticate" in request.url.path:
            return httpx.Response(200, json={"session_id": "s", "id": 1})
        return httpx.Response(200, stream=Slow())

    transport = httpx.MockTransport(answer)
    api = HiTask(
        base_url="http://127.0.0.1/", login="a", password="p", api_key="k", transport=transport
    )
    with api:
        assert api.side_by_side([api.fetch_preferences] * 2) == [{}, {}]
