"""What can happen in an entry besides a plain SQL statement.

Public: `Act` and the functions, each of which returns an act.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import psycopg
import pytest

from tests.edges.scene import Act, Interruption, Scene

__all__ = [
    "Act",
    "archives",
    "comments",
    "crash",
    "creates",
    "deletes",
    "during",
    "edits",
    "fails",
    "fault",
    "full_sync",
    "one_transaction",
    "refused",
    "sets",
    "sql",
    "sync",
]


def sql(statement: str, **values: Any) -> Act:
    """A statement with values besides the names of rows."""
    return lambda scene: scene.sql(statement, **values)


def one_transaction(*statements: str, pragma: str | None = None) -> Act:
    """Statements of one client in one transaction."""

    def run(scene: Scene) -> None:
        with scene.world.client() as connection:
            if pragma is not None:
                connection.execute(f"PRAGMA {pragma}")
            connection.execute("BEGIN")
            for statement in statements:
                scene.run(connection, statement)
            connection.execute("COMMIT")

    return run


def refused(statement: str, reason: str, **values: Any) -> Act:
    """A statement that the database itself refuses at once."""

    def run(scene: Scene) -> None:
        with pytest.raises((sqlite3.DatabaseError, psycopg.Error), match=reason):
            scene.sql(statement, **values)

    return run


def sync(scene: Scene) -> None:
    """A cycle."""
    scene.world.sync()


def full_sync(scene: Scene) -> None:
    """A cycle that reads everything again."""
    scene.world.sync(full=True)


def crash(scene: Scene) -> None:
    """The process ends where it stands; the next cycle is a new one's."""
    scene.world.crash()


def fails(error: type[Exception], reason: str, act: Act = sync) -> Act:
    """An act, a cycle by default, that ends in an error."""

    def run(scene: Scene) -> None:
        with pytest.raises(error, match=reason):
            scene.act(act)

    return run


def fault(*faults: str) -> Act:
    """Trouble over there, as the sandbox's short texts."""
    return lambda scene: scene.world.service.faults.add(*faults)


def during(request: str, act: Act, *, after: bool = False, times: int = 1) -> Act:
    """Something happens in the middle of the next request of this kind (`PUT /item/*`).

    Before it arrives, or (`after`) when it was carried out and its answer is on its way.
    """
    method, _, path = request.partition(" ")
    return lambda scene: scene.interruptions.append(Interruption(method, path, act, after, times))


def creates(name: str, **given: Any) -> Act:
    """A colleague creates an item."""
    return lambda scene: scene.create(name, given)


def edits(name: str, **changes: Any) -> Act:
    """A colleague changes an item; `parent` goes by name."""

    def run(scene: Scene) -> None:
        values = dict(changes)
        if isinstance(values.get("parent"), str):
            values["parent"] = scene.need(values["parent"]).id
        scene.model.update(scene.need(name).id, user=scene.colleague, **values)

    return run


def deletes(name: str, *, cascade: bool = False) -> Act:
    """A colleague deletes an item."""
    return lambda scene: scene.model.delete(
        scene.need(name).id, user=scene.colleague, cascade=cascade
    )


def archives(name: str, *, cascade: bool = False) -> Act:
    """A colleague archives an item."""
    return lambda scene: scene.model.archive(
        scene.need(name).id, user=scene.colleague, cascade=cascade
    )


def comments(name: str, message: str) -> Act:
    """A colleague comments on an item."""
    return lambda scene: scene.model.comment(
        scene.need(name).id, user=scene.colleague, message=message
    )


def sets(name: str, **values: Any) -> Act:
    """The service itself changes an item: whatever values, unknown ones too."""

    def run(scene: Scene) -> None:
        item = scene.need(name)
        item.values.update(values)
        scene.model._touch(item)

    return run
