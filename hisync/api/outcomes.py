"""What an answer of hiTask means: one table from codes and statuses to kinds of error.

The body's `response_status` decides before the HTTP status, since several HTTP statuses stand for
one code and one status for several codes. An answer that can't be one of hiTask's (a portal's
login page, a cut-off body) is never data and never proof: it is a `RetryLaterError`.

Public: `Answer`, `read_answer`, `decode_body`, `kind_of_error`,
`decode_retry_after`, `SessionLostError`, `NOT_AN_ANSWER`, `PARAMETER_MISSING`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import httpx
import orjson

from hisync.api.long_list import LongList
from hisync.errors import (
    GoneError,
    LookAgainError,
    RefusedError,
    RetryLaterError,
    ServiceError,
    SilentError,
    SlowDownError,
    StopError,
    WaitLongError,
)

NOT_AN_ANSWER: Final = "not an answer of hiTask"
ENDPOINT_DEPRECATED: Final = 86
PARAMETER_MISSING: Final = 4
_OK: Final = frozenset({200, 201, 202, 204})
_NO_CONTENT: Final = 204
_MESSAGE_LENGTH: Final = 500
_INTEGERS: Final = range(-(2**63), 2**64)
_LONGEST_INTEGER: Final = 20
_LONGEST_WAIT: Final = 7 * 86400.0


class SessionLostError(RetryLaterError):
    """The session is not known there (any more); a renewed one that is lost at once ends here."""


def _by_number(
    kinds: Mapping[type[ServiceError], tuple[int, ...]],
) -> Mapping[int, type[ServiceError]]:
    return MappingProxyType({number: kind for kind, all_ in kinds.items() for number in all_})


BY_CODE: Final = _by_number(
    {
        RetryLaterError: (59, 66, 100),
        SlowDownError: (67,),
        WaitLongError: (20, 87),
        SessionLostError: (7,),
        LookAgainError: (10,),
        GoneError: (1,),
        RefusedError: (
            *(3, PARAMETER_MISSING, 5, 6, 17, 24, 25, 41, 42, 46, 47, 58),
            *(73, 74, 75, 76, 77, 78, 80, 85, ENDPOINT_DEPRECATED, 104),
        ),
        StopError: (8, 23, 48, 54, 69, 72),
    }
)
"""The kind of error that a `response_status` stands for, whatever the HTTP status."""

BY_STATUS: Final = _by_number(
    {
        RetryLaterError: (408, 425),
        SlowDownError: (429,),
        SessionLostError: (401,),
        LookAgainError: (412,),
        GoneError: (404, 410),
        RefusedError: (507,),
    }
)
"""The kind of error that an HTTP status stands for, where the body has no code that decides."""

BY_FAMILY: Final[Mapping[int, type[ServiceError]]] = MappingProxyType(
    {1: RetryLaterError, 2: RetryLaterError, 3: RetryLaterError, 4: RefusedError}
)
"""The rest by the first digit of the HTTP status; whatever is not here is to be retried later."""

SLOW_DOWN_WITH_RETRY_AFTER: Final = frozenset({403, 503})
"""Statuses that mean "too many requests" when they say how long to wait."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What hiTask answered, believed and parsed.

    Attributes:
        payload: the JSON of its body.
        headers: its headers.
        redact: takes secrets out of what an error quotes of it.
    """

    payload: Any
    headers: Mapping[str, str]
    redact: Callable[[str], str] = str

    @property
    def alone(self) -> Any:
        """The payload; of a list of one, which a write may be answered with, that one."""
        one = isinstance(self.payload, list) and len(self.payload) == 1
        return self.payload[0] if one else self.payload

    @property
    def is_plain_ok(self) -> bool:
        """Whether it says no more than that all went well."""
        return _code_of(self.payload) == 0


def read_answer(
    response: httpx.Response,
    body: bytes | LongList | None = None,
    *,
    now: float,
    redact: Callable[[str], str] = str,
) -> Answer | ServiceError:
    """The answer in a response, or the error that it is.

    Args:
        response: the response.
        body: its body, None for one that was read with the response.
        now: the time in seconds since the epoch, for a `Retry-After` that is a date.
        redact: takes secrets out of the service's own words.
    """
    status = response.status_code
    body = response.content if body is None else body
    try:
        payload, readable = body if isinstance(body, LongList) else decode_body(body), True
    except ValueError:
        payload, readable = None, False
    code = _code_of(payload)
    wait = decode_retry_after(response.headers.get("retry-after"), now)
    said = _message_of(payload)
    kind = kind_of_error(status, code, said, asked_to_wait=wait is not None)
    if kind is not None:
        message = redact(said or _words_for(status, code))[:_MESSAGE_LENGTH]
        return kind(message, status=status, code=code, retry_after=wait)
    if status == _NO_CONTENT and not body:
        return Answer({"response_status": 0}, response.headers)
    if not body:
        return SilentError(f"{NOT_AN_ANSWER}: it is empty", status=status, retry_after=wait)
    if not readable:
        return RetryLaterError(NOT_AN_ANSWER, status=status, retry_after=wait)
    return Answer(payload, response.headers, redact)


def kind_of_error(
    status: int, code: int | None, message: str = "", *, asked_to_wait: bool = False
) -> type[ServiceError] | None:
    """The kind of error that status and code stand for; None when they say that all is well."""
    if code == PARAMETER_MISSING and (status == HTTPStatus.UNAUTHORIZED or _on_session(message)):
        return SessionLostError
    if status == HTTPStatus.INSUFFICIENT_STORAGE and BY_CODE.get(code or 0) is not StopError:
        return RefusedError  # the account is full: waiting won't help, and edits go on
    if code is not None and code in BY_CODE:
        return BY_CODE[code]
    if status in _OK:
        # A code that is in no table still says that the request was not carried out.
        return RefusedError if code else None
    if asked_to_wait and status in SLOW_DOWN_WITH_RETRY_AFTER:
        return SlowDownError
    return BY_STATUS.get(status) or BY_FAMILY.get(status // 100, RetryLaterError)


def decode_body(content: bytes) -> Any:
    """The JSON of a body.

    Raises:
        ValueError: it is none.
    """
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return _decode_leniently(content)


def decode_retry_after(value: str | None, now: float) -> float | None:
    """The seconds that a `Retry-After` header asks for, None when it can't be read."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            due = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        seconds = (due if due.tzinfo else due.replace(tzinfo=UTC)).timestamp() - now
    return min(max(seconds, 0.0), _LONGEST_WAIT) if math.isfinite(seconds) else None


def _decode_leniently(content: bytes) -> Any:
    """Half a surrogate pair in one title must not make a whole account unreadable."""
    try:
        read = json.loads(content.decode(), parse_int=_parse_integer)
        text = json.dumps(read, ensure_ascii=False)
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return json.loads(text, parse_constant=lambda _infinite: None)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _parse_integer(text: str) -> int | float:
    """One that nothing here could hold is a fraction, as it is in every other answer."""
    fits = len(text) <= _LONGEST_INTEGER and int(text) in _INTEGERS
    return int(text) if fits else float(text)


def _code_of(payload: Any) -> int | None:
    code = payload.get("response_status") if isinstance(payload, dict) else None
    if isinstance(code, str) and code.isascii() and code.isdigit():
        return int(code)
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def _message_of(payload: Any) -> str:
    message = payload.get("error_message") if isinstance(payload, dict) else None
    return message if isinstance(message, str) else ""


def _on_session(message: str) -> bool:
    return "session" in message.lower()


def _words_for(status: int, code: int | None) -> str:
    if status in _OK:
        return f"hiTask answered with code {code}"
    if 300 <= status < 400:
        return "redirected to another address, which hiTask itself doesn't do: check base_url"
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return NOT_AN_ANSWER
