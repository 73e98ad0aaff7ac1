"""Odd servers, odd clients and odd data, as tables of situations with their outcomes."""

import pytest

pytest.register_assert_rewrite("tests.edges.edge")
