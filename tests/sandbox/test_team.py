from __future__ import annotations

from .client import Client


def test_account(client: Client) -> None:
    account = client.ask("GET", "/user")

    assert account["login"] == "ann@example.com"
    assert account["firstName"] == "Ann"
    assert client.ask("GET", "/user/preferences")["time_zone"] == "Europe/Stockholm"
    assert client.ask("GET", "/business")["id"] == account["businessId"]


def test_contacts_with_and_without_oneself(client: Client) -> None:
    others = client.ask("GET", "/contact")
    everyone = client.ask("GET", "/contact", includeSelf="1")

    assert {each["subscription"] for each in others} == {"BIS"}
    assert [each["subscription"] for each in everyone].count("SELF") == 1
    assert len(everyone) == len(others) + 1 == len(client.ask("GET", "/team"))


def test_groups_list_their_members(client: Client) -> None:
    everyone, *others = client.ask("GET", "/group")

    assert (everyone["type"], everyone["members"]) == (1, [user.id for user in client.model.users])
    assert all(set(group["members"]) < set(everyone["members"]) for group in others)


def test_sharing_with_a_group(client: Client) -> None:
    groups = [each for each in client.model.team.groups.values() if each.type == 0]
    outside = next(each for each in groups if client.ann.id not in each.members)
    inside = next(each for each in groups if client.ann.id in each.members)
    client.model.create(
        user=client.tariq, title="No", permissions=[{"principal": outside.id, "level": 60}]
    )
    client.model.create(
        user=client.tariq, title="Yes", permissions=[{"principal": inside.id, "level": 60}]
    )

    answer = client.ask("GET", "/item")

    assert [(each["title"], each["permission"]) for each in answer] == [("Yes", 60)]


def test_tags_are_added_renamed_and_removed(client: Client) -> None:
    item = client.model.create(user=client.ann, title="Bread", tags=["shop"])

    tag = client.ask("POST", "/tag", name="food", item_id=str(item.id))
    assert item.get("tags") == ["shop", "food"]
    assert tag in client.ask("GET", "/tag")

    client.ask("PUT", f"/tag/{tag['id']}", name="bakery")
    assert item.get("tags") == ["shop", "bakery"]
    assert client.refusal("PUT", f"/tag/{tag['id']}", name="shop") == (400, 6)

    client.ask("DELETE", f"/tag/{tag['id']}")
    assert item.get("tags") == ["shop"]
    assert item.version == 4
    assert client.refusal("DELETE", f"/tag/{tag['id']}") == (404, 1)


def test_file_url_is_for_files(client: Client) -> None:
    file = client.model.create(user=client.ann, title="plan.pdf", category=5, file_size=9)
    note = client.model.create(user=client.ann, title="Note", category=4)

    assert client.ask("GET", "/file/url", id=str(file.id))["url"].startswith("https://")
    assert client.refusal("GET", "/file/url", id=str(note.id)) == (400, 6)
