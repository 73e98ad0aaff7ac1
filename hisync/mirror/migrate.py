"""Bring a database to this version's schema, by Alembic, in one transaction.

The migrations travel in the wheel as `hisync/migrations`; in a checkout they stand beside the
package. The capture triggers and the views are no part of any migration: they are replaced as a
whole after each, in the same transaction, so that no edit can fall between. Alembic is imported
only where there is something to migrate: commands that only look need not wait for it. Public:
`ensure_current`, `upgrade_schema`, `current`, `head`, `check_capture`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, Text, column, inspect, select, table, text
from sqlalchemy.exc import DBAPIError

from hisync.errors import SchemaError
from hisync.mirror import dialects, state
from hisync.mirror.moved import refusal
from hisync.mirror.places import log_unseen_rows

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "sync_schema_version"


def ensure_current(engine: Engine, *, upgrade: bool) -> None:
    """Make sure that the schema is this version's and that nothing of it is missing.

    With `upgrade`, missing views are made again; nobody's edits go unseen without them.

    Raises:
        SchemaError: if it is newer than this version, or older and `upgrade` is false, or if a
            table or capture trigger is missing.
    """
    with engine.connect() as connection, connection.begin():
        revision = _revision(connection)
        if revision == head():
            check_capture(connection)
            views_fit = not dialects.of(connection).views_to_make(connection)
            if views_fit or not upgrade:
                return
    if revision == head():
        _make_views(engine)
        return
    _refuse_newer(revision)
    if not upgrade:
        raise SchemaError(
            f"the database's schema is at {revision or 'no revision yet'}, this hisync needs "
            f"{head()}: run `hisync db upgrade`"
        )
    upgrade_schema(engine)


def upgrade_schema(engine: Engine) -> tuple[str | None, str]:
    """Migrate to the newest revision and put the capture triggers and the views in place.

    Returns:
        The revision before (None for an empty database) and after.

    Raises:
        SchemaError: if it is newer than this version, if a table is missing, or if something of
            people's own has the name of a new table or index.
    """
    import structlog
    from alembic import command

    dialect = dialects.named(engine.dialect.name)
    with dialects.write_connection(engine) as connection, connection.begin():
        dialect.prepare_schema(connection)
        before = _revision(connection)
        _refuse_newer(before)
        config = _config()
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except DBAPIError as error:
            if not dialect.name_taken(error):
                raise
            raise SchemaError(
                f"the schema can't be upgraded: {error.orig}, and it is not hisync's: give yours "
                "another name, then run `hisync db upgrade`; nothing was changed"
            ) from error
        _check_tables(connection)
        if before is not None:  # else they were made just now
            _check_columns(connection)
        holes = before == head() and dialect.missing_triggers(connection)
        dialect.install_capture(connection)
        dialect.install_views(connection)
        if holes:
            check_capture(connection)  # a mark that was left behind is not ours to end
            dialect.mark(connection)  # what moves a total is nobody's edit
            log_unseen_rows(connection, datetime.now(UTC).replace(tzinfo=None))
            dialect.unmark(connection)
            state.save(connection, had_holes=True)
        if (words := refusal(state.load(connection))) is not None:
            dialect.refuse_edits(connection, words)
        check_capture(connection)
        _warn_of_taken_names(connection)
    if before != head():
        structlog.get_logger("hisync").info("schema_upgraded", before=before, after=head())
    return before, head()


def _make_views(engine: Engine) -> None:
    with dialects.write_connection(engine) as connection, connection.begin():
        dialects.of(connection).install_views(connection)
        _warn_of_taken_names(connection)


def _warn_of_taken_names(connection: Connection) -> None:
    import structlog

    for name in dialects.of(connection).taken_names(connection):
        hint = "it is not hisync's: give yours another name, then run `hisync db upgrade`"
        structlog.get_logger("hisync").warning("view_name_taken", view=name, hint=hint)


def current(engine: Engine) -> str | None:
    """The revision that the database is at, None for an empty one."""
    with engine.connect() as connection, connection.begin():
        return _revision(connection)


@cache
def is_empty(engine: Engine) -> bool:
    """Whether nothing of a mirror is there, nor a table of somebody's own in its place."""
    with engine.connect() as connection, connection.begin():
        there = inspect(connection).get_table_names()
        return not {VERSION_TABLE, *dialects.of(connection).tables()} & set(there)


def head() -> str:
    """The revision that this version needs."""
    if not _known():
        raise SchemaError(f"no migrations found in {_folder()}: reinstall hisync")
    return max(_known())


def check_capture(connection: Connection) -> None:
    """Refuse to work on a database in which edits could go unseen.

    Raises:
        SchemaError: if a table or a capture trigger is missing or altered, or if an engine's
            mark was left behind.
    """
    dialect = dialects.of(connection)
    _check_tables(connection)
    wrong = dialect.missing_triggers(connection)
    if wrong:
        _check_columns(connection)  # new triggers would not help
        raise SchemaError(
            f"the database lacks the trigger {wrong[0]}"
            + (f" and {len(wrong) - 1} more" if len(wrong) > 1 else "")
            + ", so edits may have gone unseen: run `hisync db upgrade` to put it back, then "
            "`hisync sync --full`"
        )
    if dialect.leftover_mark(connection):
        raise SchemaError(
            "the table sync_mark is not empty, so edits went unseen: run "
            "`DELETE FROM sync_mark`, then `hisync sync --full`"
        )


def _check_tables(connection: Connection) -> None:
    there = inspect(connection).get_table_names()
    if missing := sorted(set(dialects.of(connection).tables()) - set(there)):
        raise SchemaError(
            f"the database lacks the table {', '.join(missing)}: restore a backup, or name a new "
            "database and let hisync fill it; nothing was deleted on hiTask"
        )


def _check_columns(connection: Connection) -> None:
    """A trigger can be made for a table that is not ours any more, and then nothing is mended."""
    for name, declared in dialects.of(connection).tables().items():
        empty = connection.execute(select(text("*")).select_from(table(name)).limit(0))
        if missing := sorted(set(declared.c.keys()) - set(empty.keys())):
            raise SchemaError(
                f"the table {name} lacks the column {', '.join(missing)}: if you gave it another "
                f"name, give it its own back (ALTER TABLE {name} RENAME COLUMN … TO {missing[0]}), "
                "then run `hisync db upgrade`; else restore a backup, or name a new database"
            )
        keys = [column.name for column in declared.primary_key]
        if inspect(connection).get_pk_constraint(name)["constrained_columns"] != keys:
            raise SchemaError(
                f"the table {name} lacks its primary key ({', '.join(keys)}), as one that was "
                "dropped and made anew (pandas' if_exists='replace' does that): restore a backup, "
                "or name a new database and let hisync fill it; nothing was deleted on hiTask"
            )


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version = select(column("version_num", Text())).select_from(table(VERSION_TABLE))
    return connection.execute(version).scalar_one_or_none()


def _refuse_newer(revision: str | None) -> None:
    if revision is not None and revision not in _known():
        raise SchemaError(
            f"the database's schema ({revision}) is newer than this hisync ({head()}): "
            "install a newer hisync, or name another database"
        )


@cache
def _known() -> frozenset[str]:
    """The revisions, by the names of their files: `0001_mirror.py` is revision 0001."""
    files = (_folder() / "versions").glob("[0-9]*_*.py")
    return frozenset(file.name.split("_", 1)[0] for file in files)


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@cache
def _folder() -> Path:
    package = Path(__file__).parent.parent
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"
