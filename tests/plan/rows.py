"""Rows of tasks for the plan's tests, by what they say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hisync.change import Change
from hisync.items import fields_of
from hisync.plan.actions import Policy, PolicyName, RecordConflict, Resolution

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC).replace(tzinfo=None)


def task(**values: Any) -> dict[str, Any]:
    """A whole task that says only this."""
    return {c: f.empty for c, f in fields_of("tasks").items()} | values


def policy(default: PolicyName = "remote", **fields: PolicyName) -> Policy:
    return Policy(default, fields)


def conflict(
    field: str | None,
    base: Any,
    local: Any,
    remote: Any,
    resolution: Resolution = "remote",
    policy: PolicyName = "remote",
) -> RecordConflict:
    return RecordConflict(field, base, local, remote, resolution, policy)


def change(
    seq: int,
    op: str = "update",
    old: dict[str, Any] | None = None,
    new: dict[str, Any] | None = None,
) -> Change:
    """One change of one row, made `seq` minutes after noon."""
    at = NOON + timedelta(minutes=seq)
    return Change(seq, "tasks", "g", op, old or {}, new or {}, at, "pending", 0)
