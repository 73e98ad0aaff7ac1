from __future__ import annotations

import hashlib

import orjson
import pytest

from hisync.sandbox import API_KEY, LOGIN, PASSWORD, Request, Traits, control

from .client import Client, Clock, refusal


def test_authenticate_answers_a_session_and_the_user(client: Client) -> None:
    answer = orjson.loads(client.log_in().body)

    assert answer["id"] == client.ann.id
    assert answer["email"] == LOGIN
    assert client.ask("GET", "/user")["id"] == client.ann.id


def test_password_as_md5_is_accepted(client: Client) -> None:
    digest = hashlib.md5(PASSWORD.encode(), usedforsecurity=False).hexdigest()

    assert client.log_in(password=digest).status == 200


@pytest.mark.parametrize(
    ("login", "password", "key", "expected"),
    [
        (LOGIN, "wrong", API_KEY, (403, 6)),
        ("nobody@example.com", PASSWORD, API_KEY, (403, 6)),
        (LOGIN, PASSWORD, "wrong", (401, 8)),
        (LOGIN, "", API_KEY, (400, 4)),
    ],
)
def test_wrong_logins_are_refused(
    client: Client, login: str, password: str, key: str, expected: tuple[int, int]
) -> None:
    assert refusal(client.log_in(login, password, key)) == expected


@pytest.mark.parametrize("base", ["/api", "/api/v5"])
@pytest.mark.parametrize("way", ["header", "cookie", "parameter"])
def test_session_is_accepted_in_each_form(client: Client, base: str, way: str) -> None:
    session = client.headers["x-hi-session"]
    headers = {"header": client.headers, "cookie": {"cookie": f"a=b; session_id={session}"}}
    query = {"session_id": session} if way == "parameter" else {}

    request = Request("GET", f"{base}/user", query, {}, headers.get(way, {}))

    assert client.service.handle(request).status == 200


@pytest.mark.parametrize(
    ("form", "expected"), [("401", (401, 7)), ("7", (403, 7)), ("4", (400, 4))]
)
def test_lost_session_shows_in_each_form(
    client: Client, form: str, expected: tuple[int, int]
) -> None:
    client.service.traits = Traits(session_answer=form)
    client.headers = {"x-hi-session": "unknown"}

    assert client.refusal("GET", "/item") == expected


def test_logout_ends_the_session(client: Client) -> None:
    assert client.ask("GET", "/user/logout") == {"response_status": 0}
    assert client.send("GET", "/item").status == 401


def test_session_expires(client: Client, clock: Clock) -> None:
    client.service.traits = Traits(session_seconds=60)
    clock.forward(59)
    assert client.send("GET", "/item").status == 200

    clock.forward(1)
    assert client.send("GET", "/item").status == 401


def test_api_key_is_checked_where_it_is_sent(client: Client) -> None:
    assert client.refusal("GET", "/item", api_key="wrong") == (401, 8)
    assert client.send("GET", "/item", api_key=API_KEY).status == 200


@pytest.mark.parametrize(
    ("answer", "expected"), [("429", (429, 67)), ("67", (403, 67)), ("87", (403, 87))]
)
def test_request_limit(
    client: Client, clock: Clock, answer: str, expected: tuple[int, int]
) -> None:
    client.service.traits = Traits(requests_per_minute=2, limit_answer=answer)
    client.ask("GET", "/item")
    clock.forward(20.5)
    client.ask("GET", "/item")

    response = client.send("GET", "/item")
    assert refusal(response) == expected
    assert response.headers.get("Retry-After") == ("40" if answer == "429" else None)

    clock.forward(39.5)
    client.ask("GET", "/item")
    assert client.send("GET", "/item").status == expected[0]


def test_log_holds_no_parameters(client: Client) -> None:
    client.send("GET", "/item", session_id="secret")

    logged = client.service.log[-1]
    assert (logged.method, logged.path, logged.status) == ("GET", "/item", 200)
    assert "secret" not in repr(client.service.log)
    assert PASSWORD not in repr(client.service.log)
    assert client.service.requests == {"GET /user/authenticate": 1, "GET /item": 1}


def test_other_paths_are_not_found(client: Client) -> None:
    assert client.refusal("GET", "/nonsense") == (404, 1)
    assert client.refusal("GET", "/item/5") == (404, 1)
    assert client.service.handle(Request("GET", "/elsewhere")).body.startswith(b"<!DOCTYPE")


def test_the_sandbox_says_which_paths_of_its_own_it_has(client: Client) -> None:
    said = orjson.loads(client.service.handle(Request("GET", "/sandbox")).body)
    there = {f"{m} /sandbox/{name}{'/ID' * args}" for m, name, args in control._ACTIONS if name}
    assert said.keys() - {"user"} == there
