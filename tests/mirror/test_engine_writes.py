"""The engine's own transactions: unseen by the triggers, exclusive, and never half done."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from hisync.errors import BusyError, ConfigurationError, MirrorError, SchemaError, StaleWriterError
from hisync.items import Values
from hisync.mirror import migrate, rows, state
from hisync.mirror.dialects import sqlite
from hisync.mirror.dialects.sqlite.views import VIEWS
from hisync.mirror.store import Mirror, open_mirror
from tests.mirror.people import Person, inserted, updated


def put(mirror: Mirror, **values: Any) -> None:
    with mirror.writing() as connection:
        rows.upsert_rows(connection, "tasks", [{"guid": "g", "id": 1} | values])


# The mark


def test_the_engines_writes_are_not_logged(mirror: Mirror, person: Person) -> None:
    put(mirror, title="a")
    with mirror.writing() as connection:
        rows.set_cells(connection, "tasks", "g", {"title": "b", "tags": ["x"]})
    assert person.run("SELECT title, tags FROM tasks") == [("b", '["x"]')]
    put(mirror, title="c")
    with mirror.writing() as connection:
        rows.delete_rows(connection, "tasks", ["g"])
    assert person.run("SELECT * FROM tasks") == []
    assert person.log() == []


def test_peoples_edits_before_and_after_are(mirror: Mirror, person: Person) -> None:
    put(mirror, title="a")
    person.run("UPDATE tasks SET title = 'b'")
    put(mirror, title="c")
    person.run("UPDATE tasks SET title = 'd'")
    assert person.log() == [
        updated("g", {"title": "a"}, {"title": "b"}),
        updated("g", {"title": "c"}, {"title": "d"}),
    ]


def test_the_engine_may_give_a_row_its_id(mirror: Mirror, person: Person) -> None:
    person.run("INSERT INTO tasks (guid, title) VALUES ('g', 'a')")
    with mirror.writing() as connection:
        rows.set_cells(connection, "tasks", "g", {"id": 5})
    assert person.log() == [inserted("g", title="a")]


def forget_to_unmark(connection: Connection) -> None:
    with connection.begin():
        sqlite.mark(connection)
        rows.upsert_rows(connection, "tasks", [{"guid": "g", "id": 1}])


def test_a_forgotten_mark_can_not_be_committed(mirror: Mirror, person: Person) -> None:
    writer = mirror.engine.connect().execution_options(**{sqlite.WRITE: True})
    with writer as connection, pytest.raises(IntegrityError, match="FOREIGN KEY"):
        forget_to_unmark(connection)
    assert person.run("SELECT guid FROM tasks UNION ALL SELECT id FROM sync_mark") == []
    put(mirror, title="a")


def test_a_failed_transaction_leaves_nothing(mirror: Mirror, person: Person) -> None:
    with pytest.raises(RuntimeError), mirror.writing() as connection:  # noqa: PT012
        rows.upsert_rows(connection, "tasks", [{"guid": "g", "id": 1}])
        raise RuntimeError
    assert person.run("SELECT guid FROM tasks UNION ALL SELECT id FROM sync_mark") == []


def test_a_rehearsal_leaves_nothing(mirror: Mirror, person: Person) -> None:
    person.run("INSERT INTO tasks (guid) VALUES ('mine')")
    with mirror.writing(commit=False) as connection:
        rows.upsert_rows(connection, "tasks", [{"guid": "g", "id": 1}])
    assert person.run("SELECT guid FROM tasks") == [("mine",)]
    with mirror.reading() as connection:
        assert state.load(connection).folded_seq == 0


def test_a_row_that_the_engine_removed_is_nobodys_deletion(mirror: Mirror, person: Person) -> None:
    """An ignored insert had taken note of it, in case it would be replaced."""
    put(mirror, title="a")
    person.run("INSERT OR IGNORE INTO tasks (guid, title) VALUES ('g', 'b')")
    with mirror.writing() as connection:
        rows.delete_rows(connection, "tasks", ["g"])
    person.run("INSERT INTO tasks (guid, title) VALUES ('h', 'c')")
    assert person.log() == [inserted("h", title="c")]


# Columns of people's own


def test_columns_of_peoples_own_outlive_the_engines_writes(mirror: Mirror, person: Person) -> None:
    put(mirror, title="a")
    person.run("ALTER TABLE tasks ADD COLUMN cost_centre TEXT NOT NULL DEFAULT 'none'")
    person.run("UPDATE tasks SET cost_centre = 'x'")
    put(mirror, title="b")
    with mirror.writing() as connection:
        rows.set_cells(connection, "tasks", "g", {"title": "c"})
        rows.upsert_rows(connection, "tasks", [{"guid": "h", "id": 2}])
    query = "SELECT guid, title, cost_centre FROM tasks ORDER BY guid"
    assert person.run(query) == [("g", "c", "x"), ("h", None, "none")]


# One writer


def test_a_stale_writer_is_stopped(database: Path, person: Person) -> None:
    first = open_mirror(f"sqlite:///{database}").acquire()
    assert first._lock is not None
    first._lock.release()  # as if its lock had been lost, on a network drive say
    with open_mirror(f"sqlite:///{database}").acquire() as second:
        with pytest.raises(StaleWriterError, match="taken this mirror over"):
            put(first, title="a")
        assert person.run("SELECT * FROM tasks") == []
        put(second, title="b")
    first.close()
    assert person.run("SELECT title FROM tasks") == [("b",)]


def test_each_writer_counts_the_fence_up(database: Path) -> None:
    for number in (2, 3):  # the first was the migration's
        with open_mirror(f"sqlite:///{database}").acquire() as mirror, mirror.reading() as found:
            assert state.load(found).fence == number


# Others at work


def test_someone_elses_transaction_is_waited_for_in_vain(
    database: Path, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite.connection, "BUSY_TIMEOUT_SECONDS", 0.01)
    with open_mirror(f"sqlite:///{database}").acquire() as mirror:
        person.run("BEGIN IMMEDIATE")
        person.run("INSERT INTO tasks (guid) VALUES ('mine')")
        with pytest.raises(BusyError, match="commit or close it there"):
            put(mirror, title="a")
        with pytest.raises(BusyError), mirror.booking():
            pass
        with mirror.reading() as connection:  # looking goes on
            assert rows.count_rows(connection)["tasks"] == 0
        person.run("COMMIT")
        put(mirror, title="a")
        assert person.run("SELECT guid FROM tasks ORDER BY guid") == [("g",), ("mine",)]


def test_people_wait_while_the_engine_writes_and_see_all_or_nothing(
    mirror: Mirror, person: Person
) -> None:
    with mirror.writing() as connection:
        rows.upsert_rows(connection, "tasks", [{"guid": "g", "id": 1}])
        assert person.run("SELECT * FROM tasks") == []
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            person.run("INSERT INTO tasks (guid) VALUES ('h')")
    assert person.run("SELECT guid FROM tasks") == [("g",)]


def test_a_reader_sees_one_state(mirror: Mirror, person: Person) -> None:
    def seen(connection: Connection) -> int:
        return rows.count_rows(connection)["tasks"]

    with mirror.reading() as connection:
        assert seen(connection) == 0
        person.run("INSERT INTO tasks (guid) VALUES ('g')")
        assert seen(connection) == 0
    with mirror.reading() as connection:
        assert seen(connection) == 1


def test_the_watch_tells_of_others_commits(mirror: Mirror, person: Person) -> None:
    watch = sqlite.ChangeWatch(mirror.engine)
    try:
        assert watch.changed()
        assert not watch.changed()
        person.run("INSERT INTO tasks (guid) VALUES ('g')")
        assert watch.changed()
        assert not watch.changed()
    finally:
        watch.close()


# Holes


HOLES = [
    ("DROP TRIGGER sync_capture_tasks_after_update", "lacks the trigger sync_capture_tasks_after"),
    ("DROP TRIGGER sync_capture_time_entries_after_delete", "lacks the trigger sync_capture_time"),
    ("DROP TRIGGER sync_capture_users_before_update", "lacks the trigger sync_capture_users_b"),
    ("DROP TABLE notes", "lacks the table notes"),
    ("DROP TABLE comments", "lacks the table comments"),
    ("ALTER TABLE tasks RENAME TO old_tasks", "lacks the table tasks"),
    ("ALTER TABLE tasks RENAME COLUMN title TO name", "lacks the column title"),
    ("INSERT INTO sync_mark VALUES (1, 0)", "sync_mark is not empty"),
    ("INSERT INTO sync_mark VALUES (2, 2)", "sync_mark is not empty"),
]


@pytest.mark.parametrize(("statement", "reason"), HOLES)
def test_a_hole_that_opens_at_work_stops_the_engine(
    mirror: Mirror, person: Person, statement: str, reason: str
) -> None:
    put(mirror, title="a")
    for view in VIEWS:  # while they are there, SQLite itself refuses to rename what they show
        person.run(f"DROP VIEW {view}")
    with mirror.writing():
        pass  # without them nothing goes unseen
    person.run(statement)
    with pytest.raises(SchemaError, match=reason), mirror.writing():
        pytest.fail("it went on")


def test_what_people_add_is_no_hole(mirror: Mirror, person: Person) -> None:
    person.run("CREATE TABLE mine (x)")
    person.run("CREATE INDEX mine_title ON tasks (title)")
    person.run("CREATE VIEW open_tasks AS SELECT * FROM tasks WHERE NOT completed")
    person.run("CREATE TRIGGER mine_too AFTER UPDATE ON tasks BEGIN DELETE FROM mine; END")
    person.run("ALTER TABLE tasks ADD COLUMN cost_centre")
    # Our views stand in the way of none of it.
    person.run("ALTER TABLE tasks RENAME COLUMN cost_centre TO centre")
    person.run("ALTER TABLE mine ADD COLUMN y")
    person.run("ALTER TABLE mine RENAME COLUMN x TO z")
    put(mirror, title="a")
    assert person.run("SELECT title FROM open_tasks") == [("a",)]
    person.run("DROP TRIGGER mine_too")
    person.run("ALTER TABLE mine RENAME TO yours")
    person.run("ALTER TABLE tasks DROP COLUMN centre")
    put(mirror, title="b")
    assert person.run("SELECT title FROM open_tasks") == [("b",)]


def test_a_trigger_is_put_back_by_an_upgrade(mirror: Mirror, person: Person) -> None:
    person.run("DROP TRIGGER sync_capture_tasks_after_insert")
    with pytest.raises(SchemaError, match="run `hisync db upgrade`"), mirror.writing():
        pytest.fail("it went on")
    migrate.upgrade_schema(mirror.engine)
    put(mirror, title="a")
    person.run("INSERT INTO tasks (guid) VALUES ('h')")
    assert person.log() == [inserted("h")]


# Errors with a way out


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("CREATE UNIQUE INDEX mine ON tasks (title)", r"UNIQUE constraint failed: tasks\.title"),
        (
            "CREATE TRIGGER mine BEFORE INSERT ON tasks BEGIN SELECT RAISE(ABORT, 'no more'); END",
            "no more",
        ),
    ],
)
def test_what_people_forbid_is_named(
    mirror: Mirror, person: Person, statement: str, reason: str
) -> None:
    put(mirror, title="a")
    person.run(statement)
    rest = r".* \(an index or a trigger refuses what hiTask holds: drop it if it is your own\)"
    with pytest.raises(MirrorError, match=reason + rest), mirror.writing() as connection:
        rows.upsert_rows(connection, "tasks", [{"guid": "h", "id": 2, "title": "a"}])
    assert person.run("SELECT guid FROM tasks") == [("g",)]


@pytest.mark.parametrize(
    ("statement", "hint"),
    [
        (
            "CREATE TRIGGER my_copy AFTER DELETE ON tasks BEGIN INSERT INTO gone VALUES (1); END",
            r"no such table: main.gone \(a trigger of your own",
        ),
        (
            "CREATE TABLE mine (task REFERENCES tasks (id))",
            r'"mine" .* \(let your foreign key refer',
        ),
    ],
)
def test_what_people_broke_is_named(
    mirror: Mirror, person: Person, statement: str, hint: str
) -> None:
    put(mirror, title="a")
    person.run(statement)
    with pytest.raises(MirrorError, match=hint), mirror.writing() as connection:
        rows.delete_rows(connection, "tasks", ["g"])


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Call Ann, and then some more text, so that it can't be a header. " * 20)
    mirror = open_mirror(f"sqlite:///{path}")
    with pytest.raises(MirrorError, match=r"name another one in database\.url"):
        mirror.acquire()
    mirror.close()


def test_a_damaged_database(database: Path) -> None:
    pages = bytearray(database.read_bytes())
    pages[100:] = b"\xff" * (len(pages) - 100)
    database.write_bytes(pages)
    mirror = open_mirror(f"sqlite:///{database}")
    with pytest.raises(MirrorError, match="restore a backup"):
        mirror.acquire()
    mirror.close()


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MirrorError, match=r"file/mirror\.db: Not a directory"):
        open_mirror(f"sqlite:///{tmp_path}/file/mirror.db").acquire()


def test_another_engine(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not mysql"):
        open_mirror("mysql://localhost/mirror")


# The permissions of the files


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o640])
def test_the_files_have_the_mode_that_was_asked_for(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "new folder" / "mirror.db"
    with open_mirror(f"sqlite:///{path}", file_mode=mode).acquire() as mirror:
        row: Values = {"guid": "g", "id": 1}
        with mirror.writing() as connection:
            rows.upsert_rows(connection, "tasks", [row])
        files = [path, Path(f"{path}-wal"), Path(f"{path}-shm")]
        assert [oct(file.stat().st_mode & 0o777) for file in files] == [oct(mode)] * 3


def test_an_existing_file_keeps_its_mode(database: Path) -> None:
    database.chmod(0o644)
    open_mirror(f"sqlite:///{database}", file_mode=0o600).close()
    assert database.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("deferred", ["", " DEFERRABLE INITIALLY DEFERRED"])
def test_a_foreign_key_of_peoples_own_is_said_with_its_way_out(
    mirror: Mirror, person: Person, deferred: str
) -> None:
    put(mirror, title="a")
    person.run(f"CREATE TABLE mine (task TEXT REFERENCES tasks (guid){deferred})")
    person.run("INSERT INTO mine VALUES ('g')")
    with pytest.raises(MirrorError, match="ON DELETE CASCADE"), mirror.writing() as connection:
        rows.delete_rows(connection, "tasks", ["g"])
    assert person.run("SELECT guid FROM tasks") == [("g",)]


# Another file


def another(path: Path) -> None:
    copy = path.with_name("copy.db")
    with sqlite3.connect(path) as here, sqlite3.connect(copy) as there:
        here.backup(there)
    copy.rename(path)


@pytest.mark.parametrize("happens", [Path.unlink, another])
def test_a_file_that_was_removed_or_replaced_is_written_no_more(
    database: Path, happens: Callable[[Path], Any]
) -> None:
    with open_mirror(f"sqlite:///{database}").acquire() as mirror:
        put(mirror, title="a")
        happens(database)
        with pytest.raises(StaleWriterError, match="removed or replaced"), mirror.writing():
            pass
        with pytest.raises(StaleWriterError, match="removed or replaced"), mirror.booking():
            pass
