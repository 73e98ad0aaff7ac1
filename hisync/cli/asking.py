"""What `hisync init` is told: by options, by the environment, or by answers on a terminal.

Public: `Answers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import typer
from sqlalchemy import URL

from hisync.config import Config, check_config, require_credentials
from hisync.config.checks import check_base_url, check_database_url
from hisync.config.faults import variable_of
from hisync.errors import ConfigurationError

_OPTIONS: Final = {
    "hitask.login": "--login",
    "hitask.password": "--password-file",
    "hitask.api_key": "--api-key-file",
    "hitask.base_url": "--base-url",
    "database.url": "--database",
    "sync.direction": "--direction",
}
_PROMPTS: Final = {
    "hitask.login": "Login on hiTask",
    "hitask.password": "Password (not shown)",
    "hitask.api_key": "API key (not shown)",
    "hitask.base_url": "Address of the API",
    "database.url": "Database, a file or a URL",
}


@dataclass
class Answers:
    """What is gathered for a configuration that is going to be at `place`.

    Attributes:
        place: the file, as an absolute path.
        environ: the environment: what it gives is neither asked for nor written.
        asking: whether there is a terminal to ask on.
        sections: what is to be written, by section and key.
        notes: what the user should know about the environment.
    """

    place: Path
    environ: Mapping[str, str]
    asking: bool
    sections: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _secrets: dict[str, str] = field(default_factory=dict)
    _options: dict[str, str] = field(default_factory=dict)
    _problems: list[str] = field(default_factory=list)

    @property
    def secret_files(self) -> dict[Path, str]:
        """The texts of the files that the secrets get, beside the configuration."""
        return {self._secret_file(name): f"{text}\n" for name, text in self._secrets.items()}

    def take(self, key: str, given: str | None, *, default: str | None = None) -> None:
        """Take a value that is no secret: an option's, the environment's, an answer, a default."""
        if given:
            self._put(key, self._written(key, given), option=_OPTIONS[key])
        elif self._is_in_environment(key):
            return
        elif self.asking:
            self._put(key, self._ask(key, default=default))
        elif default is not None:
            self._put(key, self._written(key, default))
        else:
            self._miss(key)

    def take_secret(self, name: str, given: str | None) -> None:
        """Take a secret: from a named file, from standard input for `-`, or as a hidden answer."""
        key, key_file = f"hitask.{name}", f"hitask.{name}_file"
        if given and given != "-":
            self._put(key_file, self._from_folder(given), option=_OPTIONS[key])
            return
        if not given and any(map(self._is_in_environment, (key, key_file))):
            return
        if not given and not self.asking:
            self._miss(key)
            return
        self._secrets[name] = self._ask(key, hidden=True) if self.asking else self._read_line(key)
        self._put(key_file, self._secret_file(name).name)

    def check(self) -> Config:
        """The configuration as it is going to be read, checked in the loader's words.

        Raises:
            ConfigurationError: all that is missing or wrong.
        """
        if self._problems:
            raise ConfigurationError(self._problems)
        written = {f"{section}.{key}" for section, keys in self.sections.items() for key in keys}
        written |= {key.removesuffix("_file") for key in written}
        stronger = {variable_of(*key.split(".")) for key in written} & self.environ.keys()
        self.notes += [
            f"mind that {name} is set: it wins over the file" for name in sorted(stronger)
        ]
        config = check_config(
            self._with_secrets(),
            self.place,
            {name: text for name, text in self.environ.items() if name not in stronger},
            self._options,
        )
        require_credentials(config)
        return config

    def _with_secrets(self) -> dict[str, dict[str, str]]:
        """The sections with the secrets themselves in the place of files that are not there yet."""
        hitask = self.sections.get("hitask", {})
        kept = {k: v for k, v in hitask.items() if k.removesuffix("_file") not in self._secrets}
        return {**self.sections, "hitask": {**kept, **self._secrets}}

    def _put(self, key: str, value: str, *, option: str | None = None) -> None:
        section, name = key.split(".")
        self.sections.setdefault(section, {})[name] = value
        if option is not None:
            self._options[key] = option
        self._must_be_text(key, value)

    def _must_be_text(self, key: str, value: str) -> None:
        try:
            value.encode()
        except UnicodeEncodeError:
            self._problems.append(f"{key}: must be UTF-8 text")

    def _miss(self, key: str) -> None:
        variable = variable_of(*key.split("."))
        self._problems.append(f"{key} is missing: give {_OPTIONS[key]}, or set {variable}")

    def _is_in_environment(self, key: str) -> bool:
        variable = variable_of(*key.split("."))
        found = bool(self.environ.get(variable))
        if found:
            self.notes.append(f"{variable} is set, so {key} is not written to the file")
        return found

    def _ask(self, key: str, *, default: str | None = None, hidden: bool = False) -> str:
        def check(text: str) -> str:
            try:
                return self._checked(key, text if hidden else text.strip())
            except ValueError as error:
                raise typer.BadParameter(str(error)) from None

        answer: str = typer.prompt(
            _PROMPTS[key], default=default, hide_input=hidden, value_proc=check
        )
        return answer

    def _checked(self, key: str, text: str) -> str:
        """An answer as it is written.

        Raises:
            ValueError: it can't be used; the text says what is allowed.
        """
        if not text.strip():
            raise ValueError("must not be empty")
        value = self._written(key, text)
        if key == "hitask.base_url":
            check_base_url(value)
        elif key == "database.url":
            check_database_url(value, self.place.parent)
        return value

    def _read_line(self, key: str) -> str:
        """A secret from standard input."""
        line = typer.get_binary_stream("stdin").readline().rstrip(b"\r\n")
        try:
            secret = line.decode()
        except UnicodeDecodeError:
            secret = ""
        if not secret.strip():
            self._problems.append(
                f"{key}: standard input has no line of UTF-8 text for {_OPTIONS[key]}"
            )
        return secret

    def _secret_file(self, name: str) -> Path:
        return self.place.with_suffix(f".{name}")

    def _written(self, key: str, text: str) -> str:
        """A value as the file says it: a database that is a file becomes a URL."""
        if key != "database.url" or "://" in text:
            return text
        return URL.create("sqlite", database=self._from_folder(text)).render_as_string()

    def _from_folder(self, text: str) -> str:
        """A path that was given here and now, as it reads from the configuration's folder."""
        try:
            path = Path.cwd() / Path(text).expanduser()
        except RuntimeError:
            return text  # an unknown "~user", which the check words
        folder = self.place.parent
        return str(path.relative_to(folder) if path.is_relative_to(folder) else path)
