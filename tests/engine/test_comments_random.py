"""People talk on both sides while an adversary is at work; then it heals, and both sides agree."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from hisync.errors import ServiceError
from hisync.sandbox import LOGIN
from tests.engine.conftest import MakeWorld
from tests.engine.kill import KilledError, Steps
from tests.engine.talk import ITEM, agree, here, make_item, number_of, there, they_delete, they_say
from tests.world import World

COMMENTS = True
pytestmark = pytest.mark.slow

POSTS = ["drop_before", "drop_after", "drop_midway", "cut", "status=500", "apply_late=1", "empty"]
READS = ["drop_before", "cut", "html=200", "status=500", "empty_list"]
TRAITS = [
    [],
    ["free_history"],
    ["history_wrapped", "deleted_comments=untraced"],
    ["delta=false", "deleted_comments=named"],
    ["trims_comments", "stubs=false"],
]


class Talk:
    """One seeded conversation; every text is said once, but for the repeated "done"."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.rng = random.Random(seed)
        self.count = 0

    def word(self) -> str:
        self.count += 1
        return "done" if self.rng.random() < 0.2 else f"word {self.count}"

    def step(self) -> None:
        world, rng = self.world, self.rng
        match rng.choice(["here", "here", "there", "mine", "del", "undel", "gone", "edit", "item"]):
            case "here":
                query = "INSERT INTO comments (item_guid, message) VALUES (?, ?)"
                world.sql(query, ITEM, self.word())
            case "there":
                they_say(world, self.word())
            case "mine":
                they_say(world, self.word(), LOGIN)
            case "gone":
                units = world.service.model.comments(number_of(world))
                if units:
                    they_delete(world, rng.choice(units).id)
            case "item":
                user = world.service.model.user(LOGIN)
                world.service.model.update(number_of(world), user=user, color=rng.randrange(1, 8))
            case what:
                self._change_a_row(what)

    def _change_a_row(self, what: str) -> None:
        rows = self.world.sql("SELECT guid, message FROM comments WHERE item_guid = ?", ITEM)
        if not rows:
            return
        row = self.rng.choice(rows)
        if what == "edit":
            query = "UPDATE comments SET message = 'edited' WHERE guid = ?"
            self.world.sql(query, row["guid"])
            return
        self.world.sql("DELETE FROM comments WHERE guid = ?", row["guid"])
        if what == "undel":
            query = "INSERT INTO comments (guid, item_guid, message) VALUES (?, ?, ?)"
            self.world.sql(query, row["guid"], ITEM, row["message"])

    def harm(self) -> None:
        faults, rng = self.world.service.faults, self.rng
        if rng.random() < 0.5:
            faults.add(f"{rng.choice(['POST', 'DELETE'])} /item/comment:{rng.choice(POSTS)}:1")
        if rng.random() < 0.3:
            faults.add(f"GET /item/history:{rng.choice(READS)}:1")
        if rng.random() < 0.2:
            faults.add("GET /item*:status=503:1")

    def sync(self) -> None:
        if self.rng.random() < 0.3:
            Steps(self.world, die_at=self.rng.randrange(1, 25))
        try:
            self.world.sync()
        except (ServiceError, KilledError):
            pass
        finally:
            if self.world.transport is not None:
                self.world.crash()
                self.world.transport = None
        self.world.time.sleep(self.rng.choice([1, 60, 300]))


@pytest.mark.parametrize(
    "seed", [*range(10), *(pytest.param(n, marks=pytest.mark.slow) for n in range(10, 100))]
)
def test_nothing_is_lost_and_nothing_said_twice(new_world: MakeWorld, seed: int) -> None:
    world = new_world(items=3, traits=TRAITS[seed % len(TRAITS)], rules={"full_every": 1e9})
    make_item(world)
    talk = Talk(world, seed)
    for _ in range(12):
        for _ in range(talk.rng.randrange(4)):
            talk.step()
        talk.harm()
        talk.sync()
    world.service.faults.clear()
    world.service.settle()
    for _ in range(6):
        world.time.sleep(3700)
        world.sync()
    world.time.sleep(8 * 86400.0)
    for _ in range(8):
        world.sync()
    check(world, talk)


def check(world: World, talk: Talk) -> None:
    said_here = Counter(
        row["text"]
        for row in world.sql(
            "SELECT json_extract(new_values, '$.message') AS text FROM change_log "
            "WHERE table_name = 'comments' AND op = 'insert'"
        )
    )
    assert all(count == 1 for text, count in there(world).items() if text.startswith("word"))
    kept = Counter(
        row["text"]
        for row in world.sql(
            "SELECT json_extract(last_values, '$.message') AS text FROM removed_rows "
            "WHERE table_name = 'comments'"
        )
    )
    refused = {
        row["text"]
        for row in world.sql(
            "SELECT json_extract(new_values, '$.message') AS text FROM change_log "
            "WHERE table_name = 'comments' AND state = 'rejected'"
        )
    }
    known = here(world).keys() | kept.keys() | refused | deleted_before_sent(world)
    assert said_here.keys() <= known
    rejected = {
        row["row_guid"]
        for row in world.sql(
            "SELECT row_guid FROM change_log WHERE state = 'rejected' AND op = 'insert'"
        )
    }
    unsent = world.sql("SELECT guid FROM comments WHERE item_guid = ? AND id IS NULL", ITEM)
    assert {row["guid"] for row in unsent} <= rejected
    world.sql("DELETE FROM comments WHERE item_guid = ? AND id IS NULL", ITEM)
    world.sync()
    if world.service.traits.free_history:
        agree_on_what_shows(world)
    else:
        agree(world)


def agree_on_what_shows(world: World) -> None:
    """What was said and hidden by ten other units before anyone read it can't be known."""
    units = world.service.model.units(number_of(world))
    said = {unit.id for unit in units if unit.property_name == "comment"}
    shown = {unit.id for unit in units[-10:] if unit.property_name == "comment"}
    rows = world.sql("SELECT id FROM comments WHERE item_guid = ?", ITEM)
    assert shown <= {row["id"] for row in rows} <= said


def deleted_before_sent(world: World) -> set[str]:
    """Texts of comments that were taken back before hiTask had them."""
    rows = world.sql(
        "SELECT json_extract(old_values, '$.message') AS text FROM change_log "
        "WHERE table_name = 'comments' AND op IN ('delete', 'update') AND "
        "(state = 'merged' OR json_extract(old_values, '$.id') IS NULL)"
    )
    return {row["text"] for row in rows}
