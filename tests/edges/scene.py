"""A world whose rows and items have names, and what can be asked about it.

Public: `Scene`, `make_scene`, `guid`.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Final, Protocol, TypeAlias

import httpx

from hisync.api import HiTask
from hisync.engine import Clock, Engine
from hisync.mirror.store import Mirror
from hisync.sandbox import API_KEY, LOGIN, PASSWORD, Item, Model, SandboxTransport, User
from tests.edges.house import House
from tests.edges.oracle import TABLES
from tests.world import World, make_world

Act: TypeAlias = "str | Callable[[Scene], object]"
"""A SQL statement by somebody's client, or something else that happens."""

CATEGORIES: Final = {
    "project": 0,
    "task": 1,
    "event": 2,
    "note": 4,
    "file": 5,
    "client": 6,
    "contact": 7,
}


def guid(name: str) -> str:
    """The guid of the row or item of this name."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


@dataclass
class Interruption:
    """What happens in the middle of a request."""

    method: str
    path: str
    act: Act
    after: bool
    times: int = 1


class InterruptedTransport(SandboxTransport):
    """Lets things happen right before a request arrives, or before its answer does."""

    scene: Scene

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api")
        self._let_happen(request.method, path, after=False)
        try:
            return super().handle_request(request)
        finally:  # also when the answer is lost
            self._let_happen(request.method, path, after=True)

    def _let_happen(self, method: str, path: str, *, after: bool) -> None:
        for each in list(self.scene.interruptions):
            if each.after == after and each.method == method and fnmatchcase(path, each.path):
                each.times -= 1
                if not each.times:
                    self.scene.interruptions.remove(each)
                self.scene.act(each.act)


class HouseWorld(World):
    """A world whose first engine works on a mirror that is open already."""

    def take(self, mirror: Mirror) -> None:
        """Put an engine on this mirror."""
        self._mirror = mirror
        api = HiTask(
            base_url="http://127.0.0.1/api",
            login=LOGIN,
            password=PASSWORD,
            api_key=API_KEY,
            transport=self.transport,
            now=self.time,
            holds_nul=mirror.holds_nul,
        )
        self._engine = Engine(api, mirror, self.rules, Clock(self.time))


class Place(Protocol):
    """Where a mirror is, and somebody's connection to it."""

    @property
    def client(self) -> sqlite3.Connection:
        """The connection, in autocommit."""

    def leave(self) -> None:
        """Close it."""


@dataclass
class Scene:
    """One world in which an entry is played."""

    world: World
    house: Place
    mirror: Mirror | None
    names: dict[str, str] = field(default_factory=dict)
    interruptions: list[Interruption] = field(default_factory=list)
    ids: dict[int, str] = field(default_factory=dict)

    def ask(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """A look into the mirror."""
        return [dict(row) for row in self.house.client.execute(query, values).fetchall()]

    def close(self) -> None:
        """End it all."""
        if self.world._engine is not None and self.world._mirror is self.mirror:
            self.world._engine.api.close()  # the mirror is the house's
            if self.world._client is not None:
                self.world._client.close()
        else:
            self.world.close()
            self.house.leave()

    @property
    def model(self) -> Model:
        """The team's data."""
        return self.world.service.model

    @property
    def account(self) -> User:
        """Who hisync is on hiTask."""
        return self.model.users[0]

    @property
    def colleague(self) -> User:
        """Someone else in the team."""
        return self.model.users[1]

    def act(self, act: Act) -> None:
        """Let something happen."""
        if callable(act):
            act(self)
        else:
            self.sql(act)

    def sql(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """Run a statement as a client that knows rows by `:name`."""
        return self.run(self.house.client, statement, **values)

    def run(
        self, connection: sqlite3.Connection, statement: str, **values: Any
    ) -> list[dict[str, Any]]:
        """Run a statement on a client's connection."""
        people = {"account": self.account.id, "colleague": self.colleague.id}
        bound = _Names({**people, **values}, self)
        cursor = connection.execute(statement, bound)
        return [dict(row) for row in cursor]

    def guid(self, name: str) -> str:
        """The guid of a name, which becomes known with it."""
        return self.names.setdefault(name, guid(name))

    def item(self, name: str) -> Item | None:
        """The live item of a name: by its guid, else by the number of its row."""
        found = self.model.store.by_guid(self.guid(name))
        if found:
            return found[0]
        row = self.row(name)
        return self.model.store.live.get(row["id"]) if row else None

    def need(self, name: str) -> Item:
        """The live item of a name, which must be there."""
        item = self.item(name)
        assert item is not None, name
        return item

    def wire(self, name: str) -> dict[str, Any] | None:
        """An item as the account sees it on the wire."""
        item = self.item(name)
        if item is None:
            return None
        parent = self.model.store.live.get(item.parent)
        named = {each: name for name, each in self.names.items()}
        above = named.get(parent.guid, parent.guid) if parent else None
        return {**self.model.wire(item, self.account), "in": above}

    def row(self, name: str) -> dict[str, Any] | None:
        """A row of the mirror, raw, with the name of its `table`."""
        for table in TABLES:
            for row in self.ask(f"SELECT * FROM {table} WHERE guid = ?", self.guid(name)):
                named = {each: name for name, each in self.names.items()}
                return {**row, "table": table, "in": named.get(row["parent_guid"])}
        return None

    def create(self, name: str, given: Mapping[str, Any], user: User | None = None) -> Item:
        """Create an item on hiTask.

        Besides the wire's names, `given` may have `kind`, `permission` (the account's level), and
        `parent` by name.
        """
        values: dict[str, Any] = {"title": name, **given}
        values["category"] = CATEGORIES[values.pop("kind", "task")]
        if "parent" in values:
            values["parent"] = self.need(values["parent"]).id
        if (level := values.pop("permission", None)) is not None:
            values["permissions"] = [{"principal": self.model.team.everyone.id, "level": level}]
        owner = user or self.colleague
        return self.model.create(user=owner, guid=self.guid(name), **values)

    def changes(self) -> list[str]:
        """The change log, a line each."""
        rows = self.ask("SELECT op, state, error FROM change_log ORDER BY seq")
        return [f"{r['op']} {r['state']}" + (f": {r['error']}" * bool(r["error"])) for r in rows]

    def conflicts(self) -> list[str]:
        """Recorded conflicts, a line each."""
        rows = self.ask("SELECT * FROM conflicts ORDER BY id")
        return [
            f"{r['field'] or 'row'}: {r['base_value']} / {r['local_value']} / {r['remote_value']}"
            f" -> {r['resolution']}"
            for r in rows
        ]

    def removed(self) -> list[str]:
        """What was removed, a line each."""
        named = {each: name for name, each in self.names.items()}
        rows = self.ask("SELECT row_guid, reason FROM removed_rows ORDER BY seq")
        return [f"{named.get(r['row_guid'], r['row_guid'])}: {r['reason']}" for r in rows]

    def writes(self) -> list[str]:
        """The requests that could change something on hiTask, in order."""
        self._learn_ids()
        lines = []
        for entry in self.world.service.log:
            if entry.method == "GET":
                continue
            ref = entry.path.rpartition("/")[2]
            named = {each: name for name, each in self.names.items()}
            name = named.get(ref) or self.ids.get(int(ref) if ref.isdecimal() else 0, ref)
            verb = "ARCHIVE" if ref == "archive" else entry.method
            lines.append(verb if ref in ("item", "archive") else f"{verb} {name}")
        return lines

    def rows_without_item(self) -> list[str]:
        """Names of rows that hiTask has no item for."""
        named = {each: name for name, each in self.names.items()}
        found = []
        for table in TABLES:
            rows = self.ask(f"SELECT guid, title FROM {table} WHERE id IS NULL")
            found += [named.get(r["guid"], r["title"]) for r in rows]
        return found

    def _learn_ids(self) -> None:
        named = {each: name for name, each in self.names.items()}
        for item in (*self.model.store.live.values(), *self.model.store.archived.values()):
            self.ids.setdefault(item.id, named.get(item.guid, item.title))
        for row in self.ask("SELECT id, row_guid FROM removed_rows"):
            self.ids.setdefault(row["id"], named.get(row["row_guid"], row["row_guid"]))
        for table in TABLES:
            for row in self.ask(f"SELECT id, guid FROM {table} WHERE id IS NOT NULL"):
                self.ids[row["id"]] = named.get(row["guid"], self.ids.get(row["id"], "?"))


class _Names(dict[str, Any]):
    """Values to bind; every other name is a row's guid."""

    def __init__(self, values: Mapping[str, Any], scene: Scene) -> None:
        super().__init__(values)
        self.scene = scene

    def __missing__(self, name: str) -> str:
        return self.scene.guid(name)


def make_scene(
    house: House,
    given: Mapping[str, Mapping[str, Any]],
    traits: Iterable[str] = (),
    zone: str = "UTC",
    rules: Mapping[str, Any] | None = None,
    account: int = 0,
) -> Scene:
    """A scene whose mirror is filled and quiet."""
    mirror = house.open()
    made = make_world(
        house.room, items=account, traits=list(traits), rules={"comments": False, **(rules or {})}
    )
    transport = InterruptedTransport(made.service)
    world = HouseWorld(
        *(made.folder, made.time, made.service, made.rules, transport, house.backend),
        _served=house.database,
    )
    world.take(mirror)
    scene = transport.scene = Scene(world, house, mirror)
    user = scene.account
    scene.model.team.users[user.id] = replace(user, time_zone=zone)
    for name, values in given.items():
        scene.create(name, values)
    world.sync()
    world.sync()
    world.service.reset_log()
    return scene
