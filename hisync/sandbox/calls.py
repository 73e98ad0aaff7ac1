"""One request on its way to an endpoint, and the table that finds the endpoint.

Public: `Call`, `Route`, `find_route`, `OK`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hisync.sandbox.errors import PARAMETER_MISSING, ApiError
from hisync.sandbox.messages import Request, Response, json_response
from hisync.sandbox.model import Model
from hisync.sandbox.records import User
from hisync.sandbox.traits import Traits

OK = json_response({"response_status": 0})


@dataclass(frozen=True, slots=True)
class Call:
    """What an endpoint gets: the request, its path's variable parts, and who asks."""

    model: Model
    traits: Traits
    request: Request
    args: tuple[str, ...]
    user: User

    def need(self, name: str) -> str:
        """Return a mandatory parameter."""
        value = self.request.param(name)
        if not value:
            raise ApiError(PARAMETER_MISSING, f"Parameter {name} is mandatory")
        return value


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint: `{}` in the pattern is one variable part of the path."""

    method: str
    pattern: str
    answer: Callable[[Call], Response]

    @property
    def name(self) -> str:
        """What requests to this endpoint are counted under."""
        return f"{self.method} {self.pattern}"

    def match(self, method: str, path: str) -> tuple[str, ...] | None:
        """Return the variable parts if the request is for this endpoint."""
        parts, wanted = path.split("/"), self.pattern.split("/")
        if method != self.method or len(parts) != len(wanted):
            return None
        pairs = list(zip(wanted, parts, strict=True))
        if any(want not in ("{}", part) or not part for want, part in pairs[1:]):
            return None
        return tuple(part for want, part in pairs if want == "{}")


def find_route(
    routes: Iterable[Route], method: str, path: str
) -> tuple[Route, tuple[str, ...]] | None:
    """Find the first route that matches; literal ones stand before variable ones."""
    for route in routes:
        args = route.match(method, path)
        if args is not None:
            return route, args
    return None
