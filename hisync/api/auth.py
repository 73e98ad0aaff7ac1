"""The session: logging in, carrying it on every request, renewing it when it is lost.

`SessionAuth` is a generator over requests in httpx's sense: it can be driven by hand, without a
network. A login that hiTask rejects is not repeated: from then on every request is refused here,
without being sent, until `reset`.

Public: `SessionAuth`, `Credentials`, `PasswordEncoding`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import httpx
import structlog

from hisync.api.decode import decode_integer
from hisync.api.outcomes import NOT_AN_ANSWER, SessionLostError, read_answer
from hisync.api.reports import ServiceErrors
from hisync.api.secrets import Secrets
from hisync.api.turns import Turns
from hisync.errors import (
    RetryLaterError,
    ServiceError,
    SlowDownError,
    StopError,
    WrongAccountError,
)

PasswordEncoding: TypeAlias = Literal["plain", "md5"]
_Flow: TypeAlias = Generator[httpx.Request, httpx.Response, None]

LOGIN_PATH: Final = "/user/authenticate"
ACCOUNT_PATH: Final = "/user"
SESSION_HEADER: Final = "x-hi-session"
_COPIED_HEADERS: Final = ("user-agent", "accept", "accept-encoding")
_LONGEST_ERROR: Final = 65536  # a body this long is data, not a word about the session


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who logs in, and with what; no secret shows in its repr."""

    login: str
    password: str = field(repr=False)
    api_key: str = field(repr=False)
    password_encoding: PasswordEncoding = "plain"  # noqa: S105

    @property
    def encoded_password(self) -> str:
        """The password as hiTask wants it."""
        if self.password_encoding == "plain":  # noqa: S105
            return self.password
        return _md5(self.password)

    def secrets(self) -> Secrets:
        """What must never be shown, the password in both of its forms."""
        return Secrets(self.password, _md5(self.password), self.api_key)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class SessionAuth(httpx.Auth):
    """Logs in when a request needs it, and once again when the session turns out to be lost.

    Attributes:
        account_id: the account that logged in, None before.
        expected_account: the only account that may log in, None for any.
    """

    def __init__(
        self,
        base_url: str,
        credentials: Credentials,
        secrets: Secrets,
        errors: ServiceErrors,
        now: Callable[[], float] = time.time,
        turns: Turns | None = None,
    ) -> None:
        self.account_id: int | None = None
        self.expected_account: int | None = None
        self._base_url = base_url
        self._credentials = credentials
        self._secrets = secrets
        self._errors = errors
        self._now = now
        self._turns = turns or Turns()
        self._session: str | None = None
        self._logins = 0
        self._refusal: StopError | None = None
        self._log: Any = structlog.get_logger("hisync.api")

    @property
    def has_session(self) -> bool:
        """Whether there is a session that isn't known to be lost."""
        return self._session is not None

    def reset(self) -> None:
        """Forget the session and a refusal: the next request logs in afresh."""
        self._session = None
        self._refusal = None
        self.account_id = None

    def forget_session(self) -> None:
        """The session was ended; the next request logs in."""
        self._session = None

    def check(self) -> None:
        """Refuse to go on after a rejected login or with another account.

        Raises:
            StopError: what the login was rejected with.
            WrongAccountError: the account is not the expected one.
        """
        if self._refusal is not None:
            # A new one each time, or the traceback would grow with each request.
            raise type(self._refusal)(
                self._refusal.message, status=self._refusal.status, code=self._refusal.code
            )
        self._check_account(self.account_id)

    def take_account(self, number: Any) -> None:
        """Learn the account from an answer that names it; what is no number names none.

        Raises:
            WrongAccountError: it is not the expected one.
        """
        try:
            account = decode_integer(number)
        except ValueError:
            return
        if account is not None:
            self._check_account(account)
            self.account_id = account

    def _check_account(self, account: int | None) -> None:
        if None in (account, self.expected_account) or account == self.expected_account:
            return
        self._session = None
        self._refusal = WrongAccountError(
            f"the login belongs to account {account}, the mirror to account {self.expected_account}"
        )
        self._errors.say(self._refusal, "GET", LOGIN_PATH)
        raise self._refusal

    def auth_flow(self, request: httpx.Request) -> _Flow:
        """Send the request with a session, and once more with a new one if that was lost."""
        self.check()
        if self._session is None:
            yield from self._renew(request)
        self._sign(request)
        response = yield request
        if request.extensions.get("long", False):
            return  # who reads its body sees whether the session is lost
        response.read()
        if self._is_lost(response) and request.extensions.get("renew", True):
            yield from self._renew(request)
            self._sign(request)
            yield request

    def _renew(self, request: httpx.Request) -> _Flow:
        """Log in, unless another lane has done so since the request was signed."""
        with self._turns.logging_in():
            self.check()  # another lane's login may just have been rejected: never hammer it
            if self._session in {None, request.headers.get(SESSION_HEADER)}:
                yield from self._log_in(request)

    def _sign(self, request: httpx.Request) -> None:
        request.headers[SESSION_HEADER] = self._session or ""
        request.url = request.url.copy_set_param("api_key", self._credentials.api_key)

    def _is_lost(self, response: httpx.Response) -> bool:
        content = response.content
        if response.status_code == httpx.codes.OK and (
            len(content) > _LONGEST_ERROR or content[:1] == b"["
        ):
            return False  # a list of items: not parsed twice
        answer = read_answer(response, now=self._now())
        return isinstance(answer, SessionLostError)

    def _log_in(self, request: httpx.Request) -> _Flow:
        self._session = None
        response = yield httpx.Request(
            "GET",
            self._base_url + LOGIN_PATH,
            params={
                "api_key": self._credentials.api_key,
                "login": self._credentials.login,
                "password": self._credentials.encoded_password,
            },
            headers=_copied_headers(request),
            extensions={**request.extensions, "cause": "login"},
        )
        response.read()
        answer = read_answer(response, now=self._now(), redact=self._secrets.redact)
        if isinstance(answer, ServiceError):
            raise self._refuse(answer)
        self._accept(answer.payload)
        if self.account_id is None and self.expected_account is not None:
            yield from self._ask_account(request)
        if self._logins > 1:
            self._log.info("session_renewed", account=self.account_id)

    def _ask_account(self, request: httpx.Request) -> _Flow:
        """Whose session it is, where the login didn't say: nothing else may be asked before."""
        session, self._session = self._session, None
        response = yield httpx.Request(
            "GET",
            self._base_url + ACCOUNT_PATH,
            params={"api_key": self._credentials.api_key},
            headers={**_copied_headers(request), SESSION_HEADER: session or ""},
            extensions={**request.extensions, "cause": "login"},
        )
        response.read()
        answer = read_answer(response, now=self._now(), redact=self._secrets.redact)
        if isinstance(answer, SlowDownError):
            raise self._refuse(answer)
        if not isinstance(answer, ServiceError) and isinstance(answer.payload, dict):
            self.take_account(answer.payload.get("id"))
        if self.account_id is None:
            message = "neither the answer to the login nor the account's own names its number"
            raise self._refuse(RetryLaterError(message, status=200))
        self._session = session

    def _refuse(self, error: ServiceError) -> ServiceError:
        """What to raise for an error answer of the login; remembered if it is a rejection."""
        rejected = not isinstance(error, RetryLaterError) or isinstance(error, SessionLostError)
        if rejected and not isinstance(error, StopError):
            error = StopError(error.message, status=error.status, code=error.code)
        if isinstance(error, StopError):
            self._refusal = error
        error.at_login = True
        self._errors.say(error, "GET", LOGIN_PATH)
        return error

    def _accept(self, payload: Any) -> None:
        fields = payload if isinstance(payload, dict) else {}
        session, account = fields.get("session_id"), fields.get("id")
        if isinstance(session, int) and not isinstance(session, bool):
            session = str(session)
        if not isinstance(session, str) or not session or not _fits_a_header(session):
            raise self._refuse(RetryLaterError(NOT_AN_ANSWER, status=200))
        self._secrets.add_session(session)
        self.take_account(account)
        self._session = session
        self._logins += 1


def _fits_a_header(text: str) -> bool:
    return text.isascii() and text.isprintable() and text.strip() == text


def _copied_headers(request: httpx.Request) -> dict[str, str]:
    return {name: request.headers[name] for name in _COPIED_HEADERS if name in request.headers}
