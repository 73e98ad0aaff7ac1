from __future__ import annotations

from uuid import uuid4

import orjson
import pytest

from hisync.sandbox import Service, Traits, seeded_model
from hisync.sandbox.wire import BLANK

from .client import Client, Clock


def test_new_item_has_the_whole_wire_shape(client: Client) -> None:
    guid = str(uuid4())

    item = client.ask("POST", "/item", guid=guid, title="Bread", due_date="")

    assert list(item) == list(BLANK)
    assert (item["guid"], item["title"], item["version"], item["category"]) == (guid, "Bread", 1, 1)
    assert (item["parent"], item["assignee"], item["priority"]) == (0, 0, 20000)
    assert item["permission"] == 100
    assert {"level": 100, "principal": str(client.ann.id)} in item["permissions"]
    assert item["time_create"] == "2026-03-02T09:00:00.000+00:00"
    assert item["message"] is item["due_date"] is item["changed"] is None


def test_full_read_shows_what_the_user_can_see(client: Client) -> None:
    hidden = client.model.create(
        user=client.tariq, title="Surprise", permissions=[{"principal": "all", "level": 0}]
    )
    shared = client.model.create(user=client.tariq, title="Cake")

    response = client.send("GET", "/item")

    assert [each["id"] for each in orjson.loads(response.body)] == [shared.id]
    assert response.headers["X-Cursor"] == str(shared.modified)
    assert client.refusal("PUT", f"/item/{hidden.id}", title="x") == (404, 1)


def test_delta_shows_changes_whole_and_the_rest_as_stubs(client: Client) -> None:
    old = client.model.create(user=client.ann, title="Old")
    changed = client.model.create(user=client.ann, title="Milk")
    gone = client.model.create(user=client.ann, title="Gone")
    cursor = client.send("GET", "/item").headers["X-Cursor"]
    client.model.update(changed.id, user=client.tariq, title="Oat milk")
    client.model.delete(gone.id, user=client.tariq)

    response = client.send("GET", f"/item/delta/{cursor}")
    stub, whole = orjson.loads(response.body)

    assert stub == {"id": old.id, "changed": False}
    assert (whole["id"], whole["title"], whole["changed"]) == (changed.id, "Oat milk", True)
    assert None not in whole.values()
    assert "due_date" not in whole
    assert int(response.headers["X-Cursor"]) > int(cursor)


def test_no_change_within_one_millisecond_is_missed(client: Client) -> None:
    first = client.model.create(user=client.ann, title="a")
    cursor = client.send("GET", "/item").headers["X-Cursor"]
    second = client.model.create(user=client.ann, title="b")

    answer = client.ask("GET", f"/item/delta/{cursor}")

    assert [(each["id"], each["changed"]) for each in answer] == [
        (first.id, False),
        (second.id, True),
    ]


@pytest.mark.parametrize("cursor", ["yesterday", "-1", "99999999999999", "9" * 30])
def test_unknown_cursor_is_refused(client: Client, cursor: str) -> None:
    assert client.refusal("GET", f"/item/delta/{cursor}") == (400, 5)


def test_put_changes_only_what_was_sent(client: Client, clock: Clock) -> None:
    item = client.ask("POST", "/item", title="Bread", message="rye", time_est="90")
    clock.forward(5)

    changed = client.ask("PUT", f"/item/{item['id']}", id=str(item["id"]), completed="1")

    assert changed["completed"] is True
    assert changed["version"] == 2
    assert changed["time_last_update"] == "2026-03-02T09:00:05.000+00:00"
    assert changed["last_transition_user"] == client.ann.id
    assert (changed["title"], changed["message"], changed["time_est"]) == ("Bread", "rye", 90)


def test_put_that_changes_nothing_keeps_the_version(client: Client) -> None:
    item = client.ask("POST", "/item", title="Bread")

    assert client.ask("PUT", f"/item/{item['id']}", title="Bread") == item


def test_put_finds_the_item_by_guid(client: Client) -> None:
    item = client.ask("POST", "/item", title="Bread")

    assert client.ask("PUT", "/item", guid=item["guid"], title="Rolls")["title"] == "Rolls"
    assert client.refusal("PUT", "/item", title="Rolls") == (400, 104)


def test_values_are_cleared_as_documented(client: Client) -> None:
    item = client.ask(
        "POST",
        "/item",
        title="Bread",
        message="rye",
        due_date="2026-03-05T10:00:00.000+02:00",
        tags='["shop"]',
        participants=f"[{client.tariq.id}]",
        assignee=str(client.tariq.id),
        time_est="30",
        location='{"address":"Hill Street"}',
    )
    assert item["location"] == {"address": "Hill Street"}
    assert item["participants"] == [client.tariq.id]

    cleared = client.ask(
        "PUT",
        f"/item/{item['id']}",
        message="null",
        due_date="",
        tags="[]",
        participants="[]",
        assignee="0",
        time_est="null",
        location="null",
    )

    assert cleared["assignee"] == 0
    names = ("message", "due_date", "tags", "participants", "time_est", "location")
    assert {cleared[name] for name in names} == {None}


def test_dates_are_answered_in_the_zone_of_the_account(client: Client) -> None:
    item = client.ask(
        "POST",
        "/item",
        title="Lunch",
        start_date="2026-03-05T10:00:00.000+00:00",
        end_date="2026-07-05T10:00:00.000Z",
    )

    assert item["start_date"] == "2026-03-05T11:00:00.000+01:00"
    assert item["end_date"] == "2026-07-05T12:00:00.000+02:00"
    assert item["time_last_update"].endswith("+00:00")


def test_parent_by_id_and_by_guid(client: Client) -> None:
    project = client.ask("POST", "/item", title="Fair", newProject="true", short_name="FAIR")
    first = client.ask("POST", "/item", title="Tent", parent=str(project["id"]))
    second = client.ask("POST", "/item", title="Music", parentGuid=project["guid"])

    assert project["category"] == 0
    assert first["parentGuid"] == project["guid"]
    assert second["parent"] == project["id"]
    assert (first["issue_id"], second["issue_id"]) == ("FAIR-1", "FAIR-2")
    assert client.ask("PUT", f"/item/{first['id']}", parent="0")["parentGuid"] is None


def test_one_occurrence_is_completed(client: Client) -> None:
    item = client.ask(
        "POST", "/item", title="Water", recurring="1", start_date="2026-03-02T08:00:00.000+00:00"
    )
    assert item["instances"] == []

    done = client.ask(
        "PUT",
        f"/item/{item['id']}",
        completed="true",
        instance_date_time="2026-03-03T08:00:00.000+00:00",
    )

    assert done["completed"] is False
    assert done["instances"][0]["start_date_time"] == "2026-03-03T09:00:00.000+01:00"


def test_cascade_completes_the_children(client: Client) -> None:
    top = client.model.create(user=client.ann, title="Top")
    child = client.model.create(user=client.ann, title="Child", parent=top.id)

    client.ask("PUT", f"/item/{top.id}", completed="true", cascade="1")

    assert client.model.item(child.id).get("completed") is True


def test_old_version_is_refused_as_stale(client: Client) -> None:
    item = client.ask("POST", "/item", title="Bread")
    client.model.update(item["id"], user=client.tariq, title="Rolls")

    assert client.refusal("PUT", f"/item/{item['id']}", version="1", color="2") == (412, 10)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({}, (400, 4)),
        ({"title": " "}, (400, 4)),
        ({"title": "x" * 257}, (400, 25)),
        ({"message": "x" * 10_001}, (400, 25)),
        ({"due_date": "tomorrow"}, (400, 5)),
        ({"due_date": "2026-02-30T10:00:00.000+00:00"}, (400, 5)),
        ({"due_date": "2026-02-20T10:00:00"}, (400, 5)),
        ({"parent": "5"}, (400, 6)),
        ({"parentGuid": "no-such-guid"}, (400, 6)),
        ({"color": "8"}, (400, 6)),
        ({"color": "red"}, (400, 5)),
        ({"category": "3"}, (400, 6)),
        ({"completed": "maybe"}, (400, 5)),
        ({"completed": "null"}, (400, 5)),
        ({"recurring_interval": "0"}, (400, 47)),
        ({"time_est": "1.5"}, (400, 5)),
        ({"time_spent": "-1"}, (400, 6)),
        ({"assignee": "1"}, (400, 6)),
        ({"participants": "[1]"}, (400, 24)),
        ({"tags": "a,b"}, (400, 5)),
        ({"tags": "[1]"}, (400, 5)),
        ({"short_name": "FAIR"}, (400, 6)),
        ({"category": "0", "short_name": "too long 1"}, (400, 6)),
        ({"permissions": '[{"principal":"nobody","level":10}]'}, (400, 6)),
        ({"guid": "not-a-guid"}, (400, 5)),
    ],
)
def test_wrong_values_are_refused(
    client: Client, form: dict[str, str], expected: tuple[int, int]
) -> None:
    form = {"title": "Bread", **form} if form else form

    assert client.refusal("POST", "/item", **form) == expected
    assert client.model.items() == []


def test_short_names_are_unique(client: Client) -> None:
    client.ask("POST", "/item", title="Fair", category="0", short_name="FAIR")

    form = {"title": "Other", "category": "0", "short_name": "FAIR"}
    assert client.refusal("POST", "/item", **form) == (400, 80)


def test_item_can_not_move_into_itself(client: Client) -> None:
    top = client.model.create(user=client.ann, title="Top")
    child = client.model.create(user=client.ann, title="Child", parent=top.id)

    assert client.refusal("PUT", f"/item/{top.id}", parent=str(child.id)) == (400, 6)
    assert client.refusal("PUT", f"/item/{top.id}", parent=str(top.id)) == (400, 6)


@pytest.mark.parametrize(
    ("level", "form"),
    [
        (40, {"assignee": "190960"}),
        (50, {"completed": "true"}),
        (50, {"time_spent": "30"}),
        (60, {"title": "Mine"}),
        (60, {"due_date": "2026-03-05T10:00:00.000+00:00"}),
        (70, {"permissions": '[{"principal":"all","level":10}]'}),
    ],
)
def test_each_change_takes_its_level(client: Client, level: int, form: dict[str, str]) -> None:
    for mine, expected in ((level - 10, 403), (level, 200)):
        item = client.model.create(
            user=client.tariq, title="His", permissions=[{"principal": "all", "level": mine}]
        )
        response = client.send("PUT", f"/item/{item.id}", **form)
        assert response.status == expected, response.body
        if expected == 403:
            assert orjson.loads(response.body)["response_status"] == 3
            assert item.version == 1


@pytest.mark.parametrize(
    ("level", "method", "path"),
    [
        (20, "POST", "/item/comment"),
        (80, "POST", "/item/archive"),
        (100, "DELETE", "/item/{}"),
    ],
)
def test_each_action_takes_its_level(client: Client, level: int, method: str, path: str) -> None:
    for mine, expected in ((level - 10, 403), (level, 200)):
        item = client.model.create(
            user=client.tariq, title="His", permissions=[{"principal": "all", "level": mine}]
        )
        form = {"id": str(item.id), "message": "Hello"}
        assert client.send(method, path.format(item.id), **form).status == expected


def test_sub_items_take_level_30_on_the_parent(client: Client) -> None:
    for mine, expected in ((20, 403), (30, 200)):
        item = client.model.create(
            user=client.tariq, title="His", permissions=[{"principal": "all", "level": mine}]
        )
        assert client.send("POST", "/item", title="Sub", parent=str(item.id)).status == expected


def test_delete_lifts_the_children_or_takes_them_along(client: Client) -> None:
    top = client.model.create(user=client.ann, title="Top")
    middle = client.model.create(user=client.ann, title="Middle", parent=top.id)
    leaf = client.model.create(user=client.ann, title="Leaf", parent=middle.id)

    assert client.ask("DELETE", f"/item/{top.id}") == {"response_status": 0}
    assert (middle.parent, middle.version) == (0, 2)
    assert (leaf.parent, leaf.version) == (middle.id, 1)

    client.ask("DELETE", f"/item/{middle.guid}", cascade="true")
    assert client.model.items() == []
    assert client.refusal("DELETE", f"/item/{middle.id}") == (404, 1)


def test_archive_and_restore(client: Client) -> None:
    top = client.model.create(user=client.ann, title="Top", message="kept")
    child = client.model.create(user=client.ann, title="Child", parent=top.id)

    client.ask("POST", "/item/archive", id=str(top.id), cascade="true")
    assert client.ask("GET", "/item") == []
    assert client.refusal("POST", "/item/archive", id=str(top.id)) == (404, 1)

    copy = client.ask("GET", "/archive/restorecopy", id=str(top.id))
    assert (copy["title"], copy["message"], copy["version"]) == ("Top", "kept", 1)
    assert copy["guid"] != top.guid

    back = client.ask("GET", "/archive/restore", guid=top.guid)
    assert (back["id"], back["version"]) == (top.id, 3)
    assert {each["id"] for each in client.ask("GET", "/item")} == {copy["id"], top.id, child.id}
    assert client.refusal("GET", "/archive/restore", id=str(top.id)) == (404, 1)
    units = client.ask("GET", "/item/history", id=str(top.id))
    assert [each["property_name"] for each in units] == ["created", "archived", "restored"]


def test_multiple_skips_what_is_not_allowed(client: Client) -> None:
    his = client.model.create(
        user=client.tariq, title="His", permissions=[{"principal": "all", "level": 60}]
    )
    mine = [client.model.create(user=client.ann, title=str(each)) for each in range(3)]

    ids = ",".join(str(each.id) for each in (mine[0], his, mine[1]))
    assert client.ask("POST", "/item/deletemultiple", id=ids) == {"response_status": 0}
    client.ask("POST", "/item/archivemultiple", id=f"{his.id},{mine[2].id},77")

    assert [item.id for item in client.model.items()] == [his.id]
    assert list(client.model.store.archived) == [mine[2].id]


def test_two_clients_with_one_seed_see_the_same(clock: Clock) -> None:
    answers = []
    for _ in range(2):
        client = Client(Service(seeded_model(30, clock=clock), Traits()))
        client.log_in()
        client.ask("POST", "/item", title="New")
        answers.append(client.send("GET", "/item").body)

    assert answers[0] == answers[1]
