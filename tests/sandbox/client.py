"""A plain client of the sandbox, for its tests: as naive as a person with curl."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from hisync.sandbox import API_KEY, LOGIN, PASSWORD, Model, Request, Response, Service, User


@dataclass
class Clock:
    """A clock that only moves when told."""

    now: datetime = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Client:
    """Sends requests as one user and reads the answers."""

    service: Service
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def model(self) -> Model:
        return self.service.model

    @property
    def ann(self) -> User:
        return self.model.users[0]

    @property
    def tariq(self) -> User:
        return self.model.users[1]

    def log_in(self, login: str = LOGIN, password: str = PASSWORD, key: str = API_KEY) -> Response:
        query = {"api_key": key, "login": login, "password": password}
        response = self.service.handle(Request("GET", "/api/user/authenticate", query))
        if response.status == 200 and not response.drop:
            self.headers = {"x-hi-session": orjson.loads(response.body)["session_id"]}
        return response

    def send(self, method: str, path: str, **form: str) -> Response:
        query = form if method == "GET" else {}
        body = {} if method == "GET" else form
        return self.service.handle(Request(method, f"/api{path}", query, body, self.headers))

    def ask(self, method: str, path: str, **form: str) -> Any:
        response = self.send(method, path, **form)
        assert response.status == 200, response.body
        return orjson.loads(response.body)

    def refusal(self, method: str, path: str, **form: str) -> tuple[int, int]:
        return refusal(self.send(method, path, **form))


def refusal(response: Response) -> tuple[int, int]:
    """Return the HTTP status and the code of a refusal."""
    body = orjson.loads(response.body)
    assert body["error_message"]
    return response.status, body["response_status"]
