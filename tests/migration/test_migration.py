"""The migrated database is the declared one, and a migration happens as a whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from hisync.errors import SchemaError
from hisync.mirror import migrate
from hisync.mirror.dialects import sqlite
from hisync.mirror.dialects.sqlite import capture, views
from hisync.mirror.store import Mirror, open_mirror
from hisync.mirror.tables import metadata


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    """An empty database."""
    with open_mirror(f"sqlite:///{tmp_path}/mirror.db") as mirror:
        yield mirror


@pytest.fixture
def migrated(mirror: Mirror) -> Mirror:
    """A database that the migrations made."""
    migrate.upgrade_schema(mirror.engine)
    return mirror


@pytest.fixture
def declared(tmp_path: Path) -> Iterator[Mirror]:
    """A database made from the declaration, without migrations."""
    indexes = [index for table in metadata.tables.values() for index in table.indexes]
    for index in indexes:
        index.dialect_options["sqlite"]["where"] = index.info.get("where")
    with open_mirror(f"sqlite:///{tmp_path}/declared.db") as mirror:
        with mirror.engine.connect() as connection, connection.begin():
            metadata.create_all(connection)
            capture.install_capture(connection)
            views.install_views(connection)
        yield mirror
    for index in indexes:
        del index.dialect_options["sqlite"]["where"]


def schema_of(mirror: Mirror) -> dict[tuple[str, str], Any]:
    """Every table, index, trigger and view by kind and name, spelled in one way."""
    query = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"
    with mirror.engine.connect() as connection, connection.begin():
        return {
            (row.type, row.name): (row.tbl_name, spelled(row.sql))
            for row in connection.exec_driver_sql(query)
            if row.name != migrate.VERSION_TABLE
        }


def spelled(sql: str) -> str:
    """A statement without its layout, and without quotes around names."""
    return re.sub(r"\s+", " ", sql.replace('"', "")).replace("( ", "(").replace(" )", ")").strip()


def test_alembic_finds_no_difference(migrated: Mirror) -> None:
    with migrated.engine.connect() as connection, connection.begin():
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "compare_server_default": True,
                "version_table": migrate.VERSION_TABLE,
            },
        )
        assert compare_metadata(context, metadata) == []


def test_the_schemas_are_equal_in_every_word(migrated: Mirror, declared: Mirror) -> None:
    ours, theirs = schema_of(migrated), schema_of(declared)
    assert ours.keys() == theirs.keys()
    for key, statement in theirs.items():
        assert ours[key] == statement, key
    kinds = [kind for kind, _ in ours]
    assert kinds.count("table") == len(metadata.tables)
    assert kinds.count("trigger") == len(capture.capture_triggers()) > 0
    assert kinds.count("view") == len(views.VIEWS) > 0
    assert kinds.count("index") > 0


def test_a_difference_would_be_found(migrated: Mirror, declared: Mirror) -> None:
    """The comparison itself: it sees a column, an index, a trigger and a view."""
    before = schema_of(declared)
    for statement in (
        "ALTER TABLE tasks ADD COLUMN x",
        "DROP INDEX ix_tasks_id",
        "DROP TRIGGER sync_capture_notes_after_insert",
        "DROP VIEW items",
    ):
        with migrated.engine.connect() as connection, connection.begin():
            connection.exec_driver_sql(statement)
    after = schema_of(migrated)
    differing = {key for key in before | after if before.get(key) != after.get(key)}
    assert {name for _, name in differing} == {
        "tasks",
        "ix_tasks_id",
        "sync_capture_notes_after_insert",
        "items",
    }


def test_the_declared_database_passes_the_check(declared: Mirror) -> None:
    with declared.engine.connect() as connection, connection.begin():
        migrate.check_capture(connection)


def test_upgrading_tells_where_it_came_from(mirror: Mirror) -> None:
    assert migrate.current(mirror.engine) is None
    assert migrate.upgrade_schema(mirror.engine) == (None, migrate.head())
    assert migrate.current(mirror.engine) == migrate.head()


def test_upgrading_what_is_current_changes_nothing(migrated: Mirror) -> None:
    before = schema_of(migrated)
    with migrated.engine.connect() as connection, connection.begin():
        version = sqlite.schema_version(connection)
    assert migrate.upgrade_schema(migrated.engine) == (migrate.head(), migrate.head())
    migrate.ensure_current(migrated.engine, upgrade=True)
    migrate.ensure_current(migrated.engine, upgrade=False)
    assert schema_of(migrated) == before
    with migrated.engine.connect() as connection, connection.begin():
        assert sqlite.schema_version(connection) == version


def test_an_upgrade_puts_old_and_missing_triggers_right(migrated: Mirror) -> None:
    before = schema_of(migrated)
    with migrated.engine.connect() as connection, connection.begin():
        for statement in (
            "DROP TRIGGER sync_capture_tasks_after_insert",
            "DROP TRIGGER sync_capture_notes_after_insert",
            "CREATE TRIGGER sync_capture_notes_after_insert DELETE ON notes BEGIN SELECT 1; END",
            "CREATE TRIGGER sync_capture_of_old AFTER INSERT ON notes BEGIN SELECT 1; END",
            "CREATE TRIGGER mine AFTER INSERT ON notes BEGIN SELECT 1; END",
        ):
            connection.exec_driver_sql(statement)
    migrate.upgrade_schema(migrated.engine)
    after = schema_of(migrated)
    assert after.pop(("trigger", "mine"))  # people's own are left alone
    assert after == before


def break_down(_connection: Connection) -> None:
    raise SchemaError("the power went out")


@pytest.mark.parametrize("step", ["install_capture", "install_views", "leftover_mark"])
def test_a_migration_that_fails_leaves_nothing(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sqlite, step, break_down)
        with pytest.raises(SchemaError, match="the power went out"):
            mirror.acquire()
    assert schema_of(mirror) == {}
    assert migrate.current(mirror.engine) is None
    mirror.close()
    mirror.acquire()
    assert migrate.current(mirror.engine) == migrate.head()


def test_a_trigger_that_can_not_be_made_leaves_nothing(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {**capture.capture_triggers(), "sync_capture_zz": "CREATE TRIGGER"}
    monkeypatch.setattr(capture, "capture_triggers", lambda: broken)
    with pytest.raises(Exception, match="incomplete input"):
        mirror.acquire()
    assert schema_of(mirror) == {}


def test_what_people_have_in_the_database_outlives_the_migration(mirror: Mirror) -> None:
    with mirror.engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("CREATE TABLE mine (x)")
        connection.exec_driver_sql("INSERT INTO mine VALUES (1)")
    mirror.acquire()
    with mirror.reading() as connection:
        assert connection.exec_driver_sql("SELECT x FROM mine").scalar_one() == 1


def test_the_files_names_are_their_revisions() -> None:
    script = ScriptDirectory.from_config(migrate._config())
    assert migrate.head() == script.get_current_head()
    assert migrate._known() == {revision.revision for revision in script.walk_revisions()}
