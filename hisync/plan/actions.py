"""What a plan is made of: plain frozen values, applied by someone else.

A dry run prints them, a test compares them, the engine carries them out. Public: the action
classes, `Action`, and `Policy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from hisync.items import Value, Values

Resolution: TypeAlias = Literal["remote", "local", "merged"]
PolicyName: TypeAlias = Literal["remote", "local", "newest"]


@dataclass(frozen=True, slots=True)
class Policy:
    """Who wins when one field was given two values: a default, and exceptions by column."""

    default: PolicyName = "remote"
    fields: Mapping[str, PolicyName] = field(default_factory=dict)

    def of(self, column: str) -> PolicyName:
        """The policy of one column."""
        return self.fields.get(column, self.default)


@dataclass(frozen=True, slots=True)
class InsertRow:
    """Put a row that hiTask shows into the mirror (for the first time, or again)."""

    values: Values


@dataclass(frozen=True, slots=True)
class UpdateRow:
    """Set these columns of the mirror's row."""

    values: Values


@dataclass(frozen=True, slots=True)
class RemoveRow:
    """Take the row out of the mirror and keep its last state in `removed_rows`."""


@dataclass(frozen=True, slots=True)
class Forget:
    """Nothing is left of the row on either side."""


@dataclass(frozen=True, slots=True)
class SendCreate:
    """Create the item on hiTask with these values."""

    values: Values


@dataclass(frozen=True, slots=True)
class SendUpdate:
    """Change these columns of the item on hiTask, and no others."""

    changes: Values


@dataclass(frozen=True, slots=True)
class SendArchive:
    """Archive the item on hiTask."""


@dataclass(frozen=True, slots=True)
class SendDelete:
    """Delete the item on hiTask."""


@dataclass(frozen=True, slots=True)
class RecordConflict:
    """Keep all three values of what was decided; `field` is None for the row as a whole."""

    field: str | None
    base: Value
    local: Value
    remote: Value
    resolution: Resolution
    policy: PolicyName


Send: TypeAlias = SendCreate | SendUpdate | SendArchive | SendDelete
Action: TypeAlias = InsertRow | UpdateRow | RemoveRow | Forget | RecordConflict | Send
