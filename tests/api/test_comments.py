"""Histories and comments as the client reads and sends them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from hisync.api.history import Posted
from hisync.comment import Unit
from hisync.errors import RetryLaterError

from .service import ACCOUNT, API_KEY, Service, connect

WIRE = {
    "id": 14019393,
    "user_id": 191049,
    "user_name": " Tariq Aziz ",
    "property_type": "STRING",
    "property_name": "comment",
    "time": "2017-07-03T16:35:00.000+02:00",
    "value": "No! I am not!",
}
UNIT = Unit(
    14019393, 191049, "Tariq Aziz", "comment", datetime(2017, 7, 3, 14, 35), "No! I am not!"
)


@pytest.mark.parametrize("payload", [[WIRE, WIRE], {"history": [WIRE, WIRE]}])
def test_the_history_comes_in_two_forms(payload: Any) -> None:
    service = Service(payload)
    assert connect(service).fetch_history(7) == [UNIT, UNIT]
    assert dict(service.requests[-1].url.params) == {"id": "7", "api_key": API_KEY}


def test_what_a_unit_lacks_or_garbles_is_empty() -> None:
    odd = {"id": "12", "user_id": 0, "user_name": " ", "time": "yesterday", "value": ["x"]}
    assert connect(Service([{}, odd])).fetch_history(7) == [
        Unit(None, None, None, "", None, None),
        Unit(12, None, None, "", None, ["x"]),
    ]


def test_a_history_can_be_empty_but_not_nonsense() -> None:
    assert connect(Service({"history": None})).fetch_history(7) == []
    nonsense: list[Any] = [{"history": {"a": 1}}, [1], {"units": []}, {"response_status": 0}]
    for payload in nonsense:
        with pytest.raises(RetryLaterError):
            connect(Service(payload)).fetch_history(7)


def test_a_comment_is_sent_with_its_sender() -> None:
    service = Service({"id": 5, "time_create": "2026-03-02T10:00:00.123+01:00"})
    posted = connect(service).send_comment(7, "Ünï & 🎉\nü", ACCOUNT)
    assert posted == Posted(5, datetime(2026, 3, 2, 9, 0, 0, 123000))
    assert service.paths[-1] == "POST /item/comment"
    assert service.last_form == {"id": "7", "message": "Ünï & 🎉\nü", "userId": str(ACCOUNT)}


@pytest.mark.parametrize(
    ("payload", "posted"),
    [
        ({"id": "5"}, Posted(5, None)),
        ([{"id": 5, "time": "2026-03-02T09:00:00Z"}], Posted(5, datetime(2026, 3, 2, 9, 0))),
        ({"response_status": 0}, Posted(None, None)),
        ({"id": 5, "time_create": 17}, Posted(5, None)),
        ({"id": 7, "title": "T", "category": 1, "last_comment_id": 5}, Posted(None, None)),
    ],
)
def test_answers_to_a_comment(payload: Any, posted: Posted) -> None:
    service = Service(payload)
    assert connect(service).send_comment(7, "hello", None) == posted
    assert "userId" not in service.last_form


@pytest.mark.parametrize("payload", [[], {}, "x", None, {"id": None}, [1, 2]])
def test_an_answer_that_says_nothing_is_a_lost_one(payload: Any) -> None:
    with pytest.raises(RetryLaterError):
        connect(Service(payload)).send_comment(7, "hello", ACCOUNT)


def test_a_deletion_names_comment_and_item_wherever_a_server_may_look() -> None:
    service = Service({"response_status": 0})
    connect(service).send_comment_delete(5, 7)
    assert service.paths[-1] == "DELETE /item/comment"
    assert service.last_form == {"id": "5", "itemId": "7"}
    assert dict(service.requests[-1].url.params) == {"id": "5", "itemId": "7", "api_key": API_KEY}
