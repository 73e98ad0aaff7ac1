"""A server without advisory locks and NOTIFY, as some that speak PostgreSQL's protocol are.

Here they are taken away from the daemon's role, which is no superuser.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import psycopg
import pytest
from structlog.testing import capture_logs

from hisync.errors import BusyError, LockedError, SchemaError, StaleWriterError
from hisync.mirror.dialects.postgres import connection as gate
from hisync.mirror.dialects.postgres import lease
from hisync.mirror.store import Mirror, open_mirror
from tests.mirror.test_postgres import Session, put, run
from tests.postgres import ROLE, server
from tests.world import World, make_world

PLAIN = "plain"
"""A role that may do what anyone may."""

TAKEN_AWAY = (
    *("pg_try_advisory_lock", "pg_try_advisory_xact_lock", "pg_advisory_xact_lock"),
    "pg_advisory_xact_lock_shared",
)


def url_of(name: str, role: str = PLAIN) -> str:
    return server().url(name).replace(f"//{ROLE}@", f"//{role}@")


def superuser(name: str) -> Session:
    return psycopg.connect(server().conninfo(name), autocommit=True)


def empty() -> str:
    """A database in which PLAIN may make tables."""
    name = server().create()
    with superuser(name) as session:
        with suppress(psycopg.errors.DuplicateObject):
            run(session, f"CREATE ROLE {PLAIN} LOGIN")
        run(session, f"GRANT ALL ON SCHEMA public TO {PLAIN}")
        run(session, f"GRANT CREATE ON DATABASE {name} TO {PLAIN}")
    return name


def take_away(name: str) -> None:
    with superuser(name) as session:
        for function in TAKEN_AWAY:
            run(session, f"REVOKE EXECUTE ON FUNCTION {function}(int, int) FROM PUBLIC")
        run(session, "REVOKE EXECUTE ON FUNCTION pg_notify(text, text) FROM PUBLIC")


@cache
def migrated() -> str:
    name = empty()
    take_away(name)
    open_mirror(url_of(name)).acquire().close()
    return name


@pytest.fixture
def database() -> Iterator[str]:
    """The name of an empty mirror of PLAIN's."""
    name = server().create(migrated())
    take_away(name)
    yield name
    server().drop(name)


@pytest.fixture
def mirror(database: str) -> Iterator[Mirror]:
    with open_mirror(url_of(database)).acquire() as mirror:
        yield mirror


@pytest.fixture
def session(database: str) -> Iterator[Session]:
    """Somebody's SQL client."""
    with superuser(database) as session:
        yield session


def expire(session: Session) -> None:
    run(session, "UPDATE sync_lease SET expires = clock_timestamp() - interval '1 s'")


def test_of_two_only_one_gets_the_lease(database: str, mirror: Mirror) -> None:
    with open_mirror(url_of(database)) as second:
        assert second.holder() == os.getpid()
        with pytest.raises(LockedError, match=f"process {os.getpid()}"):
            second.acquire()
        mirror.close()
        assert second.holder() is None
        second.acquire()
        put(second, "g", "a")


def test_the_engine_and_editors_wait_for_each_other(
    mirror: Mirror, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "BUSY_TIMEOUT_SECONDS", 0.1)
    put(mirror, "g", "a")
    run(session, "BEGIN")
    run(session, "UPDATE tasks SET title = 'edited'")
    with pytest.raises(BusyError):
        put(mirror, "g", "b")
    run(session, "COMMIT")
    assert run(session, "SELECT op FROM change_log") == [("update",)]
    run(session, "SET lock_timeout = 100")
    with mirror.writing(), pytest.raises(psycopg.errors.LockNotAvailable):
        run(session, "UPDATE tasks SET title = 'too early'")
    run(session, "UPDATE tasks SET title = 'now'")


@pytest.mark.postgresql
def test_editors_do_not_wait_for_each_other(mirror: Mirror, session: Session) -> None:
    put(mirror, "g", "a")
    put(mirror, "h", "a")
    run(session, "BEGIN")
    run(session, "UPDATE tasks SET title = 'first' WHERE guid = 'g'")
    with superuser(session.info.dbname) as other:
        run(other, "SET lock_timeout = 100")
        run(other, "UPDATE tasks SET title = 'second' WHERE guid = 'h'")
    run(session, "COMMIT")


def test_one_that_was_silent_for_too_long_writes_no_more(
    database: str, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_EVERY", 3600.0)
    with open_mirror(url_of(database)).acquire() as late:
        expire(session)
        with open_mirror(url_of(database)).acquire() as second:
            with pytest.raises(StaleWriterError):
                put(late, "g", "late")
            put(second, "g", "mine")
            late.close()  # which gives back nothing that is another's
            assert second.holder() == os.getpid()
            put(second, "g", "mine")
    assert run(session, "SELECT title FROM tasks") == [("mine",)]


@pytest.mark.postgresql
def test_a_number_from_another_keeps_a_writer_out_even_with_the_lease(
    mirror: Mirror, session: Session
) -> None:
    run(session, "SELECT set_config('hisync.mark', '', false)")
    run(session, "UPDATE sync_state SET value = to_jsonb(1000) WHERE key = 'fence'")
    with pytest.raises(StaleWriterError):
        put(mirror, "g", "a")


@pytest.mark.postgresql
def test_a_lease_that_expired_and_nobody_took_is_still_ones_own(
    mirror: Mirror, session: Session
) -> None:
    expire(session)
    put(mirror, "g", "a")
    assert mirror.holder() == os.getpid()


@pytest.mark.postgresql
def test_it_is_renewed_while_the_process_does_something_else(
    database: str, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_EVERY", 0.02)
    with open_mirror(url_of(database)).acquire() as mirror:
        expire(session)
        deadline = time.monotonic() + 20
        while mirror.holder() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        run(
            session,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'plain'",
        )
        expire(session)
        while mirror.holder() is None:  # by a new connection
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.postgresql
def test_what_is_missing_is_said_once_and_a_look_takes_anything_for_an_edit(database: str) -> None:
    with capture_logs() as logs, open_mirror(url_of(database)).acquire() as mirror:
        watch = mirror.watch()
        assert (watch.changed(), watch.changed()) == (True, True)
        watch.close()
        put(mirror, "g", "a")
        lacking = mirror.lacks()
    said = [entry["what"] for entry in logs if entry["event"] == "database_lacks"]
    assert [what.split(":")[0] for what in said] == ["advisory locks", "NOTIFY"]
    assert said == list(lacking)


@pytest.mark.postgresql
def test_locks_that_lock_nothing_are_none() -> None:
    name = empty()
    with superuser(name) as session:
        run(session, f"CREATE SCHEMA fake AUTHORIZATION {PLAIN}")
        run(
            session,
            "CREATE FUNCTION fake.pg_try_advisory_lock(int, int) RETURNS bool "
            "LANGUAGE sql AS 'SELECT true'",
        )
        path = "fake, pg_catalog, public"
        run(session, f"ALTER ROLE {PLAIN} IN DATABASE {name} SET search_path = {path}")
    with open_mirror(url_of(name)).acquire() as mirror:
        assert [what.split(":")[0] for what in mirror.lacks()] == ["advisory locks"]
    server().drop(name)


@pytest.mark.postgresql
def test_one_that_may_lock_and_one_that_may_not_keep_each_other_out(
    database: str, mirror: Mirror
) -> None:
    with open_mirror(server().url(database)) as able:
        with pytest.raises(LockedError, match=f"process {os.getpid()}"):
            able.acquire()
        assert able.holder() == os.getpid()
        mirror.close()
        able.lock()
        with pytest.raises(LockedError), open_mirror(url_of(database)) as unable:
            unable.acquire()
    with (
        open_mirror(server().url(database)) as able,
        pytest.raises(SchemaError, match="db upgrade"),
    ):
        able.acquire()  # the triggers pass another gate: never are both in use


class LackingWorld(World):
    """A world on such a server."""

    @property
    def url(self) -> str:
        return url_of(self.served)


@pytest.mark.postgresql
def test_edits_go_both_ways(tmp_path: Path, database: str) -> None:
    made = make_world(tmp_path, items=20, rules={"comments": False})
    world = LackingWorld(tmp_path, made.time, made.service, made.rules, None, "postgresql")
    world._served = database
    world.sync()
    row = world.one("SELECT * FROM tasks WHERE permission = 100 ORDER BY id LIMIT 1")
    world.sql("UPDATE tasks SET title = 'ours' WHERE guid = ?", row["guid"])
    world.sql("INSERT INTO tasks (title) VALUES ('new')")
    world.service.model.update(row["id"], user=world.service.model.users[0], message="theirs")
    world.sync()
    world.sync(full=True)
    item = world.service.model.item(row["id"])
    assert (item.title, item.get("message")) == ("ours", "theirs")
    assert world.one("SELECT title, message FROM tasks WHERE guid = ?", row["guid"]) == {
        "title": "ours",
        "message": "theirs",
    }
    assert [item.title for item in world.service.model.items()].count("new") == 1
    assert world.changes() == [("update", "done"), ("insert", "done")]
    world.crash()
