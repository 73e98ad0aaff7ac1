"""The service: a request goes in, a response comes out, without sockets and without waiting.

A request passes, in this order: the limit of requests, the faults, the API key, the session, the
endpoint. Paths begin with `/api` or `/api/v5`; what begins with `/sandbox` is for whoever runs
the sandbox and is neither counted nor struck by faults.

Public: `Service`, `Logged`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

from hisync.sandbox import control, gate
from hisync.sandbox.calls import OK, Call, find_route
from hisync.sandbox.endpoints_items import ITEM_ROUTES
from hisync.sandbox.endpoints_team import TEAM_ROUTES
from hisync.sandbox.errors import NOT_FOUND, ApiError
from hisync.sandbox.faults import EFFECTS, Fault, FaultBoard
from hisync.sandbox.messages import Request, Response, error_response, html_response
from hisync.sandbox.model import Model
from hisync.sandbox.traits import Traits
from hisync.sandbox.wire import to_ms

ROUTES = (*ITEM_ROUTES, *TEAM_ROUTES)
BASE_PATHS = ("/api/v5", "/api")
_LOGIN, _LOGOUT = "/user/authenticate", "/user/logout"


@dataclass(frozen=True, slots=True)
class Logged:
    """One API request as the sandbox remembers it: without parameters, so without secrets.

    `at` is when it arrived, in seconds since the epoch.
    """

    at: float
    method: str
    path: str
    route: str
    status: int
    drop: str
    fault: str


@dataclass(slots=True)
class _Late:
    """A write whose answer was lost and which is still on its way."""

    request: Request
    path: str
    wait: int


class Service:
    """hiTask's stand-in over a model, with traits and faults."""

    def __init__(
        self, model: Model, traits: Traits | None = None, faults: Iterable[Fault | str] = ()
    ) -> None:
        self.model = model
        self.traits = traits or Traits()
        self.faults = FaultBoard()
        self.faults.add(*faults)
        self.requests: Counter[str] = Counter()
        self.log: deque[Logged] = deque(maxlen=10_000)
        self._limit = gate.RequestLimit()
        self._late: list[_Late] = []

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        with self.model.lock:
            if request.path.split("/")[1:2] == ["sandbox"]:
                return control.handle(self, request)
            path = _without_base(request.path)
            if path is None:
                return html_response(404, "Not Found")
            self._apply_late()
            return self._handle_api(request, path)

    def settle(self) -> None:
        """Heal: switch all faults off and apply the writes that are still on their way."""
        with self.model.lock:
            self.faults.clear()
            while self._late:
                late = self._late.pop(0)
                self._answer(late.request, late.path)

    def reset_log(self) -> None:
        """Forget the requests counted so far."""
        self.requests.clear()
        self.log.clear()

    def _handle_api(self, request: Request, path: str) -> Response:
        fault, arrived = None, self.model.clock()
        try:
            self._limit.check(self.traits, request, to_ms(arrived))
        except ApiError as error:
            response = error_response(error)
        else:
            fault = self.faults.take(request.method, path)
            response = self._strike(fault, request, path) if fault else self._answer(request, path)
        route = _route_name(request.method, path)
        self.requests[route] += 1
        effect = fault.effect if fault else ""
        status = 0 if response.drop == "connection" else response.status
        at = arrived.timestamp()
        self.log.append(Logged(at, request.method, path, route, status, response.drop, effect))
        return response

    def _strike(self, fault: Fault, request: Request, path: str) -> Response:
        """Answer a request that a fault strikes."""
        if fault.effect == "expire_session":
            self.model.team.sessions.pop(gate.session_of(request) or "", None)
            return error_response(gate.lost_session(fault.form))
        if fault.effect == "apply_late":
            self._late.append(_Late(request, path, fault.after))
            return Response(drop="connection")
        effect = EFFECTS[fault.effect]
        assert effect is not None  # noqa: S101 - the two without one are above
        return effect(fault, lambda: self._answer(request, path))

    def _apply_late(self) -> None:
        """Let the late writes come closer, and apply those that have arrived."""
        for late in list(self._late):
            late.wait -= 1
            if late.wait <= 0:
                self._late.remove(late)
                self._answer(late.request, late.path)

    def _answer(self, request: Request, path: str) -> Response:
        try:
            return self._dispatch(request, path)
        except ApiError as error:
            return error_response(error)

    def _dispatch(self, request: Request, path: str) -> Response:
        if path == _LOGIN and request.method == "GET":
            return gate.open_session(self.model, request)
        gate.check_api_key(self.model, request)
        user = gate.current_user(self.model, self.traits, request)
        if path == _LOGOUT and request.method == "GET":
            self.model.team.sessions.pop(gate.session_of(request) or "", None)
            return OK
        found = find_route(ROUTES, request.method, path)
        if found is None:
            raise ApiError(NOT_FOUND, "No such method")
        route, args = found
        return route.answer(Call(self.model, self.traits, request, args, user))


def _without_base(path: str) -> str | None:
    for base in BASE_PATHS:
        if path.startswith(f"{base}/"):
            return path[len(base) :].rstrip("/")
    return None


def _route_name(method: str, path: str) -> str:
    if method == "GET" and path in (_LOGIN, _LOGOUT):
        return f"GET {path}"
    found = find_route(ROUTES, method, path)
    return found[0].name if found else f"{method} ?"
