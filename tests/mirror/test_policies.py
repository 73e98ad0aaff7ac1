"""Row-level policies that an administrator forces upon the mirror's owner, too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.exc import NotSupportedError

from hisync.api.decode import decode_item
from hisync.errors import LostServerError
from hisync.mirror import rows
from hisync.mirror.store import open_mirror
from tests.mirror.test_lease import PLAIN, empty, superuser, url_of
from tests.mirror.test_postgres import Session, run
from tests.postgres import server


@pytest.fixture
def database() -> Iterator[str]:
    name = empty()
    yield name
    server().drop(name)


def test_new_rows_come_in_although_they_can_not_be_copied(database: str) -> None:
    items = [
        decode_item({"id": n, "category": 1, "title": f"ä {n}", "tags": ["x"], "color": n})
        for n in range(3)
    ]
    with open_mirror(url_of(database)).acquire() as mirror, superuser(database) as session:
        run(session, "ALTER TABLE tasks ENABLE ROW LEVEL SECURITY")
        run(session, "ALTER TABLE tasks FORCE ROW LEVEL SECURITY")
        run(session, f"CREATE POLICY all_of_it ON tasks TO {PLAIN} USING (true)")
        with mirror.writing() as connection:
            rows.insert_rows(connection, "tasks", items)
        found = run(session, "SELECT guid, title, tags, color FROM tasks ORDER BY id")
    assert found == [(item.guid, f"ä {item.id}", ["x"], item.id) for item in items]


def make_trigger(session: Session, body: str) -> None:
    run(
        session,
        f"CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body} END$$",
    )
    run(session, "CREATE TRIGGER mine AFTER INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION mine()")


def test_what_a_trigger_does_not_support_is_no_policy(database: str) -> None:
    items = [decode_item({"id": n, "category": 1}) for n in range(3)]
    with open_mirror(url_of(database)).acquire() as mirror, superuser(database) as session:
        make_trigger(
            session, "RAISE EXCEPTION 'not this way' USING ERRCODE = 'feature_not_supported';"
        )
        with (
            pytest.raises(NotSupportedError, match="not this way"),
            mirror.writing() as connection,
        ):
            rows.insert_rows(connection, "tasks", items)


def test_a_server_that_is_stopped_meanwhile_is_said_to_be(database: str) -> None:
    with open_mirror(url_of(database)).acquire() as mirror, superuser(database) as session:
        make_trigger(
            session,
            "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(1); RETURN NULL;",
        )
        with (
            pytest.raises(LostServerError, match="is being stopped"),
            mirror.writing() as connection,
        ):
            rows.insert_rows(connection, "tasks", [decode_item({"id": 1, "category": 1})])
