"""Bring a database to this version's schema, by Alembic, in one transaction.

The migrations travel in the wheel as `hisync/migrations`; in a checkout they stand beside the
package. The capture triggers are no part of any migration: they are replaced as a whole after
each, in the same transaction, so that no edit can fall between. Public: `ensure_current`,
`upgrade_schema`, `current`, `head`, `check_capture`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect

from hisync.errors import SchemaError
from hisync.mirror import sqlite, state
from hisync.mirror.tables import metadata
from hisync.mirror.unseen import log_unseen_rows

VERSION_TABLE = "sync_schema_version"


def ensure_current(engine: Engine, *, upgrade: bool) -> None:
    """Make sure that the schema is this version's and that nothing of it is missing.

    Raises:
        SchemaError: if it is newer than this version, or older and `upgrade` is false, or if a
            table or capture trigger is missing.
    """
    with engine.connect() as connection, connection.begin():
        revision = _revision(connection)
        if revision == head():
            check_capture(connection)
            return
    if revision is not None and revision not in _known():
        raise SchemaError(
            f"the database's schema ({revision}) is newer than this hisync ({head()}): "
            "install a newer hisync, or name another database"
        )
    if not upgrade:
        raise SchemaError(
            f"the database's schema is at {revision or 'nothing'}, this hisync needs {head()}: "
            "run `hisync db upgrade`"
        )
    upgrade_schema(engine)


def upgrade_schema(engine: Engine) -> tuple[str | None, str]:
    """Migrate to the newest revision and put the capture triggers in place.

    Returns:
        The revision before (None for an empty database) and after.
    """
    writer = engine.connect().execution_options(**{sqlite.WRITE: True})
    with writer as connection, connection.begin():
        before = _revision(connection)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        holes = before == head() and _missing_triggers(connection)
        sqlite.install_capture(connection)
        if holes:
            log_unseen_rows(connection)
            state.save(connection, had_holes=True)
        check_capture(connection)
    structlog.get_logger("hisync").info("schema_upgraded", before=before, after=head())
    return before, head()


def current(engine: Engine) -> str | None:
    """The revision that the database is at, None for an empty one."""
    with engine.connect() as connection, connection.begin():
        return _revision(connection)


@cache
def head() -> str:
    """The revision that this version needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise SchemaError(f"no migrations found in {_folder()}: reinstall hisync")
    return revision


def check_capture(connection: Connection) -> None:
    """Refuse to work on a database in which edits could go unseen.

    Raises:
        SchemaError: if a table or a capture trigger is missing or altered, or if an engine's
            mark was left behind.
    """
    missing = sorted(set(metadata.tables) - set(inspect(connection).get_table_names()))
    if missing:
        raise SchemaError(
            f"the database lacks the table {', '.join(missing)}: restore a backup, or name a new "
            "database and let hisync fill it; nothing was deleted on hiTask"
        )
    wrong = _missing_triggers(connection)
    if wrong:
        raise SchemaError(
            f"the database lacks the trigger {wrong[0]}"
            + (f" and {len(wrong) - 1} more" if len(wrong) > 1 else "")
            + ", so edits may have gone unseen: run `hisync db upgrade` to put it back, then "
            "`hisync sync --full`"
        )
    if sqlite.leftover_mark(connection):
        raise SchemaError(
            "the table sync_mark is not empty, so edits went unseen: run "
            "`DELETE FROM sync_mark`, then `hisync sync --full`"
        )


def _missing_triggers(connection: Connection) -> list[str]:
    installed = sqlite.installed_triggers(connection)
    return sorted(
        name for name, sql in sqlite.capture_triggers().items() if installed.get(name) != sql
    )


def _revision(connection: Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


@cache
def _known() -> frozenset[str]:
    script = ScriptDirectory.from_config(_config())
    return frozenset(revision.revision for revision in script.walk_revisions())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@cache
def _folder() -> Path:
    package = Path(__file__).parent.parent
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"
