"""No command and no failure shows a secret, at any level of the log."""

from __future__ import annotations

import pytest

from hisync.sandbox import API_KEY
from tests.cli.conftest import Site, until

WRONG = "marked-Pa55+w/ord%20"

COMMANDS = (
    ("check",),
    ("sync",),
    ("sync", "--full", "--dry-run"),
    ("status",),
    ("status", "--json"),
    ("changes", "list", "--all", "--json"),
    ("conflicts", "list", "--json"),
    ("verify",),
    ("restore", "11111111-1111-4111-8111-111111111111"),
    ("report", "time"),
    ("db", "current"),
)
FAULTS = (
    "status=500",
    "status=401",
    "status=403",
    "status=429",
    "html=200",
    "cut",
    "empty",
    "drop_before",
    "drop_after",
)


def printed(site: Site, *command: str) -> str:
    done = site.run(*command, HISYNC_LOG__LEVEL="debug", HISYNC_RATE__REQUESTS_PER_MINUTE="10000")
    return done.stdout + done.stderr


def shown(site: Site, text: str) -> list[str]:
    """The secrets that a text shows."""
    database = site.database.read_bytes().decode("latin-1") if site.database.exists() else ""
    secrets = [API_KEY, WRONG, *site.model.team.sessions]
    return [secret for secret in secrets if secret in text + database]


def test_no_command_shows_one(site: Site) -> None:
    text = "".join(printed(site, *command) for command in COMMANDS)
    assert len(site.model.team.sessions) >= 1
    assert shown(site, text) == []


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_no_failure_of_the_service_shows_one(site: Site, fault: str) -> None:
    site.run("sync")
    text = ""
    for path in ("GET /user/authenticate", "GET /item/*", "GET /user"):
        site.sandbox.service.faults.add(f"{path}:{fault}:3")
        text += "".join(printed(site, *command) for command in (("sync",), ("check",)))
        site.sandbox.service.faults.clear()
        site.sql("DELETE FROM sync_state WHERE key IN ('throttle', 'quiet_until')")
    assert shown(site, text) == []
    assert text


@pytest.mark.slow
def test_no_refused_login_shows_one(site: Site) -> None:
    site.configure(hitask={"password": WRONG}, log={"level": "debug"})
    text = "".join(printed(site, *command) for command in (("check",), ("sync",), ("status",)))
    site.start("run")
    until(lambda: "login_refused" in site.log())
    assert shown(site, text + site.log()) == []


def test_no_faulty_configuration_shows_one(site: Site) -> None:
    site.configure(hitask={"password": WRONG, "base_url": f"https://ann:{WRONG}@hitask.test/api"})
    assert shown(site, printed(site, "sync")) == []
    site.configure(hooks={"webhook": f"http://hooks.test/{WRONG}"})
    assert shown(site, printed(site, "check")) == []
