"""config.json, environment variables and flags, made into one frozen, validated Config.

Later ones win: defaults, the file, `SOLOMINER_*` variables (a double underscore goes one level down:
`SOLOMINER_BITCOIN_RPC__PASSWORD`), flags. Secrets have no flag, because a command line can be read by everybody.
`python -m solominer.config` prints config.json.example.
"""

from solominer.config.environment import ENV_PREFIX
from solominer.config.folders import default_cache_dir, default_data_dir
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
