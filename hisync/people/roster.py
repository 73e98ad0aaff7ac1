"""Asking hiTask who is who: some requests, each of which may fail without harm.

Public: `Roster`, `ask_zone`, `ask_everyone`, `said_zone`, `own_id`, `KEY_LACKS_PERMISSION`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hisync.engine import Engine
from hisync.errors import (
    RetryLaterError,
    ServiceError,
    SlowDownError,
    StopError,
    UnreachableError,
)
from hisync.items import Values
from hisync.mirror.state import EngineState

KEY_LACKS_PERMISSION: Final = 54
"""hiTask's code for what this key may not ask; that it may ask for items is another matter."""

_LONGEST_ZONE: Final = 80
"""So many letters are kept of what the preferences call a time zone; no zone's name is longer."""

_CONTACTS: Final = "contacts"
_TEAM: Final = "team"
_SELF: Final = "self"
_PREFERENCES: Final = "preferences"


@dataclass(slots=True)
class Roster:
    """What was asked for together.

    Attributes:
        answers: what was answered, by what was asked for.
        failures: why the rest was not.
        early: whether asking again soon may help.
        slow_down: hiTask's wish to be left alone, None if it has none.
    """

    answers: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, ServiceError] = field(default_factory=dict)
    early: bool = False
    slow_down: SlowDownError | None = None

    @property
    def shows_everyone(self) -> bool:
        """Whether whoever is missing was left out by hiTask itself."""
        return {_CONTACTS, _TEAM} <= self.answers.keys()

    @property
    def everyone(self) -> dict[int, dict[str, Any]]:
        """The people by id, each with all that any answer says of them."""
        found: dict[int, dict[str, Any]] = {}
        for source in (_CONTACTS, _TEAM, _SELF):
            for person in self.answers.get(source, ()):
                said = {column: value for column, value in person.items() if value is not None}
                found[person["id"]] = dict(person) | found.get(person["id"], {}) | said
        return found

    @property
    def words(self) -> dict[str, list[Values]]:
        """The rows of `groups` and `tags`, as far as they were answered, each id once."""
        return {
            name: list({row["id"]: row for row in self.answers[name]}.values())
            for name in ("groups", "tags")
            if name in self.answers
        }

    @property
    def zone(self) -> str | None:
        """The account's time zone as its preferences name it, None if they were not answered."""
        preferences = self.answers.get(_PREFERENCES)
        return None if preferences is None else said_zone(preferences)


def said_zone(preferences: Mapping[str, Any]) -> str:
    """What the account's preferences name as its time zone, whatever it is; UTC for nothing."""
    said = preferences.get("time_zone")
    name = said.strip() if isinstance(said, str) else said
    if name is None or name == "":
        return "UTC"
    if not isinstance(name, str) or not name.isprintable():
        name = json.dumps(name)  # which is the name of none
    return name if len(name) <= _LONGEST_ZONE else name[: _LONGEST_ZONE - 1] + "…"


def ask_zone(engine: Engine) -> Roster:
    """Ask for the account's time zone alone.

    Raises:
        StopError: if the login, key or account is refused.
    """
    roster = Roster()
    _ask(engine, roster, {_PREFERENCES: engine.api.fetch_preferences})
    return roster


def ask_everyone(engine: Engine, before: EngineState, *, zone: bool) -> Roster:
    """Ask for people, groups and tags, and with `zone` for the time zone too.

    Raises:
        StopError: if the login, key or account is refused.
    """
    api, roster = engine.api, Roster()
    sources: dict[str, Callable[[], Any]] = {
        _CONTACTS: api.fetch_contacts,
        _TEAM: api.fetch_team,
        "groups": api.fetch_groups,
        "tags": api.fetch_tags,
    }
    if zone:
        sources[_PREFERENCES] = api.fetch_preferences
    _ask(engine, roster, sources)
    if not roster.early and own_id(engine, before) not in roster.everyone:
        _ask(engine, roster, {_SELF: lambda: [api.fetch_self()]})
    return roster


def own_id(engine: Engine, before: EngineState) -> int | None:
    """The account's own id among the people, None before the first login."""
    return engine.api.account_id or before.account_id


def _ask(engine: Engine, roster: Roster, sources: Mapping[str, Callable[[], Any]]) -> None:
    for name, fetch in sources.items():
        if engine.stopping():
            roster.early = True
            return
        try:
            roster.answers[name] = fetch()
        except (SlowDownError, UnreachableError) as error:
            roster.early = True  # and nothing more can be asked now
            roster.slow_down = error if isinstance(error, SlowDownError) else None
            return
        except StopError as error:
            if error.code != KEY_LACKS_PERMISSION:
                raise
            roster.failures[name] = error
        except ServiceError as error:
            roster.failures[name] = error
            roster.early = roster.early or isinstance(error, RetryLaterError)
