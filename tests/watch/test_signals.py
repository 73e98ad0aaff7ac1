"""The signals that end the daemon, which belong to others before and after it."""

from __future__ import annotations

import signal
import threading

import pytest

from hisync.daemon import stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_end_the_daemon_only_while_it_runs(number: signal.Signals) -> None:
    stop = threading.Event()
    # The tests themselves may have been started by `nohup`.
    before = signal.signal(number, signal.default_int_handler)
    try:
        with stop_on_signals(stop):
            signal.raise_signal(number)
        assert stop.is_set()
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)


def test_a_closed_terminal_is_ignored_where_it_should_be() -> None:
    """`nohup` says so before the daemon starts."""
    before, stop = signal.signal(signal.SIGHUP, signal.SIG_IGN), threading.Event()
    try:
        with stop_on_signals(stop):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not stop.is_set()
