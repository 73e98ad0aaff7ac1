"""The configuration: a TOML file, the environment over it, and all faults reported at once.

    path = find_config(option, os.environ, Path.cwd(), Path.home())
    config = load_config(path, os.environ)

`model` says which keys there are and what each may hold, `checks` are the rules that need more
than a type, `load` finds and reads, `faults` words what is wrong, `render` writes. Secrets stay
`SecretStr`, and no message ever holds one.

Public: `Config` and its sections, `find_config`, `load_config`, `check_config`, `render_config`,
`require_configuration`, `require_credentials`, `security_warnings`, `known_keys`, `is_loopback`.
"""

from hisync.config.checks import is_loopback
from hisync.config.load import check_config, find_config, load_config
from hisync.config.model import (
    Config,
    ConflictsSettings,
    DatabaseSettings,
    HitaskSettings,
    HooksSettings,
    LogSettings,
    MonitorSettings,
    Policy,
    RateSettings,
    RetentionSettings,
    SafetySettings,
    SyncSettings,
    known_keys,
    require_configuration,
    require_credentials,
    security_warnings,
)
from hisync.config.render import render_config

__all__ = [
    "Config",
    "ConflictsSettings",
    "DatabaseSettings",
    "HitaskSettings",
    "HooksSettings",
    "LogSettings",
    "MonitorSettings",
    "Policy",
    "RateSettings",
    "RetentionSettings",
    "SafetySettings",
    "SyncSettings",
    "check_config",
    "find_config",
    "is_loopback",
    "known_keys",
    "load_config",
    "render_config",
    "require_configuration",
    "require_credentials",
    "security_warnings",
]
