"""The read-only views in PostgreSQL's words: one shape for all items, and the reports.

They are made after the migrations and made again whenever they are missing or of another version.
Each says in its comment that hisync made it, so one of the same name that is somebody's own is left
alone. The comments of tables and columns are written with them, and are part of their version:
what people wrote there instead stays until the next. Public: `install_views`, `views_to_make`,
`taken_names`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache, partial
from typing import Final

from sqlalchemy import Connection, Table

from hisync.mirror.dialects.postgres.ledger import counted_minutes
from hisync.mirror.dialects.views import NAME, all_items, first_there, project_from, title_of
from hisync.mirror.meanings import VIEW_COLUMNS
from hisync.mirror.tables import ITEM_TABLES, metadata

_OURS: Final = "made by hisync, and made again by it: "

_ZONE: Final = (
    "(coalesce((SELECT value::text FROM sync_state WHERE key = 'zone_offset')::integer, 0)"
    " * interval '1 minute')"
)
"""How far the account's clocks are ahead of UTC."""

_NOW: Final = "timezone('UTC', now())"

# An instant is over when it is past; a day of an all-day task when it is past in the account's
# zone.
_OVERDUE: Final = f"""coalesce(NOT task.completed AND CASE WHEN task.is_all_day
    THEN task.due_date::date < ({_NOW} + {_ZONE})::date
    ELSE task.due_date < {_NOW} END, false)"""

# Rounded down: 100 means all of them.
_PROGRESS: Final = """coalesce(
    (SELECT (100 * count(*) FILTER (WHERE child.completed) / count(*))::integer
      FROM tasks AS child WHERE child.parent_guid = task.guid HAVING count(*) > 0),
    CASE WHEN task.completed THEN 100 ELSE 0 END)"""

_TASK_OVERVIEW: Final = f"""SELECT task.guid, task.id, task.title, task.completed,
  {title_of("task.parent_guid")} AS parent_title,
  project.guid AS project_guid, project.title AS project_title,
  task.assignee_id, {NAME} AS assignee_name,
  task.due_date, {_OVERDUE} AS is_overdue,
  task.time_est_minutes, task.time_spent_minutes, {_PROGRESS} AS progress
FROM tasks AS task
LEFT JOIN projects AS project ON project.guid = {project_from("task.parent_guid")}
LEFT JOIN users AS person ON person.id = task.assignee_id"""


def _last_known(key: str, guid: str) -> str:
    """A value of an item that has left, from its last state."""
    return (
        f"(SELECT gone.last_values ->> '{key}' FROM removed_rows AS gone "
        f"WHERE gone.row_guid = {guid} ORDER BY gone.seq DESC LIMIT 1)"
    )


_DAY: Final = f"coalesce(entry.spent_on, (entry.time_create + {_ZONE})::date)"

# Of an item that has left, its last parent leads to the project, which may have left as well.
_FROM_ENTRY: Final = first_there("spent.item_guid", partial(_last_known, "parent_guid"))

_TIME_BY_DAY: Final = f"""SELECT spent.day, spent.user_id, {NAME} AS user_name, spent.item_guid,
  coalesce({title_of("spent.item_guid")},
    {_last_known("title", "spent.item_guid")}) AS item_title,
  project.guid AS project_guid, project.title AS project_title, spent.minutes
FROM (
  SELECT {_DAY} AS day, entry.user_id, entry.item_guid,
    sum({counted_minutes("entry.minutes")})::bigint AS minutes
  FROM time_entries AS entry GROUP BY 1, 2, 3
) AS spent
LEFT JOIN projects AS project ON project.guid = {project_from(_FROM_ENTRY)}
LEFT JOIN users AS person ON person.id = spent.user_id"""

# Summed by the nearest project first: the way up is short, and projects are few.
_PROJECT_PROGRESS: Final = f"""WITH RECURSIVE
  own(project, tasks, completed, est, spent) AS (
    SELECT near.project, count(*), count(*) FILTER (WHERE near.completed),
      sum({counted_minutes("near.time_est_minutes")}),
      sum({counted_minutes("near.time_spent_minutes")})
    FROM (
      SELECT task.completed, task.time_est_minutes, task.time_spent_minutes,
        {project_from("task.parent_guid")} AS project
      FROM tasks AS task
    ) AS near GROUP BY 1
  ),
  below(project, above) AS (
    SELECT guid, guid FROM projects
    UNION
    SELECT below.project,
      {project_from("(SELECT p.parent_guid FROM projects AS p WHERE p.guid = below.above)")}
    FROM below WHERE below.above IS NOT NULL
  ),
  total(project, tasks, completed, est, spent) AS (
    SELECT below.above, sum(own.tasks), sum(own.completed), sum(own.est), sum(own.spent)
    FROM below JOIN own ON own.project = below.project GROUP BY 1
  )
SELECT project.guid, project.title, coalesce(total.tasks, 0)::bigint AS tasks,
  coalesce(total.completed, 0)::bigint AS completed,
  floor(100 * total.completed / total.tasks)::integer AS percent,
  coalesce(total.est, 0)::bigint AS time_est_minutes,
  coalesce(total.spent, 0)::bigint AS time_spent_minutes
FROM projects AS project LEFT JOIN total ON total.project = project.guid"""

VIEWS: Final = {
    "items": ("all kinds in one shape", all_items()),
    "task_overview": (
        (
            "progress is the completed share of a task's direct child tasks in percent, of a task "
            "without any 100 or 0; project is the nearest one above"
        ),
        _TASK_OVERVIEW,
    ),
    "time_by_day": ("minutes by day, person and item, unsent ones included", _TIME_BY_DAY),
    "project_progress": (
        "all tasks below a project, at any depth; percent is null when there are none",
        _PROJECT_PROGRESS,
    ),
}
"""What each view means, and its query, by its name."""


def taken_names(connection: Connection) -> list[str]:
    """The views that can't be made, since people have something else of that name."""
    found = _found(connection)
    return sorted(name for name, comment in found.items() if not comment.startswith(_OURS))


def views_to_make(connection: Connection) -> list[str]:
    """The views that are missing, or of another version."""
    found = _found(connection)
    return [
        name
        for name in VIEWS
        if name not in found or (found[name].startswith(_OURS) and found[name] != _comment(name))
    ]


def install_views(connection: Connection) -> None:
    """Make the views that are missing or of another version, and say what everything means."""
    made = False
    for name in views_to_make(connection):
        query = VIEWS[name][1].replace("%", "%%")
        connection.exec_driver_sql(f"CREATE OR REPLACE VIEW {name} AS {query}")
        _comment_on(connection, "VIEW", name, _comment(name), _view_columns(name))
        made = True
    if made:
        for table in _commented():
            columns = {c.name: c.comment or "" for c in table.c}
            _comment_on(connection, "TABLE", table.name, table.comment or "", columns)


def _comment_on(
    connection: Connection, kind: str, relation: str, comment: str, columns: Mapping[str, str]
) -> None:
    told = {f"{kind} {relation}": comment}
    told |= {f"COLUMN {relation}.{column}": meaning for column, meaning in columns.items()}
    # At once: there are hundreds, and each would wait for the server.
    statements = [f"COMMENT ON {target} IS {_quoted(text)}" for target, text in told.items()]
    connection.exec_driver_sql("; ".join(statements))


def _view_columns(view: str) -> dict[str, str]:
    """What each column of a view means."""
    meant = dict(VIEW_COLUMNS[view])
    if view == "items":
        tasks = ITEM_TABLES["tasks"].c
        meant |= {name: tasks[name].comment or "" for name in meant if name in tasks}
    return meant


def _commented() -> list[Table]:
    """The tables that mean anything to anyone."""
    return [table for table in metadata.tables.values() if table.comment]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''").replace("%", "%%") + "'"


@cache
def _texts() -> str:
    """All comments there are, told apart from those of other versions."""
    said = [(t.name, t.comment, [(c.name, c.comment) for c in t.c]) for t in _commented()]
    return repr((said, VIEW_COLUMNS))


def _comment(name: str) -> str:
    meaning, query = VIEWS[name]
    return f"{_OURS}{meaning} ({hashlib.sha256((query + _texts()).encode()).hexdigest()[:16]})"


def _found(connection: Connection) -> dict[str, str]:
    """What the schema has under the names of the views: its comment, whatever it is."""
    query = (
        "SELECT relname, coalesce(obj_description(oid, 'pg_class'), '') FROM pg_class "
        "WHERE relnamespace = quote_ident(current_schema())::regnamespace AND relname = ANY(%s)"
    )
    rows = connection.exec_driver_sql(query, (list(VIEWS),))
    return dict(rows.all())
