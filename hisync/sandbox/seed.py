"""A believable team's data: any number of items, the same ones for the same seed and clock.

Public: `seeded_model`, `LOGIN`, `PASSWORD`, `API_KEY`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hisync.sandbox import seed_words as words
from hisync.sandbox.model import API_KEY, Model, utc_now
from hisync.sandbox.records import Item, Permissions
from hisync.sandbox.wire import to_ms

LOGIN = words.PEOPLE[0][0]
PASSWORD = "sandbox"  # noqa: S105 - the stand-in's well-known account

# Ids of older items fit in 32 bits, those of newer ones do not.
LARGE_ID = 2**32 + 1_000_003
DAY = 86_400_000
MINUTE = 60_000
QUARTER = 900_000
PAST = 90 * DAY

__all__ = ["API_KEY", "LOGIN", "PASSWORD", "seeded_model"]


def seeded_model(items: int = 200, seed: int = 1, clock: Callable[[], datetime] = utc_now) -> Model:
    """Make a team with so many items, as if they had been written over the last months."""
    rng = random.Random(seed)  # noqa: S311 - data, not secrets
    model = Model(clock, rng)
    _add_people(model)
    _Seeder(model, rng, items).run()
    return model


def _add_people(model: Model) -> None:
    users = [
        model.team.add_user(
            login, PASSWORD, first, last, time_zone=zone, business_level=0 if index else 100
        )
        for index, (login, first, last, zone) in enumerate(words.PEOPLE)
    ]
    for name, code, members in words.GROUPS:
        model.team.add_group(name, code, [users[each].id for each in members])
    model.register_tags(list(words.TAGS))


@dataclass(slots=True)
class _Seeder:
    """Writes items straight into the store; checks are for requests."""

    model: Model
    rng: random.Random
    count: int
    now: int = 0
    user_ids: list[int] = field(default_factory=list)
    projects: list[Item] = field(default_factory=list)
    parents: list[Item] = field(default_factory=list)
    open_to_all: dict[int, Permissions] = field(default_factory=dict)
    midnights: dict[int, int] = field(default_factory=dict)

    def run(self) -> None:
        """Add all items, then some comments."""
        team = self.model.team
        self.now = to_ms(self.model.clock()) // QUARTER * QUARTER
        self.user_ids = list(team.users)
        self.open_to_all = {
            each: ((team.everyone.id, 100), (str(each), 100)) for each in self.user_ids
        }
        start = to_ms(self.model.clock()) - PAST
        for index in range(self.count):
            self._add(index, start + (index + 1) * PAST // (self.count + 1))
        if self.count:
            last = self.model.next_id - 1
            self.model.latest = self.model.store.live[last].modified
            self._add_comments()

    def _add(self, index: int, stamp: int) -> None:
        if index == max(1, self.count // 3):
            self.model.next_id = max(self.model.next_id, LARGE_ID)
        owner = self.rng.choice(self.user_ids)
        make = self._pick(index)
        values: dict[str, object] = {}
        item = Item(
            id=self.model.next_id,
            guid=self.model.team.new_guid(),
            user_id=owner,
            parent=0,
            created=stamp - self.rng.randrange(DAY),
            modified=stamp,
            version=1 + self.rng.randrange(6),
            permissions=self.open_to_all[owner],
            values=values,
        )
        make(item, values)
        self.model.next_id += 1
        self.model.store.add(item)

    def _pick(self, index: int) -> Callable[[Item, dict[str, object]], None]:
        """Choose the kind: a project now and then, mostly tasks, some of everything else."""
        if index % 40 == 0 and len(self.projects) < max(len(words.PROJECTS), self.count // 400):
            return self._project
        if index == 1:
            return self._task
        return self.rng.choices(
            (self._task, self._event, self._note, self._file, self._contact),
            (76, 12, 5, 5, 2),
        )[0]

    def _project(self, item: Item, values: dict[str, object]) -> None:
        index = len(self.projects)
        title, short_name = words.PROJECTS[index % len(words.PROJECTS)]
        again = index // len(words.PROJECTS)
        values["title"] = f"{title} {again + 1}" if again else title
        values["category"] = 0
        values["priority"] = 20_000 + 10 * index
        if short_name:
            values["short_name"] = short_name if not again else f"P{index}"
        values["color_value"] = self.rng.choice(("#CB77DF", "#2AAEF5", "#E8A33D", "#57B560"))
        self.projects.append(item)

    def _task(self, item: Item, values: dict[str, object]) -> None:
        rng = self.rng
        values["title"] = self._title()
        values["category"] = 1
        values["priority"] = rng.choice((10_000, 20_000, 20_000, 20_000, 30_000)) + rng.randrange(
            900
        )
        self._place(item)
        if rng.random() < 0.25:
            values["completed"] = True
        if rng.random() < 0.4:
            values["message"] = rng.choice(words.MESSAGES)
        if rng.random() < 0.5:
            values["assignee"] = rng.choice(self.user_ids)
        if rng.random() < 0.45:
            self._due(values)
        if rng.random() < 0.3:
            self._extras(values)
        if rng.random() < 0.15:
            item.permissions = self._narrow(item.user_id)
        elif rng.random() < 0.1:
            self.parents.append(item)

    def _event(self, item: Item, values: dict[str, object]) -> None:
        self._place(item)
        values["title"] = self.rng.choice(words.EVENTS)
        values["category"] = 2
        self._span(values, all_day=self.rng.random() < 0.3)
        values["participants"] = sorted(self.rng.sample(self.user_ids, 2))
        if self.rng.random() < 0.25:
            values["recurring"] = self.rng.randint(1, 4)
            values["recurring_interval"] = self.rng.randint(1, 3)
            values["recurring_end_date"] = self.now + 400 * DAY

    def _note(self, item: Item, values: dict[str, object]) -> None:
        self._place(item)
        values["title"] = self.rng.choice(words.NOTES)
        values["category"] = 4
        values["message"] = self.rng.choice(words.MESSAGES)

    def _file(self, item: Item, values: dict[str, object]) -> None:
        self._place(item)
        values["title"] = self.rng.choice(words.FILES)
        values["category"] = 5
        values["file_size"] = self.rng.randrange(1_000, 2**33)

    def _contact(self, _: Item, values: dict[str, object]) -> None:
        first, last = self.rng.choice(words.CONTACTS)
        values["title"] = f"{first} {last}"
        values["category"] = 7
        values["contact"] = f'["vcard",[["fn",{{}},"text","{first} {last}"]]]'

    def _title(self) -> str:
        rng = self.rng
        if rng.random() < 0.03:
            return rng.choice(words.RARE_TITLES)
        verbs, things = rng.choice(words.TASKS)
        return f"{rng.choice(verbs)} {rng.choice(things)}{rng.choice(words.ENDINGS)}"

    def _place(self, item: Item) -> None:
        """Put an item under a project or a task, or nowhere, and share it alike."""
        chance = self.rng.random()
        parent = None
        if chance < 0.2 and self.parents:
            parent = self.rng.choice(self.parents[-50:])
        elif chance < 0.75 and self.projects:
            parent = self.rng.choice(self.projects)
        item.parent = parent.id if parent else 0

    def _due(self, values: dict[str, object]) -> None:
        if self.rng.random() < 0.5:
            self._span(values, all_day=True)
        else:
            due = self.now + QUARTER * self.rng.randrange(-1_500, 4_000)
            values["due_date"] = values["end_date"] = due

    def _span(self, values: dict[str, object], *, all_day: bool) -> None:
        """Give an item a time from start to end, or whole days."""
        rng = self.rng
        start = self.now + QUARTER * rng.randrange(-2_000, 6_000)
        length = QUARTER * rng.randint(1, 12)
        if all_day:
            start = self._midnight(start // DAY)
            length = DAY * rng.randint(1, 3) - MINUTE
        values["is_all_day"] = all_day
        values["start_date"] = start
        values["end_date"] = values["due_date"] = start + length

    def _midnight(self, day: int) -> int:
        """Return the first instant of a day in the account's time zone."""
        known = self.midnights.get(day)
        if known is None:
            date = datetime.fromtimestamp(day * DAY // 1000, UTC)
            known = to_ms(date.replace(tzinfo=self.model.team.zone(self.model.users[0])))
            self.midnights[day] = known
        return known

    def _extras(self, values: dict[str, object]) -> None:
        rng = self.rng
        values["tags"] = rng.sample(words.TAGS, rng.randint(1, 3))
        values["color"] = rng.randrange(8)
        if rng.random() < 0.5:
            values["time_track"] = True
            values["time_est"] = rng.choice((30, 60, 90, 180, 480, 960))
            values["time_spent"] = rng.choice((0, 15, 45, 120, 305))
        if rng.random() < 0.3:
            values["starred"] = True
        if rng.random() < 0.3:
            values["participants"] = sorted(rng.sample(self.user_ids, 2))

    def _narrow(self, owner: int) -> Permissions:
        """Let everyone see or work on an item without owning it."""
        level = self.rng.choice((10, 20, 30, 50, 60, 80))
        everyone = self.model.team.everyone.id
        return ((everyone, level), (str(owner), 100))

    def _add_comments(self) -> None:
        """Comment on some of the last items, stamped as if it had just happened."""
        ids = list(self.model.store.live)[-400:]
        for item_id in ids[:: max(1, len(ids) // 40)]:
            user = self.model.user(self.rng.choice(self.user_ids))
            item = self.model.item(item_id)
            if self.model.team.level(item, user) >= 20:
                self.model.comment(item_id, user=user, message=self.rng.choice(words.COMMENTS))
