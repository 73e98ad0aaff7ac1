"""Values from the wire and back."""

# ruff: noqa: DTZ901
# Dates of items have no zone on purpose.

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hisync.api import (
    TimeUnit,
    decode_date,
    decode_item,
    encode_changes,
    encode_day,
    encode_new,
    wire_precision,
)
from hisync.items import FIELDS, TABLES, FieldType, derived_guid, fields_of, same_value

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ["Pacific/Auckland", "Pacific/Honolulu", "America/Sao_Paulo", "Europe/Berlin", "UTC"]
COLUMNS = {f.column: f for f in FIELDS}


def decode(**fields: Any) -> Mapping[str, Any]:
    return decode_item({"id": 7, "category": 1, **fields}).values


def encode(**values: Any) -> dict[str, str]:
    return encode_changes(values, is_all_day=False, zone=BERLIN)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2017-05-05T23:59:00.000+03:00", datetime(2017, 5, 5, 20, 59)),
        ("2017-05-05T23:59:00.123-09:30", datetime(2017, 5, 6, 9, 29, 0, 123000)),
        ("2017-05-05T23:59:00+03:00", datetime(2017, 5, 5, 20, 59)),
        ("2017-05-05T23:59:00.000Z", datetime(2017, 5, 5, 23, 59)),
        ("2017-05-05T23:59:00.000+0300", datetime(2017, 5, 5, 20, 59)),
        ("2017-05-05T23:59:00.000", datetime(2017, 5, 5, 23, 59)),
        ("2017-05-05", datetime(2017, 5, 5)),
    ],
)
def test_dates_are_instants(text: str, value: datetime) -> None:
    assert decode_date(text) == value


def read_with_zone(text: str) -> datetime | None:
    try:
        read = datetime.fromisoformat(text)
        return (
            (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC).replace(tzinfo=None)
        )
    except (ValueError, OverflowError):
        return None


@given(
    start=st.datetimes().map(lambda value: value.isoformat(timespec="milliseconds")),
    cut=st.integers(0, 8),
    end=st.from_regex(
        r"([+-][0-9:]{2,6}|Z|\.[0-9]{0,5}|)([+-][0-9]{2}:[0-9]{2}|Z|)", fullmatch=True
    ),
)
@example(start="2017-05-05T23:59:00.000", cut=0, end="+24:00")
@example(start="2017-05-05T23:59:00.000", cut=1, end="Z+03:00")
@example(start="2017-05-05T23:59:00.000", cut=0, end="000000")
@example(start="2017-05-05T23:59:00.000", cut=0, end=".12345")
@example(start="0001-01-01T00:00:00.000", cut=0, end="+03:00")
def test_a_date_is_read_as_the_standard_says(start: str, cut: int, end: str) -> None:
    text = start[: len(start) - cut] + end
    try:
        read = decode_date(text)
    except ValueError:
        assert read_with_zone(text) is None
    else:
        assert read == read_with_zone(text)


@pytest.mark.parametrize("text", ["2017-05-05T00:00:00.000+13:00", "2017-05-05T23:59:00.000-11:00"])
def test_dates_of_an_all_day_item_are_the_day_that_is_written(text: str) -> None:
    values = decode(is_all_day=True, start_date=text, due_date=text, time_create=text)
    assert values["start_date"] == values["due_date"] == datetime(2017, 5, 5)
    assert values["time_create"] == decode_date(text) != datetime(2017, 5, 5)


@pytest.mark.parametrize(
    "raw", ["tomorrow", "2017-13-01T00:00:00.000+00:00", 1494000000, "0001-01-01T00:00:00+14:00"]
)
def test_an_unreadable_date_is_kept_beside(raw: object) -> None:
    values = decode(due_date=raw)
    assert values["due_date"] is None
    assert values["extra"] == {"due_date": raw}


@pytest.mark.parametrize(
    ("column", "raw", "value"),
    [
        ("completed", True, True),
        ("completed", 1, True),
        ("completed", "1", True),
        ("completed", "TRUE", True),
        ("completed", 0, False),
        ("completed", "false", False),
        ("completed", None, False),
        ("is_all_day", None, False),
        ("color", "3", 3),
        ("priority", 20000.0, 20000),
        ("last_comment_id", 2**63 - 1, 2**63 - 1),
        ("last_comment_id", str(-(2**63)), -(2**63)),
        ("title", "Ünïcödé 🎉 \u0000", "Ünïcödé 🎉 \u0000"),
        ("message", "", ""),
        ("message", None, None),
        ("tags", None, None),
        ("tags", [], []),
        ("tags", ["b", "a"], ["b", "a"]),
        ("participants", [5, "6"], [5, 6]),
        ("location", {"address": "x"}, {"address": "x"}),
        ("alerts", [], []),
        ("due_date", "", None),
    ],
)
def test_lenient_values(column: str, raw: object, value: object) -> None:
    decoded = decode(**{column: raw})
    assert decoded[column] == value
    assert type(decoded[column]) is type(value)
    assert decoded["extra"] is None


@pytest.mark.parametrize(
    ("wire", "raw"),
    [
        ("tags", "a,b"),
        ("tags", [1]),
        ("tags", [["a"]]),
        ("participants", [None]),
        ("participants", {"a": 1}),
        ("color", [1]),
        ("color", True),
        ("color", 1.5),
        ("color", "red"),
        ("version", 2**63),
        ("version", "1" * 21),
        ("completed", 2),
        ("completed", "perhaps"),
        ("completed", {}),
        ("title", 5),
        ("parentGuid", 5),
        ("assignee", "ann"),
        ("location", "here"),
        ("alerts", {"id": 1}),
        ("time_est", "long"),
        ("time_est", True),
        ("time_est", []),
        ("time_est", "nan"),
        ("time_est", float("inf")),
        ("time_est", 10**400),
        ("time_spent", 10**9 + 1),
    ],
)
def test_an_unexpected_value_leaves_its_column_empty_and_is_kept(wire: str, raw: object) -> None:
    column = next(f.column for f in FIELDS if f.wire == wire)
    values = decode(**{wire: raw})
    assert values[column] == COLUMNS[column].empty
    assert values["extra"] == {wire: raw}


@pytest.mark.parametrize("nobody", [0, None, "0"])
def test_nobody(nobody: object) -> None:
    assert decode(assignee=nobody)["assignee_id"] is None


@pytest.mark.parametrize(
    ("raw", "parent"), [(0, None), (None, None), ("0", None), (9, 9), ("x", None)]
)
def test_the_parents_number(raw: object, parent: int | None) -> None:
    assert decode_item({"id": 1, "category": 1, "parent": raw}).parent_id == parent


def test_guids_are_lower_case_and_never_missing() -> None:
    item = decode_item({"id": 1, "guid": "AB-1", "parentGuid": "CD-2", "category": 1})
    assert item.guid == "ab-1"
    assert item.values["parent_guid"] == "cd-2"
    for guid in (None, "", 5):
        assert decode_item({"id": 1, "guid": guid}).guid == derived_guid("item", 1)


@pytest.mark.parametrize("table", TABLES)
def test_every_column_has_a_value_and_every_wire_field_a_place(table: str) -> None:
    category = TABLES[table]
    item = decode_item(
        {
            "id": 7,
            "category": 99 if category is None else category,
            "changed": True,
            "parent": 3,
            "parentGuid": "p",
            "guid": "g",
            "short_name": "AB",
            "file_size": 4,
            "news": {"a": [1]},
            "empty": None,
            "zero": 0,
            "archived": True,
        }
    )
    assert item.table == table
    assert item.values.keys() == fields_of(table).keys() - {"archived"}
    expected = {"news": {"a": [1]}, "zero": 0, "archived": True}
    expected |= {} if table == "projects" else {"short_name": "AB"}
    expected |= {} if table == "files" else {"file_size": 4}
    assert item.values["extra"] == expected


@pytest.mark.parametrize(("raw", "kept"), [(None, None), ("task", {"category": "task"})])
def test_a_missing_category_is_survived_and_told(raw: object, kept: object) -> None:
    told: list[str] = []
    item = decode_item({"id": 7, "category": raw}, report=told.append)
    assert (item.table, item.category, item.values["category"]) == ("other_items", -1, -1)
    assert item.values["extra"] == kept
    assert told == ["category_missing"]


@pytest.mark.parametrize("number", [None, "x", True, 1.5, 2**64])
def test_an_item_needs_an_id(number: object) -> None:
    with pytest.raises(ValueError, match=r"id|integer"):
        decode_item({"id": number, "category": 1})


@pytest.mark.parametrize(
    ("unit", "raw", "minutes", "doubtful"),
    [
        ("minutes", 90, 90, False),
        ("minutes", "90", 90, False),
        ("minutes", 90.0, 90, False),
        ("minutes", 1.5, 2, True),
        ("hours", 1.5, 90, False),
        ("hours", 2, 120, False),
        ("hours", 0.0167, 1, False),
    ],
)
def test_time_is_kept_in_minutes(unit: TimeUnit, raw: object, minutes: int, doubtful: bool) -> None:
    told: list[str] = []
    item = decode_item(
        {"id": 7, "category": 1, "time_est": raw}, time_unit=unit, report=told.append
    )
    assert item.values["time_est_minutes"] == minutes
    assert told == ["time_unit_doubtful"] * doubtful


@pytest.mark.parametrize(
    ("column", "value", "form"),
    [
        ("title", "Ünïcödé 🎉", {"title": "Ünïcödé 🎉"}),
        ("completed", True, {"completed": "true"}),
        ("completed", 0, {"completed": "false"}),
        ("starred", None, {"starred": "false"}),
        ("assignee_id", 2**63 - 1, {"assignee": str(2**63 - 1)}),
        ("assignee_id", None, {"assignee": "0"}),
        ("parent_guid", None, {"parent": "0"}),
        ("parent_guid", "g", {"parentGuid": "g"}),
        ("tags", ["ä", 'q"'], {"tags": '["ä","q\\""]'}),
        ("tags", None, {"tags": "[]"}),
        ("participants", [], {"participants": "[]"}),
        ("alerts", None, {"alerts": "[]"}),
        ("location", None, {"location": "null"}),
        ("location", {"address": "x"}, {"location": '{"address":"x"}'}),
        ("message", None, {"message": "null"}),
        ("color", None, {"color": "0"}),
        ("recurring", None, {"recurring": "0"}),
        ("due_date", None, {"due_date": ""}),
        (
            "due_date",
            datetime(2026, 1, 2, 3, 4, 5, 678999),
            {"due_date": "2026-01-02T03:04:05.678+00:00"},
        ),
        ("time_spent_minutes", 90, {"time_spent": "90"}),
        ("category", 4, {"category": "4"}),
    ],
)
def test_strict_fields(column: str, value: object, form: dict[str, str]) -> None:
    assert encode(**{column: value}) == form


def test_a_known_parent_goes_along() -> None:
    form = encode_changes({"parent_guid": "g"}, is_all_day=False, zone=UTC, parent_id=5)
    assert form == {"parentGuid": "g", "parent": "5"}


@pytest.mark.parametrize(("minutes", "text"), [(90, "1.5000"), (120, "2"), (1, "0.0167")])
def test_time_in_hours(minutes: int, text: str) -> None:
    form = encode_changes(
        {"time_est_minutes": minutes}, is_all_day=False, zone=UTC, time_unit="hours"
    )
    assert form == {"time_est": text}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("title", None),
        ("title", 5),
        ("title", "half \ud83d"),
        ("color", "3"),
        ("color", True),
        ("color", 2**63),
        ("completed", "yes"),
        ("tags", "a"),
        ("tags", {1}),
        ("alerts", [object()]),
        ("due_date", "2026-01-01"),
        ("due_date", datetime(2026, 1, 1, tzinfo=UTC)),
        ("time_est_minutes", 1.5),
        ("archived", True),
        ("extra", {}),
        ("version", 3),
        ("nonsense", 3),
    ],
)
def test_what_is_not_canonical_is_not_sent(column: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"can't be sent|has a zone"):
        encode(**{column: value})


def test_a_new_item_says_only_what_it_has() -> None:
    values: dict[str, Any] = {
        "title": "T",
        "message": None,
        "completed": False,
        "starred": True,
        "color": 0,
        "tags": [],
        "archived": False,
        "version": 3,
        "extra": {"a": 1},
        "is_all_day": True,
        "due_date": datetime(2026, 7, 1),
        "time_spent_minutes": 5,
        "category": 9,
    }
    assert encode_new("g", 1, values, zone=BERLIN) == {
        "guid": "g",
        "category": "1",
        "title": "T",
        "starred": "true",
        "color": "0",
        "is_all_day": "true",
        "due_date": "2026-07-01T23:59:00.000+02:00",
    }
    with pytest.raises(ValueError, match="title"):
        encode_new("g", 1, {"message": "x"}, zone=BERLIN)


@pytest.mark.parametrize(
    ("zone", "day", "start", "end"),
    [
        ("Europe/Berlin", date(2026, 3, 29), "+01:00", "+02:00"),
        ("Europe/Berlin", date(2026, 10, 25), "+02:00", "+01:00"),
        ("Pacific/Auckland", date(2026, 4, 5), "+13:00", "+12:00"),
        ("Pacific/Auckland", date(2026, 9, 27), "+12:00", "+13:00"),
        ("Pacific/Honolulu", date(2026, 3, 29), "-10:00", "-10:00"),
        # 00:00 was skipped: with the offset after the change it would be the day before.
        ("America/Sao_Paulo", date(2018, 11, 4), "-03:00", "-02:00"),
        # 23:59 came twice.
        ("America/Sao_Paulo", date(2018, 2, 17), "-02:00", "-03:00"),
    ],
)
def test_days_across_clock_changes(zone: str, day: date, start: str, end: str) -> None:
    value = datetime.combine(day, time())
    assert encode_day(value, ZoneInfo(zone)) == f"{day}T00:00:00.000{start}"
    assert encode_day(value, ZoneInfo(zone), end=True) == f"{day}T23:59:00.000{end}"


DAYS = st.dates(date(1970, 1, 1), date(2099, 12, 31)).map(lambda d: datetime.combine(d, time()))


@settings(deadline=None)
@given(value=DAYS, zone=st.sampled_from(ZONES), end=st.booleans())
def test_a_day_stays_the_same_day_here_and_in_the_accounts_zone(
    value: datetime, zone: str, end: bool
) -> None:
    text = encode_day(value, ZoneInfo(zone), end=end)
    assert decode_date(text, day=True) == value
    # A service that writes the moment in the account's zone still names that day.
    assert datetime.fromisoformat(text).astimezone(ZoneInfo(zone)).date() == value.date()


@pytest.mark.parametrize("value", [datetime.min, datetime.max])
@pytest.mark.parametrize("end", [True, False])
def test_the_ends_of_the_calendar_don_t_crash(value: datetime, end: bool) -> None:
    for zone in ZONES:
        day = decode_date(encode_day(value, ZoneInfo(zone), end=end), day=True)
        assert day.date() == value.date()


INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=3)
BY_TYPE: dict[FieldType, st.SearchStrategy[Any]] = {
    FieldType.TEXT: st.none() | TEXT.filter(lambda text: text != "null"),
    FieldType.INT: st.none() | INT64,
    FieldType.ID: st.none() | INT64.filter(bool),
    FieldType.BOOL: st.booleans(),
    FieldType.START_DATE: st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),
    FieldType.END_DATE: st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),
    FieldType.MINUTES: st.none() | st.integers(0, 10**6),
}
BY_COLUMN = {
    "title": TEXT.filter(lambda text: text != "null"),
    "parent_guid": st.none() | st.uuids().map(str),
    "participants": st.none() | st.lists(INT64, max_size=4),
    "tags": st.none() | st.lists(TEXT, max_size=4),
    "alerts": st.none() | st.lists(OBJECTS, max_size=3),
    "permissions": st.none() | st.lists(OBJECTS, max_size=3),
    "location": st.none() | OBJECTS,
}
WRITABLE = {c: f for c, f in fields_of("projects").items() if f.writable and f.wire}


def back_on_the_wire(form: Mapping[str, str]) -> dict[str, Any]:
    """What a service that stores what it gets would show."""
    structured = {"participants", "tags", "alerts", "permissions", "location"}
    return {
        name: json.loads(text) if name in structured or text == "null" else text
        for name, text in form.items()
    }


@settings(deadline=None)
@given(
    values=st.fixed_dictionaries(
        {c: BY_COLUMN[c] if c in BY_COLUMN else BY_TYPE[f.type] for c, f in WRITABLE.items()}
    ),
    zone=st.sampled_from(ZONES),
    unit=st.sampled_from(["minutes", "hours"]),
)
def test_values_survive_the_way_there_and_back(
    values: dict[str, Any], zone: str, unit: TimeUnit
) -> None:
    day = values["is_all_day"]
    form = encode_changes(values, is_all_day=day, zone=ZoneInfo(zone), time_unit=unit)
    item = decode_item({"id": 7, "category": 0, **back_on_the_wire(form)}, time_unit=unit)
    for column, field in WRITABLE.items():
        expected = wire_precision(field, values[column], is_all_day=day)
        assert same_value(field, expected, item.values[column]), column
    assert item.values["extra"] is None


@settings(deadline=None)
@given(wire=st.dictionaries(st.sampled_from([f.wire for f in FIELDS if f.wire]) | TEXT, JSON))
def test_decoding_never_fails_and_loses_nothing(wire: dict[str, Any]) -> None:
    item = decode_item(wire | {"id": 7})
    fields = {f.wire: f for f in fields_of(item.table).values() if f.wire}
    extra = item.values["extra"] or {}
    for name, raw in wire.items():
        if raw is None or name in {"id", "guid", "parent", "changed", "category"}:
            continue
        assert name in fields or extra[name] == raw
        if name in fields and item.values[fields[name].column] in (None, False):
            assert name in extra or raw in (0, "", False, "0", "false") or not str(raw).strip()


def test_precision_on_the_wire() -> None:
    due = COLUMNS["due_date"]
    moment = datetime(2026, 1, 2, 3, 4, 5, 678999)
    assert wire_precision(due, moment) == moment - timedelta(microseconds=999)
    assert wire_precision(due, moment, is_all_day=True) == datetime(2026, 1, 2)
    assert wire_precision(COLUMNS["recurring"], None) == 0
    assert wire_precision(COLUMNS["completed"], None) is False
    assert wire_precision(COLUMNS["parent_guid"], "AB") == "ab"
    assert wire_precision(COLUMNS["title"], "AB") == "AB"
