"""Cells that can't be read, and texts that hardly can: each stops nothing but its own change."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from hisync.items import FIELDS, Access
from tests.edges.acts import deletes, during, edits, sets, sql, sync
from tests.edges.edge import Edge, check_peace, run_edge, table
from tests.edges.house import House
from tests.edges.scene import make_scene

BOTH = True

DEEP: Final = "[" * 600 + "]" * 600
DEEPER: Final = "[" * 3000 + "]" * 3000
BAD: Final[dict[str, list[Any]]] = {
    "title": [b"\xff\x00"],
    "message": [b"bytes"],
    "parent_guid": [b"\x00"],
    "color_value": [b"#"],
    "completed": [2, -1, 0.5, "yes", b"\x01"],
    "is_all_day": ["maybe", b"", 7],
    "starred": ["*"],
    "time_track": ["on"],
    "archived": ["soon", 2],
    "color": ["red", 1.5, b"\x01", ""],
    "priority": ["high", 2.5, 1e30],
    "recurring": ["often"],
    "recurring_interval": ["often", 0.5],
    "assignee_id": ["Ann", b"1", 1e30],
    "time_est_minutes": ["two hours", 1.5, b"60"],
    "participants": [
        "Ann",
        "17",
        '["a"]',
        "[1.5]",
        "[null]",
        '{"a": 1}',
        "[",
        b"[1]",
        17,
        "[true]",
    ],
    "tags": ["a,b", "[1]", '"a"', "{}", "[null]", b'["a"]', 5, '["a"', '[["a"]]'],
    "alerts": ["soon", "[", b"[]", "nan", DEEP],
    "location": ["here", "{", b"{}", "{'a': 1}"],
    "permissions": ["all", "[{]"],
    "start_date": ["tomorrow", "2026-13-01", "2026-02-30", 20260501, b"2026-05-01", ""],
    "end_date": ["2026-05-01 25:00", "05/01/2026", "2026-W10-1", "24:00"],
    "due_date": ["2026-05", "0000-01-01", "2026-05-01T10:00:00+99:00", 1.5, "now"],
    "recurring_end_date": ["never", "2026"],
}


@pytest.mark.parametrize(
    "column",
    # `on` is a flag that PostgreSQL can read.
    [pytest.param(c, marks=[pytest.mark.sqlite_only] * (c == "time_track")) for c in BAD],
)
def test_an_unreadable_cell_is_named_and_put_back(house: House, column: str) -> None:
    """Each bad cell in a row of its own, together with a good one, in new and in known rows."""
    cells = BAD[column]
    scene = make_scene(house, {f"known{n}": {"color": 1} for n in range(len(cells))})
    good = "priority" if column == "color" else "color"
    for n, cell in enumerate(cells):
        scene.sql(
            f"UPDATE tasks SET {column} = :cell, {good} = 7 WHERE guid = :known{n}", cell=cell
        )
        names = f"guid, {column}" + (", title" if column != "title" else "")
        values = f":new{n}, :cell" + (", 'new'" if column != "title" else "")
        scene.sql(f"INSERT INTO tasks ({names}) VALUES ({values})", cell=cell)
    scene.sql("INSERT INTO notes (guid, title) VALUES (:innocent, 'innocent')")
    scene.world.sync()
    log = scene.changes()
    assert len(log) == 2 * len(cells) + 1
    for line in log[:-1]:
        assert line.split()[1] == "rejected:", line
        assert f"{column} = " in line, line
        assert "give " in line, line
    assert log[-1] == "insert done"
    for n in range(len(cells)):
        known = scene.need(f"known{n}")
        assert known.get(good) == 7, (cells[n], "the rest of the statement")
        assert scene.item(f"new{n}") is None
    check_peace(scene, [f"new{n}" for n in range(len(cells))])
    scene.close()


def test_every_column_that_people_write_has_bad_cells_in_the_table() -> None:
    special = {"short_name", "category"}  # of one table each
    assert (
        BAD.keys()
        == {field.column for field in FIELDS if field.access is Access.WRITABLE} - special
    )


TEXTS = {
    "single quotes": "it's 'so' and `so`",
    "double quotes": 'she said "no"',
    "backslashes": r"C:\new\table \u0041 \\",
    "lines": "one\ntwo\r\nthree\rfour",
    "tabs": "a\tb",
    "emoji": "🎉👩‍👩‍👧‍👦 🇺🇦 ✊🏽",
    "right to left": "مشروع المكتبة ‏(٣)‏ עברית",
    "bidi marks": "\u202eabc\u202c \u2067x\u2069",
    "combining marks": "e\u0301 é Å A\u030a \u1e9b\u0323",
    "no width": "a\u200bb\ufeffc",
    "above the basic plane": "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈",
    "a form's own signs": "a=b&c=d+e%20f;g#h?i",
    "markup": "<script>alert('x')</script> &amp; &#39;",
    "SQL": "'; DROP TABLE tasks; --",
    "JSON": '{"a": [1, null]}',
    "numbers": "007",
    "truth": "true",
    "spaces around": "  two before, three behind   ",
    "hard spaces": "\u00a0a\u3000",
    "controls": "\x01\x1f\x7f",
    "a NUL in the middle": "before\x00after",
}


@table(
    *(
        Edge(
            f"text with {name}",
            given={"task": {}, "there": {"title": text, "message": text, "tags": [text]}},
            when=[
                sql(
                    "UPDATE tasks SET title = :t, message = :t, tags = :tags WHERE guid = :task",
                    t=text,
                    tags=json.dumps([text]),
                ),
                sql("INSERT INTO tasks (guid, title, message) VALUES (:new, :t, :t)", t=text),
                "UPDATE tasks SET color = 2 WHERE guid = :there",
            ],
            there={
                "task": {"title": text, "message": text, "tags": [text]},
                "new": {"title": text, "message": text},
                "there": {"title": text, "message": text, "tags": [text]},
            },
            here={"there": {"title": text, "message": text}},
            log={"update done": 2, "insert done": 1},
            writes={"PUT task": 1, "POST": 1, "PUT there": 1},
        )
        for name, text in TEXTS.items()
    ),
    Edge(
        "a message of 10,000 characters, of four bytes each",
        given={"task": {}},
        when=[sql("UPDATE tasks SET message = :t", t="𝔘" * 10_000)],
        there={"task": {"message": "𝔘" * 10_000}},
        log=["update done"],
    ),
    Edge(
        "a message of 10,001 characters is refused",
        given={"task": {"message": "m"}},
        when=[sql("UPDATE tasks SET message = :t", t="x" * 10_001)],
        there={"task": {"message": "m"}},
        log=["update rejected: code 25"],
    ),
    Edge(
        "a message that reads null, which is how a form says nothing",
        given={"task": {"message": "m"}},
        when=["UPDATE tasks SET message = 'null'", sync],
        here={"task": {"message": None}},
        writes=["PUT task"],
    ),
    Edge(
        "a title that reads null",
        given={"task": {}},
        when=["UPDATE tasks SET title = 'null'"],
        there={"task": {"title": "null"}},
        log=["update done"],
    ),
    Edge(
        "a title of spaces alone is refused",
        given={"task": {"title": "base"}},
        when=[
            "UPDATE tasks SET title = '   '",
            "INSERT INTO tasks (guid, title) VALUES (:new, ' \t')",
        ],
        here={"task": {"title": "base"}},
        log=["update rejected: title is empty", "insert rejected: title is empty"],
        here_only=["new"],
        writes=[],
    ),
    Edge(
        "a title emptied and one never given",
        given={"task": {"title": "base"}},
        when=["UPDATE tasks SET title = NULL", "INSERT INTO tasks (guid) VALUES (:new)"],
        here={"task": {"title": "base"}},
        log=["update rejected: title", "insert rejected: title is empty"],
        here_only=["new"],
        writes=[],
    ),
    Edge(
        "text that is no UTF-8: half a surrogate pair, and bytes of another code",
        sqlite_only="a server's encoding is checked",
        given={"task": {"title": "base", "message": "m"}},
        when=[
            "UPDATE tasks SET title = CAST(x'eda080' AS TEXT), color = 2",
            "UPDATE tasks SET message = CAST(x'e4f6fc' AS TEXT)",
            "INSERT INTO tasks (guid, title) VALUES (:new, CAST(x'ff' AS TEXT))",
            "UPDATE tasks SET tags = '[\"' || CAST(x'eda080' AS TEXT) || '\"]' WHERE guid = :task",
            'UPDATE tasks SET alerts = \'[{"a": "\\ud800"}]\' WHERE guid = :task',
        ],
        there={"task": {"title": "base", "message": "m", "color": 2, "tags": None}},
        here={"task": {"title": "base", "message": "m"}},
        log={"update rejected": 4, "insert rejected": 1},
        here_only=["new"],
    ),
    Edge(
        "JSON that is nested deeper than any parser goes",
        given={"task": {}, "other": {"tags": ["a"]}},
        when=[
            sql("UPDATE tasks SET alerts = :deep, color = 2 WHERE guid = :task", deep=DEEPER),
            sql("UPDATE tasks SET tags = :deep WHERE guid = :other", deep=DEEPER),
            "INSERT INTO notes (title) VALUES ('innocent')",
        ],
        there={"task": {"alerts": None, "color": 2}, "other": {"tags": ["a"]}},
        here={"task": {"alerts": None}, "other": {"tags": '["a"]'}},
        log=["update rejected: alerts", "update rejected: tags", "insert done"],
    ),
    Edge(
        "an unreadable cell is mended before it is sent",
        given={"task": {}},
        when=[
            "UPDATE tasks SET due_date = 'tomorrow', color = 2",
            "UPDATE tasks SET due_date = '2026-05-01'",
        ],
        there={"task": {"due_date": "2026-05-01T00:00:00.000+00:00", "color": 2}},
        log={"update done": 1, "update merged": 1},
    ),
    Edge(
        "an unreadable cell in a row that hiTask changed in that very field",
        given={"task": {"tags": ["a"]}},
        when=["UPDATE tasks SET tags = 'a,b'", edits("task", tags=["theirs"])],
        there={"task": {"tags": ["theirs"]}},
        here={"task": {"tags": '["theirs"]'}},
        log=["update rejected: tags"],
        writes=[],
    ),
    Edge(
        "an unreadable cell in a row whose item becomes one of another kind: refused by name",
        given={"task": {"due_date": "2026-05-01T10:00:00.000+00:00"}, "other": {}},
        when=[
            "UPDATE tasks SET due_date = 'tomorrow', color = 2 WHERE guid = :task",
            sets("task", category=4),
        ],
        there={"task": {"due_date": "2026-05-01T10:00:00.000+00:00", "color": 2}},
        here={"task": {"table": "notes", "due_date": "2026-05-01 10:00:00.000000"}},
        log=["update rejected: due_date"],
        sqlite_only="PostgreSQL knows what tomorrow is",
    ),
    Edge(
        "the same while an earlier edit of it is sent: only what can't be read is refused",
        given={"task": {"due_date": "2026-05-01T10:00:00.000+00:00"}, "other": {}},
        when=[
            "UPDATE tasks SET due_date = '2026-06-01' WHERE guid = :task",
            during("PUT /item/*", sets("task", category=4)),
            during("PUT /item/*", "UPDATE tasks SET due_date = 'tomorrow' WHERE guid = :task"),
        ],
        there={"task": {"due_date": "2026-06-01T00:00:00.000+00:00"}},
        here={"task": {"table": "notes", "due_date": "2026-06-01 00:00:00.000000"}},
        log=["update done", "update rejected: due_date"],
        sqlite_only="PostgreSQL knows what tomorrow is",
    ),
    Edge(
        "an unreadable cell in a row whose item is gone: refused by name",
        given={"task": {}, "other": {}},
        when=["UPDATE tasks SET tags = 'a,b' WHERE guid = :task", deletes("task")],
        there={"task": None},
        log=["update rejected: tags"],
        removed=["task: gone from hiTask"],
    ),
    Edge(
        "a row with an unreadable cell is deleted",
        given={"task": {}},
        when=["UPDATE tasks SET tags = 'a,b'", "DELETE FROM tasks"],
        there={"task": None},
        log=["update merged", "delete done"],
    ),
    Edge(
        "a refused new row is mended, and goes out whole",
        when=[
            "INSERT INTO tasks (guid, title, tags, color) VALUES (:new, 'new', 'a,b', 2)",
            sync,
            'UPDATE tasks SET tags = \'["a","b"]\'',
        ],
        there={"new": {"title": "new", "tags": ["a", "b"], "color": 2}},
        log=["insert rejected: tags", "update done"],
        writes=["POST"],
    ),
    Edge(
        "numbers beyond what hiTask takes are refused by it, and put back",
        given={"task": {"color": 1, "priority": 100}},
        when=[
            "UPDATE tasks SET color = 8",
            sync,
            "UPDATE tasks SET priority = -1",
            sync,
            "UPDATE tasks SET recurring = 9",
            sync,
            "UPDATE tasks SET time_est_minutes = 9223372036854775807",
            sync,
            "UPDATE tasks SET assignee_id = 424242",
            sync,
            "UPDATE tasks SET participants = '[424242]'",
        ],
        there={"task": {"color": 1, "priority": 100, "participants": None}},
        log={"update rejected": 6},
        writes={"PUT task": 6},
    ),
    Edge(
        "dates at the ends of the calendar",
        given={"task": {}, "day": {"is_all_day": True}},
        when=[
            "UPDATE tasks SET due_date = '0001-01-01' WHERE guid = :task",
            "UPDATE tasks SET start_date = '9999-12-31', due_date = '9999-12-31' WHERE guid = :day",
            (
                "INSERT INTO tasks (guid, title, due_date) "
                "VALUES (:new, 'new', '0001-01-01T00:00:00+05:00')"
            ),
        ],
        there={"task": {"due_date": None}, "day": {"due_date": None}},
        log={"update rejected": 2, "insert rejected": 1},
        here_only=["new"],
    ),
)
def test_texts_and_values(house: House, edge: Edge) -> None:
    run_edge(house, edge)


@pytest.mark.core
def test_a_nul_in_whatever_hitask_holds_stops_nothing(house: House) -> None:
    """PostgreSQL, which can't hold one, has another sign for it, in every table."""
    items: dict[str, dict[str, Any]] = {"task": {"title": "a\0b", "tags": ["c\0d"]}, "other": {}}
    scene = make_scene(house, items)
    sign = "\0" if scene.world.backend == "sqlite" else "\ufffd"
    assert (scene.row("task") or {})["title"] == f"a{sign}b"
    assert f"c{sign}d" in [row["name"] for row in scene.ask("SELECT name FROM tags")]
    scene.sql("UPDATE tasks SET title = 'ours' WHERE guid = :task")
    scene.act(edits("task", title="e\0f"))
    assert scene.world.sync().conflicts == 1
    assert f"e{sign}f" in scene.conflicts()[0]
    scene.act(deletes("task"))
    scene.world.sync()
    scene.world.sync()
    (removed,) = scene.ask("SELECT * FROM removed_rows")
    assert f"c{sign}d" in json.loads(removed["last_values"])["tags"]
    quiet = scene.world.sync(full=True)
    assert (quiet.pulled, quiet.pushed, scene.writes()) == (0, 0, [])
    scene.close()
