"""The configuration: where it is found, what it takes, and how faults are told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from hisync.config import (
    Config,
    find_config,
    known_keys,
    load_config,
    require_credentials,
    security_warnings,
)
from hisync.errors import ConfigurationError

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "config.example.toml"
SECRET = "g3h31m"  # never in any message

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_config(text: str) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(text, "utf-8")
        return path

    return write_config


def faults(path: Path | None, environ: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load_config(path, environ or {})
    assert caught.value.__cause__ is None
    assert all(len(line.splitlines()) == 1 for line in caught.value.problems)
    assert SECRET not in str(caught.value)
    return caught.value.problems


def fault(path: Path | None, environ: dict[str, str] | None = None) -> str:
    (line,) = faults(path, environ)
    return line


# Where it is found


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    return {
        "option": tmp_path / "option.toml",
        "variable": tmp_path / "variable.toml",
        "cwd": tmp_path / "cwd" / "config.toml",
        "home": tmp_path / "home" / ".config" / "hisync" / "config.toml",
        "system": tmp_path / "etc" / "config.toml",
    }


@pytest.mark.parametrize("first", range(5))
def test_the_first_of_the_places_is_taken(places: dict[str, Path], first: int) -> None:
    names = list(places)[first:]
    for name in names:
        places[name].parent.mkdir(parents=True, exist_ok=True)
        places[name].touch()
    found = find_config(
        places["option"] if "option" in names else None,
        {"HISYNC_CONFIG": str(places["variable"])} if "variable" in names else {},
        places["cwd"].parent,
        places["home"].parents[2],
        places["system"],
    )
    assert found == places[names[0]]


def test_nothing_found_is_no_fault(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    assert find_config(None, {"HISYNC_CONFIG": ""}, tmp_path, tmp_path, absent) is None


@pytest.mark.parametrize(
    ("explicit", "environ", "by"),
    [
        (Path("no.toml"), {}, "--config"),
        (None, {"HISYNC_CONFIG": "no.toml"}, "HISYNC_CONFIG"),
    ],
)
def test_a_named_file_that_is_missing_is_a_fault(
    tmp_path: Path, explicit: Path | None, environ: dict[str, str], by: str
) -> None:
    (tmp_path / "config.toml").touch()
    with pytest.raises(ConfigurationError, match="no such file") as caught:
        find_config(explicit, environ, tmp_path, tmp_path)
    assert by in str(caught.value)
    assert str(tmp_path / "no.toml") in str(caught.value)


def test_a_named_file_may_start_at_home(tmp_path: Path) -> None:
    (tmp_path / "my.toml").touch()
    found = find_config(None, {"HISYNC_CONFIG": "~/my.toml"}, tmp_path / "cwd", tmp_path)
    assert found == tmp_path / "my.toml"


# What it takes


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(None, {"PATH": "/bin", "HISYNC_CONFIG": "x"})
    assert config.file is None
    assert config.sync.poll_interval == 60
    assert config.safety.max_removals == 0.2
    assert config.database.sqlite_path == tmp_path / "hisync.db"
    assert config.database.file_mode_bits == 0o600
    assert config.conflicts.policy_of("title") == "remote"


def test_the_environment_wins_over_the_file(write: Write) -> None:
    path = write(
        '[sync]\npoll_interval = 30\ncomments = false\n[conflicts.fields]\ntags = "local"\n'
    )
    config = load_config(
        path,
        {
            "HISYNC_SYNC__POLL_INTERVAL": "15",
            "HISYNC_SYNC__PUSH_DELAY": "0.5",
            "HISYNC_SYNC__TIME_ENTRIES": "false",
            "HISYNC_DATABASE__FILE_MODE": "0640",
            "HISYNC_DATABASE__SCHEMA": "mirror",
            "HISYNC_CONFLICTS__FIELDS__TITLE": "newest",
        },
    )
    assert config.file == path
    assert config.sync.poll_interval == 15
    assert config.sync.push_delay == 0.5
    assert config.sync.comments is False
    assert config.sync.time_entries is False
    assert config.database.file_mode_bits == 0o640
    assert config.database.schema_name == "mirror"
    assert config.conflicts.fields == {"tags": "local", "title": "newest"}
    assert config.conflicts.policy_of("tags") == "local"


def test_conflict_fields_from_the_environment_as_json(write: Write) -> None:
    path = write('[conflicts.fields]\ntags = "local"\n')
    config = load_config(
        path,
        {
            "HISYNC_CONFLICTS__FIELDS__MESSAGE": "newest",
            "HISYNC_CONFLICTS__FIELDS": json.dumps({"title": "local"}),
        },
    )
    assert config.conflicts.fields == {"title": "local", "message": "newest"}


def test_a_bad_value_in_the_file_does_not_matter_where_the_environment_wins(write: Write) -> None:
    path = write("[rate]\nrequests_per_minute = 0\n")
    config = load_config(path, {"HISYNC_RATE__REQUESTS_PER_MINUTE": "5"})
    assert config.rate.requests_per_minute == 5


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///m.db", "{folder}/m.db"),
        ("sqlite:///sub/m.db?timeout=5", "{folder}/sub/m.db"),
        ("sqlite+pysqlite:///m.db", "{folder}/m.db"),
        ("sqlite:////var/lib/m.db", "/var/lib/m.db"),
        ("sqlite:///~/m.db", "{home}/m.db"),
        ("sqlite:///a%20b%23c.db", "{folder}/a b#c.db"),
    ],
)
def test_a_relative_database_starts_in_the_files_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, expected: str
) -> None:
    folder = tmp_path / "a folder? 100%"
    folder.mkdir()
    (folder / "config.toml").write_text(f'[database]\nurl = "{url}"\n')
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.chdir(tmp_path)
    database = load_config(Path(folder.name) / "config.toml", {}).database
    assert str(database.sqlite_path) == expected.format(folder=folder, home="/home/me")
    assert database.is_sqlite


def test_a_postgresql_url_is_left_as_it_is() -> None:
    url = f"postgresql+psycopg://me:{SECRET}@host:5433/db?sslmode=require"
    config = load_config(None, {"HISYNC_DATABASE__URL": url})
    assert config.database.url == url
    assert config.database.sqlite_path is None
    assert not config.database.is_sqlite
    assert SECRET not in repr(config)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://hitask.com/api/", "https://hitask.com/api"),
        ("http://localhost:8080/api", "http://localhost:8080/api"),
        ("http://127.8.0.1/", "http://127.8.0.1"),
        ("http://[::1]:8080/api//", "http://[::1]:8080/api"),
        ("https://hitask.com./api", "https://hitask.com./api"),
    ],
)
def test_base_urls_that_are_taken(url: str, kept: str) -> None:
    assert load_config(None, {"HISYNC_HITASK__BASE_URL": url}).hitask.base_url == kept


def test_the_configuration_cannot_be_changed() -> None:
    config = load_config(None, {})
    with pytest.raises(ValidationError):
        setattr(config.sync, "poll_interval", 5)  # noqa: B010


def test_secrets_do_not_show(write: Write) -> None:
    path = write(
        f'[hitask]\npassword = "{SECRET}"\napi_key = "{SECRET}"\n'
        f'[hooks]\ncommand = "notify {SECRET}"\nwebhook = "https://h/{SECRET}"\n'
    )
    config = load_config(path, {})
    assert config.hitask.password == SecretStr(SECRET)
    assert config.hooks.webhook == f"https://h/{SECRET}"
    assert SECRET not in repr(config)
    assert SECRET not in str(config)


# How faults are told


def value_faults() -> list[tuple[str, str, str]]:
    """Section and key, value as TOML, and what the fault must say is allowed."""
    return [
        ("sync.poll_interval", '"soon"', "a whole number from 1"),
        ("sync.poll_interval", "0", "a whole number from 1"),
        ("sync.poll_interval", "1.5", "a whole number"),
        ("sync.poll_interval", "true", "a whole number"),
        ("sync.push_delay", "-0.5", "a number from 0"),
        ("sync.full_every", "59", "from 60"),
        ("sync.direction", '"up"', '"two-way" or "pull-only"'),
        ("sync.comments", '"yes"', "true or false"),
        ("sync.time_entries", "1", "true or false"),
        ("rate.requests_per_minute", "0", "from 1"),
        ("rate.requests_per_minute", "123456789012345678901234567890", "from 1 to 10000"),
        ("safety.max_removals", "1.01", "a number from 0 to 1"),
        ("safety.max_removals", "nan", "a number from 0 to 1"),
        ("safety.max_push_deletes", "-1", "from 0"),
        ("retention.change_log_days", "0", "from 1"),
        ("conflicts.policy", '"mine"', '"remote", "local" or "newest"'),
        ("conflicts.fields", '"title"', "a table such as"),
        ("log.level", '"INFO"', '"debug", "info", "warning" or "error"'),
        ("log.format", '"text"', '"auto", "json" or "console"'),
        ("monitor.listen", '"9464"', "host:port"),
        ("monitor.listen", '":9464"', "host:port"),
        ("monitor.listen", '"localhost:0"', "host:port"),
        ("monitor.listen", '"localhost:70000"', "host:port"),
        ("monitor.listen", '"localhost:9464/x"', "host:port"),
        ("hooks.command", "1", "text in quotes"),
        ("hooks.webhook", '"http://example.org"', "https://"),
        ("hitask.login", "5", "text in quotes"),
        ("hitask.password_encoding", '"sha1"', '"plain" or "md5"'),
        ("hitask.time_unit", '"days"', '"minutes" or "hours"'),
        ("hitask.time_zone", '"Europe/Pragu"', "did you mean Europe/Prague?"),
        ("hitask.time_zone", '"../../etc/passwd"', "a time zone"),
        ("hitask.base_url", '"hitask.com/api"', "an https:// URL"),
        ("hitask.base_url", '"http://hitask.com/api"', "an https:// URL"),
        ("hitask.base_url", '"http://localhost.evil.org"', "an https:// URL"),
        ("hitask.base_url", '"https://h:port/"', "an https:// URL"),
        ("hitask.base_url", '"https://h/a b"', "an https:// URL"),
        ("hitask.base_url", '"https:///api"', "an https:// URL"),
        ("hitask.base_url", '"ftp://h/api"', "an https:// URL"),
        ("hitask.base_url", '"https://hitask..com/api"', "a host that has 1 to 63 characters"),
        ("hitask.base_url", f'"https://{64 * "h"}.com/api"', "a host that has 1 to 63 characters"),
        ("hitask.base_url", '"https://h/api?"', "without"),
        ("hitask.base_url", f'"https://h/api?key={SECRET}"', "without"),
        ("hitask.base_url", f'"https://h/api#{SECRET}"', "without"),
        ("hitask.base_url", f'"https://me:{SECRET}@h/api"', "keys of their own"),
        ("hitask.base_url", f'"https://me:{SECRET}"', "an https:// URL"),
        ("database.file_mode", '"600x"', "octal"),
        ("database.file_mode", '"0777"', "octal"),
        ("database.schema", '"Team A"', "lower-case letters, digits and underscores"),
        ("database.schema", '"pg_mine"', "not beginning with"),
        ("database.file_mode", '"0400"', "octal"),
        ("database.file_mode", "0o600", "text in quotes"),
        ("database.url", '"hisync.db"', "sqlite:///FILE"),
        ("database.url", '"mysql://h/db"', "sqlite:///FILE"),
        ("database.url", '"sqlite+aiosqlite:///m.db"', "asynchronous"),
        ("database.url", '"sqlite+pysqlcipher:///m.db"', "sqlite:///FILE"),
        ("database.url", '"sqlite://m.db"', "three slashes"),
        ("database.url", '"sqlite://"', "in memory"),
        ("database.url", '"sqlite:///:memory:"', "in memory"),
        ("database.url", '"sqlite:///file:m?mode=memory&uri=true"', "in memory"),
        ("database.url", '"sqlite:///file:m.db?uri=true"', "plain path"),
        ("database.url", f'"postgres://me:{SECRET}@h/db"', "postgresql"),
        ("database.url", f'"postgresql://me:{SECRET}"', "postgresql"),
        ("database.url", f'"postgresql://me:a@{SECRET}@h/db"', "written %40"),
        ("database.url", f'"postgresql://h:5/db?password=a@{SECRET}&user=me"', "written %40"),
        ("database.url", f'"mysql://me:a@b:{SECRET}/x@h/db?password={SECRET}"', "postgresql"),
        ("database.url", f'"host=h password={SECRET}"', "postgresql"),
        ("database.url", f'["postgresql://me:{SECRET}@h/db"]', "text in quotes"),
        ("hitask.password", f'["{SECRET}"]', "text in quotes"),
        ("hitask.api_key", f"{{ value = '{SECRET}' }}", "text in quotes"),
        ("hooks.webhook", f'"http://example.org/{SECRET}"', "https://"),
    ]


@pytest.mark.parametrize(("key", "value", "allowed"), value_faults())
def test_an_impossible_value_names_key_place_and_what_is_allowed(
    write: Write, key: str, value: str, allowed: str
) -> None:
    section, _, name = key.partition(".")
    path = write(f"[{section}]\n{name} = {value}\n")
    line = fault(path)
    assert line.startswith(key)
    assert f"(in {path})" in line
    assert allowed in line.partition(f"(in {path})")[2]


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("sync.poll_interval", '"soon"', 'sync.poll_interval = "soon" '),
        ("sync.poll_interval", '"a\\nb"', 'sync.poll_interval = "a\\nb" '),
        ("sync.poll_interval", "2020-01-01", 'sync.poll_interval = "2020-01-01" '),
        ("sync.comments", "1", "sync.comments = 1 "),
        ("hitask.base_url", '"http://h.org:80/api"', 'hitask.base_url = "http://h.org:80/api" '),
        ("database.url", '"sqlite://m.db"', 'database.url = "sqlite://m.db" '),
        ("database.url", '"mysql://me:pw@h/db"', 'database.url = "mysql://…" '),
        ("hitask.password", "5", "hitask.password ("),
    ],
)
def test_the_offending_value_is_shown_unless_it_may_be_secret(
    write: Write, key: str, value: str, shown: str
) -> None:
    section, _, name = key.partition(".")
    assert fault(write(f"[{section}]\n{name} = {value}\n")).startswith(shown)


@pytest.mark.parametrize(
    ("variable", "value", "key", "allowed"),
    [
        ("HISYNC_SYNC__POLL_INTERVAL", "soon", "sync.poll_interval", "a whole number from 1"),
        ("HISYNC_SYNC__POLL_INTERVAL", "", "sync.poll_interval", "a whole number from 1"),
        ("HISYNC_SYNC__COMMENTS", "maybe", "sync.comments", "true or false"),
        ("HISYNC_SAFETY__MAX_REMOVALS", "inf", "safety.max_removals", "from 0 to 1"),
        ("HISYNC_LOG__LEVEL", "loud", "log.level", '"debug"'),
        ("HISYNC_CONFLICTS__FIELDS", "title", "conflicts.fields", "JSON"),
        ("HISYNC_CONFLICTS__FIELDS", "[]", "conflicts.fields", "JSON"),
        ("HISYNC_CONFLICTS__FIELDS", '{"title": 1}', "conflicts.fields.title", '"remote"'),
        ("HISYNC_CONFLICTS__FIELDS__TITLE", "me", "conflicts.fields.title", '"remote"'),
        ("HISYNC_CONFLICTS__FIELDS__TITEL", "local", "conflicts.fields.titel", "mean title?"),
    ],
)
def test_a_fault_in_the_environment_names_the_variable(
    write: Write, variable: str, value: str, key: str, allowed: str
) -> None:
    line = fault(write(""), {variable: value})
    assert line.startswith(key)
    assert f"(environment variable {variable})" in line
    assert allowed in line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[sync]\npol_interval = 1", "sync.pol_interval (in {path}): unknown key; did you mean"),
        ("[sync]\npoll = 1", "did you mean poll_interval?"),
        ("[sync]\npolicy = 'local'", "it belongs under [conflicts]"),
        ("[rate]\nzzz = 1", "known under [rate] are requests_per_minute"),
        (f"[hitask]\npasword = '{SECRET}'", "hitask.pasword"),
        ("[sinc]\nx = 1", "[sinc] (in {path}): unknown section; did you mean [sync]?"),
        ("[zzzzz]", "known are hitask, database, sync"),
        (f"[[hitsak]]\npassword = '{SECRET}'", "hitsak"),
        ("poll_interval = 1", "outside of any section; it belongs under [sync]"),
        (f"zzz = '{SECRET}'", "outside of any section"),
        ("sync = 1", "sync (in {path}): must be a section: write [sync]"),
        (f"[[hitask]]\npassword = '{SECRET}'", "hitask (in {path}): must be a section"),
        (f"database = '{SECRET}'", "must be a section"),
        ('[sync]\n"a\\nb\\u2028c" = 1', "sync.a b c"),
        ("[conflicts.fields]\nversion = 'local'", "this one is read-only"),
        ("[conflicts.fields]\ncategory = 'local'", "this one is read-only"),
        ("[conflicts.fields]\nqqq = 'local'", "they are alerts, archived,"),
    ],
)
def test_an_unknown_key_suggests_the_nearest(write: Write, text: str, expected: str) -> None:
    path = write(text)
    assert expected.format(path=path) in fault(path)


@pytest.mark.parametrize("key", ["login", "password", "api_key"])
def test_bytes_of_the_environment_that_are_no_text_are_a_fault(key: str) -> None:
    variable = f"HISYNC_HITASK__{key.upper()}"
    line = fault(None, {variable: f"{SECRET}\udcff"} if key != "login" else {variable: "\udcff"})
    assert line.startswith(f"hitask.{key}")
    assert line.endswith(f"(environment variable {variable}): must be UTF-8 text")


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("HISYNC_SYNC__POL", "did you mean HISYNC_SYNC__POLL_INTERVAL?"),
        ("HISYNC_SINC__POLL_INTERVAL", "did you mean HISYNC_SYNC__POLL_INTERVAL?"),
        ("HISYNC_SINC__X", "HISYNC_SYNC__POLL_INTERVAL"),
        ("HISYNC_SYNC", "known are HISYNC_SYNC__DIRECTION"),
        ("HISYNC_POLL_INTERVAL", "did you mean HISYNC_SYNC__POLL_INTERVAL?"),
        ("HISYNC_sync__poll_interval", "did you mean HISYNC_SYNC__POLL_INTERVAL?"),
        ("HISYNC_QQQ", "HISYNC_SECTION__KEY"),
        ("HISYNC_CONFIG__X", "HISYNC_"),
        ("HISYNC_", "did you mean"),
    ],
)
def test_an_unknown_variable_is_a_fault(variable: str, hint: str) -> None:
    line = fault(None, {variable: SECRET})
    assert line.startswith(f"{variable} (environment variable): sets no known key; ")
    assert hint in line


def test_what_kubernetes_says_of_a_service_is_no_fault() -> None:
    told = ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_METRICS", "PORT", "PORT_9464_TCP_ADDR")
    environ = {f"HISYNC_{name}": "tcp://10.0.0.1:9464" for name in told}
    assert load_config(None, {**environ, "HISYNC_HITASK__LOGIN": "me"}).hitask.login == "me"
    with pytest.raises(ConfigurationError, match="HISYNC_PORTS"):
        load_config(None, {"HISYNC_PORTS": "9464"})


def test_all_faults_are_reported_together(write: Write) -> None:
    path = write(
        f'[hitask]\npassword = "{SECRET}"\npassword_file = "p"\n'
        "[sync]\npoll_interval = 0\nfrequency = 1\n[sinc]\n"
    )
    told = faults(path, {"HISYNC_LOG__LEVEL": "loud", "HISYNC_RATE__X": "1"})
    named = {line.split()[0] for line in told}
    assert named == {
        "hitask.password",
        "sync.poll_interval",
        "sync.frequency",
        "[sinc]",
        "log.level",
        "HISYNC_RATE__X",
    }
    assert len(told) == len(named)


def test_faults_of_an_unreadable_file_and_of_the_environment_come_together(write: Write) -> None:
    told = faults(write("[sync\n"), {"HISYNC_LOG__LEVEL": "loud"})
    assert len(told) == 2


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[sync]\npoll_interval 5\n", 2),
        ("[sync]\npoll_interval = 1\npoll_interval = 2\n", 3),
        ("[sync]\nfile_mode = 0600\n", 2),
        (f'[hitask]\npassword = "{SECRET}\n', 2),
        ("[sync]\n\n[sync]\n", 3),
        ("[sync]\ndirection = '''\n\n", 4),
    ],
)
def test_a_syntax_error_names_file_and_line(write: Write, text: str, line: int) -> None:
    path = write(text)
    assert fault(path).startswith(f"{path}, line {line}: is not valid TOML: ")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert fault(tmp_path) == f"{tmp_path}: can't be read: Is a directory"


def test_a_missing_file(tmp_path: Path) -> None:
    assert fault(tmp_path / "no.toml") == f"{tmp_path / 'no.toml'}: there is no such file"


def test_a_file_without_permission(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("")

    def denied(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    assert fault(path) == f"{path}: can't be read: Permission denied"


def test_a_file_that_is_not_utf8(write: Write) -> None:
    path = write("")
    path.write_bytes(b"# caf\xe9\n")
    assert fault(path) == f"{path}: is not UTF-8 text (byte 6)"


# Credentials


def test_each_of_a_pair_excludes_the_other(write: Write) -> None:
    path = write(f'[hitask]\napi_key = "{SECRET}"\napi_key_file = "k"\n')
    assert fault(path).startswith(f"hitask.api_key and hitask.api_key_file (in {path}): only one")
    both = {"HISYNC_HITASK__PASSWORD": SECRET, "HISYNC_HITASK__PASSWORD_FILE": "p"}
    assert "HISYNC_HITASK__PASSWORD and environment variable" in fault(None, both)


@pytest.mark.parametrize(
    ("in_file", "environ"),
    [
        ("password_file = 'p'", {"HISYNC_HITASK__PASSWORD": SECRET}),
        ("password = 'old'", {"HISYNC_HITASK__PASSWORD_FILE": "p"}),
    ],
)
def test_a_secret_of_the_environment_takes_the_place_of_the_files(
    write: Write, in_file: str, environ: dict[str, str]
) -> None:
    path = write(f"[hitask]\n{in_file}\n")
    (path.parent / "p").write_text(SECRET if "HISYNC_HITASK__PASSWORD_FILE" in environ else "old")
    assert load_config(path, environ).hitask.read_password() == SECRET


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        ("pass word\n", "pass word"),
        ("no newline", "no newline"),
        ("windows\r\n", "windows"),
        (" spaces stay \n\n", " spaces stay \n"),
        ("žluťoučký\n", "žluťoučký"),
        ("\ufeffof an editor's\r\n", "of an editor's"),
    ],
)
def test_a_secret_is_read_from_beside_the_file(write: Write, content: str, secret: str) -> None:
    path = write("[hitask]\npassword_file = 'p'\napi_key_file = 'p'\n")
    (path.parent / "p").write_bytes(content.encode())
    hitask = load_config(path, {}).hitask
    assert hitask.read_password() == secret
    assert hitask.read_api_key() == secret


def test_a_secret_may_come_by_a_pipe_that_can_be_read_once() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"word")
    os.close(writing)
    hitask = load_config(None, {"HISYNC_HITASK__PASSWORD_FILE": f"/dev/fd/{reading}"}).hitask
    assert [hitask.read_password(), hitask.read_password()] == ["word", "word"]
    assert "word'" not in repr(hitask)
    os.close(reading)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b"", "the file is empty"),
        (b"\n", "the file is empty"),
        (b"caf\xe9", "not UTF-8"),
    ],
)
def test_a_secret_that_cannot_be_read(write: Write, content: bytes | None, reason: str) -> None:
    path = write("[hitask]\nlogin = 'me'\npassword_file = 'p'\napi_key_file = 'p'\n")
    if content is not None:
        (path.parent / "p").write_bytes(content)
    config = load_config(path, {})
    with pytest.raises(ConfigurationError) as caught:
        require_credentials(config)
    password, api_key = caught.value.problems
    assert password.startswith(f'hitask.password_file = "{path.parent / "p"}": ')
    assert api_key.startswith(f'hitask.api_key_file = "{path.parent / "p"}": ')
    assert reason in password


def test_all_missing_credentials_are_named_with_how_to_give_them() -> None:
    config = load_config(None, {})
    assert config.hitask.missing() == ("login", "password", "api_key")
    with pytest.raises(ConfigurationError) as caught:
        require_credentials(config)
    first, *lines = caught.value.problems
    assert first == "no configuration was found: run `hisync init` to write one"
    for key, line in zip(("login", "password", "api_key"), lines, strict=True):
        assert line.startswith(f"hitask.{key} is missing: ")
        assert f"HISYNC_HITASK__{key.upper()}" in line
    with pytest.raises(ConfigurationError, match="password_file"):
        config.hitask.read_password()


def test_complete_credentials() -> None:
    config = load_config(
        None,
        {
            "HISYNC_HITASK__LOGIN": "me",
            "HISYNC_HITASK__PASSWORD": SECRET,
            "HISYNC_HITASK__API_KEY": "k",
        },
    )
    require_credentials(config)
    assert config.hitask.missing() == ()
    assert config.hitask.read_password() == SECRET
    assert config.hitask.read_api_key() == "k"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o604])
@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"[hitask]\npassword = '{SECRET}'", "hitask.password"),
        (f"[hitask]\napi_key = '{SECRET}'", "hitask.api_key"),
        (f"[database]\nurl = 'postgresql://me:{SECRET}@h/db'", "database.url"),
        ("[hitask]\npassword_file = 'p'\npassword = ''\n[database]\nurl = 'sqlite:///m.db'", None),
    ],
)
def test_a_file_with_secrets_that_others_can_read(
    write: Write, mode: int, text: str, named: str | None
) -> None:
    path = write(text)
    path.chmod(mode)
    told = security_warnings(load_config(path, {"HISYNC_HITASK__LOGIN": "me"}))
    if mode == 0o600 or named is None:
        assert told == []
    else:
        (line,) = told
        assert line.startswith(f"{path} holds {named}, ")
        assert f"{mode:04o}" in line
        assert SECRET not in line


def test_a_secret_in_the_environment_is_no_warning(write: Write) -> None:
    path = write("")
    path.chmod(0o644)
    assert security_warnings(load_config(path, {"HISYNC_HITASK__PASSWORD": SECRET})) == []


# The example, and the module itself


def plain(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def test_the_example_holds_every_key_with_its_default() -> None:
    defaults: dict[str, dict[str, Any]] = {}
    for section, key, info in known_keys():
        defaults.setdefault(section, {})[key] = plain(info.default)
    assert len(defaults) == len(Config.model_fields) == 10
    assert tomllib.loads(EXAMPLE.read_text("utf-8")) == defaults


def test_the_example_loads() -> None:
    config = load_config(EXAMPLE, {})
    assert config.database.sqlite_path == ROOT / "hisync.db"
    assert config.hitask.missing() == ("login", "password", "api_key")


def test_the_example_explains_every_key() -> None:
    lines = EXAMPLE.read_text("utf-8").splitlines()
    explained = False
    for line in lines:
        if line.startswith("#"):
            explained = True
        elif line.endswith('file = ""'):
            assert explained, line  # its twin below is explained with it
        elif "=" in line:
            assert explained, line
            explained = False
        else:
            explained = False


def test_importing_is_light() -> None:
    heavy = "{'sqlalchemy', 'httpx', 'structlog', 'pydantic_settings', 'typer'}"
    code = f"import sys, hisync.config; print(sorted({heavy} & sys.modules.keys()))"
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert found.stdout.strip() == "[]"
