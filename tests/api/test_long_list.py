"""A list in a file gives the elements that a parser of the whole gives, and the same errors."""

from __future__ import annotations

import io
import json
from typing import Any
from unittest import mock

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hisync.api import long_list
from hisync.api.long_list import LongList

TRICKY: list[Any] = [
    {"id": 1, "title": '"},{"id": 2', "permissions": [{"id": 3}, {"id": 4}]},
    {"id": 5, "title": "}\\,{\\", "nested": {"id": {"id": [{}, {"id": 1}]}}},
    {"title": "another way to begin", "id": 6},
    {"id": 7, "title": "ünï 🍞 \u2028"},
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text('},{"[]:\\ id', max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "a", '},{"id"']), inner, max_size=3)
    ),
    max_leaves=6,
)
OBJECTS = st.lists(st.dictionaries(st.sampled_from(["id", "guid"]), JSON, max_size=2), max_size=30)


def read(text: bytes, part: int) -> list[Any]:
    with mock.patch.object(long_list, "PART", part):
        return list(LongList(io.BytesIO(text)))


@given(OBJECTS, st.integers(8, 80), st.sampled_from([None, 1]))
def test_it_is_what_the_whole_is(elements: list[Any], part: int, indent: int | None) -> None:
    text = json.dumps(elements, indent=indent).encode()
    assert read(text, part) == elements


@pytest.mark.parametrize("part", range(8, 200, 7))
def test_texts_that_look_like_a_cut_are_none(part: int) -> None:
    for text in (orjson.dumps(TRICKY * 4), b"\xef\xbb\xbf \n" + orjson.dumps(TRICKY * 4) + b" \n"):
        assert read(text, part) == TRICKY * 4


@pytest.mark.parametrize("part", [8, 50, 1000])
@pytest.mark.parametrize(
    "text",
    [
        *(orjson.dumps(TRICKY)[:-cut] for cut in (1, 2, 30)),
        orjson.dumps(TRICKY) + b"x",
        orjson.dumps(TRICKY) + b"]",
        orjson.dumps(TRICKY) + orjson.dumps(TRICKY),
        b'{"id": 1}',
        b"",
        b"[",
        b"[{},]",
        b"<html>",
    ],
)
def test_what_is_no_whole_list_is_an_error(text: bytes, part: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(text, part)


def test_it_can_be_read_again() -> None:
    elements = LongList(io.BytesIO(orjson.dumps(TRICKY)))
    assert list(elements) == list(elements) == TRICKY


def test_only_a_part_of_it_is_held_at_a_time() -> None:
    elements = [TRICKY[0] | {"id": number} for number in range(2000)]
    file = io.BytesIO(orjson.dumps(elements))
    length = len(file.getvalue()) / len(elements)
    with mock.patch.object(long_list, "PART", 4096):
        for number, element in enumerate(LongList(file)):
            assert element["id"] == number
            assert file.tell() < number * length + 3 * 4096
