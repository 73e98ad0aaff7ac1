"""The demo: a sandbox, its mirror, and an edit in each direction, told as it happens.

Everything is real: HTTP on loopback, the engine that `hisync run` has, a plain SQLite client.
Public: `run_demo`.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from hisync.cli.opening import open_engine
from hisync.config import load_config
from hisync.cycle import run_cycle
from hisync.engine import Engine
from hisync.errors import HisyncError
from hisync.logs import configure_logging
from hisync.sandbox import API_KEY, LOGIN, PASSWORD, Running, User, running

Tell = Callable[[str], Any]

_CONFIG = f"""\
[hitask]
base_url = "{{base_url}}"
login = "{LOGIN}"
password = "{PASSWORD}"
api_key = "{API_KEY}"

[database]
url = "sqlite:///hisync.db"

[rate]
requests_per_minute = 600
"""


def run_demo(keep: Path | None, items: int, tell: Tell) -> None:
    """Run the demo.

    Args:
        keep: a folder to leave the database in, None for a temporary one.
        items: how many items the sandbox has.
        tell: is given each line of the story.

    Raises:
        HisyncError: if something did not arrive: then hisync does not work on this machine.
    """
    with tempfile.TemporaryDirectory(prefix="hisync-demo-") as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "hisync.db").exists():
            raise HisyncError(f"{folder} has a hisync.db already: name another folder")
        _run(folder, items, tell)
        if keep is not None:
            tell(f"\nThe mirror is kept: sqlite3 {folder / 'hisync.db'}")


def _run(folder: Path, items: int, tell: Tell) -> None:
    with running(items) as sandbox:
        config_file = folder / "config.toml"
        descriptor = os.open(config_file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(_CONFIG.format(base_url=sandbox.base_url))
        tell(f"1. A stand-in for hiTask with {items} items runs at {sandbox.base_url}")
        config = load_config(config_file, {})
        configure_logging("warning", "console")
        with open_engine(config) as engine:
            configure_logging("warning", "console", redact=engine.api.redact)
            _mirror(engine, tell)
            _edit_there(sandbox, engine, tell)
            _edit_here(sandbox, engine, tell)
            _edit_both(sandbox, engine, tell)
            _talk_there(sandbox, engine, tell)
            _talk_here(sandbox, engine, tell)
            _rest(engine, tell)


def _mirror(engine: Engine, tell: Tell) -> None:
    summary = run_cycle(engine)
    tell(
        f"2. The first sync filled the mirror in SQLite with {summary.requests} requests: one for "
        "all items, one for each discussion, and some to learn who is who"
    )
    for table in ("projects", "tasks", "events", "notes", "comments", "time_entries", "users"):
        (row,) = _sql(engine, f"SELECT count(*) FROM {table}")
        tell(f"     {table:<12} {row[0]:>5}")


def _edit_there(sandbox: Running, engine: Engine, tell: Tell) -> None:
    guid, number, title = _some_task(engine, 0)
    owner = _owner(sandbox, number)
    sandbox.model.update(number, user=owner, title="Renamed on hiTask", priority=30000)
    tell(f"3. On hiTask the task {title!r} is renamed to 'Renamed on hiTask'")
    run_cycle(engine)
    found = _sql(engine, "SELECT title, priority FROM tasks WHERE guid = ?", guid)
    _expect(found == [("Renamed on hiTask", 30000)], f"the mirror has {found}")
    tell(f"     SELECT title, priority FROM tasks WHERE …  →  {found[0]}")


def _edit_here(sandbox: Running, engine: Engine, tell: Tell) -> None:
    guid, number, _ = _some_task(engine, 1)
    insert = (
        "INSERT INTO tasks (title, tags, due_date, is_all_day) "
        "VALUES ('Call Ann', '[\"phone\"]', '2030-05-17', true)"
    )
    update = f"UPDATE tasks SET completed = true WHERE guid = '{guid}'"
    tell("4. In SQL, with any client:")
    for statement in (insert, update):
        _sql(engine, statement)
        tell(f"     {statement};")
    summary = run_cycle(engine)
    created = [item for item in sandbox.model.items() if item.title == "Call Ann"]
    _expect(len(created) == 1, f"hiTask has {len(created)} tasks named 'Call Ann'")
    _expect(
        sandbox.model.item(number).get("completed") is True, "the task is not completed on hiTask"
    )
    tell(
        f"   The next sync pushed {summary.pushed} changes: hiTask made the new task number "
        f"{created[0].id} and completed number {number}"
    )


def _edit_both(sandbox: Running, engine: Engine, tell: Tell) -> None:
    guid, number, _ = _some_task(engine, 2)
    sandbox.model.update(number, user=_owner(sandbox, number), title="Their title", color=3)
    _sql(engine, "UPDATE tasks SET title = 'Our title', starred = true WHERE guid = ?", guid)
    tell("5. One task edited on both sides at once: both set its title, one a colour, one a star")
    run_cycle(engine)
    row = _sql(engine, "SELECT title, color, starred FROM tasks WHERE guid = ?", guid)[0]
    lost = _sql(
        engine, "SELECT field, local_value, resolution FROM conflicts WHERE row_guid = ?", guid
    )
    _expect(row == ("Their title", 3, 1) and len(lost) == 1, f"the mirror has {row}, {lost}")
    _expect(sandbox.model.item(number).get("starred") is True, "the star did not reach hiTask")
    tell(
        f"     title {row[0]!r} (policy: remote), colour {row[1]}, starred {bool(row[2])}; "
        f"the losing title {lost[0][1]!r} is kept in the table conflicts"
    )


def _talk_there(sandbox: Running, engine: Engine, tell: Tell) -> None:
    guid, number, title = _some_task(engine, 3)
    owner = _owner(sandbox, number)
    spent = _spent(sandbox, number)
    sandbox.model.comment(number, user=owner, message="Half way there")
    sandbox.model.update(number, user=owner, time_spent=spent + 30)
    tell(f"6. On hiTask {owner.name} comments on {title!r} and adds 30 minutes")
    run_cycle(engine)
    query = (
        "SELECT full_name, {} FROM {} JOIN users ON users.id = user_id WHERE item_guid = ? "
        "ORDER BY time_create DESC LIMIT 1"
    )
    said = _sql(engine, query.format("message", "comments"), guid)
    entry = _sql(engine, query.format("minutes, source", "time_entries"), guid)
    _expect(said == [(owner.name, "Half way there")], f"the mirror has the comment {said}")
    _expect(entry == [(owner.name, 30, "observed")], f"the mirror has the time entry {entry}")
    tell(f"     SELECT full_name, message FROM comments …          →  {said[0]}")
    tell(f"     SELECT full_name, minutes, source FROM time_entries …  →  {entry[0]}")


def _talk_here(sandbox: Running, engine: Engine, tell: Tell) -> None:
    guid, number, _ = _some_task(engine, 3)
    before = _spent(sandbox, number)
    comment = f"INSERT INTO comments (item_guid, message) VALUES ('{guid}', 'Well done')"
    entry = (
        f"INSERT INTO time_entries (item_guid, minutes, note) VALUES ('{guid}', 45, 'First talk')"
    )
    tell("7. In SQL, an answer and 45 minutes of one's own:")
    for statement in (comment, entry):
        _sql(engine, statement)
        tell(f"     {statement};")
    run_cycle(engine)
    said = [unit.value for unit in sandbox.model.comments(number)].count("Well done")
    after = _spent(sandbox, number)
    _expect(said == 1, f"hiTask has the comment {said} times")
    _expect(after == before + 45, f"hiTask has {after} minutes, and had {before}")
    tell(f"   hiTask shows the comment, and {after} minutes instead of {before}")


def _spent(sandbox: Running, number: int) -> int:
    """The minutes that hiTask has of an item."""
    total: Any = sandbox.model.item(number).get("time_spent")
    return int(total or 0)


def _rest(engine: Engine, tell: Tell) -> None:
    run_cycle(engine)  # the item that we commented on has changed by it
    summary = run_cycle(engine)
    _expect((summary.pulled, summary.pushed) == (0, 0), f"a quiet cycle did {summary}")
    tell(
        f"8. Both sides are equal now: a quiet cycle cost {summary.requests} request and "
        "changed nothing"
    )


def _owner(sandbox: Running, number: int) -> User:
    """Who owns an item, and so may change it."""
    return sandbox.model.user(sandbox.model.item(number).user_id)


def _some_task(engine: Engine, skip: int) -> tuple[str, int, str]:
    row = _sql(
        engine,
        "SELECT guid, id, title FROM tasks WHERE id IS NOT NULL AND permission = 100 "
        "AND NOT completed AND NOT starred ORDER BY id LIMIT 1 OFFSET ?",
        skip,
    )[0]
    return str(row[0]), int(row[1]), str(row[2])


def _sql(engine: Engine, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Run one statement as anybody's SQLite client would."""
    with closing(sqlite3.connect(engine.mirror.path, isolation_level=None, timeout=10)) as client:
        return client.execute(statement, values).fetchall()


def _expect(arrived: bool, otherwise: str) -> None:
    if not arrived:
        raise HisyncError(f"the demo failed: {otherwise}")
