"""Sets of numbers behave as Python's own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hisync.numbers import Numbers

_numbers = st.sets(st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3))


@given(_numbers, _numbers)
def test_they_are_as_sets_of_python(one: set[int], other: set[int]) -> None:
    numbers = Numbers(one)
    assert set(numbers) == one
    assert len(numbers) == len(one)
    for second in (other, frozenset(other), Numbers(other)):
        assert set(numbers - second) == one - other
        assert set(numbers & second) == one & other
        assert set(numbers | second) == one | other
        assert (numbers <= second) == (one <= other)
        assert (numbers == second) == (one == other)
    assert set(frozenset(other) - numbers) == other - one
    assert set(frozenset(other) & numbers) == other & one


@given(_numbers, _numbers)
def test_they_grow(one: set[int], other: set[int]) -> None:
    numbers = Numbers(one)
    for number in other:
        numbers.add(number)
    again = Numbers(one)
    again.update(Numbers(other))
    assert set(numbers) == set(again) == one | other


@given(_numbers, st.integers() | st.text() | st.none())
def test_they_have_what_was_put_in_and_nothing_else(one: set[int], thing: object) -> None:
    numbers = Numbers(one)
    assert all(number in numbers for number in one)
    assert (thing in numbers) == (thing in one)
