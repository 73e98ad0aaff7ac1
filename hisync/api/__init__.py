"""The hiTask service over HTTP: session, requests, and what its answers mean.

Knows nothing of the mirror or of plans. Public: everything that is imported here.
"""

from hisync.api.answers import ItemsAnswer, LongItems, size_of
from hisync.api.auth import Credentials, PasswordEncoding, SessionAuth
from hisync.api.client import HiTask
from hisync.api.connection import TIMEOUTS, Grant, Settle
from hisync.api.dates import decode_date, encode_day, encode_instant
from hisync.api.decode import TimeUnit, decode_item
from hisync.api.encode import encode_changes, encode_new, wire_precision
from hisync.api.outcomes import SessionLostError
from hisync.api.secrets import Secrets, silence_http_loggers

__all__ = [
    "TIMEOUTS",
    "Credentials",
    "Grant",
    "HiTask",
    "ItemsAnswer",
    "LongItems",
    "PasswordEncoding",
    "Secrets",
    "SessionAuth",
    "SessionLostError",
    "Settle",
    "TimeUnit",
    "decode_date",
    "decode_item",
    "encode_changes",
    "encode_day",
    "encode_instant",
    "encode_new",
    "silence_http_loggers",
    "size_of",
    "wire_precision",
]
