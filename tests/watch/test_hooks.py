"""Hooks: each event reaches the command and the webhook, and none of them can hold anything up."""

from __future__ import annotations

import json
import shlex
import socket
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from hisync.watch.hooks import MOST_WAITING, Hooks

EVENT = {"event": "change_rejected", "seq": 7, "reason": 'it "can\'t"; rm -rf é \udc80'}


def python(program: str) -> str:
    return shlex.join([sys.executable, "-c", program])


def test_the_command_gets_the_event_on_standard_input(tmp_path: Path) -> None:
    out = tmp_path / "out put"
    copy = python(f"import sys, pathlib; pathlib.Path({str(out)!r}).write_text(sys.stdin.read())")
    hooks = Hooks(copy, "")
    hooks.tell(EVENT)
    hooks.close(20)
    assert json.loads(out.read_text()) == EVENT


def test_the_command_gets_no_secret_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HISYNC_HITASK__PASSWORD", "marked-secret")
    monkeypatch.setenv("OTHER", "stays")
    out = tmp_path / "out"
    program = f"import os, json, pathlib; pathlib.Path({str(out)!r}).write_text(str(os.environ))"
    hooks = Hooks(python(program), "")
    hooks.tell(EVENT)
    hooks.close(20)
    assert "marked-secret" not in out.read_text()
    assert "stays" in out.read_text()


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("/no/such/program", "No such file"),
        (python("raise SystemExit(3)"), "it ended with 3"),
        (python("import time; time.sleep(60)"), "it took longer than 0.5 s"),
    ],
    ids=["missing", "failing", "hanging"],
)
def test_a_command_that_fails_is_logged_and_the_next_event_goes_on(
    command: str, reason: str
) -> None:
    hooks = Hooks(command, "", time_limit=0.5)
    with capture_logs() as logs:
        hooks.tell(EVENT)
        hooks.tell(EVENT)
        hooks.close(20)
    assert [line["event"] for line in logs] == ["hook_failed"] * 2
    assert reason in logs[0]["reason"]


@pytest.mark.slow
def test_what_the_command_started_ends_with_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    program = (
        "import subprocess, sys, pathlib, time;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        f"pathlib.Path({str(pid)!r}).write_text(str(child.pid)); time.sleep(60)"
    )
    hooks = Hooks(python(program), "", time_limit=3.0)
    hooks.tell(EVENT)
    hooks.close(20)
    child = int(pid.read_text())
    until = time.monotonic() + 5
    while _lives(child) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _lives(child)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def posted(answer: Any) -> tuple[list[httpx.Request], httpx.MockTransport]:
    seen: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer)

    return seen, httpx.MockTransport(respond)


def test_the_webhook_gets_it_as_json() -> None:
    seen, transport = posted(204)
    hooks = Hooks("", "https://hooks.test/x", transport=transport)
    hooks.tell(EVENT)
    hooks.close(20)
    (request,) = seen
    assert (request.method, str(request.url)) == ("POST", "https://hooks.test/x")
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.content) == EVENT


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(500, "HTTP 500"), (302, "HTTP 302"), (httpx.ConnectError("secret-token"), "ConnectError")],
)
def test_a_webhook_that_fails_is_logged_without_its_address(answer: Any, reason: str) -> None:
    seen, transport = posted(answer)
    hooks = Hooks("", "https://hooks.test/secret-token", transport=transport)
    with capture_logs() as logs:
        hooks.tell(EVENT)
        hooks.close(20)
    assert len(seen) == 1
    assert [line["reason"] for line in logs] == [reason]
    assert "secret-token" not in str(logs)


def test_a_webhook_of_this_machine_is_not_asked_of_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        hooks = Hooks("", f"http://127.0.0.1:{server.getsockname()[1]}/x")
        hooks.tell(EVENT)
        server.settimeout(10)
        with closing(server.accept()[0]) as client:
            assert client.recv(100).startswith(b"POST /x ")
            client.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        hooks.close(20)


def test_a_proxy_that_cannot_be_used_does_not_end_the_telling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    hooks = Hooks("", "https://hooks.invalid/x")
    with capture_logs() as logs:
        hooks.tell(EVENT)
        hooks.tell(EVENT)
        hooks.close(20)
    assert [line["reason"] for line in logs] == ["ImportError"] * 2


def test_telling_never_waits(tmp_path: Path) -> None:
    hooks = Hooks(python("import time; time.sleep(60)"), "")
    began = time.monotonic()
    with capture_logs() as logs:
        for _ in range(MOST_WAITING + 5):
            hooks.tell(EVENT)
        took = time.monotonic() - began
        hooks.close(0.1)
        assert hooks._thread is not None
        hooks._thread.join(10)  # what still waits is not told any more
        assert not hooks._thread.is_alive()
    assert took < 5
    assert {line["event"] for line in logs} >= {"hook_dropped"}


def test_nobody_wants_to_be_told() -> None:
    hooks = Hooks("", "")
    hooks.tell(EVENT)
    hooks.close()
    assert not hooks.wanted
    assert hooks._thread is None
