"""Cells that people wrote: what each column takes, and what it says to the rest."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hisync.items import FieldType, fields_of, same_value
from hisync.mirror.cells import (
    DATE_FORMS,
    UnreadableCellError,
    cell_text,
    decode_cell,
    decode_row,
    stored_date,
    to_json,
)

FIELDS = {**fields_of("tasks"), **fields_of("other_items")}
OF_TYPE = {
    FieldType.TEXT: "title",
    FieldType.INT: "priority",
    FieldType.BOOL: "completed",
    FieldType.INSTANT: "time_create",
    FieldType.START_DATE: "start_date",
    FieldType.END_DATE: "due_date",
    FieldType.ID: "assignee_id",
    FieldType.MINUTES: "time_est_minutes",
    FieldType.SET: "tags",
    FieldType.JSON: "location",
}


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC).replace(tzinfo=None)  # type: ignore[misc, arg-type]


def read(column: str, cell: Any, *, all_day: bool = False) -> Any:
    return decode_cell(FIELDS[column], cell, all_day=all_day)


# What is taken


TAKEN: list[tuple[str, Any, Any]] = [
    ("title", "Call Ann", "Call Ann"),
    ("title", "", ""),
    ("title", "a\0b 👩", "a\0b 👩"),
    ("title", 15, "15"),
    ("title", 1.5, "1.5"),
    ("priority", 3, 3),
    ("priority", "3", 3),
    ("priority", "-3", -3),
    ("priority", 3.0, 3),
    ("priority", 2**63 - 1, 2**63 - 1),
    ("priority", -(2**63), -(2**63)),
    ("priority", 0, 0),
    ("time_est_minutes", 90, 90),
    ("time_est_minutes", 0, 0),
    ("assignee_id", 7, 7),
    ("assignee_id", "7", 7),
    ("assignee_id", 0, None),
    ("assignee_id", "0", None),
    *[("completed", cell, True) for cell in (1, 1.0, "1", True, "true", "TRUE", "True")],
    *[("completed", cell, False) for cell in (0, 0.0, "0", False, "false", "FALSE", None)],
    ("tags", '["a", "b"]', ["a", "b"]),
    ("tags", ["a"], ["a"]),
    ("tags", "[]", []),
    ("tags", "null", None),
    ("participants", "null", None),
    ("participants", "[17, 42]", [17, 42]),
    ("location", '{"a": [1, null]}', {"a": [1, None]}),
    ("location", '"here"', "here"),
    ("location", 5, 5),
    ("location", "null", None),
    ("alerts", "[]", []),
]


@pytest.mark.parametrize(("column", "cell", "value"), TAKEN)
def test_what_a_column_takes(column: str, cell: Any, value: Any) -> None:
    found = read(column, cell)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("column", OF_TYPE.values())
def test_a_null_says_nothing(column: str) -> None:
    assert read(column, None) is FIELDS[column].empty


NOON = at(2026, 3, 2, 12)
DATES = [
    # written, instant, day
    ("2026-03-02", at(2026, 3, 2), at(2026, 3, 2)),
    ("2026-03-02 12:00", NOON, at(2026, 3, 2)),
    ("2026-03-02 12:00:00", NOON, at(2026, 3, 2)),
    ("2026-03-02 12:00:00.000000", NOON, at(2026, 3, 2)),
    ("2026-03-02 12:00:00.5", NOON + timedelta(seconds=0.5), at(2026, 3, 2)),
    ("2026-03-02T12:00", NOON, at(2026, 3, 2)),
    ("2026-03-02T12:00:00.123456", NOON + timedelta(microseconds=123456), at(2026, 3, 2)),
    ("2026-03-02 12:00Z", NOON, at(2026, 3, 2)),
    ("2026-03-02T12:00:00Z", NOON, at(2026, 3, 2)),
    ("2026-03-02T14:00:00+02:00", NOON, at(2026, 3, 2)),
    ("2026-03-02 06:30:00-05:30", NOON, at(2026, 3, 2)),
    # The day is the one that is written, in its own offset.
    ("2026-03-02T00:30+02:00", at(2026, 3, 1, 22, 30), at(2026, 3, 2)),
    ("2026-03-02T23:30-02:00", at(2026, 3, 3, 1, 30), at(2026, 3, 2)),
    (" 2026-03-02 12:00\n", NOON, at(2026, 3, 2)),
    (NOON, NOON, at(2026, 3, 2)),
    (date(2026, 3, 2), at(2026, 3, 2), at(2026, 3, 2)),
    ("0999-12-31", at(999, 12, 31), at(999, 12, 31)),
]


@pytest.mark.parametrize("column", ["start_date", "due_date", "end_date", "recurring_end_date"])
@pytest.mark.parametrize(("cell", "instant", "day"), DATES)
def test_the_forms_of_a_date(column: str, cell: Any, instant: datetime, day: datetime) -> None:
    assert read(column, cell) == instant
    assert read(column, cell, all_day=True) == day


def test_an_instant_is_one_in_an_all_day_item_too() -> None:
    assert read("time_create", "2026-03-02T14:00+02:00", all_day=True) == NOON


# What is refused


DEEP = "[" * 300 + "]" * 300
REFUSED: list[tuple[str, Any, str]] = [
    ("title", b"bytes", "give a text"),
    ("title", True, "give a text"),
    ("title", "\udcff", "give a text"),  # bytes that are no UTF-8
    ("priority", "high", "give a whole number"),
    ("priority", "", "give a whole number"),
    ("priority", 1.5, "give a whole number"),
    ("priority", "1.5", "give a whole number"),
    ("priority", math.inf, "give a whole number"),
    ("priority", math.nan, "give a whole number"),
    ("priority", True, "give a whole number"),
    ("priority", b"1", "give a whole number"),
    ("priority", 2**63, "give a whole number"),
    ("priority", "9" * 5000, "give a whole number"),
    ("time_est_minutes", "1:30", "give a whole number of minutes"),
    ("assignee_id", "ann", "give the number of a user"),
    *[
        ("completed", cell, "give true or false (1 or 0)")
        for cell in (2, -1, "yes", "", "t", 0.5, b"1", [1])
    ],
    *[
        ("due_date", cell, f"give {DATE_FORMS}")
        for cell in (
            "tomorrow",
            "",
            "2026",
            "2026-03",
            "20260302",
            "2026-W10-1",
            "2026-02-30",
            "2026-03-02 25:00",
            "2026-03-02 12:00:60",
            "2026-03-02 12:00+25:00",
            "02.03.2026",
            "0001-01-01 00:00+12:00",
            1_700_000_000,
            1.5,
            b"2026-03-02",
        )
    ],
    *[
        ("tags", cell, 'give a JSON list, such as \'["one", "two"]\' for tags')
        for cell in ("a,b", "", '"a"', "{}", "[1]", '["a", null]', "[true]", '["a"', 5, b"[]", DEEP)
    ],
    *[
        ("participants", cell, "'[17, 42]' for participants")
        for cell in ('["17"]', "[1.5]", "[true]", "17", "[17, null]")
    ],
    *[
        ("location", cell, "give JSON")
        for cell in (
            "Berlin",
            "{'a': 1}",
            "",
            "1e999",
            '"\\ud800"',
            "NaN",
            b"{}",
            math.inf,
            DEEP,
            "\udcff",
        )
    ],
]


@pytest.mark.parametrize(("column", "cell", "forms"), REFUSED)
def test_what_a_column_refuses(column: str, cell: Any, forms: str) -> None:
    with pytest.raises(UnreadableCellError) as caught:
        read(column, cell)
    text = str(caught.value)
    assert text.startswith(f"{column} = ")
    assert forms in text
    assert len(text) < 300
    assert text.encode()


# Rows


def test_a_cell_that_can_not_be_read_stops_no_other() -> None:
    values, unreadable = decode_row(
        "tasks", {"title": "a", "due_date": "tomorrow", "tags": "a,b", "completed": 1, "mine": 5}
    )
    assert values.keys() == fields_of("tasks").keys()
    assert (values["title"], values["completed"], values["starred"]) == ("a", True, False)
    assert (values["due_date"], values["tags"]) == (None, None)
    assert unreadable.keys() == {"due_date", "tags"}
    assert unreadable["due_date"].startswith("due_date = 'tomorrow' can't be read: give YYYY")


@pytest.mark.parametrize(
    ("all_day", "due"),
    [(1, at(2026, 3, 2)), ("true", at(2026, 3, 2)), (0, NOON), (None, NOON), ("maybe", NOON)],
)
def test_dates_are_read_in_the_light_of_all_day(all_day: Any, due: datetime) -> None:
    cells = {"due_date": "2026-03-02 12:00", "is_all_day": all_day}
    assert decode_row("tasks", cells)[0]["due_date"] == due


# There and back


VALUES: dict[FieldType, st.SearchStrategy[Any]] = {
    FieldType.TEXT: st.text(),
    FieldType.INT: st.integers(-(2**63), 2**63 - 1),
    FieldType.MINUTES: st.integers(0, 2**40),
    FieldType.ID: st.integers(1, 2**40),
    FieldType.BOOL: st.booleans(),
    FieldType.INSTANT: st.datetimes(),
    FieldType.START_DATE: st.datetimes(),
    FieldType.END_DATE: st.datetimes(),
    FieldType.SET: st.lists(st.text(), max_size=4),
    FieldType.JSON: st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    ),
}


@pytest.mark.parametrize("column", OF_TYPE.values())
@settings(max_examples=30)
@given(data=st.data())
def test_what_the_machinery_writes_it_reads(column: str, data: st.DataObject) -> None:
    field = FIELDS[column]
    value = data.draw(VALUES[field.type])
    cell = orjson.loads(orjson.dumps(to_json(value)))
    if isinstance(cell, str) and field.type is FieldType.JSON:
        cell = orjson.dumps(cell).decode()  # as a cell holds a text
    found = decode_cell(field, cell)
    assert found == value
    assert same_value(field, found, value)
    if value is not None and field.type in {FieldType.START_DATE, FieldType.END_DATE}:
        day = value.replace(hour=0, minute=0, second=0, microsecond=0)
        assert decode_cell(field, cell, all_day=True) == day
        assert decode_cell(field, to_json(day), all_day=True) == day


@given(st.datetimes(), st.integers(-14 * 60, 14 * 60))
def test_an_offset_moves_the_instant_and_not_the_day(moment: datetime, minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    try:
        instant = aware.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        return
    assert read("due_date", aware.isoformat()) == instant
    day = read("due_date", aware.isoformat(), all_day=True)
    assert (day.year, day.month, day.day) == (moment.year, moment.month, moment.day)


@given(st.text() | st.integers() | st.floats() | st.binary() | st.booleans() | st.none())
def test_every_cell_is_read_or_refused(cell: Any) -> None:
    values, unreadable = decode_row("tasks", dict.fromkeys(fields_of("tasks"), cell))
    assert values.keys() == fields_of("tasks").keys()
    assert all(values[column] is FIELDS[column].empty for column in unreadable)


# For people


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("a", "a"),
        ("", ""),
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (NOON, "2026-03-02 12:00:00.000000"),
        (at(999, 1, 1), "0999-01-01 00:00:00.000000"),
        (["a", "ü"], '["a","ü"]'),
        ({"title": "a", "due_date": NOON}, '{"title":"a","due_date":"2026-03-02 12:00:00.000000"}'),
    ],
)
def test_a_value_as_text(value: Any, text: str | None) -> None:
    assert cell_text(value) == text


@given(st.datetimes())
def test_a_date_is_stored_with_microseconds_whatever_it_is(moment: datetime) -> None:
    assert stored_date(moment) == moment.isoformat(" ", "microseconds")
    whole = moment.replace(microsecond=0)
    assert stored_date(whole) == whole.isoformat(" ", "microseconds")
