from __future__ import annotations

import orjson
import pytest

from hisync.sandbox import EFFECTS, Fault, fault_from, faults, parse_fault

from .client import Client, refusal


def titles(client: Client) -> list[str]:
    return [item.title for item in client.model.items()]


def test_drop_before_applies_nothing(client: Client) -> None:
    client.service.faults.add("POST /item:drop_before")

    assert client.send("POST", "/item", title="Bread").drop == "connection"
    assert titles(client) == []
    assert client.send("POST", "/item", title="Bread").status == 200


@pytest.mark.parametrize(
    ("effect", "drop"), [("drop_after", "connection"), ("drop_midway", "body")]
)
def test_drop_after_applies_and_loses_the_answer(client: Client, effect: str, drop: str) -> None:
    client.service.faults.add(f"POST /item:{effect}")

    assert client.send("POST", "/item", title="Bread").drop == drop
    assert titles(client) == ["Bread"]


def test_status_with_code_and_retry_after(client: Client) -> None:
    client.service.faults.add(
        Fault("status", status=503, code=66, message="Overloaded", retry_after=7)
    )

    response = client.send("GET", "/item")

    assert refusal(response) == (503, 66)
    assert response.headers["Retry-After"] == "7"


def test_status_with_any_body(client: Client) -> None:
    client.service.faults.add(Fault("status", status=200, body='{"response_status": 100}'))

    assert client.ask("GET", "/item") == {"response_status": 100}


def test_html_page_instead_of_json(client: Client) -> None:
    client.service.faults.add("* *:html=502", "* *:html")

    for status in (502, 200):
        response = client.send("POST", "/item", title="Bread")
        assert response.status == status
        assert response.headers["Content-Type"].startswith("text/html")
    assert titles(client) == []


def test_empty_and_cut_bodies_of_applied_writes(client: Client) -> None:
    client.service.faults.add("POST /item:empty", "POST /item:cut")

    empty = client.send("POST", "/item", title="a")
    cut = client.send("POST", "/item", title="b")

    assert (empty.status, empty.body, cut.status) == (200, b"", 200)
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(cut.body)
    assert titles(client) == ["a", "b"]


def test_lists_that_are_empty_or_have_gaps(client: Client) -> None:
    ids = [client.model.create(user=client.ann, title=str(each)).id for each in range(4)]
    client.service.faults.add(
        "GET /item:empty_list", f"GET /item:missing_ids={ids[0]}+{ids[2]}", "GET /item:missing_ids"
    )

    assert client.ask("GET", "/item") == []
    assert [each["id"] for each in client.ask("GET", "/item")] == [ids[1], ids[3]]
    assert [each["id"] for each in client.ask("GET", "/item")] == ids[:2]
    assert [each["id"] for each in client.ask("GET", "/item")] == ids


@pytest.mark.parametrize(
    ("form", "expected"), [("401", (401, 7)), ("7", (403, 7)), ("4", (400, 4))]
)
def test_session_is_lost_until_the_next_login(
    client: Client, form: str, expected: tuple[int, int]
) -> None:
    client.service.faults.add(f"POST /item:expire_session={form}")

    assert client.refusal("POST", "/item", title="Bread") == expected
    assert client.send("POST", "/item", title="Bread").status == 401
    client.log_in()
    assert client.send("POST", "/item", title="Bread").status == 200
    assert titles(client) == ["Bread"]


def test_slow_answers_carry_their_delay(client: Client) -> None:
    client.service.faults.add("GET /item:slow=2.5")

    assert client.send("GET", "/item").delay == 2.5


def test_late_write_is_applied_when_more_requests_have_come(client: Client) -> None:
    client.service.faults.add("POST /item:apply_late=2")

    assert client.send("POST", "/item", title="Bread").drop == "connection"
    assert client.ask("GET", "/item") == []
    assert [each["title"] for each in client.ask("GET", "/item")] == ["Bread"]
    assert len(client.ask("GET", "/item")) == 1


def test_settling_applies_what_is_late_and_ends_all_faults(client: Client) -> None:
    client.service.faults.add("POST /item:apply_late=9:0")
    client.send("POST", "/item", title="Bread")

    client.service.settle()

    assert titles(client) == ["Bread"]
    assert client.send("POST", "/item", title="Rolls").status == 200


def test_nth_count_and_path_choose_the_requests(client: Client) -> None:
    client.service.faults.add(Fault("status", "GET", "/item*", nth=2, count=2))
    paths = ["/item", "/user", "/item/delta/0", "/item", "/item"]

    assert [client.send("GET", path).status for path in paths] == [200, 200, 503, 503, 200]
    assert client.service.faults.describe() == []


def test_count_zero_lasts_until_switched_off(client: Client) -> None:
    client.service.faults.add("* *:status:0")

    assert {client.send("GET", "/item").status for _ in range(20)} == {503}
    client.service.faults.clear()
    assert client.send("GET", "/item").status == 200


def test_first_fault_wins_and_the_next_one_waits(client: Client) -> None:
    client.service.faults.add("GET /item:status=500", "GET /item:status=404")

    assert [client.send("GET", "/item").status for _ in range(3)] == [500, 404, 200]


def test_struck_requests_are_logged(client: Client) -> None:
    client.service.faults.add("GET /item:drop_before")
    client.send("GET", "/item")

    logged = client.service.log[-1]
    assert (logged.route, logged.status, logged.drop) == ("GET /item", 0, "connection")
    assert logged.fault == "drop_before"


def test_short_texts() -> None:
    assert parse_fault("POST /item:drop_after:1") == Fault("drop_after", "POST", "/item")
    assert parse_fault("get /item/*:status=429:0") == Fault(
        "status", "GET", "/item/*", count=0, status=429
    )
    assert fault_from("* *:apply_late=3").after == 3
    assert fault_from({"effect": "missing_ids", "ids": [1, 2]}).ids == (1, 2)


@pytest.mark.parametrize("text", ["", "drop_after", "POST /item", "POST /item:drop_after:x", "x:y"])
def test_misshapen_texts_say_the_shape(text: str) -> None:
    with pytest.raises(ValueError, match=r"METHOD path:effect.*drop_before, drop_after"):
        parse_fault(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("POST /item:explode", "effects are: drop_before"),
        ("PATCH /item:cut", "methods are: "),
        ("POST /item:cut=3", "takes no detail"),
        ("POST /item:status=abc", "not a number"),
        ("POST /item:expire_session=500", "401, 7, 4"),
        ("POST /item:apply_late=0", "start at 1"),
    ],
)
def test_unknown_words_are_answered_with_the_known_ones(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_fault(text)


def test_faults_in_json_are_checked() -> None:
    with pytest.raises(ValueError, match=r"unknown: whom; a fault has: after, body"):
        fault_from({"effect": "cut", "whom": 1})
    with pytest.raises(ValueError, match="effect is missing"):
        fault_from({})
    for wrong in ({"count": "many"}, {"path": 5}, {"after": True}, {"ids": "1"}):
        with pytest.raises(ValueError, match="wrong type"):
            fault_from({"effect": "cut", **wrong})


def test_every_effect_is_documented() -> None:
    for effect in EFFECTS:
        assert f"\n    {effect} " in (faults.__doc__ or "")
