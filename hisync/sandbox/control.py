"""The sandbox's own paths, for whoever runs it: look inside, cause trouble, play the colleague.

Asked for `/sandbox` alone, it says which there are. Public: `handle`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import orjson

from hisync.sandbox.errors import NOT_FOUND, ApiError
from hisync.sandbox.faults import Fault, fault_from
from hisync.sandbox.fields import read_flag, read_id
from hisync.sandbox.messages import Request, Response, error_response, json_response
from hisync.sandbox.records import User
from hisync.sandbox.traits import traits_from

if TYPE_CHECKING:
    from hisync.sandbox.service import Service

INVALID_JSON = 46

_PATHS = {
    "GET /sandbox/state": "counts, requests so far, the last 20 (?last=50: 50), faults and traits",
    "POST /sandbox/faults": "switch faults on: a JSON list of objects or short texts",
    "DELETE /sandbox/faults": "switch all faults off",
    "PUT /sandbox/traits": "change traits: a JSON object",
    "POST /sandbox/items": 'create an item as a colleague: a JSON object, such as {"title": "Hi"}',
    "PUT /sandbox/items/ID": "change one: a JSON object of hiTask's properties",
    "DELETE /sandbox/items/ID": "delete one, with ?cascade=true its children, too",
    "POST /sandbox/comments": "comment: a JSON object with id and message",
    "user": "whose login is given with these is the colleague; the team's second member otherwise",
}
"""What there is, for `GET /sandbox`."""


def handle(service: Service, request: Request) -> Response:
    """Answer one request to the sandbox itself."""
    _, _, name, *rest = [*request.path.rstrip("/").split("/"), ""]
    args = [each for each in rest if each]
    action = _ACTIONS.get((request.method, name, len(args)))
    if action is None:
        return error_response(ApiError(NOT_FOUND, f"No {request.method} {request.path} here"))
    try:
        return json_response(action(service, request, *args))
    except ApiError as error:
        return error_response(error)
    except ValueError as error:
        return error_response(ApiError(INVALID_JSON, str(error)))


def _show_paths(_service: Service, _: Request) -> object:
    return _PATHS


def _show_state(service: Service, request: Request) -> object:
    model, last = service.model, max(1, read_id("last", request.query.get("last", "20")))
    return {
        "items": len(model.store.live),
        "archived": len(model.store.archived),
        "comments": model.history.count_comments(),
        "users": [user.login for user in model.users],
        "sessions": len(model.team.sessions),
        "latest": model.latest,
        "requests": dict(sorted(service.requests.items())),
        "last_requests": [asdict(each) for each in list(service.log)[-last:]],
        "faults": service.faults.describe(),
        "traits": asdict(service.traits),
    }


def _add_faults(service: Service, request: Request) -> object:
    given = _body(request)
    faults = [_fault(each) for each in (given if isinstance(given, list) else [given])]
    service.faults.add(*faults)
    return service.faults.describe()


def _fault(given: object) -> Fault:
    if not isinstance(given, dict | str):
        raise ApiError(INVALID_JSON, "a fault is an object or a text")
    return fault_from(given)


def _clear_faults(service: Service, _: Request) -> object:
    service.faults.clear()
    return []


def _set_traits(service: Service, request: Request) -> object:
    service.traits = traits_from(_object(request), service.traits)
    return asdict(service.traits)


def _create_item(service: Service, request: Request) -> object:
    values = _object(request)
    user = _colleague(service, values.pop("user", None))
    guid = values.pop("guid", None)
    item = service.model.create(user=user, guid=None if guid is None else str(guid), **values)
    return service.model.wire(item, user)


def _update_item(service: Service, request: Request, item_id: str) -> object:
    values = _object(request)
    user = _colleague(service, values.pop("user", None))
    cascade = read_flag("cascade", values.pop("cascade", False))
    item = service.model.update(read_id("id", item_id), user=user, cascade=cascade, **values)
    return service.model.wire(item, user)


def _delete_item(service: Service, request: Request, item_id: str) -> object:
    user = _colleague(service, request.query.get("user"))
    cascade = read_flag("cascade", request.query.get("cascade", "false"))
    service.model.delete(read_id("id", item_id), user=user, cascade=cascade)
    return {"response_status": 0}


def _add_comment(service: Service, request: Request) -> object:
    values = _object(request)
    user = _colleague(service, values.get("user"))
    item_id, message = read_id("id", values.get("id")), str(values.get("message") or "")
    return {"id": service.model.comment(item_id, user=user, message=message).id}


def _colleague(service: Service, who: object) -> User:
    if who is not None:
        return service.model.user(str(who))
    users = service.model.users
    return users[min(1, len(users) - 1)]


def _body(request: Request) -> object:
    try:
        return orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the body is not JSON: {error}") from error


def _object(request: Request) -> dict[str, object]:
    body = _body(request)
    if not isinstance(body, dict):
        raise ApiError(INVALID_JSON, "the body is not a JSON object")
    return body


_ACTIONS: dict[tuple[str, str, int], Callable[..., object]] = {
    ("GET", "", 0): _show_paths,
    ("GET", "state", 0): _show_state,
    ("POST", "faults", 0): _add_faults,
    ("DELETE", "faults", 0): _clear_faults,
    ("PUT", "traits", 0): _set_traits,
    ("POST", "items", 0): _create_item,
    ("PUT", "items", 1): _update_item,
    ("DELETE", "items", 1): _delete_item,
    ("POST", "comments", 0): _add_comment,
}
