"""Days that never shift, in either direction, wherever the account is, whatever its clock does."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from tests.edges.acts import during, edits, fault, full_sync, sql, sync
from tests.edges.edge import Edge, run_edge, table
from tests.edges.house import House
from tests.edges.scene import Act, Scene

BOTH = True

pytestmark = pytest.mark.slow

# The account's zone, and the days on which its clock changes in 2026.
ZONES: Final[dict[str, list[str]]] = {
    "Pacific/Auckland": ["2026-04-05", "2026-09-27"],
    "Pacific/Honolulu": [],
    "Pacific/Kiritimati": [],
    "Pacific/Pago_Pago": [],
    "Asia/Kathmandu": [],
    "America/St_Johns": ["2026-03-08", "2026-11-01"],
    "Europe/Kyiv": ["2026-03-29", "2026-10-25"],
    "America/Havana": ["2026-03-08", "2026-11-01"],  # at midnight
    "Africa/Cairo": ["2026-04-24", "2026-10-29"],  # at midnight
    "UTC": [],
}
COLUMNS: Final = ("start_date", "end_date", "due_date")


def days_of(zone: str) -> list[date]:
    """The days of a clock change with those around them; else the turn of a year and a leap."""
    changes = [date.fromisoformat(text) for text in ZONES[zone]]
    around = [day + timedelta(days=n) for day in changes for n in (-1, 0, 1)]
    return around or [date(2026, 1, 1), date(2025, 12, 31), date(2028, 2, 29)]


def wire(day: date, at: time, zone: str) -> str:
    """A moment as the service writes it for an account in this zone; of two the outer one."""
    local = datetime.combine(day, at, ZoneInfo(zone)).replace(fold=int(at > time(12)))
    moment = local.astimezone(ZoneInfo("UTC"))
    return moment.astimezone(ZoneInfo(zone)).isoformat(timespec="milliseconds")


def as_wire(day: date, zone: str) -> dict[str, str]:
    start, end = wire(day, time(0, 0), zone), wire(day, time(23, 59), zone)
    return {"start_date": start, "end_date": end, "due_date": end}


def as_cells(day: date) -> dict[str, str]:
    return dict.fromkeys(COLUMNS, f"{day} 00:00:00.000000")


def put_in(name: str, day: date, form: str) -> Act:
    text = form.format(day=day)
    return sql(
        "INSERT INTO events (guid, title, is_all_day, start_date, end_date, due_date) "
        f"VALUES (:{name}, '{name}', true, :day, :day, :day)",
        day=text,
    )


FORMS = ("{day}", "{day} 00:00:00.000000", "{day}T15:30", "{day} 23:59:59Z", "{day}T01:00+11:00")


@pytest.mark.parametrize("zone", ZONES)
def test_days_stay_where_they_are(house: House, zone: str) -> None:
    """Days of items from there, of rows from here, and of both once they were edited."""
    days = days_of(zone)
    later = [day + timedelta(days=1) for day in days]
    edge = Edge(
        zone,
        zone=zone,
        given={
            f"there{n}": {"kind": "event", "is_all_day": True, **as_wire(day, zone)}
            for n, day in enumerate(days)
        },
        when=[
            *(put_in(f"here{n}", day, FORMS[n % len(FORMS)]) for n, day in enumerate(days)),
            *(
                sql(
                    f"UPDATE events SET start_date = :day, end_date = :day, due_date = :day "
                    f"WHERE guid = :there{n}",
                    day=str(day),
                )
                for n, day in enumerate(later)
                if n % 2
            ),
            "UPDATE events SET color = 3 WHERE title LIKE 'there%'",
            sync,
            "UPDATE events SET title = title || '!'",
        ],
        there={
            **{f"here{n}": as_wire(day, zone) for n, day in enumerate(days)},
            **{
                f"there{n}": as_wire(later[n] if n % 2 else day, zone) for n, day in enumerate(days)
            },
        },
        here={
            **{f"here{n}": as_cells(day) for n, day in enumerate(days)},
            **{f"there{n}": as_cells(later[n] if n % 2 else day) for n, day in enumerate(days)},
        },
        writes={
            "POST": len(days),
            **{f"PUT there{n}": 2 for n in range(len(days))},
            **{f"PUT here{n}": 1 for n in range(len(days))},
        },
    )
    run_edge(house, edge)


DAY: dict[str, Any] = {
    "is_all_day": True,
    "start_date": "2026-05-01T00:00:00.000+12:00",
    "due_date": "2026-05-02T23:59:00.000+12:00",
}
TIMED: dict[str, Any] = {
    "start_date": "2026-05-01T08:00:00.000+00:00",
    "due_date": "2026-05-01T22:00:00.000+00:00",
}
AUCKLAND = "Pacific/Auckland"


def account_moves(zone: str) -> Act:
    """The account gets another time zone."""
    return lambda scene: setattr(scene.account, "time_zone", zone)


def unknown_zone(scene: Scene) -> None:
    scene.account.preferences["time_zone"] = "Mars/Base"


@table(
    Edge(
        "made an all-day item here: the days that the cells name",
        zone=AUCKLAND,
        given={"task": TIMED},
        when=["UPDATE tasks SET is_all_day = true"],
        there={
            "task": {
                "is_all_day": True,
                "start_date": "2026-05-01T00:00:00.000+12:00",
                "due_date": "2026-05-01T23:59:00.000+12:00",
            }
        },
        here={"task": {"due_date": "2026-05-01 00:00:00.000000"}},
        log=["update done"],
        writes=["PUT task"],
    ),
    Edge(
        "made an item with times here: midnight of those days, in UTC",
        zone=AUCKLAND,
        given={"task": DAY},
        when=["UPDATE tasks SET is_all_day = false"],
        there={"task": {"due_date": "2026-05-02T12:00:00.000+12:00"}},
        here={"task": {"is_all_day": 0, "due_date": "2026-05-02 00:00:00.000000"}},
        log=["update done"],
        writes=["PUT task"],
    ),
    Edge(
        "made an all-day item here, with another day in the same statement",
        zone=AUCKLAND,
        given={"task": TIMED},
        when=["UPDATE tasks SET is_all_day = true, due_date = '2026-06-10 18:00'"],
        there={"task": {"due_date": "2026-06-10T23:59:00.000+12:00"}},
        here={"task": {"due_date": "2026-06-10 00:00:00.000000"}},
        log=["update done"],
    ),
    Edge(
        "made an all-day item and back, before anything was sent",
        zone=AUCKLAND,
        given={"task": TIMED},
        when=["UPDATE tasks SET is_all_day = true", "UPDATE tasks SET is_all_day = false"],
        there={"task": {"due_date": "2026-05-02T10:00:00.000+12:00", "is_all_day": None}},
        log=["update merged", "update merged"],
        writes=[],
    ),
    Edge(
        "made an all-day item and back, with a cycle between: days have no times",
        zone=AUCKLAND,
        given={"task": TIMED},
        when=["UPDATE tasks SET is_all_day = true", sync, "UPDATE tasks SET is_all_day = false"],
        there={"task": {"due_date": "2026-05-01T12:00:00.000+12:00"}},
        writes=["PUT task", "PUT task"],
    ),
    Edge(
        "made an all-day item there",
        zone=AUCKLAND,
        given={"task": TIMED},
        when=[edits("task", **DAY)],
        here={
            "task": {
                "is_all_day": 1,
                "start_date": "2026-05-01 00:00:00.000000",
                "due_date": "2026-05-02 00:00:00.000000",
            }
        },
        writes=[],
    ),
    Edge(
        "made an all-day item there by that alone: the days that its moments have in the zone",
        zone=AUCKLAND,
        given={"task": TIMED},
        when=[edits("task", is_all_day=True)],
        here={
            "task": {
                "start_date": "2026-05-01 00:00:00.000000",
                "due_date": "2026-05-02 00:00:00.000000",
            }
        },
        writes=[],
    ),
    Edge(
        "made an all-day item there, with an unsent title here: the title alone goes out",
        zone=AUCKLAND,
        given={"task": TIMED},
        when=["UPDATE tasks SET title = 'ours'", edits("task", is_all_day=True)],
        there={
            "task": {
                "title": "ours",
                "start_date": "2026-05-01T20:00:00.000+12:00",
                "due_date": "2026-05-02T10:00:00.000+12:00",
            }
        },
        log=["update done"],
        writes=["PUT task"],
    ),
    Edge(
        "made an item with times there, with an unsent title here",
        zone=AUCKLAND,
        given={"task": DAY},
        when=["UPDATE tasks SET title = 'ours'", edits("task", is_all_day=False)],
        there={"task": {"title": "ours", "due_date": "2026-05-02T23:59:00.000+12:00"}},
        here={"task": {"due_date": "2026-05-02 11:59:00.000000"}},
        writes=["PUT task"],
    ),
    Edge(
        "made an all-day item there while a new time waits here: a conflict about that date alone",
        zone=AUCKLAND,
        given={"task": TIMED},
        when=["UPDATE tasks SET due_date = '2026-06-01 12:00'", edits("task", **DAY)],
        there={"task": {**DAY}},
        here={"task": {"due_date": "2026-05-02 00:00:00.000000", "is_all_day": 1}},
        conflicts=1,
        writes=[],
    ),
    Edge(
        "made an all-day item there while our new time is on its way: ours becomes a day",
        zone=AUCKLAND,
        given={"task": TIMED},
        when=[
            "UPDATE tasks SET due_date = '2026-06-01 12:00'",
            during("PUT /item/*", edits("task", is_all_day=True)),
        ],
        there={"task": {"is_all_day": True, "due_date": "2026-06-02T00:00:00.000+12:00"}},
        here={"task": {"due_date": "2026-06-02 00:00:00.000000"}},
        log=["update done"],
        writes=["PUT task"],
    ),
    Edge(
        "made an all-day item on both sides",
        zone=AUCKLAND,
        given={"task": TIMED},
        when=["UPDATE tasks SET is_all_day = true", edits("task", is_all_day=True)],
        there={"task": {"is_all_day": True}},
        here={"task": {"start_date": "2026-05-01 00:00:00.000000"}},
    ),
    Edge(
        "made an all-day item here, and the answer is lost",
        zone=AUCKLAND,
        given={"task": TIMED},
        when=["UPDATE tasks SET is_all_day = true", fault("PUT /item/*:drop_after:1"), sync],
        there={"task": {"due_date": "2026-05-01T23:59:00.000+12:00"}},
        log=["update done"],
        writes=["PUT task"],
    ),
    Edge(
        "a new all-day row, and the answer is lost",
        zone=AUCKLAND,
        traits=["repeated_guid=duplicates"],
        when=[
            put_in("new", date(2026, 9, 27), "{day} 15:00"),
            fault("POST /item:drop_after:1"),
            sync,
        ],
        there={"new": as_wire(date(2026, 9, 27), AUCKLAND)},
        log=["insert done"],
        writes=["POST"],
    ),
    Edge(
        "the day of an all-day item taken back costs no request",
        zone=AUCKLAND,
        given={"task": DAY},
        when=[
            "UPDATE tasks SET due_date = '2026-08-01'",
            "UPDATE tasks SET due_date = '2026-05-02T17:00'",
        ],
        here={"task": {"due_date": "2026-05-02 00:00:00.000000"}},
        log=["update merged", "update merged"],
        writes=[],
    ),
    Edge(
        "only a time was added to a day, which days have not",
        zone=AUCKLAND,
        given={"task": DAY},
        when=["UPDATE tasks SET start_date = '2026-05-01 08:00', color = 2"],
        here={"task": {"start_date": "2026-05-01 00:00:00.000000"}},
        there={"task": {"start_date": "2026-05-01T00:00:00.000+12:00", "color": 2}},
        writes=["PUT task"],
    ),
    Edge(
        "an all-day series ends on its day",
        zone=AUCKLAND,
        given={"task": {**DAY, "recurring": 2}},
        when=["UPDATE tasks SET recurring_end_date = '2026-09-27'"],
        there={"task": {"recurring_end_date": "2026-09-27T00:00:00.000+12:00"}},
        here={"task": {"recurring_end_date": "2026-09-27 00:00:00.000000"}},
        log=["update done"],
    ),
    Edge(
        "the account moves to another zone: new days are days there",
        zone="Europe/Kyiv",
        given={"task": {}},
        when=[
            put_in("first", date(2026, 6, 1), "{day}"),
            sync,
            account_moves("Pacific/Honolulu"),
            full_sync,
            put_in("second", date(2026, 6, 1), "{day}"),
        ],
        there={"second": as_wire(date(2026, 6, 1), "Pacific/Honolulu")},
        here={"second": as_cells(date(2026, 6, 1))},
    ),
    Edge(
        "a zone that nobody knows counts as UTC",
        when=[unknown_zone, put_in("new", date(2026, 6, 1), "{day}")],
        there={"new": as_wire(date(2026, 6, 1), "UTC")},
        log=["insert done"],
    ),
    Edge(
        "the zone from the configuration",
        zone="Asia/Tokyo",
        rules={"zone": ZoneInfo("Asia/Tokyo")},
        when=[unknown_zone, put_in("new", date(2026, 6, 1), "{day}")],
        there={"new": as_wire(date(2026, 6, 1), "Asia/Tokyo")},
        log=["insert done"],
    ),
    Edge(
        "moments stay moments across a clock change",
        sqlite_only="a timestamp without zone takes no offset of a text",
        zone="Europe/Kyiv",
        given={"there": {"due_date": "2026-10-25T03:30:00.000+02:00"}},
        when=[
            (
                "INSERT INTO tasks (guid, title, due_date) VALUES "
                "(:a, 'a', '2026-03-29T03:30:00+02:00'), (:b, 'b', '2026-10-25 00:30'), "
                "(:c, 'c', '2026-10-25T03:30:00+02:00'), (:d, 'd', '2026-10-25 00:30Z')"
            )
        ],
        there={
            "a": {"due_date": "2026-03-29T04:30:00.000+03:00"},
            "b": {"due_date": "2026-10-25T03:30:00.000+03:00"},
            "c": {"due_date": "2026-10-25T03:30:00.000+02:00"},
        },
        here={
            "there": {"due_date": "2026-10-25 01:30:00.000000"},
            "c": {"due_date": "2026-10-25 01:30:00.000000"},
            "d": {"due_date": "2026-10-25 00:30:00.000000"},
        },
    ),
)
def test_days(house: House, edge: Edge) -> None:
    run_edge(house, edge)
