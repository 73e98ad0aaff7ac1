"""PostgreSQL's own: what people do is captured or refused, and the engine is alone when it acts.

What holds on both engines is tested where the engine's tests are; here is what SQLite has not.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from functools import cache
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from hisync.errors import (
    BusyError,
    ConfigurationError,
    LockedError,
    LostServerError,
    MirrorError,
    SchemaError,
    StaleWriterError,
)
from hisync.items import TABLES
from hisync.mirror import changes, dialects, migrate, records, rows, state
from hisync.mirror.base import Base, base_values, load_bases, save_bases
from hisync.mirror.dialects import ChangeWatch
from hisync.mirror.dialects import postgres as dialect
from hisync.mirror.dialects.postgres import connection as gate
from hisync.mirror.dialects.postgres import lock
from hisync.mirror.dialects.postgres.lock import AdvisoryLock
from hisync.mirror.dialects.postgres.session import own_session
from hisync.mirror.dialects.postgres.views import VIEWS
from hisync.mirror.records import RemovedRow
from hisync.mirror.store import Mirror, open_mirror
from hisync.mirror.tables import EDITED_TABLES, metadata
from tests.mirror.people import Logged, deleted, inserted, updated
from tests.postgres import Server, server

Session = psycopg.Connection[Any]


@cache
def migrated() -> str:
    """An empty mirror, not to be changed."""
    name = server().create()
    open_mirror(server().url(name)).acquire().close()
    return name


@pytest.fixture(scope="module")
def common() -> Iterator[str]:
    """The name of a mirror for tests that leave its schema as it is."""
    name = server().create(migrated())
    yield name
    server().drop(name)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of an empty mirror that nobody has open; the heavier run makes one for each test."""
    if request.node.get_closest_marker("postgresql"):
        name = server().create(migrated())
        yield name
        server().drop(name)
        return
    name = request.getfixturevalue("common")
    yield name
    with psycopg.connect(server().conninfo(name), autocommit=True) as session:
        for table in (*EDITED_TABLES, "change_log"):
            run(session, f"DELETE FROM {table}")


@pytest.fixture
def mirror(database: str) -> Iterator[Mirror]:
    """A mirror that this process holds."""
    with open_mirror(server().url(database)).acquire() as mirror:
        yield mirror


@pytest.fixture
def session(database: str) -> Iterator[Session]:
    """Somebody's SQL client on the same mirror."""
    with psycopg.connect(server().conninfo(database), autocommit=True) as session:
        yield session


def run(session: Session, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    cursor = session.execute(statement.encode(), values or None)
    return cursor.fetchall() if cursor.description else []


def log(session: Session) -> list[Logged]:
    """What the triggers have seen, which is forgotten then."""
    found = run(session, "SELECT op, row_guid, old_values, new_values FROM change_log ORDER BY seq")
    run(session, "DELETE FROM change_log")
    return [Logged(*row) for row in found]


# Capture


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.postgresql
def test_each_table_is_captured(session: Session, table: str) -> None:
    ((guid,),) = run(session, f"INSERT INTO {table} (title) VALUES ('Call Ann') RETURNING guid")
    run(session, f"UPDATE {table} SET title = 'Call Bob', starred = true")
    run(session, f"DELETE FROM {table}")
    assert log(session) == [
        inserted(guid, title="Call Ann"),
        updated(
            guid, {"title": "Call Ann", "starred": False}, {"title": "Call Bob", "starred": True}
        ),
        deleted(guid, title="Call Bob", starred=True),
    ]


def test_cells_are_logged_as_on_sqlite(session: Session) -> None:
    run(
        session,
        "INSERT INTO tasks (guid, title, priority, due_date, tags, location, participants) VALUES "
        "('g', 'Grüße \"東京\" 👩 %', 9223372036854775807, '2026-03-02', '[\"a\", \"ü\"]', "
        "'{\"a\": {\"b\": [1, true, null]}}', '[17, 9007199254740993]')",
    )
    assert log(session) == [
        inserted(
            "g",
            title='Grüße "東京" 👩 %',
            priority=2**63 - 1,
            due_date="2026-03-02 00:00:00.000000",
            tags=["a", "ü"],
            location={"a": {"b": [1, True, None]}},
            participants=[17, 9007199254740993],
        )
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tasks SET title = title",
        "UPDATE tasks SET title = 'a', completed = false, guid = guid, id = id",
        "DELETE FROM tasks WHERE title = 'b'",
        "INSERT INTO tasks (guid) VALUES ('g') ON CONFLICT DO NOTHING",
        "UPDATE tasks SET cost_centre = 'x'",
    ],
)
@pytest.mark.postgresql
def test_what_changes_nothing_is_not_logged(session: Session, statement: str) -> None:
    run(session, "ALTER TABLE tasks ADD COLUMN cost_centre text")
    run(session, "INSERT INTO tasks (guid, title) VALUES ('g', 'a')")
    log(session)
    run(session, statement)
    assert log(session) == []


def test_copy_upserts_and_merge_are_seen_as_what_they_do(session: Session) -> None:
    with session.cursor().copy("COPY tasks (guid, title) FROM STDIN") as copy:
        copy.write(b"a\tA\nb\tB\n")
    run(
        session,
        "INSERT INTO tasks (guid, title) VALUES ('a', 'A2'), ('c', 'C') "
        "ON CONFLICT (guid) DO UPDATE SET title = excluded.title",
    )
    run(
        session,
        "MERGE INTO tasks USING (VALUES ('b')) AS v (guid) ON tasks.guid = v.guid "
        "WHEN MATCHED THEN DELETE",
    )
    assert log(session) == [
        inserted("a", title="A"),
        inserted("b", title="B"),
        updated("a", {"title": "A"}, {"title": "A2"}),
        inserted("c", title="C"),
        deleted("b", title="B"),
    ]


@pytest.mark.postgresql
def test_what_is_rolled_back_was_never_there(session: Session) -> None:
    with session.transaction(force_rollback=True):
        run(session, "INSERT INTO tasks (title) VALUES ('a')")
    assert log(session) == []


IDENTITY = "guid and id are the identity of a row and cannot be changed"


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE tasks SET guid = 'other'", IDENTITY),
        ("UPDATE tasks SET id = 7", IDENTITY),
        ("INSERT INTO tasks (guid) VALUES ('g') ON CONFLICT (guid) DO UPDATE SET id = 7", IDENTITY),
        ("INSERT INTO tasks (guid) VALUES ('café')", "guid must be a UUID"),
        ("INSERT INTO tasks (guid) VALUES (E'a\\nb')", "guid must be a UUID"),
        ("UPDATE comments SET item_guid = 'x'", "a comment stays with its item"),
        ("TRUNCATE tasks", "TRUNCATE goes by unseen; use DELETE FROM tasks"),
        ("TRUNCATE users", "users come from hiTask"),
        ("INSERT INTO users (id) VALUES (1)", "users come from hiTask and are read-only here"),
        ("DELETE FROM groups", "groups come from hiTask"),
    ],
)
def test_what_can_not_be_is_an_error_at_once(session: Session, statement: str, reason: str) -> None:
    run(session, "INSERT INTO tasks (guid, title) VALUES ('g', 'a')")
    run(session, "INSERT INTO comments (guid, item_guid, message) VALUES ('c', 'g', 'm')")
    log(session)
    with pytest.raises(psycopg.IntegrityError, match=reason):
        run(session, statement)
    assert log(session) == []
    assert run(session, "SELECT guid, title FROM tasks") == [("g", "a")]


def test_a_total_follows_its_entries_and_is_no_edit_of_the_item(session: Session) -> None:
    run(session, "INSERT INTO tasks (guid, title) VALUES ('g', 'a')")
    log(session)
    run(session, "INSERT INTO time_entries (guid, item_guid, minutes) VALUES ('e', 'g', 45)")
    run(session, "UPDATE time_entries SET minutes = 60")
    run(session, "INSERT INTO time_entries (guid, item_guid, minutes) VALUES ('f', 'g', 5)")
    run(session, "DELETE FROM time_entries WHERE guid = 'f'")
    assert run(session, "SELECT time_spent_minutes FROM tasks") == [(60,)]
    assert [change.guid for change in log(session)] == ["e", "e", "f", "f"]
    run(session, "UPDATE tasks SET time_spent_minutes = 1")
    assert log(session) == [updated("g", {"time_spent_minutes": 60}, {"time_spent_minutes": 1})]


@pytest.mark.parametrize("column", ["item", "moved", "o", "n", "key", "value"])
@pytest.mark.postgresql
def test_a_column_of_ones_own_may_have_any_name(session: Session, column: str) -> None:
    for table in ("tasks", "notes", "time_entries"):
        run(session, f"ALTER TABLE {table} ADD COLUMN {column} text DEFAULT 'x'")
    run(session, "INSERT INTO tasks (guid) VALUES ('g')")
    run(session, "INSERT INTO time_entries (guid, item_guid, minutes) VALUES ('e', 'g', 45)")
    run(session, "UPDATE time_entries SET minutes = 60")
    assert run(session, "SELECT time_spent_minutes FROM tasks") == [(60,)]
    assert [(each.op, each.guid) for each in log(session)] == [
        ("insert", "g"),
        ("insert", "e"),
        ("update", "e"),
    ]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_time_is_not_logged_for_an_item_that_came_after_ones_sight(
    database: str, session: Session, level: str
) -> None:
    """Its total would not move with the entry, which would be sent and then count once more."""
    entry = "INSERT INTO time_entries (item_guid, minutes) VALUES ('g', 5)"
    with psycopg.connect(server().conninfo(database), autocommit=True) as other:
        run(other, f"BEGIN ISOLATION LEVEL {level}")
        assert run(other, "SELECT guid FROM tasks") == []
        run(session, "INSERT INTO tasks (guid) VALUES ('g')")
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="in a new one"):
            run(other, entry)
        run(other, "ROLLBACK")
        run(other, f"BEGIN ISOLATION LEVEL {level}")
        run(other, entry)
        run(other, "INSERT INTO tasks (guid) VALUES ('h')")
        run(other, "INSERT INTO time_entries (item_guid, minutes) VALUES ('h', 7)")
        run(other, "COMMIT")
    totals = "SELECT guid, time_spent_minutes FROM tasks ORDER BY guid"
    assert run(session, totals) == [("g", 5), ("h", 7)]


@pytest.mark.postgresql
def test_an_entry_that_a_trigger_adds_to_another_is_no_edit_of_either_item(
    mirror: Mirror, session: Session
) -> None:
    run(session, "INSERT INTO tasks (guid) VALUES ('g'), ('h')")
    log(session)
    run(
        session,
        "CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO time_entries (guid, item_guid, minutes) VALUES ('f', 'h', 5); "
        "RETURN NULL; END $$",
    )
    run(  # by its name it comes before ours
        session,
        "CREATE TRIGGER a AFTER UPDATE ON tasks FOR EACH ROW WHEN (NEW.guid = 'g') "
        "EXECUTE FUNCTION theirs()",
    )
    run(session, "INSERT INTO time_entries (guid, item_guid, minutes) VALUES ('e', 'g', 30)")
    assert [(each.op, each.guid) for each in log(session)] == [("insert", "f"), ("insert", "e")]
    totals = run(session, "SELECT guid, time_spent_minutes FROM tasks ORDER BY guid")
    assert totals == [("g", 30), ("h", 5)]


def test_an_editor_needs_no_rights_on_the_machinery(session: Session, database: str) -> None:
    rights = "SELECT, INSERT, UPDATE, DELETE ON tasks, time_entries"
    with somebody(session, database, rights) as editor:
        run(editor, "INSERT INTO tasks (guid, title) VALUES ('g', 'a')")
        run(editor, "INSERT INTO time_entries (item_guid, minutes) VALUES ('g', 5)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run(editor, "DELETE FROM change_log")
        assert [change.op for change in log(session)] == ["insert", "insert"]


def test_a_reader_can_not_have_an_edit_logged_that_nobody_made(
    session: Session, database: str
) -> None:
    with somebody(session, database, "SELECT ON ALL TABLES IN SCHEMA public") as reader:
        run(reader, "CREATE TEMP TABLE own (LIKE public.tasks)")
        for name in capture_functions(session):
            trigger = f"CREATE TRIGGER t AFTER UPDATE ON own FOR EACH ROW EXECUTE FUNCTION {name}()"
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                run(reader, trigger)


@contextmanager
def somebody(session: Session, database: str, rights: str) -> Iterator[Session]:
    """The client of a role that has these rights and no others."""
    run(session, "CREATE ROLE somebody LOGIN")
    try:
        run(session, f"GRANT {rights} TO somebody")
        conninfo = server().conninfo(database).replace("user=mirror", "user=somebody")
        with psycopg.connect(conninfo, autocommit=True) as client:
            yield client
    finally:
        run(session, "DROP OWNED BY somebody")
        run(session, "DROP ROLE somebody")


def capture_functions(session: Session) -> list[str]:
    found = run(session, "SELECT proname FROM pg_proc WHERE starts_with(proname, 'sync_capture_')")
    assert len(found) > 2
    return [name for (name,) in found]


@pytest.mark.postgresql
def test_functions_that_anyone_may_run_are_put_right(
    mirror: Mirror, database: str, session: Session
) -> None:
    run(session, "GRANT EXECUTE ON FUNCTION sync_capture_tasks TO PUBLIC")
    mirror.close()
    with open_mirror(server().url(database)) as again:
        again.check()  # no edit went unseen: as a dump without its grants is restored
        again.upgrade()
    granted = "SELECT has_function_privilege('public', 'sync_capture_tasks()', 'EXECUTE')"
    assert run(session, granted) == [(False,)]


def test_an_operation_is_called_the_same_where_an_i_has_no_dot(session: Session) -> None:
    functions = "SELECT prosrc FROM pg_proc WHERE starts_with(proname, 'sync_capture_')"
    lowered = [source for (source,) in run(session, functions) if "lower(" in source]
    assert lowered
    # By the rules of a Turkish database `lower` alone makes it another letter.
    assert all('lower(TG_OP COLLATE "C")' in source for source in lowered)


# The mark


def put(mirror: Mirror, guid: str, title: str) -> None:
    with mirror.writing() as connection:
        rows.upsert_rows(connection, "tasks", [{"guid": guid, "id": 1, "title": title}])


@pytest.mark.postgresql
def test_the_engine_is_not_captured_and_everyone_else_is(mirror: Mirror, session: Session) -> None:
    put(mirror, "g", "from hiTask")
    assert log(session) == []
    run(session, "UPDATE tasks SET title = 'mine'")
    assert log(session) == [updated("g", {"title": "from hiTask"}, {"title": "mine"})]


@pytest.mark.parametrize("value", ["on", "public 1", "public"])
def test_a_setting_of_somebodys_own_hides_nothing(session: Session, value: str) -> None:
    run(session, f"SET hisync.mark = '{value}'")
    run(session, "INSERT INTO tasks (guid) VALUES ('g')")
    assert log(session) == [inserted("g")]


@pytest.mark.postgresql
def test_a_session_that_replicates_is_captured_too(session: Session) -> None:
    run(session, "SET session_replication_role = replica")
    run(session, "INSERT INTO tasks (guid) VALUES ('g')")
    assert log(session) == [inserted("g")]


# The order of the log


@pytest.mark.parametrize("name", ["a_undo", "z_undo"])
@pytest.mark.postgresql
def test_what_a_trigger_puts_back_is_the_base_whatever_the_trigger_is_called(
    mirror: Mirror, session: Session, name: str
) -> None:
    columns = "title, priority, due_date, tags, starred"
    run(
        session,
        "CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF pg_trigger_depth() = 1 THEN "
        f"UPDATE tasks SET ({columns}) = (SELECT {columns} FROM (SELECT (OLD).*) AS was) "
        "WHERE guid = NEW.guid; END IF; RETURN NULL; END $$",
    )
    run(
        session,
        f"CREATE TRIGGER {name} AFTER UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION theirs()",
    )
    moment, tags = datetime(2026, 3, 2, 9, 30), ["ä"]
    was = {"title": "old", "priority": 5, "due_date": moment, "tags": tags, "starred": True}
    with mirror.writing() as connection:
        rows.upsert_rows(connection, "tasks", [{"guid": "g", "id": 1, **was}])
        save_bases(connection, [Base("g", "tasks", 1)])
    run(
        session,
        "UPDATE tasks SET title = 'mine', priority = NULL, due_date = NULL, tags = '[\"b\"]', "
        "starred = false",
    )
    with mirror.writing() as connection:
        local = rows.load_rows(connection, "tasks", ["g"])["g"].values
        base = load_bases(connection, ["g"])["g"]
        assert base_values(base, local) == local
    assert local.items() >= was.items()
    assert [change.new for change in log(session)][-1] == {
        "title": "old",
        "priority": 5,
        "due_date": "2026-03-02 09:30:00.000000",
        "tags": ["ä"],
        "starred": True,
    }


# The gate


def test_the_engine_waits_for_those_who_edit(
    mirror: Mirror, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "BUSY_TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(gate, "WAIT_MS", 20)
    with session.transaction():
        run(session, "INSERT INTO tasks (guid) VALUES ('mine')")
        with pytest.raises(BusyError, match="commit or roll it back there"):
            put(mirror, "g", "a")
        with mirror.reading() as connection:  # looking goes on, and so do the books
            assert rows.count_rows(connection)["tasks"] == 0
        with mirror.booking():
            pass
    put(mirror, "g", "a")
    assert run(session, "SELECT count(*) FROM tasks") == [(2,)]


@pytest.mark.postgresql
def test_what_is_committed_while_the_engine_waits_is_seen_in_any_isolation(
    database: str, session: Session
) -> None:
    run(session, f'ALTER DATABASE "{database}" SET default_transaction_isolation = serializable')
    conninfo = server().conninfo(database)
    with (
        open_mirror(server().url(database)).acquire() as mirror,
        psycopg.connect(conninfo) as early,
        psycopg.connect(conninfo) as late,
    ):
        run(early, "INSERT INTO tasks (guid) VALUES ('first')")
        run(late, "INSERT INTO tasks (guid) VALUES ('second')")
        late.commit()
        threading.Timer(0.5, early.commit).start()
        with mirror.writing() as connection:
            seen = {guid for _, guid in changes.unfinished(connection)}
    assert seen == {"first", "second"}


@pytest.mark.postgresql
def test_the_engine_waits_for_those_who_edit_by_a_table_above(
    mirror: Mirror, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "BUSY_TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(gate, "WAIT_MS", 20)
    put(mirror, "g", "a")
    run(session, "CREATE TABLE theirs (title text)")
    run(session, "ALTER TABLE tasks INHERIT theirs")
    with session.transaction():
        run(session, "UPDATE theirs SET title = 'mine'")
        with pytest.raises(BusyError, match="commit or roll it back there"):
            put(mirror, "h", "b")
    assert log(session) == [updated("g", {"title": "a"}, {"title": "mine"})]


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("own", "words"),
    [
        ("CREATE INDEX own ON tasks (title)", "index row"),
        ("ALTER TABLE tasks ADD CHECK ((title::jsonb) IS NOT NULL) NOT VALID", "invalid input"),
        ("ALTER TABLE tasks ADD CHECK (1 / (length(title) - 9000) > 0)", "division by zero"),
    ],
    ids=["index", "cast", "division"],
)
def test_what_peoples_own_refuses_is_named(
    mirror: Mirror, session: Session, own: str, words: str
) -> None:
    run(session, own)
    many = "".join(chr(0x4E00 + n * 7919 % 20000) for n in range(9000))  # not to be compressed
    with pytest.raises(MirrorError, match=rf"{words}.*drop it if it is your own") as caught:
        put(mirror, "g", many)
    assert not isinstance(caught.value, LostServerError)


@pytest.mark.parametrize("when", ["while it waits", "while it lets others go first"])
def test_a_connection_that_is_lost_at_the_gate_is_a_lost_server(
    mirror: Mirror,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    when: str,
) -> None:
    lost = "WHERE state = 'idle in transaction' AND application_name LIKE 'hisync%'"
    if when == "while it waits":
        lost = "JOIN pg_locks USING (pid) WHERE locktype = 'advisory' AND NOT granted"
    ending = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity {lost}"

    def end(_seconds: float = 0) -> None:
        with closing(psycopg.connect(session.info.dsn, autocommit=True)) as other:
            while not run(other, ending):
                pass

    monkeypatch.setattr("hisync.mirror.dialects.postgres.connection.time.sleep", end)
    killer = threading.Thread(target=end)
    with session.transaction():
        run(session, "INSERT INTO tasks (title) VALUES ('under way')")
        if when == "while it waits":
            killer.start()
        with pytest.raises(LostServerError, match="hisync will try again"):
            put(mirror, "g", "a")
    if when == "while it waits":
        killer.join(10)
    put(mirror, "g", "a")
    assert not caplog.records


def test_those_who_edit_wait_for_the_engine_and_lose_nothing(
    mirror: Mirror, session: Session
) -> None:
    put(mirror, "g", "old")
    editing = threading.Thread(target=run, args=(session, "UPDATE tasks SET starred = true"))
    with mirror.writing() as connection:
        editing.start()
        waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while connection.exec_driver_sql(waiting).first() is None:
            pass
        rows.set_cells(connection, "tasks", "g", {"title": "new"})
    editing.join(10)
    assert run(session, "SELECT title, starred FROM tasks") == [("new", True)]
    assert log(session) == [updated("g", {"starred": False}, {"starred": True})]


@pytest.mark.postgresql
def test_readers_never_wait(mirror: Mirror, session: Session) -> None:
    with mirror.writing() as connection:
        rows.upsert_rows(connection, "tasks", [{"guid": "g", "id": 1}])
        run(session, "SET statement_timeout = 2000")
        assert run(session, "SELECT count(*) FROM tasks") == [(0,)]


def test_a_server_that_has_vanished_is_missed_even_while_its_answer_is_waited_for(
    mirror: Mirror,
) -> None:
    with mirror.reading() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        assert driver.info.get_parameters()["tcp_user_timeout"] == "25000"
        assert connection.exec_driver_sql("SHOW tcp_user_timeout").scalar_one() == "25000"


@pytest.mark.postgresql
def test_a_database_that_reads_by_default_is_written(database: str, session: Session) -> None:
    run(session, f'ALTER DATABASE "{database}" SET default_transaction_read_only = on')
    with open_mirror(server().url(database)).acquire() as mirror:
        put(mirror, "g", "a")


@pytest.mark.postgresql
def test_what_is_committed_outlives_a_crash_whatever_the_database_says(
    database: str, session: Session
) -> None:
    run(session, f'ALTER DATABASE "{database}" SET synchronous_commit = off')
    with open_mirror(server().url(database)).acquire() as mirror, mirror.writing() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"


@pytest.mark.parametrize(
    "setting",
    ["idle_session_timeout = 50", "transaction_timeout = 50", "quote_all_identifiers = on"],
)
@pytest.mark.postgresql
def test_what_a_database_says_ends_no_session_and_hides_no_trigger(
    database: str, session: Session, setting: str
) -> None:
    run(session, f'ALTER DATABASE "{database}" SET {setting}')
    with open_mirror(server().url(database)).acquire() as mirror:
        time.sleep(0.2)
        with open_mirror(server().url(database)) as second, pytest.raises(LockedError):
            second.acquire()
        with mirror.writing() as connection:
            time.sleep(0.2)
            connection.exec_driver_sql("SELECT 1")


@pytest.mark.postgresql
def test_a_transaction_that_was_left_idle_is_tried_again(mirror: Mirror) -> None:
    with pytest.raises(BusyError, match="stood still for too long, and will try again"):
        stand_still(mirror)
    put(mirror, "g", "a")


def stand_still(mirror: Mirror) -> None:
    with mirror.writing() as connection:
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 50")
        time.sleep(0.3)
        connection.exec_driver_sql("SELECT 1")


# One writer


def test_a_second_writer_is_refused_and_told_of_the_first(mirror: Mirror, database: str) -> None:
    with open_mirror(server().url(database)) as second:
        with pytest.raises(LockedError, match="another hisync") as caught:
            second.acquire()
        assert caught.value.pid == second.holder()
        mirror.close()
        assert second.holder() is None
        second.acquire()


def test_a_lock_is_free_before_the_server_has_come_to_the_end_of_its_session(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_mirror(server().url(database))
    first.lock()
    held = first._lock
    assert isinstance(held, AdvisoryLock)
    with monkeypatch.context() as patch:
        patch.setattr(held, "_drop", lambda: None)  # the end that has not come yet
        first.close()
        with open_mirror(server().url(database)) as second:
            second.lock()
    held.release()


@pytest.mark.postgresql
def test_a_lock_lost_to_another_ends_the_first(mirror: Mirror, database: str) -> None:
    end_lock_session(mirror)
    put(mirror, "g", "a")  # had again
    end_lock_session(mirror)
    with (
        open_mirror(server().url(database)).acquire(),
        pytest.raises(StaleWriterError, match="taken this mirror over"),
    ):
        put(mirror, "g", "b")


def test_a_lock_whose_lost_session_the_server_still_has_is_taken_back(mirror: Mirror) -> None:
    held = mirror._lock
    assert isinstance(held, AdvisoryLock)
    assert held._session is not None
    kept = os.dup(held._session.fileno())  # the server sees no end of it
    ours, theirs = socket.socketpair()
    os.dup2(ours.fileno(), held._session.fileno())
    ours.close()
    theirs.close()
    put(mirror, "g", "a")
    os.close(kept)
    assert held.holds()


def end_lock_session(mirror: Mirror) -> None:
    """Close the session that holds the writer's lock, as a server that fails over does."""
    held = mirror._lock
    assert isinstance(held, AdvisoryLock)
    assert held._session is not None
    pid = held._session.info.backend_pid
    held._session.close()
    there = f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}"
    with mirror.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while connection.exec_driver_sql(there).first():
            pass  # the server lets go of the lock a moment later


def test_a_lock_that_can_not_be_had_again_at_once_is_tried_for_again(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_lock_session(mirror)
    with monkeypatch.context() as patch:
        patch.setattr(lock, "own_session", out_of_connections)
        with pytest.raises(BusyError, match="no connection left"):
            put(mirror, "g", "a")
    put(mirror, "g", "a")


def test_a_server_that_goes_away_while_the_lock_is_taken_is_a_lost_one(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_lock_session(mirror)

    def dying(engine: Engine) -> Session:
        made = lock_session(engine)
        made.close()
        return made

    lock_session = own_session
    with monkeypatch.context() as patch:
        patch.setattr(lock, "own_session", dying)
        with pytest.raises(LostServerError, match="hisync will try again"):
            put(mirror, "g", "a")
    put(mirror, "g", "a")


def out_of_connections(_engine: Engine) -> Session:
    raise OperationalError(None, None, psycopg.OperationalError("FATAL: too many clients already"))


@pytest.mark.postgresql
def test_two_schemas_of_a_database_are_two_mirrors(mirror: Mirror, session: Session) -> None:
    url = mirror.engine.url.render_as_string(hide_password=False)
    with open_mirror(url, schema="team_b").acquire() as other:
        put(other, "g", "theirs")
        put(mirror, "g", "ours")
        assert "schema team_b" in other.name
    assert run(session, "SELECT title FROM team_b.tasks") == [("theirs",)]
    run(session, "UPDATE team_b.tasks SET title = 'edited'")
    assert run(session, "SELECT count(*) FROM public.change_log") == [(0,)]
    assert run(session, "SELECT count(*) FROM team_b.change_log") == [(1,)]


# Waking the daemon


def test_an_edit_is_noticed_and_a_look_or_the_engine_is_not(
    mirror: Mirror, session: Session
) -> None:
    with closing(mirror.watch()) as watch:
        assert watch.changed()
        run(session, "SELECT * FROM tasks")
        put(mirror, "g", "a")
        run(session, "UPDATE tasks SET title = 'b'")
        until_changed(watch)
        run(session, "SELECT * FROM tasks")
        put(mirror, "g", "c")
        run(session, "NOTIFY elsewhere")
        assert not watch.changed()


@pytest.mark.parametrize("schema", ["ü" + "s" * 61, "The \"Team\", its %s and 'x'"])
@pytest.mark.postgresql
def test_the_schema_of_ones_own_may_have_any_name(
    database: str, session: Session, schema: str
) -> None:
    quoted = '"' + schema.replace('"', '""') + '"'
    session.execute(f"CREATE SCHEMA {quoted}".encode())
    session.execute(f"ALTER DATABASE {database} SET search_path = {quoted}".encode())
    with open_mirror(server().url(database)).acquire() as mirror, closing(mirror.watch()) as watch:
        assert watch.changed()
        put(mirror, "g", "a")
        session.execute(f"UPDATE {quoted}.tasks SET title = 'b'".encode())
        until_changed(watch)
        mirror.upgrade()
        put(mirror, "h", "c")
        with mirror.reading() as connection:
            assert [guid for _, guid in changes.unfinished(connection)] == ["g"]


def until_changed(watch: ChangeWatch) -> None:
    """Look until it is told, which takes a moment: the server tells when it comes to it."""
    deadline = time.monotonic() + 10
    while not watch.changed():
        assert time.monotonic() < deadline


# Schema


def test_alembic_finds_no_difference(mirror: Mirror) -> None:
    with mirror.engine.connect() as connection, connection.begin():
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "version_table": migrate.VERSION_TABLE,
                "include_name": lambda name, kind, _: kind != "table" or name in dialect.tables(),
                "include_object": lambda _object, name, kind, _reflected, _other: (
                    kind != "table" or name in dialect.tables()
                ),
            },
        )
        assert compare_metadata(context, metadata) == []


EMPTIED = """CREATE OR REPLACE FUNCTION sync_capture_tasks() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NULL; END'"""
NARROWED = """CREATE OR REPLACE TRIGGER sync_capture_tasks_log AFTER INSERT ON tasks
    FOR EACH ROW EXECUTE FUNCTION sync_capture_tasks()"""


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("DROP TABLE notes CASCADE", "lacks the table notes: restore a backup"),
        ("DROP TABLE sync_base", "lacks the table sync_base"),
        ("DROP TRIGGER sync_capture_tasks_log ON tasks", "lacks the trigger sync_capture_tasks_l"),
        ("ALTER TABLE tasks DISABLE TRIGGER sync_capture_tasks_log", "lacks the trigger"),
        ("ALTER TABLE tasks DISABLE TRIGGER USER", "lacks the trigger sync_capture_tasks_gate and"),
        (
            EMPTIED,
            "lacks the trigger sync_capture_tasks_log",
        ),
        (
            NARROWED,
            "lacks the trigger sync_capture_tasks_log",
        ),
        (
            "ALTER FUNCTION sync_capture_tasks() RESET search_path",
            "lacks the trigger sync_capture_tasks_log",
        ),
    ],
)
@pytest.mark.postgresql
def test_a_hole_stops_the_engine_and_an_upgrade_mends_a_trigger(
    mirror: Mirror, session: Session, statement: str, reason: str
) -> None:
    put(mirror, "g", "a")
    run(session, statement)
    with pytest.raises(SchemaError, match=reason):
        put(mirror, "g", "b")
    if "trigger" in reason:
        mirror.upgrade()
        put(mirror, "g", "b")
        run(session, "UPDATE tasks SET title = 'c'")
        assert log(session)[-1] == updated("g", {"title": "b"}, {"title": "c"})
        with mirror.reading() as connection:
            assert state.load(connection).had_holes


@pytest.mark.postgresql
def test_a_schema_with_another_name_writes_into_no_other_mirror(
    database: str, session: Session
) -> None:
    url = server().url(database)
    open_mirror(url, schema="hitask").acquire().close()
    run(session, "ALTER SCHEMA hitask RENAME TO former")
    open_mirror(url, schema="hitask").acquire().close()
    with open_mirror(url, schema="former") as former:
        with pytest.raises(SchemaError, match="run `hisync db upgrade`"):
            former.acquire()
        former.upgrade()
    run(session, "INSERT INTO former.tasks (title) VALUES ('a')")
    assert run(session, "SELECT count(*) FROM former.change_log") == [(1,)]
    assert run(session, "SELECT count(*) FROM hitask.change_log") == [(0,)]
    run(session, "DROP SCHEMA former, hitask CASCADE")


@pytest.mark.postgresql
def test_upgrading_what_is_current_changes_nothing(mirror: Mirror) -> None:
    with mirror.reading() as connection:
        before = dialect.schema_version(connection)
    mirror.upgrade()
    with mirror.reading() as connection:
        assert dialect.schema_version(connection) == before


@pytest.mark.postgresql
def test_views_are_made_again_and_peoples_own_are_left(mirror: Mirror, session: Session) -> None:
    run(session, "DROP VIEW items, task_overview")
    run(session, "CREATE VIEW items AS SELECT title FROM tasks")
    mirror.upgrade()
    with mirror.reading() as connection:
        assert dialect.taken_names(connection) == ["items"]
        assert dialect.views_to_make(connection) == []
    assert run(session, "SELECT * FROM task_overview") == []
    assert set(VIEWS) == {"items", "task_overview", "time_by_day", "project_progress"}


@pytest.mark.postgresql
def test_a_name_that_people_took_is_named_and_nothing_changes(mirror: Mirror) -> None:
    name = server().create()
    with psycopg.connect(server().conninfo(name), autocommit=True) as session:
        run(session, "CREATE TABLE users (name text)")
        with open_mirror(server().url(name)) as taken:
            with pytest.raises(SchemaError, match=r'"users" already exists.*give yours another'):
                taken.acquire()
            assert taken.revision() is None
    server().drop(name)


def test_the_views_show_what_they_say(mirror: Mirror, session: Session) -> None:
    run(session, "INSERT INTO projects (guid, title) VALUES ('p', 'Site')")
    run(
        session,
        "INSERT INTO tasks (guid, title, parent_guid, completed, due_date, is_all_day) VALUES "
        "('a', 'A', 'p', true, NULL, false), ('b', 'B', 'a', false, '2020-01-01', true)",
    )
    run(
        session,
        "INSERT INTO time_entries (item_guid, minutes, spent_on) "
        "VALUES ('b', 30, '2026-03-02'), ('b', 15, '2026-03-02')",
    )
    overview = "SELECT guid, project_title, parent_title, is_overdue, progress FROM task_overview"
    assert sorted(run(session, overview)) == [
        ("a", "Site", "Site", False, 0),
        ("b", "Site", "A", True, 0),
    ]
    by_day = "SELECT day::text, item_title, project_title, minutes FROM time_by_day"
    assert run(session, by_day) == [("2026-03-02", "B", "Site", 45)]
    progress = "SELECT tasks, completed, percent, time_spent_minutes FROM project_progress"
    assert run(session, progress) == [(2, 1, 50, 45)]
    assert run(session, "SELECT kind, count(*) FROM items GROUP BY 1 ORDER BY 1") == [
        ("project", 1),
        ("task", 2),
    ]


# Trouble with the server


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server to be killed, apart from the others."""
    made = Server(server().programs)
    yield made
    made.remove()


def half_a_write(mirror: Mirror, server: Server) -> None:
    with mirror.writing() as connection:
        rows.upsert_rows(connection, "tasks", [{"guid": "half", "id": 1}])
        server.kill()
        rows.upsert_rows(connection, "tasks", [{"guid": "other", "id": 2}])


@pytest.mark.postgresql
def test_a_server_that_dies_is_named_and_its_restart_is_met(own_server: Server) -> None:
    name = own_server.create()
    with open_mirror(own_server.url(name)).acquire() as mirror, ExitStack() as stack:
        watch = stack.enter_context(closing(mirror.watch()))
        watch.changed()
        with pytest.raises(MirrorError):
            half_a_write(mirror, own_server)
        until_changed(watch)
        with pytest.raises(BusyError, match="can be reached; hisync will try again"):
            put(mirror, "g", "a")
        own_server.start()
        put(mirror, "g", "a")
        with mirror.reading() as connection:
            assert rows.count_rows(connection)["tasks"] == 1
        until_changed(watch)


@pytest.mark.postgresql
def test_a_database_that_is_not_there_is_named() -> None:
    with (
        open_mirror(server().url("nowhere")) as mirror,
        pytest.raises(MirrorError, match=r'"nowhere" does not exist .create it'),
    ):
        mirror.acquire()


def test_no_password_is_shown() -> None:
    with open_mirror("postgresql+psycopg://me:secret@127.0.0.1:1/x") as mirror:
        assert mirror.name == "postgresql+psycopg://me:***@127.0.0.1:1/x"
        with pytest.raises(MirrorError) as caught:
            mirror.acquire()
    assert "secret" not in str(caught.value)


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    named = dialects.named
    monkeypatch.setattr(dialects, "named", named.__wrapped__)  # as in a process that begins
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for name in [name for name in sys.modules if name.startswith("hisync.mirror.dialects.post")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ConfigurationError, match=r"hisync\[postgres\]"):
        open_mirror("postgresql+psycopg://me@127.0.0.1:1/x")


@pytest.mark.postgresql
def test_dates_that_python_has_not_are_unreadable_cells(mirror: Mirror, session: Session) -> None:
    run(
        session,
        "INSERT INTO tasks (guid, due_date, start_date, end_date) "
        "VALUES ('g', 'infinity', '12000-01-01', '2026-03-02 09:00:00.5')",
    )
    with mirror.reading() as connection:
        row = rows.load_rows(connection, "tasks", ["g"])["g"]
    assert set(row.unreadable) == {"due_date", "start_date"}
    assert row.values["end_date"] == datetime(2026, 3, 2, 9, 0, 0, 500_000)


@pytest.mark.postgresql
def test_a_year_before_christ_is_no_year_after(session: Session) -> None:
    run(session, "SET DateStyle = 'SQL, DMY'")
    run(session, "INSERT INTO tasks (guid, due_date) VALUES ('g', '0044-03-15 BC')")
    run(session, "UPDATE tasks SET due_date = '0044-03-15'")
    bc, ad = "0044-03-15 00:00:00.000000 BC", "0044-03-15 00:00:00.000000"
    assert log(session) == [
        inserted("g", due_date=bc),
        updated("g", {"due_date": bc}, {"due_date": ad}),
    ]


@pytest.mark.postgresql
def test_a_number_that_python_has_not_is_alone(mirror: Mirror, session: Session) -> None:
    run(
        session,
        "INSERT INTO tasks (guid, location, tags, priority) "
        "VALUES ('g', '{\"a\": 1e400}', '[\"a\"]', 9007199254740993)",
    )
    with mirror.writing() as connection:  # which folds it
        row = rows.load_rows(connection, "tasks", ["g"])["g"]
        ((change,),) = changes.unfinished(connection).values()
    assert set(row.unreadable) == {"location"}
    assert change.new_values == {
        "location": '{"a": Infinity}',
        "tags": '["a"]',
        "priority": 9007199254740993,
    }


@pytest.mark.postgresql
@pytest.mark.parametrize("depth", [900, 1100, 6000])
def test_json_that_is_nested_deeper_than_any_parser_goes_is_alone(
    mirror: Mirror, session: Session, depth: int
) -> None:
    deep = "[" * depth + "]" * depth
    text = 'a "{[\\,:'
    run(
        session,
        "INSERT INTO tasks (guid, title, location, starred, priority, tags) "
        "VALUES ('g', %s, %s::jsonb, true, 7, '[\"a\"]')",
        text,
        deep,
    )
    with mirror.writing() as connection:  # which folds it
        row = rows.load_rows(connection, "tasks", ["g"])["g"]
        ((change,),) = changes.unfinished(connection).values()
    assert set(row.unreadable) == {"location"}
    tags = change.new_values["tags"]
    assert tags in (["a"], '["a"]')
    assert change.new_values == {
        "location": change.new_values["location"] if depth < 1024 else deep,
        "title": text,
        "starred": True,
        "priority": 7,
        "tags": tags,
    }


@pytest.mark.postgresql
def test_texts_are_unicode_whatever_clients_of_the_database_use(
    database: str, session: Session
) -> None:
    run(session, f'ALTER DATABASE "{database}" SET client_encoding = latin1')
    with open_mirror(server().url(database)).acquire() as mirror:
        put(mirror, "g", 'Grüße "東京" 👩')
    assert run(session, "SELECT title FROM tasks") == [('Grüße "東京" 👩',)]


@pytest.mark.postgresql
def test_a_database_that_can_not_hold_every_text_is_refused(session: Session) -> None:
    options = "LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER libc TEMPLATE template0"
    run(session, f"CREATE DATABASE of_latin ENCODING 'LATIN1' {options}")
    with (
        open_mirror(server().url("of_latin")) as mirror,
        pytest.raises(SchemaError, match=r"encoding is LATIN1.*ENCODING 'UTF8'"),
    ):
        mirror.acquire()
    server().drop("of_latin")


@pytest.mark.postgresql
def test_a_database_that_keeps_bytes_as_they_come_will_do(session: Session) -> None:
    """What `initdb` makes where no locale is set."""
    options = "LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER libc TEMPLATE template0"
    run(session, f"CREATE DATABASE of_bytes ENCODING 'SQL_ASCII' {options}")
    with (
        open_mirror(server().url("of_bytes")).acquire() as mirror,
        psycopg.connect(
            server().conninfo("of_bytes"), autocommit=True, client_encoding="UTF8"
        ) as client,
    ):
        put(mirror, "g", "Grüße 東京 👩")
        assert run(client, "SELECT title FROM tasks") == [("Grüße 東京 👩",)]
        run(client, "UPDATE tasks SET title = 'Ωmega', tags = '[\"быстро\"]'")
        with mirror.reading() as connection:
            (change,) = changes.unfinished(connection)["tasks", "g"]
        assert change.new_values == {"title": "Ωmega", "tags": ["быстро"]}
    server().drop("of_bytes")


@pytest.mark.postgresql
def test_a_text_that_a_mirror_of_old_can_not_hold_is_named(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(
        session,
        "CREATE DATABASE of_old ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' "
        "LOCALE_PROVIDER libc TEMPLATE template0",
    )
    monkeypatch.setattr(dialect, "prepare_schema", lambda _connection: None)
    with open_mirror(server().url("of_old")).acquire() as mirror:
        put(mirror, "g", "Grüße")
        with pytest.raises(MirrorError, match="encoding lacks that sign"):
            put(mirror, "g", "東京")
    server().drop("of_old")


@pytest.mark.postgresql
def test_a_nul_that_no_text_can_hold_is_replaced(mirror: Mirror, session: Session) -> None:
    put(mirror, "g", "a\0b \\u0000")
    assert run(session, "SELECT title FROM tasks") == [("a\ufffdb \\u0000",)]


@pytest.mark.postgresql
def test_the_server_misses_a_host_that_vanished(mirror: Mirror) -> None:
    held = mirror._lock
    assert isinstance(held, AdvisoryLock)
    assert held._session is not None
    names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count")
    found = [held._session.execute(f"SHOW {name}".encode()).fetchone() for name in names]
    assert found == [("10",), ("5",), ("3",)]


# Comments


def test_each_table_view_and_column_says_what_it_is(mirror: Mirror, session: Session) -> None:
    silent = run(
        session,
        "SELECT c.relname, a.attname FROM pg_class AS c "
        "LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
        "WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'v') "
        "AND (coalesce(obj_description(c.oid, 'pg_class'), '') = '' "
        "OR coalesce(col_description(c.oid, a.attnum), '') = '') "
        "AND c.relname <> 'sync_schema_version'",
    )
    assert silent == []
    of_column = "SELECT col_description('{}'::regclass, attnum) FROM pg_attribute WHERE attrelid = "
    of_column += "'{}'::regclass AND attname = '{}'"

    def said(table: str, column: str) -> str:
        ((text,),) = run(session, of_column.format(table, table, column))
        return str(text)

    assert said("tasks", "time_est_minutes") == "The estimate, in minutes."
    assert said("items", "due_date") == "When it is due; a day if it is all-day. In UTC."
    assert said("project_progress", "percent") == "That share, rounded down; null without tasks."
    # A mirror of a version without comments gets them at the next start.
    run(session, "COMMENT ON VIEW items IS 'made by hisync, and made again by it: of old'")
    run(session, "COMMENT ON COLUMN tasks.time_est_minutes IS NULL")
    mirror.close()
    mirror.acquire()
    assert said("tasks", "time_est_minutes") == "The estimate, in minutes."
    run(session, "COMMENT ON COLUMN tasks.time_est_minutes IS 'ours'")
    mirror.close()
    mirror.acquire()
    assert said("tasks", "time_est_minutes") == "ours"


@pytest.mark.postgresql
def test_numbers_that_each_session_has_in_stock_are_given_out_in_order(
    database: str, session: Session
) -> None:
    run(session, "ALTER SEQUENCE change_log_seq_seq CACHE 50")
    log_number = "SELECT max(seq) FROM change_log WHERE table_name = %s"
    with psycopg.connect(server().conninfo(database), autocommit=True) as other:
        run(session, "INSERT INTO tasks (title) VALUES ('first')")
        run(other, "INSERT INTO notes (title) VALUES ('second')")
        run(session, "INSERT INTO tasks (title) VALUES ('below it')")
        assert run(session, log_number, "tasks") < run(session, log_number, "notes")
        with open_mirror(server().url(database)).acquire() as mirror:
            with mirror.reading() as connection:
                assert state.load(connection).folded_seq == 0  # all is looked at once more
            run(session, "INSERT INTO tasks (title) VALUES ('above it')")
            assert run(session, log_number, "tasks") > run(session, log_number, "notes")


@pytest.mark.postgresql
def test_a_mirror_that_came_without_its_sequences_counts_on(
    mirror: Mirror, database: str, session: Session
) -> None:
    gone = RemovedRow("tasks", "g", 1, {"title": "a"}, "removed")
    with mirror.writing() as connection:
        records.record_removed(connection, [gone], datetime(2026, 1, 1))
    run(session, "INSERT INTO tasks (title) VALUES ('first')")
    for table in ("change_log", "removed_rows"):  # as a logical replica has it
        run(session, f"ALTER SEQUENCE {table}_seq_seq RESTART")
    mirror.close()
    with open_mirror(server().url(database)).acquire() as again, again.writing() as connection:
        records.record_removed(connection, [gone], datetime(2026, 1, 1))
    run(session, "INSERT INTO tasks (title) VALUES ('second')")
    for table in ("change_log", "removed_rows"):
        assert run(session, f"SELECT seq FROM {table} ORDER BY 1") == [(1,), (2,)]


@pytest.mark.postgresql
def test_a_server_that_can_t_count_in_order_is_refused(
    database: str, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(session, "ALTER SEQUENCE change_log_seq_seq CACHE 50")
    execute = Connection.exec_driver_sql

    def forget_the_cache(connection: Connection, statement: str, *values: Any) -> Any:
        return execute(connection, statement.replace("CACHE 1", "CACHE 20"), *values)

    monkeypatch.setattr(Connection, "exec_driver_sql", forget_the_cache)
    with (
        open_mirror(server().url(database)) as mirror,
        pytest.raises(SchemaError, match=r"numbers of change_log\.seq out in blocks of 20"),
    ):
        mirror.acquire()


@pytest.mark.postgresql
def test_a_memory_that_no_parser_takes_is_an_error_that_names_the_row(
    mirror: Mirror, session: Session
) -> None:
    put(mirror, "g", "a")
    run(session, "UPDATE sync_state SET value = '1e400' WHERE key = 'fence'")
    with mirror.reading() as connection, pytest.raises(MirrorError, match="'fence' in sync_state"):
        state.load(connection)


@pytest.mark.postgresql
def test_a_schema_that_comes_before_the_mirrors_own_is_named(
    database: str, session: Session
) -> None:
    with open_mirror(server().url(database)).acquire():
        pass
    run(session, "CREATE SCHEMA mirror AUTHORIZATION mirror")  # as the role is called
    for step in ("check", "upgrade", "acquire"):
        with (
            open_mirror(server().url(database)) as mirror,
            pytest.raises(SchemaError, match=r"is in the schema public.*schema = 'public'"),
        ):
            getattr(mirror, step)()
    with open_mirror(server().url(database), schema="public") as mirror:
        mirror.acquire()
