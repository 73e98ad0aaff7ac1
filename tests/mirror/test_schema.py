"""A schema that is not as it must be is an error with a way out, found before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from hisync.errors import SchemaError
from hisync.mirror import migrate
from hisync.mirror.store import open_mirror
from tests.mirror.people import Person

STOPS = [
    ("DROP TABLE tasks", r"lacks the table tasks: restore a backup"),
    ("DROP TABLE change_log", r"lacks the table change_log"),
    ("DROP TABLE sync_base", r"lacks the table sync_base.*nothing was deleted on hiTask"),
    (
        "DROP TRIGGER sync_capture_tasks_after_delete",
        r"lacks the trigger sync_capture_tasks_after_delete, so .*run `hisync db upgrade`",
    ),
    ("INSERT INTO sync_mark VALUES (1, 0)", r"run `DELETE FROM sync_mark`, then `hisync sync --f"),
    (
        "UPDATE sync_schema_version SET version_num = '9999'",
        r"schema \(9999\) is newer than this hisync \(\d+\): install a newer hisync",
    ),
]


@pytest.mark.parametrize(("statement", "reason"), STOPS)
@pytest.mark.parametrize("upgrade", [True, False])
def test_a_schema_that_does_not_fit(
    database: Path, person: Person, statement: str, reason: str, upgrade: bool
) -> None:
    person.run(statement)
    with open_mirror(f"sqlite:///{database}") as mirror:
        with pytest.raises(SchemaError, match=reason):
            mirror.acquire(upgrade=upgrade)
        with pytest.raises(SchemaError, match=reason):
            mirror.check()


@pytest.mark.parametrize("table", ["tasks", "sync_state"])
def test_an_upgrade_makes_no_table_anew_that_is_missing(
    database: Path, person: Person, table: str
) -> None:
    person.run(f"DROP TABLE {table}")
    with (
        open_mirror(f"sqlite:///{database}") as mirror,
        pytest.raises(SchemaError, match=f"lacks the table {table}: restore a backup"),
    ):
        mirror.upgrade()


def test_a_table_that_was_made_anew_is_not_taken_for_ours(database: Path, person: Person) -> None:
    person.run("CREATE TEMP TABLE copy AS SELECT * FROM tasks")
    person.run("DROP TABLE tasks")
    person.run("CREATE TABLE tasks AS SELECT * FROM copy")
    reason = r"table tasks lacks its primary key \(guid\).*: restore a backup"
    with open_mirror(f"sqlite:///{database}") as mirror:
        for work in (mirror.check, mirror.upgrade):
            with pytest.raises(SchemaError, match=reason):
                work()


def test_an_altered_trigger_is_a_missing_one(database: Path, person: Person) -> None:
    person.run("DROP TRIGGER sync_capture_tasks_after_insert")
    person.run("DROP TRIGGER sync_capture_notes_after_insert")
    person.run(
        "CREATE TRIGGER sync_capture_tasks_after_insert AFTER INSERT ON tasks BEGIN SELECT 1; END"
    )
    with (
        open_mirror(f"sqlite:///{database}") as mirror,
        pytest.raises(SchemaError, match="sync_capture_notes_after_insert and 1 more"),
    ):
        mirror.check()


def test_an_empty_database_is_filled_only_when_that_is_allowed(tmp_path: Path) -> None:
    with open_mirror(f"sqlite:///{tmp_path}/mirror.db") as mirror:
        with pytest.raises(SchemaError, match=r"no revision yet, .* run `hisync db upgrade`"):
            mirror.acquire(upgrade=False)
        assert migrate.current(mirror.engine) is None
        mirror.close()
        with pytest.raises(SchemaError, match="at no revision yet"):
            mirror.check()
        mirror.acquire()
        assert migrate.current(mirror.engine) == migrate.head()
        mirror.check()


def test_a_renamed_column_is_named_and_can_be_named_back(database: Path, person: Person) -> None:
    person.run("INSERT INTO tasks (guid, title) VALUES ('g', 'a')")
    person.run("ALTER TABLE tasks RENAME COLUMN color_value TO colour")
    with open_mirror(f"sqlite:///{database}") as mirror:
        for attempt in (mirror.acquire, mirror.upgrade, mirror.check):
            with pytest.raises(SchemaError, match="the table tasks lacks the column color_value"):
                attempt()
    person.run("ALTER TABLE tasks RENAME COLUMN colour TO color_value")
    with open_mirror(f"sqlite:///{database}") as mirror:
        mirror.upgrade()
        mirror.acquire()
    person.run("UPDATE tasks SET color_value = '#fff'")
