"""The reports, held against what the sandbox's own model says, and how they are printed."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hisync.cli.report_formats import print_json
from hisync.reports import Report
from hisync.sandbox import Model, running
from hisync.sandbox.records import Item
from tests.cli.conftest import Done, Site
from tests.postgres import server
from tests.world import Backend

BOTH = True

ZONE = ZoneInfo("Europe/Stockholm")  # the account's
TODAY = datetime.now(ZONE).date()

SPENT = [  # task, user, day, minutes: places in the team's lists, and days ago
    (0, 0, 0, 30),
    (0, 0, 0, 45),
    (0, 1, 0, 15),
    (1, 0, 1, 90),
    (2, 1, 1, 60),
    (2, None, 7, 120),
    (3, 2, 8, -30),
    (4, 2, 8, 600),
]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Iterator[Site]:
    """A mirror of 120 items whose time is all in `SPENT`; no test of it may write."""
    with running(120) as sandbox:
        for item in sandbox.model.items():
            item.put("time_spent", None)
        served = server().create() if backend == "postgresql" else ""
        site = Site(tmp_path_factory.mktemp("team"), sandbox, served)
        site.configure()
        assert site.run("sync").returncode == 0
        for place, user, ago, minutes in SPENT:
            site.sql(
                "INSERT INTO time_entries (item_guid, user_id, spent_on, minutes) "
                "VALUES (?, ?, ?, ?)",
                tasks(sandbox.model)[place].guid,
                None if user is None else sandbox.model.users[user].id,
                (TODAY - timedelta(days=ago)).isoformat(),
                minutes,
            )
        sandbox.service.reset_log()
        yield site
        assert not sandbox.service.log  # not one request


@pytest.fixture
def site(new_site: Callable[..., Site]) -> Site:
    """A site with little in it but what a test puts there."""
    return new_site(5)


def tasks(model: Model) -> list[Item]:
    return [item for item in model.items() if item.category == 1]


def projects(model: Model) -> list[Item]:
    return [item for item in model.items() if item.category == 0]


def project_of(model: Model, item: Item) -> Item | None:
    """The nearest project above."""
    while item.parent:
        item = model.item(item.parent)
        if item.category == 0:
            return item
    return None


def due(item: Item) -> datetime | None:
    """When an item is due, in the account's zone."""
    value = item.get("due_date")
    return datetime.fromtimestamp(value / 1000, ZONE) if isinstance(value, int) else None


def report(site: Site, *arguments: str) -> Any:
    done = site.run("report", *arguments, "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def day(ago: int) -> str:
    return (TODAY - timedelta(days=ago)).isoformat()


# Time


def spent(model: Model, wanted: Callable[[int, int | None, int], bool]) -> Counter[Any]:
    """The minutes by day, user, project and item that these entries come to."""
    found: Counter[Any] = Counter()
    for place, user, ago, minutes in SPENT:
        if wanted(place, user, ago):
            task = tasks(model)[place]
            project = project_of(model, task)
            name = None if user is None else model.users[user].name
            found[day(ago), name, project and project.title, task.title] += minutes
    return found


def shown(rows: list[dict[str, Any]]) -> dict[Any, int]:
    key = ("day", "user_name", "project_title", "item_title")
    found = {tuple(row[name] for name in key): row["minutes"] for row in rows}
    assert len(found) == len(rows)
    return found


def test_time_comes_by_day_user_project_and_item(team: Site) -> None:
    rows = report(team, "time")
    assert shown(rows) == spent(team.model, lambda *_: True)
    assert [row["day"] for row in rows] == sorted(row["day"] for row in rows)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--from", day(7)], lambda _p, _u, ago: ago <= 7),
        (["--to", day(1)], lambda _p, _u, ago: ago >= 1),
        (["--from", day(1), "--to", day(1)], lambda _p, _u, ago: ago == 1),
        (["--from", "2001-01-01", "--to", "2001-12-31"], lambda *_: False),
        (["--user", "tariq@example.com"], lambda _p, user, _a: user == 1),
        (["--user", "Mei", "--from", day(1)], lambda *_: False),
    ],
)
def test_time_is_limited_by_days_and_user(
    team: Site, options: list[str], wanted: Callable[..., bool]
) -> None:
    assert shown(report(team, "time", *options)) == spent(team.model, wanted)


def test_time_is_limited_by_project(team: Site) -> None:
    model = team.model
    found: dict[Any, int] = {}
    for project in projects(model):
        mine = spent(model, lambda p, *_: project_of(model, tasks(model)[p]) is project)  # noqa: B023
        assert shown(report(team, "time", "--project", project.title)) == mine
        found |= mine
    assert found


# Progress


def progress(model: Model, wanted: Callable[[Item], bool]) -> dict[str, Any]:
    """Tasks, completed ones, estimate and time of each project, by its title."""
    logged: Counter[int] = Counter()
    for place, _, _, minutes in SPENT:
        logged[tasks(model)[place].id] += minutes
    found: dict[str, list[Any]] = {p.title: [0, 0, 0, 0] for p in projects(model)}
    for task in tasks(model):
        project = project_of(model, task)
        if project is not None and wanted(task):
            added = (1, bool(task.get("completed")), task.get("time_est") or 0, logged[task.id])
            found[project.title] = [a + b for a, b in zip(found[project.title], added, strict=True)]
    return found


def shown_progress(rows: list[dict[str, Any]]) -> dict[str, Any]:
    for row in rows:
        percent = 100 * row["completed"] // row["tasks"] if row["tasks"] else None
        assert row["percent"] == percent
    names = ("tasks", "completed", "time_est_minutes", "time_spent_minutes")
    return {row["title"]: [row[name] for name in names] for row in rows}


def test_progress_shows_every_project_as_the_view_does(team: Site) -> None:
    rows = report(team, "progress")
    assert shown_progress(rows) == progress(team.model, lambda _: True)
    view = team.sql("SELECT * FROM project_progress ORDER BY title, guid")
    assert [tuple(row.values()) for row in rows] == view


def test_progress_of_a_user_counts_their_tasks(team: Site) -> None:
    tariq = team.model.users[1]
    mine = progress(team.model, lambda task: task.get("assignee") == tariq.id)
    some = {title: numbers for title, numbers in mine.items() if numbers[0]}
    assert some
    assert shown_progress(report(team, "progress", "--user", str(tariq.id))) == some


def test_progress_within_days_counts_the_tasks_that_are_due_then(team: Site) -> None:
    first, last = TODAY - timedelta(days=9), TODAY + timedelta(days=20)

    def within(task: Item) -> bool:
        when = due(task)
        return when is not None and first <= when.date() <= last

    some = {t: numbers for t, numbers in progress(team.model, within).items() if numbers[0]}
    assert some
    rows = report(team, "progress", "--from", first.isoformat(), "--to", last.isoformat())
    assert shown_progress(rows) == some


@pytest.mark.slow
def test_a_project_within_a_project_counts_in_both_and_once_in_the_total(site: Site) -> None:
    ann = site.model.users[0]
    outer = site.model.create(user=ann, title="Outer", category=0, short_name="OUT")
    inner = site.model.create(user=ann, title="Inner", category=0, parent=outer.id)
    step = site.model.create(user=ann, title="Step", parent=inner.id, time_est=60)
    site.model.create(user=ann, title="Deep", parent=step.id, time_est=30, assignee=ann.id)
    site.run("sync")
    names = ("title", "tasks", "time_est_minutes")
    rows = report(site, "progress", "--project", "out")
    assert [tuple(row[n] for n in names) for row in rows] == [("Inner", 2, 90), ("Outer", 2, 90)]
    view = site.sql("SELECT * FROM project_progress WHERE title IN ('Inner', 'Outer') ORDER BY 2")
    assert [tuple(row.values()) for row in rows] == view
    table = site.run("report", "progress", "--project", "Outer").stdout.splitlines()
    assert table[-1].split() == ["total", "2", "0", "0", "1:30", "0:00"]
    assert [row["title"] for row in report(site, "assigned", "--project", "Outer")] == ["Deep"]


# Assigned


def open_and_assigned(model: Model) -> list[Item]:
    return [each for each in tasks(model) if each.get("assignee") and not each.get("completed")]


def test_assigned_shows_the_open_tasks_by_assignee(team: Site) -> None:
    rows = report(team, "assigned")
    names = {user.id: user.name for user in team.model.users}
    assert {row["guid"]: (row["assignee_name"], row["title"]) for row in rows} == {
        task.guid: (names[int(str(task.get("assignee")))], task.title)
        for task in open_and_assigned(team.model)
    }
    by_person: dict[str, list[str]] = {}
    for row in rows:
        by_person.setdefault(row["assignee_name"], []).append(row["due_date"] or "9999")
    assert list(by_person) == sorted(by_person, key=str.casefold)
    assert all(dates == sorted(dates) for dates in by_person.values())


def test_assigned_tells_what_is_overdue_and_when_it_was_due(team: Site) -> None:
    now = datetime.now(UTC)
    expected: dict[str, tuple[str | None, bool]] = {}
    for task in open_and_assigned(team.model):
        when, all_day = due(task), bool(task.get("is_all_day"))
        if when is None:
            expected[task.guid] = (None, False)
        elif all_day:
            expected[task.guid] = (when.date().isoformat(), when.date() < TODAY)
        else:
            expected[task.guid] = (when.isoformat(), when < now)
    rows = report(team, "assigned")
    assert {row["guid"]: (row["due_date"], row["is_overdue"]) for row in rows} == expected
    assert {overdue for _, overdue in expected.values()} == {True, False}


@pytest.mark.slow
def test_assigned_is_limited_to_a_user_and_to_days_in_the_accounts_zone(site: Site) -> None:
    ann, tariq = site.model.users[:2]
    for title, user, moment, all_day in [
        ("evening", ann, "2031-05-17T21:59:00.000+00:00", False),
        ("midnight", ann, "2031-05-17T22:00:00.000+00:00", False),  # the 18th in Stockholm
        ("whole day", ann, "2031-05-17T23:59:00.000+02:00", True),
        ("his", tariq, "2031-05-17T12:00:00.000+00:00", False),
        ("never", ann, None, False),
    ]:
        dates = {"due_date": moment, "end_date": moment} if moment else {}
        site.model.create(user=ann, title=title, assignee=user.id, is_all_day=all_day, **dates)
    site.run("sync")

    def titles(*options: str) -> set[str]:
        return {row["title"] for row in report(site, "assigned", *options)}

    assert titles("--from", "2031-05-17", "--to", "2031-05-17") == {"evening", "whole day", "his"}
    assert titles("--from", "2031-05-18", "--user", "ann") == {"midnight"}
    assert {"never", "evening"} <= titles("--user", "Ann Lindqvist")
    assert "his" not in titles("--user", "Ann Lindqvist")
    site.configure(hitask={"time_zone": "UTC"})
    assert "midnight" in titles("--from", "2031-05-17", "--to", "2031-05-17")


@pytest.mark.sqlite_only  # PostgreSQL refuses such texts, or reads them
def test_a_date_that_cant_be_read_is_shown_as_it_stands(site: Site) -> None:
    site.run("sync")
    ann = site.model.users[0].id
    site.sql(
        "INSERT INTO tasks (title, assignee_id, due_date) VALUES ('T', ?, 'tomorrow'), "
        "('U', ?, '9999-12-31 23:30')",
        *(ann, ann),
    )
    rows = {row["title"]: row["due_date"] for row in report(site, "assigned")}
    assert (rows["T"], rows["U"]) == ("tomorrow", "9999-12-31 23:30")
    assert "T" not in {row["title"] for row in report(site, "assigned", "--to", "9999-12-31")}


@pytest.mark.core
def test_a_date_that_python_has_not_is_shown_as_it_stands(site: Site) -> None:
    site.run("sync")
    ann = site.model.users[0].id
    far, last = "10000-01-01", "infinity"
    for title, due in (("T", far), ("U", last)):
        site.sql(
            "INSERT INTO tasks (title, assignee_id, due_date) VALUES (?, ?, ?)", title, ann, due
        )
    site.sql(
        "INSERT INTO time_entries (item_guid, minutes, spent_on) "
        "SELECT guid, 5, ? FROM tasks WHERE title = 'U'",
        last,
    )
    rows = {row["title"]: row["due_date"] for row in report(site, "assigned", "--user", str(ann))}
    assert rows["T"].startswith(far)
    assert rows["U"] == last
    assert sum(row["minutes"] for row in report(site, "time", "--from", day(1))) >= 5
    assert report(site, "progress")


# Who and what is meant


@pytest.mark.parametrize(
    "name", ["190989", "tariq@example.com", "TARIQ@example.com", "Tariq Haddad", "haddad", " tariq"]
)
def test_a_user_is_found_by_any_name(team: Site, name: str) -> None:
    assert {row["assignee_id"] for row in report(team, "assigned", "--user", name)} == {190989}


def test_a_name_is_found_however_its_letters_are_written(team: Site) -> None:
    rows = report(team, "assigned", "--user", "n\u0075\u0301n\u0303ez")
    assert {row["assignee_name"] for row in rows} == {"José Núñez Ibarra"}


@pytest.mark.parametrize("name", ["WEB", "web", "Website relaunch", "website"])
def test_a_project_is_found_by_any_name(team: Site, name: str) -> None:
    (guid,) = team.sql("SELECT guid FROM projects WHERE short_name = 'WEB'")[0]
    assert {row["guid"] for row in report(team, "progress", "--project", name)} == {guid}
    assert {row["guid"] for row in report(team, "progress", "--project", guid)} == {guid}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--user", "zzz"], ["--user", "no user 'zzz'", "Ann Lindqvist (190960)"]),
        (["--user", "tarik hadad"], ["no user 'tarik hadad'", "there is Tariq Haddad (190989)\n"]),
        (["--user", "a"], ["'a' may be", "Ann Lindqvist (190960)", "Tariq Haddad", "by id"]),
        (["--user", ""], ["no user ''"]),
        (["--user", "5"], ["no user '5'"]),
        (["--project", "nope"], ["--project", "no project 'nope'", "Website relaunch (WEB)"]),
        (["--project", "e"], ["'e' may be", "Office move (MOVE)"]),
        (["--from", "2026-03-02", "--to", "2026-03-01"], ["2026-03-01 is before --from"]),
        (["--from", "yesterday"], ["yesterday"]),
        (["--format", "xml"], ["xml"]),
    ],
)
def test_what_cant_be_meant_is_an_error_of_usage(
    team: Site, options: list[str], words: list[str]
) -> None:
    done = team.run("report", "time", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert [word for word in words if word not in done.stderr] == []


def test_someone_whom_hitask_does_not_show_is_found_by_id_and_named_by_it(site: Site) -> None:
    zoe = site.model.team.add_user("zoe@example.com", "x", "Zoë", "Ng")
    site.model.create(user=site.model.users[0], title="Hers", assignee=zoe.id)
    for path in ("/contact", "/team"):
        site.sandbox.service.faults.add(f"GET {path}:missing_ids={zoe.id}:0")
    site.run("sync")
    assert [row["title"] for row in report(site, "assigned", "--user", str(zoe.id))] == ["Hers"]
    assert str(zoe.id) in site.run("report", "assigned", "--user", str(zoe.id)).stdout


# How it is printed


def table(done: Done) -> list[str]:
    assert done.returncode == 0
    return done.stdout.splitlines()


def test_a_table_has_times_in_hours_and_a_total(team: Site) -> None:
    lines = table(team.run("report", "time", "--user", "mei"))
    assert lines[0].split() == ["day", "user", "project", "item", "time"]
    *times, total = [line.split()[-1] for line in lines[1:]]
    assert (sorted(times), total) == (["-0:30", "10:00"], "9:30")
    assert lines[-1].startswith("total ")
    lines = table(team.run("report", "assigned"))
    assert lines[-1].startswith(f"total of {len(open_and_assigned(team.model))} tasks ")
    overdue = sum(row["is_overdue"] for row in report(team, "assigned"))
    assert sum(" yes " in line for line in lines) == overdue > 0


def test_what_a_colleague_wrote_is_no_markup(site: Site) -> None:
    ann = site.model.users[0]
    site.model.create(user=ann, title="[red]x[/red] [/]", assignee=ann.id)
    site.run("sync")
    assert "[red]x[/red] [/]" in site.run("report", "assigned").stdout


def test_nothing_to_report_is_said(team: Site) -> None:
    never = ("report", "time", "--to", "2001-01-01")
    assert team.run(*never).stdout == "nothing to report\n"
    assert team.run(*never, "--format", "json").stdout == "[]\n"
    assert team.run(*never, "--format", "csv").stdout.startswith("day,user_id,user_name,")


def test_bytes_in_a_cell_are_said_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Of an UPDATE that the next sync will refuse."""
    row = {"title": b"\x61\xff", "due_date": TODAY}
    print_json(Report(("title", "due_date"), [row], {}))
    assert json.loads(capsys.readouterr().out) == [{"title": "61ff", "due_date": TODAY.isoformat()}]


@pytest.mark.parametrize("name", ["time", "progress", "assigned"])
def test_csv_says_what_json_says(team: Site, name: str) -> None:
    text = team.run("report", name, "--format", "csv").stdout
    rows = report(team, name)
    words = {None: "", True: "true", False: "false"}
    assert rows
    assert list(csv.DictReader(io.StringIO(text, newline=""))) == [
        {
            key: words[cell] if cell is None or isinstance(cell, bool) else str(cell)
            for key, cell in row.items()
        }
        for row in rows
    ]


@pytest.mark.slow
def test_csv_has_the_line_ends_of_its_standard(team: Site) -> None:
    command = team.command("report", "progress", "--format", "csv")
    done = subprocess.run(
        command, cwd=team.folder, env=team.environment, capture_output=True, check=True, timeout=60
    )
    assert done.stdout.count(b"\r\n") == done.stdout.count(b"\n") == len(projects(team.model)) + 1


def test_no_title_becomes_a_formula_in_a_spreadsheet(site: Site) -> None:
    guarded = ['=HYPERLINK("http://x","y")', "+1 for this", "- a list", "@home", "\ttab"]
    plain = ["a = b", 'Say "no", twice\nand go', "'quoted", "1-2"]
    ann = site.model.users[0]
    for title in guarded + plain:
        site.model.create(user=ann, title=title, assignee=ann.id)
    site.run("sync")
    text = site.run("report", "assigned", "--format", "csv").stdout
    cells = {row["title"] for row in csv.DictReader(io.StringIO(text, newline=""))}
    assert {*plain, *(f"'{title}" for title in guarded)} <= cells
    titles = {row["title"] for row in report(site, "assigned")}
    assert {*plain, *guarded} <= titles  # JSON says it as it is


@pytest.mark.sqlite_only  # of a server nobody can see the bytes
def test_a_report_asks_nobody_and_writes_nothing(team: Site) -> None:
    before = team.database.read_bytes()
    team.sandbox.service.reset_log()
    for name in ("time", "progress", "assigned"):
        assert team.run("report", name).returncode == 0
    assert not team.sandbox.service.log
    assert team.database.read_bytes() == before


@pytest.mark.sqlite_only  # a server's database may be there without a mirror
def test_without_a_mirror_there_is_a_way_out(site: Site) -> None:
    done = site.run("report", "time")
    assert done.returncode == 1
    assert "hisync sync" in done.stderr
