"""The commands in which a person decides, also beside a running daemon."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from hisync.sandbox import Fault
from tests.cli.conftest import Site, until

BOTH = True


pytestmark = pytest.mark.slow

LONG = "x" * 300


def edit(site: Site, **cells: object) -> int:
    """Edit one task as somebody's client does; the number of the change."""
    columns = ", ".join(f"{column} = ?" for column in cells)
    own = "(SELECT min(guid) FROM tasks WHERE permission = 100)"
    site.sql(f"UPDATE tasks SET {columns} WHERE guid = {own}", *cells.values())
    return int(site.sql("SELECT max(seq) FROM change_log")[0][0])


def guid(site: Site) -> str:
    return str(site.sql("SELECT min(guid) FROM tasks WHERE permission = 100")[0][0])


def clash(site: Site) -> str:
    """A conflict about the title, settled by policy; the title that both had before."""
    site.run("sync")
    number, title = site.sql("SELECT id, title FROM tasks WHERE guid = ?", guid(site))[0]
    item = site.model.item(number)
    site.model.update(number, user=site.model.user(item.user_id), title="theirs [b]")
    edit(site, title="ours 'quoted' \U0001f409")
    assert site.run("sync").returncode == 0
    return str(title)


def test_alone_they_list(site: Site) -> None:
    site.run("sync")
    edit(site, title="waits")
    for command in ("changes", "conflicts"):
        for options in ((), ("--json",), ("--limit", "1")):
            alone = site.run(command, *options)
            assert alone == site.run(command, "list", *options)
            assert alone.returncode == 0
        assert "list" in site.run(command, "--help").stdout
        assert site.run(command, "nonsense").returncode == 2
    assert json.loads(site.run("changes", "--all", "--json").stdout)[0]["state"] == "pending"


def test_that_a_list_is_not_whole_is_said(site: Site) -> None:
    clash(site)
    edit(site, title="one")
    edit(site, color=3)
    said = "only the newest 1 are listed: --limit N lists more\n"
    for options in ((), ("--json",)):
        short = site.run("changes", "--limit", "1", *options)
        whole = site.run("changes", "--limit", "2", *options)
        assert (short.stderr, whole.stderr) == (said, "")
        assert len(short.stdout) < len(whole.stdout)
    assert site.run("conflicts", "--limit", "1").stderr == ""
    assert site.run("conflicts", "--limit", str(2**63)).returncode == 2


def test_a_rejected_change_is_tried_again(site: Site) -> None:
    site.run("sync")
    site.sandbox.service.faults.add(Fault("status", "PUT", "/item/*", status=400, code=25))
    seq = edit(site, title="second try")
    assert site.run("sync").returncode == 4
    done = site.run("changes", "retry", str(seq))
    assert (done.returncode, done.stdout) == (0, f"change {seq}: tried again as change {seq + 1}\n")
    assert site.run("sync").returncode == 0
    assert "second try" in {item.title for item in site.model.items()}


@pytest.mark.sqlite_only  # PostgreSQL refuses such cells itself
def test_what_is_left_ends_with_4(site: Site) -> None:
    site.run("sync")
    seq = edit(site, due_date="tomorrow")
    site.run("sync")
    done = site.run("changes", "retry", "--all-rejected")
    assert (done.returncode, f"change {seq}: stays rejected: due_date" in done.stdout) == (4, True)
    assert site.run("changes", "discard", "--all-rejected").returncode == 0
    assert site.run("status").stdout.startswith("all is well")
    again = site.run("changes", "discard", "--all-rejected")
    assert (again.returncode, again.stdout) == (0, "no change stands rejected\n")


def test_a_waiting_change_is_taken_back(site: Site) -> None:
    site.run("sync")
    before = site.sql("SELECT * FROM tasks ORDER BY guid")
    first, second = edit(site, title="first"), edit(site, color=7)
    done = site.run("changes", "discard", str(first), str(second))
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"change {first}: discarded: title is hiTask's again",
        f"change {second}: discarded: color is hiTask's again",
    ]
    assert site.sql("SELECT * FROM tasks ORDER BY guid") == before
    assert "pushed 0 changes" in site.run("sync").stdout


def test_a_waiting_comment_and_time_entry_are_taken_back(site: Site) -> None:
    site.run("sync")
    tables = ("comments", "time_entries", "tasks")
    before = [site.sql(f"SELECT * FROM {table} ORDER BY guid") for table in tables]
    site.sql("INSERT INTO comments (item_guid, message) VALUES (?, 'no')", guid(site))
    site.sql("INSERT INTO time_entries (item_guid, minutes) VALUES (?, 5)", guid(site))
    newest = int(site.sql("SELECT max(seq) FROM change_log")[0][0])
    done = site.run("changes", "discard", str(newest - 1), str(newest))
    kept = "discarded: the row is kept in removed_rows"
    lines = [f"change {seq}: {kept}" for seq in (newest - 1, newest)]
    assert (done.returncode, done.stdout.splitlines()) == (0, lines)
    assert "pushed 0 changes" in site.run("sync").stdout
    assert [site.sql(f"SELECT * FROM {table} ORDER BY guid") for table in tables] == before


@pytest.mark.parametrize("command", ["retry", "discard"])
def test_nothing_or_too_much_chosen_is_a_usage_error(site: Site, command: str) -> None:
    site.run("sync")
    for chosen in ((), ("1", "--all-rejected"), ("0",), ("x",), (str(2**63),)):
        assert site.run("changes", command, *chosen).returncode == 2
    done = site.run("changes", command, "7", "8")
    assert (done.returncode, done.stdout) == (1, "")
    assert [line.split(":")[1] for line in done.stderr.splitlines()] == [
        f" there is no change {seq}" for seq in (7, 8)
    ]


@pytest.mark.sqlite_only  # a server's database may be there without a mirror
def test_without_a_mirror_they_say_so(site: Site) -> None:
    for command in (("changes", "retry", "1"), ("changes",), ("conflicts", "show", "1")):
        done = site.run(*command)
        assert (done.returncode, "no mirror at" in done.stderr) == (1, True)
    assert not site.database.exists()


def test_a_conflict_is_shown_in_full_and_resolved_as_it_says(site: Site) -> None:
    before = clash(site)
    shown = site.run("conflicts", "show", "1")
    assert shown.returncode == 0, shown.stderr
    lines = dict(line.split(None, 1) for line in shown.stdout.splitlines())
    assert lines["row"] == f"tasks {guid(site)}, 'theirs [b]'"
    assert (lines["field"], lines["base"]) == ("title", before)
    assert (lines["here"], lines["hiTask"]) == ("ours 'quoted' \U0001f409", "theirs [b]")
    assert (lines["now"], lines["stands"]) == ("theirs [b]", "remote (policy remote)")
    command = shown.stdout.splitlines()[-1].partition(": hisync ")[2].split()
    assert command == ["conflicts", "resolve", "1", "--take", "local"]
    done = site.run(*command)
    assert done.returncode == 0
    assert done.stdout.startswith(
        "conflict 1: title is \"ours 'quoted' \U0001f409\" now, as change "
    )
    assert site.run("sync").returncode == 0
    assert "ours 'quoted' \U0001f409" in {item.title for item in site.model.items()}
    assert "--take remote" in site.run("conflicts", "show", "1").stdout


def test_conflicts_are_json_too(site: Site) -> None:
    clash(site)
    facts = json.loads(site.run("conflicts", "show", "1", "--json").stdout)
    assert (facts["id"], facts["remote_value"], facts["present_value"]) == (1, *["theirs [b]"] * 2)
    assert (facts["title"], facts["present_table"]) == ("theirs [b]", "tasks")
    done = json.loads(site.run("conflicts", "resolve", "1", "--take", "local", "--json").stdout)
    newest = site.sql("SELECT max(seq) FROM change_log")[0][0]
    assert (done["id"], done["resolution"], done["change"]) == (1, "local", newest)
    again = json.loads(site.run("conflicts", "resolve", "1", "--take", "local", "--json").stdout)
    assert again["change"] is None


def test_a_conflict_that_cant_be_resolved_ends_with_1(site: Site) -> None:
    clash(site)
    edit(site, title="newer")
    done = site.run("conflicts", "resolve", "1", "--take", "local")
    assert (done.returncode, done.stdout) == (1, "")
    assert "title is 'newer' by now" in done.stderr
    assert site.run("conflicts", "resolve", "2", "--take", "local").returncode == 1
    for wrong in (("1",), ("1", "--take", "both"), ("x", "--take", "local")):
        assert site.run("conflicts", "resolve", *wrong).returncode == 2
    assert site.sql("SELECT resolution FROM conflicts") == [("remote",)]


def test_the_way_back_of_a_row_that_is_gone_is_named(site: Site) -> None:
    site.run("sync")
    own, number = guid(site), site.sql("SELECT id FROM tasks WHERE guid = ?", guid(site))[0][0]
    item = site.model.item(number)
    edit(site, title="precious")
    site.model.delete(number, user=site.model.user(item.user_id))
    site.run("sync")
    assert f"`hisync restore {own} --as-new`" in site.run("conflicts", "show", "1").stdout
    done = site.run("conflicts", "resolve", "1", "--take", "local")
    assert (done.returncode, "restore" in done.stderr) == (1, True)


def test_they_work_beside_a_running_daemon(site: Site) -> None:
    site.configure(sync={"poll_interval": 1, "push_delay": 0})
    clash(site)
    seq = edit(site, title=LONG)
    site.start("run")
    until(lambda: site.sql("SELECT 1 FROM change_log WHERE seq = ? AND state = 'rejected'", seq))
    assert site.run("conflicts", "resolve", "1", "--take", "local").returncode == 0
    until(lambda: any(item.title.startswith("ours 'quoted'") for item in site.model.items()))
    assert site.run("changes", "retry", str(seq)).returncode == 4  # the resolution is newer
    assert site.run("changes", "discard", str(seq)).returncode == 0
    assert site.sql("SELECT state FROM change_log WHERE seq = ?", seq) == [("discarded",)]


@pytest.mark.sqlite_only  # nobody can hold a whole database there
def test_a_database_that_somebody_holds_is_for_later(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hisync.mirror.dialects.sqlite.connection.BUSY_TIMEOUT_SECONDS", 0.05)
    site.run("sync")
    seq = edit(site, title="waits")
    with closing(sqlite3.connect(site.database, isolation_level=None)) as client:
        client.execute("BEGIN IMMEDIATE")
        done = site.run("changes", "discard", str(seq))
    assert (done.returncode, "someone else's transaction" in done.stderr) == (75, True)
    assert site.sql("SELECT state FROM change_log") == [("pending",)]
