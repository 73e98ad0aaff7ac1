"""Finding the configuration file, reading it, and laying the environment over it.

The environment is laid over by hand and not by pydantic-settings, because every fault is to be
reported, a variable that sets nothing too, and with the variable's name.

Public: `find_config`, `load_config`, `check_config`.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from hisync.config.faults import (
    PREFIX,
    Origins,
    describe,
    one_line,
    unknown_variable,
    variable_of,
)
from hisync.config.model import Config, known_keys
from hisync.errors import ConfigurationError

SYSTEM_CONFIG: Final = Path("/etc/hisync/config.toml")

_CONFIG_VARIABLE: Final = "HISYNC_CONFIG"
_SERVICE_LINK: Final = re.compile(
    r"HISYNC_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)"
)
"""What Kubernetes gives a container where a Service is called `hisync` (environment variables in
its documentation of Services)."""

_FIELDS_PREFIX: Final = variable_of("conflicts", "fields") + "__"
_PAIRS: Final = (("password", "password_file"), ("api_key", "api_key_file"))


def find_config(
    explicit: Path | None,
    environ: Mapping[str, str],
    cwd: Path,
    home: Path,
    system: Path = SYSTEM_CONFIG,
) -> Path | None:
    """The configuration file to read, None if there is none.

    Args:
        explicit: the file that the command line names, None if it names none.
        environ: the environment; `HISYNC_CONFIG` names a file too.
        cwd: the current folder, where `config.toml` is looked for first.
        home: the user's home folder, where `.config/hisync/config.toml` is looked for next.
        system: the file that is looked for last.

    Raises:
        ConfigurationError: a file was named and is not there.
    """
    variable = environ.get(_CONFIG_VARIABLE, "")
    named = explicit or (Path(variable) if variable else None)
    if named is None:
        places = (cwd / "config.toml", home / ".config" / "hisync" / "config.toml", system)
        # A dangling link counts as there: reading it says what is wrong.
        return next((place for place in places if os.path.lexists(place)), None)
    if named.parts[:1] == ("~",):
        named = home.joinpath(*named.parts[1:])
    path = cwd / named
    if not os.path.lexists(path):
        by = "--config" if explicit else f"environment variable {_CONFIG_VARIABLE}"
        raise ConfigurationError([one_line(f"{path} ({by}): there is no such file")])
    return path


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read and check the configuration; the environment wins over the file.

    A secret that the environment gives takes the place of the file's, whether the file has it
    as `password` or as `password_file`.

    Args:
        path: the file, None for none: then the environment and the defaults are all.
        environ: the environment, of which the variables that begin with `HISYNC_` count.

    Raises:
        ConfigurationError: all that is wrong, one line a fault.
    """
    faults: list[str] = []
    file = path.absolute() if path else None
    data = _read_toml(file, faults) if file else {}
    return _check(data, Origins(file), environ, faults)


def check_config(
    data: Mapping[str, Mapping[str, Any]],
    file: Path,
    environ: Mapping[str, str],
    options: Mapping[str, str],
) -> Config:
    """Check a configuration that is not written yet, in the words of `load_config`.

    Args:
        data: the file's tables.
        file: where it is going to be.
        environ: as for `load_config`.
        options: the command line's option that each key came from.

    Raises:
        ConfigurationError: all that is wrong, one line a fault.
    """
    tables = {section: dict(values) for section, values in data.items()}
    return _check(tables, Origins(file, options=options), environ, [])


def _check(
    data: dict[str, Any], origins: Origins, environ: Mapping[str, str], faults: list[str]
) -> Config:
    """Lay the environment over the file's tables and check what comes out."""
    file = origins.file
    secrets_in_file = _literal_secrets(data)
    _lay_environment_over(data, environ, origins, faults)
    _keep_one_of_each_pair(data, origins, faults)
    for section in Config.model_fields:
        data.setdefault(section, {})
    context = {
        "folder": file.parent if file else Path.cwd(),
        "file": file,
        "secrets_in_file": secrets_in_file,
    }
    try:
        config = Config.model_validate(data, context=context)
    except ValidationError as error:
        faults += [describe(details, origins) for details in error.errors(include_url=False)]
        # Not `from error`: pydantic's own text quotes the values.
        raise ConfigurationError(faults) from None
    if faults:
        raise ConfigurationError(faults)
    return config


def _read_toml(path: Path, faults: list[str]) -> dict[str, Any]:
    """The file's tables; empty, with a fault added, if it can't be read."""
    text = ""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return tomllib.loads(text)
    except FileNotFoundError:
        faults.append(one_line(f"{path}: there is no such file"))
    except OSError as error:
        faults.append(one_line(f"{path}: can't be read: {error.strerror}"))
    except UnicodeDecodeError as error:
        faults.append(one_line(f"{path}: is not UTF-8 text (byte {error.start + 1})"))
    except (ValueError, RecursionError) as error:
        message, _, place = str(error).partition(" (at ")
        found = re.match(r"line (\d+)", place)
        line = found[1] if found else text.count("\n") + 1
        faults.append(one_line(f"{path}, line {line}: is not valid TOML: {message}"))
    return {}


def _table(data: Mapping[str, Any], section: str) -> dict[str, Any]:
    """A section of the file; empty if it is missing or no table, which the model reports."""
    table = data.get(section)
    return table if isinstance(table, dict) else {}


def _literal_secrets(data: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys of the file that hold a secret themselves instead of a file's path."""
    hitask = _table(data, "hitask")
    found = [f"hitask.{key}" for key, _ in _PAIRS if hitask.get(key)]
    url = _table(data, "database").get("url")
    if isinstance(url, str) and re.search(r"://[^/]*:[^/]*@|[?&]password=", url):
        found.append("database.url")
    return tuple(found)


def _lay_environment_over(
    data: dict[str, Any], environ: Mapping[str, str], origins: Origins, faults: list[str]
) -> None:
    """Put each variable's value in the place of the file's."""
    known = {variable_of(section, key): (section, key, i) for section, key, i in known_keys()}
    # Sorted, so that HISYNC_CONFLICTS__FIELDS comes before one field's variable.
    for name in sorted(name for name in environ if name.startswith(PREFIX)):
        if name in known:
            section, key, info = known[name]
            _set(data, (section, key), _from_text(environ[name], info.annotation))
            origins.variables[f"{section}.{key}"] = name
        elif name.startswith(_FIELDS_PREFIX):
            column = name.removeprefix(_FIELDS_PREFIX).lower()
            _set(data, ("conflicts", "fields", column), environ[name])
            origins.variables[f"conflicts.fields.{column}"] = name
        elif name != _CONFIG_VARIABLE and not _SERVICE_LINK.fullmatch(name):
            faults.append(unknown_variable(name))


def _set(data: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    """Set a value in nested tables; nothing where the file has no table, which is reported."""
    table: Any = data
    for part in path[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            return
    table[path[-1]] = value


def _from_text(text: str, annotation: Any) -> object:
    """A variable's text as the key's type; as it is where that can't be, which is reported."""
    if annotation in (int, float, bool):
        try:
            return TypeAdapter(annotation).validate_python(text, strict=False)
        except ValidationError:
            return text
    if getattr(annotation, "__origin__", None) is Mapping:
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _keep_one_of_each_pair(data: Mapping[str, Any], origins: Origins, faults: list[str]) -> None:
    """A secret is given by one of two keys; the environment's takes the place of the file's."""
    hitask = _table(data, "hitask")
    for pair in _PAIRS:
        if not all(hitask.get(key) for key in pair):
            continue
        from_file = [key for key in pair if f"hitask.{key}" not in origins.variables]
        if len(from_file) == 1:
            del hitask[from_file[0]]
            continue
        key, key_file = pair
        where = " and ".join(dict.fromkeys(origins.of(f"hitask.{name}") for name in pair))
        faults.append(
            one_line(f"hitask.{key} and hitask.{key_file} ({where}): only one of them may be given")
        )
