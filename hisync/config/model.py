"""Which keys the configuration has, what each holds by default, and what it may hold.

A section is a frozen pydantic model; a default stands here as it would be written in the file.
Values from the file are taken strictly (`"60"` is not a number); `load` turns the environment's
text into the key's type first. Relative paths are resolved against the context's "folder".

Public: `Config`, the sections, `Policy`, `known_keys`, `require_credentials`,
`security_warnings`.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
)
from pydantic.fields import FieldInfo

from hisync.config import checks
from hisync.errors import ConfigurationError

Policy: TypeAlias = Literal["remote", "local", "newest"]

_YEAR: Final = 366 * 86_400
_NONE_FOUND: Final = "no configuration was found: run `hisync init` to write one"


def _folder(info: ValidationInfo) -> Path:
    return Path((info.context or {}).get("folder") or Path.cwd())


def _resolved(text: str, info: ValidationInfo) -> str:
    return checks.resolve_path(text, _folder(info))


def _database_url(text: str, info: ValidationInfo) -> str:
    return checks.check_database_url(text, _folder(info))


def _sendable(secret: SecretStr) -> SecretStr:
    checks.check_text(secret.get_secret_value())
    return secret


FilePath: TypeAlias = Annotated[str, AfterValidator(_resolved)]
Text: TypeAlias = Annotated[str, AfterValidator(checks.check_text)]
Secret: TypeAlias = Annotated[SecretStr, AfterValidator(_sendable)]
Column: TypeAlias = Annotated[str, AfterValidator(checks.check_column)]


class Section(BaseModel):
    """One table of the configuration file."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        validate_default=True,
        hide_input_in_errors=True,
    )


class HitaskSettings(Section):
    """The service and the account; an empty text is a value that was not given."""

    REQUIRED: ClassVar[tuple[str, ...]] = ("login", "password", "api_key")

    base_url: Annotated[str, AfterValidator(checks.check_base_url)] = "https://hitask.com/api"
    login: Text = ""
    password: Secret = SecretStr("")
    password_file: FilePath = ""
    api_key: Secret = SecretStr("")
    api_key_file: FilePath = ""
    password_encoding: Literal["plain", "md5"] = "plain"  # noqa: S105 - no password
    time_unit: Literal["minutes", "hours"] = "minutes"
    time_zone: Annotated[str, AfterValidator(checks.check_time_zone)] = ""

    _from_file: dict[str, SecretStr] = PrivateAttr(default_factory=dict)

    def missing(self) -> tuple[str, ...]:
        """The keys that hiTask can't be asked without and that nothing was given for."""
        given = {
            "login": bool(self.login),
            "password": bool(self.password.get_secret_value() or self.password_file),
            "api_key": bool(self.api_key.get_secret_value() or self.api_key_file),
        }
        return tuple(key for key in self.REQUIRED if not given[key])

    def read_password(self) -> str:
        """The password, from its file if it has one.

        Raises:
            ConfigurationError: nothing was given, or the file can't be read or is empty.
        """
        return self._read("password", self.password, self.password_file)

    def read_api_key(self) -> str:
        """The API key, from its file if it has one.

        Raises:
            ConfigurationError: nothing was given, or the file can't be read or is empty.
        """
        return self._read("api_key", self.api_key, self.api_key_file)

    def _read(self, key: str, literal: SecretStr, path: str) -> str:
        if literal.get_secret_value():
            return literal.get_secret_value()
        if not path:
            raise ConfigurationError([_how_to_give(key)])
        if key in self._from_file:  # a pipe, as of a secret store, can be read once
            return self._from_file[key].get_secret_value()
        what = f'hitask.{key}_file = "{path}"'
        try:
            text = Path(path).read_text("utf-8-sig")
        except UnicodeDecodeError:
            raise ConfigurationError([f"{what}: the file is not UTF-8 text"]) from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ConfigurationError([f"{what}: the file can't be read: {reason}"]) from None
        secret = text.removesuffix("\n").removesuffix("\r")
        if not secret.strip():
            raise ConfigurationError([f"{what}: the file is empty"])
        self._from_file[key] = SecretStr(secret)
        return secret


class DatabaseSettings(Section):
    """The mirror; a relative SQLite path has become absolute."""

    url: Annotated[str, AfterValidator(_database_url)] = Field("sqlite:///hisync.db", repr=False)
    auto_upgrade: bool = True
    file_mode: Annotated[str, AfterValidator(checks.check_file_mode)] = "0600"
    # "schema" itself is a name that pydantic's models keep for themselves.
    schema_name: Annotated[str, AfterValidator(checks.check_schema)] = Field("", alias="schema")

    @property
    def is_sqlite(self) -> bool:
        """Whether the mirror is a SQLite file."""
        return self.url.startswith("sqlite")

    @property
    def sqlite_path(self) -> Path | None:
        """The SQLite file, None for another engine."""
        from sqlalchemy.engine import make_url  # slow, see `checks`

        return Path(make_url(self.url).database or "") if self.is_sqlite else None

    @property
    def file_mode_bits(self) -> int:
        """`file_mode` as a number for `os.chmod`."""
        return int(self.file_mode, 8)


class SyncSettings(Section):
    """What is kept the same, and how often."""

    direction: Literal["two-way", "pull-only"] = "two-way"
    poll_interval: Annotated[int, Field(ge=1, le=_YEAR)] = 60
    quiet_interval: Annotated[int, Field(ge=1, le=_YEAR)] = 300
    push_delay: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = 2
    full_every: Annotated[int, Field(ge=60, le=_YEAR)] = 86_400
    comments: bool = True
    time_entries: bool = True
    time_entry_comments: bool = False


class RateSettings(Section):
    """How much hiTask is asked."""

    requests_per_minute: Annotated[int, Field(ge=1, le=10_000)] = 60


class ConflictsSettings(Section):
    """Who wins when one field was changed on both sides."""

    policy: Policy = "remote"
    fields: Mapping[Column, Policy] = Field({})

    def policy_of(self, column: str) -> Policy:
        """The policy of a column: its own, else the general one."""
        return self.fields.get(column, self.policy)


class SafetySettings(Section):
    """What is held until someone approves it."""

    max_removals: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.2
    max_push_deletes: Annotated[int, Field(ge=0, le=1_000_000)] = 50


class RetentionSettings(Section):
    """How long what is finished is kept."""

    change_log_days: Annotated[int, Field(ge=1, le=36_500)] = 90


class HooksSettings(Section):
    """Who is told about what needs a person; either may hold a secret, so neither is shown."""

    command: Annotated[str, AfterValidator(checks.check_command)] = Field("", repr=False)
    webhook: Annotated[str, AfterValidator(checks.check_webhook)] = Field("", repr=False)


class LogSettings(Section):
    """What is logged, and in which form."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class MonitorSettings(Section):
    """Where health and metrics are served."""

    listen: Annotated[str, AfterValidator(checks.check_listen)] = ""


class Config(Section):
    """The whole configuration, checked."""

    hitask: HitaskSettings = Field(default_factory=HitaskSettings)
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    sync: SyncSettings = Field(default_factory=SyncSettings)
    rate: RateSettings = Field(default_factory=RateSettings)
    conflicts: ConflictsSettings = Field(default_factory=ConflictsSettings)
    safety: SafetySettings = Field(default_factory=SafetySettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    hooks: HooksSettings = Field(default_factory=HooksSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    monitor: MonitorSettings = Field(default_factory=MonitorSettings)

    _file: Path | None = PrivateAttr(None)
    _secrets_in_file: tuple[str, ...] = PrivateAttr(())

    def model_post_init(self, context: Any, /) -> None:
        """Keep where the values came from; the context is `load_config`'s."""
        if context:
            self._file = context["file"]
            self._secrets_in_file = context["secrets_in_file"]

    @property
    def file(self) -> Path | None:
        """The file that it was read from, None if there was none."""
        return self._file

    @property
    def names_something(self) -> bool:
        """Whether there is one at all: a file, or an account or a database in the environment."""
        given = self.hitask.model_fields_set | self.database.model_fields_set
        return self._file is not None or bool(given)

    @property
    def secrets_in_file(self) -> tuple[str, ...]:
        """The keys whose value in the file is itself a secret."""
        return self._secrets_in_file


def known_keys() -> Iterator[tuple[str, str, FieldInfo]]:
    """Every key as its section, its name as written, and what pydantic knows about it."""
    for section, info in Config.model_fields.items():
        model = info.annotation
        if isinstance(model, type) and issubclass(model, Section):
            for name, field in model.model_fields.items():
                yield section, field.alias or name, field


def require_configuration(config: Config) -> None:
    """Make sure that there is one, and not only defaults.

    Raises:
        ConfigurationError: there is none.
    """
    if not config.names_something:
        raise ConfigurationError([_NONE_FOUND])


def require_credentials(config: Config) -> None:
    """Make sure that hiTask can be asked: a login, a password and an API key are there.

    Raises:
        ConfigurationError: all that is missing, each with how to give it.
    """
    missing = config.hitask.missing()
    problems = [_how_to_give(key) for key in missing]
    if missing and config.file is None:
        problems.insert(0, _NONE_FOUND)
    for key, read in (
        ("password", config.hitask.read_password),
        ("api_key", config.hitask.read_api_key),
    ):
        if key not in missing:
            try:
                read()
            except ConfigurationError as error:
                problems += error.problems
    if problems:
        raise ConfigurationError(problems)


def _how_to_give(key: str) -> str:
    variable = f"HISYNC_HITASK__{key.upper()}"
    if key == "login":
        return f'hitask.login is missing: write login = "…" under [hitask], or set {variable}'
    return (
        f"hitask.{key} is missing: write the path of a file that holds it as"
        f' {key}_file = "…" under [hitask], or set {variable}'
    )


def security_warnings(config: Config) -> list[str]:
    """What `hisync check` should say about secrets that other users of the machine can read."""
    file = config.file
    if file is None or not config.secrets_in_file:
        return []
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError:
        return []
    if not mode & (stat.S_IRGRP | stat.S_IROTH):
        return []
    names = " and ".join(config.secrets_in_file)
    return [f"{file} holds {names}, and other users can read it (mode {mode:04o}): chmod 600 it"]
