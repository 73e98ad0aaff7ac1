"""JSON columns, as each engine has them. Public: `Document`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine


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
