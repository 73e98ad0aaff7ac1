"""The default of every `guid` column: a random UUID as text, in each engine's words.

Public: `random_guid`, and the words themselves for the migrations.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

SQLITE: Final = (
    "(lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || "
    "substr(hex(randomblob(2)), 2) || '-' || substr('89ab', 1 + (random() & 3), 1) || "
    "substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))))"
)
POSTGRES: Final = "(gen_random_uuid())::text"


class random_guid(GenericFunction[str]):  # noqa: N801 - it is used like SQL's functions
    """A random UUID, so that `INSERT INTO tasks (title) VALUES (…)` is enough."""

    type = Text()
    inherit_cache = True


@compiles(random_guid, "sqlite")
def _sqlite(_element: random_guid, _compiler: Any, **_options: Any) -> str:
    return SQLITE


@compiles(random_guid, "postgresql")
def _postgres(_element: random_guid, _compiler: Any, **_options: Any) -> str:
    return POSTGRES
