"""config.json, environment variables and flags, made into one frozen, validated Config.

Later ones win: defaults, the file, `SOLOMINER_*` variables (a double underscore goes one level down:
`SOLOMINER_BITCOIN_RPC__PASSWORD`), flags. Secrets have no flag, because a command line can be read by everybody.
`python -m solominer.config` prints config.json.example.
"""
