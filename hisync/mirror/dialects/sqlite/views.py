"""The read-only views, in SQLite's words: one shape for all items, and the reports.

They are made after the migrations and made again whenever they are missing or of another version,
since nothing is lost with a view. Each says in its own text that hisync made it, so one of the same
name that is somebody's own is left alone. Public: `VIEWS`,
`install_views`, `views_to_make`, `taken_names`.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from sqlalchemy import Connection

from hisync.mirror.dialects.sqlite.ledger import counted_minutes
from hisync.mirror.dialects.views import NAME, all_items, first_there, project_from, title_of

_OURS: Final = "-- made by hisync, and made again by it:"

_ZONE: Final = (
    "(coalesce(CAST((SELECT value FROM sync_state WHERE key = 'zone_offset') AS INTEGER), 0)"
    " || ' minutes')"
)
"""How far the account's clocks are ahead of UTC, as SQLite's date functions take it."""

# An instant is over when it is past; a day of an all-day task when it is past in the account's
# zone. What can't be read as a date is never over.
_OVERDUE: Final = f"""coalesce(NOT task.completed AND CASE WHEN task.is_all_day
    THEN date(substr(task.due_date, 1, 10)) < date('now', {_ZONE})
    ELSE julianday(task.due_date) < julianday('now') END, 0)"""

# Rounded down: 100 means all of them.
_PROGRESS: Final = """coalesce(
    (SELECT 100 * sum(iif(child.completed, 1, 0)) / count(*) FROM tasks AS child
      WHERE child.parent_guid = task.guid),
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
        f"(SELECT json_extract(last_values, '$.{key}') FROM removed_rows "
        f"WHERE row_guid = {guid} ORDER BY seq DESC LIMIT 1)"
    )


_DAY: Final = f"""CASE WHEN entry.spent_on LIKE '____-__-__%'
    AND date(substr(entry.spent_on, 1, 10)) IS NOT NULL
    THEN substr(entry.spent_on, 1, 10) ELSE date(entry.time_create, {_ZONE}) END"""

# Of an item that has left, its last parent leads to the project, which may have left as well.
_FROM_ENTRY: Final = first_there("spent.item_guid", partial(_last_known, "parent_guid"))

_TIME_BY_DAY: Final = f"""SELECT spent.day, spent.user_id, {NAME} AS user_name, spent.item_guid,
  coalesce({title_of("spent.item_guid")},
    {_last_known("title", "spent.item_guid")}) AS item_title,
  project.guid AS project_guid, project.title AS project_title, spent.minutes
FROM (
  SELECT {_DAY} AS day, entry.user_id, entry.item_guid,
    sum({counted_minutes("entry.minutes")}) AS minutes
  FROM time_entries AS entry GROUP BY 1, 2, 3
) AS spent
LEFT JOIN projects AS project ON project.guid = {project_from(_FROM_ENTRY)}
LEFT JOIN users AS person ON person.id = spent.user_id"""

# Summed by the nearest project first: the way up is short, and projects are few.
_PROJECT_PROGRESS: Final = f"""WITH RECURSIVE
  own(project, tasks, completed, est, spent) AS (
    SELECT {project_from("task.parent_guid")}, count(*), sum(iif(task.completed, 1, 0)),
      sum({counted_minutes("task.time_est_minutes")}),
      sum({counted_minutes("task.time_spent_minutes")})
    FROM tasks AS task GROUP BY 1
  ),
  below(project, above) AS (
    SELECT guid, guid FROM projects
    UNION
    SELECT below.project,
      {project_from("(SELECT parent_guid FROM projects AS p WHERE p.guid = below.above)")}
    FROM below WHERE below.above IS NOT NULL
  ),
  total(project, tasks, completed, est, spent) AS (
    SELECT below.above, sum(own.tasks), sum(own.completed), sum(own.est), sum(own.spent)
    FROM below JOIN own ON own.project = below.project GROUP BY 1
  )
SELECT project.guid, project.title, coalesce(total.tasks, 0) AS tasks,
  coalesce(total.completed, 0) AS completed, 100 * total.completed / total.tasks AS percent,
  coalesce(total.est, 0) AS time_est_minutes, coalesce(total.spent, 0) AS time_spent_minutes
FROM projects AS project LEFT JOIN total ON total.project = project.guid"""


def _view(name: str, meaning: str, query: str) -> str:
    return f"CREATE VIEW {name} AS {_OURS} {meaning}\n{query}"


VIEWS: Final = {
    "items": _view("items", "all kinds in one shape", all_items()),
    "task_overview": _view(
        "task_overview",
        "progress is the completed share of a task's direct child tasks in percent, of a task\n"
        "-- without any 100 or 0; project is the nearest one above",
        _TASK_OVERVIEW,
    ),
    "time_by_day": _view(
        "time_by_day", "minutes by day, person and item, unsent ones included", _TIME_BY_DAY
    ),
    "project_progress": _view(
        "project_progress",
        "all tasks below a project, at any depth; percent is null when there are none",
        _PROJECT_PROGRESS,
    ),
}
"""Each view's statement by its name."""


def taken_names(connection: Connection) -> list[str]:
    """The views that can't be made, since people have something else of that name."""
    return sorted(name for name, sql in _found(connection).items() if _OURS not in sql)


def views_to_make(connection: Connection) -> list[str]:
    """The views that are missing, or of another version."""
    found = _found(connection)
    return [
        name
        for name, sql in VIEWS.items()
        if name not in found or (_OURS in found[name] and found[name] != sql)
    ]


def install_views(connection: Connection) -> None:
    """Make the views that are missing or of another version, with people's own triggers on them."""
    found = _found(connection)
    for name in views_to_make(connection):
        triggers = _triggers_on(connection, name)
        if name in found:
            connection.exec_driver_sql(f"DROP VIEW {name}")
        for statement in (VIEWS[name], *triggers):
            connection.exec_driver_sql(statement)


def _found(connection: Connection) -> dict[str, str]:
    """What the database has under the names of the views: its statement, whatever it is."""
    rows = connection.exec_driver_sql(
        "SELECT lower(name) AS name, coalesce(sql, '') AS sql FROM sqlite_schema "
        "WHERE type IN ('table', 'view')"
    )
    return {row.name: row.sql for row in rows if row.name in VIEWS}


def _triggers_on(connection: Connection, view: str) -> list[str]:
    query = "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND lower(tbl_name) = ?"
    return list(connection.exec_driver_sql(query, (view,)).scalars())
