"""How a fault in the configuration is told: key, value, where it stands, what is allowed.

One line a fault, and never a secret in it: the values of some keys are not shown at all, an
unknown key's and a whole table's neither, and a URL is shown as far as it can't hold a password.

Public: `Origins`, `describe`, `unknown_variable`, `one_line`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hisync.config.checks import nearest
from hisync.config.model import Config, known_keys

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

PREFIX: Final = "HISYNC_"

_HIDDEN: Final = frozenset({"hitask.password", "hitask.api_key", "hooks.command", "hooks.webhook"})
_URLS: Final = frozenset({"hitask.base_url", "database.url"})
_SCALARS: Final = (str, int, float, date, time)
_LONGEST: Final = 80

_NOUNS: Final[Mapping[str, str]] = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text in quotes",
    "SecretStr": "text in quotes",
}


@dataclass(frozen=True, slots=True)
class Origins:
    """Where each value came from.

    Attributes:
        file: the configuration file, None if there is none.
        variables: the environment variable of each key that was set by one.
        options: the command line's option of each key that was set by one.
    """

    file: Path | None
    variables: dict[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)

    def of(self, key: str) -> str:
        """Where a key's value stands, in words."""
        while key:
            if key in self.variables:
                return f"environment variable {self.variables[key]}"
            if key in self.options:
                return f"option {self.options[key]}"
            key = key.rpartition(".")[0]
        return f"in {self.file}" if self.file else "by default"


def variable_of(section: str, key: str) -> str:
    """The environment variable of a key."""
    return f"{PREFIX}{section}__{key}".upper()


def one_line(text: str) -> str:
    """A fault as the one line that it is, whatever keys and paths hold."""
    return " ".join(text.encode("utf-8", "backslashreplace").decode().splitlines())


def describe(error: ErrorDetails, origins: Origins) -> str:
    """One of pydantic's errors in the user's terms."""
    path = [str(part) for part in error["loc"] if part != "[key]"]
    key = ".".join(path)
    where = origins.of(key)
    if error["type"] == "extra_forbidden":
        return one_line(_unknown(path, error["input"], where))
    bad_name = error["loc"][-1] == "[key]"
    shown = "" if bad_name else _shown(key, error["input"])
    return one_line(f"{key}{shown} ({where}): {_allowed(error, path)}")


def _unknown(path: list[str], value: object, where: str) -> str:
    """An unknown section, or an unknown key in a section."""
    name = path[-1]
    others = [f"[{section}]" for section, key, _ in known_keys() if key == name]
    if len(path) == 1:
        known = list(Config.model_fields)
        if not isinstance(value, Mapping):
            hint = f"; it belongs under {others[0]}" if others else ""
            return f"{name} ({where}): unknown key outside of any section{hint}"
        likely = nearest(name, known)
        hint = f"did you mean [{likely}]?" if likely else f"known are {', '.join(known)}"
        return f"[{name}] ({where}): unknown section; {hint}"
    return f"{'.'.join(path)} ({where}): unknown key; {_hint(path[0], name, others)}"


def _hint(section: str, name: str, others: list[str]) -> str:
    known = [key for where, key, _ in known_keys() if where == section]
    likely = nearest(name, known)
    if likely:
        return f"did you mean {likely}?"
    if others:
        return f"it belongs under {others[0]}"
    return f"known under [{section}] are {', '.join(known)}"


def unknown_variable(name: str) -> str:
    """An environment variable that looks like hisync's and sets nothing."""
    section, _, key = name.removeprefix(PREFIX).lower().partition("__")
    known = {variable_of(where, what): (where, what) for where, what, _ in known_keys()}
    likely_section = nearest(section, Config.model_fields)
    keys = [what for where, what in known.values() if where == likely_section]
    likely_key = nearest(key, keys) if key else None
    if likely_section and likely_key:
        likely: str | None = variable_of(likely_section, likely_key)
    else:
        likely = nearest(name, known) if not keys else None
    if likely:
        hint = f"did you mean {likely}?"
    elif likely_section:
        hint = f"known are {', '.join(variable_of(likely_section, what) for what in keys)}"
    else:
        hint = f"variables are named {PREFIX}SECTION__KEY, such as {next(iter(known))}"
    return one_line(f"{name} (environment variable): sets no known key; {hint}")


def _shown(key: str, value: object) -> str:
    """` = value` as far as it may be shown."""
    if "." not in key or key in _HIDDEN or not isinstance(value, _SCALARS):
        return ""
    if key in _URLS:
        value = _harmless_part(str(value))
    text = json.dumps(value, ensure_ascii=False, default=str)
    return f" = {text if len(text) <= _LONGEST else text[: _LONGEST - 1] + '…'}"


def _harmless_part(url: str) -> str:
    """A URL as far as it can't hold a password, however wrongly it is written."""
    if re.fullmatch(r"(https?://|sqlite:/*)?[\w.-]*(:\d{1,5})?(/[\w./ ~-]*)?", url):
        return url
    scheme = re.match(r"[\w+.-]+://", url)
    return f"{scheme[0] if scheme else ''}…"


def _allowed(error: ErrorDetails, path: list[str]) -> str:
    """What the key may hold."""
    context: dict[str, Any] = error.get("ctx", {})
    match error["type"]:
        case "value_error":
            return str(context["error"])
        case "literal_error":
            return f"must be {str(context['expected']).replace(chr(39), chr(34))}"
        case _:
            return f"must be {_kind(path)}"


def _kind(path: list[str]) -> str:
    """The type and the limits of a key, in words."""
    found: FieldInfo | None = next(
        (info for section, key, info in known_keys() if [section, key] == path), None
    )
    if found is None:
        return f"a section: write [{path[0]}] and its keys below"
    noun = _NOUNS.get(getattr(found.annotation, "__name__", ""))
    if noun is None:
        return 'a table such as title = "local" (in the environment JSON: {"title": "local"})'
    limits = {
        limit: getattr(rule, limit)
        for rule in found.metadata
        for limit in ("ge", "le")
        if hasattr(rule, limit)
    }
    return f"{noun} from {limits['ge']} to {limits['le']}" if limits else noun
