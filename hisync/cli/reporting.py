"""The commands that report: `report time`, `report progress`, `report assigned`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hisync.cli.exits import reported
from hisync.cli.opening import open_to_read, read_config

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hisync.config import Config
    from hisync.reports import Report, Scope

report_app = typer.Typer(
    help="The reports that hiTask itself offers, from the mirror: no request is made.",
    no_args_is_help=True,
)


class Format(StrEnum):
    """How a report is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


From = Annotated[
    datetime | None,
    typer.Option("--from", formats=["%Y-%m-%d"], metavar="DATE", help="The first day."),
]
To = Annotated[
    datetime | None,
    typer.Option("--to", formats=["%Y-%m-%d"], metavar="DATE", help="The last day."),
]
User = Annotated[
    str | None,
    typer.Option(help="One user: an id, a login, an e-mail or a part of a full name."),
]
Project = Annotated[
    str | None,
    typer.Option(help="One project and those below it: a guid, a short name or a title."),
]
AsFormat = Annotated[
    Format,
    typer.Option(
        "--format",
        help="Times are h:mm in a table, minutes in csv and json. In csv, a text that a "
        "spreadsheet would take for a formula gets an apostrophe in front.",
    ),
]

# The columns of a table and their headings.
_TIME: Final = {
    "day": "day",
    "user_name": "user",
    "project_title": "project",
    "item_title": "item",
    "minutes": "time",
}
_PROGRESS: Final = {
    "title": "project",
    "tasks": "tasks",
    "completed": "completed",
    "percent": "%",
    "time_est_minutes": "estimated",
    "time_spent_minutes": "spent",
}
_ASSIGNED: Final = {
    "assignee_name": "user",
    "title": "task",
    "project_title": "project",
    "due_date": "due",
    "is_overdue": "overdue",
    "time_est_minutes": "estimated",
    "time_spent_minutes": "spent",
    "progress": "%",
}


@report_app.command("time")
@reported
def time(
    context: typer.Context,
    start: From = None,
    end: To = None,
    user: User = None,
    project: Project = None,
    as_: AsFormat = Format.TABLE,
) -> None:
    """Time spent, by day, user and item."""
    from hisync.reports import report_time

    _report(context, report_time, _TIME, as_, (start, end, user, project))


@report_app.command("progress")
@reported
def progress(
    context: typer.Context,
    start: From = None,
    end: To = None,
    user: User = None,
    project: Project = None,
    as_: AsFormat = Format.TABLE,
) -> None:
    """Projects: their tasks, how many are completed, time estimated and spent.

    With days, only the tasks that are due then count; with a user, only theirs.
    """
    from hisync.reports import report_progress

    _report(context, report_progress, _PROGRESS, as_, (start, end, user, project))


@report_app.command("assigned")
@reported
def assigned(
    context: typer.Context,
    start: From = None,
    end: To = None,
    user: User = None,
    project: Project = None,
    as_: AsFormat = Format.TABLE,
) -> None:
    """Open tasks by assignee, what is due first first. With days, only the tasks due then."""
    from hisync.reports import report_assigned

    _report(context, report_assigned, _ASSIGNED, as_, (start, end, user, project))


_Wanted = tuple[datetime | None, datetime | None, str | None, str | None]


def _report(
    context: typer.Context,
    make: Callable[[Connection, Scope], Report],
    headings: dict[str, str],
    as_: Format,
    wanted: _Wanted,
) -> None:
    from hisync.cli.report_formats import print_csv, print_json, print_table

    config = read_config(context.obj)
    with open_to_read(config) as mirror, mirror.reading() as connection:
        report = make(connection, _scope(config, connection, wanted))
    match as_:
        case Format.TABLE:
            print_table(report, headings)
        case Format.CSV:
            print_csv(report)
        case Format.JSON:
            print_json(report)


def _scope(config: Config, connection: Connection, wanted: _Wanted) -> Scope:
    """What the options say.

    Raises:
        ConfigurationError: naming the option that can't be meant.
    """
    from zoneinfo import ZoneInfo

    from hisync.errors import ConfigurationError
    from hisync.mirror import state
    from hisync.people.naming import UnknownNameError, find_project, find_user
    from hisync.reports import Scope

    start, end, user, project = wanted
    if start is not None and end is not None and end < start:
        raise ConfigurationError([f"--to {end:%Y-%m-%d} is before --from {start:%Y-%m-%d}"])
    option = "--user"
    try:
        user_id = None if user is None else find_user(connection, user)
        option = "--project"
        guid = None if project is None else find_project(connection, project)
    except UnknownNameError as error:
        raise ConfigurationError([f"{option}: {error}"]) from None
    named = config.hitask.time_zone
    return Scope(
        start=start.date() if start else None,
        end=end.date() if end else None,
        user=user_id,
        project=guid,
        zone=ZoneInfo(named) if named else state.load(connection).zone,
    )
