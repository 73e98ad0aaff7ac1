"""What the configuration says reaches the engine."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from hisync.cli.opening import open_engine
from hisync.config import load_config
from hisync.engine import Rules
from hisync.plan.actions import Policy
from tests.cli.conftest import Site
from tests.postgres import server

CONFIG = """\
[hitask]
base_url = "http://127.0.0.1:9/api"
login = "ann@example.com"
password = "secret"
api_key = "key"
time_zone = "Europe/Riga"
[database]
url = "sqlite:///mirror.db"
"""

OTHER = """\
[sync]
direction = "pull-only"
full_every = 60
comments = false
time_entries = false
time_entry_comments = true
[conflicts]
policy = "local"
[conflicts.fields]
title = "newest"
[safety]
max_removals = 0.5
max_push_deletes = 3
"""


def rules(folder: Path, text: str) -> Rules:
    path = folder / "config.toml"
    path.touch(mode=0o600)
    path.write_text(text)
    with open_engine(load_config(path, {})) as engine:
        return engine.rules


def test_every_rule_is_what_the_configuration_says(tmp_path: Path) -> None:
    found = rules(tmp_path, CONFIG + OTHER)
    assert found.policy == Policy("local", {"title": "newest"})
    assert (found.push, found.full_every) == (False, 60)
    assert (found.comments, found.time_entries, found.time_entry_comments) == (False, False, True)
    assert (found.max_removals, found.max_push_deletes) == (0.5, 3)
    assert found.zone == ZoneInfo("Europe/Riga")


def test_the_defaults_are_the_contracts(tmp_path: Path) -> None:
    found = rules(tmp_path, CONFIG.replace('time_zone = "Europe/Riga"', ""))
    assert (found.policy, found.push, found.full_every) == (Policy("remote", {}), True, 86400)
    assert (found.comments, found.time_entries, found.time_entry_comments) == (True, True, False)
    assert (found.max_removals, found.max_push_deletes, found.zone) == (0.2, 50, None)


@pytest.mark.postgresql
def test_the_client_is_told_what_the_mirror_can_hold(site: Site) -> None:
    next(iter(site.model.store.live.values())).put("title", "a\0b")
    name = server().create()
    site.configure(database={"url": server().url(name)})
    try:
        site.run("sync")
        assert site.run("sync", "--full").stdout.startswith("pulled 0 rows, ")
        assert site.run("verify").returncode == 0
    finally:
        server().drop(name)
