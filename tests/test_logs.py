"""Logging: one line an event, in both forms, from hisync and from libraries, without secrets."""

from __future__ import annotations

import io
import json
import logging
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import pytest
import structlog

from hisync.logs import configure_logging

SECRET = "g3h31m"

NASTY = "a\nb\r\x0b\x85\u2028\x1b[31m c"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Take what `configure_logging` set up down again."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    for name in ("httpx", "httpcore", "httpcore.connection"):
        # A test that made an API client has shut them for good, whatever the logs are set to.
        logging.getLogger(name).filters.clear()
        logging.getLogger(name).setLevel(logging.NOTSET)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("hisync", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def log() -> Any:
    return structlog.get_logger()


def redact(text: str) -> str:
    return text.replace(SECRET, "[secret]")


def logged(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail(message: str) -> None:
    local_variable = "only-in-the-frame"
    raise RuntimeError(f"{message} {len(local_variable)}")


# JSON


def test_an_event_is_one_json_object() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    log().info("cycle_finished", pulled=3, seconds=0.5, full=False, cursor=None)
    (event,) = logged(stream)
    assert list(event)[:3] == ["event", "level", "timestamp"]
    assert event["event"] == "cycle_finished"
    assert event["level"] == "info"
    moment = datetime.fromisoformat(event["timestamp"])
    assert moment.utcoffset() is not None
    assert event["timestamp"].endswith("Z")
    assert {key: event[key] for key in ("pulled", "seconds", "full", "cursor")} == {
        "pulled": 3,
        "seconds": 0.5,
        "full": False,
        "cursor": None,
    }


def test_whatever_a_field_holds_becomes_json() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    guid = uuid.UUID(int=7)
    log().info(
        "odd_values",
        path=Path("/x"),
        guid=guid,
        many=({1}, [2.5]),
        keyed={1: {"a": float("nan")}},
        error=ValueError("bad"),
        surrogate="\udc80",
    )
    (event,) = logged(stream)
    assert event["path"] == "/x"
    assert event["guid"] == str(guid)
    assert event["many"] == [[1], [2.5]]
    assert event["keyed"] == {"1": {"a": "nan"}}
    assert event["error"] == "ValueError: bad"


def test_line_breaks_in_values_stay_in_the_line() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    log().info("nasty", value=NASTY, **{NASTY: [NASTY]})
    assert len(stream.getvalue().splitlines()) == 1
    (event,) = logged(stream)
    assert event["value"] == NASTY
    assert event[NASTY] == [NASTY]


def test_an_exception_is_text_without_local_variables() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    try:
        fail("no luck")
    except RuntimeError:
        log().exception("api_error", status=500)
    (event,) = logged(stream)
    assert event["level"] == "error"
    assert event["exception"].startswith("Traceback (most recent call last):\n")
    assert event["exception"].endswith("RuntimeError: no luck 17")
    assert "'only-in-the-frame'" not in event["exception"]
    assert "exc_info" not in event


def test_bound_context_is_logged() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    structlog.contextvars.bind_contextvars(cycle=4)
    log().bind(table="tasks").info("change_rejected")
    (event,) = logged(stream)
    assert event["cycle"] == 4
    assert event["table"] == "tasks"


# Console


def test_the_console_form_is_one_escaped_line_without_colours() -> None:
    stream = io.StringIO()
    configure_logging("info", "console", stream)
    log().info("nasty", value=NASTY, nested={"a": [NASTY]}, **{NASTY: 1})
    try:
        fail("no\nluck")
    except RuntimeError:
        log().exception("api_error")
    first, second = stream.getvalue().splitlines()
    assert "nasty" in first
    assert "[info" in first
    assert r"value='a\nb\r\x0b\x85\u2028\x1b[31m c'" in first
    assert "\x1b" not in stream.getvalue()
    assert "RuntimeError: no\\nluck" in second


@pytest.mark.parametrize("no_color", [False, True])
def test_colours_only_on_a_terminal_that_wants_them(
    monkeypatch: pytest.MonkeyPatch, no_color: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    configure_logging("info", "console", stream)
    log().info("cycle_finished")
    assert ("\x1b[" in stream.getvalue()) is not no_color


@pytest.mark.parametrize(("stream", "is_json"), [(io.StringIO(), True), (Terminal(), False)])
def test_auto_is_console_on_a_terminal_and_json_elsewhere(
    stream: io.StringIO, is_json: bool
) -> None:
    configure_logging("info", "auto", stream)
    log().info("cycle_finished")
    assert stream.getvalue().startswith("{") is is_json


# Levels


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["debug", "info", "warning", "error", "critical"]),
        ("info", ["info", "warning", "error", "critical"]),
        ("warning", ["warning", "error", "critical"]),
        ("error", ["error", "critical"]),
    ],
)
def test_own_events_from_the_level_on(level: str, expected: list[str]) -> None:
    streams = io.StringIO(), io.StringIO()
    for stream, logger in zip(streams, (log(), logging.getLogger("hisync.somewhere")), strict=True):
        configure_logging(level, "json", stream)
        for method in ("debug", "info", "warning", "error", "critical"):
            getattr(logger, method)("it_happened")
    assert [event["level"] for event in logged(streams[0])] == expected
    assert [event["level"] for event in logged(streams[1])] == expected


@pytest.mark.parametrize("library", ["apscheduler.x", "alembic", "sqlalchemy.engine", "uvicorn"])
@pytest.mark.parametrize(
    ("level", "expected"), [("debug", ["warning", "error"]), ("error", ["error"])]
)
def test_libraries_from_warning_on(library: str, level: str, expected: list[str]) -> None:
    stream = io.StringIO()
    configure_logging(level, "json", stream)
    logger = logging.getLogger(library)
    for method in ("debug", "info", "warning", "error"):
        getattr(logger, method)("Job %s", "x")
    events = logged(stream)
    assert [event["level"] for event in events] == expected
    assert {(event["event"], event["logger"], event["message"]) for event in events} == {
        ("library_message", library, "Job x")
    }


def test_a_library_that_lowers_its_own_level_is_not_heard_more() -> None:
    stream = io.StringIO()
    configure_logging("debug", "json", stream)
    for name in ("alembic.runtime", "httpx"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.DEBUG)
        logger.info("chatter")
        logger.setLevel(logging.NOTSET)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("name", ["httpx", "httpcore", "httpcore.connection"])
def test_the_http_client_is_silent(name: str) -> None:
    stream = io.StringIO()
    configure_logging("debug", "json", stream)
    logging.getLogger(name).error("GET https://h/?session_id=x")
    assert stream.getvalue() == ""
    logging.getLogger(name).critical("gone")
    assert [event["message"] for event in logged(stream)] == ["gone"]


# Secrets


@pytest.mark.parametrize("format_", ["json", "console"])
def test_every_text_is_redacted(format_: str) -> None:
    stream = io.StringIO()
    configure_logging("debug", format_, stream, redact)
    log().info(
        f"event_{SECRET}",
        text=f"x {SECRET}",
        nested={"a": [{"b": (SECRET,)}], SECRET: 1},
        path=Path(f"/{SECRET}"),
        error=ValueError(SECRET),
    )
    try:
        fail(SECRET)
    except RuntimeError:
        log().exception("api_error")
        logging.getLogger("apscheduler").exception("Job %s failed", SECRET)
    assert SECRET not in stream.getvalue()
    assert stream.getvalue().count("[secret]") >= 9
    assert len(stream.getvalue().splitlines()) == 3


def test_a_line_that_cannot_be_made_says_so_and_nothing_of_its_content(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream, redact)
    endless: list[Any] = [SECRET]
    endless.append(endless)
    log().info("endless", value=endless)
    # Given to the handler alone: pytest's own handler would raise.
    logging.getLogger().handlers[-1].handle(
        logging.LogRecord("alembic", logging.WARNING, __file__, 1, "%d", (SECRET,), None)
    )
    assert [event["event"] for event in logged(stream)] == ["log_line_failed"] * 2
    assert SECRET not in stream.getvalue()
    assert capsys.readouterr() == ("", "")


# Streams


def test_configuring_again_replaces_what_was() -> None:
    before = len(logging.getLogger().handlers)
    streams = [io.StringIO() for _ in range(3)]
    logger = log()
    for stream in streams:
        configure_logging("info", "json", stream)
        logging.getLogger("alembic").warning("once")
        log().info("once")
    assert len(logging.getLogger().handlers) == before + 1
    assert [len(logged(stream)) for stream in streams] == [2, 2, 2]
    logger.info("made_before")
    assert len(logged(streams[-1])) == 3


def test_by_default_it_writes_to_the_stderr_of_the_moment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logging("info", "json")
    log().info("first")
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["event"] == "first"
    later = io.StringIO()
    monkeypatch.setattr(sys, "stderr", later)
    log().info("second")
    assert logged(later)[0]["event"] == "second"


def closed() -> TextIO:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    stream.close()
    return stream


class Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, _: str, /) -> int:
        raise OSError(28, "No space left on device")


def full() -> TextIO:
    stream = Full()
    configure_logging("info", "json", stream)
    return stream


@pytest.mark.parametrize("make", [closed, full])
def test_a_broken_stream_stops_nothing(
    make: Callable[[], TextIO], capsys: pytest.CaptureFixture[str]
) -> None:
    make()
    log().info("unheard")
    logging.getLogger("alembic").error("unheard")
    assert capsys.readouterr() == ("", "")


def test_a_stream_that_cannot_write_every_letter() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    configure_logging("info", "console", stream)
    log().info("letters", title="žluť")
    assert rb"title='\u017elu\u0165'" in raw.getvalue()
    stream.detach()
