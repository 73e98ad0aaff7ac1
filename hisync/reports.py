"""The reports that hiTask itself offers, from the mirror: time, progress, assigned tasks.

A row is a dict by column, minutes are whole numbers, and no request is made. Days are days in the
account's time zone. Public: `Report`, `Scope`, `report_time`, `report_progress`,
`report_assigned`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Connection,
    Date,
    Select,
    TableClause,
    Text,
    cast,
    column,
    literal,
    select,
    table,
)

from hisync.items import fields_of
from hisync.mirror import dialects
from hisync.mirror.cells import UnreadableCellError, decode_cell
from hisync.mirror.rows import parents_of
from hisync.mirror.tables import ITEM_TABLES

Row: TypeAlias = dict[str, Any]

_DUE: Final = fields_of("tasks")["due_date"]
_PROJECTS: Final = ITEM_TABLES["projects"].c

TIME_COLUMNS: Final = (
    *("day", "user_id", "user_name", "project_guid", "project_title", "item_guid", "item_title"),
    "minutes",
)
PROGRESS_COLUMNS: Final = (
    *("guid", "title", "tasks", "completed", "percent", "time_est_minutes"),
    "time_spent_minutes",
)
ASSIGNED_COLUMNS: Final = (
    *("assignee_id", "assignee_name", "guid", "title", "project_guid", "project_title"),
    *("due_date", "is_overdue", "time_est_minutes", "time_spent_minutes", "progress"),
)

# Without types, so that cells come raw: people may have written anything. Dates as texts: there may
# be one that Python has not.
_time_by_day: Final = table("time_by_day", *map(column, TIME_COLUMNS))
_task_overview: Final = table("task_overview", *map(column, (*ASSIGNED_COLUMNS, "completed")))


@dataclass(frozen=True, slots=True)
class Scope:
    """What a report is about.

    Attributes:
        start: its first day, None for all before.
        end: its last day, None for all after.
        user: the id of the one person it is about, None for everyone.
        project: the guid of the project it is about, those below it included; None for all.
        zone: the account's time zone.
    """

    start: date | None = None
    end: date | None = None
    user: int | None = None
    project: str | None = None
    zone: tzinfo = UTC

    @property
    def narrows(self) -> bool:
        """Whether it leaves out some tasks of a project."""
        return (self.user, self.start, self.end) != (None, None, None)

    def has(self, day: date | None) -> bool:
        """Whether a day is within; what has no day is, only where there are no limits."""
        if day is None:
            return self.start is None and self.end is None
        return (self.start or date.min) <= day <= (self.end or date.max)


@dataclass(frozen=True, slots=True)
class Report:
    """A report's rows, each with the same columns, and what they come to."""

    columns: tuple[str, ...]
    rows: list[Row]
    total: Row


def report_time(connection: Connection, scope: Scope) -> Report:
    """The minutes spent by day, person and item, in that order; 0 in a day is left out."""
    spent = _time_by_day.c
    query: Select[Any] = select(*_as_shown(_time_by_day, "day")).where(spent.minutes != 0)
    query = _in_projects(connection, query, spent.project_guid, scope)
    if scope.user is not None:
        query = query.where(spent.user_id == scope.user)
    if scope.start is not None:
        query = query.where(spent.day >= literal(scope.start, Date))
    if scope.end is not None:
        query = query.where(spent.day <= literal(scope.end, Date))
    query = query.order_by(spent.day, spent.user_name, spent.project_title, spent.item_title)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    return Report(TIME_COLUMNS, rows, {"minutes": sum(row["minutes"] for row in rows)})


def report_progress(connection: Connection, scope: Scope) -> Report:
    """The tasks of each project, those of the projects below it included.

    With a person or days, only the tasks that are assigned to them or due then count, and only
    projects that have some are listed. Each task counts once in the total.
    """
    below = _projects_below(connection)
    wanted = below if scope.project is None else below.get(scope.project, ())
    own: dict[str, list[Row]] = {}
    for task in _tasks(connection, scope):
        own.setdefault(task["project_guid"], []).append(task)
    titles = select(_PROJECTS.guid, _PROJECTS.title).order_by(_PROJECTS.title, _PROJECTS.guid)
    rows: list[Row] = []
    for guid, title in connection.execute(titles):
        tasks = [task for project in below[guid] for task in own.get(project, ())]
        if guid in wanted and (tasks or not scope.narrows):
            rows.append({"guid": guid, "title": title, **_progress(tasks)})
    counted = [task for project in wanted for task in own.get(project, ())]
    return Report(PROGRESS_COLUMNS, rows, _progress(counted))


def report_assigned(connection: Connection, scope: Scope) -> Report:
    """The open tasks that are somebody's, by person, what is due first first.

    With days, only the tasks that are due then.
    """
    rows = [
        {**{name: task[name] for name in ASSIGNED_COLUMNS}, "is_overdue": bool(task["is_overdue"])}
        for task in _tasks(connection, scope)
        if task["assignee_id"] is not None and not task["completed"]
    ]
    rows.sort(key=_by_person_and_due)
    total = {"tasks": len(rows), "is_overdue": sum(row["is_overdue"] for row in rows)}
    return Report(ASSIGNED_COLUMNS, rows, total | _times(rows))


def _tasks(connection: Connection, scope: Scope) -> Iterator[Row]:
    """The tasks in a scope, `due_date` as a day, or as an instant in the account's zone."""
    task, rest = _task_overview.c, ITEM_TABLES["tasks"]
    all_day = dialects.of(connection).raw(rest.c.is_all_day).label("is_all_day")
    query: Select[Any] = select(*_as_shown(_task_overview, "due_date"), all_day).join(
        rest, rest.c.guid == task.guid
    )
    query = _in_projects(connection, query, task.project_guid, scope)
    if scope.user is not None:
        query = query.where(task.assignee_id == scope.user)
    for row in connection.execute(query).mappings():
        due = _due(row["due_date"], bool(row["is_all_day"]), scope.zone)
        day = due.date() if isinstance(due, datetime) else due
        if scope.has(day if isinstance(day, date) else None):
            yield {**row, "due_date": due}


def _as_shown(view: TableClause, dated: str) -> list[ColumnElement[Any]]:
    return [cast(c, Text).label(dated) if c.name == dated else c for c in view.c]


def _due(cell: Any, all_day: bool, zone: tzinfo) -> date | datetime | str | None:
    """When a task is due; a cell that can't be read as it stands."""
    try:
        moment: datetime | None = decode_cell(_DUE, cell, all_day=all_day)
        if moment is None:
            return None
        return moment.date() if all_day else moment.replace(tzinfo=UTC).astimezone(zone)
    except (UnreadableCellError, OverflowError):
        return str(cell)


def _by_person_and_due(row: Row) -> tuple[Any, ...]:
    due = row["due_date"]
    when = due.isoformat() if isinstance(due, date) else "~"  # after every digit
    person = (str(row["assignee_name"] or "~").casefold(), str(row["assignee_id"]))
    return (*person, when, str(row["title"] or "").casefold(), row["guid"])


def _progress(tasks: Collection[Row]) -> Row:
    completed = sum(bool(task["completed"]) for task in tasks)
    percent = 100 * completed // len(tasks) if tasks else None
    return {"tasks": len(tasks), "completed": completed, "percent": percent, **_times(tasks)}


def _times(rows: Collection[Row]) -> Row:
    return {
        name: sum(row[name] for row in rows if isinstance(row[name], int))
        for name in ("time_est_minutes", "time_spent_minutes")
    }


def _projects_below(connection: Connection) -> dict[str, frozenset[str]]:
    """The projects below each project at any depth, itself included, by guid."""
    projects = list(connection.execute(select(_PROJECTS.guid)).scalars())
    parents = parents_of(connection, projects)
    found: dict[str, set[str]] = {project: set() for project in projects}
    for project in projects:
        seen: set[str | None] = set()
        above: str | None = project
        while above is not None and above not in seen:  # people may have made a circle
            seen.add(above)
            if above in found:
                found[above].add(project)
            above = parents.get(above)
    return {project: frozenset(below) for project, below in found.items()}


def _in_projects(
    connection: Connection, query: Select[Any], project: ColumnElement[Any], scope: Scope
) -> Select[Any]:
    if scope.project is None:
        return query
    below = _projects_below(connection).get(scope.project, frozenset())
    return query.where(project.in_(sorted(below)))
