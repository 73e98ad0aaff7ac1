from __future__ import annotations

import pytest

from hisync.sandbox import Model, Service, seeded_model

from .client import Client, Clock

SOMEWHERE_FILLED = (
    "parentGuid",
    "short_name",
    "message",
    "tags",
    "participants",
    "start_date",
    "due_date",
    "time_est",
    "time_spent",
    "recurring_end_date",
    "file_size",
    "contact",
    "last_comment_id",
    "children",
)


def wires(model: Model) -> list[dict[str, object]]:
    return [model.wire(item, model.users[0]) for item in model.items()]


def test_team_without_items(clock: Clock) -> None:
    model = seeded_model(0, clock=clock)

    assert model.items() == []
    assert 5 <= len(model.users) <= 8
    assert model.user("ann@example.com") is model.users[0]


@pytest.mark.parametrize("count", [1, 2, 3, 1000])
def test_count_is_exact_and_the_same_every_time(clock: Clock, count: int) -> None:
    first, second = seeded_model(count, 7, clock), seeded_model(count, 7, clock)

    assert len(first.items()) == count
    assert wires(first) == wires(second)


def test_other_seeds_make_other_data(clock: Clock) -> None:
    assert wires(seeded_model(50, 1, clock)) != wires(seeded_model(50, 2, clock))


def test_thousand_items_have_something_of_everything(clock: Clock) -> None:
    model = seeded_model(1000, clock=clock)
    items = wires(model)

    assert {item["category"] for item in items} == {0, 1, 2, 4, 5, 7}
    assert {item["permission"] for item in items} >= {10, 20, 50, 60, 80, 100}
    assert {item["is_all_day"] for item in items} == {True, False, None}
    for name in SOMEWHERE_FILLED:
        assert any(item.get(name) for item in items), name
    ids = [item["id"] for item in items]
    assert all(isinstance(each, int) for each in ids)
    assert len(set(ids)) == len({item["guid"] for item in items}) == 1000
    assert min(each for each in ids if isinstance(each, int)) < 2**32
    assert max(each for each in ids if isinstance(each, int)) > 2**32


def test_all_day_items_begin_at_midnight_of_the_account(clock: Clock) -> None:
    starts = [
        str(item["start_date"])
        for item in wires(seeded_model(300, clock=clock))
        if item["is_all_day"]
    ]

    assert starts
    assert {start[10:23] for start in starts} == {"T00:00:00.000"}


def test_parents_are_there_and_stamps_differ(clock: Clock) -> None:
    model = seeded_model(500, clock=clock)

    stamps = [item.modified for item in model.items()]
    assert len(set(stamps)) == 500
    assert max(stamps) == model.latest
    for item in model.items():
        assert not item.parent or item.parent in model.store.live


def test_seeded_data_can_be_read_and_changed(clock: Clock) -> None:
    client = Client(Service(seeded_model(200, clock=clock)))
    client.log_in()
    items = client.ask("GET", "/item")
    cursor = client.send("GET", "/item").headers["X-Cursor"]

    mine = next(item for item in items if item["permission"] == 100)
    client.ask("PUT", f"/item/{mine['id']}", title="Changed")
    new = client.ask("POST", "/item", title="New")

    changed = [each for each in client.ask("GET", f"/item/delta/{cursor}") if each["changed"]]
    assert [each["id"] for each in changed] == [mine["id"], new["id"]]
    assert new["id"] > max(item["id"] for item in items)
