"""What a configured value must be beyond its type: one function a rule.

Each takes the text as written, returns it as the program uses it, and raises `ValueError` with
what is allowed. No message repeats the text: it may hold a secret.

Public: the `check_` functions, `resolve_path`, `is_loopback`, `nearest`.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import shlex
import zoneinfo
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from hisync.items import FIELDS

_ASYNC_DRIVERS = frozenset({"aiosqlite", "asyncpg", "psycopg_async"})
_LONGEST_LABEL = 63
_OWNER_READS_AND_WRITES = 0o600


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant: the most alike, else the one that begins so."""
    words = sorted(known)
    alike = difflib.get_close_matches(word, words, n=1)
    begun = [name for name in words if word and name.startswith(word)]
    return next(iter(alike + begun), None)


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_base_url(url: str) -> str:
    """The address of hiTask's API, without a trailing slash."""
    parts = _split_web_address(url)
    if "@" in parts.netloc:
        raise ValueError("must not hold a login or a password: they have keys of their own")
    if "?" in url or "#" in url:
        raise ValueError('must end with the path, without "?" or "#" and what follows')
    return url.rstrip("/")


def check_text(text: str) -> str:
    """A text that can be sent: an environment in another encoding has bytes that are none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must be UTF-8 text") from None
    return text


def check_command(text: str) -> str:
    """The command that events are given to; empty for none."""
    try:
        words = shlex.split(text)
    except ValueError:
        raise ValueError("must be a command whose quotes are closed, as in a shell") from None
    if text and not words:
        raise ValueError('must be a command, or "" for none')
    return text


def check_webhook(url: str) -> str:
    """The address that events are posted to; empty for none."""
    if url:
        _split_web_address(url)
    return url


def _split_web_address(url: str) -> SplitResult:
    """The parts of an https URL, or of an http URL of this machine."""
    rule = "must be an https:// URL (http:// only of this machine: localhost, 127.0.0.1, [::1])"
    # urlsplit drops line breaks and tabs silently, so it would judge another text than is used.
    if not url.isprintable() or " " in url or "\\" in url:
        raise ValueError(rule)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(rule) from None
    if not host or parts.scheme not in ("https", "http"):
        raise ValueError(rule)
    if not all(0 < len(part) <= _LONGEST_LABEL for part in host.removesuffix(".").split(".")):
        raise ValueError("must name a host that has 1 to 63 characters between its dots")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(rule)
    return parts


def check_listen(text: str) -> str:
    """The address to listen at; empty for none."""
    if not text:
        return text
    rule = 'must be host:port such as "127.0.0.1:9464", or "" for none'
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port
    except ValueError:
        raise ValueError(rule) from None
    if not parts.hostname or not port or parts.netloc != text or "@" in text:
        raise ValueError(rule)
    return text


def check_time_zone(name: str) -> str:
    """The name of a time zone; empty for the account's."""
    if not name:
        return name
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        names = {known.lower(): known for known in zoneinfo.available_timezones()}
        likely = nearest(name.lower(), names)
        hint = f"; did you mean {names[likely]}?" if likely else ""
        raise ValueError(f'must be a time zone such as "Europe/Prague", or ""{hint}') from None
    return name


def check_file_mode(text: str) -> str:
    """The access rights of the database's files."""
    rights = int(text, 8) if re.fullmatch(r"0?[0-7]{3}", text) else 0
    if rights & _OWNER_READS_AND_WRITES != _OWNER_READS_AND_WRITES or rights & 0o111:
        raise ValueError('must be octal rights in quotes that let the owner read and write: "0600"')
    return text


def check_column(name: str) -> str:
    """The name of a column that people write, so that it can conflict."""
    writable = {field.column for field in FIELDS if field.writable}
    if name in writable:
        return name
    if any(field.column == name for field in FIELDS):
        raise ValueError("must be a column that people can change; this one is read-only")
    likely = nearest(name, writable)
    hint = f"did you mean {likely}?" if likely else f"they are {', '.join(sorted(writable))}"
    raise ValueError(f"must be a column of the item tables; {hint}")


def resolve_path(text: str, folder: Path) -> str:
    """A file's absolute path: "~" is the home folder, and what is relative starts in `folder`."""
    if not text:
        return text
    try:
        return str(folder / Path(text).expanduser())
    except RuntimeError:
        raise ValueError('must be a path; the home folder that "~" names is not known') from None


def check_schema(name: str) -> str:
    """The name of a PostgreSQL schema that needs no quotes anywhere; empty for the default."""
    if name and (not re.fullmatch(r"[a-z_][a-z0-9_]{0,54}", name) or name.startswith("pg_")):
        raise ValueError(
            "must be lower-case letters, digits and underscores, at most 55, not beginning with"
            ' a digit or "pg_"; or "" for the connection\'s own'
        )
    return name


def check_database_url(text: str, folder: Path) -> str:
    """The database as an SQLAlchemy URL; a relative SQLite path starts in `folder`."""
    # Half a second of import that `hisync --help` need not pay.
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    rule = 'must be "sqlite:///FILE" or "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"'
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError(rule) from None
    kind, _, driver = url.drivername.partition("+")
    if driver in _ASYNC_DRIVERS:
        raise ValueError(f"{rule}; the driver {driver} is asynchronous, which hisync can't use")
    if kind == "postgresql":
        if re.search("[@&=]", url.host or ""):  # the rest of a password, which would be shown
            raise ValueError(f'{rule}; an "@" in USER, PASSWORD or what follows is written %40')
        return text
    if kind != "sqlite" or driver not in ("", "pysqlite"):
        raise ValueError(rule)
    if url.host:
        raise ValueError('must have three slashes after "sqlite:", four before an absolute path')
    if not url.database or ":memory:" in url.database or "memory" in url.query.values():
        raise ValueError(
            "must name a file: a database in memory would forget, on every start, what both sides"
            " agreed on and which edits are unsent"
        )
    if url.database.startswith("file:"):
        raise ValueError('must be a plain path after "sqlite:///", not a "file:" URI')
    url = url.set(database=resolve_path(url.database, folder))
    return url.render_as_string(hide_password=False)
