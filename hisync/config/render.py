"""Writing a configuration: the few keys that were asked for, as TOML.

The standard library reads TOML and does not write it; texts are all that is written here, and a
JSON string is a TOML one but for the delete character. Public: `render_config`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

_HEADER = """\
# hisync's configuration, written by `hisync init`. A key that is left out has its default; the
# README and config.example.toml say which there are. Relative paths count from this file's folder.
"""


def render_config(sections: Mapping[str, Mapping[str, str]]) -> str:
    """The configuration as the text of its file.

    Args:
        sections: texts by key, by section; none with half of a surrogate pair.
    """
    parts = [_HEADER]
    for section, values in sections.items():
        lines = [f"{key} = {_string(value)}\n" for key, value in values.items()]
        parts.append("".join([f"[{section}]\n", *lines]))
    return "\n".join(parts)


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
