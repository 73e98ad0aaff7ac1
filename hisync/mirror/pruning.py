"""Deletes what is finished and old from the machinery's tables. Public: `prune_finished`."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, delete, select, union_all

from hisync.mirror.changes import in_state
from hisync.mirror.tables import change_log, conflicts

AT_ONCE: Final = 5000
"""Rows that one transaction deletes at most of each table, so that people's edits don't wait."""

_FINISHED: Final = ("done", "merged", "discarded")


def prune_finished(connection: Connection, before: datetime) -> int:
    """Delete changes that ended and conflicts that were closed before a time (UTC, no zone).

    Returns:
        How many rows were deleted; less than `AT_ONCE` when that were all.
    """
    log = change_log.c
    # A rejected change that is tried again must see what was changed since.
    undecided = union_all(
        select(log.row_guid).where(log.finished_at.is_(None)),
        select(log.row_guid).where(in_state("rejected")),
    )
    ended = log.state.in_(_FINISHED) & (log.finished_at < before) & log.row_guid.not_in(undecided)
    closed = conflicts.c.resolved_at < before
    return _delete(connection, change_log, log.seq, ended) + _delete(
        connection, conflicts, conflicts.c.id, closed
    )


def _delete(
    connection: Connection, table: Table, key: ColumnElement[int], condition: ColumnElement[bool]
) -> int:
    oldest = select(key).where(condition).order_by(key).limit(AT_ONCE)
    return connection.execute(delete(table).where(key.in_(oldest))).rowcount
