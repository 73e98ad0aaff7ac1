"""`hisync db copy`: what it says, and that the old place is told apart from the new one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from hisync.mirror.store import open_mirror
from tests.cli.conftest import Site, until
from tests.postgres import server


@pytest.fixture
def database() -> Iterator[str]:
    """An empty database on the server."""
    name = server().create()
    yield name
    server().drop(name)


@pytest.mark.slow
def test_a_mirror_is_moved_and_synced_from_there_and_the_old_one_is_refused(
    site: Site, database: str
) -> None:
    site.run("sync")
    site.sql("INSERT INTO tasks (title) VALUES ('unsent')")
    url = server().url(database)
    done = site.run("db", "copy", "--to", url, "--schema", "hitask")
    assert done.returncode == 0, done.stderr
    assert re.match(rf"moved to {re.escape(url)}, schema hitask: \d+ projects, ", done.stdout)
    assert f"the old mirror, {site.database}, stays as it is; it takes no edits" in done.stdout
    toml = "\n".join(done.stdout.splitlines()[2:5])
    assert tomllib.loads(toml) == {"database": {"url": url, "schema": "hitask"}}
    for command in (["sync"], ["run"], ["changes", "list"], ["verify"]):
        refused = site.run(*command)
        assert refused.returncode == 1
        assert f"this mirror was moved to {url}, schema hitask at " in refused.stderr
    assert f"this mirror was moved to {url}" in site.run("status").stdout
    assert "this mirror was moved to" in site.run("check", "--offline").stdout
    site.configure(database={"url": url, "schema": "hitask"})
    done = site.run("sync")
    assert done.stdout.startswith("pulled 0 rows, pushed 1 changes, 0 conflicts, ")
    assert [item.title for item in site.model.items()].count("unsent") == 1
    back = site.run("db", "copy", "--to", "sqlite:///back.db")
    assert f'url = "sqlite:///{site.folder}/back.db"' in back.stdout.splitlines()
    assert "schema = " not in back.stdout
    with closing(psycopg.connect(server().conninfo(database))) as session:
        found = session.execute("SELECT count(*) FROM hitask.tasks WHERE title = 'unsent'")
        assert found.fetchone() == (1,)
    site.configure(database={"url": "sqlite:///back.db"})
    assert site.run("sync").stdout.startswith("pulled 0 rows, pushed 0 changes")


@pytest.mark.slow
def test_a_password_among_the_settings_of_a_url_is_not_shown(site: Site, database: str) -> None:
    url = f"{server().url(database)}?password=g3h31m&sslpassword=g3h31m"
    site.run("sync")
    done = site.run("db", "copy", "--to", url)
    assert f'url = "{server().url(database)}?password=***&sslpassword=***"' in done.stdout
    assert "g3h31m" not in done.stdout
    secrets = ("--password-file", "-", "--api-key-file", "-")
    made = site.run(
        *("init", "--force", "--login", "ann", *secrets, "--database", url),
        typed="one\ntwo\n",
    )
    assert f"made {server().url(database)}\n" in made.stdout
    assert "g3h31m" not in made.stdout


@pytest.mark.slow
def test_a_running_daemon_is_named(site: Site, database: str) -> None:
    process = site.start("run")
    until(lambda: site.sql("SELECT 1 FROM tasks"))
    done = site.run("db", "copy", "--to", server().url(database))
    assert done.returncode == 75
    text = f"{site.database}: another hisync (process {process.pid}) is working on this mirror"
    assert f"{text}: stop it, then move the mirror" in done.stderr


@pytest.mark.parametrize(
    ("options", "reason", "code"),
    [
        (["--to", "mysql://x/y"], '--to: must be "sqlite:///FILE" or', 2),
        (["--to", "sqlite:///b.db", "--schema", "pg_x"], "--schema: must be lower-case", 2),
        (["--to", "sqlite:///b.db"], "there is no mirror at", 1),
    ],
)
def test_what_can_not_be_is_said(site: Site, options: list[str], reason: str, code: int) -> None:
    done = site.run("db", "copy", *options)
    assert (done.returncode, reason in done.stderr) == (code, True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hisync.db", "link.db"])
def test_it_is_not_moved_to_itself(site: Site, name: str) -> None:
    site.run("sync")
    (site.folder / "link.db").symlink_to("hisync.db")
    done = site.run("db", "copy", "--to", f"sqlite:///{name}")
    assert (done.returncode, "is the mirror itself: name another" in done.stderr) == (1, True)
    assert site.run("sync").returncode == 0


@pytest.mark.slow
def test_nor_by_another_name_of_its_server(site: Site, database: str) -> None:
    url = server().url(database)
    site.configure(database={"url": url})
    site.run("sync")
    done = site.run("db", "copy", "--to", url.replace("127.0.0.1", "localhost"))
    assert (done.returncode, "is the mirror itself: name another" in done.stderr) == (1, True)
    assert site.run("sync").returncode == 0


def test_a_server_that_an_option_names_is_told_apart() -> None:
    with open_mirror("postgresql+psycopg://ann@/own?host=db.example.com&port=5433") as mirror:
        assert mirror.name == "postgresql+psycopg://ann@db.example.com:5433/own"
