"""How this service behaves where the API's documentation leaves room.

Every trait is a field of the frozen `Traits`; its default is the most careful reading. Traits
are also given as short texts, `repeated_guid=duplicates`.

Public: `Traits`, `parse_trait`, `traits_from`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, slots=True)
class Traits:
    """What the service does and lacks."""

    # The delta: there at all, with stubs of unchanged items, with a cursor, with null fields.
    delta: bool = True
    stubs: bool = True
    cursor: bool = True
    cursor_header: str = "X-Cursor"
    opaque_cursor: bool = False
    nulls: bool = False
    # The history: wrapped in an object, only its last ten units, and how it shows a comment that
    # was deleted: its unit renamed, another unit that names it, or nothing at all.
    history_wrapped: bool = False
    free_history: bool = False
    deleted_comments: str = "renamed"
    # Writes.
    put_needs_guid_and_title: bool = False
    delete_by: str = "both"
    keeps_guid: bool = True
    repeated_guid: str = "returns_existing"
    answers_item: bool = True
    time_spent_writable: bool = True
    trims_titles: bool = False
    trims_messages: bool = False
    trims_comments: bool = False
    orders_dates: bool = False
    title_limit: int = 0
    # Effects beyond what was asked: what becomes of the children of a deleted item, a parent
    # that is completed with its last child, and by how much a write raises the version.
    orphans: str = "lifted"
    completes_parents: bool = False
    version_step: int = 1
    # Limits: 0 is none.
    items_limit: int = 0
    requests_per_minute: int = 0
    limit_answer: str = "429"
    # Sessions: how a lost one shows, and how long one lives (seconds; 0 is for ever).
    session_answer: str = "401"
    session_seconds: int = 0


CHOICES: dict[str, tuple[str, ...]] = {
    "deleted_comments": ("renamed", "named", "untraced"),
    "delete_by": ("id", "guid", "both"),
    "repeated_guid": ("returns_existing", "duplicates", "refuses"),
    "orphans": ("lifted", "deleted"),
    "limit_answer": ("429", "67", "87"),
    "session_answer": ("401", "7", "4"),
}
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_DEFAULTS = Traits()
_NAMES = tuple(each.name for each in fields(Traits))


def parse_trait(text: str) -> tuple[str, object]:
    """Read `name=value`; a flag may come as its bare name.

    Raises:
        ValueError: the name or the value is not known; the message lists those that are.
    """
    name, equals, value = text.strip().partition("=")
    return name, _read(name, value if equals else "true")


def traits_from(given: Iterable[str] | Mapping[str, object], base: Traits = _DEFAULTS) -> Traits:
    """Change traits by texts (`name=value`) or by a mapping."""
    if isinstance(given, Mapping):
        changes = {name: _read(name, str(value)) for name, value in given.items()}
    else:
        changes = dict(parse_trait(text) for text in given)
    return replace(base, **changes)  # type: ignore[arg-type]


def _read(name: str, value: str) -> object:
    if name not in _NAMES:
        raise ValueError(f"unknown trait {name!r}; traits are: {', '.join(_NAMES)}")
    default = getattr(_DEFAULTS, name)
    if isinstance(default, bool):
        if value.lower() not in _FLAGS:
            raise ValueError(f"trait {name} is true or false, not {value!r}")
        return _FLAGS[value.lower()]
    if isinstance(default, int):
        if not value.isdecimal():
            raise ValueError(f"trait {name} is a whole number, not {value!r}")
        return int(value)
    if name in CHOICES and value not in CHOICES[name]:
        raise ValueError(f"trait {name} is one of {', '.join(CHOICES[name])}, not {value!r}")
    return value
