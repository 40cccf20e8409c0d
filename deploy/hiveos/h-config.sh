#!/usr/bin/env bash
# Writes config.json from the flight sheet; HiveOS sources it before each start. Fields of the flight sheet:
#   CUSTOM_TEMPLATE     wallet: the payout address
#   CUSTOM_URL          pool URL: USER@HOST:PORT of the node's RPC
#   CUSTOM_PASS         its RPC password
#   CUSTOM_USER_CONFIG  further settings, a JSON object (docs/reference/settings.md); may be empty
# shellcheck source=deploy/hiveos/h-manifest.conf
. "$(dirname "${BASH_SOURCE[0]}")/h-manifest.conf"

write_config() (
    umask 077 # the RPC password is in it
    node=${CUSTOM_URL##*://}
    user=${node%@*}
    place=${node##*@}
    jq -n --arg address "$CUSTOM_TEMPLATE" --arg host "${place%:*}" --arg port "${place##*:}" --arg user "$user" \
        --arg password "$CUSTOM_PASS" --arg listen "$WEB_LISTEN" --argjson more "${CUSTOM_USER_CONFIG:-{\}}" '
        {
            mode: "production",
            bitcoin_rpc: {host: $host, port: ($port | tonumber), username: $user, password: $password},
            payout_address: $address,
            web: {enabled: true, listen: $listen}
        } * $more' >"$CUSTOM_CONFIG_FILENAME.new" && mv "$CUSTOM_CONFIG_FILENAME.new" "$CUSTOM_CONFIG_FILENAME"
)

if [[ -z $CUSTOM_TEMPLATE || ${CUSTOM_URL##*://} != *@*:* ]]; then
    echo "solominer: the flight sheet needs a wallet (payout address) and as pool URL USER@HOST:PORT of your node" >&2
elif ! write_config; then
    echo "solominer: no config.json; are port and extra config of the flight sheet a number and a JSON object?" >&2
fi
