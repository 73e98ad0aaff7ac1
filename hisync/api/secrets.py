"""Keeping the password, the API key and the session out of every text that leaves this package.

hiTask takes the password in the URL of a GET, and httpx and httpcore log URLs and headers. So
their loggers are shut, and whatever the service says passes through `Secrets` before it gets
into an exception or a log line.

Public: `Secrets`, `silence_http_loggers`.
"""

from __future__ import annotations

import json
import logging
import re
from collections import deque
from functools import lru_cache
from html.entities import codepoint2name
from typing import Final

from structlog.typing import EventDict, WrappedLogger

_HIDDEN: Final = "***"
_BACKSLASH: Final = r"\\{1,4}"  # quoted again, it becomes two, and then four
_MARKS: Final = "%\\&+"  # one of them is in whatever is quoted
_SESSIONS: Final = 8  # a late message may still name an earlier session
_HTTP_LOGGERS: Final = (
    "httpx",
    "httpcore",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)


def silence_http_loggers() -> None:
    """Shut the loggers of the HTTP libraries, whatever level they or the root logger have."""
    for name in _HTTP_LOGGERS:
        logger = logging.getLogger(name)
        # The level saves the work of making the record; the filter holds if the level is changed.
        logger.setLevel(logging.CRITICAL + 1)
        if _drop not in logger.filters:
            logger.addFilter(_drop)


def _drop(_record: logging.LogRecord) -> bool:
    return False


class Secrets:
    """Replaces every known secret in a text, in each form in which it may show up there.

    An instance is also a structlog processor.
    """

    __slots__ = ("_fixed", "_sessions", "_values")

    def __init__(self, *values: str) -> None:
        self._fixed = tuple(value for value in values if value.strip())
        self._sessions: deque[str] = deque(maxlen=_SESSIONS)
        self._values: tuple[str, ...] = ()
        self._prepare()

    def add_session(self, value: str) -> None:
        """Make a session's id known; the last few are remembered."""
        if value.strip() and value not in self._sessions:
            self._sessions.append(value)
            self._prepare()

    def redact(self, text: str) -> str:
        """The text without any known secret."""
        quoted = any(mark in text for mark in _MARKS)
        for value in self._values:
            # Where nothing is quoted, the plain way is much quicker.
            text = (
                _any_form_of(value).sub(_HIDDEN, text) if quoted else text.replace(value, _HIDDEN)
            )
        return text

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """The event without any known secret, as structlog's chain of processors wants it."""
        return {key: self._redact_value(value) for key, value in event.items()}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def _redact_value(self, value: object) -> object:
        match value:
            case str():
                return self.redact(value)
            case bytes():
                return self.redact(value.decode(errors="replace"))
            case dict():
                return {
                    self._redact_value(key): self._redact_value(one) for key, one in value.items()
                }
            case list() | tuple() | set() | frozenset():
                return [self._redact_value(one) for one in value]
            case None | bool() | int() | float():
                return value
            case _:
                # An exception or an object of a library: what a renderer would make of it.
                text = repr(value)
                clean = self.redact(text)
                return value if clean == text else clean

    def _prepare(self) -> None:
        # The longest first, so that no part of a longer one is left over.
        known = {*self._fixed, *self._sessions}
        self._values = tuple(sorted(known, key=lambda value: (-len(value), value)))


@lru_cache(maxsize=2 * _SESSIONS)
def _any_form_of(secret: str) -> re.Pattern[str]:
    """A secret however its characters are written; made when it is first looked for."""
    return re.compile("".join(map(_character, secret)))


def _character(character: str) -> str:
    """A pattern of a character as it is, or quoted for a URL, JSON, HTML or a repr, also twice.

    Each by itself, since whoever quotes a text decides which of its characters need that.
    """
    number, octets = ord(character), character.encode(errors="surrogatepass")
    units = re.findall("....", character.encode("utf-16-be", "surrogatepass").hex())
    short = json.dumps(character)[1:-1]
    name = "apos" if character == "'" else codepoint2name.get(number)
    names = [rf"\#0*{number}", rf"\#[xX]0*(?i:{number:x})", *([name] if name else [])]
    forms = [
        _BACKSLASH if character == "\\" else re.escape(character),
        "".join(f"%(?:25)*(?i:{octet:02x})" for octet in octets),
        "".join(f"{_BACKSLASH}x(?i:{octet:02x})" for octet in octets),
        f"{_BACKSLASH}x(?i:{number:02x})",
        "".join(f"{_BACKSLASH}u(?i:{unit})" for unit in units),
        f"&(?:amp;)*(?:{'|'.join(names)});",
    ]
    if character in "\"'/":
        forms.append(_BACKSLASH + character)
    if short[0] == "\\" and short[1:].isalpha() and len(short) == len("\\n"):
        forms.append(_BACKSLASH + short[1:])
    if character == " ":
        forms.append(r"\+")
    return f"(?:{'|'.join(forms)})"
