"""What stands before the endpoints: API key, session and the limit of requests.

Public: `session_of`, `check_api_key`, `open_session`, `current_user`, `lost_session`,
`RequestLimit`.
"""

from __future__ import annotations

from collections import deque
from http.cookies import CookieError, SimpleCookie

from hisync.sandbox.errors import (
    INVALID_API_KEY,
    INVALID_DATA,
    PARAMETER_MISSING,
    SESSION_NOT_FOUND,
    TOO_MANY_REQUESTS,
    ApiError,
)
from hisync.sandbox.messages import Request, Response, json_response
from hisync.sandbox.model import Model
from hisync.sandbox.records import User
from hisync.sandbox.traits import Traits
from hisync.sandbox.wire import to_ms

MINUTE = 60_000
DAILY_LIMIT = 87


def session_of(request: Request) -> str | None:
    """Return the session that a request carries: header, else cookie, else parameter."""
    if header := request.headers.get("x-hi-session"):
        return header
    try:
        cookies = SimpleCookie(request.headers.get("cookie", ""))
    except CookieError:
        cookies = SimpleCookie()
    for name in ("x-hi-session", "session_id"):
        if name in cookies:
            return cookies[name].value
    return request.param("session_id")


def lost_session(form: str) -> ApiError:
    """Return the answer to a session that does not exist, in one of its forms."""
    if form == "7":
        return ApiError(SESSION_NOT_FOUND, "Session not found")
    if form == "4":
        return ApiError(PARAMETER_MISSING, "Session id is mandatory")
    return ApiError(SESSION_NOT_FOUND, "Not authorized", status=401)


def check_api_key(model: Model, request: Request, *, mandatory: bool = False) -> None:
    """Refuse a wrong API key, and a missing one where it is mandatory."""
    key = request.query.get("api_key")
    if key is None and mandatory:
        raise ApiError(PARAMETER_MISSING, "Parameter api_key is mandatory")
    if key is not None and key != model.team.api_key:
        raise ApiError(INVALID_API_KEY, "Invalid API key")


def open_session(model: Model, request: Request) -> Response:
    """GET /user/authenticate: log in."""
    check_api_key(model, request, mandatory=True)
    login, password = request.query.get("login"), request.query.get("password")
    if not login or not password:
        raise ApiError(PARAMETER_MISSING, "Parameters login and password are mandatory")
    opened = model.team.log_in(login, password, to_ms(model.clock()))
    if opened is None:
        raise ApiError(INVALID_DATA, "Login or password is wrong", status=403)
    user, session = opened
    return json_response(
        {
            "session_id": session,
            "id": user.id,
            "level": 20,
            "account_type": "TEAM_BUSINESS",
            "login_id": user.id,
            "email": user.login,
            "picture_hash": None,
        }
    )


def current_user(model: Model, traits: Traits, request: Request) -> User:
    """Return who asks, by the session that the request carries."""
    sessions = model.team.sessions
    session = session_of(request)
    if session is None or session not in sessions:
        raise lost_session(traits.session_answer)
    user_id, opened = sessions[session]
    if traits.session_seconds and to_ms(model.clock()) - opened >= traits.session_seconds * 1000:
        del sessions[session]
        raise lost_session(traits.session_answer)
    return model.user(user_id)


class RequestLimit:
    """So many requests a minute for each client; refused ones do not count."""

    def __init__(self) -> None:
        self._granted: dict[str, deque[int]] = {}

    def check(self, traits: Traits, request: Request, now: int) -> None:
        """Count a request, or refuse it."""
        if not traits.requests_per_minute:
            return
        client = request.query.get("api_key") or session_of(request) or ""
        granted = self._granted.setdefault(client, deque())
        while granted and granted[0] <= now - MINUTE:
            granted.popleft()
        if len(granted) >= traits.requests_per_minute:
            raise _refusal(traits.limit_answer, granted[0] + MINUTE - now)
        granted.append(now)


def _refusal(form: str, wait: int) -> ApiError:
    if form == "67":
        return ApiError(TOO_MANY_REQUESTS, "Too many requests per second for this API key")
    if form == "87":
        return ApiError(DAILY_LIMIT, "Daily limit of requests is reached", status=403)
    seconds = -(-wait // 1000)
    return ApiError(TOO_MANY_REQUESTS, "Too many requests", status=429, retry_after=seconds)
