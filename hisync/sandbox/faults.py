"""Faults that can be switched on, as data: which requests, and what goes wrong with them.

    drop_before    the connection is lost, nothing was applied
    drop_after     applied, then the connection is lost
    drop_midway    applied, then the connection is lost within the answer's body
    status         an HTTP error (`status`, `code`, `message`, `retry_after` or a whole `body`)
    html           an HTML page (`status`, 200 by default), nothing was applied
    empty          applied, answered with an empty body
    cut            applied, answered with JSON cut off in the middle
    empty_list     answered with `[]`
    missing_ids    a list without `ids`, or without its second half
    expire_session the session is gone (`form` 401, 7 or 4), nothing was applied
    slow           answered late (`seconds`; in real time only)
    apply_late     the connection is lost; applied when `after` further requests have arrived

A fault strikes the requests that match `method` and `path` (without the base path, `*` matches
anything), from the `nth` one on, `count` times (0: until switched off). In short as text:
`POST /item:drop_after:1`, `GET /item*:status=503:2`.

Public: `Fault`, `FaultBoard`, `parse_fault`, `fault_from`, `EFFECTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from fnmatch import fnmatchcase

import orjson

from hisync.sandbox.errors import ApiError
from hisync.sandbox.messages import Response, error_response, html_response

METHODS = ("*", "GET", "POST", "PUT", "DELETE")
FORMS = ("401", "7", "4")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: a matcher and an effect; unused details are ignored."""

    effect: str
    method: str = "*"
    path: str = "*"
    nth: int = 1
    count: int = 1
    status: int = 0
    code: int = 100
    message: str = "Internal error"
    retry_after: int | None = None
    body: str | None = None
    ids: tuple[int, ...] = ()
    form: str = "401"
    after: int = 1
    seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.effect not in EFFECTS:
            raise ValueError(f"unknown effect {self.effect!r}; effects are: {', '.join(EFFECTS)}")
        if self.method not in METHODS:
            raise ValueError(f"unknown method {self.method!r}; methods are: {', '.join(METHODS)}")
        if self.form not in FORMS:
            raise ValueError(f"unknown form {self.form!r}; a lost session is {', '.join(FORMS)}")
        if self.nth < 1 or self.count < 0 or self.after < 1 or self.seconds < 0:
            raise ValueError("nth and after start at 1, count and seconds at 0")

    def matches(self, method: str, path: str) -> bool:
        """Tell whether a request is one that this fault is about."""
        return self.method in ("*", method) and fnmatchcase(path, self.path)


@dataclass(slots=True)
class _Armed:
    fault: Fault
    seen: int = 0
    struck: int = 0


class FaultBoard:
    """The faults that are switched on."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._armed: list[_Armed] = [_Armed(fault) for fault in faults]

    def add(self, *faults: Fault | str) -> None:
        """Switch faults on, given as values or as short texts."""
        for fault in faults:
            self._armed.append(_Armed(parse_fault(fault) if isinstance(fault, str) else fault))

    def clear(self) -> None:
        """Switch all faults off."""
        self._armed.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault that strikes this request; every matching one counts it."""
        struck: _Armed | None = None
        for armed in self._armed:
            if armed.fault.matches(method, path):
                armed.seen += 1
                if struck is None and armed.seen >= armed.fault.nth:
                    struck = armed
        if struck is None:
            return None
        struck.struck += 1
        if struck.fault.count and struck.struck >= struck.fault.count:
            self._armed.remove(struck)
        return struck.fault

    def describe(self) -> list[dict[str, object]]:
        """Return the faults that are still to strike, as JSON values."""
        return [{**asdict(armed.fault), "struck": armed.struck} for armed in self._armed]


def parse_fault(text: str) -> Fault:
    """Read `METHOD path:effect[=detail][:count]`.

    Raises:
        ValueError: something is not known; the message lists what is allowed.
    """
    matcher, _, rest = text.strip().partition(":")
    method, _, path = matcher.strip().partition(" ")
    what, _, count = rest.partition(":")
    effect, equals, detail = what.strip().partition("=")
    if not path or not effect or (count and not count.strip().isdecimal()):
        raise ValueError(
            f"a fault is 'METHOD path:effect[=detail][:count]', not {text!r}; "
            f"effects are: {', '.join(EFFECTS)}"
        )
    fault = Fault(effect, method.upper(), path.strip(), count=int(count or 1))
    return _with_detail(fault, detail) if equals else fault


def fault_from(given: Mapping[str, object] | str) -> Fault:
    """Read a fault from JSON: an object with the fields of `Fault`, or a short text."""
    if isinstance(given, str):
        return parse_fault(given)
    names = {each.name for each in fields(Fault)}
    unknown = sorted(given.keys() - names)
    if unknown or "effect" not in given:
        what = f"unknown: {', '.join(unknown)}" if unknown else "effect is missing"
        raise ValueError(f"{what}; a fault has: {', '.join(sorted(names))}")
    values = dict(given)
    wrong = [name for name, value in values.items() if not _fits(name, value)]
    if wrong:
        raise ValueError(f"{', '.join(wrong)}: wrong type of value")
    if isinstance(ids := values.get("ids"), list):
        values["ids"] = tuple(ids)
    return Fault(**values)  # type: ignore[arg-type]


def _fits(name: str, value: object) -> bool:
    return isinstance(value, _TYPES.get(name, (str,))) and not isinstance(value, bool)


# What JSON may say; everything else is text.
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("nth", "count", "status", "code", "after"), (int,)),
    "retry_after": (int, type(None)),
    "body": (str, type(None)),
    "ids": (list, tuple),
    "seconds": (int, float),
}


_DETAILS: dict[str, Callable[[str], dict[str, object]]] = {
    "status": lambda text: {"status": int(text)},
    "html": lambda text: {"status": int(text)},
    "missing_ids": lambda text: {"ids": tuple(int(each) for each in text.split("+"))},
    "expire_session": lambda text: {"form": text},
    "slow": lambda text: {"seconds": float(text)},
    "apply_late": lambda text: {"after": int(text)},
}


def _with_detail(fault: Fault, detail: str) -> Fault:
    if fault.effect not in _DETAILS:
        raise ValueError(
            f"effect {fault.effect} takes no detail; those that do: {', '.join(_DETAILS)}"
        )
    try:
        changes = _DETAILS[fault.effect](detail)
    except ValueError as error:
        raise ValueError(f"effect {fault.effect}: {detail!r} is not a number") from error
    return replace(fault, **changes)  # type: ignore[arg-type]


Answer = Callable[[], Response]


def _drop_after(_: Fault, answer: Answer) -> Response:
    answer()
    return Response(drop="connection")


def _drop_midway(_: Fault, answer: Answer) -> Response:
    response = answer()
    return replace(response, drop="body", body=_half(response.body))


def _status(fault: Fault, _: Answer) -> Response:
    error = ApiError(
        fault.code, fault.message, status=fault.status or 503, retry_after=fault.retry_after
    )
    response = error_response(error)
    return response if fault.body is None else replace(response, body=fault.body.encode())


def _html(fault: Fault, _: Answer) -> Response:
    return html_response(fault.status or 200, "Service is temporarily unavailable")


def _cut(_: Fault, answer: Answer) -> Response:
    response = answer()
    return replace(response, body=_half(response.body))


def _missing_ids(fault: Fault, answer: Answer) -> Response:
    response = answer()
    listed = orjson.loads(response.body)
    if not isinstance(listed, list):
        return response
    if fault.ids:
        listed = [each for each in listed if each.get("id") not in fault.ids]
    else:
        listed = listed[: len(listed) // 2]
    return replace(response, body=orjson.dumps(listed))


def _half(body: bytes) -> bytes:
    """Cut a body; never to something that is whole JSON."""
    return body[: max(1, len(body) // 2)] if len(body) > 1 else b""


# The last two need the service itself, which takes care of them.
EFFECTS: dict[str, Callable[[Fault, Answer], Response] | None] = {
    "drop_before": lambda _, __: Response(drop="connection"),
    "drop_after": _drop_after,
    "drop_midway": _drop_midway,
    "status": _status,
    "html": _html,
    "empty": lambda _, answer: replace(answer(), body=b""),
    "cut": _cut,
    "empty_list": lambda _, answer: replace(answer(), body=b"[]"),
    "missing_ids": _missing_ids,
    "slow": lambda fault, answer: replace(answer(), delay=fault.seconds),
    "expire_session": None,
    "apply_late": None,
}
