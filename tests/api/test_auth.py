"""The session as a generator over requests, driven by hand."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
import pytest
import structlog
from structlog.testing import capture_logs

from hisync.api import Credentials, SessionAuth
from hisync.api.reports import ServiceErrors
from hisync.errors import (
    RetryLaterError,
    ServiceError,
    SlowDownError,
    StopError,
    WrongAccountError,
)

from .service import error

BASE = "https://hitask.test/api"
LOST = {
    "401": error(401),
    "401 without a body": httpx.Response(401),
    "401 with code 4": error(401, 4, "mandatory parameter missing"),
    "code 7": error(403, 7, "Session not found"),
    "code 7 under 200": error(200, 7, "Session not found"),
    "code 4 about the session": error(400, 4, "Mandatory parameter session_id is missing"),
}
OK: Any = {"session_id": "s-1", "id": 42}


def make_auth(encoding: Any = "plain") -> SessionAuth:
    credentials = Credentials("ann", "pass", "key", encoding)
    errors = ServiceErrors(structlog.get_logger("hisync.api"))
    return SessionAuth(BASE, credentials, credentials.secrets(), errors, now=lambda: 0.0)


def drive(auth: SessionAuth, *answers: httpx.Response | dict[str, Any]) -> list[httpx.Request]:
    """Send one request through the flow; return what was sent, as it was then."""
    request = httpx.Request("POST", f"{BASE}/item?x=1", data={"a": "b"}, extensions={"cause": "c"})
    sent: list[httpx.Request] = []
    flow = auth.auth_flow(request)
    try:
        current = next(flow)
        for answer in answers:
            sent.append(
                httpx.Request(
                    current.method,
                    current.url,
                    headers=current.headers,
                    content=current.read(),
                    extensions=current.extensions,
                )
            )
            reply = httpx.Response(200, json=answer) if isinstance(answer, dict) else answer
            current = flow.send(reply)
    except StopIteration:
        return sent
    finally:
        flow.close()
    raise AssertionError(f"more was sent than expected: {current.method} {current.url.path}")


def test_it_logs_in_when_a_request_needs_it_and_only_then() -> None:
    auth = make_auth()
    assert not auth.has_session
    login, request = drive(auth, OK, {})
    assert (login.method, login.url.path) == ("GET", "/api/user/authenticate")
    assert dict(login.url.params) == {"api_key": "key", "login": "ann", "password": "pass"}
    assert login.extensions["cause"] == "login"
    assert "x-hi-session" not in login.headers
    assert dict(request.url.params) == {"x": "1", "api_key": "key"}
    assert request.headers["x-hi-session"] == "s-1"
    assert request.read() == b"a=b"
    assert auth.account_id == 42
    (again,) = drive(auth, {})
    assert again.headers["x-hi-session"] == "s-1"


def test_the_password_can_go_as_md5() -> None:
    login, _ = drive(make_auth("md5"), OK, {})
    expected = hashlib.md5(b"pass", usedforsecurity=False).hexdigest()
    assert login.url.params["password"] == expected


@pytest.mark.parametrize("form", LOST)
def test_a_lost_session_is_renewed_once_and_the_request_repeated(form: str) -> None:
    auth = make_auth()
    with capture_logs() as first_logs:
        drive(auth, OK, {})
    with capture_logs() as logs:
        sent = drive(auth, LOST[form], {"session_id": "s-2", "id": 42}, {})
    assert [request.url.path for request in sent] == [
        "/api/item",
        "/api/user/authenticate",
        "/api/item",
    ]
    assert [r.headers.get("x-hi-session") for r in sent] == ["s-1", None, "s-2"]
    assert sent[2].read() == b"a=b"
    assert first_logs == []
    assert [entry["event"] for entry in logs] == ["session_renewed"]
    assert "s-2" not in str(logs)


@pytest.mark.parametrize("form", LOST)
def test_a_session_lost_twice_is_not_renewed_twice(form: str) -> None:
    # Were a third try made, `drive` would have no answer for it and complain.
    assert len(drive(make_auth(), OK, LOST[form], OK, LOST[form])) == 4


@pytest.mark.parametrize(
    "answer",
    [error(403, 3), error(400, 4, "title is mandatory"), error(500), httpx.Response(200, json=[])],
)
def test_other_answers_renew_nothing(answer: httpx.Response) -> None:
    assert len(drive(make_auth(), OK, answer)) == 2


@pytest.mark.parametrize(
    "rejection",
    [
        error(403),
        error(403, 3),
        error(401),
        error(401, 8),
        error(404),
        error(400, 4, "no session"),
        error(200, 7),
        error(200, 69),
        error(200, 999),
        error(412),
        httpx.Response(403, html="<p>no</p>"),
    ],
)
def test_a_rejected_login_is_final_until_it_is_reset(rejection: httpx.Response) -> None:
    auth = make_auth()
    with capture_logs() as logs, pytest.raises(StopError) as first:
        drive(auth, rejection)
    assert [(e["event"], e["path"]) for e in logs] == [("api_error", "/user/authenticate")]
    for _ in range(2):
        with pytest.raises(StopError) as again:
            drive(auth)
        assert again.value is not first.value
        assert (again.value.status, again.value.code) == (first.value.status, first.value.code)
    auth.reset()
    assert len(drive(auth, OK, {})) == 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(500), RetryLaterError),
        (error(503, Retry_After="9"), SlowDownError),
        (error(429), SlowDownError),
        (error(200, 66), RetryLaterError),
        (httpx.Response(200, html="<html>portal</html>"), RetryLaterError),
        (httpx.Response(302, headers={"location": "https://portal.test/"}), RetryLaterError),
        (httpx.Response(200, json=[]), RetryLaterError),
        (httpx.Response(200, json={"id": 42}), RetryLaterError),
        (httpx.Response(200, json={"session_id": "", "id": 42}), RetryLaterError),
        (httpx.Response(200, json={"session_id": "a\r\nb: c", "id": 42}), RetryLaterError),
        (httpx.Response(200, json={"session_id": ["s"], "id": 42}), RetryLaterError),
    ],
)
def test_trouble_at_the_login_is_no_rejection(
    answer: httpx.Response, kind: type[ServiceError]
) -> None:
    auth = make_auth()
    with pytest.raises(kind):
        drive(auth, answer)
    assert len(drive(auth, OK, {})) == 2


def test_another_account_is_refused_before_anything_is_sent() -> None:
    auth = make_auth()
    auth.expected_account = 41
    for answers in ([OK], []):
        with pytest.raises(WrongAccountError, match="42"):
            drive(auth, *answers)
    assert not auth.has_session


def test_an_account_that_turns_out_to_be_another_is_refused_at_once() -> None:
    auth = make_auth()
    drive(auth, OK, {})
    auth.expected_account = 41
    with pytest.raises(WrongAccountError):
        drive(auth)


def test_where_the_login_names_no_account_it_is_asked_for_if_one_is_expected() -> None:
    auth = make_auth()
    drive(auth, {"session_id": 17}, {})
    assert auth.account_id is None
    auth = make_auth()
    auth.expected_account = 42
    sent = drive(auth, {"session_id": 17}, {"id": 42}, {})
    assert [request.url.path.split("/user")[-1] for request in sent[:2]] == ["/authenticate", ""]
    assert sent[1].headers["x-hi-session"] == "17"
    auth.reset()
    with pytest.raises(WrongAccountError):
        drive(auth, {"session_id": 17}, {"id": 43})
    auth.reset()
    for answer in (httpx.Response(200, json={}), httpx.Response(500), httpx.Response(403)):
        with pytest.raises(RetryLaterError):
            drive(auth, {"session_id": 17}, answer)
    assert len(drive(auth, {"session_id": 17, "id": "42"}, {})) == 2


def test_no_session_is_renewed_for_a_request_that_doesn_t_want_it() -> None:
    auth = make_auth()
    drive(auth, OK, {})
    request = httpx.Request("GET", f"{BASE}/user/logout", extensions={"renew": False})
    flow = auth.auth_flow(request)
    next(flow)
    with pytest.raises(StopIteration):
        flow.send(httpx.Response(401))


def test_credentials_hide_what_is_secret() -> None:
    assert repr(Credentials("ann", "hush", "k3y")) == (
        "Credentials(login='ann', password_encoding='plain')"
    )
