#!/usr/bin/env bash
# Runs solominer until HiveOS stops it.
cd "$(dirname "$0")" || exit 1
# shellcheck source=deploy/hiveos/h-manifest.conf
. ./h-manifest.conf

PATH="$PWD/venv/bin:$HOME/.local/bin:$PATH"
if ! command -v solominer >/dev/null; then
    # HiveOS has an older Python than solominer needs; uv brings its own.
    echo 'solominer is not installed. Once, as root: uv tool install --python 3.12 "solominer[web]"' >&2
    exit 1
fi

mkdir -p "$(dirname "$CUSTOM_LOG_BASENAME")"
# --yes: whoever fills in a flight sheet wants production mode.
exec solominer run --plain --yes --config "$CUSTOM_CONFIG_FILENAME" >>"$CUSTOM_LOG_BASENAME.log" 2>&1
