"""config.json, environment variables and flags, merged into one frozen, validated Config.

Precedence, lowest first: defaults, the file, `SOLOMINER_*` variables (a double underscore separates levels:
`SOLOMINER_BITCOIN_RPC__PASSWORD`), flags. Secrets have no flag: other users can read the command line.
`python -m solominer.config` prints config.json.example.
"""
