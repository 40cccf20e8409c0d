#!/usr/bin/env bash
# Sets `khs` and `stats`; HiveOS's agent sources it. Without a status of the last 30 seconds: 0 and null.
# shellcheck source=deploy/hiveos/h-manifest.conf
. "$(dirname "${BASH_SOURCE[0]}")/h-manifest.conf"

khs=0
stats=null
solominer_status=$(curl -fsS --max-time 3 "http://$WEB_LISTEN/api/v1/status" 2>/dev/null)
if [[ -n $solominer_status ]]; then
    solominer_stats=$(jq -c --arg ver "$CUSTOM_VERSION" '
        select(now - .at < 30) | {
            khs: (.rate_hps / 1000),
            stats: {
                hs: [.workers[] | select(.alive) | .rate_hps / 1000],
                hs_units: "khs",
                temp: [],
                fan: [],
                uptime: (.at - .started_at | floor),
                ver: $ver,
                ar: [([.workers[].shares] | add // 0), ([.workers[].rejected] | add // 0)],
                algo: "sha256d"
            }
        }' <<<"$solominer_status")
    if [[ -n $solominer_stats ]]; then
        # shellcheck disable=SC2034  # the agent reads both
        khs=$(jq -r .khs <<<"$solominer_stats")
        # shellcheck disable=SC2034
        stats=$(jq -c .stats <<<"$solominer_stats")
    fi
fi
unset solominer_status solominer_stats
