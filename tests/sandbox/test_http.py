from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import httpx
import pytest

from hisync.sandbox import API_KEY, LOGIN, PASSWORD, Running, running


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Running]:
    with running(items=20) as sandbox:
        yield sandbox


@pytest.fixture
def http(sandbox: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.base_url) as http:
        params = {"api_key": API_KEY, "login": LOGIN, "password": PASSWORD}
        session = http.get("/user/authenticate", params=params).json()["session_id"]
        http.headers["x-hi-session"] = session
        yield http
    sandbox.service.settle()


def test_round_over_real_http(sandbox: Running, http: httpx.Client) -> None:
    full = http.get("/item")
    new = http.post("/item", data={"title": "Über HTTP 🙂"}).json()
    sandbox.model.update(new["id"], user=sandbox.model.users[1], color=5)

    answer = http.get(f"/item/delta/{full.headers['X-Cursor']}").json()

    assert sandbox.base_url.endswith("/api")
    assert next(each for each in answer if each["changed"])["title"] == "Über HTTP 🙂"
    assert http.delete(f"/item/{new['id']}").json() == {"response_status": 0}
    assert http.put(f"/item/{new['id']}", data={"color": "1"}).status_code == 404


@pytest.mark.parametrize("effect", ["drop_before", "drop_after", "drop_midway"])
def test_lost_connections(
    sandbox: Running, http: httpx.Client, effect: str, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.service.faults.add(f"GET /item:{effect}")

    with (
        caplog.at_level(logging.WARNING),
        pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)),
    ):
        http.get("/item")

    assert caplog.records == []
    assert len(http.get("/item").json()) == 20


def test_odd_bodies(sandbox: Running, http: httpx.Client) -> None:
    sandbox.service.faults.add("GET /item:cut", "GET /item:empty", "GET /item:slow=0")

    with pytest.raises(ValueError, match="line 1"):
        http.get("/item").json()
    assert http.get("/item").content == b""
    assert len(http.get("/item").json()) == 20


def test_colleague_with_curl(sandbox: Running, http: httpx.Client) -> None:
    control = sandbox.base_url.removesuffix("/api") + "/sandbox"

    item = http.post(f"{control}/items", json={"title": "From Tariq", "tags": ["x"]}).json()
    assert item["user_id"] == sandbox.model.users[1].id

    changed = http.put(
        f"{control}/items/{item['id']}", json={"title": "Again", "user": LOGIN}
    ).json()
    assert (changed["title"], changed["version"]) == ("Again", 2)

    comment = http.post(f"{control}/comments", json={"id": item["id"], "message": "Hm"}).json()
    assert sandbox.model.item(item["id"]).get("last_comment_id") == comment["id"]

    assert http.delete(f"{control}/items/{item['id']}").status_code == 200
    assert http.delete(f"{control}/items/{item['id']}").status_code == 404


def test_faults_and_traits_with_curl(sandbox: Running, http: httpx.Client) -> None:
    control = sandbox.base_url.removesuffix("/api") + "/sandbox"
    sandbox.service.reset_log()

    faults = [{"effect": "status", "path": "/item", "status": 500}, "GET /user:drop_before:0"]
    assert len(http.post(f"{control}/faults", json=faults).json()) == 2
    assert http.get("/item").status_code == 500
    http.put(f"{control}/traits", json={"stubs": False})

    state = http.get(f"{control}/state").json()
    assert state["items"] == 20
    assert state["requests"] == {"GET /item": 1}
    assert state["last_requests"][0]["status"] == 500
    assert abs(state["last_requests"][0]["at"] - time.time()) < 60
    http.get("/tag")
    assert len(http.get(f"{control}/state?last=1").json()["last_requests"]) == 1
    assert len(http.get(f"{control}/state?last=2").json()["last_requests"]) == 2
    assert [each["effect"] for each in state["faults"]] == ["drop_before"]
    assert state["traits"]["stubs"] is False
    assert API_KEY not in str(state)
    assert http.headers["x-hi-session"] not in str(state)

    assert http.delete(f"{control}/faults").json() == []
    assert http.put(f"{control}/traits", json={"stubs": True}).json()["stubs"] is True


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "faults", '["x"]'),
        ("POST", "faults", "[5]"),
        ("POST", "faults", "no json"),
        ("PUT", "traits", '{"speed": 1}'),
        ("POST", "items", '{"title": 5}'),
        ("POST", "items", '{"nonsense": 5}'),
        ("POST", "items", "[]"),
        ("POST", "items", '{"title": "x", "user": "nobody"}'),
        ("GET", "nonsense", ""),
    ],
)
def test_wrong_control_requests_are_refused(
    sandbox: Running, http: httpx.Client, method: str, path: str, body: str
) -> None:
    url = f"{sandbox.base_url.removesuffix('/api')}/sandbox/{path}"

    response = http.request(method, url, content=body)

    assert 400 <= response.status_code < 500
    assert response.json()["error_message"]


def test_two_sandboxes_side_by_side() -> None:
    with running(items=1) as one, running(items=2) as other:
        assert one.base_url != other.base_url
        counts = [
            httpx.get(each.base_url.removesuffix("/api") + "/sandbox/state").json()["items"]
            for each in (one, other)
        ]
    assert counts == [1, 2]
    with pytest.raises(httpx.ConnectError):
        httpx.get(one.base_url)
