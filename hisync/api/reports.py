"""How an error of the service gets into the log: once, with the facts, without a secret.

Public: `log_service_error`.
"""

from __future__ import annotations

from typing import Any

from hisync.errors import ServiceError, SlowDownError


def log_service_error(log: Any, error: ServiceError, method: str, path: str) -> None:
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
    log.warning("rate_limited" if isinstance(error, SlowDownError) else "api_error", **facts)
