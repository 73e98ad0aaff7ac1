"""An answer has no NUL for those who can't hold one, and all else as it was."""

from __future__ import annotations

import io
import json
from typing import Any
from unittest import mock

import httpx
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hisync.api import body, long_list
from hisync.api.long_list import LongList
from hisync.api.nul import without_nul
from hisync.errors import RefusedError

from .service import Service, connect, error, wire_item

TEXTS = st.text('\0\\u0"\n/\ufffdé', max_size=12)
OBJECTS = st.lists(
    st.dictionaries(TEXTS, TEXTS | st.lists(TEXTS, max_size=3), max_size=3), max_size=20
)


def replaced(value: Any) -> Any:
    """The same, once it was parsed."""
    match value:
        case str():
            return value.replace("\0", "\ufffd")
        case list():
            return [replaced(one) for one in value]
        case dict():
            return {replaced(key): replaced(one) for key, one in value.items()}
        case _:
            return value


@given(OBJECTS, st.booleans(), st.integers(4, 60))
@example([{"\\": "\\u0000", "\\\\\0": "\\\\u0000\\\0\0"}], True, 4)
def test_each_nul_is_replaced_and_nothing_else(elements: Any, ascii_only: bool, part: int) -> None:
    text = json.dumps(elements, ensure_ascii=ascii_only).encode()
    assert orjson.loads(without_nul(text)) == replaced(elements)
    assert len(without_nul(text)) == len(text)
    with mock.patch.object(long_list, "PART", part):
        in_parts = LongList(io.BytesIO(text), clean=without_nul)
        assert list(in_parts) == list(in_parts) == replaced(elements)


@pytest.mark.parametrize("short", [10, body.SHORT])
@pytest.mark.parametrize("holds_nul", [True, False])
def test_whatever_hitask_answers(
    monkeypatch: pytest.MonkeyPatch, short: int, holds_nul: bool
) -> None:
    monkeypatch.setattr(body, "SHORT", short)
    item = wire_item(title="a\0", tags=["b\0"], unknown={"c\0": "d\0"}, user_id=1)
    unit = {"id": 1, "property_name": "comment", "value": "e\0", "user_name": "f\0"}
    tag = {"id": 1, "name": "g\0"}
    service = Service([item], item, [unit], [tag], {"time_zone": "h\0"}, error(400, 3, "i\0"))
    with connect(service, holds_nul=holds_nul) as api:
        (read,) = api.fetch_items().items
        written = api.send_restore(7, "g-7")
        (said,) = api.fetch_history(7)
        (known,) = api.fetch_tags()
        zone = api.fetch_preferences()["time_zone"]
        with pytest.raises(RefusedError) as refused:
            api.fetch_preferences()
    nul = "\0" if holds_nul else "\ufffd"
    assert (read, written) == (read, read)
    assert (read.values["title"], read.values["tags"]) == (f"a{nul}", [f"b{nul}"])
    assert read.values["extra"] == {"unknown": {f"c{nul}": f"d{nul}"}}
    assert (said.value, said.user_name, known["name"]) == (f"e{nul}", f"f{nul}", f"g{nul}")
    assert (zone, refused.value.message) == (f"h{nul}", f"i{nul}")


def test_a_long_answer_that_is_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "SHORT", 10)
    service = Service(httpx.Response(400, json={"response_status": 3, "error_message": "no\0"}))
    with connect(service, holds_nul=False) as api, pytest.raises(RefusedError, match="no\ufffd"):
        api.fetch_items()
