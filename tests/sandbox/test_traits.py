from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import orjson
import pytest

from hisync.sandbox import Traits, parse_trait, traits_from

from .client import Client

GUID = "0a1b2c3d-0000-4000-8000-000000000001"


def with_traits(client: Client, **changes: object) -> Client:
    client.service.traits = replace(client.service.traits, **changes)  # type: ignore[arg-type]
    return client


def test_server_without_a_delta(client: Client) -> None:
    assert with_traits(client, delta=False).refusal("GET", "/item/delta/0") == (404, 1)


def test_delta_without_stubs(client: Client) -> None:
    client.model.create(user=client.ann, title="a")
    cursor = client.send("GET", "/item").headers["X-Cursor"]
    changed = client.model.create(user=client.ann, title="b")

    answer = with_traits(client, stubs=False).ask("GET", f"/item/delta/{cursor}")

    assert [each["id"] for each in answer] == [changed.id]


def test_cursor_header(client: Client) -> None:
    assert "x-cursor" in with_traits(client, cursor_header="x-cursor").send("GET", "/item").headers
    assert list(with_traits(client, cursor=False).send("GET", "/item").headers) == ["Content-Type"]


def test_delta_with_nulls(client: Client) -> None:
    client.model.create(user=client.ann, title="a")

    (item,) = with_traits(client, nulls=True).ask("GET", "/item/delta/0")

    assert item["changed"] is True
    assert item["due_date"] is None


def test_put_that_needs_guid_and_title(client: Client) -> None:
    item = client.model.create(user=client.ann, title="a")
    with_traits(client, put_needs_guid_and_title=True)

    assert client.refusal("PUT", f"/item/{item.id}", color="2") == (400, 4)
    answer = client.ask("PUT", f"/item/{item.id}", color="2", guid=item.guid, title="a")
    assert answer["color"] == 2


@pytest.mark.parametrize(
    ("allowed", "expected"), [("id", (200, 404)), ("guid", (404, 200)), ("both", (200, 200))]
)
def test_delete_by_id_or_guid(client: Client, allowed: str, expected: tuple[int, int]) -> None:
    first, second = (client.model.create(user=client.ann, title=each) for each in "ab")
    with_traits(client, delete_by=allowed)

    by_id = client.send("DELETE", f"/item/{first.id}").status
    by_guid = client.send("DELETE", f"/item/{second.guid}").status

    assert (by_id, by_guid) == expected


def test_server_that_makes_its_own_guids(client: Client) -> None:
    with_traits(client, keeps_guid=False)

    guids = {client.ask("POST", "/item", title="a", guid=GUID)["guid"] for _ in range(2)}

    assert len(guids) == 2
    assert GUID not in guids


def test_repeated_guid_returns_the_item_that_exists(client: Client) -> None:
    first = client.ask("POST", "/item", title="a", guid=GUID)

    assert client.ask("POST", "/item", title="b", guid=GUID) == first


def test_repeated_guid_makes_a_second_item(client: Client) -> None:
    with_traits(client, repeated_guid="duplicates")

    first, second = (client.ask("POST", "/item", title=each, guid=GUID) for each in "ab")

    assert first["guid"] == second["guid"] == GUID
    assert first["id"] != second["id"]
    client.ask("DELETE", f"/item/{first['id']}")
    assert client.ask("PUT", "/item", guid=GUID, color="1")["id"] == second["id"]


def test_repeated_guid_is_refused(client: Client) -> None:
    with_traits(client, repeated_guid="refuses")
    client.ask("POST", "/item", title="a", guid=GUID)

    assert client.refusal("POST", "/item", title="b", guid=GUID) == (400, 6)


def test_writes_that_answer_no_item(client: Client) -> None:
    with_traits(client, answers_item=False)

    assert client.ask("POST", "/item", title="a", guid=GUID) == {"response_status": 0}
    assert client.ask("PUT", "/item", guid=GUID, title="b") == {"response_status": 0}
    assert client.ask("GET", "/item")[0]["title"] == "b"


def test_time_spent_that_can_not_be_written(client: Client) -> None:
    item = client.ask("POST", "/item", title="a")
    path = f"/item/{item['id']}"

    assert client.ask("PUT", path, time_spent="30")["time_spent"] == 30
    answer = with_traits(client, time_spent_writable=False).ask("PUT", path, time_spent="45")
    assert answer["time_spent"] == 30


def test_titles_are_kept_or_trimmed(client: Client) -> None:
    assert client.ask("POST", "/item", title=" a ")["title"] == " a "
    with_traits(client, trims_titles=True)
    assert client.ask("POST", "/item", title=" a ")["title"] == "a"


def test_messages_are_kept_or_trimmed(client: Client) -> None:
    assert client.ask("POST", "/item", title="a", message="m ")["message"] == "m "
    with_traits(client, trims_messages=True)
    assert client.ask("POST", "/item", title="a", message="m ")["message"] == "m"


def test_limit_of_titles(client: Client) -> None:
    assert client.send("POST", "/item", title="a" * 256).status == 200
    with_traits(client, title_limit=255)
    assert client.refusal("POST", "/item", title="a" * 256) == (400, 25)


def test_cursor_that_is_no_number(client: Client) -> None:
    with_traits(client, opaque_cursor=True)
    cursor = client.send("GET", "/item").headers["X-Cursor"]
    assert not cursor.isdecimal()

    created = client.ask("POST", "/item", title="a")

    (changed,) = client.ask("GET", f"/item/delta/{cursor}")
    assert (changed["id"], changed["changed"]) == (created["id"], True)
    assert client.refusal("GET", "/item/delta/17") == (400, 5)


@pytest.mark.parametrize(("orphans", "left"), [("lifted", {"child": 0}), ("deleted", {})])
def test_children_of_a_deleted_item(client: Client, orphans: str, left: dict[str, int]) -> None:
    parent = client.model.create(user=client.ann, title="parent")
    client.model.create(user=client.ann, title="child", parent=parent.id)
    with_traits(client, orphans=orphans)

    client.ask("DELETE", f"/item/{parent.id}")

    assert {each.title: each.parent for each in client.model.items()} == left


def test_a_parent_is_completed_with_its_last_child(client: Client) -> None:
    with_traits(client, completes_parents=True)
    top = client.model.create(user=client.ann, title="top")
    parent = client.model.create(user=client.ann, title="parent", parent=top.id)
    children = [client.model.create(user=client.ann, title=t, parent=parent.id) for t in "ab"]

    for child, completed in zip(children, (False, True), strict=True):
        client.ask("PUT", f"/item/{child.id}", completed="true")
        assert (parent.get("completed"), top.get("completed")) == (completed, completed)


def test_versions_that_jump(client: Client) -> None:
    with_traits(client, version_step=3)
    item = client.ask("POST", "/item", title="a")
    path = f"/item/{item['id']}"

    versions = [client.ask("PUT", path, title=each)["version"] for each in "abb"]

    assert (item["version"], versions) == (3, [3, 6, 6])


def test_dates_in_order(client: Client) -> None:
    early, late = "2026-03-05T10:00:00.000+00:00", "2026-03-06T10:00:00.000+00:00"
    item = client.ask("POST", "/item", title="a", start_date=late, end_date=early)
    with_traits(client, orders_dates=True)

    form = {"title": "b", "start_date": late, "end_date": early}
    assert client.refusal("POST", "/item", **form) == (400, 6)
    assert client.refusal("PUT", f"/item/{item['id']}", end_date=early) == (400, 6)
    assert client.send("PUT", f"/item/{item['id']}", start_date="").status == 200


def test_limit_of_items(client: Client) -> None:
    with_traits(client, items_limit=1)
    first = client.ask("POST", "/item", title="a", guid=GUID)

    assert client.refusal("POST", "/item", title="b", guid=str(uuid4())) == (507, 20)
    assert client.ask("POST", "/item", title="a", guid=GUID) == first
    client.ask("POST", "/item/archive", id=str(first["id"]))
    client.ask("POST", "/item", title="b")
    assert client.refusal("GET", "/archive/restore", id=str(first["id"])) == (507, 20)


def test_short_texts() -> None:
    assert parse_trait("repeated_guid=duplicates") == ("repeated_guid", "duplicates")
    assert parse_trait("free_history") == ("free_history", True)
    assert traits_from(["delta=no", "items_limit=5"]) == Traits(delta=False, items_limit=5)
    assert traits_from({"stubs": False}, Traits(delta=False)) == Traits(delta=False, stubs=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speed=9", "traits are: delta, stubs"),
        ("repeated_guid=explodes", "returns_existing, duplicates, refuses"),
        ("delta=perhaps", "true or false"),
        ("items_limit=many", "whole number"),
    ],
)
def test_unknown_words_are_answered_with_the_known_ones(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_trait(text)


def test_traits_are_json(client: Client) -> None:
    assert orjson.loads(orjson.dumps(client.service.traits))["repeated_guid"] == "returns_existing"


def test_how_the_history_shows_a_deleted_comment_is_a_trait(client: Client) -> None:
    item = client.model.create(user=client.ann, title="Bread")
    unit = client.model.comment(item.id, user=client.ann, message="Rye?")
    client.model.delete_comment(unit.id, user=client.ann)
    shown: dict[str, object] = {}
    for how in ("renamed", "named", "untraced"):
        with_traits(client, deleted_comments=how)
        units = client.ask("GET", "/item/history", id=str(item.id))[1:]
        shown[how] = [(u["id"], u["property_name"], u.get("value")) for u in units]
    assert shown == {
        "renamed": [(unit.id, "comment_deleted", None)],
        "named": [(-unit.id, "comment_deleted", str(unit.id))],
        "untraced": [],
    }


def test_comments_may_be_trimmed(client: Client) -> None:
    with_traits(client, trims_comments=True)
    item = client.model.create(user=client.ann, title="Bread")
    client.ask("POST", "/item/comment", id=str(item.id), message=" Rye? ")
    assert [unit.value for unit in client.model.comments(item.id)] == ["Rye?"]
