"""A lock that dies with its process, so that a mirror has one writer. Public: `FileLock`."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Self

from hisync.errors import LockedError, MirrorError


class FileLock:
    """An advisory lock on a file of its own, which names the holder's process."""

    def __init__(self, path: Path, mode: int = 0o600) -> None:
        self.path = path
        self._mode = mode
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            LockedError: if another process has it.
        """
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, self._mode)
            with suppress(OSError):  # another user's, who has seen to it
                os.fchmod(descriptor, self._mode)  # the umask must not keep others of a group out
        except OSError as error:
            raise MirrorError(f"the lock {self.path} can't be made: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pid = _read_pid(descriptor)
            os.close(descriptor)
            raise LockedError(pid) from None
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give it back; the file stays, since removing it would race with the next holder."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def holds(self) -> bool:
        """Whether it is held: nobody can take it away."""
        return self._descriptor is not None

    def holder(self) -> int | None:
        """The process that has the lock, None if none has; 0 if it can't be told which."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        pid = None
        try:
            pid = _read_pid(descriptor)
            if pid is not None and not _lives(pid):
                return None  # without a try at the lock, which a starting daemon could meet
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return pid or 0
        finally:
            os.close(descriptor)
        return None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _read_pid(descriptor: int) -> int | None:
    text = os.pread(descriptor, 20, 0).strip()
    return int(text) if text.isdigit() else None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
