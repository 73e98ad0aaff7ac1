"""What `verify` and `restore` print and end with."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from hisync.sandbox import PASSWORD, Fault
from tests.cli.conftest import Site, until

BOTH = True


pytestmark = pytest.mark.slow


def behind_the_triggers(site: Site, *statements: str) -> None:
    """Run statements that no trigger sees."""
    with closing(sqlite3.connect(site.database, isolation_level=None)) as client:
        query = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
        triggers = client.execute(query).fetchall()
        client.execute("BEGIN")
        for name, _ in triggers:
            client.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            client.execute(statement)
        for _, sql in triggers:
            client.execute(sql)
        client.execute("COMMIT")


def tasks(site: Site) -> list[tuple[Any, ...]]:
    query = "SELECT guid, id, title FROM tasks WHERE permission = 100 ORDER BY id"
    return site.sql(query)


def archived(site: Site) -> tuple[str, int]:
    """The guid and number of a task that was archived on hiTask and has left the mirror."""
    site.run("sync")
    guid, number, _ = tasks(site)[0]
    site.model.archive(number, user=site.model.user(site.model.item(number).user_id))
    site.run("sync")
    return guid, number


def drifted(site: Site) -> tuple[Any, ...]:
    site.run("sync")
    guid, number, title = tasks(site)[0]
    behind_the_triggers(site, f"UPDATE tasks SET title = 'missed' WHERE id = {number}")
    return guid, number, title


def test_verify_finds_nothing_in_a_fresh_mirror(site: Site) -> None:
    site.run("sync")
    done = site.run_process("verify")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "compared 30 rows here with 30 items there\nno differences\n"


@pytest.mark.sqlite_only  # writes behind SQLite's triggers
def test_verify_says_what_differs_and_how_to_mend_it(site: Site) -> None:
    guid, number, title = drifted(site)
    other = tasks(site)[1]
    behind_the_triggers(
        site,
        f"DELETE FROM tasks WHERE id = {other[1]}",
        f"DELETE FROM sync_base WHERE id = {number}",
    )
    site.sql("INSERT INTO tasks (title) VALUES ('waits')")
    found = site.run("verify")
    assert found.returncode == 4
    assert found.stdout.splitlines()[:-1] == [
        "compared 30 rows here with 30 items there",
        "drift: 1 cell unlike hiTask's, and no edit of them waits",
        f"  tasks {guid} {title!r}",
        f"    title: here 'missed', on hiTask {title!r}",
        "missing: 1 item of hiTask without a row here",
        f"  tasks {other[0]} {other[2]!r}: its row vanished, and nobody's deletion was seen",
        "bookkeeping: 1 thing amiss",
        f"  tasks {guid}: it is hiTask's, but sync_base does not have it",
        "no difference, but waiting: changes made here that are not sent yet (1 pending)",
    ]
    assert "run `hisync verify --repair`" in found.stdout.splitlines()[-1]
    mended = site.run("verify", "--repair")
    assert mended.returncode == 0, mended.stderr
    assert mended.stdout.splitlines()[-1] == (
        "repaired: 3 differences, 1 value that stood here kept in the table conflicts "
        "(`hisync conflicts list`)"
    )
    assert "no differences" in site.run("verify").stdout
    listed = json.loads(site.run("conflicts", "list", "--json").stdout)
    assert [(row["field"], row["local_value"]) for row in listed] == [("title", "missed")]


@pytest.mark.sqlite_only  # writes behind SQLite's triggers
def test_a_value_that_drifted_can_be_taken_after_all(site: Site) -> None:
    _, number, _ = drifted(site)
    site.run("verify", "--repair")
    assert site.run("conflicts", "resolve", "1", "--take", "local").returncode == 0
    assert site.run("sync").returncode == 0
    assert site.model.item(number).title == "missed"
    assert site.run("verify").returncode == 0


@pytest.mark.sqlite_only  # writes behind SQLite's triggers
def test_verify_as_json(site: Site) -> None:
    guid, _, title = drifted(site)
    number = tasks(site)[1][1]
    behind_the_triggers(
        site, f"UPDATE tasks SET start_date = x'ff', is_all_day = 'x' WHERE id = {number}"
    )
    done = site.run("verify", "--json")
    facts = json.loads(done.stdout)
    assert (done.returncode, facts["differences"], facts["repaired"]) == (4, 3, None)
    assert facts["drift"] == [
        {
            "table": "tasks",
            "guid": guid,
            "title": title,
            "column": "title",
            "here": "missed",
            "there": title,
        }
    ]
    assert {(one["column"], one["text"]) for one in facts["unreadable"]} == {
        ("start_date", "ff"),
        ("is_all_day", "x"),
    }
    repaired = json.loads(site.run("verify", "--repair", "--json").stdout)["repaired"]
    assert (repaired["complete"], repaired["kept"]) == (True, 3)
    assert json.loads(site.run("verify", "--json").stdout)["differences"] == 0


@pytest.mark.sqlite_only  # writes behind SQLite's triggers
def test_many_differences_are_cut_short(new_site: Callable[..., Site]) -> None:
    site = new_site(items=60)
    site.run("sync")
    behind_the_triggers(site, "UPDATE tasks SET message = 'x'")
    lines = site.run("verify").stdout.splitlines()
    assert "  … and more: --json lists all" in lines
    assert len(lines) == 2 + 2 * 20 + 2


def test_held_removals_are_left_and_named(new_site: Callable[..., Site]) -> None:
    site = new_site(items=60)
    site.run("sync")
    for _, number, _ in tasks(site)[:12]:
        site.model.delete(number, user=site.model.user(site.model.item(number).user_id))
    done = site.run("verify", "--repair")
    assert done.returncode == 4
    assert "gone: 12 rows here that hiTask does not show" in done.stdout
    assert "run `hisync sync --allow-removals 12`" in done.stdout


def test_beside_a_daemon_both_wait(site: Site) -> None:
    site.run("sync")
    daemon = site.start("run")
    until(lambda: "daemon_started" in site.log())
    for command in (["verify"], ["verify", "--repair"], ["restore", tasks(site)[0][0]]):
        done = site.run(*command)
        assert (done.returncode, str(daemon.pid) in done.stderr) == (75, True)


@pytest.mark.sqlite_only  # a server's database may be there without a mirror
def test_without_a_mirror_nothing_is_made(site: Site) -> None:
    for command in (["verify"], ["restore", "x"]):
        done = site.run(*command)
        assert (done.returncode, "run `hisync sync`" in done.stderr) == (1, True)
    assert not site.database.exists()


def test_trouble_ends_as_with_other_commands(site: Site) -> None:
    site.run("sync")
    site.sandbox.service.faults.add("GET /item*:status=503:1")
    assert site.run("verify").returncode == 75
    site.configure(hitask={"password": "wrong"})
    refused = site.run("verify")
    assert (refused.returncode, PASSWORD in refused.stderr) == (3, False)


def test_restore_brings_an_archived_item_back(site: Site) -> None:
    site.run("sync")
    guid, number, title = tasks(site)[0]
    assert site.run("restore", guid).stdout == (
        f"nothing to restore: tasks {guid} {title!r} is in the mirror\n"
    )
    site.sql("UPDATE tasks SET archived = true WHERE guid = ?", guid)
    site.run("sync")
    done = site.run_process("restore", guid)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"restored: tasks {guid} {title!r} is back on hiTask, item {number}\n"
    assert site.sql("SELECT id, archived FROM tasks WHERE guid = ?", guid) == [(number, 0)]
    assert site.run("restore", "x").returncode == 1


def test_restore_whose_answer_is_lost_says_what_to_do(site: Site) -> None:
    site.run("sync")
    guid = tasks(site)[0][0]
    site.sql("UPDATE tasks SET archived = true WHERE guid = ?", guid)
    site.run("sync")
    site.sandbox.service.faults.add("GET /archive/restore:drop_before:1")
    done = site.run("restore", guid)
    assert (done.returncode, "running this again is safe" in done.stderr) == (75, True)
    assert site.run("restore", guid).returncode == 0


def test_restore_as_new_creates_it_again(site: Site) -> None:
    site.run("sync")
    guid, _, title = tasks(site)[0]
    site.sql("UPDATE tasks SET parent_guid = NULL WHERE guid = ?", guid)
    site.sql("UPDATE tasks SET parent_guid = NULL WHERE parent_guid = ?", guid)
    site.sql("DELETE FROM tasks WHERE guid = ?", guid)
    site.run("sync")
    refused = site.run("restore", guid)
    assert (refused.returncode, "--as-new" in refused.stderr) == (1, True)
    done = site.run("restore", guid, "--as-new")
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()[:2]
    assert first.startswith("put back as a new row with the guid ")
    made = next(item for item in site.model.items() if item.title == title)
    assert last == f"created again: tasks {made.guid} {title!r} is on hiTask, item {made.id}"
    again = site.run("restore", guid, "--as-new").stdout
    assert f"note: it was created again from {guid} before" in again


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (Fault("status", "POST", "/item", count=0, status=429), 75, "waits to be sent"),
        (Fault("status", "POST", "/item", status=403, code=3), 4, "hiTask refuses it"),
    ],
)
def test_restore_as_new_says_when_it_is_not_there_yet(
    site: Site, fault: Fault, code: int, words: str
) -> None:
    guid, _ = archived(site)
    site.sandbox.service.faults.add(fault)
    done = site.run("restore", guid, "--as-new")
    assert (done.returncode, words in done.stdout) == (code, True), done.stdout


def test_pulling_only_a_new_row_stays_here(site: Site) -> None:
    guid, _ = archived(site)
    site.configure(sync={"direction": "pull-only"})
    before = len(site.model.items())
    done = site.run("restore", guid, "--as-new")
    assert (done.returncode, "it stays here" in done.stdout) == (0, True)
    assert len(site.model.items()) == before


def test_pulling_only_nothing_is_restored_on_hitask(site: Site) -> None:
    guid, number = archived(site)
    site.configure(sync={"direction": "pull-only"})
    done = site.run("restore", guid)
    assert (done.returncode, "sync.direction is pull-only" in done.stderr) == (1, True)
    assert number not in {item.id for item in site.model.items()}
