"""The body of a response: short ones as bytes, a long list in a file.

Only a full read or a delta can be that long, and memory must not grow with the account. Public:
`read_body`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Final, cast

import httpx

from hisync.api.long_list import LongList
from hisync.api.outcomes import decode_body

SHORT: Final = 1 << 20
"""The bytes that a body may have to be held in memory."""


def read_body(
    response: httpx.Response, folder: Path | None, clean: Callable[[bytes], bytes] = bytes
) -> bytes | LongList:
    """Read the body of a streamed response to its end.

    Args:
        response: a response whose body was not read.
        folder: where a long body may be kept; the file has no name and goes with the process.
        clean: makes of its text, or of a part of it, what is parsed.

    Raises:
        httpx.HTTPError: the connection broke.
    """
    parts = response.iter_bytes()
    start = b""
    for part in parts:
        start += part
        if len(start) > SHORT:
            break
    else:
        return clean(start)
    # It goes with the list, which closes it.
    file = cast("BinaryIO", TemporaryFile(dir=folder))  # noqa: SIM115
    kept = LongList(file, decode_body, clean)
    file.write(start)
    for part in parts:
        file.write(part)
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        return kept
    file.seek(0)
    return clean(file.read())
