"""A long answer that is used while it is being checked: for what it turns out to be."""

from __future__ import annotations

import json

import httpx
import pytest
from structlog.testing import capture_logs

from hisync.api import ItemsAnswer, LongItems, body, long_list
from hisync.errors import MirrorError, RetryLaterError, ServiceError

from .service import API_KEY, Service, connect, wire_item

ITEMS = [wire_item(number, title="x" * 300) for number in range(1, 31)]
STUB = {"id": 99, "changed": False}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything counts as long: a body of 2 kB, a part of 1 kB."""
    monkeypatch.setattr(body, "SHORT", 2000)
    monkeypatch.setattr(long_list, "PART", 1000)


def answer(text: str) -> httpx.Response:
    return httpx.Response(200, content=text.encode(), headers={"X-Cursor": "c"})


def titles(answer: ItemsAnswer) -> list[tuple[int, object]]:
    return [(item.id, item.values["title"]) for item in answer.items]


def test_the_items_are_given_out_before_all_was_read() -> None:
    def use(answer: ItemsAnswer) -> tuple[list[int], bool]:
        assert isinstance(answer.items, LongItems)
        assert not answer.items.checked
        return [item.id for item in answer.items], answer.items.checked

    text = json.dumps([*ITEMS, STUB])
    assert connect(Service(answer(text))).use_items(use) == (list(range(1, 31)), True)


def test_it_ends_as_an_answer_that_was_checked_before() -> None:
    kept: list[ItemsAnswer] = []

    def use(answer: ItemsAnswer) -> None:
        for _ in answer.items:
            pass
        kept.append(answer)

    api = connect(Service(answer(json.dumps([STUB, *ITEMS]))))
    api.use_items(use)
    whole = api.fetch_items()
    assert titles(kept[0]) == titles(whole)
    assert kept[0].ids == whole.ids == {*range(1, 31), 99}
    assert kept[0].unchanged(frozenset()) == whole.unchanged(frozenset()) == {99}
    assert kept[0].has_stubs
    assert kept[0].cursor == "c"


@pytest.mark.parametrize("place", [1, 17, 31, 61])
def test_what_cant_be_read_of_it_is_named_without_a_secret(place: int) -> None:
    elements = [*ITEMS, STUB, *ITEMS[:29], STUB]
    elements.insert(place - 1, wire_item(1) | {"id": f"x{API_KEY}"})
    api = connect(Service(answer(json.dumps(elements))))
    told = f"hiTask's list can't be read: element {place} has no readable id (id = \"x***\")"
    reads = (api.fetch_items, lambda: api.use_items(lambda answer: list(answer.items)))
    for read in reads:
        api.reset()
        with capture_logs() as logs, pytest.raises(RetryLaterError) as caught:
            read()
        assert caught.value.message == told
        assert [entry["message"] for entry in logs if entry["event"] == "api_error"] == [told]


NUMBERS: list[object] = [
    *(1, "2", 3.0, 0, -1, 2**63 - 1, -(2**63), 2**63, 2**64, True, None, "x", 0.5, []),
]
SAID: list[object] = [True, 0, None, "false", []]
ODD: list[object] = [
    *({"id": number, "changed": False} for number in NUMBERS),
    *({"id": 98, "changed": changed} for changed in SAID),
    *([], [1, 2], "ab", 5, None, {}, {"changed": False}, {"id": 98}, {"id": 98, "x": False}),
]


@pytest.mark.parametrize("element", ODD)
def test_what_names_an_item_does_so_in_a_short_answer_too(
    element: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> object:
        try:
            found = connect(Service(answer(text))).fetch_delta("c")
        except RetryLaterError as error:
            return str(error)
        return {*found.ids}, {*found.unchanged({99})}, titles(found)

    text = json.dumps([STUB, element, *ITEMS, element, STUB])
    long = told()
    monkeypatch.setattr(body, "SHORT", 10**6)
    assert long == told()


def test_whoever_asks_for_the_numbers_in_between_is_told_all() -> None:
    """It is read to its end by that, and the reading under way goes on where it was."""

    def use(answer: ItemsAnswer) -> list[int]:
        found: list[int] = []
        for item in answer.items:
            if not found:
                assert 30 in answer.ids
                assert 31 not in answer.ids
                assert len(answer.ids) == 31
                assert answer.ids & {30, 31} == {30}
            found.append(item.id)
        return found

    text = json.dumps([*ITEMS, STUB])
    assert connect(Service(answer(text))).use_items(use) == list(range(1, 31))


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ITEMS)[:-1],
        json.dumps(ITEMS)[:-200],
        json.dumps(ITEMS) + "]",
        json.dumps([*ITEMS, None]),
        json.dumps([*ITEMS, {"title": "no id"}]),
        json.dumps([*ITEMS, {"id": 31, "changed": True}]),
    ],
)
def test_a_fault_at_its_end_is_the_requests(text: str) -> None:
    given: list[int] = []
    settled: list[ServiceError | None] = []

    def use(answer: ItemsAnswer) -> None:
        given.extend(item.id for item in answer.items)

    def settle(cause: str, error: ServiceError | None) -> None:
        if cause == "full":
            settled.append(error)

    api = connect(Service(answer(text)), settle=settle)
    with capture_logs() as logs, pytest.raises(RetryLaterError) as caught:
        api.use_items(use)
    assert given
    assert settled == [caught.value]
    assert [(entry["event"], entry["path"]) for entry in logs] == [("api_error", "/item")]
    with pytest.raises(RetryLaterError):
        api.fetch_items()  # as it is where it is checked first


def test_of_an_item_that_shows_twice_the_last_one_counts() -> None:
    begun: list[bool] = []

    def use(answer: ItemsAnswer) -> list[tuple[int, object]]:
        begun.append(isinstance(answer.items, LongItems))
        return titles(answer)

    twice = [*ITEMS, wire_item(7, title="later")]
    api = connect(Service(answer(json.dumps(twice))))
    shown = api.use_items(use)
    assert begun == [True, False]
    assert len(shown) == 30
    assert dict(shown)[7] == "later"
    assert shown == titles(api.fetch_items())


def test_an_error_of_whoever_uses_it_is_not_the_requests() -> None:
    settled: list[tuple[str, ServiceError | None]] = []

    def use(answer: ItemsAnswer) -> None:
        next(iter(answer.items))
        raise MirrorError("no room")

    api = connect(Service(answer(json.dumps(ITEMS))), settle=lambda *what: settled.append(what))
    with capture_logs() as logs, pytest.raises(MirrorError):
        api.use_items(use)
    assert len(api.fetch_items().items) == 30
    assert logs == []
    assert settled == [("login", None), ("full", None), ("full", None)]


def test_the_service_is_well_again_though_its_answer_could_not_be_used() -> None:
    def use(_: ItemsAnswer) -> None:
        raise MirrorError("no room")

    broken = httpx.Response(503)
    api = connect(Service(broken, answer(json.dumps(ITEMS)), broken))
    told = []
    for kind in (ServiceError, MirrorError, ServiceError):
        with capture_logs() as logs, pytest.raises(kind):
            api.use_items(use)
        told.append([entry["log_level"] for entry in logs])
    assert told == [["warning"], [], ["warning"]]
