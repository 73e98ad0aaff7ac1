"""The page on the schema says what the schema is, and its queries answer what they say.

What a query should answer is worked out from the sandbox's own model, which shares nothing with
the mirror.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hisync.items import FIELDS, TABLES, Access
from hisync.mirror.meanings import VIEW_COLUMNS, column_meaning
from hisync.sandbox import Model, build_service
from hisync.sandbox.records import Item, Unit
from tests.world import Time, World

PAGE = (Path(__file__).parents[1] / "docs" / "schema.md").read_text("utf-8")
VIEWS = {"items", "task_overview", "time_by_day", "project_progress"}

ZONE = ZoneInfo("Europe/Stockholm")  # the account's
Answer = list[tuple[Any, ...]]

# The page


@dataclass(frozen=True)
class Described:
    """A column as the page describes it."""

    table: str
    column: str
    cells: tuple[str, ...]


def described() -> Iterator[Described]:
    """The rows of the page's tables; a heading names the tables that they are about."""
    names: list[str] = []
    for line in PAGE.splitlines():
        if line.startswith("#"):
            names = re.findall(r"`(\w+)`", line)
        elif found := re.match(r"\| `(\w+)` \| (.*) \|$", line):
            cells = tuple(cell.strip() for cell in found[2].split(" | "))
            yield from (Described(name, found[1], cells) for name in names)


@pytest.fixture(scope="module")
def schema(team: Team) -> dict[str, dict[str, str]]:
    """The database's tables and views, with the declared type of each column."""
    named = team.rows(
        "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') "
        "AND name NOT GLOB 'sqlite_*' AND name NOT GLOB 'sync_*'"
    )
    return {
        name: dict(team.rows("SELECT name, type FROM pragma_table_info(?)", name))
        for (name,) in named
    }


def test_the_page_names_each_table_view_and_column_once(schema: dict[str, dict[str, str]]) -> None:
    counted = Counter((each.table, each.column) for each in described())
    assert [each for each, number in counted.items() if number > 1] == []
    on_page: dict[str, set[str]] = {}
    for table, column in counted:
        on_page.setdefault(table, set()).add(column)
    # The view of all items has what all item tables have, as its text says.
    common = set.intersection(*(on_page[table] for table in TABLES))
    assert on_page["items"] == {"kind"}
    on_page["items"] |= common
    assert on_page == {table: set(columns) for table, columns in schema.items()}


def test_the_types_are_those_of_the_tables(schema: dict[str, dict[str, str]]) -> None:
    words = {
        "TEXT": "text",
        "BIGINT": "integer",
        "INTEGER": "integer",
        "BOOLEAN": "boolean",
        "JSON": "JSON",
        "DATETIME": "timestamp",
        "DATE": "date",
    }
    wrong = [
        each
        for each in described()
        if each.table not in VIEWS and each.cells[0] != words[schema[each.table][each.column]]
    ]
    assert wrong == []


def test_the_meanings_are_those_that_the_database_shows() -> None:
    def shown(each: Described) -> str | None:
        if each.table in VIEWS:
            return VIEW_COLUMNS[each.table][each.column]
        return column_meaning(each.table, each.column, is_items=each.table in TABLES)

    wrong = [each for each in described() if each.cells[-1].replace("`", "") != shown(each)]
    assert wrong == []


def test_who_may_write_a_field_is_what_the_fields_say() -> None:
    words = {Access.WRITABLE: "people", Access.ON_CREATE: "people, in a new row"}
    access = {field.column: words.get(field.access, "hisync") for field in FIELDS}
    access |= {"guid": "people, in a new row", "id": "hisync"}
    said = {each.column: each.cells[1] for each in described() if each.table in TABLES}
    assert said == access


def test_the_diagram_shows_what_there_is(schema: dict[str, dict[str, str]]) -> None:
    found = re.search(r"```mermaid\n(.*?)```", PAGE, re.DOTALL)
    assert found
    entities = dict(re.findall(r"^    (\w+) \{\n(.*?)^    \}", found[1], re.MULTILINE | re.DOTALL))
    assert entities.keys() == schema.keys() - TABLES.keys() - VIEWS | {"items"}
    for name, body in entities.items():
        assert set(re.findall(r"^ +\w+ (\w+)", body, re.MULTILINE)) <= schema[name].keys()
    lines = re.findall(r'^    (\w+) [|}]o?[|o]?--o\{ (\w+) : "(.+)"$', found[1], re.MULTILINE)
    assert len(lines) == found[1].count("--")
    for one, other, label in lines:
        assert {one, other} <= entities.keys()
        for word in label.split(","):
            column = word.strip()
            assert column in schema[other] or column in schema[one] or column == "by name"


# The team that the questions are about


@dataclass
class Team:
    """A mirror of a team, and what is known of it without the mirror.

    Attributes:
        world: the sandbox and its mirror.
        logged: who spent how many minutes when and on what; nobody where it was only seen.
    """

    world: World
    logged: list[tuple[int | None, date, Item, int]] = field(default_factory=list)

    @property
    def model(self) -> Model:
        return self.world.service.model

    @property
    def tasks(self) -> list[Item]:
        return [item for item in self.model.items() if item.category == 1]

    @property
    def today(self) -> date:
        return datetime.now(ZONE).date()

    @property
    def monday(self) -> date:
        return self.today - timedelta(days=self.today.weekday())

    def name(self, user: object) -> str | None:
        return next((each.name for each in self.model.users if each.id == user), None)

    def rows(self, query: str, *values: Any) -> Answer:
        with self.world.client() as client:
            client.row_factory = None
            return client.execute(query, values).fetchall()

    def project(self, item: Item) -> str | None:
        """The title of the nearest project above an item."""
        while item.parent:
            item = self.model.item(item.parent)
            if item.category == 0:
                return item.title
        return None

    def create(self, title: str, **values: Any) -> Item:
        return self.model.create(user=self.model.users[0], title=title, **values)

    def log(self, user: int, day: date, item: Item, minutes: int) -> None:
        """Log time as someone does by SQL."""
        who = self.model.users[user].id
        self.rows(
            "INSERT INTO time_entries (item_guid, user_id, spent_on, minutes) VALUES (?, ?, ?, ?)",
            *(item.guid, who, day.isoformat(), minutes),
        )
        self.logged.append((who, day, item, minutes))


def moment(item: Item, name: str) -> datetime | None:
    value = item.get(name)
    return None if value is None else datetime.fromtimestamp(int(str(value)) / 1000, UTC)


def cell(item: Item) -> str | None:
    """The `due_date` of an item as the mirror writes it."""
    due = moment(item, "due_date")
    if due is not None and item.get("is_all_day"):
        due = datetime.combine(due.astimezone(ZONE).date(), datetime.min.time())
    return due.replace(tzinfo=None).isoformat(" ", "microseconds") if due else None


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """A team of some weeks, synced now; the seed's comments are ten days old."""
    time = Time(datetime.now(UTC) - timedelta(days=10))
    service = build_service(80, 1, clock=time.utc)
    team = Team(World(tmp_path_factory.mktemp("team"), time, service))
    time.now = datetime.now(UTC).timestamp()
    _fill(team)
    for item in team.model.items():
        if spent := item.get("time_spent"):
            seen = datetime.fromtimestamp(item.modified / 1000, ZONE).date()
            team.logged.append((None, seen, item, int(str(spent))))
    team.world.sync()
    _log_time(team)
    summary = team.world.sync()
    assert (summary.rejected, summary.waiting) == (0, {})
    yield team
    team.world.close()


def _fill(team: Team) -> None:
    model, (ann, tariq, mei, *_) = team.model, team.model.users
    for place, (user, texts) in enumerate([(ann, "abc"), (tariq, "de"), (mei, "f")]):
        for text in texts:
            model.comment(team.tasks[place].id, user=user, message=text)
            model.comment(team.tasks[0].id, user=user, message=text)
    monday = team.monday + timedelta(days=7)

    def due(day: date, clock: str) -> dict[str, object]:
        local = datetime.fromisoformat(f"{day} {clock}").replace(tzinfo=ZONE)
        return {"due_date": local.isoformat(timespec="milliseconds")}

    team.create("Early", assignee=ann.id, time_est=90, **due(monday, "00:30"))
    team.create("Late", assignee=mei.id, time_est=60, time_spent=45, **due(monday, "12:00"))
    team.create("Over", assignee=mei.id, time_est=30, time_spent=200, **due(monday, "13:00"))
    sunday = monday + timedelta(days=6)
    team.create("Sunday", assignee=ann.id, time_est=30, is_all_day=True, **due(sunday, "23:59"))
    after = monday + timedelta(days=7)
    team.create("After", assignee=tariq.id, time_est=30, is_all_day=True, **due(after, "23:59"))
    team.create("Today", assignee=ann.id, is_all_day=True, **due(team.today, "23:59"))
    team.create("Done", assignee=mei.id, time_est=60, completed=True, **due(monday, "12:00"))
    before = monday - timedelta(days=1)
    team.create("Before", assignee=tariq.id, time_est=30, **due(before, "23:30"))


def _log_time(team: Team) -> None:
    one, other, third = team.tasks[3:6]
    team.log(0, team.today, one, 50)
    team.log(0, team.monday, other, 40)
    team.log(1, team.today - timedelta(days=8), one, 480)
    team.log(2, team.today, third, 30)
    team.log(2, team.today, third, -30)
    team.log(3, team.today - timedelta(days=40), other, 125)


# What they should answer


def overdue(team: Team) -> Answer:
    now = datetime.now(UTC)
    found: dict[str, list[str | None]] = {}
    for task in team.tasks:
        due = moment(task, "due_date")
        if due is None or task.get("completed"):
            continue
        all_day = bool(task.get("is_all_day"))
        if due.astimezone(ZONE).date() < team.today if all_day else due < now:
            found.setdefault(team.name(task.get("assignee")) or "nobody", []).append(cell(task))
    rows = [(who, len(dues), min(str(due)[:10] for due in dues)) for who, dues in found.items()]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def hours(team: Team) -> Answer:
    found: Counter[tuple[str, str]] = Counter()
    for _, day, item, minutes in team.logged:
        found[team.project(item) or "(no project)", day.isoformat()[:7]] += minutes
    return sorted((*key, round(minutes / 60, 2)) for key, minutes in found.items())


def silent(team: Team) -> Answer:
    spent: Counter[tuple[int | None, date, int]] = Counter()
    for who, day, item, minutes in team.logged:
        spent[who, day, item.id] += minutes
    busy = {who for (who, day, _), n in spent.items() if n > 0 and team.monday <= day <= team.today}
    return sorted((user.name,) for user in team.model.users if user.id not in busy)


def unassigned(team: Team) -> Answer:
    found = [
        (task.title, team.project(task), cell(task))
        for task in team.tasks
        if not task.get("completed") and not task.get("assignee")
    ]
    return sorted(found, key=lambda row: (row[2] is None, row[2] or "", row[0]))


def units(team: Team) -> list[tuple[Item, Unit]]:
    return [(item, unit) for item in team.model.items() for unit in team.model.comments(item.id)]


def commented(team: Team) -> Answer:
    since = (datetime.now(UTC) - timedelta(days=7)).timestamp() * 1000
    counted = Counter(unit.user_name for _, unit in units(team) if unit.time >= since)
    assert sum(counted.values()) < len(units(team))  # some are older
    return sorted(counted.items(), key=lambda row: (-row[1], row[0]))


def over(team: Team) -> Answer:
    found = []
    for task in team.tasks:
        estimated, spent = task.get("time_est"), int(str(task.get("time_spent") or 0))
        if estimated is not None and spent > int(str(estimated)):
            more = spent - int(str(estimated))
            found.append((task.title, team.name(task.get("assignee")), estimated, spent, more))
    return sorted(found, key=lambda row: (-row[-1], row[0]))


def by_tag(team: Team) -> Answer:
    tagged = [(tag, task) for task in team.tasks for tag in _tags(task)]
    every = Counter(tag for tag, _ in tagged)
    unfinished = Counter(tag for tag, task in tagged if not task.get("completed"))
    rows = [(tag, number, unfinished[tag]) for tag, number in every.items()]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def _tags(task: Item) -> list[str]:
    tags = task.get("tags")
    return tags if isinstance(tags, list) else []


def oldest(team: Team) -> Answer:
    unfinished = sorted(
        (task for task in team.tasks if not task.get("completed")), key=lambda task: task.created
    )
    now, rows = datetime.now(UTC), []
    for task in unfinished[:10]:
        made = datetime.fromtimestamp(task.created / 1000, UTC)
        who = team.name(task.get("assignee"))
        rows.append((task.title, who, made.date().isoformat(), (now - made).days))
    return rows


def discussed(team: Team) -> Answer:
    kinds = {0: "project", 1: "task", 2: "event", 4: "note", 5: "file"}
    found = []
    for item in team.model.items():
        said = team.model.comments(item.id)
        if said:
            latest = datetime.fromtimestamp(max(unit.time for unit in said) / 1000, UTC)
            shown = latest.replace(tzinfo=None).isoformat(" ", "microseconds")
            people = len({unit.user_id for unit in said})
            found.append((kinds.get(item.category, "other"), item.title, len(said), people, shown))
    return sorted(found, key=lambda row: (row[2], row[4]), reverse=True)[:10]


def workload(team: Team) -> Answer:
    # By the offset of today, as the page says of `zone_offset`.
    offset = timezone(datetime.now(ZONE).utcoffset() or timedelta())
    monday = team.monday + timedelta(days=7)
    found: dict[str, list[int]] = {}
    for task in team.tasks:
        due, who = moment(task, "due_date"), team.name(task.get("assignee"))
        if due is None or who is None or task.get("completed"):
            continue
        day = due.astimezone(ZONE if task.get("is_all_day") else offset).date()
        if monday <= day <= monday + timedelta(days=6):
            left = int(str(task.get("time_est") or 0)) - int(str(task.get("time_spent") or 0))
            found.setdefault(who, []).append(max(left, 0))
    rows = [(who, len(left), round(sum(left) / 60, 2)) for who, left in found.items()]
    return sorted(rows, key=lambda row: (-row[2], row[0]))


QUESTIONS: dict[str, Callable[[Team], Answer]] = {
    "How much is overdue, and whose is it?": overdue,
    "How many hours went into each project, month by month?": hours,
    "Who has not logged any time this week?": silent,
    "Which open tasks are nobody's?": unassigned,
    "Who commented how much in the last seven days?": commented,
    "Which tasks took longer than estimated, and by how much?": over,
    "How many tasks are there by tag, and how many of them are open?": by_tag,
    "What has been lying around for longest?": oldest,
    "What is being discussed most?": discussed,
    "Who has how much to do next week?": workload,
}


def queries() -> dict[str, str]:
    """The page's questions with their SQL."""
    found = re.findall(r"^### \d+\. (.+?)\n.*?^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return dict(found)


def test_there_are_ten_questions_and_each_is_tested() -> None:
    assert list(queries()) == list(QUESTIONS)
    assert len(QUESTIONS) == PAGE.count("```sql") == 10


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_query_answers_its_question(team: Team, question: str) -> None:
    answer = team.rows(queries()[question])
    assert answer == QUESTIONS[question](team)
    assert len(answer) > 1


def test_the_queries_write_nothing(team: Team) -> None:
    uri = f"file:{team.world.database}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as client:
        for query in queries().values():
            client.execute(query).fetchall()
