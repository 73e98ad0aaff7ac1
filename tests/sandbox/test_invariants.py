"""Whoever follows the delta sees what a full read shows, whatever the team does meanwhile."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import orjson
import pytest

from hisync.sandbox import ApiError, Model, Service, User, seeded_model

from .client import Client, Clock

# What other items decide changes without a new version.
COMPUTED = frozenset({"children", "parentTitle"})


def act(model: Model, user: User, rng: random.Random) -> None:
    """Do one thing that a member of the team might do; some of it is refused."""
    ids = [*model.store.live, *model.store.archived] or [0]
    one, other = rng.choice(ids), rng.choice(ids)
    level = rng.choice((0, 10, 60, 100))
    actions = (
        lambda: model.create(user=user, title="New", parent=rng.choice((0, one))),
        lambda: model.update(one, user=user, title=f"T{rng.random()}"),
        lambda: model.update(one, user=user, parent=other),
        lambda: model.update(
            one, user=user, cascade=True, permissions=[{"principal": "all", "level": level}]
        ),
        lambda: model.comment(one, user=user, message="Hm"),
        lambda: model.delete(one, user=user, cascade=rng.random() < 0.3),
        lambda: model.archive(one, user=user, cascade=rng.random() < 0.5),
        lambda: model.restore(one, user=user),
    )
    rng.choice(actions)()


@pytest.mark.parametrize("seed", range(20))
def test_following_the_delta_equals_reading_everything(clock: Clock, seed: int) -> None:
    rng = random.Random(seed)
    client = Client(Service(seeded_model(30, seed, clock)))
    client.log_in()
    known: dict[int, dict[str, Any]] = {}
    versions: dict[int, int] = {}
    cursor = "0"

    for _ in range(40):
        for _ in range(rng.randrange(4)):
            with contextlib.suppress(ApiError):
                act(client.model, rng.choice(client.model.users), rng)
            clock.forward(rng.choice((0, 0.0004, 1)))
        response = client.send("GET", f"/item/delta/{cursor}")
        cursor = response.headers["X-Cursor"]
        listed = {each["id"]: each for each in client.ask("GET", f"/item/delta/{cursor}")}
        assert not any(each["changed"] for each in listed.values())
        known = follow(known, response.body)
        assert without_nulls(client.ask("GET", "/item")) == known
        check_versions(client.model, versions)


def follow(known: dict[int, dict[str, Any]], body: bytes) -> dict[int, dict[str, Any]]:
    followed = {}
    for each in orjson.loads(body):
        whole = each if each.pop("changed") else known[each["id"]]
        followed[each["id"]] = {name: whole[name] for name in whole if name not in COMPUTED}
    return followed


def without_nulls(items: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {
        item["id"]: {
            name: value
            for name, value in item.items()
            if value is not None and name not in COMPUTED
        }
        for item in items
    }


def check_versions(model: Model, versions: dict[int, int]) -> None:
    """Versions only rise, and no two items share a stamp."""
    for item in model.items():
        assert item.version >= versions.get(item.id, 0)
        versions[item.id] = item.version
    stamps = [item.modified for item in model.items()]
    assert len(stamps) == len(set(stamps))
