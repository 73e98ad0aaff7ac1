"""`hisync init`: what it asks, what it writes, and what it leaves alone."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hisync.config import load_config, render_config
from hisync.sandbox import API_KEY, LOGIN, PASSWORD
from tests.cli.conftest import Done, Site
from tests.cli.terminal import Shown, on_terminal

ODD = "q\"uo'te \\ back\\nslash = # [x] žluť 😀 \t end"


@pytest.fixture
def site(new_site: Callable[..., Site]) -> Site:
    """A site without a configuration."""
    site = new_site(5)
    (site.folder / "config.toml").unlink()
    return site


@pytest.fixture(params=[0o000, 0o077], ids=["umask 000", "umask 077"])
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def write(site: Site, name: str, text: str) -> str:
    (site.folder / name).write_text(text, "utf-8")
    return name


def init(site: Site, *arguments: str, **options: Any) -> Done:
    """Init with all that it needs, against the sandbox, plus these arguments."""
    secrets = (write(site, "pw", PASSWORD + "\n"), write(site, "key", API_KEY))
    return site.run(
        *("init", "--login", LOGIN, "--password-file", secrets[0], "--api-key-file", secrets[1]),
        *("--base-url", site.sandbox.base_url, *arguments),
        **options,
    )


def files(folder: Path) -> dict[str, int]:
    """The files of a folder, with their modes."""
    return {p.name: p.stat().st_mode & 0o777 for p in sorted(folder.iterdir()) if p.is_file()}


@pytest.mark.usefixtures("_umask")
def test_all_that_it_writes_is_for_its_owner_alone(site: Site) -> None:
    done = site.run(
        *("init", "--login", LOGIN, "--password-file", "-", "--api-key-file", "-"),
        typed="secret one\nsecret two\n",
    )
    assert done.returncode == 0, done.stderr
    made = files(site.folder)
    assert made.keys() >= {"config.toml", "config.password", "config.api_key", "hisync.db"}
    assert set(made.values()) == {0o600}


def test_what_it_wrote_is_enough_to_check_and_sync(site: Site) -> None:
    done = init(site)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "hisync check" in done.stdout
    assert "hisync sync" in done.stdout
    assert site.run("db", "current").stdout.endswith("(newest)\n")
    assert site.run("check").returncode == 0
    assert "pulled 10 rows" in site.run("sync").stdout
    assert PASSWORD not in (site.folder / "config.toml").read_text()


def test_secrets_from_standard_input_survive_as_they_are(site: Site) -> None:
    done = site.run(
        *("init", "--login", ODD, "--password-file", "-", "--api-key-file", "-"),
        typed=f"{ODD}\n two \n",
    )
    assert done.returncode == 0, done.stderr
    config = load_config(site.folder / "config.toml", {})
    assert config.hitask.login == ODD
    assert config.hitask.read_password() == ODD
    assert config.hitask.read_api_key() == " two "
    assert ODD not in done.stdout + done.stderr


@given(st.dictionaries(st.sampled_from("abc"), st.text(), min_size=1))
def test_any_text_is_read_back_as_it_was(values: Mapping[str, str]) -> None:
    text = render_config({"hitask": values, "database": {}})
    assert tomllib.loads(text.encode().decode()) == {"hitask": values, "database": {}}


def test_nothing_is_overwritten_without_force(site: Site) -> None:
    write(site, "config.toml", "# mine")
    done = init(site)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--force" in done.stderr
    assert (site.folder / "config.toml").read_text() == "# mine"
    assert not site.database.exists()
    (site.folder / "config.toml").unlink()
    write(site, "config.api_key", "mine too")
    typed = site.run(
        *("init", "--login", LOGIN, "--password-file", "-", "--api-key-file", "-"), typed="a\nb\n"
    )
    assert (typed.returncode, "config.api_key" in typed.stderr) == (2, True)
    assert files(site.folder).keys() & {"config.toml", "config.password", "hisync.db"} == set()


@pytest.mark.slow
def test_force_overwrites_and_keeps_the_mirror(site: Site) -> None:
    assert init(site).returncode == 0
    site.run("sync")
    done = init(site, "--force", "--direction", "pull-only")
    assert done.returncode == 0, done.stderr
    assert "hisync.db was there already" in done.stdout
    assert load_config(site.folder / "config.toml", {}).sync.direction == "pull-only"
    assert site.sql("SELECT count(*) FROM sync_base") == [(5,)]
    assert files(site.folder)["config.toml"] == 0o600


def test_force_writes_what_a_link_points_to(site: Site) -> None:
    target = site.folder / "elsewhere"
    target.mkdir()
    write(site, "elsewhere/real.toml", "")
    (site.folder / "config.toml").symlink_to(target / "real.toml")
    assert init(site).returncode == 2
    assert init(site, "--force").returncode == 0
    assert (site.folder / "config.toml").is_symlink()
    assert LOGIN in (target / "real.toml").read_text()


def test_what_is_missing_is_named_by_its_option_all_at_once(site: Site) -> None:
    done = site.run("init")
    assert (done.returncode, done.stdout) == (2, "")
    for option in ("--login", "--password-file", "--api-key-file"):
        assert option in done.stderr
    assert files(site.folder) == {}
    empty = site.run("init", "--login", LOGIN, "--password-file", "-", "--api-key-file", "-")
    assert (empty.returncode, files(site.folder)) == (2, {})
    assert "hitask.api_key: standard input has no line" in empty.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--base-url", "http://hitask.com/api"), "(option --base-url): must be an https:// URL"),
        (("--database", "mysql://me@there/x"), "(option --database): must be "),
        (("--database", "sqlite://"), "must name a file"),
        (("--password-file", "nowhere"), "nowhere"),
        (("--direction", "sideways"), "sideways"),
    ],
    ids=["http", "engine", "memory", "no such file", "direction"],
)
def test_a_fault_is_told_in_the_loaders_words_before_anything_is_written(
    site: Site, arguments: tuple[str, ...], said: str
) -> None:
    done = init(site, *arguments)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert files(site.folder).keys() == {"key", "pw"}


def test_a_fault_in_the_environment_is_told_too(site: Site) -> None:
    done = init(site, HISYNC_RATE__REQUESTS_PER_MINUTE="0")
    assert done.returncode == 2
    assert "environment variable HISYNC_RATE__REQUESTS_PER_MINUTE" in done.stderr
    assert not site.database.exists()


def test_what_the_environment_gives_is_neither_asked_for_nor_written(site: Site) -> None:
    given = {"HISYNC_HITASK__PASSWORD": PASSWORD, "HISYNC_HITASK__API_KEY": API_KEY}
    done = site.run("init", "--login", LOGIN, "--base-url", site.sandbox.base_url, **given)
    assert done.returncode == 0, done.stderr
    assert "HISYNC_HITASK__PASSWORD is set" in done.stdout
    assert files(site.folder).keys() & {"config.password", "config.api_key"} == set()
    assert "password" not in tomllib.loads((site.folder / "config.toml").read_text())["hitask"]
    assert site.run("check", **given).returncode == 0
    assert site.run("check").returncode == 2


def test_an_option_is_written_although_the_environment_will_win_and_that_is_said(
    site: Site,
) -> None:
    done = init(site, HISYNC_HITASK__LOGIN="other", HISYNC_HITASK__PASSWORD="other")
    assert done.returncode == 0, done.stderr
    assert "HISYNC_HITASK__LOGIN is set: it wins over the file" in done.stdout
    assert "HISYNC_HITASK__PASSWORD is set: it wins over the file" in done.stdout
    assert load_config(site.folder / "config.toml", {}).hitask.login == LOGIN


def test_paths_are_those_of_the_shell_wherever_the_configuration_is(site: Site) -> None:
    secrets = ("--password-file", write(site, "pw", PASSWORD), "--api-key-file", "conf/key")
    (site.folder / "conf").mkdir()
    write(site, "conf/key", API_KEY)
    done = site.run(
        *("--config", "conf/a b.toml", "init", "--login", LOGIN, *secrets),
        *("--base-url", site.sandbox.base_url, "--database", "odd?name 100%.db"),
    )
    assert done.returncode == 0, done.stderr
    assert "hisync --config 'conf/a b.toml' sync" in done.stdout
    assert (site.folder / "odd?name 100%.db").exists()
    written = tomllib.loads((site.folder / "conf" / "a b.toml").read_text())["hitask"]
    assert written["password_file"] == str(site.folder / "pw")
    assert written["api_key_file"] == "key"
    assert site.run("--config", "conf/a b.toml", "sync").returncode == 0


def test_the_database_is_beside_the_configuration_unless_named(site: Site) -> None:
    done = init(site, HISYNC_CONFIG="new/folder/team.toml")
    assert done.returncode == 0, done.stderr
    assert files(site.folder / "new" / "folder").keys() >= {"team.toml", "hisync.db"}


def test_a_failing_write_leaves_no_configuration_and_no_rests(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    done = init(site)
    assert (done.returncode, "config.toml can't be written: No space" in done.stderr) == (1, True)
    assert files(site.folder).keys() == {"hisync.db", "hisync.db.lock", "key", "pw"}
    monkeypatch.undo()
    assert init(site).returncode == 0


def test_a_database_that_is_something_else_stops_it_before_the_configuration(site: Site) -> None:
    site.database.write_text("no database" * 100)
    done = init(site)
    assert (done.returncode, "not a database" in done.stderr) == (1, True)
    assert not (site.folder / "config.toml").exists()


def asked(site: Site, *answers: tuple[str, str]) -> Shown:
    return on_terminal(site.command("init"), site.folder, site.environment, answers)


def test_on_a_terminal_it_asks_and_shows_no_secret(site: Site) -> None:
    done = asked(
        site,
        ("Login on hiTask:", LOGIN),
        ("Password (not shown): ", PASSWORD),
        ("API key (not shown): ", API_KEY),
        ("https://hitask.com/api]:", "http://hitask.com/api"),
        ("https://hitask.com/api]:", site.sandbox.base_url),
        ("hisync.db]:", ""),
    )
    assert done.returncode == 0, done.text
    assert "Error: must be an https:// URL" in done.text
    assert API_KEY not in done.text
    assert done.text.count(PASSWORD) == 0
    written = tomllib.loads((site.folder / "config.toml").read_text())
    assert written["hitask"]["base_url"] == site.sandbox.base_url
    assert written["database"] == {"url": "sqlite:///hisync.db"}
    assert site.run("check").returncode == 0


def test_given_up_half_way_it_has_written_nothing(site: Site) -> None:
    done = asked(site, ("Login on hiTask:", LOGIN), ("Password (not shown): ", "\x04"))
    assert done.returncode in {1, 130}
    assert "Traceback" not in done.text
    assert files(site.folder) == {}


def test_where_a_configuration_is_it_asks_nothing(site: Site) -> None:
    write(site, "config.toml", "")
    done = asked(site)
    assert (done.returncode, "--force" in done.text) == (2, True)
    assert "Login" not in done.text


def test_the_database_can_be_left_to_the_first_run(site: Site) -> None:
    """Of a service, which is another user's."""
    done = init(site, "--no-database", "--database", "elsewhere.db")
    assert done.returncode == 0
    assert not (site.folder / "elsewhere.db").exists()
    assert "made" not in done.stdout
    assert site.run("sync").returncode == 0
    assert (site.folder / "elsewhere.db").exists()
