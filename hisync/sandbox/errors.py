"""The error answers of the service: one exception with a code, a message and an HTTP status.

Public: `ApiError` and the codes that the sandbox uses.
"""

from __future__ import annotations

NOT_FOUND = 1
NO_PERMISSION = 3
PARAMETER_MISSING = 4
INVALID_FORMAT = 5
INVALID_DATA = 6
SESSION_NOT_FOUND = 7
INVALID_API_KEY = 8
STALE_OBJECT = 10
LIMIT_EXCEEDED = 20
PARTICIPANT_NOT_ADDED = 24
SIZE_EXCEEDED = 25
INTERVAL_OUT_OF_RANGE = 47
TOO_MANY_REQUESTS = 67
SHORT_NAME_USED = 80
ENDPOINT_DEPRECATED = 86

# HTTP statuses by code; every other code is a plain 400.
_STATUSES = {
    NOT_FOUND: 404,
    NO_PERMISSION: 403,
    SESSION_NOT_FOUND: 403,
    INVALID_API_KEY: 401,
    STALE_OBJECT: 412,
    LIMIT_EXCEEDED: 507,
    TOO_MANY_REQUESTS: 403,
    100: 500,
}


class ApiError(Exception):
    """A refusal, as the service words it.

    Attributes:
        code: the `response_status` of the body.
        message: the `error_message` of the body.
        status: the HTTP status.
        retry_after: seconds for a `Retry-After` header, or None.
    """

    def __init__(
        self,
        code: int,
        message: str,
        *,
        status: int | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = _STATUSES.get(code, 400) if status is None else status
        self.retry_after = retry_after
