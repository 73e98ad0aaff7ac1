"""Keeping the password, the API key and the session out of every text that leaves this package.

hiTask takes the password in the URL of a GET, and httpx and httpcore log URLs and headers. So
their loggers are shut, and whatever the service says passes through `Secrets` before it gets
into an exception or a log line.

Public: `Secrets`, `silence_http_loggers`.
"""

from __future__ import annotations

import html
import json
import logging
from collections import deque
from typing import Final
from urllib.parse import quote, quote_plus

from structlog.typing import EventDict, WrappedLogger

_HIDDEN: Final = "***"
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

    __slots__ = ("_fixed", "_forms", "_sessions")

    def __init__(self, *values: str) -> None:
        self._fixed = tuple(value for value in values if value.strip())
        self._sessions: deque[str] = deque(maxlen=_SESSIONS)
        self._forms: tuple[str, ...] = ()
        self._prepare()

    def add_session(self, value: str) -> None:
        """Make a session's id known; the last few are remembered."""
        if value.strip() and value not in self._sessions:
            self._sessions.append(value)
            self._prepare()

    def redact(self, text: str) -> str:
        """The text without any known secret."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, _HIDDEN)
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
        forms = {form for value in (*self._fixed, *self._sessions) for form in _forms_of(value)}
        # The longest first, so that no part of a longer one is left over.
        self._forms = tuple(sorted(forms, key=lambda form: (-len(form), form)))


def _forms_of(value: str) -> set[str]:
    """The secret as it is, quoted for a URL, and escaped in JSON, HTML and a repr."""
    quoted = {quote(value, safe=""), quote(value), quote_plus(value)}
    escaped = {json.dumps(value)[1:-1], html.escape(value), repr(value)[1:-1]}
    return {value, *quoted, *(_lower_escapes(one) for one in quoted), *escaped}


def _lower_escapes(quoted: str) -> str:
    first, *rest = quoted.split("%")
    return "%".join([first, *(part[:2].lower() + part[2:] for part in rest)])
