"""What a change may do: permission levels, and values that depend on other items and people.

Public: `require`, `check_change`, and the levels `VIEW` to `DELETE`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hisync.sandbox.errors import (
    INVALID_DATA,
    NO_PERMISSION,
    PARAMETER_MISSING,
    PARTICIPANT_NOT_ADDED,
    SHORT_NAME_USED,
    ApiError,
)
from hisync.sandbox.fields import FIELDS
from hisync.sandbox.records import Item, User
from hisync.sandbox.store import Store
from hisync.sandbox.team import Team

VIEW = 10
COMMENT = 20
ADD_CHILD = 30
ARCHIVE = 80
DELETE = 100


def require(team: Team, item: Item, user: User, level: int) -> None:
    """Refuse what the user's level on the item does not allow."""
    if team.level(item, user) < level:
        raise ApiError(NO_PERMISSION, f"You have no permission to do this with item {item.id}")


def check_change(
    team: Team, store: Store, user: User, new: Mapping[str, object], item: Item | None = None
) -> None:
    """Check new values against the item (none for a new one), the people and the other items."""
    if item is not None and new:
        require(team, item, user, max(FIELDS[name].level for name in new))
    if not str(new.get("title", "-")).strip():
        raise ApiError(PARAMETER_MISSING, "title is mandatory")
    if new.get("parent"):
        _check_parent(team, store, user, new["parent"], item)
    _check_people(team, new)
    _check_short_name(store, new, item)


def _check_parent(
    team: Team, store: Store, user: User, parent_id: object, item: Item | None
) -> None:
    parent = store.live.get(parent_id) if isinstance(parent_id, int) else None
    if parent is None or team.level(parent, user) < VIEW:
        raise ApiError(INVALID_DATA, f"Parent {parent_id} not found")
    require(team, parent, user, ADD_CHILD)
    if item is not None and any(each.id == item.id for each in store.ancestors(parent.id)):
        raise ApiError(INVALID_DATA, "An item can not be moved into itself")


def _check_people(team: Team, new: Mapping[str, object]) -> None:
    if new.get("assignee") and new["assignee"] not in team.users:
        raise ApiError(INVALID_DATA, f"Assignee {new['assignee']} not found")
    participants = new.get("participants")
    if isinstance(participants, list) and not team.users.keys() >= set(participants):
        raise ApiError(PARTICIPANT_NOT_ADDED, "A participant is not a member of the team")
    permissions = new.get("permissions")
    if isinstance(permissions, tuple):
        _check_principals(team, (principal for principal, _ in permissions))


def _check_principals(team: Team, principals: Iterable[str]) -> None:
    known = {"all", *team.groups, *map(str, team.users)}
    for principal in principals:
        if principal not in known:
            raise ApiError(INVALID_DATA, f"Principal {principal} not found")


def _check_short_name(store: Store, new: Mapping[str, object], item: Item | None) -> None:
    short_name = new.get("short_name")
    if not short_name:
        return
    if new.get("category", item and item.category) != 0:
        raise ApiError(INVALID_DATA, "Only a project has a short name")
    for other in store.live.values():
        if other is not item and other.values.get("short_name") == short_name:
            raise ApiError(SHORT_NAME_USED, f"Short name {short_name} is already used")
