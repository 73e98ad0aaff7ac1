"""The demo: a sandbox, its mirror, and an edit in each direction, told as it happens.

Everything is real: HTTP on loopback, the engine that `hisync run` has, a client of its own with
plain SQL. Public: `run_demo`, `SCHEMA`.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy

from hisync.cli.opening import open_engine
from hisync.config import load_config
from hisync.config.checks import check_schema
from hisync.cycle import run_cycle
from hisync.engine import Engine
from hisync.errors import ConfigurationError, HisyncError
from hisync.logs import configure_logging
from hisync.mirror.store import open_mirror
from hisync.sandbox import API_KEY, LOGIN, PASSWORD, Running, User, running

Tell = Callable[[str], Any]

SCHEMA: Final = "hisync_demo"
"""The schema of the demo on PostgreSQL, if no other is named."""

_CONFIG = f"""\
[hitask]
base_url = "{{base_url}}"
login = "{LOGIN}"
password = "{PASSWORD}"
api_key = "{API_KEY}"

[database]
url = {{url}}
schema = "{{schema}}"

[rate]
requests_per_minute = 600
"""


@dataclass(frozen=True, slots=True)
class Demo:
    """The two sides of the demo.

    Attributes:
        sandbox: the stand-in for hiTask.
        engine: what syncs.
        client: somebody's own way into the database.
    """

    sandbox: Running
    engine: Engine
    client: sqlalchemy.Engine


def run_demo(
    keep: Path | None, items: int, tell: Tell, *, url: str | None = None, schema: str = SCHEMA
) -> None:
    """Run the demo.

    Args:
        keep: a folder to leave the database in, or of a server's the configuration; None to leave
            nothing.
        items: how many items the sandbox has.
        tell: is given each line of the story.
        url: a PostgreSQL database, None for a file.
        schema: its schema there, which is made.

    Raises:
        ConfigurationError: if the URL or the schema can't be used.
        HisyncError: if the folder has a mirror or a configuration already, or if something did not
            arrive: then hisync does not work on this machine.
    """
    with tempfile.TemporaryDirectory(prefix="hisync-demo-") as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("config.toml", "hisync.db"):
            if os.path.lexists(folder / name):
                raise HisyncError(f"{folder} has a {name} already: name another folder")
        if url is None:
            _run(folder, items, tell, "sqlite:///hisync.db", "")
            if keep is not None:
                tell(f"\nThe mirror is kept: sqlite3 {folder / 'hisync.db'}")
            return
        with _own_schema(url, schema, stays=keep is not None):
            _run(folder, items, tell, url, schema)
        if keep is not None:
            tell(f"\nThe mirror is kept, in the schema {schema}; so is {folder / 'config.toml'}")


@contextmanager
def _own_schema(url: str, schema: str, *, stays: bool) -> Iterator[None]:
    """Make sure that a schema is new, and drop it in the end if it isn't to stay."""
    if not url.startswith("postgresql"):
        raise ConfigurationError(["--database-url: must be of PostgreSQL; a file is made anyway"])
    try:
        check_schema(schema)
    except ValueError as error:
        raise ConfigurationError([f"--schema: {error}"]) from None
    with open_mirror(url) as database:
        with database.reading() as connection:
            there = "SELECT 1 FROM pg_namespace WHERE nspname = %s"
            if connection.exec_driver_sql(there, (schema,)).first() is not None:
                raise HisyncError(
                    f"{database.name} has a schema {schema} already: name another by --schema, or "
                    f"drop it if it is of an earlier demo (DROP SCHEMA {schema} CASCADE)"
                )
        try:
            yield
        finally:
            if not stays:
                with database.engine.connect().execution_options(
                    isolation_level="AUTOCOMMIT"
                ) as connection:
                    connection.exec_driver_sql(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')


def _run(folder: Path, items: int, tell: Tell, url: str, schema: str) -> None:
    with running(items) as sandbox:
        config_file = folder / "config.toml"
        descriptor = os.open(config_file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(
                _CONFIG.format(base_url=sandbox.base_url, url=json.dumps(url), schema=schema)
            )
        config = load_config(config_file, {})
        tell(f"1. A stand-in for hiTask with {items} items runs at {sandbox.base_url}")
        configure_logging("warning", "console")
        with open_engine(config) as engine, _client(config.database.url, schema) as client:
            configure_logging("warning", "console", redact=engine.api.redact)
            demo = Demo(sandbox, engine, client)
            for part in (
                *(_mirror, _edit_there, _edit_here, _edit_both, _talk_there, _talk_here),
                _rest,
            ):
                part(demo, tell)


@contextmanager
def _client(url: str, schema: str) -> Iterator[sqlalchemy.Engine]:
    """Anybody's SQL client, which knows nothing of hisync."""
    parsed = sqlalchemy.make_url(url)
    if schema:
        parsed = parsed.set(drivername="postgresql+psycopg")
    options: dict[str, Any] = {"timeout": 10}
    if schema:
        options = {"options": f"-c search_path={schema}", "client_encoding": "utf8"}
    engine = sqlalchemy.create_engine(
        parsed, isolation_level="AUTOCOMMIT", connect_args=options, poolclass=sqlalchemy.NullPool
    )
    yield engine
    engine.dispose()


def _mirror(demo: Demo, tell: Tell) -> None:
    summary = run_cycle(demo.engine)
    engine_name = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[demo.client.dialect.name]
    tell(
        f"2. The first sync filled the mirror in {engine_name} with {summary.requests} requests: "
        "one for all items, one for each discussion, and some to learn who is who"
    )
    for table in ("projects", "tasks", "events", "notes", "comments", "time_entries", "users"):
        (row,) = _sql(demo, f"SELECT count(*) FROM {table}")
        tell(f"     {table:<12} {row[0]:>5}")


def _edit_there(demo: Demo, tell: Tell) -> None:
    guid, number, title = _some_task(demo, 0)
    owner = _owner(demo.sandbox, number)
    demo.sandbox.model.update(number, user=owner, title="Renamed on hiTask", priority=30000)
    tell(f"3. On hiTask the task {title!r} is renamed to 'Renamed on hiTask'")
    run_cycle(demo.engine)
    found = _sql(demo, "SELECT title, priority FROM tasks WHERE guid = :guid", guid=guid)
    _expect(found == [("Renamed on hiTask", 30000)], f"the mirror has {found}")
    tell(f"     SELECT title, priority FROM tasks WHERE …  →  {found[0]}")


def _edit_here(demo: Demo, tell: Tell) -> None:
    guid, number, _ = _some_task(demo, 1)
    insert = (
        "INSERT INTO tasks (title, tags, due_date, is_all_day) "
        "VALUES ('Call Ann', '[\"phone\"]', '2030-05-17', true)"
    )
    update = f"UPDATE tasks SET completed = true WHERE guid = '{guid}'"
    tell("4. In SQL, with any client:")
    for statement in (insert, update):
        _sql(demo, statement)
        tell(f"     {statement};")
    summary = run_cycle(demo.engine)
    created = [item for item in demo.sandbox.model.items() if item.title == "Call Ann"]
    _expect(len(created) == 1, f"hiTask has {len(created)} tasks named 'Call Ann'")
    _expect(
        demo.sandbox.model.item(number).get("completed") is True,
        "the task is not completed on hiTask",
    )
    tell(
        f"   The next sync pushed {summary.pushed} changes: hiTask made the new task number "
        f"{created[0].id} and completed number {number}"
    )


def _edit_both(demo: Demo, tell: Tell) -> None:
    guid, number, _ = _some_task(demo, 2)
    demo.sandbox.model.update(
        number, user=_owner(demo.sandbox, number), title="Their title", color=3
    )
    _sql(demo, "UPDATE tasks SET title = 'Our title', starred = true WHERE guid = :guid", guid=guid)
    tell("5. One task edited on both sides at once: both set its title, one a colour, one a star")
    run_cycle(demo.engine)
    row = _sql(demo, "SELECT title, color, starred FROM tasks WHERE guid = :guid", guid=guid)[0]
    lost = _sql(
        demo,
        "SELECT field, local_value, resolution FROM conflicts WHERE row_guid = :guid",
        guid=guid,
    )
    _expect(row == ("Their title", 3, 1) and len(lost) == 1, f"the mirror has {row}, {lost}")
    _expect(demo.sandbox.model.item(number).get("starred") is True, "the star did not reach hiTask")
    tell(
        f"     title {row[0]!r} (policy: remote), colour {row[1]}, starred {bool(row[2])}; "
        f"the losing title {lost[0][1]!r} is kept in the table conflicts"
    )


def _talk_there(demo: Demo, tell: Tell) -> None:
    guid, number, title = _some_task(demo, 3)
    owner = _owner(demo.sandbox, number)
    spent = _spent(demo.sandbox, number)
    demo.sandbox.model.comment(number, user=owner, message="Half way there")
    demo.sandbox.model.update(number, user=owner, time_spent=spent + 30)
    tell(f"6. On hiTask {owner.name} comments on {title!r} and adds 30 minutes")
    run_cycle(demo.engine)
    query = (
        "SELECT full_name, {} FROM {} JOIN users ON users.id = user_id WHERE item_guid = :guid "
        "ORDER BY time_create DESC LIMIT 1"
    )
    said = _sql(demo, query.format("message", "comments"), guid=guid)
    entry = _sql(demo, query.format("minutes, source", "time_entries"), guid=guid)
    _expect(said == [(owner.name, "Half way there")], f"the mirror has the comment {said}")
    _expect(entry == [(owner.name, 30, "observed")], f"the mirror has the time entry {entry}")
    tell(f"     SELECT full_name, message FROM comments …          →  {said[0]}")
    tell(f"     SELECT full_name, minutes, source FROM time_entries …  →  {entry[0]}")


def _talk_here(demo: Demo, tell: Tell) -> None:
    guid, number, _ = _some_task(demo, 3)
    before = _spent(demo.sandbox, number)
    comment = f"INSERT INTO comments (item_guid, message) VALUES ('{guid}', 'Well done')"
    entry = (
        f"INSERT INTO time_entries (item_guid, minutes, note) VALUES ('{guid}', 45, 'First talk')"
    )
    tell("7. In SQL, an answer and 45 minutes of one's own:")
    for statement in (comment, entry):
        _sql(demo, statement)
        tell(f"     {statement};")
    run_cycle(demo.engine)
    said = [unit.value for unit in demo.sandbox.model.comments(number)].count("Well done")
    after = _spent(demo.sandbox, number)
    _expect(said == 1, f"hiTask has the comment {said} times")
    _expect(after == before + 45, f"hiTask has {after} minutes, and had {before}")
    tell(f"   hiTask shows the comment, and {after} minutes instead of {before}")


def _spent(sandbox: Running, number: int) -> int:
    """The minutes that hiTask has of an item."""
    total: Any = sandbox.model.item(number).get("time_spent")
    return int(total or 0)


def _rest(demo: Demo, tell: Tell) -> None:
    run_cycle(demo.engine)  # the item that we commented on has changed by it
    summary = run_cycle(demo.engine)
    _expect((summary.pulled, summary.pushed) == (0, 0), f"a quiet cycle did {summary}")
    tell(
        f"8. Both sides are equal now: a quiet cycle cost {summary.requests} request and "
        "changed nothing"
    )


def _owner(sandbox: Running, number: int) -> User:
    """Who owns an item, and so may change it."""
    return sandbox.model.user(sandbox.model.item(number).user_id)


def _some_task(demo: Demo, skip: int) -> tuple[str, int, str]:
    row = _sql(
        demo,
        "SELECT guid, id, title FROM tasks WHERE id IS NOT NULL AND permission = 100 "
        "AND NOT completed AND NOT starred ORDER BY id LIMIT 1 OFFSET :skip",
        skip=skip,
    )[0]
    return str(row[0]), int(row[1]), str(row[2])


def _sql(demo: Demo, statement: str, **values: object) -> list[tuple[Any, ...]]:
    """Run one statement as anybody's client would."""
    with demo.client.connect() as connection:
        result = connection.execute(sqlalchemy.text(statement), values)
        return [tuple(row) for row in result] if result.returns_rows else []


def _expect(arrived: bool, otherwise: str) -> None:
    if not arrived:
        raise HisyncError(f"the demo failed: {otherwise}")
