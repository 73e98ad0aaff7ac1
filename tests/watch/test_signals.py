"""The signals that end the daemon, which belong to others before and after it."""

from __future__ import annotations

import signal
import threading

import pytest

from hisync.daemon import stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_the_daemon_only_while_it_runs(number: signal.Signals) -> None:
    before, stop = signal.getsignal(number), threading.Event()
    with stop_on_signals(stop):
        signal.raise_signal(number)
    assert stop.is_set()
    assert signal.getsignal(number) is before
