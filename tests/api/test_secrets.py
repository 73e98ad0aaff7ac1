"""No secret in any text: logs at every level, exceptions, tracebacks, reprs."""

from __future__ import annotations

import hashlib
import html
import json
import logging
import re
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest
import structlog

from hisync.api import HiTask, Secrets, silence_http_loggers
from hisync.errors import HisyncError

from .service import API_KEY, PASSWORD, Service, connect, error

SESSION = "5e55-10n/id"
LOGIN = {"session_id": SESSION, "id": 1}
MD5 = hashlib.md5(PASSWORD.encode(), usedforsecurity=False).hexdigest()
ALL = [
    form
    for secret in (PASSWORD, MD5, API_KEY, SESSION)
    for form in {secret, quote(secret, safe=""), quote_plus(secret), quote(secret)}
]
ECHO = error(
    400, 3, f"bad request: ?password={quote_plus(PASSWORD)}&api_key={API_KEY} in {SESSION}"
)


def secrets_in(text: str) -> list[str]:
    return [secret for secret in ALL if secret in text]


@pytest.fixture(autouse=True)
def every_logger_open(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Everything at DEBUG, structlog's events through the standard library as in the product."""
    for name in (None, "httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger=name)
    structlog.configure(
        processors=[structlog.processors.KeyValueRenderer()],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    yield
    structlog.reset_defaults()


def talk(api: HiTask) -> list[HisyncError]:
    caught: list[HisyncError] = []
    for _ in range(2):
        try:
            api.fetch_items()
        except HisyncError as raised:
            caught.append(raised)
    return caught


@pytest.mark.parametrize("encoding", ["plain", "md5"])
@pytest.mark.parametrize(
    ("logins", "replies"),
    [
        ([LOGIN], [[]]),
        ([LOGIN], [ECHO]),
        ([LOGIN, LOGIN], [error(401), []]),
        ([LOGIN, LOGIN], [error(401)]),
        ([error(403, 3, f"bad password {PASSWORD} for {API_KEY}")], [[]]),
        ([LOGIN], [httpx.ReadTimeout(f"https://x/?password={PASSWORD}")]),
        ([LOGIN], [httpx.ConnectError(f"https://x/?api_key={quote(API_KEY)}&p={PASSWORD}")]),
        ([httpx.ConnectError(f"password={quote_plus(PASSWORD)}")] * 2, [[]]),
        ([httpx.InvalidURL(f"password={quote_plus(PASSWORD)}")] * 2, [[]]),
        ([LOGIN], [httpx.Response(302, headers={"location": f"https://x/?api_key={API_KEY}"})]),
    ],
)
def test_nothing_that_is_secret_gets_out(
    encoding: str, logins: list[Any], replies: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    api = connect(Service(*replies, logins=logins * 2), password_encoding=encoding)
    # As if someone opened them after the client had shut them.
    for name in ("httpx", "httpcore", "httpcore.http11"):
        caplog.set_level(logging.DEBUG, logger=name)
    caught = talk(api)
    texts = [caplog.text, repr(api), str(vars(api))]
    for raised in caught:
        texts += [str(raised), repr(raised), str(vars(raised)), str(raised.args)]
        texts += traceback.format_exception(raised)
        # With every local variable of every frame, as some tools print it.
        frames = traceback.TracebackException.from_exception(raised, capture_locals=True)
        texts += [line for line in frames.format() if "test_secrets.py" not in line]
        assert raised.__cause__ is None
        assert raised.__context__ is None
    assert secrets_in("\n".join(texts)) == []


def test_the_http_libraries_own_loggers_are_shut(caplog: pytest.LogCaptureFixture) -> None:
    silence_http_loggers()
    silence_http_loggers()
    for name in ("httpx", "httpcore.connection", "httpcore.http11"):
        caplog.set_level(logging.DEBUG, logger=name)
        logging.getLogger(name).critical("GET https://x/?password=%s", PASSWORD)
        assert len(logging.getLogger(name).filters) == 1
    assert caplog.records == []


@pytest.mark.parametrize("secret", [PASSWORD, API_KEY, 'a"b\\c<ü>', "a/b", "x", "a'b"])
def test_each_form_of_a_secret_is_replaced(secret: str) -> None:
    clean = Secrets(secret, "", " ").redact
    forms = [secret, quote(secret, safe=""), quote_plus(secret), quote(secret)]
    forms += [json.dumps(secret)[1:-1], html.escape(secret), repr(secret)[1:-1]]
    forms += [re.sub("%..", lambda found: found[0].lower(), quote(secret, safe=""))]
    for form in forms:
        assert clean(f"[{form}]") == "[***]"


@pytest.mark.parametrize(
    "quoting",
    [
        lambda text: quote(text, safe="!'()*~"),  # as a browser does
        lambda text: quote_plus(text, safe="*").replace("~", "%7E"),  # as Java does
        lambda text: quote(quote(text)),
        lambda text: html.escape(text).replace("&#x27;", "&#39;"),
        lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
        lambda text: json.dumps(json.dumps(text))[3:-3],
        lambda text: repr(text.encode())[2:-1],
    ],
)
def test_whoever_quotes_a_secret_quotes_what_he_likes(quoting: Callable[[str], str]) -> None:
    secret = "it's p!ss wö*d/~&<ü>\\\""
    assert Secrets(secret).redact(f"[{quoting(secret)}]") == "[***]"


def test_a_longer_secret_leaves_no_rest() -> None:
    assert Secrets("abc", "abcdef").redact("abcdef abc") == "*** ***"


def test_only_the_last_sessions_are_remembered() -> None:
    secrets = Secrets()
    for number in range(100, 110):
        secrets.add_session(f"s{number}")
    assert secrets.redact("s100 s109") == "s100 ***"
    assert repr(secrets) == "<Secrets>"


def test_as_a_processor_it_cleans_events_through_and_through() -> None:
    secrets = Secrets("hush")
    event = {
        "event": "a hush",
        "list": ["hush", 1, None, {"hush": ("hush",)}],
        "bytes": b"hush",
        "error": ValueError("hush"),
        "fine": ValueError("fine"),
        "n": 1.5,
    }
    cleaned = secrets(None, "info", dict(event))
    assert "hush" not in repr(cleaned)
    assert cleaned["fine"] is event["fine"]
    assert cleaned["n"] == 1.5


def test_the_client_redacts_for_others() -> None:
    api = connect(Service([], logins=[LOGIN]))
    api.fetch_items()
    assert api.redact(f"{PASSWORD} {API_KEY} {SESSION} fine") == "*** *** *** fine"
