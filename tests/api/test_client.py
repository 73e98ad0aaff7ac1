"""What the client sends, and what it makes of what it gets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from structlog.testing import capture_logs

from hisync.api import TIMEOUTS, HiTask
from hisync.api.outcomes import NOT_AN_ANSWER, SessionLostError
from hisync.errors import (
    ConfigurationError,
    GoneError,
    HisyncError,
    RefusedError,
    RetryLaterError,
    ServiceError,
    SlowDownError,
    StopError,
    UnreachableError,
    WrongAccountError,
)
from hisync.items import Item

from .service import ACCOUNT, API_KEY, Service, connect, error, wire_item

PLAIN_OK = {"response_status": 0}
READS: dict[str, Callable[[HiTask], Any]] = {
    "items": lambda api: api.fetch_items(),
    "delta": lambda api: api.fetch_delta("1"),
    "account": lambda api: api.fetch_account(),
    "preferences": lambda api: api.fetch_preferences(),
    "history": lambda api: api.fetch_history(7),
}
WRITES: dict[str, Callable[[HiTask], Any]] = {
    "create": lambda api: api.send_create("g", 1, {"title": "T"}, zone=UTC),
    "update": lambda api: update(api),
    "delete": lambda api: api.send_delete(7, "g"),
    "archive": lambda api: api.send_archive(7, "g"),
    "restore": lambda api: api.send_restore(7, "g"),
}
COMMENTS: dict[str, Callable[[HiTask], Any]] = {
    "comment": lambda api: api.send_comment(7, "hello", ACCOUNT),
    "uncomment": lambda api: api.send_comment_delete(9, 7),
}
CALLS = READS | WRITES | COMMENTS


def update(api: HiTask, changes: dict[str, Any] | None = None, title: str | None = "T") -> Any:
    return api.send_update(
        7, "g", changes or {"completed": True}, is_all_day=False, zone=UTC, title=title
    )


def items(*elements: Any, **headers: str) -> httpx.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(200, json=list(elements), headers=names)


def test_a_full_read() -> None:
    service = Service(items(wire_item(2**62), wire_item(8, title="ü"), x_CURSOR="1/2?3"))
    with connect(service) as api:
        answer = api.fetch_items()
    assert service.paths == ["GET /user/authenticate", "GET /item"]
    assert [item.id for item in answer.items] == [2**62, 8]
    assert answer.ids == {2**62, 8}
    assert not answer.has_stubs
    assert answer.cursor == "1/2?3"
    assert api.account_id == ACCOUNT
    assert api.requests == 2


def test_a_delta_names_changed_and_unchanged_items() -> None:
    service = Service(
        items(
            {"id": 1, "changed": False},
            {"id": "2", "changed": False, "title": None},
            {"id": 3, "changed": True, "title": "T", "category": 1},
            {"id": 4, "changed": False, "title": "U", "category": 1},
            {"id": 3, "changed": False},
            {"id": 5, "changed": False, "guid": "g", "version": 7},
            {"id": 6, "changed": "false", "guid": "g", "title": "V"},
            {"id": 7, "deleted": True},
        )
    )
    answer = connect(service).fetch_delta("1489/60?x=%2F&ä")
    assert service.requests[-1].url.raw_path.startswith(
        b"/api/item/delta/1489%2F60%3Fx%3D%252F%26%C3%A4?api_key="
    )
    assert [item.id for item in answer.items] == [3, 4]
    assert answer.unchanged(frozenset()) == {1, 2, 5, 6, 7}
    assert answer.unchanged({1}) == {2, 5, 6, 7}
    assert answer.ids == {1, 2, 3, 4, 5, 6, 7}
    assert answer.cursor is None


@pytest.mark.parametrize("cursor", [".", "..", "  "])
def test_a_cursor_that_can_t_be_one_is_none(cursor: str) -> None:
    assert connect(Service(items(X_Cursor=cursor))).fetch_items().cursor is None


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        (5, "is no object (5)"),
        (None, "is no object (null)"),
        ([wire_item(1)], "is no object (a list)"),
        ({"title": "no id"}, "has no id"),
        ({"id": None}, "has no readable id (id = null)"),
        ({"id": "abc"}, 'has no readable id (id = "abc")'),
        ({"id": 12.5}, "has no readable id (id = 12.5)"),
        ({"id": True}, "has no readable id (id = true)"),
        ({"id": 2**63}, f"has no readable id (id = {2**63})"),
        ({"id": {}}, "has no readable id (id = an object)"),
        (wire_item(2) | {"id": float(2**53 + 2)}, "has no readable id (id = 9007199254740994.0)"),
        ({"id": "é" * 99}, f'has no readable id (id = "{"é" * 54}…)'),
        ({"id": f"{'x' * 50}{API_KEY}"}, f'has no readable id (id = "{"x" * 50}***")'),
        ({"id": 1, "changed": True}, "is said to be changed, but is not shown whole"),
        ({"id": 1, "changed": True, "deleted": True}, "is said to be changed"),
        ({"id": 1, "changed": True, "title": "all that changed"}, "is said to be changed"),
        (
            {"id": 1, "changed": True, "title": None, "category": None, "guid": "g"},
            "is said to be changed",
        ),
    ],
)
@pytest.mark.parametrize("read", ["items", "delta"])
def test_a_list_with_an_element_that_cant_be_read_is_none_at_all(
    read: str, element: Any, reason: str
) -> None:
    payload = [wire_item(1), {"id": 2, "changed": False}, element, wire_item(3)]
    with capture_logs() as logs, pytest.raises(RetryLaterError) as caught:
        READS[read](connect(Service(httpx.Response(200, json=payload))))
    assert str(caught.value).startswith(f"hiTask's list can't be read: element 3 {reason}")
    assert str(caught.value).endswith(" (HTTP 200)")
    assert [(e["event"], e["message"]) for e in logs] == [("api_error", caught.value.message)]


def test_an_item_that_was_written_without_a_readable_id_is_none() -> None:
    service = Service(wire_item() | {"id": "abc", "time_create": 1})
    with pytest.raises(RetryLaterError, match=r'the item has no readable id \(id = "abc"\)'):
        update(connect(service), {"title": "T"})


@pytest.mark.parametrize("payload", [{"items": []}, {}, PLAIN_OK, None, "", 7])
@pytest.mark.parametrize("read", ["items", "delta"])
def test_an_answer_that_is_no_list_of_items_is_none_at_all(read: str, payload: Any) -> None:
    with capture_logs() as logs, pytest.raises(RetryLaterError, match=NOT_AN_ANSWER):
        READS[read](connect(Service(httpx.Response(200, json=payload))))
    assert [entry["event"] for entry in logs] == ["api_error"]


def test_an_empty_list_is_an_answer() -> None:
    assert connect(Service(items())).fetch_items().ids == frozenset()


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("body", [b"", b"<html></html>", b'{"id": 7, "tit', b"[", b"null", b"7"])
def test_no_call_believes_a_body_that_is_none(name: str, body: bytes) -> None:
    with pytest.raises(RetryLaterError):
        CALLS[name](connect(Service(httpx.Response(200, content=body))))


@pytest.mark.parametrize("name", CALLS)
def test_no_call_follows_a_redirect(name: str) -> None:
    service = Service(httpx.Response(302, headers={"location": "https://elsewhere.test/"}))
    with pytest.raises(RetryLaterError, match="redirected"):
        CALLS[name](connect(service))
    assert {request.url.host for request in service.requests} == {"hitask.test"}


def test_the_account() -> None:
    service = Service({"id": ACCOUNT, "login": "ann"}, logins=[{"session_id": "s"}])
    api = connect(service)
    assert api.fetch_account() == {"id": ACCOUNT, "login": "ann"}
    assert api.account_id == ACCOUNT
    api.expected_account = 5
    assert api.expected_account == 5
    for _ in range(2):
        with pytest.raises(WrongAccountError):
            api.fetch_items()
    assert len(service.requests) == 2
    api.expected_account = ACCOUNT
    api.reset()
    api.fetch_account()


def test_an_account_that_is_not_the_expected_one() -> None:
    api = connect(Service({"id": 5}))
    api.expected_account = ACCOUNT
    with pytest.raises(WrongAccountError):
        api.fetch_account()


@pytest.mark.parametrize("payload", [PLAIN_OK, {"error_message": "no"}, [], "x"])
@pytest.mark.parametrize("read", ["account", "preferences"])
def test_a_word_about_the_request_is_no_object(read: str, payload: Any) -> None:
    with pytest.raises(RetryLaterError):
        READS[read](connect(Service(payload)))


def test_a_create() -> None:
    service = Service(wire_item(9, guid="G-9"))
    item = connect(service).send_create(
        "g-9", 1, {"title": "Ünï & 🎉", "parent_guid": "p"}, parent_id=3, zone=UTC
    )
    assert isinstance(item, Item)
    assert (item.id, item.guid) == (9, "g-9")
    assert service.paths[-1] == "POST /item"
    assert service.last_form == {
        "guid": "g-9",
        "category": "1",
        "title": "Ünï & 🎉",
        "parentGuid": "p",
        "parent": "3",
    }


def test_an_update_sends_the_id_and_what_changed() -> None:
    service = Service(wire_item(7, completed=True, version=4))
    item = update(
        connect(service),
        {"completed": True, "due_date": datetime.fromisoformat("2026-01-01T09:00")},
    )
    assert item.values["version"] == 4
    assert service.paths[-1] == "PUT /item/7"
    assert service.last_form == {
        "id": "7",
        "completed": "true",
        "due_date": "2026-01-01T09:00:00.000+00:00",
    }


@pytest.mark.parametrize("code", [4, 104])
def test_a_server_that_asks_for_guid_and_title_gets_them_from_then_on(code: int) -> None:
    service = Service(error(400, code, "title is mandatory"), wire_item(7))
    api = connect(service)
    update(api)
    assert service.last_form == {"id": "7", "guid": "g", "title": "T", "completed": "true"}
    update(api, {"title": "New"})
    assert service.last_form == {"id": "7", "guid": "g", "title": "New"}
    assert service.paths.count("PUT /item/7") == 3


def test_a_server_that_takes_null_for_a_text_gets_an_empty_one_from_then_on() -> None:
    service = Service(wire_item(7, message="null"), wire_item(7))
    api = connect(service)
    for _ in range(2):
        clear(api)
    assert [message_in(r) for r in service.sent("/item/7")] == ["null", ""]


def test_a_server_that_refuses_null_gets_an_empty_text() -> None:
    service = Service(error(400, 6), wire_item(7))
    api = connect(service)
    for _ in range(2):
        clear(api)
    assert [message_in(r) for r in service.sent("/item/7")] == ["null", "", ""]


def clear(api: HiTask) -> None:
    api.send_update(7, "g", {"message": None}, is_all_day=False, zone=UTC, title="T")


def message_in(request: httpx.Request) -> str:
    return dict(parse_qsl(request.content.decode(), keep_blank_values=True))["message"]


@pytest.mark.parametrize("unknown", [error(404, 1), error(404), error(405), error(400, 86)])
def test_a_server_without_a_path_for_each_item_is_changed_as_documented(unknown: Any) -> None:
    service = Service(unknown, wire_item(7))
    api = connect(service)
    for _ in range(2):
        clear(api)
    assert service.paths[1:] == ["PUT /item/7", "PUT /item", "PUT /item"]
    assert service.last_form == {"id": "7", "guid": "g", "title": "T", "message": "null"}
    assert api.sends_title


def test_an_item_that_is_gone_is_gone_in_either_form() -> None:
    service = Service(wire_item(7), error(404, 1))
    api = connect(service)
    clear(api)
    with pytest.raises(GoneError):
        clear(api)
    assert service.paths[1:] == ["PUT /item/7", "PUT /item/7"]
    fresh = connect(Service(error(404, 1), error(405)))
    with pytest.raises(GoneError):
        clear(fresh)
    assert not fresh.sends_title


def test_another_missing_parameter_teaches_nothing() -> None:
    service = Service(error(400, 4, "something is mandatory"))
    api = connect(service)
    for _ in range(2):
        with pytest.raises(RefusedError):
            update(api, title=None)
    assert service.paths.count("PUT /item/7") == 4


def test_a_missing_session_is_no_missing_title() -> None:
    service = Service(error(400, 4, "session_id is mandatory"), wire_item(7))
    update(connect(service))
    assert service.last_form == {"id": "7", "completed": "true"}
    assert len(service.sent("/user/authenticate")) == 2


@pytest.mark.parametrize(("by_guid", "path"), [(False, "/item/7"), (True, "/item/g%2F1")])
def test_a_delete(by_guid: bool, path: str) -> None:
    service = Service(PLAIN_OK)
    connect(service).send_delete(7, "g/1", by_guid=by_guid)
    request = service.requests[-1]
    assert request.method == "DELETE"
    assert request.url.raw_path.partition(b"?")[0].decode() == f"/api{path}"
    assert request.content == b""


def test_an_archive() -> None:
    service = Service(PLAIN_OK)
    connect(service).send_archive(7, "g")
    assert service.paths[-1] == "POST /item/archive"
    assert service.last_form == {"id": "7"}


def test_a_restore() -> None:
    service = Service(wire_item())
    restored = connect(service).send_restore(7, "g")
    assert restored is not None
    assert restored.id == 7
    request = service.requests[-1]
    assert service.paths[-1] == "GET /archive/restore"
    assert (request.url.params["id"], "guid" in request.url.params) == ("7", False)


@pytest.mark.parametrize("asked", [error(404, 1), error(404), error(400, 4), error(400, 104)])
def test_a_restore_names_the_guid_where_the_id_will_not_do(asked: httpx.Response) -> None:
    service = Service(asked, PLAIN_OK)
    assert connect(service).send_restore(7, "g") is None
    first, second = service.sent("/archive/restore")
    assert (first.url.params["id"], second.url.params["guid"]) == ("7", "g")
    assert "id" not in second.url.params


def test_a_restore_by_guid_alone() -> None:
    service = Service(PLAIN_OK)
    connect(service).send_restore(None, "g")
    assert [r.url.params["guid"] for r in service.sent("/archive/restore")] == ["g"]


@pytest.mark.parametrize(
    ("answer", "kind", "requests"),
    [
        (error(404, 1), GoneError, 2),
        (error(403, 3), RefusedError, 1),
        (error(507), RefusedError, 1),
        (error(500, 100), RetryLaterError, 1),
        (wire_item(8), RetryLaterError, 1),
        (httpx.ReadTimeout("x"), RetryLaterError, 1),
    ],
)
def test_a_restore_is_never_repeated_by_itself(
    answer: Any, kind: type[ServiceError], requests: int
) -> None:
    service = Service(answer)
    with pytest.raises(ServiceError) as caught:
        connect(service).send_restore(7, "g")
    assert type(caught.value) is kind
    assert len(service.sent("/archive/restore")) == requests


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("payload", [PLAIN_OK, {"id": 7}, {"id": 7, "response_status": 0}])
def test_a_write_can_be_answered_without_an_item(name: str, payload: Any) -> None:
    expected = payload.get("id") if name == "create" else None  # which nothing else would tell
    assert WRITES[name](connect(Service(payload))) == expected


@pytest.mark.parametrize("name", WRITES)
def test_a_write_can_be_answered_without_a_body(name: str) -> None:
    assert WRITES[name](connect(Service(httpx.Response(204)))) is None


@pytest.mark.parametrize(
    "payload", [{"a": 1}, [], [wire_item(1), wire_item(2)], True, wire_item(8)]
)
def test_an_answer_that_does_not_fit_the_write_proves_nothing(payload: Any) -> None:
    with pytest.raises(RetryLaterError):
        update(connect(Service(httpx.Response(200, json=payload))))


@pytest.mark.parametrize("name", CALLS)
def test_every_request_is_granted_with_its_cause(name: str) -> None:
    causes: list[str] = []
    service = Service(error(401), error(400, 3))
    api = connect(service, grant=causes.append)
    with pytest.raises(RefusedError):
        CALLS[name](api)
    cause = {"items": "full", "uncomment": "comment"}.get(name, name)
    assert causes == ["login", cause, "login", cause]
    assert api.requests == len(service.requests) == 4


class NoBudgetError(HisyncError):
    pass


@pytest.mark.parametrize("error_", [NoBudgetError("none left"), SlowDownError("wait")])
@pytest.mark.parametrize("refused", ["login", "full"])
def test_a_request_that_is_not_granted_is_not_sent(refused: str, error_: HisyncError) -> None:
    def grant(cause: str) -> None:
        if cause == refused:
            raise error_

    service = Service(items())
    with capture_logs() as logs, pytest.raises(type(error_)):
        connect(service, grant=grant).fetch_items()
    assert len(service.requests) == (0 if refused == "login" else 1)
    assert logs == []


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (httpx.ConnectError("x"), UnreachableError),
        (httpx.ConnectTimeout("x"), UnreachableError),
        (httpx.PoolTimeout("x"), UnreachableError),
        (httpx.ProxyError("x"), UnreachableError),
        (httpx.ReadTimeout("x"), RetryLaterError),
        (httpx.ReadError("x"), RetryLaterError),
        (httpx.WriteTimeout("x"), RetryLaterError),
        (httpx.WriteError("x"), RetryLaterError),
        (httpx.CloseError("x"), RetryLaterError),
        (httpx.RemoteProtocolError("x"), RetryLaterError),
        (httpx.LocalProtocolError("x"), RetryLaterError),
        (httpx.DecodingError("x"), RetryLaterError),
        (httpx.InvalidURL("x"), HisyncError),
    ],
)
@pytest.mark.parametrize("at_login", [True, False])
def test_trouble_on_the_way(raised: Exception, kind: type[HisyncError], at_login: bool) -> None:
    service = Service(raised, logins=[raised] if at_login else None)
    with capture_logs() as logs, pytest.raises(HisyncError) as caught:
        connect(service).send_delete(7, "g")
    assert type(caught.value) is kind
    if kind is not HisyncError:
        path = "/user/authenticate" if at_login else "/item/7"
        method = "GET" if at_login else "DELETE"
        assert [(e["event"], e["method"], e["path"]) for e in logs] == [("api_error", method, path)]


def test_a_body_that_can_t_be_unpacked() -> None:
    broken = httpx.Response(
        200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"no gzip")
    )
    with pytest.raises(RetryLaterError, match="DecodingError"):
        connect(Service(broken)).fetch_items()


def test_a_session_that_can_t_be_had_is_an_error_after_one_renewal() -> None:
    service = Service(error(401))
    with pytest.raises(SessionLostError):
        connect(service).fetch_items()
    assert service.paths == ["GET /user/authenticate", "GET /item"] * 2


def test_a_rejected_login_sends_nothing_more() -> None:
    service = Service(items(), logins=[error(403, 8, "Invalid API key")])
    api = connect(service)
    for _ in range(3):
        with pytest.raises(StopError, match="Invalid API key"):
            api.fetch_items()
    assert len(service.requests) == 1
    api.reset()
    api.fetch_items()


@pytest.mark.parametrize(
    ("reply", "kind", "event"),
    [
        (error(404, 1, "none"), GoneError, "api_error"),
        (error(400, 86, "deprecated"), RefusedError, "api_error"),
        (error(503), RetryLaterError, "api_error"),
        (error(403, 67, "too many", Retry_After="3"), SlowDownError, "rate_limited"),
    ],
)
def test_each_error_is_logged_once(
    reply: httpx.Response, kind: type[ServiceError], event: str
) -> None:
    with capture_logs() as logs, pytest.raises(kind) as caught:
        connect(Service(reply)).fetch_delta("5")
    (entry,) = logs
    raised = caught.value
    assert entry.pop("retry_after", None) == raised.retry_after
    assert entry == {
        "event": event,
        "log_level": "warning",
        "status": reply.status_code,
        "code": raised.code,
        "message": raised.message,
        "method": "GET",
        "path": "/item/delta/5",
    }


def test_what_looks_odd_is_said_once() -> None:
    service = Service(items(wire_item(1, time_est=1.5), wire_item(2, time_est=2.5, category=None)))
    api = connect(service)
    with capture_logs() as logs:
        api.fetch_items()
        api.fetch_items()
    assert [(entry["event"], entry.get("time_unit")) for entry in logs] == [
        ("time_unit_doubtful", "minutes"),
        ("category_missing", None),
    ]
    answer = connect(Service(items(wire_item(1, time_est=1.5))), time_unit="hours").fetch_items()
    assert next(iter(answer.items)).values["time_est_minutes"] == 90


def test_the_clock_skew_comes_from_the_last_answer() -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
    service = Service(items(Date="Sun, 01 Mar 2026 11:59:00 GMT"), items(Date="today"))
    api = connect(service, now=lambda: now)
    assert api.clock_skew is None
    for _ in range(2):
        api.fetch_items()
        assert api.clock_skew == 60


def test_cookies_are_not_kept() -> None:
    service = Service(items(Set_Cookie="JSESSIONID=old; Path=/"))
    api = connect(service)
    api.fetch_items()
    api.fetch_items()
    assert all("cookie" not in request.headers for request in service.requests)


def test_logging_out_is_best_effort() -> None:
    service = Service({}, PLAIN_OK)
    api = connect(service)
    api.logout()
    assert service.requests == []
    api.fetch_preferences()
    api.logout()
    assert service.paths[-1] == "GET /user/logout"
    for reply in (error(401), error(500), httpx.ReadTimeout("x")):
        service.replies = [{}]
        api.fetch_preferences()
        service.replies = [reply]
        api.logout()
        assert service.paths[-1] == "GET /user/logout"


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "hitask.com/api",
        "ftp://x/api",
        "https://",
        "https://a:b@x/",
        "https://x/?a=b",
        "https://x:port/",
        "https://xn--a.com/",
    ],
)
def test_a_base_url_that_can_t_be_one(base_url: str) -> None:
    with pytest.raises(ConfigurationError, match="base_url"):
        connect(Service({}), base_url=base_url)


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("ALL_PROXY", "socks5://ann:g3h31m@127.0.0.1:1080", r"httpx\[socks\]"),
        ("HTTPS_PROXY", "ftp://ann:g3h31m@proxy:21", "like http://host:3128"),
        ("HTTPS_PROXY", "http://ann:g3h31m/8@proxy:3128", "like http://host:3128"),
        ("SSL_CERT_FILE", "/no/such/file", "No such file"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_said(
    variable: str, value: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=f"{variable}.*{why}") as caught:
        HiTask(base_url="https://hitask.invalid/api", login="ann", password="p", api_key="k")
    assert "g3h31m" not in str(caught.value)


@pytest.mark.parametrize("bypassed", [True, False])
def test_a_proxy_that_cannot_be_reached_is_named(
    bypassed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://ann:g3h31m@127.0.0.1:1")
    if bypassed:
        monkeypatch.setenv("NO_PROXY", "127.0.0.2")
    with (
        HiTask(base_url="https://127.0.0.2:1/api", login="ann", password="p", api_key="k") as api,
        pytest.raises(UnreachableError, match="no connection to ") as caught,
    ):
        api.fetch_items()
    assert ("through the environment's HTTPS_PROXY" in str(caught.value)) is not bypassed
    assert "g3h31m" not in str(caught.value)


@pytest.mark.parametrize("base_url", ["https://hitask.test/api", "https://hitask.test/api/"])
def test_a_slash_at_the_end_of_the_base_url_is_nothing(base_url: str) -> None:
    service = Service(error(500))
    with capture_logs() as logs, pytest.raises(RetryLaterError):
        connect(service, base_url=base_url).fetch_items()
    assert service.paths == ["GET /user/authenticate", "GET /item"]
    assert logs[0]["path"] == "/item"


def test_everything_has_a_time_out() -> None:
    service = Service(items())
    seen: list[dict[str, float]] = []

    def watch(request: httpx.Request) -> httpx.Response:
        seen.append(request.extensions["timeout"])
        return service(request)

    connect(watch).fetch_items()
    connect(watch, timeouts=httpx.Timeout(1.0)).fetch_items()
    assert seen == [TIMEOUTS.as_dict()] * 2 + [httpx.Timeout(1.0).as_dict()] * 2
    assert None not in TIMEOUTS.as_dict().values()
