"""What each command prints and ends with."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing

import psycopg
import pytest

from hisync.items import TABLES
from hisync.sandbox import API_KEY, PASSWORD, Fault
from tests.cli.conftest import Site
from tests.postgres import server

LOOKED_AT = {"config", "credentials", "database", "schema", "API", "clock", "rate budget"}


def test_sync_mirrors_and_says_what_it_did(site: Site) -> None:
    done = site.run_process("sync")
    assert done.returncode == 0, done.stderr
    assert "pulled 60 rows, pushed 0 changes" in done.stdout
    assert sum(site.sql(f"SELECT count(*) FROM {t}")[0][0] for t in ("tasks", "projects")) > 10


def test_a_dry_run_names_each_call_and_changes_nothing(site: Site) -> None:
    site.run("sync")
    site.sql("INSERT INTO tasks (title) VALUES ('not yet')")
    item = site.model.items()[0]
    site.model.update(item.id, user=site.model.user(item.user_id), title="not yet either")
    tables = ("tasks", "projects", "change_log", "sync_base", "sync_intents", "conflicts")
    before = [site.sql(f"SELECT * FROM {table}") for table in tables]
    site.sandbox.service.reset_log()
    done = site.run("sync", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "would change 1 rows" in done.stdout
    assert "would send POST /item 'not yet'" in done.stdout
    assert [site.sql(f"SELECT * FROM {table}") for table in tables] == before
    assert {entry.method for entry in site.sandbox.service.log} == {"GET"}
    assert site.run("sync").returncode == 0
    assert "not yet" in {item.title for item in site.model.items()}


@pytest.mark.slow
def test_a_dry_run_names_all_calls_for_a_row(site: Site) -> None:
    site.run("sync")
    guid = "00000000-0000-4000-8000-00000000000a"
    site.sql(f"INSERT INTO tasks (guid, title, archived) VALUES ('{guid}', 'gone soon', true)")
    site.sql(f"INSERT INTO time_entries (item_guid, minutes) VALUES ('{guid}', 5)")
    lines = site.run("sync", "--dry-run").stdout.splitlines()
    calls = [line.split()[2:4] for line in lines if line.startswith("would send")]
    site.sandbox.service.reset_log()
    site.run("sync")
    made = [each for each in site.sandbox.service.log if each.method != "GET"]
    assert calls == [["POST", "/item"], ["PUT", "/item"], ["POST", "/item/archive"]]
    assert [each.method for each in made] == [method for method, _ in calls]


def test_a_dry_run_tells_of_the_deletions_that_the_guard_would_hold(site: Site) -> None:
    site.run("sync")
    for title in ("one", "two", "three"):
        site.sql(f"INSERT INTO tasks (title) VALUES ('{title}')")
    site.run("sync")
    site.configure(safety={"max_push_deletes": 1})
    site.sql("DELETE FROM tasks WHERE title IN ('one', 'two', 'three')")
    said = "would hold 2 deletions, more than safety.max_push_deletes an hour"
    for _ in range(2):  # before they are held, and once they are
        assert said in site.run("sync", "--dry-run").stdout
        assert site.run("sync").returncode == 4
    released = site.run("sync", "--dry-run", "--allow-deletes", "2").stdout
    assert (released.count("would send DELETE /item"), "would hold" in released) == (2, False)
    assert "would hold" not in site.run("sync", "--dry-run", "--pull-only").stdout


def test_pull_only_fetches_and_keeps_local_edits_waiting(site: Site) -> None:
    site.run("sync")
    site.sql("INSERT INTO tasks (title) VALUES ('waits')")
    done = site.run("sync", "--pull-only")
    assert (done.returncode, "1 pending" in done.stdout) == (0, True)
    assert "waits" not in {item.title for item in site.model.items()}


def test_deletions_are_not_approved_where_nothing_is_sent(site: Site) -> None:
    done = site.run("sync", "--pull-only", "--allow-deletes", "1")
    assert (done.returncode, "--pull-only sends nothing" in done.stderr) == (2, True)
    site.configure(sync={"direction": "pull-only"})
    done = site.run("sync", "--allow-deletes", "1")
    assert (done.returncode, "sync.direction is pull-only" in done.stderr) == (2, True)


def test_status_says_whether_all_is_well(site: Site) -> None:
    missing = site.run("status")
    assert (missing.returncode, "run `hisync sync`" in missing.stderr) == (1, True)
    assert not site.database.exists()
    site.run("sync")
    assert site.run("status").stdout.startswith("all is well")
    site.sql("UPDATE tasks SET due_date = 'tomorrow' WHERE id = (SELECT max(id) FROM tasks)")
    done = site.run("--config", "config.toml", "sync")
    assert (done.returncode, "hisync --config config.toml changes list" in done.stdout) == (4, True)
    status = site.run("status")
    assert "needs attention" in status.stdout
    assert "hisync changes list" in status.stdout
    facts = json.loads(site.run("status", "--json").stdout)
    assert (facts["well"], facts["changes"], facts["delta"]) == (
        False,
        {"rejected": 1},
        "names-all",
    )
    assert sum(number for table, number in facts["rows"].items() if table in TABLES) == 30


def test_changes_list_names_the_column_and_the_accepted_forms(site: Site) -> None:
    site.run("sync")
    assert site.run("changes", "list").stdout == "no change waits or was rejected\n"
    site.sql("UPDATE tasks SET due_date = 'tomorrow' WHERE id = (SELECT max(id) FROM tasks)")
    site.run("sync")
    listed = site.run("changes", "list").stdout
    assert "rejected" in listed
    assert "due_date = 'tomorrow' can't be read: give YYYY-MM-DD" in listed
    (row,) = json.loads(site.run("changes", "list", "--json").stdout)
    assert (row["op"], row["new_values"]) == ("update", {"due_date": "tomorrow"})


@pytest.mark.slow
def test_a_cell_that_is_no_text_is_listed_all_the_same(site: Site) -> None:
    site.run("sync")
    site.sql("INSERT INTO tasks (title) VALUES (CAST(x'c328' AS TEXT))")
    assert site.run("sync").returncode == 4
    (row,) = json.loads(site.run("changes", "list", "--json").stdout)
    assert (row["state"], "give a text" in row["error"]) == ("rejected", True)
    assert "give a text" in site.run("changes", "list").stdout


def test_conflicts_list_shows_all_three_values(site: Site) -> None:
    site.run("sync")
    number, title = site.sql("SELECT id, title FROM tasks WHERE permission = 100 LIMIT 1")[0]
    item = site.model.item(number)
    site.model.update(number, user=site.model.user(item.user_id), title="theirs")
    site.sql("UPDATE tasks SET title = 'ours [bold]' WHERE id = ?", number)
    assert site.run("sync").returncode == 0
    listed = site.run("conflicts", "list").stdout
    assert all(value in listed for value in (title, "ours [bold]", "theirs", "remote"))
    (row,) = json.loads(site.run("conflicts", "list", "--json").stdout)
    assert (row["base_value"], row["local_value"]) == (title, "ours [bold]")


def test_check_says_ok_or_how_to_mend_it(site: Site) -> None:
    done = site.run("check")
    assert done.returncode == 0, done.stdout
    assert all(line.startswith("ok") for line in done.stdout.splitlines())
    assert {line[5:].split(":")[0] for line in done.stdout.splitlines()} == LOOKED_AT
    site.run("sync")
    assert "ok   schema: revision" in site.run("check").stdout
    site.sql("DROP TRIGGER sync_capture_tasks_after_update")
    done = site.run("check", "--offline")
    assert (done.returncode, "hisync db upgrade" in done.stdout) == (1, True)
    refused = site.run("sync")
    assert (refused.returncode, "hisync db upgrade" in refused.stderr) == (1, True)
    assert site.run("db", "upgrade").returncode == 0
    assert site.run("sync").returncode == 0


def test_check_and_status_tell_of_a_time_zone_that_is_none(site: Site) -> None:
    preferences = site.model.users[0].preferences
    preferences["time_zone"] = "(GMT+03:00) Moscow"
    warning = (
        "warn time zone: the account's is '(GMT+03:00) Moscow', which is none, so UTC is used: "
        "set hitask.time_zone"
    )
    done = site.run("check")  # before there is a mirror
    assert (done.returncode, warning in done.stdout.splitlines()) == (0, True)
    assert "time zone" not in site.run("check", "--offline").stdout
    site.run("sync")
    done = site.run("check", "--offline")
    assert (done.returncode, warning in done.stdout.splitlines()) == (0, True)
    said = site.run("status").stdout
    assert said.startswith("all is well")
    assert (
        "\ntime zone     UTC, since the account's, '(GMT+03:00) Moscow', is none: set hit" in said
    )
    assert json.loads(site.run("status", "--json").stdout)["unknown_zone"] == "(GMT+03:00) Moscow"
    site.sandbox.service.faults.add("GET /user/preferences:status=503:0")
    done = site.run("check")  # which asks, and remembers where there is no answer
    assert (done.returncode, warning in done.stdout.splitlines()) == (0, True)
    site.sandbox.service.faults.clear()
    preferences["time_zone"] = "Europe/Moscow"  # mended on hiTask
    assert "time zone" not in site.run("check").stdout
    preferences["time_zone"] = "MSK"
    site.configure(hitask={"time_zone": "Europe/Moscow"})
    for command in (["check"], ["check", "--offline"], ["status"]):
        assert "time zone" not in site.run(*command).stdout


@pytest.mark.parametrize(
    ("by_itself", "missing", "empty"),
    [
        (True, (0, "ok   database"), (0, "ok   schema: will be made by the first sync")),
        (False, (1, "FAIL database: there is no"), (1, "FAIL schema: the database's schema is at")),
    ],
)
def test_check_says_who_makes_the_mirror(
    site: Site, by_itself: bool, missing: tuple[int, str], empty: tuple[int, str]
) -> None:
    site.configure(database={"auto_upgrade": by_itself})
    for code, said in (missing, empty):
        done = site.run("check", "--offline")
        assert (done.returncode, said in done.stdout) == (code, True), done.stdout
        assert ("by the first sync" if by_itself else "`hisync db upgrade`") in done.stdout
        site.database.touch()
    site.sql("CREATE TABLE tasks (id INTEGER)")
    done = site.run("check", "--offline")
    assert (done.returncode, "FAIL schema: the database's schema is at" in done.stdout) == (1, True)


@pytest.mark.parametrize(
    ("hitask", "code", "fix"),
    [
        ({"password": "wrong"}, 3, "mend hitask.login, the password or the API key"),
        ({"base_url": "http://127.0.0.1:1/api"}, 75, "see whether hitask.base_url is right"),
    ],
)
def test_check_says_how_to_mend_what_hitask_says(
    site: Site, hitask: dict[str, str], code: int, fix: str
) -> None:
    site.configure(hitask=hitask)
    done = site.run("check")
    assert done.returncode == code
    assert [fix in line for line in done.stdout.splitlines() if "API:" in line] == [True]
    assert {line[5:].split(":")[0] for line in done.stdout.splitlines()} == LOOKED_AT


def test_check_does_not_blame_hitask_for_a_database_in_use(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.run("sync")
    monkeypatch.setattr("hisync.mirror.dialects.sqlite.connection.BUSY_TIMEOUT_SECONDS", 0.1)
    with closing(sqlite3.connect(site.database, isolation_level=None)) as client:
        client.execute("BEGIN IMMEDIATE")
        done = site.run("check")
    (line,) = [line for line in done.stdout.splitlines() if "API:" in line]
    assert (done.returncode, line[:20]) == (75, "FAIL API: not asked,")
    assert "commit or close it there" in line
    assert "base_url" not in line


def test_check_says_that_a_proxy_cannot_be_used(site: Site) -> None:
    site.configure(hitask={"base_url": "https://hitask.invalid/api"})
    done = site.run("check", HTTPS_PROXY="ftp://proxy")
    assert (done.returncode, "FAIL API: the environment's" in done.stdout) == (2, True)


@pytest.mark.parametrize("command", ["say 'it", "  "])
def test_a_command_of_hooks_that_can_be_none_is_a_fault(site: Site, command: str) -> None:
    site.configure(hooks={"command": command})
    done = site.run("sync")
    assert (done.returncode, done.stdout) == (2, "")
    assert "hooks.command" in done.stderr
    assert "Traceback" not in done.stderr


def test_all_faults_of_a_configuration_are_reported_together(site: Site) -> None:
    site.configure(sync={"pol_interval": 5}, rate={"requests_per_minute": 0})
    done = site.run("sync")
    assert (done.returncode, done.stdout) == (2, "")
    assert "sync.pol_interval" in done.stderr
    assert "rate.requests_per_minute" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        *("check --offline", "sync", "run", "status", "status --json", "changes", "conflicts"),
        *("changes retry 1", "report time", "verify", "restore x", "db upgrade", "db current"),
        "db copy --to sqlite:///other.db",
    ],
)
def test_without_a_configuration_it_says_how_to_begin(site: Site, command: str) -> None:
    (site.folder / "config.toml").unlink()
    done = site.run(*command.split())
    assert done.returncode == 2
    assert "no configuration was found: run `hisync init`" in done.stdout + done.stderr
    assert list(site.folder.iterdir()) == []


def test_the_environment_alone_is_a_configuration(site: Site) -> None:
    (site.folder / "config.toml").unlink()
    there = {"HISYNC_DATABASE__URL": "sqlite:///hisync.db"}
    done = site.run("status", **there)
    assert (done.returncode, "there is no mirror" in done.stderr) == (1, True)
    assert site.run("db", "upgrade", **there).returncode == 0
    assert site.run("db", "current").returncode == 0  # at the default's place


def test_a_server_that_is_not_there_gets_a_clear_answer(site: Site) -> None:
    site.configure(database={"url": "postgresql+psycopg://me:secret@127.0.0.1:1/x"})
    for command, code in (("sync", 75), ("status", 75), ("check", 75)):
        done = site.run(command)
        assert done.returncode == code
        assert "check that the server runs and can be reached" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert "secret" not in done.stdout + done.stderr


def test_db_says_where_the_schema_is(site: Site) -> None:
    assert site.run("db", "current").returncode == 1
    assert site.run("db", "upgrade").stdout == "schema 0006 (was empty)\n"
    assert site.run("db", "current").stdout == "0006 (newest)\n"
    assert site.run("db", "upgrade").stdout == "schema 0006\n"


@pytest.mark.parametrize("command", [["db", "upgrade"], ["sync"], ["changes"]])
def test_a_mirror_of_a_newer_version_is_left_alone(site: Site, command: list[str]) -> None:
    site.run("db", "upgrade")
    site.sql("UPDATE sync_schema_version SET version_num = '9999'")
    done = site.run(*command)
    assert done.returncode == 1
    assert done.stderr.startswith("hisync: the database's schema (9999) is newer than this hisync")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [["status"], ["check", "--offline"], ["sync"]])
def test_an_option_that_no_server_has_is_named(site: Site, command: list[str]) -> None:
    url = "postgresql+psycopg://me:hunter2@127.0.0.1:1/db?foo=bar"
    done = site.run(*command, HISYNC_DATABASE__URL=url)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert 'invalid connection option "foo" (take it out of database.url' in said
    assert "Traceback" not in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault("status", "GET", "/user/authenticate", status=403, code=6), 3),
        (Fault("status", "GET", "/item", status=503), 75),
        (Fault("status", "GET", "/item", status=429, retry_after=7), 75),
        (Fault("html", "GET", "/item"), 75),
        (Fault("status", "GET", "/item", status=403, code=69), 3),
    ],
    ids=["login", "maintenance", "too many", "html", "expired"],
)
def test_what_hitask_says_decides_the_exit_code_and_no_secret_is_printed(
    site: Site, fault: Fault, code: int
) -> None:
    site.configure(log={"level": "debug"})
    site.sandbox.service.faults.add(fault)
    done = site.run("sync")
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    for secret in (f"={PASSWORD}", f'"{PASSWORD}"', API_KEY):
        assert secret not in done.stdout + done.stderr


def test_what_cant_be_read_of_a_list_is_named(site: Site) -> None:
    body = json.dumps([{"id": 5, "changed": False}, {"id": "abc", "title": "x", "category": 1}])
    site.sandbox.service.faults.add(Fault("status", "GET", "/item", status=200, body=body))
    done = site.run("sync")
    said = "hiTask's list can't be read: element 2 has no readable id (id = \"abc\")"
    assert (done.returncode, f"hisync: {said} (HTTP 200)" in done.stderr) == (75, True)
    logged = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert said in {line["message"] for line in logged if line["event"] == "api_error"}


def test_held_removals_end_with_4_and_the_way_out(new_site: Callable[..., Site]) -> None:
    site = new_site(60)
    site.run("sync")
    site.run("sync")
    leaving = site.sql("SELECT id FROM tasks ORDER BY id LIMIT 15")
    ids = tuple(number for (number,) in leaving)
    site.sandbox.service.faults.add(Fault("missing_ids", "GET", "/item*", count=0, ids=ids))
    done = site.run("sync")
    assert (done.returncode, "--allow-removals 15" in done.stdout) == (4, True)
    assert "--allow-removals 15" in site.run("status").stdout
    done = site.run("sync", "--allow-removals", "15")
    assert done.returncode == 0, done.stdout
    assert site.sql("SELECT count(*) FROM removed_rows") == [(30,)]


def test_the_demo_shows_an_edit_each_way(site: Site) -> None:
    done = site.run_process("demo", "--keep", "kept", "--items", "60")
    assert done.returncode == 0, done.stderr
    assert "a quiet cycle cost 1 request and changed nothing" in done.stdout
    assert (site.folder / "kept" / "hisync.db").exists()
    assert done.stderr == ""


def test_the_demo_overwrites_no_configuration(site: Site) -> None:
    own = (site.folder / "config.toml").read_text()
    refused = site.run("demo", "--keep", str(site.folder))
    assert refused.returncode == 1
    assert "has a config.toml already: name another folder" in refused.stderr
    assert (site.folder / "config.toml").read_text() == own


@pytest.mark.slow
def test_the_demo_on_postgresql_is_one_command_and_leaves_nothing(site: Site) -> None:
    name = server().create()
    url = server().url(name)
    with closing(psycopg.connect(server().conninfo(name), autocommit=True)) as session:

        def schemas() -> list[str]:
            found = session.execute("SELECT nspname FROM pg_namespace WHERE nspname ~ '^hisync'")
            return [row[0] for row in found]

        done = site.run_process("demo", "--database-url", url, "--items", "60")
        assert (done.returncode, done.stderr) == (0, "")
        assert "The first sync filled the mirror in PostgreSQL with" in done.stdout
        assert "a quiet cycle cost 1 request and changed nothing" in done.stdout
        assert schemas() == []
        session.execute("CREATE SCHEMA hisync_demo; CREATE TABLE hisync_demo.mine (a text)")
        refused = site.run("demo", "--database-url", url)
        assert refused.returncode == 1
        assert "has a schema hisync_demo already: name another by --schema" in refused.stderr
        assert schemas() == ["hisync_demo"]
        kept = ("--schema", "hisync_kept", "--keep", "kept")
        assert site.run_process("demo", "--database-url", url, *kept).returncode == 0
        assert schemas() == ["hisync_demo", "hisync_kept"]
    for options in (["--database-url", "sqlite:///x.db"], ["--database-url", url, "--schema", "A"]):
        assert site.run("demo", *options).returncode == 2
    server().drop(name)


def test_the_sandbox_names_what_a_configuration_needs(site: Site) -> None:
    process = site.start("sandbox", "--port", "0", "--items", "5")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(4)]
    assert [line.split()[0] for line in lines] == ["base_url", "login", "password", "api_key"]
    bad = site.run("sandbox", "--fault", "nonsense")
    assert (bad.returncode, "a fault is" in bad.stderr) == (2, True)


@pytest.mark.parametrize("command", [["db", "upgrade"], ["db", "current"], ["check", "--offline"]])
def test_a_file_that_is_no_database_is_named(site: Site, command: list[str]) -> None:
    site.database.write_text("no database\n" * 500)
    done = site.run(*command)
    assert done.returncode == 1
    assert str(site.database) in done.stdout + done.stderr
