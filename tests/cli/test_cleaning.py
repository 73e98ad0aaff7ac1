"""What people or hiTask wrote moves no terminal's cursor, sets no title and begins no line."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable

import pytest

from hisync.cli.cleaning import one_line, printable, without_controls
from hisync.cli.printing import print_json
from hisync.sandbox import Fault
from tests.cli.conftest import Done, Site

EVIL = "esc \x1b]0;pwned\x07\x1b[2Jred\x9b1m\x7f"
SHOWN = r"esc \x1b]0;pwned\x07\x1b[2Jred\x9b1m\x7f"


def obeyed(done: Done) -> list[str]:
    """What a terminal would do more with than show it."""
    return re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", done.stdout + done.stderr)


def test_what_people_wrote_can_not_move_the_cursor() -> None:
    assert one_line("a\x1b[31m\nb\u2028c\x00 \u200fd é") == "a\\x1b[31m b c\\x00 \\u200fd é"
    assert printable("  two  blanks\t") == "  two  blanks\\t"
    assert (
        without_controls("a\x1b[2J\tb\r\n\x9b\u00a0\u200d é")
        == "a\\x1b[2J\tb\r\n\\x9b\u00a0\u200d é"
    )


@pytest.fixture
def evil(new_site: Callable[..., Site]) -> Site:
    """A site on which somebody means no good."""
    site = new_site(5)
    user = site.model.team.add_user("u@example.com", "x", "Eve", "\x1b[31m\nher")
    site.model.create(user=site.model.users[0], title=EVIL, assignee=user.id)
    site.run("sync")
    return site


def test_no_report_holds_what_a_terminal_obeys(evil: Site) -> None:
    table = evil.run("report", "assigned")
    assert (SHOWN in table.stdout, r"Eve \x1b[31m her " in table.stdout) == (True, True)
    assert obeyed(table) == []
    text = evil.run("report", "assigned", "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["assignee_name"] for row in rows if row["title"] == SHOWN] == ["Eve \\x1b[31m\nher"]
    done = evil.run("report", "assigned", "--format", "json")
    assert EVIL in {row["title"] for row in json.loads(done.stdout)}
    assert obeyed(done) == []


def test_no_list_of_conflicts_holds_what_a_terminal_obeys(evil: Site) -> None:
    (guid,) = evil.sql("SELECT guid FROM tasks WHERE title = ?", EVIL)[0]
    evil.sql("UPDATE tasks SET title = 'Mine' WHERE guid = ?", guid)
    (item,) = [item for item in evil.model.items() if item.guid == guid]
    evil.model.update(item.id, user=evil.model.users[0], title=f"{EVIL}\ntwo")
    evil.run("sync")
    for command in (["list"], ["show", "1"]):
        done = evil.run("conflicts", *command)
        assert SHOWN in done.stdout
        assert obeyed(done) == []
    assert len(evil.run("conflicts", "list").stdout.splitlines()) == 2


def test_hitasks_own_words_are_one_line(site: Site) -> None:
    words = f"no\nhisync: all is well {EVIL}"
    fault = Fault("status", status=403, code=54, message=words, count=0)
    site.sandbox.service.faults.add(fault)
    done = site.run("sync")
    assert done.returncode == 3
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("hisync: ")]
    assert said.startswith(f"hisync: no hisync: all is well {SHOWN}")
    assert obeyed(done) == []
    done = site.run("check")
    names = [line[5:].partition(":")[0] for line in done.stdout.splitlines()]
    assert len(names) == len(set(names)) == 7
    assert f"no hisync: all is well {SHOWN}" in done.stdout
    assert obeyed(done) == []


def test_a_cycle_that_stops_early_says_why_in_one_line(site: Site) -> None:
    site.run("sync")
    site.sql("UPDATE tasks SET title = 'Mine' WHERE guid = (SELECT min(guid) FROM tasks)")
    fault = Fault("status", "PUT", status=429, code=67, message=f"a\nb {EVIL}", count=0)
    site.sandbox.service.faults.add(fault)
    done = site.run("sync")
    assert f"stopped early: a b {SHOWN} (HTTP 429" in done.stdout
    assert obeyed(done) == []


def test_json_stays_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"title": f"{EVIL}\udc80 é"})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"title": f"{EVIL}\udc80 é"}
    assert (r"\udc80 é" in printed, r"\u009b1m\u007f" in printed) == (True, True)
