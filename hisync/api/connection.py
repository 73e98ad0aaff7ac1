"""The one place where requests leave: granted, timed out, judged, logged without a secret.

An error that repeats itself is logged once, and again only after something else was seen.
Public: `Connection`, `Grant`, `Settle`, `TIMEOUTS`, `LOOPBACK`.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from email.utils import parsedate_to_datetime
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import httpx
import structlog

from hisync.api.auth import Credentials, SessionAuth
from hisync.api.body import read_body
from hisync.api.nul import without_nul
from hisync.api.outcomes import Answer, SessionLostError, read_answer
from hisync.api.reports import ServiceErrors
from hisync.api.secrets import silence_http_loggers
from hisync.api.turns import Turns
from hisync.errors import (
    NO_ROOM,
    ConfigurationError,
    FullError,
    HisyncError,
    MirrorError,
    RetryLaterError,
    ServiceError,
    UnreachableError,
)

Grant: TypeAlias = Callable[[str], None]
"""Called with the cause before each request that is sent; it may wait, or raise to prevent it."""

Settle: TypeAlias = Callable[[str, ServiceError | None], None]
"""Called with the cause after each request, and what went wrong; it must not raise."""

_T = TypeVar("_T")

TIMEOUTS: Final = httpx.Timeout(connect=10.0, read=60.0, write=30.0, pool=10.0)

_NEVER_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADERS: Final = {"accept": "application/json", "user-agent": "hisync"}


class Connection:
    """Sends requests to one hiTask, with a session of its own.

    Attributes:
        auth: the session.
        secrets: what is kept out of every text.
        clock_skew: the seconds that the local clock is ahead of hiTask's, None before an answer.
        requests: how many requests were sent, logins and repeats included.
        turns: lets several be under way at once.
        folder: where answers are kept that are too long for memory, None for the system's own.
    """

    folder: Path | None = None

    def __init__(
        self,
        base_url: str,
        credentials: Credentials,
        *,
        grant: Grant,
        settle: Settle,
        transport: httpx.BaseTransport | None,
        timeouts: httpx.Timeout | None,
        now: Callable[[], float] = time.time,
        holds_nul: bool = True,
    ) -> None:
        silence_http_loggers()
        url = _parse_base_url(base_url)
        self._base = str(url).rstrip("/")
        self.secrets = credentials.secrets()
        self._errors = ServiceErrors(structlog.get_logger("hisync.api"))
        self.turns = turns = Turns()
        self.auth = SessionAuth(self._base, credentials, self.secrets, self._errors, now, turns)
        self.clock_skew: float | None = None
        self.requests = 0
        self._grant = grant
        self._settle = settle
        self._mine = threading.local()  # the cause of a thread's request that is not settled yet
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._sockets_lock = threading.Lock()
        self._aborted = False
        self._now = now
        self._clean: Callable[[bytes], bytes] = bytes if holds_nul else without_nul
        with _environment_named():
            self._client = httpx.Client(
                auth=self.auth,
                headers=_HEADERS,
                timeout=timeouts or TIMEOUTS,
                follow_redirects=False,
                # The header carries the session; a cookie beside it could carry an older one.
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
                # A proxy from the environment has no way to this machine's own loopback.
                trust_env=url.host not in LOOPBACK,
                transport=transport,
                event_hooks={
                    "request": [self._before_request],
                    "response": [self._after_response],
                },
            )

    def close(self) -> None:
        """Close the connections; the session there stays."""
        self.abort()  # only an interrupt leaves requests under way
        self.turns.close()
        self._client.close()

    def abort(self) -> None:
        """End the requests that are under way, from another thread, and send none any more.

        To whoever waits for one, its answer is lost.
        """
        self._aborted = True
        with self._sockets_lock:
            sockets = list(self._sockets)
        for each in sockets:
            # Only this wakes a read. Of TLS the plain socket: its own layer is in use over there.
            with suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)

    def call(
        self,
        method: str,
        path: str,
        cause: str,
        decode: Callable[[Answer], _T],
        *,
        params: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        renew: bool = True,
        long: bool = False,
    ) -> _T:
        """Send a request and return what its answer holds.

        Args:
            method: the HTTP method.
            path: from the base URL on, with a leading slash.
            cause: why, for whoever grants requests.
            decode: makes of the answer what is wanted, or a `ServiceError` if it isn't that; an
                error of another kind is none of the request's.
            params: the query.
            form: the body.
            renew: whether a lost session is renewed for it.
            long: whether the answer may be a list too long to hold in memory.

        Raises:
            ServiceError: hiTask's error, or none that could be read.
            HisyncError: the request can't be made at all.
        """
        self.auth.check()
        self._mine.sent = None
        request = partial(
            self._client.build_request,
            method,
            self._base + path,
            params=params,
            data=form,
            extensions={"cause": cause, "renew": renew, "long": long, "trace": self._watch_socket},
        )
        outcome = self._ask(request, once_more=long and renew)
        # Raised here and not where it was caught: with neither the request nor the library's
        # error, whose URLs hold secrets, anywhere in its traceback.
        if isinstance(outcome, HisyncError):
            self._conclude(outcome if isinstance(outcome, ServiceError) else None)
            raise outcome
        try:
            decoded = decode(outcome)
        except ServiceError as error:
            self._conclude(error)
            self._errors.say(error, method, path)
            raise
        except Exception:
            self._conclude(None)  # it came, and what was done with it failed
            self._errors.well()
            raise
        self._conclude(None)
        self._errors.well()
        return decoded

    def _ask(
        self, request: Callable[[], httpx.Request], *, once_more: bool
    ) -> Answer | HisyncError:
        outcome = self._exchange(request(), may_be_lost=once_more)
        if once_more and isinstance(outcome, SessionLostError):
            self.auth.forget_session()
            outcome = self._exchange(request())
        return outcome

    def _exchange(
        self, request: httpx.Request, *, may_be_lost: bool = False
    ) -> Answer | HisyncError:
        path = self._path_of(request)
        try:
            response = self._client.send(request, stream=True)
            with closing(response):
                long = request.extensions["long"]
                if long:
                    body = read_body(response, self.folder, self._clean)
                else:
                    body = self._clean(response.read())
        except ServiceError as error:
            return error.with_traceback(None)  # of the login, which logs its own, or of the grant
        except httpx.HTTPError as error:
            self.turns.take()
            failure = self._explain(error)
            failed = _request_of(error)
            path = self._path_of(failed) if failed else path
            method = failed.method if failed else request.method
            if not self._aborted:
                self._errors.say(failure, method, path)
            return failure
        except (httpx.InvalidURL, httpx.StreamError, httpx.CookieConflict) as error:
            self.turns.take()
            return HisyncError(f"{request.method} {path} can't be sent ({type(error).__name__})")
        except OSError as error:  # of the file that a long answer is kept in
            where = f" in {self.folder}" if self.folder else ""
            kind = FullError if error.errno in NO_ROOM else MirrorError
            reason = f"hiTask's answer can't be kept{where}: {error.strerror or error}"
            return kind(f"{reason} (make room there, or rights to write: nothing was lost)")
        answer = read_answer(response, body, now=self._now(), redact=self.secrets.redact)
        lost = may_be_lost and isinstance(answer, SessionLostError)
        if isinstance(answer, ServiceError) and not lost:
            self._errors.say(answer, request.method, path)
        return answer

    def _explain(self, error: httpx.HTTPError) -> ServiceError:
        name = type(error).__name__
        if isinstance(error, _NEVER_SENT):
            why = self.secrets.redact(str(error))[:200]
            return UnreachableError(f"no connection to {_way_to(self._base)}: {why} ({name})")
        return RetryLaterError(f"no complete answer ({name})")

    def _path_of(self, request: httpx.Request) -> str:
        # By the parsed path: it has no query, and so no secret.
        return (
            request.url.raw_path.partition(b"?")[0]
            .decode("ascii")
            .removeprefix(httpx.URL(self._base).raw_path.decode("ascii").rstrip("/"))
        )

    def _before_request(self, request: httpx.Request) -> None:
        cause = request.extensions["cause"]
        if self._mine.sent is not None:
            # Nothing follows a request within one call but what a lost session needs.
            login = self._mine.sent == "login"
            lost = None if login else SessionLostError("the session was lost")
            self._conclude(lost)
        if self._aborted:
            raise UnreachableError("hisync is stopping: the request was not made")
        self._grant(cause)
        self.requests += 1
        self._mine.sent = cause
        self.turns.give()

    def _conclude(self, error: ServiceError | None) -> None:
        """The request that was sent has come to its end."""
        sent, self._mine.sent = self._mine.sent, None
        if sent is not None:
            self._settle(sent, error)

    def _watch_socket(self, event: str, facts: Mapping[str, Any]) -> None:
        """Keep the sockets in use, for `abort`."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            with self._sockets_lock:
                self._sockets.add(facts["return_value"].get_extra_info("socket"))
            if self._aborted:
                self.abort()  # it was connecting meanwhile

    def _after_response(self, response: httpx.Response) -> None:
        if not response.request.extensions["long"]:
            response.read()  # while the others work: a body can hang as well
        self.turns.take()
        try:
            there = parsedate_to_datetime(response.headers.get("date", "")).timestamp()
        except (ValueError, OverflowError, OSError):
            return
        self.clock_skew = self._now() - there


@contextmanager
def _environment_named() -> Iterator[None]:
    """Say where a proxy or certificates that can't be used come from; a proxy may hold a secret."""
    try:
        yield
    except ImportError:
        why = "SOCKS needs `pip install 'httpx[socks]'`"
    except OSError as error:  # also what is wrong with a certificate
        why = error.strerror or type(error).__name__
    except (ValueError, httpx.InvalidURL):
        why = "an address of a proxy is like http://host:3128"
    else:
        return
    problem = "the environment's HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY or SSL_CERT_FILE"
    raise ConfigurationError([f"{problem} can't be used: {why}"])


def _way_to(base: str) -> str:
    url = httpx.URL(base)
    proxies = getproxies()
    by_proxy = url.host not in LOOPBACK and (proxies.get(url.scheme) or proxies.get("all"))
    if not by_proxy or proxy_bypass(url.host):
        return url.host
    return f"{url.host} through the environment's {url.scheme.upper()}_PROXY or ALL_PROXY"


def _request_of(error: httpx.HTTPError) -> httpx.Request | None:
    try:
        return error.request
    except RuntimeError:
        return None


def _parse_base_url(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
        host = url.host
    except (httpx.InvalidURL, TypeError, UnicodeError):  # the last of a name such as xn--a
        url, host = httpx.URL(""), ""
    if url.scheme not in ("http", "https") or not host or url.query or url.userinfo:
        problem = "base_url must be like https://hitask.com/api, without a user, password or query"
        raise ConfigurationError([problem])
    return url
