"""The endpoints of items, their archive, history and comments.

Public: `ITEM_ROUTES`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from hisync.sandbox.calls import OK, Call, Route
from hisync.sandbox.errors import (
    ENDPOINT_DEPRECATED,
    INVALID_DATA,
    INVALID_FORMAT,
    LIMIT_EXCEEDED,
    NOT_FOUND,
    PARAMETER_MISSING,
    STALE_OBJECT,
    ApiError,
)
from hisync.sandbox.fields import form_values, read_flag, read_id
from hisync.sandbox.habits import follow_write, read_cursor, treat_texts, write_cursor
from hisync.sandbox.messages import Response, json_response, list_response
from hisync.sandbox.records import Item, Unit
from hisync.sandbox.wire import format_date, parse_date, wire_unit

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def list_items(call: Call) -> Response:
    """GET /item: everything that the user can see."""
    items = call.model.items(call.user)
    return _listing(call, items, (call.model.wire(item, call.user) for item in items))


def list_delta(call: Call) -> Response:
    """GET /item/delta/{cursor}: changed items whole, the others as stubs."""
    if not call.traits.delta:
        raise ApiError(NOT_FOUND, "No such method")
    cursor = read_cursor(call.traits, call.args[0])
    if cursor is None or cursor > call.model.latest:
        raise ApiError(INVALID_FORMAT, "Unknown cursor")
    items = call.model.items(call.user)
    listed = (
        _changed(call, item) if item.modified > cursor else {"id": item.id, "changed": False}
        for item in items
        if item.modified > cursor or call.traits.stubs
    )
    return _listing(call, items, listed)


def create_item(call: Call) -> Response:
    """POST /item: a new item; what a repeated guid does is a trait."""
    values = _values(call)
    _check_date_order(call, values, None)
    guid = call.request.form.get("guid")
    if guid and not _GUID.fullmatch(guid):
        raise ApiError(INVALID_FORMAT, "guid is not a UUID")
    if not call.traits.keeps_guid:
        guid = None
    known = call.model.store.by_guid(guid) if guid else []
    if known and call.traits.repeated_guid == "refuses":
        raise ApiError(INVALID_DATA, "An item with this guid already exists")
    if known and call.traits.repeated_guid == "returns_existing":
        return _answer_item(call, call.model.item(known[0].id, call.user))
    _check_room(call)
    item = call.model.create(user=call.user, guid=guid, **values)
    follow_write(call, item)
    return _answer_item(call, item)


def update_item(call: Call) -> Response:
    """PUT /item/{id} or PUT /item: change the properties that were sent."""
    form = call.request.form
    if call.traits.put_needs_guid_and_title and not (form.get("guid") and form.get("title")):
        raise ApiError(PARAMETER_MISSING, "guid and title are mandatory")
    item = _find(call, call.args[0]) if call.args else _named(call)
    _check_version(call, item)
    values = _values(call)
    _check_date_order(call, values, item)
    if moment := form.get("instance_date_time"):
        values.pop("completed", None)
        stamp = parse_date("instance_date_time", moment)
        call.model.complete_instance(item.id, stamp, user=call.user)
    cascade = _flag(call, "cascade") or _flag(call, "cascadeAcl")
    before = item.version
    call.model.update(item.id, user=call.user, cascade=cascade, **values)
    if item.version != before:
        follow_write(call, item)
    return _answer_item(call, item)


def delete_item(call: Call) -> Response:
    """DELETE /item/{id or guid}: which of the two works is a trait."""
    ref = call.args[0]
    allowed = call.traits.delete_by
    if allowed not in ("both", "id" if ref.isdecimal() else "guid"):
        raise ApiError(NOT_FOUND, f"Item {ref} not found")
    item = _find(call, ref)
    cascade = _flag(call, "cascade") or call.traits.orphans == "deleted"
    call.model.delete(item.id, user=call.user, cascade=cascade)
    return OK


def archive_item(call: Call) -> Response:
    """POST /item/archive."""
    call.model.archive(_named(call).id, user=call.user, cascade=_flag(call, "cascade"))
    return OK


def delete_multiple(call: Call) -> Response:
    """POST /item/deletemultiple: what the user may not delete is skipped in silence."""
    return _each(call, lambda item_id: call.model.delete(item_id, user=call.user))


def archive_multiple(call: Call) -> Response:
    """POST /item/archivemultiple: what the user may not archive is skipped in silence."""
    return _each(call, lambda item_id: call.model.archive(item_id, user=call.user))


def restore_item(call: Call) -> Response:
    """GET /archive/restore: the item comes back."""
    _check_room(call)
    return _answer_item(call, call.model.restore(_archived(call).id, user=call.user))


def restore_copy(call: Call) -> Response:
    """GET /archive/restorecopy: a new item like the archived one."""
    _check_room(call)
    return _answer_item(call, call.model.restore_copy(_archived(call).id, user=call.user))


def list_history(call: Call) -> Response:
    """GET /item/history?id=: what happened to an item."""
    units = _as_traced(call, call.model.units(read_id("id", call.need("id")), call.user))
    if call.traits.free_history:
        units = units[-10:]
    listed = [wire_unit(unit) for unit in units]
    return json_response({"history": listed} if call.traits.history_wrapped else listed)


def create_comment(call: Call) -> Response:
    """POST /item/comment."""
    item_id, message = read_id("id", call.need("id")), call.need("message")
    message = message.strip() if call.traits.trims_comments else message
    unit = call.model.comment(item_id, user=call.user, message=message)
    return json_response({"id": unit.id, "time_create": format_date(unit.time)})


def delete_comment(call: Call) -> Response:
    """DELETE /item/comment."""
    call.model.delete_comment(read_id("id", call.need("id")), user=call.user)
    return OK


def refuse_since(_: Call) -> Response:
    """GET /item/since/{timestamp} has had its day."""
    raise ApiError(ENDPOINT_DEPRECATED, "This endpoint is deprecated")


def _as_traced(call: Call, units: list[Unit]) -> list[Unit]:
    """Show deleted comments as this server does."""
    how = call.traits.deleted_comments
    if how == "untraced":
        return [unit for unit in units if unit.property_name != "comment_deleted"]
    if how == "named":
        return [
            replace(unit, id=-unit.id, property_type="STRING", value=str(unit.id))
            if unit.property_name == "comment_deleted"
            else unit
            for unit in units
        ]
    return units


def _listing(call: Call, items: list[Item], listed: Iterable[object]) -> Response:
    """Answer a list with the time of the latest modified item that the user can see."""
    cursor = write_cursor(call.traits, max((item.modified for item in items), default=0))
    headers = {call.traits.cursor_header: cursor} if call.traits.cursor else {}
    return list_response(listed, headers)


def _changed(call: Call, item: Item) -> dict[str, object]:
    wire = call.model.wire(item, call.user) | {"changed": True}
    if call.traits.nulls:
        return wire
    return {name: value for name, value in wire.items() if value is not None}


def _answer_item(call: Call, item: Item) -> Response:
    return json_response(call.model.wire(item, call.user)) if call.traits.answers_item else OK


def _values(call: Call) -> dict[str, object]:
    """Read the properties out of the form, as this server treats them."""
    form = call.request.form
    values = form_values(form)
    if "parent" not in values and "parentGuid" in form:
        values["parent"] = _parent_id(call, form["parentGuid"])
    if form.get("newProject") and read_flag("newProject", form["newProject"]):
        values.setdefault("category", 0)
    if not call.traits.time_spent_writable:
        values.pop("time_spent", None)
    return treat_texts(call.traits, values)


def _parent_id(call: Call, guid: str) -> int:
    if guid in ("", "0", "null"):
        return 0
    known = call.model.store.by_guid(guid)
    if not known:
        raise ApiError(INVALID_DATA, f"Parent {guid} not found")
    return known[0].id


def _check_version(call: Call, item: Item) -> None:
    version = call.request.form.get("version")
    if version is not None and read_id("version", version) < item.version:
        when = format_date(item.modified)
        raise ApiError(
            STALE_OBJECT, f"You are trying to update old object, which was changed on {when}"
        )


def _check_date_order(call: Call, values: dict[str, object], item: Item | None) -> None:
    if not call.traits.orders_dates:
        return
    ends = []
    for name in ("start_date", "end_date"):
        value = values[name] if name in values else item and item.get(name)
        ends.append(parse_date(name, value) if value and isinstance(value, str) else value)
    start, end = ends
    if isinstance(start, int) and isinstance(end, int) and start > end:
        raise ApiError(INVALID_DATA, "The end is before the start")


def _check_room(call: Call) -> None:
    limit = call.traits.items_limit
    if limit and len(call.model.store.live) >= limit:
        raise ApiError(LIMIT_EXCEEDED, "The limit of items is reached")


def _find(call: Call, ref: str) -> Item:
    """Find a live item by its id or guid."""
    if ref.isdecimal():
        return call.model.item(int(ref), call.user)
    known = call.model.store.by_guid(ref)
    return call.model.item(known[0].id if known else 0, call.user)


def _named(call: Call) -> Item:
    """Find the live item that a parameter `id` or `guid` names."""
    ref = call.request.param("id") or call.request.param("guid")
    if not ref:
        raise ApiError(104, "One of the parameters id, guid is mandatory")
    return _find(call, ref)


def _archived(call: Call) -> Item:
    """Find the archived item that a parameter `id` or `guid` names."""
    ref = call.request.param("id") or call.request.param("guid")
    if not ref:
        raise ApiError(104, "One of the parameters id, guid is mandatory")
    for item in call.model.store.archived.values():
        if ref in (str(item.id), item.guid):
            return call.model.archived(item.id, call.user)
    raise ApiError(NOT_FOUND, f"Item {ref} not found in the archive")


def _each(call: Call, action: Callable[[int], None]) -> Response:
    for text in call.need("id").split(","):
        item_id = read_id("id", text.strip())
        try:
            action(item_id)
        except ApiError:
            continue
    return OK


def _flag(call: Call, name: str) -> bool:
    value = call.request.param(name)
    return bool(value) and read_flag(name, value)


ITEM_ROUTES = (
    Route("GET", "/item", list_items),
    Route("POST", "/item", create_item),
    Route("PUT", "/item", update_item),
    Route("GET", "/item/history", list_history),
    Route("POST", "/item/comment", create_comment),
    Route("DELETE", "/item/comment", delete_comment),
    Route("POST", "/item/archive", archive_item),
    Route("POST", "/item/deletemultiple", delete_multiple),
    Route("POST", "/item/archivemultiple", archive_multiple),
    Route("GET", "/item/delta/{}", list_delta),
    Route("GET", "/item/since/{}", refuse_since),
    Route("PUT", "/item/{}", update_item),
    Route("DELETE", "/item/{}", delete_item),
    Route("GET", "/archive/restore", restore_item),
    Route("GET", "/archive/restorecopy", restore_copy),
)
