"""What each table and column means, for people who meet them in a SQL client or a BI tool.

PostgreSQL gets these texts as its comments; `docs/schema.md` says the same, held to it by a test.
Instants are in UTC, which is added to the text of each. Public: `table_meaning`, `column_meaning`,
`VIEW_COLUMNS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_TABLES: Final[Mapping[str, str]] = {
    "projects": "Projects of hiTask.",
    "tasks": "Tasks of hiTask.",
    "events": "Events of hiTask.",
    "notes": "Notes of hiTask.",
    "files": "Files of hiTask; they come from there only.",
    "other_items": "Items of every other kind, such as contacts.",
    "comments": "What was said on items; INSERT to say something, DELETE to take it back.",
    "time_entries": (
        "A ledger of time: the minutes of an item's entries add up to its time_spent_minutes."
    ),
    "users": "The people of the team; read-only.",
    "groups": "The groups of the team; read-only.",
    "tags": "The tags that the account knows; read-only.",
    "change_log": "Every edit made here, by any client, and what became of it.",
    "conflicts": "What both sides changed at once, with all three values.",
    "removed_rows": "The last state of every row that left its table.",
    "sync_state": "hisync's memory: what it has to know between cycles, one value a key.",
    "sync_base": "hisync's memory: what both sides last agreed on.",
    "sync_intents": "hisync's memory: requests whose outcome is not known yet.",
    "sync_comments": "hisync's memory: which discussions were read, and how far.",
    "sync_requests": "hisync's memory: requests booked lately.",
    "sync_usage": "hisync's memory: what the requests of the last hour were for.",
}

_ITEMS: Final[Mapping[str, str]] = {
    "guid": "The key. Filled in when left out. Never changes.",
    "id": "hiTask's number; null until the item is created there. Never changes.",
    "title": "Up to 255 characters.",
    "message": "The description.",
    "parent_guid": "The item that it stands under; null for none.",
    "completed": "Whether it is done.",
    "color": "0 to 7; null or 0 for none.",
    "color_value": "A project's colour, such as #5e93c3.",
    "assignee_id": "Whose it is, an id of users; null for nobody.",
    "participants": "Who takes part: a list of ids of users.",
    "tags": "A list of names.",
    "start_date": "When it starts; a day if it is all-day.",
    "end_date": "When it ends; a day if it is all-day.",
    "due_date": "When it is due; a day if it is all-day.",
    "is_all_day": "Whether its dates are days.",
    "recurring": "0 not, 1 daily, 2 weekly, 3 monthly, 4 yearly.",
    "recurring_interval": "Every how many days, weeks, months or years.",
    "recurring_end_date": "Until when it recurs.",
    "alerts": "Reminders, as hiTask has them.",
    "priority": "10000-19999 low, 20000-29999 normal, from 30000 high; also the order.",
    "starred": "Whether it has a star.",
    "time_track": "Whether time is tracked for it.",
    "time_est_minutes": "The estimate, in minutes.",
    "time_spent_minutes": (
        "The sum of its time entries, in minutes, those not yet sent included. Log time in "
        "time_entries."
    ),
    "location": "longitude, latitude, address.",
    "permissions": "Who may do what: a list of principal (a user, a group or all) and level.",
    "archived": "Set it to archive the item; the row then leaves.",
    "issue_id": "Such as WEB-17, in projects with a short name.",
    "owner_id": "Who made it, an id of users.",
    "permission": (
        "What the account may do: 10 view, 20 comment, 30 add below, 40 assign, 50 complete and "
        "log time, 60 modify, 70 share, 80 archive, 100 delete."
    ),
    "shared": "Whether others see it.",
    "unread": "How much of it the account has not read.",
    "version": "Counts its changes on hiTask.",
    "time_create": "When it was made.",
    "time_last_update": "When it last changed on hiTask.",
    "last_comment_id": "The id of its newest comment; null if it has none.",
    "extra": "Every field of hiTask's that has a value and no column.",
}
"""What all item tables have."""

_COLUMNS: Final[Mapping[str, Mapping[str, str]]] = {
    "projects": {
        "short_name": "Up to 8 Latin letters and digits, which issue_ids begin with.",
    },
    "files": {
        "file_size": "In bytes.",
    },
    "other_items": {
        "category": "hiTask's kind: 6 client, 7 contact, or one that hisync does not know.",
    },
    "comments": {
        "guid": "The key; of a comment from hiTask made of its id, so the same on every mirror.",
        "id": "hiTask's number; null until it is posted.",
        "item_guid": "The item that it is on.",
        "user_id": "Who said it, an id of users.",
        "message": "What was said, up to 10,000 characters.",
        "time_create": "When it was said.",
    },
    "time_entries": {
        "guid": "The key. Filled in when left out.",
        "item_guid": "The item that the time was spent on.",
        "user_id": (
            "Who spent it, an id of users: the account when left out, null where it can't be known."
        ),
        "minutes": "How long, in minutes; less than 0 where a total fell.",
        "spent_on": (
            "On which day: today when left out, the day of the item's change where it was observed."
        ),
        "note": "On what.",
        "source": "local written here, observed seen on hiTask.",
        "time_create": "When it was written, or seen to have changed.",
    },
    "users": {
        "id": (
            "hiTask's number: what assignee_id, owner_id, user_id, participants and members name."
        ),
        "login": "What they log in with.",
        "first_name": "Their first name.",
        "last_name": "Their last name.",
        "full_name": "What to show; their login where they have given no name.",
        "email": "Their address.",
        "account_type": "hiTask's word, such as TEAM_BUSINESS.",
        "business_level": "Their rank in the team account, as hiTask has it.",
        "is_self": "Whether this is the account that hisync logs in with.",
    },
    "groups": {
        "id": "hiTask's key, which permissions name.",
        "name": "What it is called.",
        "code": "A short name.",
        "color": "0 to 7.",
        "type": "1 is everyone in the team.",
        "members": "A list of ids of users.",
    },
    "tags": {
        "id": "hiTask's number.",
        "name": "The word itself.",
        "shared": "Whether others have it too.",
    },
    "change_log": {
        "seq": "Counts up; never used twice.",
        "table_name": "Where.",
        "row_guid": "Which row.",
        "op": "insert, update or delete.",
        "old_values": "What the changed columns had; of a deleted row, all that said anything.",
        "new_values": "What they have.",
        "changed_at": "When it was written.",
        "state": (
            "pending, blocked (waits for its parent), held (by a guard), sending, unknown (its "
            "answer was lost); in the end done, merged (into a later one, or cancelled out), "
            "rejected or discarded."
        ),
        "attempts": "How often it was sent.",
        "error": "Why it was rejected, what it waits for, or what hiTask took otherwise.",
        "finished_at": "Null while it is not at its end.",
    },
    "conflicts": {
        "id": "Counts up.",
        "table_name": "Where.",
        "row_guid": "Which row.",
        "field": "The column; null for the row as a whole.",
        "base_value": "What both sides had before.",
        "local_value": "What was written here.",
        "remote_value": "What was written on hiTask.",
        "resolution": "remote, local or merged.",
        "policy": "What decided it.",
        "detected_at": "When it was seen.",
        "resolved_at": "When it was settled; null while it is open.",
    },
    "removed_rows": {
        "seq": "Counts up.",
        "table_name": "Where it was.",
        "row_guid": "Its key there.",
        "id": "hiTask's number; null if it never had one.",
        "last_values": "Its columns that said anything.",
        "removed_at": "When it left.",
        "reason": "Such as gone from hiTask, deleted here, archived here.",
    },
    "sync_state": {
        "key": "What it is about.",
        "value": (
            "What is known; of zone_offset, the minutes that the account's clocks are ahead of UTC "
            "today."
        ),
    },
    "sync_base": {
        "guid": "The row.",
        "table_name": "Its table.",
        "id": "hiTask's number.",
        "remote_guid": "The guid that hiTask has for it, where that is another.",
        "version": "The version of hiTask's that the row has.",
        "dirty": "What both sides had before, of each column that was edited here since.",
        "missed": "How many complete answers in a row lacked it.",
    },
    "sync_intents": {
        "guid": "The row.",
        "table_name": "Its table.",
        "op": "What was asked: create, update, archive or delete.",
        "sent": "The values that went out.",
        "last_seq": "The newest seq of change_log that they include.",
        "attempt": "How often it was sent.",
        "started_at": "When it was sent.",
    },
    "sync_comments": {
        "item_guid": "The item.",
        "seen_comment_id": "Its last_comment_id when its history was read.",
        "read_at": "When that was, in seconds since 1970.",
        "complete": "Whether the history reached back to the item's creation.",
    },
    "sync_requests": {
        "id": "Counts up.",
        "granted_at": "When it was booked, in seconds since 1970.",
        "requests": "How many requests.",
        "lease_ends": "Until when they may be made, in seconds since 1970.",
    },
    "sync_usage": {
        "minute": "Which minute, counted since 1970.",
        "cause": "What the requests were for.",
        "outcome": "What became of them.",
        "requests": "How many requests.",
    },
}

VIEW_COLUMNS: Final[Mapping[str, Mapping[str, str]]] = {
    "items": {**_ITEMS, "kind": "project, task, event, note, file or other."},
    "task_overview": {
        "guid": "The task's.",
        "id": "The task's number on hiTask.",
        "title": "Its title.",
        "completed": "Whether it is done.",
        "parent_title": "The title of the item that it stands under.",
        "project_guid": "The nearest project above it; null for none.",
        "project_title": "That project's title.",
        "assignee_id": "Whose it is, an id of users; null for nobody.",
        "assignee_name": "From users.",
        "due_date": "When it is due, as in tasks; in UTC.",
        "is_overdue": (
            "Open and due before now; of an all-day task, before today in the account's time zone."
        ),
        "time_est_minutes": "In minutes.",
        "time_spent_minutes": "In minutes.",
        "progress": (
            "Percent of its child tasks that are completed, rounded down; without any, 100 or 0."
        ),
    },
    "time_by_day": {
        "day": "In the account's time zone.",
        "user_id": "Null where it is not known who it was.",
        "user_name": "From users.",
        "item_guid": "The item that the time was spent on.",
        "item_title": "Of an item that has left, its last one.",
        "project_guid": "The nearest project above; null for none.",
        "project_title": "That project's title.",
        "minutes": "How long, in minutes.",
    },
    "project_progress": {
        "guid": "The project's.",
        "title": "Its title.",
        "tasks": "How many tasks are below it.",
        "completed": "How many of them are completed.",
        "percent": "That share, rounded down; null without tasks.",
        "time_est_minutes": "The sum of their estimates, in minutes.",
        "time_spent_minutes": "The sum of their times, in minutes.",
    },
}


def table_meaning(table: str) -> str | None:
    """What a table is for; None if it is nobody's to read."""
    return _TABLES.get(table)


def column_meaning(table: str, column: str, *, is_items: bool) -> str | None:
    """What a column means, with its unit.

    Args:
        table: its table.
        column: its name.
        is_items: whether the table is one of items, which share most columns.
    """
    own = _COLUMNS.get(table, {}).get(column)
    return own or (_ITEMS.get(column) if is_items else None)
