from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from hisync.sandbox import API_KEY, LOGIN, PASSWORD, SandboxTransport

from .client import Client


@pytest.fixture
def http(client: Client) -> Iterator[httpx.Client]:
    transport = SandboxTransport(client.service)
    base = "https://hitask.example/api/"
    with httpx.Client(transport=transport, base_url=base, headers=client.headers) as http:
        yield http


def test_forms_and_queries_arrive_as_sent(http: httpx.Client, client: Client) -> None:
    title = "50% — “ä&b=c” +1 🙂"

    item = http.post("item", params={"api_key": API_KEY}, data={"title": title, "tags": '["x"]'})

    assert item.json()["title"] == title
    assert item.json()["tags"] == ["x"]
    assert http.get("item").headers["x-cursor"] == str(client.model.latest)


def test_login_through_httpx(http: httpx.Client) -> None:
    params = {"api_key": API_KEY, "login": LOGIN, "password": PASSWORD}

    session = http.get("user/authenticate", params=params).json()["session_id"]

    assert http.get("user", headers={"X-Hi-Session": session}).json()["login"] == LOGIN


def test_lost_connections_are_httpx_errors(http: httpx.Client, client: Client) -> None:
    client.service.faults.add("GET /item:drop_before", "GET /item:drop_midway")

    with pytest.raises(httpx.ReadError):
        http.get("item")
    with pytest.raises(httpx.RemoteProtocolError):
        http.get("item")
    assert http.get("item").json() == []


def test_slow_answers_wait_in_the_given_way(client: Client) -> None:
    waited: list[float] = []
    client.service.faults.add("GET /user:slow=30")

    with httpx.Client(transport=SandboxTransport(client.service, waited.append)) as http:
        http.get("https://hitask.example/api/user", headers=client.headers)

    assert waited == [30.0]
