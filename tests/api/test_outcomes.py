"""The table of codes and statuses, and the answers that are none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from hisync.api.outcomes import (
    NOT_AN_ANSWER,
    Answer,
    SessionLostError,
    decode_body,
    decode_retry_after,
    read_answer,
)
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

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()

BY_CODE: dict[type[ServiceError], list[int]] = {
    RetryLaterError: [59, 66, 100],
    SlowDownError: [67],
    WaitLongError: [87, 20],
    SessionLostError: [7],
    LookAgainError: [10],
    GoneError: [1],
    RefusedError: [3, 4, 5, 6, 17, 24, 25, 41, 42, 46, 47, 58, *range(73, 79), 80, 86, 104],
    StopError: [8, 48, 54, 69, 72, 23],
}
BY_STATUS: dict[type[ServiceError], list[int]] = {
    RetryLaterError: [500, 501, 502, 503, 504, 599, 301, 302, 304, 307, 206, 299],
    SlowDownError: [429],
    SessionLostError: [401],
    LookAgainError: [412],
    GoneError: [404],
    RefusedError: [400, 403, 405, 409, 418, 507],
}


def read(status: int, body: Any = None, /, **headers: str) -> Answer | ServiceError:
    content = body if isinstance(body, bytes) else b"" if body is None else None
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    if content is None:
        return read_answer(httpx.Response(status, json=body, headers=names), now=NOW)
    return read_answer(httpx.Response(status, content=content, headers=names), now=NOW)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 500, 503])
@pytest.mark.parametrize(
    ("kind", "code"), [(kind, code) for kind, codes in BY_CODE.items() for code in codes]
)
def test_the_code_decides_whatever_the_status(
    kind: type[ServiceError], code: int, status: int
) -> None:
    if (status, code) == (401, 4):
        kind = SessionLostError
    error = read(status, {"error_message": "words", "response_status": code})
    assert type(error) is kind
    assert (error.status, error.code, error.message) == (status, code, "words")


@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b'{"error_message": "cu', b"[]", b"7"])
@pytest.mark.parametrize(
    ("kind", "status"), [(kind, code) for kind, codes in BY_STATUS.items() for code in codes]
)
def test_without_a_code_the_status_decides(
    kind: type[ServiceError], status: int, body: bytes
) -> None:
    error = read(status, body)
    assert type(error) is kind
    assert error.status == status
    assert error.code is None
    assert error.message


@pytest.mark.parametrize("body", [b" ", b"<html></html>", b'[{"id": 1', b'[{"id": 1}]]', b"\xff"])
def test_a_200_that_is_no_json_is_no_answer(body: bytes) -> None:
    error = read(200, body)
    assert type(error) is RetryLaterError
    assert error.message == NOT_AN_ANSWER


def test_a_200_without_a_body_says_nothing() -> None:
    error = read(200, b"")
    assert type(error) is SilentError
    assert error.message == f"{NOT_AN_ANSWER}: it is empty"


def test_a_200_with_an_unknown_code_was_not_carried_out() -> None:
    assert type(read(200, {"response_status": 999})) is RefusedError


@pytest.mark.parametrize("body", [{"response_status": 0}, {"response_status": "0"}])
def test_a_plain_ok(body: dict[str, Any]) -> None:
    answer = read(200, body)
    assert isinstance(answer, Answer)
    assert answer.is_plain_ok


def test_a_204_is_a_plain_ok_and_an_empty_200_is_not() -> None:
    answer = read(204)
    assert isinstance(answer, Answer)
    assert answer.is_plain_ok
    assert isinstance(read(200), RetryLaterError)


def test_code_0_under_a_bad_status_excuses_nothing() -> None:
    assert type(read(500, {"response_status": 0})) is RetryLaterError


@pytest.mark.parametrize("message", ["Session not found", "parameter session_id is mandatory"])
def test_code_4_about_the_session_is_a_lost_session(message: str) -> None:
    body = {"error_message": message, "response_status": 4}
    assert type(read(400, body)) is SessionLostError
    assert type(read(400, body | {"error_message": "title is mandatory"})) is RefusedError


@pytest.mark.parametrize("status", [403, 503])
def test_asking_to_wait_means_slow_down(status: int) -> None:
    error = read(status, b"<html>", Retry_After="30")
    assert type(error) is SlowDownError
    assert error.retry_after == 30


@pytest.mark.parametrize("status", [500, 429])
def test_the_wait_is_kept_with_other_errors(status: int) -> None:
    error = read(status, Retry_After="5")
    assert isinstance(error, RetryLaterError)
    assert error.retry_after == 5


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("", None),
        ("99999999999", 7 * 86400.0),
        (format_datetime(datetime(2026, 3, 1, 12, 1, tzinfo=UTC), usegmt=True), 60.0),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Mon, 99999999999999999999 Jan 2026 00:00:00 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert decode_retry_after(value, NOW) == seconds


def test_a_date_in_another_zone() -> None:
    there = datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=90)
    assert decode_retry_after(format_datetime(there), NOW) == 90


def test_a_number_that_nothing_can_hold_spoils_only_itself() -> None:
    body = b'[{"n": %b, "m": %b, "k": -9223372036854775807, "x": NaN}]' % (b"9" * 400, b"9" * 25)
    assert decode_body(body) == [{"n": None, "m": 1e25, "k": -(2**63) + 1, "x": None}]


def test_half_a_surrogate_pair_spoils_only_itself() -> None:
    assert decode_body(rb'[{"title": "cut \ud83d", "n": 1, "ok": "\ud83d\ude00"}]') == [
        {"title": "cut \ufffd", "n": 1, "ok": "\U0001f600"}
    ]


def test_a_byte_order_mark_is_survived() -> None:
    assert decode_body(b"\xef\xbb\xbf[]") == []


@pytest.mark.parametrize("body", [b"[" * 100_000, b"nul", b'"\xed\xa0\xbd"', b"[1,]"])
def test_what_is_no_json(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any of its kinds
        decode_body(body)


def test_a_long_message_is_cut_after_it_was_redacted() -> None:
    response = httpx.Response(400, json={"error_message": "x" * 495 + "secret" + "y" * 99})
    error = read_answer(response, now=NOW, redact=lambda text: text.replace("secret", "***"))
    assert isinstance(error, ServiceError)
    assert error.message == "x" * 495 + "***" + "yy"
