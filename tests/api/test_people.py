"""People, groups and tags as the client returns them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from hisync.errors import RetryLaterError, WrongAccountError

from .service import ACCOUNT, Service, connect

ANN = {
    "id": 190960,
    "login": "ann@example.com",
    "firstName": "Ann",
    "lastName": "Lindqvist",
    "fullName": "Ann Lindqvist",
    "email": "ann@example.com",
    "emailConfirmed": True,
    "accountType": "TEAM_BUSINESS",
    "level": 20,
    "businessId": 14207,
    "businessLevel": 100,
    "subscription": "SELF",
    "pictureHash": None,
    "isOnline": True,
}
FETCHES = ["contacts", "team", "groups", "tags"]


def fetch(name: str, payload: Any) -> Any:
    return getattr(connect(Service(httpx.Response(200, json=payload))), f"fetch_{name}")()


@pytest.mark.parametrize("name", ["contacts", "team"])
def test_people_come_by_the_columns_of_users(name: str) -> None:
    assert fetch(name, [ANN]) == [
        {
            "id": 190960,
            "login": "ann@example.com",
            "first_name": "Ann",
            "last_name": "Lindqvist",
            "full_name": "Ann Lindqvist",
            "email": "ann@example.com",
            "account_type": "TEAM_BUSINESS",
            "business_level": 100,
        }
    ]


def test_each_is_asked_for_where_it_is() -> None:
    service = Service([])
    with connect(service) as api:
        for name in FETCHES:
            getattr(api, f"fetch_{name}")()
    assert service.paths[1:] == ["GET /contact", "GET /team", "GET /group", "GET /tag"]
    assert dict(service.requests[1].url.params)["includeSelf"] == "1"


@pytest.mark.parametrize(
    ("wire", "full_name"),
    [
        ({"fullName": " Ann L. ", "firstName": "Ann", "lastName": "X"}, "Ann L."),
        ({"firstName": "Ann", "lastName": "Lindqvist"}, "Ann Lindqvist"),
        ({"fullName": "", "firstName": None, "lastName": "Lindqvist"}, "Lindqvist"),
        ({"fullName": None, "login": "ann", "email": "ann@example.com"}, "ann"),
        ({"email": "ann@example.com"}, "ann@example.com"),
        ({"fullName": {"x": 1}}, None),
    ],
)
def test_whoever_has_no_full_name_is_called_by_what_there_is(
    wire: dict[str, Any], full_name: str | None
) -> None:
    (person,) = fetch("contacts", [{"id": 7, **wire}])
    assert person["full_name"] == full_name


def test_a_field_that_cant_be_read_is_empty_and_an_element_without_a_number_is_left_out() -> None:
    people = [
        {"id": "8", "businessLevel": "12", "accountType": ["x"], "login": 5},
        {"id": 9, "businessLevel": "high"},
        {"id": None, "login": "invited@example.com"},
        {"login": "x"},
        {"id": True},
        "ann",
        None,
    ]
    found = [(p["id"], p["business_level"], p["login"]) for p in fetch("team", people)]
    assert found == [(8, 12, "5"), (9, None, None)]


def test_groups_come_by_their_columns() -> None:
    wire = {"id": "a-b", "name": "Office", "code": "office", "color": 3, "type": "1"}
    groups = fetch(
        "groups",
        [
            {**wire, "members": [1, "2", None, "x", 3.0]},
            {"id": 17, "members": None},
            {"name": "no id"},
        ],
    )
    assert groups == [
        {
            "id": "a-b",
            "name": "Office",
            "code": "office",
            "color": 3,
            "type": 1,
            "members": [1, 2, 3],
        },
        {"id": "17", "name": None, "code": None, "color": None, "type": None, "members": []},
    ]


@pytest.mark.parametrize(
    ("shared", "expected"),
    [(True, True), (0, False), ("1", True), ("FALSE", False), (None, None), ("maybe", None)],
)
def test_tags_come_by_their_columns(shared: Any, expected: bool | None) -> None:
    assert fetch("tags", [{"id": 501, "name": "zo’n", "shared": shared}, {"name": "x"}]) == [
        {"id": 501, "name": "zo’n", "shared": expected}
    ]


@pytest.mark.parametrize("name", FETCHES)
@pytest.mark.parametrize("payload", [{}, {"response_status": 0}, None, "x", {"contacts": []}])
def test_what_is_no_list_is_no_answer(name: str, payload: Any) -> None:
    with pytest.raises(RetryLaterError):
        fetch(name, payload)


@pytest.mark.parametrize("name", FETCHES)
def test_an_empty_list_is_an_answer(name: str) -> None:
    assert fetch(name, []) == []


def test_oneself_is_the_account() -> None:
    service = Service({**ANN, "fullName": None, "id": ACCOUNT})
    api = connect(service)
    assert (api.fetch_self()["id"], api.fetch_self()["full_name"]) == (ACCOUNT, "Ann Lindqvist")
    assert service.paths[1] == "GET /user"


def test_another_account_is_not_oneself() -> None:
    api = connect(Service({**ANN, "id": ACCOUNT + 1}))
    api.expected_account = ACCOUNT
    with pytest.raises(WrongAccountError):
        api.fetch_self()
