"""The capture triggers of PostgreSQL: who edits what, and what nobody may edit.

Each table that people edit has a trigger function, which writes what changed into `change_log`,
keeps the totals of time entries and tells the daemon. It runs as its owner, so that people need no
rights on the machinery's tables, and always, whatever a session replicates. A statement first
passes the gate (`connection`) and may not be a TRUNCATE, which would go by unseen. Tables that
hiTask alone fills refuse every edit.

A function is compared by its source with what this version declares, a trigger by what was noted in
its comment when it was made. Public: `install_capture`, `logged_row`, `missing_triggers`,
`refuse_edits`, `schema_version`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Date,
    DateTime,
    Table,
    literal_column,
)

from hisync.errors import SchemaError
from hisync.items import SPENT, TABLES
from hisync.mirror.dialects.documents import Document
from hisync.mirror.dialects.postgres import abilities
from hisync.mirror.dialects.postgres.abilities import Abilities
from hisync.mirror.dialects.postgres.connection import CHANNEL, GATE, UNMARKED
from hisync.mirror.dialects.postgres.ledger import counted_minutes
from hisync.mirror.tables import EDITED_TABLES, ITEM_TABLES, SHOWN_TABLES

_PREFIX: Final = "sync_capture_"

_STAYS: Final = {
    "comments": "hisync: a comment stays with its item; delete it and insert a new one",
    "time_entries": "hisync: a time entry stays with its item; delete it and insert a new one",
}


@dataclass(frozen=True, slots=True)
class _Trigger:
    """A trigger as this version declares it: its table, when it fires, and what it runs."""

    table: str
    when: str
    function: str
    argument: str = ""

    def statement(self, name: str) -> str:
        return (
            f"CREATE TRIGGER {name} {self.when} "
            f"EXECUTE FUNCTION {self.function}({_quoted(self.argument) if self.argument else ''})"
        )


def install_capture(connection: Connection) -> None:
    """Put every capture trigger in place as this version declares it, and drop older ones."""
    schema = _schema(connection)
    functions, triggers = _functions(abilities.of(connection)), _triggers(schema)
    sources = _sources(connection)
    for name, source in functions.items():
        if sources.get(name) != source:
            connection.exec_driver_sql(_create_function(name, source, schema))
    # Editors need no right to them. On a table of their own, readers would have them log whatever
    # they say.
    for name in _open_to_all(connection):
        connection.exec_driver_sql(f"REVOKE ALL ON FUNCTION {name}() FROM PUBLIC")
    fitting = _fitting(connection, schema)
    for name, table in _installed(connection):
        if name not in fitting:
            connection.exec_driver_sql(f"DROP TRIGGER {name} ON {table}")
    if new := {name: made for name, made in triggers.items() if name not in fitting}:
        _create(connection, new)
    for name in sources.keys() - functions.keys():
        connection.exec_driver_sql(f"DROP FUNCTION {name}()")


def refuse_edits(connection: Connection, message: str) -> None:
    """Refuse people's edits of every table, until the capture triggers are installed anew."""
    unmarked = UNMARKED.format(schema=_schema(connection).replace("'", "''"))
    for table in EDITED_TABLES:
        name = f"{_PREFIX}{table}_moved"
        events = f"BEFORE INSERT OR UPDATE OR DELETE ON {table}"
        when = f"{events} FOR EACH STATEMENT WHEN ({unmarked})"
        trigger = _Trigger(table, when, f"{_PREFIX}refuse", f"hisync: {message}")
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name} ON {table}")
        connection.exec_driver_sql(trigger.statement(name).replace("%", "%%"))
        connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")


def missing_triggers(connection: Connection) -> list[str]:
    """The capture triggers that are missing, altered or switched off."""
    schema = _schema(connection)
    return sorted(_triggers(schema).keys() - _fitting(connection, schema))


def schema_version(connection: Connection) -> object:
    """A value that changes with every change of a table or trigger, whoever makes it."""
    # The number of the transaction that last wrote each line of the catalogue.
    query = (
        "SELECT (SELECT md5(string_agg(concat_ws(' ', t.oid, t.tgenabled, t.xmin, p.xmin), ',' "
        "ORDER BY t.oid)) FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid "
        "JOIN pg_proc AS p ON p.oid = t.tgfoid "
        "WHERE c.relnamespace = quote_ident(current_schema())::regnamespace "
        "AND starts_with(t.tgname, %s)), "
        "(SELECT md5(string_agg(c.oid::text, ',' ORDER BY c.oid)) FROM pg_class AS c "
        "WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind = 'r')"
    )
    return tuple(connection.exec_driver_sql(query, (_PREFIX,)).one())


def _create(connection: Connection, triggers: Mapping[str, _Trigger]) -> None:
    """Create triggers, and say in each one's comment what it is: declared, and as it is told."""
    created = []
    for name, trigger in triggers.items():
        created.append(trigger.statement(name).replace("%", "%%"))
        # In a session that replicates, too: nothing goes by unseen.
        created.append(f"ALTER TABLE {trigger.table} ENABLE ALWAYS TRIGGER {name}")
    # All in one message, as in `views`: there are dozens.
    connection.exec_driver_sql("; ".join(created))
    query = f"SELECT t.tgname, pg_get_triggerdef(t.oid) {_EVERY_TRIGGER}"
    noted = [
        f"COMMENT ON TRIGGER {name} ON {triggers[name].table} "
        f"IS '{_remark(triggers[name].statement(name), definition)}'"
        for name, definition in connection.exec_driver_sql(query, (_PREFIX,))
        if name in triggers
    ]
    connection.exec_driver_sql("; ".join(noted))


# What there is


def _schema(connection: Connection) -> str:
    """The schema that holds the mirror.

    Raises:
        SchemaError: if another one has come before it in the search path.
    """
    query = (
        "SELECT current_schema(), (SELECT nspname FROM pg_class JOIN pg_namespace AS schema "
        "ON schema.oid = relnamespace WHERE pg_class.oid = to_regclass('sync_schema_version'))"
    )
    schema, mirrored = connection.exec_driver_sql(query).one()
    if mirrored not in (None, schema):
        raise SchemaError(
            f"the mirror is in the schema {mirrored}, but this role now comes to {schema} first: "
            f"write schema = '{mirrored}' under [database]"
        )
    return str(schema)


_EVERY_FUNCTION: Final = (
    "FROM pg_proc WHERE pronamespace = quote_ident(current_schema())::regnamespace "
    "AND starts_with(proname, %s)"
)


def _sources(connection: Connection) -> dict[str, str | None]:
    """The source of every function of ours by its name; None: it runs otherwise than it should."""
    # One whose schema was given another name would write into the next that has the old name.
    query = (
        "SELECT proname, CASE WHEN prosecdef AND proconfig = "
        "ARRAY['search_path=' || quote_ident(current_schema()) || ', pg_temp'] "
        f"THEN prosrc END {_EVERY_FUNCTION}"
    )
    rows = connection.exec_driver_sql(query, (_PREFIX,))
    return dict(rows.all())


def _open_to_all(connection: Connection) -> list[str]:
    """The functions of ours that everybody may run, as is usual of a function."""
    open_to_all = "has_function_privilege('public', oid, 'EXECUTE')"
    query = f"SELECT proname {_EVERY_FUNCTION} AND {open_to_all}"
    return list(connection.exec_driver_sql(query, (_PREFIX,)).scalars())


_EVERY_TRIGGER: Final = (
    "FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid "
    "WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND NOT t.tgisinternal "
    "AND starts_with(t.tgname, %s)"
)


def _installed(connection: Connection) -> list[tuple[str, str]]:
    """Every trigger of ours that there is, with its table."""
    query = f"SELECT t.tgname, c.relname {_EVERY_TRIGGER}"
    return [(row[0], row[1]) for row in connection.exec_driver_sql(query, (_PREFIX,))]


def _fitting(connection: Connection, schema: str) -> frozenset[str]:
    """The triggers that are as this version declares them and run its functions."""
    functions = _functions(abilities.of(connection))
    triggers, sources = _triggers(schema), _sources(connection)
    query = (
        "SELECT t.tgname, pg_get_triggerdef(t.oid), obj_description(t.oid, 'pg_trigger') "
        f"{_EVERY_TRIGGER} AND t.tgenabled = 'A'"
    )
    return frozenset(
        name
        for name, definition, comment in connection.exec_driver_sql(query, (_PREFIX,))
        if (trigger := triggers.get(name)) is not None
        and sources.get(trigger.function) == functions[trigger.function]
        and comment == _remark(trigger.statement(name), definition)
    )


def _remark(declared: str, definition: str) -> str:
    return f"hisync {_digest(declared)} {_digest(definition)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# What is declared


def _triggers(schema: str) -> Mapping[str, _Trigger]:
    """Every capture trigger by its name."""
    unmarked = UNMARKED.format(schema=schema.replace("'", "''"))
    each = f"FOR EACH ROW WHEN ({unmarked})"
    whole = f"FOR EACH STATEMENT WHEN ({unmarked})"
    made: dict[str, _Trigger] = {}
    for table in EDITED_TABLES:
        events, name = f"INSERT OR UPDATE OR DELETE ON {table}", f"{_PREFIX}{table}"
        made[f"{name}_gate"] = _Trigger(table, f"BEFORE {events} {whole}", f"{_PREFIX}pass_gate")
        made[f"{name}_log"] = _Trigger(table, f"AFTER {events} {each}", name)
        made[f"{name}_truncate"] = _Trigger(
            table,
            f"BEFORE TRUNCATE ON {table} {whole}",
            f"{_PREFIX}refuse",
            f"hisync: TRUNCATE goes by unseen; use DELETE FROM {table}",
        )
    for table in SHOWN_TABLES:
        made[f"{_PREFIX}{table}_refuse"] = _Trigger(
            table,
            f"BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} {whole}",
            f"{_PREFIX}refuse",
            f"hisync: {table} come from hiTask and are read-only here",
        )
    return made


def _functions(server: Abilities) -> Mapping[str, str]:
    """The source of every trigger function by its name, for what its server can do."""
    made = {
        f"{_PREFIX}pass_gate": f"\nBEGIN\n  {_pass_gate(server)}\n  RETURN NULL;\nEND\n",
        f"{_PREFIX}refuse": (
            "\nBEGIN\n  RAISE EXCEPTION USING MESSAGE = TG_ARGV[0], "
            "ERRCODE = 'integrity_constraint_violation';\nEND\n"
        ),
    }
    for name, table in EDITED_TABLES.items():
        made[f"{_PREFIX}{name}"] = _capture_function(name, table, server)
    return made


def _pass_gate(server: Abilities) -> str:
    if server.locks:
        return f"PERFORM pg_advisory_xact_lock_shared({GATE}, hashtext(TG_TABLE_SCHEMA::text));"
    message = "hisync: sync_lease is damaged; start hisync, then try again"
    return (
        "PERFORM 1 FROM sync_lease WHERE name = 'gate' FOR SHARE;\n  "
        f"{_refuse('NOT FOUND', message)}"
    )


def _create_function(name: str, source: str, schema: str) -> str:
    quoted = '"' + schema.replace('"', '""') + '"'
    return (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
        f"SET search_path = {quoted}, pg_temp AS $hisync${source}$hisync$"
    ).replace("%", "%%")


def _capture_function(name: str, table: Table, server: Abilities) -> str:
    # Once more: of a statement on a table that this one inherits from, no other trigger is told.
    statements = [_pass_gate(server), *_checks(name, table), _read_rows(table)]
    if name in TABLES:
        statements.append(_without_posting())
    if name == "time_entries":
        statements.append(_post())
    log = (
        "INSERT INTO change_log (table_name, row_guid, op, old_values, new_values, changed_at)\n"
        f"  VALUES ('{name}', CASE WHEN TG_OP = 'DELETE' THEN OLD.guid ELSE NEW.guid END,\n"
        "    lower(TG_OP COLLATE \"C\"), o, n, timezone('UTC', clock_timestamp()));\n"
        + (
            f"  PERFORM pg_notify({CHANNEL.format(schema='TG_TABLE_SCHEMA')}, '');\n"
            * server.notifies
        )
        + "  RETURN NULL;"
    )
    body = "\n  ".join([*statements, log])
    # A column of people's own may have the name of a variable.
    return (
        "\n#variable_conflict use_variable\nDECLARE\n  o jsonb;\n  n jsonb;\n  moved bigint;\n"
        f"  item text;\n  outer_posting text;\n  posted boolean := false;\nBEGIN\n  {body}\nEND\n"
    )


def _checks(name: str, table: Table) -> Iterable[str]:
    """Refuse what can't be said to hiTask of a row that is there, and keys that can't be one."""
    identity = [column for column in ("guid", "id") if column in table.c]
    known = "guid and id are" if "id" in identity else "guid is"
    message = (
        f"hisync: {known} the identity of a row and cannot be changed; insert a new row instead"
    )
    changed = " OR ".join(f"NEW.{column} IS DISTINCT FROM OLD.{column}" for column in identity)
    yield _refuse(f"TG_OP = 'UPDATE' AND ({changed})", message)
    if name in _STAYS:
        moved = "TG_OP = 'UPDATE' AND NEW.item_guid IS DISTINCT FROM OLD.item_guid"
        yield _refuse(moved, _STAYS[name])
    no_uuid = "NEW.guid ~ '[[:cntrl:]]' OR octet_length(NEW.guid) <> length(NEW.guid)"
    yield _refuse(
        f"TG_OP = 'INSERT' AND ({no_uuid})", "hisync: guid must be a UUID; leave it out to get one"
    )


def _refuse(condition: str, message: str) -> str:
    return (
        f"IF {condition} THEN\n    RAISE EXCEPTION USING MESSAGE = {_quoted(message)}, "
        "ERRCODE = 'integrity_constraint_violation';\n  END IF;"
    )


def _read_rows(table: Table) -> str:
    """The old and the new cells as JSON objects: those that differ, or those that say anything."""
    flags = [c.name for c in _captured(table) if isinstance(c.type, Boolean)]
    silent = "value = 'null'"
    if flags:
        names = ", ".join(_quoted(flag) for flag in flags)
        silent += f" OR value = 'false' AND key IN ({names})"

    def whole(row: str) -> str:
        return (
            "(SELECT coalesce(jsonb_object_agg(key, value), '{}') "
            f"FROM jsonb_each({_object(table, row)}) WHERE NOT ({silent}))"
        )

    return f"""IF TG_OP = 'UPDATE' THEN
    SELECT jsonb_object_agg(key, was.value), jsonb_object_agg(key, becomes.value) INTO o, n
    FROM jsonb_each({_object(table, "OLD")}) AS was
    JOIN jsonb_each({_object(table, "NEW")}) AS becomes USING (key)
    WHERE was.value IS DISTINCT FROM becomes.value;
    IF n IS NULL THEN
      RETURN NULL; -- only columns of people's own
    END IF;
  ELSIF TG_OP = 'INSERT' THEN
    n := {whole("NEW")};
  ELSE
    o := {whole("OLD")};
  END IF;"""


def _without_posting() -> str:
    """The total of an item's entries is nobody's edit of the item."""
    return f"""IF TG_OP = 'UPDATE' AND n ? '{SPENT}' AND current_setting('hisync.posting', true)
    = NEW.guid || ' ' || pg_current_xact_id()::text THEN
    n := n - '{SPENT}';
    o := o - '{SPENT}';
    IF n = '{{}}' THEN
      RETURN NULL;
    END IF;
  END IF;"""


def _post() -> str:
    """Bring the difference that an entry makes to the total of its item."""
    updates = "\n    ".join(
        f"UPDATE {table} SET {SPENT} = coalesce({SPENT}, 0) + moved WHERE guid = item;\n"
        "    posted := posted OR FOUND;"
        for table in ITEM_TABLES
    )
    now, was = (counted_minutes(f"{row}.minutes") for row in ("NEW", "OLD"))
    # The item may be there since: then its total would not move, and the entry would count twice.
    old_sight = "current_setting('transaction_isolation') LIKE ANY ('{repeatable%,serializable}')"
    unseen = (
        "hisync: this transaction sees no item with that guid; it sees what there was when it "
        "began: log the time in a new one, or at the isolation level read committed"
    )
    return f"""moved := CASE WHEN TG_OP = 'DELETE' THEN 0 ELSE coalesce({now}, 0) END
    - CASE WHEN TG_OP = 'INSERT' THEN 0 ELSE coalesce({was}, 0) END;
  item := CASE WHEN TG_OP = 'DELETE' THEN OLD.item_guid ELSE NEW.item_guid END;
  IF moved <> 0 AND item IS NOT NULL THEN
    -- A trigger of people's own may have come here by an entry that is being posted.
    outer_posting := coalesce(current_setting('hisync.posting', true), '');
    PERFORM set_config('hisync.posting', item || ' ' || pg_current_xact_id()::text, true);
    {updates}
    PERFORM set_config('hisync.posting', outer_posting, true);
    {_refuse(f"TG_OP = 'INSERT' AND NOT posted AND {old_sight}", unseen)}
  END IF;"""


def _captured(table: Table) -> list[Column[Any]]:
    """The captured columns; the id of an item is in `sync_base`, that of a comment nowhere else."""
    identity = {"guid", "id"} if table.name in ITEM_TABLES else {"guid"}
    return [column for column in table.c if column.name not in identity]


def _object(table: Table, row: str) -> str:
    cells = ", ".join(f"'{c.name}', {_cell(c, row)}" for c in _captured(table))
    return f"jsonb_build_object({cells})"


def logged_row(table: Table) -> ColumnElement[Any]:
    """A row as `change_log` would say it; what says nothing is not left out."""
    return literal_column(_object(table, table.name), Document())


def _cell(column: Column[Any], row: str) -> str:
    """A cell as JSON takes it: dates are texts of one form, whatever the session's own is."""
    cell = f"{row}.{column.name}"
    if isinstance(column.type, DateTime | Date):
        form = "YYYY-MM-DD" if isinstance(column.type, Date) else "YYYY-MM-DD HH24:MI:SS.US"
        return (
            f"CASE WHEN NOT isfinite({cell}) THEN {cell}::text "
            f"WHEN extract(year FROM {cell}) < 0 THEN to_char({cell}, '{form} BC') "
            f"ELSE to_char({cell}, '{form}') END"
        )
    if isinstance(column.type, Document):
        return f"coalesce({cell}, 'null')"
    return cell
