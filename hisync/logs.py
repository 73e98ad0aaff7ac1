"""Logging: one event a line on stderr, as JSON or for the eye, with no secret in it.

hisync's own events come through structlog, a library's through the standard library; both end in
one handler on the root logger, which cleans, redacts and renders them. Libraries are heard from
WARNING on; httpx and httpcore, which log URLs with secrets in them, not at all below CRITICAL.

    configure_logging("info", "auto", redact=client.redact)
    structlog.get_logger().info("cycle_finished", pulled=3, pushed=1)

Public: `configure_logging`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TextIO, TypeAlias

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

Redact: TypeAlias = Callable[[str], str]

_OWN: Final = "hisync"
_SILENCED: Final = ("httpx", "httpcore")
_LEVELS: Final[Mapping[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def configure_logging(
    level: str,
    format: str,  # noqa: A002 - the name of the key in the configuration
    stream: TextIO | None = None,
    redact: Redact | None = None,
) -> None:
    """Set logging up for the whole process, in place of what an earlier call set up.

    Args:
        level: the least that hisync's own events must be: debug, info, warning or error.
        format: json, console, or auto: console on a terminal and json elsewhere.
        stream: where lines go; None for whatever `sys.stderr` is at the time.
        redact: takes the secrets out of a text; applied to each text of each event.
    """
    least = _LEVELS[level]
    target = stream or sys.stderr
    terminal = target.isatty()
    if format == "auto":
        format = "console" if terminal else "json"  # noqa: A001
    clean = _Cleaner(redact or str)
    render = _console(colors=terminal and "NO_COLOR" not in os.environ)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=lambda *_: logging.getLogger(_OWN),
        cache_logger_on_first_use=False,
    )
    formatter = ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _as_library_message,
        ],
        processors=[
            ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            clean,
            *([_json] if format == "json" else render),
        ],
    )
    handler = _LineHandler(stream)
    handler.setFormatter(formatter)
    handler.addFilter(partial(_is_wanted, least))
    _install(handler, least)


def _install(handler: logging.Handler, least: int) -> None:
    """Make it the only one of its kind, and set who is heard from which level on."""
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _LineHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(least, logging.WARNING))
    logging.getLogger(_OWN).setLevel(least)
    for name in _SILENCED:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _is_wanted(least: int, record: logging.LogRecord) -> bool:
    """Whether a record is written, also where a library has set its own logger's level."""
    package = record.name.partition(".")[0]
    if package == _OWN:
        return record.levelno >= least
    floor = logging.CRITICAL if package in _SILENCED else logging.WARNING
    return record.levelno >= max(least, floor)


class _LineHandler(logging.Handler):
    """Writes each record as one line, and never fails or falls back to the record's raw text."""

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001 - the text may hold secrets, so it is not shown
            lost = {"event": "log_line_failed", "level": "error", "error": type(error).__name__}
            line = json.dumps(lost)
        stream = self._stream or sys.stderr
        # A full disk or a closed pipe must not stop the sync.
        with contextlib.suppress(OSError, ValueError):
            encoding = getattr(stream, "encoding", None) or "utf-8"
            stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
            stream.flush()


def _as_library_message(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Give a library's record an event name like any other; its text is a field."""
    record: logging.LogRecord = event["_record"]
    return {**event, "event": "library_message", "logger": record.name, "message": event["event"]}


class _Cleaner:
    """Turns every value into what JSON has, every text redacted, the constant fields first."""

    def __init__(self, redact: Redact) -> None:
        self._redact = redact

    def __call__(self, _logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
        first = {key: event[key] for key in ("event", "level", "timestamp") if key in event}
        cleaned: EventDict = self._clean({**first, **event})
        return cleaned

    def _clean(self, value: Any) -> Any:
        match value:
            case None | bool() | int():
                return value
            case float():
                return value if math.isfinite(value) else str(value)
            case Mapping():
                return {self._redact(str(key)): self._clean(one) for key, one in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._clean(one) for one in value]
            case BaseException():
                return self._redact(f"{type(value).__name__}: {value}")
            case _:
                return self._redact(str(value))


def _json(_logger: WrappedLogger, _name: str, event: EventDict) -> str:
    """JSON in ASCII, in which nothing that any reader takes for a line break is left."""
    return json.dumps(event)


def _console(*, colors: bool) -> list[Processor]:
    """The eye's form: texts are quoted with their control characters escaped."""
    return [
        _escape_what_is_not_quoted,
        structlog.dev.ConsoleRenderer(
            colors=colors, sort_keys=False, repr_native_str=True, pad_event_to=0
        ),
    ]


def _escape_what_is_not_quoted(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Escape the names, and keep the renderer from writing tracebacks over several lines."""
    renamed = {"exception": "traceback", "stack": "call_stack"}
    escaped = {renamed.get(key, repr(key)[1:-1]): value for key, value in event.items()}
    for key in ("event", "logger", "level", "timestamp"):
        if key in escaped:
            escaped[key] = repr(str(escaped[key]))[1:-1]
    return escaped
