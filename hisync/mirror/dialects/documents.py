"""JSON columns, as each engine has them. Public: `Document`, `no_json`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from hisync.errors import MirrorError


class Document(TypeDecorator[Any]):
    """JSON: text on SQLite, `jsonb` on PostgreSQL. A Python None is SQL's NULL, never `null`.

    PostgreSQL's types are loaded on PostgreSQL only: they would slow every start of a command.
    """

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type as the engine has it."""
        if dialect.name != "postgresql":
            return dialect.type_descriptor(JSON(none_as_null=True))
        from sqlalchemy.dialects.postgresql import JSONB

        return dialect.type_descriptor(JSONB(none_as_null=True))


def no_json(cell: str | bytes) -> MirrorError:
    """The error for a cell of the machinery that only somebody else can have written."""
    return MirrorError(
        f"a table of hisync's own holds {cell[:40]!r} in place of JSON: put back what stood there, "
        "from a backup"
    )
