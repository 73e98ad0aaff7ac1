"""One claimed change as one request to hiTask. Public: `send_claim`."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Final

from hisync.engine import Engine
from hisync.errors import (
    RetryLaterError,
    ServiceError,
    SlowDownError,
    StopError,
    UnreachableError,
)
from hisync.items import DATE_TYPES, Item, Values, category_of_table, fields_of
from hisync.mirror import state
from hisync.people.refreshing import save_zone
from hisync.people.roster import KEY_LACKS_PERMISSION, said_zone
from hisync.pushing.claim import Claim

# A deletion that hiTask calls unknown is asked for by the other form next time.
_OTHER_FORM: Final = 2

# Not trouble that passes: it answers, but not with preferences.
_NO_ZONE: Final = frozenset({(200, None), (501, None), (501, 100)})


def send_claim(engine: Engine, claimed: Claim) -> Item | int | None:
    """Make the request; no transaction may be open.

    Returns:
        The item as hiTask answered it; the number alone of one that was created, where it said no
        more; None if it answered just OK.

    Raises:
        ServiceError: as the API client does.
    """
    intent, base = claimed.intent, claimed.base
    if intent.op == "create" or base is None:
        return _send_create(engine, claimed)
    guid = base.remote_guid or base.guid
    if intent.op == "update":
        return engine.api.send_update(
            base.id,
            guid,
            _named_remotely(claimed),
            is_all_day=bool(intent.sent.get("is_all_day", claimed.row.get("is_all_day"))),
            parent_id=claimed.parent.id if claimed.parent else None,
            zone=_zone(engine, claimed),
            title=str(claimed.row.get("title") or ""),
        )
    if intent.op == "archive":
        engine.api.send_archive(base.id, guid)
    else:
        engine.api.send_delete(base.id, guid, by_guid=intent.attempt % _OTHER_FORM == 0)
    return None


def _account_zone(engine: Engine) -> tzinfo:
    """The account's time zone: configured, else its preference on hiTask, else UTC."""
    if engine.rules.zone is not None:
        return engine.rules.zone
    with engine.mirror.reading() as connection:
        memory = state.load(connection)
    name = memory.time_zone
    if name is None or memory.zone_is_old:
        name = _asked_zone(engine, name)
    return state.zone_named(name) or UTC


def _asked_zone(engine: Engine, known: str | None) -> str:
    """The name of the zone as hiTask says it now.

    That it can't be had is not about what is being sent: the zone known before is used then, and
    UTC where hiTask refuses to name any.
    """
    try:
        name = said_zone(engine.api.fetch_preferences())
    except (SlowDownError, UnreachableError):
        raise
    except ServiceError as error:
        if isinstance(error, StopError) and error.code != KEY_LACKS_PERMISSION:
            raise
        if (
            known is None
            and isinstance(error, RetryLaterError)
            and (error.status, error.code) not in _NO_ZONE
        ):
            raise
        engine.log.warning("time_zone_unreadable", reason=str(error), used=known or "UTC")
        return known or "UTC"
    with engine.mirror.writing() as connection:
        save_zone(engine, connection, name)
    return name


def _send_create(engine: Engine, claimed: Claim) -> Item | int | None:
    intent = claimed.intent
    category = category_of_table(intent.table)
    if category is None:
        category = int(intent.sent["category"])
    return engine.api.send_create(
        intent.guid,
        category,
        _named_remotely(claimed),
        parent_id=claimed.parent.id if claimed.parent else None,
        zone=_zone(engine, claimed),
    )


def _named_remotely(claimed: Claim) -> Values:
    """The values to send, the parent by the guid that hiTask knows it by."""
    sent = claimed.intent.sent
    if sent.get("parent_guid") is None or claimed.parent is None:
        return sent
    return {**sent, "parent_guid": claimed.parent.remote_guid or claimed.parent.guid}


def _zone(engine: Engine, claimed: Claim) -> tzinfo:
    """The zone in which days are written; asked for only where there are days to write."""
    fields = fields_of(claimed.intent.table)
    days = [
        column
        for column, value in claimed.intent.sent.items()
        if value is not None and fields[column].type in DATE_TYPES
    ]
    all_day = claimed.intent.sent.get("is_all_day", claimed.row.get("is_all_day"))
    return _account_zone(engine) if days and all_day else UTC
