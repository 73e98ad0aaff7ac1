"""What a trigger saw: one change of one row, as a plain value. Public: `Change`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Change:
    """One unfinished row of the change log.

    Attributes:
        seq: its number; later changes have higher ones.
        table: the table it was made in.
        guid: the row.
        op: `insert`, `update` or `delete`; a hint only, since planning goes by the state reached.
        old_values: cells before, by changed column.
        new_values: cells after, by changed column.
        changed_at: when it was made, UTC.
        state: what it waits for.
        attempts: how often it was sent.
    """

    seq: int
    table: str
    guid: str
    op: str
    old_values: Mapping[str, Any]
    new_values: Mapping[str, Any]
    changed_at: datetime
    state: str
    attempts: int

    def touches(self, column: str) -> bool:
        """Whether it wrote this column; an insert or a delete wrote them all."""
        return self.op != "update" or column in self.new_values
