"""The endpoints of the account: people, groups, tags and the preferences.

Public: `TEAM_ROUTES`.
"""

from __future__ import annotations

from hisync.sandbox.calls import OK, Call, Route
from hisync.sandbox.errors import INVALID_DATA, ApiError
from hisync.sandbox.fields import read_flag, read_id
from hisync.sandbox.messages import Response, json_response
from hisync.sandbox.records import Group, Tag, User


def show_user(call: Call) -> Response:
    """GET /user: the account that the session belongs to."""
    return json_response(wire_account(call.user, call.model.team.business_id))


def show_preferences(call: Call) -> Response:
    """GET /user/preferences."""
    user = call.user
    return json_response({"time_zone": user.time_zone, "language": "en"} | user.preferences)


def list_contacts(call: Call) -> Response:
    """GET /contact: the others, and with `includeSelf` oneself."""
    asked = call.request.param("includeSelf")
    with_self = bool(asked) and read_flag("includeSelf", asked)
    people = [each for each in call.model.users if with_self or each.id != call.user.id]
    return json_response([_wire_contact(call, each) for each in people])


def list_team(call: Call) -> Response:
    """GET /team: the members of the team."""
    return json_response([_wire_contact(call, each) for each in call.model.users])


def show_business(call: Call) -> Response:
    """GET /business: the team account."""
    team = call.model.team
    return json_response(
        {
            "id": team.business_id,
            "name": "Sandbox team",
            "level": 20,
            "userCount": len(team.users),
            "ownerId": call.model.users[0].id,
        }
    )


def list_groups(call: Call) -> Response:
    """GET /group."""
    return json_response([_wire_group(each) for each in call.model.team.groups.values()])


def list_tags(call: Call) -> Response:
    """GET /tag."""
    return json_response([_wire_tag(each) for each in call.model.tags.values()])


def create_tag(call: Call) -> Response:
    """POST /tag: put a tag on an item."""
    name, item_id = call.need("name"), read_id("item_id", call.need("item_id"))
    item = call.model.item(item_id, call.user)
    tags = item.get("tags")
    known = tags if isinstance(tags, list) else []
    call.model.update(item.id, user=call.user, tags=[*known, name])
    return json_response(_wire_tag(call.model.tags[name]))


def rename_tag(call: Call) -> Response:
    """PUT /tag/{id}: rename a tag on all items."""
    tag_id, name = read_id("id", call.args[0]), call.need("name")
    call.model.rename_tag(tag_id, name, user=call.user)
    return json_response(_wire_tag(call.model.tags[name]))


def delete_tag(call: Call) -> Response:
    """DELETE /tag/{id}: take a tag off all items."""
    call.model.rename_tag(read_id("id", call.args[0]), None, user=call.user)
    return OK


def show_file_url(call: Call) -> Response:
    """GET /file/url: a link to a file's contents, which the sandbox does not have."""
    item = call.model.item(read_id("id", call.need("id")), call.user)
    if item.category != 5:
        raise ApiError(INVALID_DATA, f"Item {item.id} is not a file")
    url = f"https://files.example.com/{item.guid}"
    return json_response({"url": url, "content_type": "application/octet-stream"})


def wire_account(user: User, business_id: int) -> dict[str, object]:
    """Return an account as its owner sees it."""
    return {
        "id": user.id,
        "login": user.login,
        "firstName": user.first_name,
        "lastName": user.last_name,
        "email": user.login,
        "emailConfirmed": True,
        "level": 20,
        "accountType": "TEAM_BUSINESS",
        "businessId": business_id,
        "businessLevel": user.business_level,
        "pictureHash": None,
    }


def _wire_contact(call: Call, user: User) -> dict[str, object]:
    return wire_account(user, call.model.team.business_id) | {
        "fullName": user.name,
        "subscription": "SELF" if user.id == call.user.id else "BIS",
        "pictureSource": None,
        "isOnline": user.id == call.user.id,
    }


def _wire_group(group: Group) -> dict[str, object]:
    return {
        "id": group.id,
        "name": group.name,
        "code": group.code,
        "color": group.color,
        "members": group.members,
        "type": group.type,
    }


def _wire_tag(tag: Tag) -> dict[str, object]:
    return {"id": tag.id, "name": tag.name, "shared": tag.shared}


TEAM_ROUTES = (
    Route("GET", "/user", show_user),
    Route("GET", "/user/preferences", show_preferences),
    Route("GET", "/contact", list_contacts),
    Route("GET", "/team", list_team),
    Route("GET", "/business", show_business),
    Route("GET", "/group", list_groups),
    Route("GET", "/tag", list_tags),
    Route("POST", "/tag", create_tag),
    Route("PUT", "/tag/{}", rename_tag),
    Route("DELETE", "/tag/{}", delete_tag),
    Route("GET", "/file/url", show_file_url),
)
