"""A lock that dies with its process, so that a mirror has one writer. Public: `FileLock`."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self

from hisync.errors import LockedError, MirrorError


class FileLock:
    """An advisory lock on a file of its own, which names the holder's process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            LockedError: if another process has it.
        """
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise MirrorError(f"the lock {self.path} can't be made: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            text = os.read(descriptor, 20).strip()
            os.close(descriptor)
            pid = int(text) if text.isdigit() else None
            raise LockedError(
                f"another hisync (process {pid or 'unknown'}) is working on this mirror", pid
            ) from None
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give it back; the file stays, since removing it would race with the next holder."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
