"""Whom and what people mean by a name: users and projects of the mirror.

Public: `find_user`, `find_project`, `UnknownNameError`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Generic, TypeVar

from sqlalchemy import Connection, select

from hisync.errors import HisyncError
from hisync.mirror.people import named_users
from hisync.mirror.tables import ITEM_TABLES, users

_K = TypeVar("_K", int, str)

_LISTED: Final = 10
"""Candidates that a message names, at most."""


class UnknownNameError(HisyncError):
    """Nothing has the name, or several have it; the text says what could be meant."""


@dataclass(frozen=True, slots=True)
class _Candidate(Generic[_K]):
    """What may be meant.

    Attributes:
        key: what is looked for.
        called: its names that must be given whole.
        name: the one of which a part will do.
        sign: what a message tells it from its namesakes by.
    """

    key: _K
    called: Sequence[str | None]
    name: str
    sign: str

    def is_called(self, wanted: str) -> bool:
        """Whether one of its whole names is the one wanted, however it is written."""
        return wanted in {_folded(name) for name in (*self.called, self.name)}

    def __str__(self) -> str:
        return f"{self.name or 'one without a name'} ({self.sign})"


def find_user(connection: Connection, text: str) -> int:
    """The id of the user with this id, login, e-mail or unique part of a full name.

    Raises:
        UnknownNameError: there is none, or several.
    """
    rows = connection.execute(select(users).order_by(users.c.full_name, users.c.id))
    known: list[_Candidate[int]] = [
        _Candidate(
            *(row.id, (str(row.id), row.login, row.email)),
            name=row.full_name or row.login or "",
            sign=str(row.id),
        )
        for row in rows
    ]
    if text.isascii() and text.isdigit():  # it may be of someone whom hiTask doesn't show
        known += [
            _Candidate(number, (str(number),), "", str(number))
            for number in named_users(connection) - {one.key for one in known}
        ]
    return _find(text, known, "user", "id, login, e-mail or full name")


def find_project(connection: Connection, text: str) -> str:
    """The guid of the project with this guid, short name or unique part of a title.

    Raises:
        UnknownNameError: there is none, or several.
    """
    projects = ITEM_TABLES["projects"].c
    rows = connection.execute(
        select(projects.guid, projects.short_name, projects.title).order_by(projects.title)
    )
    known: list[_Candidate[str]] = [
        _Candidate(
            *(row.guid, (row.guid, row.short_name)),
            name=row.title or "",
            sign=row.short_name or row.guid,
        )
        for row in rows
    ]
    return _find(text, known, "project", "guid, short name or title")


def _find(text: str, known: Sequence[_Candidate[_K]], kind: str, ways: str) -> _K:
    wanted = _folded(text)
    exact = [one for one in known if one.is_called(wanted)]
    found = exact or [one for one in known if wanted and wanted in _folded(one.name)]
    if len(found) == 1:
        return found[0].key
    if not known:
        raise UnknownNameError(f"the mirror has no {kind}s yet: run `hisync sync`")
    if found:
        raise UnknownNameError(f"{text!r} may be {_list(found)}: say which, by {ways}")
    near = get_close_matches(wanted, [_folded(one.name) for one in known], _LISTED, 0.5)
    close = [one for one in known if _folded(one.name) in near] or known
    raise UnknownNameError(f"no {kind} {text!r} by {ways}; there is {_list(close)}")


def _list(found: Sequence[_Candidate[_K]]) -> str:
    more = len(found) - _LISTED
    listed = ", ".join(str(one) for one in found[:_LISTED])
    return f"{listed} and {more} more" if more > 0 else listed


def _folded(text: str | None) -> str:
    return unicodedata.normalize("NFC", text or "").strip().casefold()
