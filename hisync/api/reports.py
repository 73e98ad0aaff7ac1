"""How an error of the service gets into the log: with the facts, without a secret, and once.

Trouble that lasts would fill a log: an error like the last one, with nothing gone well since, is
said at debug level only. Public: `ServiceErrors`.
"""

from __future__ import annotations

import re
from typing import Any

from hisync.errors import RetryLaterError, ServiceError, SlowDownError, StopError


class ServiceErrors:
    """What one connection has to say about the service.

    Args:
        log: where it goes.
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._last: object = None

    def well(self) -> None:
        """Something went well: the next error is news."""
        self._last = None

    def say(self, error: ServiceError, method: str, path: str) -> None:
        """Log an error whose message has been redacted; `path` comes without its query."""
        facts: dict[str, Any] = {
            "status": error.status,
            "code": error.code,
            "message": error.message,
            "method": method,
            "path": path,
        }
        if error.retry_after is not None:
            facts["retry_after"] = error.retry_after
        event = "rate_limited" if isinstance(error, SlowDownError) else "api_error"
        if self._is_news(error, method, path):
            self._log.warning(event, **facts)
        else:
            self._log.debug(event, **facts)

    def _is_news(self, error: ServiceError, method: str, path: str) -> bool:
        if not isinstance(error, RetryLaterError | StopError):
            self._last = None
            return True  # about one thing, not about the service
        last, self._last = (
            self._last,
            (error.status, error.code, error.message, method, re.sub(r"\d+", "#", path)),
        )
        return self._last != last
