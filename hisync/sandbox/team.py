"""The team account: its people, groups and sessions, and who may see what.

Public: `Team`.
"""

from __future__ import annotations

import hashlib
import random
from zoneinfo import ZoneInfo

from hisync.sandbox.errors import NOT_FOUND, ApiError
from hisync.sandbox.records import Group, Item, Permissions, User

FIRST_USER_ID = 190_960
EVERYONE = "Everyone"


class Team:
    """People, groups and sessions of one team account."""

    def __init__(self, rng: random.Random, api_key: str) -> None:
        self._rng = rng
        self.api_key = api_key
        self.business_id = 14_207
        self.users: dict[int, User] = {}
        self.groups: dict[str, Group] = {}
        # The user and the moment of the login (milliseconds) by session id.
        self.sessions: dict[str, tuple[int, int]] = {}
        self._principals: dict[int, frozenset[str]] = {}
        self.everyone = self.add_group(EVERYONE, "everyone", [], kind=1)

    def new_guid(self) -> str:
        """Make a UUID of version 4 from the team's own randomness."""
        text = f"{self._rng.getrandbits(128):032x}"
        variant = "89ab"[int(text[16], 16) % 4]
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"

    def add_group(self, name: str, code: str, members: list[int], *, kind: int = 0) -> Group:
        """Add a group of people."""
        group = Group(self.new_guid(), name, code, len(self.groups) % 8, list(members), kind)
        self.groups[group.id] = group
        self._principals.clear()
        return group

    def add_user(
        self,
        login: str,
        password: str,
        first_name: str,
        last_name: str,
        *,
        time_zone: str = "UTC",
        business_level: int = 10,
    ) -> User:
        """Add a person to the team and to everyone."""
        user = User(
            FIRST_USER_ID + 29 * len(self.users),
            login,
            password,
            first_name,
            last_name,
            time_zone,
            business_level,
        )
        self.users[user.id] = user
        self.everyone.members.append(user.id)
        self._principals.clear()
        return user

    def user(self, who: int | str) -> User:
        """Find a person by id or login."""
        for user in self.users.values():
            if who in (user.id, user.login):
                return user
        raise ApiError(NOT_FOUND, f"No user {who}")

    def zone(self, user: User) -> ZoneInfo:
        """Return the time zone of a person's account."""
        return ZoneInfo(user.time_zone)

    def level(self, item: Item, user: User) -> int:
        """Return the permission level that a person has on an item; 0 is invisible."""
        mine = self._principals.get(user.id)
        if mine is None:
            groups = (group.id for group in self.groups.values() if user.id in group.members)
            mine = self._principals[user.id] = frozenset([str(user.id), "all", *groups])
        return max([level for principal, level in item.permissions if principal in mine], default=0)

    def owned(self, permissions: Permissions, owner: int) -> Permissions:
        """Return permissions in which the owner keeps all of theirs."""
        others = tuple(pair for pair in permissions if pair[0] != str(owner))
        return (*others, (str(owner), 100))

    def log_in(self, login: str, password: str, now: int) -> tuple[User, str] | None:
        """Open a session; the password comes plain or as its MD5."""
        for user in self.users.values():
            digest = hashlib.md5(user.password.encode(), usedforsecurity=False).hexdigest()
            if user.login == login and password in (user.password, digest):
                session = f"{self._rng.getrandbits(128):032x}"
                self.sessions[session] = (user.id, now)
                return user, session
        return None

    def expire_sessions(self) -> None:
        """Forget every session."""
        self.sessions.clear()
