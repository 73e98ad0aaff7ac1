"""Who acts in the random runs: people with SQL clients here, colleagues on hiTask there.

Both choose by the run's own randomness, write marked values, and tell `Marks` what they write
over. Public: `People`, `Colleagues`.
"""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import orjson

from hisync.sandbox import ApiError, Item
from tests.edges.oracle import TABLES
from tests.proof.homes import REFUSED
from tests.proof.marks import Marks
from tests.proof.sim import Sim

CATEGORIES: Final = {"projects": 0, "tasks": 1, "events": 2, "notes": 4, "other_items": 6}
ON_OFF: Final = (False, True)
FLAGS: Final = {"completed": ON_OFF, "starred": ON_OFF, "color": (1, 2, 3, 4), "is_all_day": ON_OFF}
DAYS: Final = ("2026-04-01", "2026-05-02 10:30", "2026-06-03T08:00:00Z")


Row: TypeAlias = Mapping[str, Any]
"""A row of the mirror, whatever form the driver has for it."""


class Actor:
    """Someone who does one thing after another."""

    side: str

    def __init__(self, sim: Sim, rng: random.Random, marks: Marks) -> None:
        self.sim = sim
        self.rng = rng
        self.marks = marks

    def act(self) -> None:
        """Do something."""
        kinds, weights = zip(*self.habits(), strict=True)
        (what,) = self.rng.choices(kinds, weights)
        self.sim.note(f"  {type(self).__name__}: {what() or what.__name__}")

    def habits(self) -> list[tuple[Callable[[], str | None], int]]:
        """What they do, and how often."""
        raise NotImplementedError

    def text(self, what: str) -> str:
        return self.marks.text(self.side, what)

    def number(self, what: str) -> int:
        return self.marks.number(self.side, what)


class People(Actor):
    """People who edit the mirror by SQL.

    Attributes:
        deleted: guids of rows that they deleted or archived.
        taken_out: guids of new rows that they gave up before hiTask had them.
        put_again: how often they put in a row that had left, by guid.
        entries: minutes by the guid of each time entry that they wrote and left.
    """

    side = "L"

    def __init__(self, sim: Sim, rng: random.Random, marks: Marks) -> None:
        super().__init__(sim, rng, marks)
        self.deleted: set[str] = set()
        self.taken_out: set[str] = set()
        self.put_again: Counter[str] = Counter()
        self.entries: dict[str, tuple[str, int]] = {}

    def habits(self) -> list[tuple[Callable[[], str | None], int]]:
        return [
            (self.insert, 4),
            (self.edit, 8),
            (self.edit_twice, 2),
            (self.flag, 3),
            (self.tag, 4),
            (self.invite, 2),
            (self.move, 2),
            (self.delete, 2),
            (self.archive, 1),
            (self.replace, 1),
            (self.comment, 3),
            (self.uncomment, 1),
            (self.spend, 3),
            (self.correct_time, 1),
        ]

    def run(self, statement: str, *values: Any) -> bool:
        """Run a statement; false if the database refuses it by a rule of its own."""
        try:
            self.sim.person.execute(statement, values)
        except REFUSED:
            return False
        return True

    def rows(self, table: str | None = None) -> list[tuple[str, Row]]:
        found: list[tuple[str, Row]] = []
        for each in [table] if table else TABLES:
            found += [(each, row) for row in self.sim.sql(f"SELECT * FROM {each} ORDER BY guid")]
        return found

    def pick(self) -> tuple[str, Row] | None:
        rows = self.rows()
        return self.rng.choice(rows) if rows else None

    def insert(self) -> str | None:
        table = self.rng.choice(list(CATEGORIES))
        guid = str(_uuid(self.rng))
        cells: dict[str, Any] = {"guid": guid, "title": self.text("title of a new row")}
        if self.rng.random() < 0.3:
            cells["message"] = self.text("message of a new row")
        if self.rng.random() < 0.2:
            cells["tags"] = orjson.dumps([self.text("tag of a new row")]).decode()
        if self.rng.random() < 0.4 and (above := self.pick()):
            cells["parent_guid"] = above[1]["guid"]
        if table == "other_items":
            cells["category"] = 6
        marks = ", ".join("?" * len(cells))
        self.run(f"INSERT INTO {table} ({', '.join(cells)}) VALUES ({marks})", *cells.values())
        return f"insert {table} {cells}"

    def edit(self) -> str | None:
        picked = self.pick()
        if picked is None:
            return None
        table, row = picked
        column = self.rng.choice(["title", "title", "message", "priority", "time_est_minutes"])
        what = f"{table}.{column} of {row['guid']}"
        textual = column in ("title", "message")
        value = self.text(what) if textual else self.number(what)
        self.marks.supersede(row[column])
        self.run(f"UPDATE {table} SET {column} = ? WHERE guid = ?", value, row["guid"])
        return f"edit {what} = {value}"

    def edit_twice(self) -> str | None:
        """An edit that is taken back at once, or followed by another one."""
        picked = self.pick()
        if picked is None:
            return None
        table, row = picked
        between = self.text(f"{table}.message of {row['guid']}, for a moment")
        query = f"UPDATE {table} SET message = ? WHERE guid = ?"
        self.run(query, between, row["guid"])
        self.run(query, row["message"], row["guid"])
        self.marks.supersede(between)
        return f"edit and revert {table} {row['guid']} {between}"

    def flag(self) -> str | None:
        picked = self.pick()
        if picked is None:
            return None
        table, row = picked
        column = self.rng.choice([*FLAGS, "due_date", "assignee_id"])
        people = [None, *self.sim.service.model.team.users]
        choices = {"due_date": DAYS, "assignee_id": people}.get(column) or FLAGS[column]
        value = self.rng.choice(choices)
        self.run(f"UPDATE {table} SET {column} = ? WHERE guid = ?", value, row["guid"])
        return f"flag {table} {row['guid']} {column} = {value}"

    def tag(self) -> str | None:
        picked = self.pick()
        if picked is None:
            return None
        table, row = picked
        tags = orjson.loads(row["tags"] or "[]")
        if tags and self.rng.random() < 0.4:
            gone = tags.pop(self.rng.randrange(len(tags)))
            self.marks.supersede(gone)
        else:
            tags.append(self.text(f"tag of {row['guid']}"))
        query = f"UPDATE {table} SET tags = ? WHERE guid = ?"
        self.run(query, orjson.dumps(tags).decode(), row["guid"])
        return f"tag {table} {row['guid']} {tags}"

    def invite(self) -> str | None:
        picked = self.pick()
        if picked is None:
            return None
        table, row = picked
        team = list(self.sim.service.model.team.users)
        some = sorted(self.rng.sample(team, self.rng.randrange(len(team))))
        query = f"UPDATE {table} SET participants = ? WHERE guid = ?"
        self.run(query, orjson.dumps(some).decode(), row["guid"])
        return f"invite {table} {row['guid']} {some}"

    def move(self) -> str | None:
        picked, above = self.pick(), self.pick()
        if picked is None or above is None:
            return None
        table, row = picked
        parent = above[1]["guid"] if self.rng.random() < 0.8 else None
        self.run(f"UPDATE {table} SET parent_guid = ? WHERE guid = ?", parent, row["guid"])
        return f"move {table} {row['guid']} under {parent}"

    def delete(self) -> str | None:
        picked = self.pick()
        if picked is None:
            return None
        _, row = picked
        doomed = [picked]
        if self.rng.random() < 0.6:
            doomed += [each for each in self.rows() if each[1]["parent_guid"] == row["guid"]]
        for where, each in doomed:
            self.leave(each)
            self.run(f"DELETE FROM {where} WHERE guid = ?", each["guid"])
        return f"delete {[each['guid'] for _, each in doomed]}"

    def archive(self) -> str | None:
        picked = self.pick()
        if picked is None:
            return None
        table, row = picked
        self.leave(row)
        self.run(f"UPDATE {table} SET archived = true WHERE guid = ?", row["guid"])
        return f"archive {table} {row['guid']}"

    def replace(self) -> str | None:
        picked = self.pick()
        if picked is None:
            return None
        table, row = picked
        if table in ("files", "other_items"):
            return None
        title = self.text(f"title of the replaced row {row['guid']}")
        # The cells that it leaves out are emptied, by somebody who sees them.
        self.marks.supersede([row[c] for c in row if c != "guid"])
        insert = f"INTO {table} (guid, title) VALUES (?, ?)"
        if self.sim.backend == "sqlite":
            self.run(f"REPLACE {insert}", row["guid"], title)
        else:
            self.run("BEGIN")
            self.run(f"DELETE FROM {table} WHERE guid = ?", row["guid"])
            self.run(f"INSERT {insert}", row["guid"], title)
            self.run("COMMIT")
        return f"replace {table} {row['guid']} {title}"

    def comment(self) -> str | None:
        picked = self.pick()
        if picked is None:
            return None
        _, row = picked
        text, guid = self.text(f"comment on {row['guid']}"), str(_uuid(self.rng))
        query = "INSERT INTO comments (guid, item_guid, message) VALUES (?, ?, ?)"
        self.run(query, guid, row["guid"], text)
        return f"comment {row['guid']} {text}"

    def uncomment(self) -> str | None:
        rows = self.sim.sql("SELECT * FROM comments ORDER BY guid")
        if not rows:
            return None
        row = self.rng.choice(rows)
        self.marks.supersede(row["message"])
        self.deleted.add(row["guid"])
        self.run("DELETE FROM comments WHERE guid = ?", row["guid"])
        return f"delete comment {row['guid']}"

    def spend(self) -> str | None:
        picked = self.pick()
        if picked is None:
            return None
        _, row = picked
        guid, minutes = str(_uuid(self.rng)), self.rng.randrange(1, 500)
        query = "INSERT INTO time_entries (guid, item_guid, minutes) VALUES (?, ?, ?)"
        if self.run(query, guid, row["guid"], minutes):
            self.entries[guid] = (row["guid"], minutes)
        return f"spend {minutes} on {row['guid']}"

    def correct_time(self) -> str | None:
        if not self.entries:
            return None
        guid = self.rng.choice(sorted(self.entries))
        if not self.sim.sql("SELECT 1 FROM time_entries WHERE guid = ?", guid):
            return None
        item, minutes = self.entries[guid]
        if self.rng.random() < 0.5:
            del self.entries[guid]
            self.run("DELETE FROM time_entries WHERE guid = ?", guid)
            return f"take back {minutes} from {item}"
        self.entries[guid] = (item, minutes + 1)
        self.run("UPDATE time_entries SET minutes = ? WHERE guid = ?", minutes + 1, guid)
        return f"correct {minutes} to {minutes + 1} on {item}"

    def leave(self, row: Row) -> None:
        """Somebody who sees a row wants it gone, with its comments."""
        self.deleted.add(row["guid"])
        self.marks.supersede([row[column] for column in row if column != "guid"])
        query = "SELECT guid, message FROM comments WHERE item_guid = ?"
        for comment in self.sim.sql(query, row["guid"]):
            self.marks.supersede(comment["message"])
            self.deleted.add(comment["guid"])


class Colleagues(Actor):
    """Colleagues, and the account itself elsewhere, who change hiTask.

    Attributes:
        gone: ids of items that they deleted, archived or hid.
        uncommented: ids of comments that they deleted.
        minutes: what they added to totals, by the item's id.
        shown: how often they shared an item again, by its guid.
    """

    side = "R"

    def __init__(self, sim: Sim, rng: random.Random, marks: Marks) -> None:
        super().__init__(sim, rng, marks)
        self.gone: set[int] = set()
        self.uncommented: set[int] = set()
        self.minutes: dict[int, int] = {}
        self.shown: Counter[str] = Counter()

    def habits(self) -> list[tuple[Callable[[], str | None], int]]:
        return [
            (self.create, 3),
            (self.edit, 8),
            (self.flag, 3),
            (self.tag, 4),
            (self.invite, 1),
            (self.move, 1),
            (self.delete, 2),
            (self.archive, 1),
            (self.convert, 1),
            (self.hide, 1),
            (self.show, 1),
            (self.comment, 3),
            (self.uncomment, 1),
            (self.spend, 2),
        ]

    @property
    def model(self) -> Any:
        return self.sim.service.model

    @property
    def someone(self) -> Any:
        return self.rng.choice(self.model.users[:2])

    def items(self) -> list[Item]:
        return list(self.model.store.live.values())

    def pick(self) -> Item | None:
        items = self.items()
        return self.rng.choice(items) if items else None

    def change(self, item: Item, **values: Any) -> bool:
        """Change an item; false if the service refuses it."""
        owner = self.model.team.users[item.user_id]
        try:
            self.model.update(item.id, user=owner, **values)
        except ApiError:
            return False
        return True

    def create(self) -> str | None:
        values: dict[str, Any] = {"title": self.text("title of a new item")}
        values["category"] = self.rng.choice(list(CATEGORIES.values()))
        if self.rng.random() < 0.3:
            values["message"] = self.text("message of a new item")
        if self.rng.random() < 0.4 and (above := self.pick()):
            values["parent"] = above.id
        try:
            item = self.model.create(user=self.someone, **values)
        except ApiError:
            for mark in (values["title"], values.get("message")):
                self.marks.forget(mark)
            return None
        return f"create {item.id} {values}"

    def edit(self) -> str | None:
        item = self.pick()
        if item is None:
            return None
        name = self.rng.choice(["title", "title", "message", "priority", "time_est"])
        what = f"{name} of {item.id}"
        value = self.text(what) if name in ("title", "message") else self.number(what)
        before = item.get(name)
        if self.change(item, **{name: value}):
            self.marks.supersede(before)
        else:
            self.marks.forget(value)
        return f"edit {what} = {value}"

    def flag(self) -> str | None:
        item = self.pick()
        if item is None:
            return None
        name = self.rng.choice(["completed", "starred", "color"])
        value = self.rng.randrange(1, 5) if name == "color" else self.rng.random() < 0.5
        self.change(item, **{name: value})
        return f"flag {item.id} {name} = {value}"

    def tag(self) -> str | None:
        item = self.pick()
        if item is None:
            return None
        known: Any = item.get("tags")
        tags = list(known or [])
        if tags and self.rng.random() < 0.4:
            gone = tags.pop(self.rng.randrange(len(tags)))
            if self.change(item, tags=tags):
                self.marks.supersede(gone)
        else:
            mark = self.text(f"tag of {item.id}")
            if not self.change(item, tags=[*tags, mark]):
                self.marks.forget(mark)
        return f"tag {item.id} {item.get('tags')}"

    def invite(self) -> str | None:
        item = self.pick()
        if item is None:
            return None
        team = list(self.model.team.users)
        some = sorted(self.rng.sample(team, self.rng.randrange(len(team))))
        self.change(item, participants=some)
        return f"invite {item.id} {some}"

    def move(self) -> str | None:
        item, above = self.pick(), self.pick()
        if item is None or above is None:
            return None
        self.change(item, parent=above.id if self.rng.random() < 0.8 else 0)
        return f"move {item.id} under {item.parent}"

    def _leave(self, item: Item) -> None:
        self.gone.add(item.id)
        self.marks.supersede(self.model.wire(item, self.model.users[0]))
        for unit in self.model.comments(item.id):
            self.marks.supersede(unit.value)
        # What was written over there before hisync read it, only the history had, which goes too.
        self.marks.withdraw(f" of {item.id}")

    def delete(self) -> str | None:
        item = self.pick()
        if item is None:
            return None
        self._leave(item)
        self.model.delete(item.id, user=self.model.team.users[item.user_id])
        return f"delete {item.id}"

    def archive(self) -> str | None:
        item = self.pick()
        if item is None:
            return None
        self._leave(item)
        self.model.archive(item.id, user=self.model.team.users[item.user_id])
        return f"archive {item.id}"

    def convert(self) -> str | None:
        item = self.pick()
        if item is None or item.category == 5:
            return None
        item.values["category"] = self.rng.choice([1, 2, 4])
        self.model._touch(item)
        return f"convert {item.id} to {item.category}"

    def hide(self) -> str | None:
        """Stop sharing an item with the account; it has to be somebody else's."""
        item = self.pick()
        if item is None or item.user_id == self.model.users[0].id:
            return None
        self._leave(item)
        self.change(item, permissions=[])
        return f"hide {item.id}"

    def show(self) -> str | None:
        item = self.pick()
        if item is None:
            return None
        everyone = {"principal": self.model.team.everyone.id, "level": 100}
        self.change(item, permissions=[everyone])
        self.shown[item.guid] += 1
        return f"show {item.id}"

    def comment(self) -> str | None:
        item = self.pick()
        if item is None:
            return None
        text = self.text(f"comment on {item.id}")
        owner = self.model.team.users[item.user_id]
        self.model.comment(item.id, user=owner, message=text)
        return f"comment {item.id} {text}"

    def uncomment(self) -> str | None:
        item = self.pick()
        units = self.model.comments(item.id) if item else []
        if not units:
            return None
        unit = self.rng.choice(units)
        number, text = unit.id, unit.value
        try:
            self.model.delete_comment(number, user=self.model.team.users[unit.user_id])
        except ApiError:
            return None  # they don't see that item any more
        self.marks.supersede(text)
        self.uncommented.add(number)
        return f"delete comment {number}"

    def spend(self) -> str | None:
        item = self.pick()
        if item is None:
            return None
        minutes = self.rng.randrange(1, 500)
        total: Any = item.get("time_spent")
        if self.change(item, time_spent=(total or 0) + minutes):
            self.minutes[item.id] = self.minutes.get(item.id, 0) + minutes
        return f"spend {minutes} on {item.id}"


def _uuid(rng: random.Random) -> uuid.UUID:
    return uuid.UUID(int=rng.getrandbits(128), version=4)
