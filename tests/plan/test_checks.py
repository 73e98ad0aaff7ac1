"""What hiTask will not take is known before a request is spent on it."""

from __future__ import annotations

from typing import Any

import pytest

from hisync.change import Change
from hisync.items import Level, fields_of
from hisync.plan.actions import Send, SendArchive, SendCreate, SendDelete, SendUpdate
from hisync.plan.checks import Neighbours, Refusal, check, read_only_cells, refused_edits
from tests.plan.rows import change, task

GUID = "0b6f5f0e-5a5e-4b3c-9f3a-2d6d5a5f0c11"
PARENT = "7d1c1f7e-9c0d-4d28-8b53-8e0f8d8a7b22"
ALONE = Neighbours()
UNDER = Neighbours("known", [PARENT])


def refusal(
    send: Send, around: Neighbours = ALONE, table: str = "tasks", guid: str = GUID, **base: Any
) -> Refusal:
    return check(table, guid, send, task(**base), around)


def create(**values: Any) -> SendCreate:
    return SendCreate(task(**{"title": "Call Ann"} | values))


# Creating


TAKEN = Refusal()


@pytest.mark.parametrize(
    ("send", "around", "table"),
    [
        (create(), ALONE, "tasks"),
        (create(parent_guid=PARENT), UNDER, "tasks"),
        (create(category=6), ALONE, "other_items"),
        (create(), ALONE, "projects"),
    ],
)
def test_a_create_that_is_taken(send: Send, around: Neighbours, table: str) -> None:
    assert refusal(send, around, table) == TAKEN
    assert refusal(send, around, table, GUID.upper()) == TAKEN


@pytest.mark.parametrize(
    ("send", "around", "table", "guid", "reason"),
    [
        (create(), ALONE, "files", GUID, "rows of files come from hiTask only"),
        (create(title=None), ALONE, "tasks", GUID, "title is empty"),
        (create(title=" \n"), ALONE, "tasks", GUID, "title is empty"),
        (create(), ALONE, "other_items", GUID, "category is empty"),
        (create(), ALONE, "tasks", "42", "guid '42' is not a UUID"),
        (create(), ALONE, "tasks", "", "guid '' is not a UUID"),
        (create(), ALONE, "tasks", "{" + GUID + "}", "is not a UUID"),
        (create(), ALONE, "tasks", GUID.replace("-", ""), "is not a UUID"),
        (create(parent_guid="x"), Neighbours("absent", ["x"]), "tasks", GUID, "'x' is no item"),
    ],
)
def test_a_create_that_is_refused(
    send: Send, around: Neighbours, table: str, guid: str, reason: str
) -> None:
    found = refusal(send, around, table, guid)
    assert found.whole is not None
    assert reason in found.whole
    assert not found.waits


def test_a_create_waits_for_its_parent() -> None:
    found = refusal(create(parent_guid=PARENT), Neighbours("waiting", [PARENT]))
    assert found == Refusal(waits="its parent is not on hiTask yet")


def test_a_new_item_can_not_be_its_own_ancestor() -> None:
    found = refusal(create(parent_guid=PARENT), Neighbours("known", [PARENT, GUID]))
    assert found.whole == "parent_guid makes the item its own ancestor"


# Changing


@pytest.mark.parametrize(
    ("changes", "around", "reasons"),
    [
        ({"title": "b"}, ALONE, {}),
        ({"title": " "}, ALONE, {"title": "title is empty"}),
        ({"title": None, "message": "x"}, ALONE, {"title": "title is empty"}),
        ({"parent_guid": PARENT}, UNDER, {}),
        ({"parent_guid": None}, ALONE, {}),
        ({"parent_guid": "x"}, Neighbours("absent", ["x"]), {"parent_guid": "'x' is no item"}),
        (
            {"parent_guid": PARENT, "title": "b"},
            Neighbours("known", [PARENT, GUID, PARENT]),
            {"parent_guid": "its own ancestor"},
        ),
        ({"parent_guid": GUID}, Neighbours("known", [GUID]), {"parent_guid": "its own ancestor"}),
        # A parent that was not changed is no reason.
        ({"title": "b"}, Neighbours("absent", ["x"]), {}),
    ],
)
def test_the_columns_of_a_change_that_are_refused(
    changes: dict[str, Any], around: Neighbours, reasons: dict[str, str]
) -> None:
    found = refusal(SendUpdate(changes), around, permission=100)
    assert found.whole is None
    assert found.waits is None
    assert found.columns.keys() == reasons.keys()
    assert all(reason in found.columns[column] for column, reason in reasons.items())


def test_a_change_waits_for_its_new_parent() -> None:
    changes = {"parent_guid": PARENT, "title": ""}
    found = refusal(SendUpdate(changes), Neighbours("waiting", [PARENT]))
    assert found.waits == "its new parent is not on hiTask yet"
    assert found.columns.keys() == {"title"}


# Permissions


@pytest.mark.parametrize("column", [c for c, f in fields_of("tasks").items() if f.writable])
def test_each_column_needs_its_level(column: str) -> None:
    level = fields_of("tasks")[column].level
    send = SendUpdate({column: "x"})
    around = UNDER if column == "parent_guid" else ALONE
    assert refusal(send, around, permission=int(level)) == TAKEN
    assert refusal(send, around, permission=None) == TAKEN  # hiTask will know
    below = int(level) - 1
    assert refusal(send, around, permission=below).columns == {
        column: f"changing {column} needs permission {int(level)} on the item, "
        f"this account has {below}"
    }


def test_only_the_columns_that_lack_permission_are_refused() -> None:
    changes = {"title": "b", "completed": True, "starred": True}
    found = refusal(SendUpdate(changes), permission=int(Level.COMPLETE))
    assert found.columns.keys() == {"title"}


@pytest.mark.parametrize(
    ("send", "level", "what"),
    [(SendArchive(), Level.ARCHIVE, "archiving"), (SendDelete(), Level.DELETE, "deleting")],
)
def test_archiving_and_deleting_need_theirs(send: Send, level: Level, what: str) -> None:
    assert refusal(send, permission=int(level)) == TAKEN
    found = refusal(send, permission=int(level) - 1)
    assert found.whole == (
        f"{what} needs permission {int(level)} on the item, this account has {int(level) - 1}"
    )


def test_what_has_children_is_not_deleted() -> None:
    found = refusal(SendDelete(), Neighbours(children=3), permission=100)
    assert found.whole is not None
    assert "it has 3 child items here" in found.whole
    assert "delete them too" in found.whole


# Edits of what only hiTask writes


BASE = task(title="a", version=3)


def update(**cells: tuple[Any, Any]) -> Change:
    return change(
        1, old={c: o for c, (o, _) in cells.items()}, new={c: n for c, (_, n) in cells.items()}
    )


def replace(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """What the triggers see of a REPLACE."""
    return [change(1, "delete", old=old), change(2, "insert", new=new)]


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ([update(title=("a", "b"))], set()),
        ([update(version=(3, 9))], {"version"}),
        ([update(title=("a", "b"), version=(3, 9), unread=(None, 1))], {"version", "unread"}),
        ([update(version=(3, None))], {"version"}),
        # Taken back again
        ([update(version=(3, 9)), update(version=(9, 3))], set()),
        ([update(shared=(False, True)), update(shared=(True, False))], set()),
        # The whole row written as it was, but for what people may write
        (replace({"title": "a", "version": 3}, {"title": "b", "version": 3}), set()),
        (replace({"title": "a", "version": 3}, {"title": "b"}), set()),
        (replace({"title": "a", "version": 3}, {"title": "b", "version": 9}), {"version"}),
        (replace({"title": "a", "shared": True}, {"title": "a", "shared": True}), set()),
        (
            [
                *replace({"version": 3}, {"version": 9}),
                change(3, old={"version": 9}, new={"version": 3}),
            ],
            set(),
        ),
        ([update(version=(3, 9)), *replace({"version": 9}, {"version": 3})], set()),
        ([update(version=(3, 9)), *replace({"version": 9}, {"version": 9})], {"version"}),
        ([change(1, "delete", old={"version": 3})], set()),
    ],
)
def test_edits_of_what_only_hitask_writes_are_refused(
    changes: list[Change], refused: set[str]
) -> None:
    assert refused_edits("tasks", changes, BASE, {}).keys() == refused


EMPTIED = [
    # changes, whether the last word was to empty what hiTask always has
    ([update(priority=(10, None))], True),
    ([update(priority=(10, 0))], False),
    ([update(priority=(10, None)), update(priority=(None, 20))], False),
    ([update(priority=(10, 20)), update(priority=(20, None))], True),
    ([update(priority=(10, None)), update(title=("a", "b"))], True),
    ([update(title=("a", None))], False),
    (replace({"priority": 10}, {"title": "b"}), False),
    ([], False),
]


@pytest.mark.parametrize(("changes", "refused"), EMPTIED)
def test_emptying_what_hitask_always_has_is_refused(changes: list[Change], refused: bool) -> None:
    found = refused_edits("tasks", changes, BASE | {"priority": 10}, {})
    assert found == ({"priority": "priority can't be empty on hiTask"} if refused else {})
    assert refused_edits("tasks", changes, BASE, {}) == {}
    assert refused_edits("tasks", changes, None, {}) == {}


def test_the_refusal_says_what_to_do_instead() -> None:
    edit = change(1, old={"time_spent_minutes": 5}, new={"time_spent_minutes": 6})
    assert refused_edits("tasks", [edit], BASE, {}) == {
        "time_spent_minutes": "time_spent_minutes is read-only: only hiTask sets it; "
        "log time in time_entries"
    }


def test_a_new_rows_read_only_cells_are_overwritten_anyway() -> None:
    insert = change(1, "insert", new={"title": "a", "version": 9})
    assert refused_edits("tasks", [insert], None, {}) == {}


def test_what_a_new_row_says_in_the_end_of_read_only_cells_is_found() -> None:
    insert = change(1, "insert", new={"title": "a", "version": 9, "unread": 2})
    edit = change(2, old={"version": 9}, new={"version": 8, "message": "m"})
    emptied = change(3, old={"unread": 2}, new={"unread": None})
    assert read_only_cells("tasks", [insert, edit, emptied]) == {"version": 8, "unread": None}
    assert read_only_cells("tasks", [insert, *replace({}, {"title": "b"})]) == {}
    own = change(1, "insert", new={"category": 6, "title": "a"})
    assert read_only_cells("other_items", [own]) == {}  # people choose it


def test_the_category_is_chosen_when_a_row_is_made() -> None:
    edit = change(1, old={"category": 6}, new={"category": 7})
    assert refused_edits("other_items", [edit], None, {}) == {}
    assert refused_edits("other_items", [edit], BASE, {}).keys() == {"category"}


def test_what_can_not_be_read_is_refused_in_new_rows_too() -> None:
    unreadable = {"due_date": "due_date = 'tomorrow' can't be read"}
    assert refused_edits("tasks", [], None, unreadable) == unreadable
    assert refused_edits("tasks", [update(version=(3, 9))], BASE, unreadable).keys() == {
        "due_date",
        "version",
    }
