"""config.json, environment variables and flags, made into one frozen, validated Config.

Later ones win: defaults, the file, `SOLOMINER_*` variables (a double underscore goes one level down:
`SOLOMINER_BITCOIN_RPC__PASSWORD`), flags. Secrets have no flag, because a command line can be read by everybody.
`python -m solominer.config` prints config.json.example.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solominer.config.environment import ENV_PREFIX
    from solominer.config.load import example_json, load_config, warnings_about
    from solominer.config.models import (
        Config,
        ElectricityConfig,
        NodeConfig,
        PoliciesConfig,
        RpcConfig,
        ScheduleConfig,
        ThrottleConfig,
        ZmqConfig,
    )
    from solominer.config.paths import default_cache_dir, default_data_dir

__all__ = [
    "ENV_PREFIX",
    "Config",
    "ElectricityConfig",
    "NodeConfig",
    "PoliciesConfig",
    "RpcConfig",
    "ScheduleConfig",
    "ThrottleConfig",
    "ZmqConfig",
    "default_cache_dir",
    "default_data_dir",
    "example_json",
    "load_config",
    "warnings_about",
]

_HOMES = {
    "ENV_PREFIX": "environment",
    "default_cache_dir": "paths",
    "default_data_dir": "paths",
    "example_json": "load",
    "load_config": "load",
    "warnings_about": "load",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: pydantic takes a third of a second, which `--help` does without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'models')}"), name)
