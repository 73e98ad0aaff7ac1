"""`hisync status`: whatever can be wrong is named, with the command that mends it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from hisync.cli.advice import Advice, advise, in_words
from hisync.cli.health import Status
from hisync.items import TABLES
from hisync.plan.guard import FEW
from hisync.sandbox import Fault
from tests.cli.conftest import Site, until
from tests.cli.terminal import on_terminal

BOTH = True


NOW = 1_800_000_000.0
PARENT = "11111111-1111-4111-8111-111111111111"


def status(**facts: Any) -> Status:
    """A mirror with which all is well, but for these facts."""
    well: dict[str, Any] = {
        "database": "/srv/hisync.db",
        "last_cycle": {"finished_at": NOW - 10.0, "pulled": 0, "pushed": 0, "conflicts": 0},
        "requests_per_minute": 60,
        "poll_interval": 60,
        "full_every": 86400,
        "direction": "two-way",
        "comments": True,
        "now": NOW,
    }
    return Status(**(well | facts))


def cycle(age: float, **facts: Any) -> dict[str, Any]:
    return {"finished_at": NOW - age, "pulled": 0, "pushed": 0, "conflicts": 0, **facts}


def commands(found: list[Advice]) -> list[str]:
    return [command for one in found for command, _ in one.commands]


# What the facts mean.


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"last_cycle": cycle(80_000)},  # once a day, by cron
        {"pid": 7},
        {"changes": {"pending": 3}, "direction": "pull-only"},
        {"waiting": {"number": 3, "oldest": None}, "direction": "pull-only"},
        {"conflicts": 5},
    ],
    ids=["quiet", "cron", "daemon", "pull-only", "pull-only for long", "settled conflicts"],
)
def test_all_is_well(facts: dict[str, Any]) -> None:
    assert advise(status(**facts), "hisync") == []


@pytest.mark.parametrize(
    ("facts", "said", "wanted"),
    [
        ({"last_cycle": None}, "nothing was mirrored yet", ["hisync sync"]),
        ({"last_cycle": None, "pid": 7}, "a process is at it", []),
        ({"last_cycle": cycle(100_000)}, "28 h old", ["hisync sync", "hisync run"]),
        ({"last_cycle": cycle(300), "pid": 7}, "process 7 holds the mirror", []),
        ({"last_cycle": cycle(300), "pid": 0}, "process unknown holds the mirror", []),
        ({"trouble": "login refused (HTTP 403)"}, "login refused", ["hisync check"]),
        ({"trouble": "busy", "rest_left": 700.0}, "left alone for 12 min: wait", []),
        ({"fault": "it is old: run `hisync db upgrade`"}, "old", ["hisync db upgrade"]),
        ({"warnings": ["others read it"], "config": "/a b"}, "others", ["chmod 600 '/a b'"]),
    ],
    ids=lambda value: next(iter(value), "-") if isinstance(value, dict) else None,
)
def test_what_is_wrong_is_said_with_what_to_run(
    facts: dict[str, Any], said: str, wanted: list[str]
) -> None:
    found = advise(status(**facts), "hisync")
    assert len(found) == 1
    assert said in str(found[0])
    assert commands(found) == wanted


def test_a_command_that_the_daemon_stands_in_the_way_of_says_so() -> None:
    held = {"last_cycle": cycle(10, held={"tasks": 15})}
    (beside,) = advise(status(**held, pid=7), "hisync")
    (alone,) = advise(status(**held), "hisync")
    assert "stop process 7 first" in str(beside)
    assert "stop" not in str(alone)


def test_commands_name_the_same_configuration() -> None:
    found = advise(status(last_cycle=None), "hisync --config 'a b.toml'")
    assert commands(found) == ["hisync --config 'a b.toml' sync"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (200_000, "2 days")],
)
def test_a_time_is_said_in_the_unit_that_fits(seconds: float, said: str) -> None:
    assert in_words(seconds) == said


# What a mirror shows.


@pytest.mark.sqlite_only  # PostgreSQL refuses such cells itself
def test_rejected_changes_are_named_and_what_waits_for_them(site: Site) -> None:
    site.run("sync")
    site.sql("INSERT INTO tasks (guid, title) VALUES (?, ' ')", PARENT)
    site.sql("INSERT INTO tasks (title, parent_guid) VALUES ('child', ?)", PARENT)
    below = "SELECT 'below', guid FROM tasks WHERE title = 'child'"
    site.sql(f"INSERT INTO tasks (title, parent_guid) {below}")
    for number in range(3):
        site.sql("INSERT INTO tasks (title, due_date) VALUES (?, 'tomorrow')", f"odd {number}")
    assert site.run("sync").returncode == 4
    done = site.run("status")
    assert done.returncode == 0
    assert "rejected: 4 changes" in done.stdout
    assert "tasks 'odd 2': due_date = 'tomorrow' can't be read" in done.stdout
    assert "'odd 0'" in done.stdout
    assert f"2 rows below tasks {PARENT}" in done.stdout
    facts = json.loads(site.run("status", "--json").stdout)
    newest = facts["rejected"][0]
    assert [row["title"] for row in facts["rejected"]] == ["odd 2", "odd 1", "odd 0"]
    assert f"hisync changes retry {newest['seq']}" in done.stdout
    assert f"hisync changes discard {newest['seq']}" in done.stdout
    assert [(row["guid"], row["waiting"]) for row in facts["stuck"]] == [(PARENT, 2)]


@pytest.mark.slow
def test_held_removals_and_deletions_are_named(new_site: Callable[..., Site]) -> None:
    site = new_site(60)
    site.run("sync")
    site.run("sync")
    gone = site.sql("SELECT id, title FROM tasks ORDER BY id LIMIT 15")
    ids = tuple(number for number, _ in gone)
    site.sandbox.service.faults.add(Fault("missing_ids", "GET", "/item*", count=0, ids=ids))
    assert site.run("sync").returncode == 4
    text = site.run("status").stdout
    assert f"15 of tasks, such as '{gone[0][1]}', '{gone[1][1]}', '{gone[2][1]}'" in text
    assert "hisync sync --allow-removals 15 " in text
    facts = json.loads(site.run("status", "--json").stdout)
    assert facts["held"] == {"tasks": 15}
    assert [row["id"] for row in facts["held_rows"]] == list(ids[:3])
    site.sandbox.service.faults.clear()
    site.configure(safety={"max_push_deletes": 1})
    site.sql("DELETE FROM notes")
    site.run("sync")
    (number,) = site.sql("SELECT count(*) FROM change_log WHERE state = 'held'")[0]
    assert number > 1
    text = site.run("status").stdout
    assert f"held: {number} deletions made here" in text
    assert f"hisync sync --allow-deletes {number} " in text
    assert "--allow-removals" not in text


@pytest.mark.slow
def test_removals_that_leave_nothing_are_held_for_that_reason(
    new_site: Callable[..., Site],
) -> None:
    site = new_site(4)
    site.run("sync")
    held = sum(site.sql(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES)
    assert 0 < held <= FEW
    site.sandbox.service.faults.add("GET /item*:empty_list:0")
    assert site.run("sync").returncode == 4
    text = site.run("status").stdout
    said = (
        f"held: {held} removals: hiTask shows no item at all any more, which looks like a mistake"
    )
    assert said in text
    assert "max_removals" not in text
    assert f"hisync sync --allow-removals {held} " in text


@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
def test_items_with_one_guid_are_named_as_long_as_they_are_there(
    new_site: Callable[..., Site], known: bool
) -> None:
    site = new_site(5, traits=["repeated_guid=duplicates"])
    if known:
        site.run("sync")
    ann = site.model.users[0]
    first = next(item for item in site.model.items() if item.category == 1)
    second = site.model.create(user=ann, guid=first.guid, title="twin")
    third = site.model.create(user=ann, guid=first.guid, title="triplet")
    ids = sorted((first.id, second.id, third.id))
    for _ in range(2):
        site.run("sync")
        text = site.run("status").stdout
        assert text.startswith("all is well")
        listed = ", ".join(map(str, ids))
        assert f"\nduplicates    items {listed} have one guid on hiTask, {first.guid}; each" in text
    facts = json.loads(site.run("status", "--json").stdout)
    assert facts["duplicates"] == [{"guid": first.guid, "ids": ids}]
    for number in (second.id, third.id):
        assert "duplicates" in site.run("status").stdout
        site.sql("DELETE FROM tasks WHERE id = ?", number)
        site.run("sync")
        site.run("sync")
    assert "duplicates" not in site.run("status").stdout


def test_a_row_that_hitask_knows_by_another_guid_is_no_duplicate(
    new_site: Callable[..., Site],
) -> None:
    site = new_site(5, traits=["keeps_guid=false"])
    site.run("sync")
    site.sql("INSERT INTO tasks (title) VALUES ('one'), ('two')")
    site.run("sync")
    assert site.sql("SELECT count(*) FROM sync_base WHERE remote_guid IS NOT NULL") == [(2,)]
    assert json.loads(site.run("status", "--json").stdout)["duplicates"] == []


def test_an_open_conflict_is_named(site: Site) -> None:
    site.run("sync")
    site.sql(
        "INSERT INTO conflicts (table_name, row_guid, field, policy, detected_at) "
        "SELECT 'tasks', guid, 'title', 'remote', '2026-01-01 00:00:00.000000' FROM tasks LIMIT 1"
    )
    text = site.run("status").stdout
    assert "open: 1 conflict\n      1: title of tasks '" in text
    assert "hisync conflicts resolve 1 --take local" in text


@pytest.mark.slow
def test_a_change_that_a_cycle_passed_by_is_told_after_a_while(site: Site) -> None:
    site.run("sync")
    site.sql("INSERT INTO tasks (title) VALUES ('waits')")
    site.run("sync", "--pull-only")
    assert site.run("status").stdout.startswith("all is well")
    site.sql("UPDATE change_log SET changed_at = '2026-01-01 00:00:00.000000'")
    assert "waiting: 1 change" in site.run("status").stdout


def test_a_refused_login_leads_to_check(site: Site) -> None:
    fault = Fault("status", "GET", "/user/authenticate", status=403, code=6, count=0)
    site.sandbox.service.faults.add(fault)
    assert site.run("sync").returncode == 3
    done = site.run("status")
    assert done.returncode == 0
    assert "hiTask refuses the login, the key or the account" in done.stdout
    assert "hisync check" in done.stdout


@pytest.mark.sqlite_only  # drops a trigger by SQLite's name for it
@pytest.mark.slow
def test_a_schema_that_does_not_fit_is_reported_with_all_that_can_be_read(site: Site) -> None:
    site.run("sync")
    site.sql("DROP TRIGGER sync_capture_tasks_after_update")
    done = site.run("status")
    assert done.returncode == 0
    assert "hisync db upgrade" in done.stdout
    assert "hisync sync --full" in done.stdout
    facts = json.loads(site.run("status", "--json").stdout)
    assert (facts["well"], facts["rows"]["users"]) == (False, 7)
    assert sum(facts["rows"][table] for table in TABLES) == 30
    site.sql("DROP TABLE sync_state")
    assert "lacks the table sync_state" in site.run("status").stdout
    assert json.loads(site.run("status", "--json").stdout)["rows"] == {}


def test_an_empty_file_is_a_mirror_to_be(site: Site) -> None:
    site.database.touch()
    done = site.run("status")
    assert (done.returncode, "hisync db upgrade" in done.stdout) == (0, True)


def test_a_configuration_that_others_can_read_is_told(site: Site) -> None:
    site.run("sync")
    config = site.folder / "config.toml"
    config.chmod(0o644)
    assert f"chmod 600 {config}" in site.run("status").stdout
    checked = site.run("check")
    assert checked.returncode == 0  # nothing fails for it: `sync` and `run` go on as well
    assert re.search("^warn config: .*chmod 600", checked.stdout)


@pytest.mark.slow
def test_it_names_the_daemon_and_what_it_stands_in_the_way_of(site: Site) -> None:
    site.configure(sync={"poll_interval": 1}, safety={"max_push_deletes": 0})
    daemon = site.start("run")
    until(lambda: "cycle_finished" in site.log())
    site.sql("DELETE FROM notes WHERE guid = (SELECT min(guid) FROM notes)")
    until(lambda: site.sql("SELECT 1 FROM change_log WHERE state = 'held'"))
    text = site.run("status").stdout
    assert f"running, process {daemon.pid}" in text
    assert f"stop process {daemon.pid} first" in text


def test_what_was_booked_is_not_called_sent(site: Site) -> None:
    site.run("sync")
    text = site.run("status").stdout
    sent = sum(site.sandbox.service.requests.values())
    assert f"\nlast hour     {sent} requests: " in text
    found = re.search(r"\nrate budget   (\d+) of \d+ requests booked in the last minute", text)
    assert found is not None
    assert int(found[1]) >= sent


def test_the_keys_of_its_json_stay(site: Site) -> None:
    site.run("sync")
    facts = json.loads(site.run("status", "--json").stdout)
    kept = {
        *("well", "advice", "database", "pid", "cursor", "delta", "last_cycle", "trouble", "rows"),
        *("changes", "conflicts_open", "conflicts", "requests_last_minute", "held", "now"),
        *("requests_per_minute", "poll_interval"),
    }
    assert facts.keys() >= kept
    assert facts["advice"] == []
    assert abs(facts["now"] - time.time()) < 60


@pytest.mark.sqlite_only  # a server's URL may be wider than the screen
@pytest.mark.slow
def test_on_a_terminal_it_fits_the_screen_and_commands_stay_whole(site: Site) -> None:
    site.run("sync")
    site.sql(
        "UPDATE tasks SET title = ?, due_date = 'tomorrow' WHERE id = (SELECT max(id) FROM tasks)",
        "a long title \x1b[31m " * 10,
    )
    site.run("sync")
    shown = on_terminal(site.command("status"), site.folder, site.environment, columns=60)
    lines = shown.raw.replace("\r\n", "\n").splitlines()
    words = [line for line in lines if "  # " not in line and str(site.folder) not in line]
    assert max(map(len, words)) <= 60
    assert any(line.strip().startswith("hisync changes retry 1 ") for line in lines)
    assert "\x1b" not in shown.raw
