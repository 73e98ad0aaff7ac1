"""Requests under way side by side, while everything else is done by one thread at a time.

A thread that runs a job has the turn, gives it away while its request is under way, and takes it
again for the answer. So nothing but the network needs to know of threads. Outside of `Turns.run`
nobody has a turn to give: all of this does nothing then. Public: `Turns`, `LANES`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Final, TypeVar

LANES: Final = 10
"""Requests that are under way at once, at most: as many as are booked at once, so that none of them
is left over to go alone before more are booked."""

_LOOK: Final = 0.5
"""Seconds of one wait. A signal that comes just before a wait begins does not end it, and is acted
on only after it."""

_T = TypeVar("_T")


class Turns:
    """Who may do anything but wait for hiTask."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._login = threading.Lock()
        self._mine = threading.local()
        self._pool: ThreadPoolExecutor | None = None

    def run(self, jobs: Sequence[Callable[[], _T]]) -> list[_T]:
        """Run jobs side by side, which may make requests; the caller has no transaction open.

        Returns:
            What each of them returned, in their order; whatever one raised is raised once all have
            ended.
        """
        if len(jobs) == 1:
            return [jobs[0]()]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(LANES, thread_name_prefix="hisync-lane")
        try:
            futures = [self._pool.submit(self._in_turn, job) for job in jobs]
        except RuntimeError:  # no thread to be had: what is queued must not run later
            self.close()
            raise
        while wait(futures, _LOOK).not_done:
            pass
        return [future.result() for future in futures]

    def give(self) -> None:
        """Let the others work: a request of this thread is about to leave."""
        if self._has_turn:
            self._mine.turn = False
            self._turn.release()

    def take(self) -> None:
        """Go on working, once nobody else does."""
        if getattr(self._mine, "lane", False) and not self._has_turn:
            self._turn.acquire()
            self._mine.turn = True

    @contextmanager
    def logging_in(self) -> Iterator[None]:
        """Only one logs in; whoever comes later waits for that and finds the new session."""
        self.give()
        with self._login:
            self.take()
            yield

    def close(self) -> None:
        """End the threads, and what they are at; jobs that have not begun are dropped."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    @property
    def _has_turn(self) -> bool:
        return bool(getattr(self._mine, "turn", False))

    def _in_turn(self, job: Callable[[], _T]) -> _T:
        self._mine.lane = True
        self.take()
        try:
            return job()
        finally:
            self.give()
