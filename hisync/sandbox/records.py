"""What the sandbox remembers: people, groups, tags, items and history units.

An `Item` keeps only what differs from the defaults, so that a million of them fit in memory;
`wire.py` puts the whole shape together. Instants are milliseconds since 1970.

Public: `User`, `Group`, `Tag`, `Item`, `Unit`, `Permissions`, `DEFAULTS`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# (principal, level): a user's id as text, a group's id, or `all`.
Permissions = tuple[tuple[str, int], ...]

# Values of properties that an item does not carry; every other property is null.
DEFAULTS: dict[str, object] = {
    "completed": False,
    "color": 0,
    "color_value": "#5e93c3",
    "recurring": 0,
    "starred": False,
    "priority": 20000,
    "assignee": 0,
}


@dataclass(slots=True)
class User:
    """A member of the team."""

    id: int
    login: str
    password: str = field(repr=False)
    first_name: str
    last_name: str
    time_zone: str = "UTC"
    business_level: int = 10
    preferences: dict[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The full name."""
        return f"{self.first_name} {self.last_name}"


@dataclass(slots=True)
class Group:
    """A group of people; type 1 is everyone in the team."""

    id: str
    name: str
    code: str
    color: int
    members: list[int]
    type: int = 0


@dataclass(slots=True)
class Tag:
    """A word to find items by."""

    id: int
    name: str
    shared: bool = True


@dataclass(slots=True)
class Item:
    """One thing of the team: task, project, event, note, file or contact."""

    id: int
    guid: str
    user_id: int
    parent: int
    created: int
    modified: int
    version: int
    permissions: Permissions
    values: dict[str, object]

    def get(self, name: str) -> object:
        """Return a property as stored: dates in milliseconds, permissions as pairs."""
        if name == "parent":
            return self.parent
        if name == "permissions":
            return self.permissions
        return self.values.get(name, DEFAULTS.get(name))

    def put(self, name: str, value: object) -> None:
        """Store a property; a default is stored by leaving it out."""
        if name == "parent" and isinstance(value, int):
            self.parent = value
        elif name == "permissions" and isinstance(value, tuple):
            self.permissions = value
        elif value == DEFAULTS.get(name) and name not in ("title", "category"):
            self.values.pop(name, None)
        else:
            self.values[name] = value

    @property
    def title(self) -> str:
        """The title."""
        return str(self.values["title"])

    @property
    def category(self) -> int:
        """The kind: 0 project, 1 task, 2 event, 4 note, 5 file, 6 client, 7 contact."""
        value = self.values["category"]
        return value if isinstance(value, int) else 1


@dataclass(slots=True)
class Unit:
    """One line of an item's history; a comment is a unit named `comment`."""

    id: int
    item_id: int
    user_id: int
    user_name: str
    property_type: str
    property_name: str
    time: int
    value: str | None = None
