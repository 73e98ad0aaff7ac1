"""The sandbox's team account in memory: what the service serves, and what colleagues change.

Every change bumps an item's `version` by one, gives it a `time_last_update` of its own (strictly
rising milliseconds, so that a cursor never misses one) and adds to its history. A write that
changes nothing leaves all three alone. Deleting or archiving an item without `cascade` lifts its
children to no parent; with it they go along. New items are open to everyone in the team unless
they say otherwise or have a parent to take the permissions from.

Public: `Model`, `utc_now`, `API_KEY`.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from hisync.sandbox import rules
from hisync.sandbox.errors import (
    INVALID_DATA,
    NOT_FOUND,
    PARAMETER_MISSING,
    SIZE_EXCEEDED,
    ApiError,
)
from hisync.sandbox.fields import MESSAGE_LIMIT, read_values
from hisync.sandbox.history import History
from hisync.sandbox.records import Item, Permissions, Tag, Unit, User
from hisync.sandbox.store import Store
from hisync.sandbox.team import Team
from hisync.sandbox.wire import format_date, to_ms, wire_item

API_KEY = "sandbox-key"
FIRST_ITEM_ID = 3_720_226

P = ParamSpec("P")
R = TypeVar("R")


def utc_now() -> datetime:
    """Return the present, aware, in UTC."""
    return datetime.now(UTC)


def _locked(
    method: Callable[Concatenate[Model, P], R],
) -> Callable[Concatenate[Model, P], R]:
    """Run a method under the model's lock: tests and the server share it."""

    @wraps(method)
    def under_lock(model: Model, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with model.lock:
            return method(model, *args, **kwargs)

    return under_lock


class Model:
    """A team with its items; every method may be called from any thread."""

    def __init__(
        self,
        clock: Callable[[], datetime] = utc_now,
        rng: random.Random | None = None,
        *,
        api_key: str = API_KEY,
    ) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.team = Team(rng or random.Random(0), api_key)  # noqa: S311
        self.store = Store()
        self.history = History()
        self.tags: dict[str, Tag] = {}
        self.latest = 0
        self.next_id = FIRST_ITEM_ID
        self._issues: dict[int, int] = {}

    # Reading

    @property
    def users(self) -> list[User]:
        """The members of the team; the first owns the account."""
        return list(self.team.users.values())

    def user(self, who: int | str) -> User:
        """Find a person by id or login."""
        return self.team.user(who)

    def item(self, item_id: int, user: User | None = None) -> Item:
        """Return a live item; with a user only if they can see it."""
        item = self.store.live.get(item_id)
        if item is None or (user and self.team.level(item, user) < rules.VIEW):
            raise ApiError(NOT_FOUND, f"Item {item_id} not found")
        return item

    @_locked
    def items(self, user: User | None = None) -> list[Item]:
        """Return the live items, or those that a user can see."""
        return [
            item
            for item in self.store.live.values()
            if user is None or self.team.level(item, user) >= rules.VIEW
        ]

    @_locked
    def wire(self, item: Item, user: User) -> dict[str, object]:
        """Return an item in its wire shape as a user sees it."""
        return wire_item(
            item,
            level=self.team.level(item, user),
            zone=self.team.zone(user),
            parent=self.store.live.get(item.parent) if item.parent else None,
            children=self.store.has_children(item.id),
        )

    @_locked
    def units(self, item_id: int, user: User | None = None) -> list[Unit]:
        """Return the history of an item, oldest first."""
        item = self.item(item_id, user)
        return self.history.units(item, self.team.user(item.user_id).name)

    @_locked
    def comments(self, item_id: int) -> list[Unit]:
        """Return the comments of an item, oldest first."""
        return self.history.comments(item_id)

    # Changing

    @_locked
    def create(self, /, *, user: User, guid: str | None = None, **values: object) -> Item:
        """Create an item, in the name of a user."""
        new = read_values({"category": 1, **values})
        if not new.get("title"):
            raise ApiError(PARAMETER_MISSING, "title is mandatory")
        rules.check_change(self.team, self.store, user, new)
        stamp = self._stamp()
        parent = new.pop("parent", 0)
        item = Item(
            id=self._new_id(),
            guid=guid or self.team.new_guid(),
            user_id=user.id,
            parent=parent if isinstance(parent, int) else 0,
            created=stamp,
            modified=stamp,
            version=1,
            permissions=self._permissions(user, parent, new.pop("permissions", None)),
            values={},
        )
        for name, value in new.items():
            item.put(name, value)
        item.put("issue_id", self._issue_id(item.parent))
        self.register_tags(new.get("tags"))
        self.store.add(item)
        return item

    @_locked
    def update(
        self, item_id: int, /, *, user: User, cascade: bool = False, **changes: object
    ) -> Item:
        """Change properties; `cascade` completes or shares everything below as well."""
        item = self.item(item_id, user)
        new = read_values(changes)
        if isinstance(permissions := new.get("permissions"), tuple):
            new["permissions"] = self.team.owned(permissions, item.user_id)
        self._change(item, new, user)
        if cascade:
            shared: dict[str, object] = {
                name: new[name] for name in ("completed", "permissions") if name in new
            }
            for child in list(self.store.descendants(item.id)):
                self._change(child, shared, user)
        return item

    @_locked
    def complete_instance(self, item_id: int, moment: int, *, user: User) -> Item:
        """Complete one occurrence of a recurring item."""
        item = self.item(item_id, user)
        rules.require(self.team, item, user, 50)
        date = format_date(moment, self.team.zone(user))
        known = item.get("instances")
        instance = {
            "task_id": item.id,
            "status": 1,
            "start_date": date[:10],
            "start_date_time": date,
        }
        item.put("instances", [*(known if isinstance(known, list) else ()), instance])
        self._touch(item)
        self.history.note(item, user, "instance_completed")
        return item

    @_locked
    def delete(self, item_id: int, *, user: User, cascade: bool = False) -> None:
        """Delete an item for good."""
        for item in self._take_away(item_id, user, rules.DELETE, cascade=cascade):
            self.history.forget(item.id)

    @_locked
    def archive(self, item_id: int, *, user: User, cascade: bool = False) -> None:
        """Move an item to the archive."""
        for item in self._take_away(item_id, user, rules.ARCHIVE, cascade=cascade):
            self._touch(item)
            self.history.note(item, user, "archived")
            self.store.archived[item.id] = item

    @_locked
    def archived(self, item_id: int, user: User) -> Item:
        """Return an archived item that a user can see."""
        item = self.store.archived.get(item_id)
        if item is None or self.team.level(item, user) < rules.VIEW:
            raise ApiError(NOT_FOUND, f"Item {item_id} not found in the archive")
        return item

    @_locked
    def restore(self, item_id: int, *, user: User) -> Item:
        """Bring an archived item back, and what was archived along with it."""
        item = self.archived(item_id, user)
        rules.require(self.team, item, user, rules.ARCHIVE)
        del self.store.archived[item.id]
        if item.parent not in self.store.live:
            item.parent = 0
        self._touch(item)
        self.history.note(item, user, "restored")
        self.store.add(item)
        for child in [each for each in self.store.archived.values() if each.parent == item.id]:
            self.restore(child.id, user=user)
        return item

    @_locked
    def restore_copy(self, item_id: int, *, user: User) -> Item:
        """Make a new item like an archived one, which stays where it is."""
        old = self.archived(item_id, user)
        stamp = self._stamp()
        copy = replace(
            old,
            id=self._new_id(),
            guid=self.team.new_guid(),
            user_id=user.id,
            parent=old.parent if old.parent in self.store.live else 0,
            created=stamp,
            modified=stamp,
            version=1,
            permissions=self.team.owned(old.permissions, user.id),
            values={k: v for k, v in old.values.items() if not k.startswith("last_comment")},
        )
        self.store.add(copy)
        return copy

    @_locked
    def comment(self, item_id: int, *, user: User, message: str) -> Unit:
        """Comment on an item."""
        item = self.item(item_id, user)
        rules.require(self.team, item, user, rules.COMMENT)
        if not message.strip():
            raise ApiError(PARAMETER_MISSING, "message is mandatory")
        if len(message) > MESSAGE_LIMIT:
            raise ApiError(SIZE_EXCEEDED, "message is too long")
        self._touch(item)
        return self.history.comment(item, user, message, item.modified)

    @_locked
    def delete_comment(self, comment_id: int, *, user: User) -> None:
        """Remove a comment: one's own, or any on an item that one may delete."""
        unit = self.history.find_comment(comment_id)
        if unit is None:
            raise ApiError(NOT_FOUND, f"Comment {comment_id} not found")
        item = self.item(unit.item_id, user)
        if unit.user_id != user.id:
            rules.require(self.team, item, user, rules.DELETE)
        self.history.delete_comment(item, unit)
        self._touch(item)

    @_locked
    def tag(self, tag_id: int) -> Tag:
        """Return a tag by its id."""
        for tag in self.tags.values():
            if tag.id == tag_id:
                return tag
        raise ApiError(NOT_FOUND, f"Tag {tag_id} not found")

    @_locked
    def rename_tag(self, tag_id: int, name: str | None, *, user: User) -> None:
        """Rename a tag on every item, or take it off all of them (None)."""
        tag = self.tag(tag_id)
        if name is not None and name != tag.name and name in self.tags:
            raise ApiError(INVALID_DATA, f"Tag {name} already exists")
        del self.tags[tag.name]
        if name is not None:
            self.tags[name] = replace(tag, name=name)
        for item in self.items():
            tags = item.get("tags")
            if isinstance(tags, list) and tag.name in tags:
                renamed = [name if each == tag.name else each for each in tags]
                self._apply(item, {"tags": [each for each in renamed if each] or None}, user)

    def register_tags(self, names: object) -> None:
        """Remember tags that items use."""
        for name in names if isinstance(names, list) else ():
            if name not in self.tags:
                self.tags[name] = Tag(501 + len(self.tags), name)

    # Within

    def _change(self, item: Item, values: dict[str, object], user: User) -> None:
        """Check and apply those values that differ."""
        new = {name: value for name, value in values.items() if value != item.get(name)}
        rules.check_change(self.team, self.store, user, new, item)
        if new:
            self._apply(item, new, user)

    def _apply(self, item: Item, new: dict[str, object], user: User) -> None:
        """Store checked values, with version, stamp and history."""
        self._touch(item)
        for name, value in new.items():
            if name == "parent" and isinstance(value, int):
                self.store.move(item, value)
            else:
                item.put(name, value)
        self.register_tags(new.get("tags"))
        if "completed" in new:
            self._show_transition(item, user)
        self.history.record(item, user, new, item.modified)

    def _show_transition(self, item: Item, user: User) -> None:
        local = format_date(item.modified, self.team.zone(user))
        item.put("last_transition_time", item.modified)
        item.put(
            "last_transition_time_format",
            f"{local[8:10]}-{local[5:7]}-{local[2:4]} {local[11:16]}",
        )
        item.put("last_transition_user", user.id)
        item.put("last_transition_user_name", user.name)

    def _take_away(self, item_id: int, user: User, level: int, *, cascade: bool) -> list[Item]:
        """Take an item out of the live ones, and its children along or to the top."""
        item = self.item(item_id, user)
        rules.require(self.team, item, user, level)
        taken = [item]
        if cascade:
            taken.extend(self.store.descendants(item.id))
        else:
            for child in self.store.children(item.id):
                self._apply(child, {"parent": 0}, user)
        for each in reversed(taken):
            self.store.remove(each)
        return taken

    def _touch(self, item: Item) -> None:
        item.version += 1
        item.modified = self._stamp()

    def _stamp(self) -> int:
        """Return the present in milliseconds, always later than the last time."""
        self.latest = max(to_ms(self.clock()), self.latest + 1)
        return self.latest

    def _new_id(self) -> int:
        self.next_id += 1
        return self.next_id - 1

    def _permissions(self, user: User, parent: object, asked: object) -> Permissions:
        permissions: Permissions = ((self.team.everyone.id, 100),)
        if isinstance(asked, tuple):
            permissions = asked
        elif isinstance(parent, int) and parent in self.store.live:
            permissions = self.store.live[parent].permissions
        return self.team.owned(permissions, user.id)

    def _issue_id(self, parent_id: int) -> str | None:
        """Number the items of a project that has a short name."""
        for item in self.store.ancestors(parent_id):
            if item.category == 0 and (short_name := item.values.get("short_name")):
                self._issues[item.id] = self._issues.get(item.id, 0) + 1
                return f"{short_name}-{self._issues[item.id]}"
        return None
