from __future__ import annotations

from hisync.sandbox import Traits

from .client import Client, Clock


def test_history_names_every_change(client: Client, clock: Clock) -> None:
    item = client.ask("POST", "/item", title="Bread")
    clock.forward(60)
    client.model.update(
        item["id"],
        user=client.tariq,
        title="Rolls",
        end_date="2026-03-05T10:00:00.000+02:00",
        tags=["shop", "food"],
        time_track=True,
        permissions=[{"principal": "all", "level": 60}],
    )

    created, *units = client.ask("GET", "/item/history", id=str(item["id"]))

    assert (created["property_name"], created["property_type"]) == ("created", "VOID")
    assert created["user_name"] == client.ann.name
    assert "value" not in created
    assert {(each["user_id"], each["time"]) for each in units} == {
        (client.tariq.id, "2026-03-02T09:01:00.000+00:00")
    }
    changes = {each["property_name"]: (each["property_type"], each["value"]) for each in units}
    assert changes.pop("shared_with")[0] == "STRING"
    assert changes == {
        "title": ("STRING", "Rolls"),
        "end": ("DATE", "2026-03-05T08:00:00.000+00:00"),
        "tag": ("STRING", "shop, food"),
        "time_track": ("BOOLEAN", "true"),
    }


def test_history_of_an_unknown_item_is_not_found(client: Client) -> None:
    assert client.refusal("GET", "/item/history", id="5") == (404, 1)
    assert client.refusal("GET", "/item/history") == (400, 4)


def test_history_wrapped_and_shortened(client: Client) -> None:
    item = client.ask("POST", "/item", title="Bread")
    for color in (1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5):
        client.model.update(item["id"], user=client.ann, color=color)
    client.service.traits = Traits(history_wrapped=True, free_history=True)

    answer = client.ask("GET", "/item/history", id=str(item["id"]))

    assert list(answer) == ["history"]
    assert [each["value"] for each in answer["history"]] == list("3456712345")


def test_comments_show_in_the_item_and_its_history(client: Client, clock: Clock) -> None:
    item = client.model.create(user=client.ann, title="Bread")
    clock.forward(1)
    first = client.model.comment(item.id, user=client.tariq, message="Rye?")
    clock.forward(1)

    answer = client.ask(
        "POST", "/item/comment", id=str(item.id), message="Yes 🍞", userId=str(client.ann.id)
    )

    assert answer["time_create"] == "2026-03-02T09:00:02.000+00:00"
    (shown,) = client.ask("GET", "/item")
    assert (shown["last_comment_id"], shown["last_comment"]) == (answer["id"], "Yes 🍞")
    assert shown["last_comment_user_id"] == client.ann.id
    assert shown["last_comment_create_datetime"] == "2026-03-02T10:00:02.000+01:00"
    assert shown["version"] == 3
    units = client.ask("GET", "/item/history", id=str(item.id))[1:]
    assert [(each["id"], each["value"]) for each in units] == [
        (first.id, "Rye?"),
        (answer["id"], "Yes 🍞"),
    ]


def test_removed_comment_leaves_a_trace_and_the_one_before(client: Client) -> None:
    item = client.model.create(user=client.ann, title="Bread")
    first = client.model.comment(item.id, user=client.tariq, message="Rye?")
    second = client.model.comment(item.id, user=client.ann, message="Yes")

    form = {"id": str(second.id), "itemId": str(item.id)}
    assert client.ask("DELETE", "/item/comment", **form) == {"response_status": 0}

    assert client.ask("GET", "/item")[0]["last_comment_id"] == first.id
    units = client.ask("GET", "/item/history", id=str(item.id))
    assert units[-1]["property_name"] == "comment_deleted"
    assert "value" not in units[-1]
    assert client.refusal("DELETE", "/item/comment", **form) == (404, 1)

    client.model.delete_comment(first.id, user=client.ann)
    assert client.ask("GET", "/item")[0]["last_comment_id"] is None


def test_others_comments_take_the_highest_level(client: Client) -> None:
    item = client.model.create(
        user=client.tariq, title="His", permissions=[{"principal": "all", "level": 60}]
    )
    his = client.model.comment(item.id, user=client.tariq, message="Mine")
    mine = client.model.comment(item.id, user=client.ann, message="And mine")

    assert client.refusal("DELETE", "/item/comment", id=str(his.id)) == (403, 3)
    assert client.send("DELETE", "/item/comment", id=str(mine.id)).status == 200


def test_empty_and_long_comments_are_refused(client: Client) -> None:
    item = client.model.create(user=client.ann, title="Bread")

    assert client.refusal("POST", "/item/comment", id=str(item.id)) == (400, 4)
    form = {"id": str(item.id), "message": "x" * 10_001}
    assert client.refusal("POST", "/item/comment", **form) == (400, 25)
