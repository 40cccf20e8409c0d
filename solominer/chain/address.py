"""Checks the form of a payout address before it is sent to a node."""

from __future__ import annotations

import re

from solominer.chain.networks import Network
from solominer.chain.secrets import secret_kind
from solominer.errors import PayoutError

_FORM = re.compile(r"[123mn][0-9A-Za-z]{24,38}|(?i:(?:bc|tb|bcrt)1[0-9a-z]{6,87})")
_URI = re.compile(r"bitcoin:(?://)?([^?#]*)(?:[?#].*)?", re.IGNORECASE | re.DOTALL)
_OTHERS = (
    (re.compile(r"[xyzuvtYZUV]pub[0-9A-Za-z]{20,}"), "it is an extended public key"),
    (re.compile(r"(?i:ln(?:bc|tb|bcrt|url)[0-9a-z]+)|[^@\s]+@[^@\s]+"), "it belongs to Lightning or to e-mail"),
    (re.compile(r"(?i:bitcoincash|bchtest|ecash|litecoin|dogecoin):.*"), "it belongs to another coin"),
    (re.compile(r"(?i:(?:ltc|tltc|vtc|dgb|grs|btg)1[0-9a-z]{6,})|0x[0-9a-fA-F]{40}"), "it belongs to another coin"),
)
_TESTS, _TB = "testnet, signet or regtest", "testnet or signet"
_PREFIXES = {
    **{"bc1": "mainnet", "tb1": _TB, "bcrt1": "regtest"},
    **{"1": "mainnet", "3": "mainnet", "m": _TESTS, "n": _TESTS, "2": _TESTS},
}
"""Prefixes of addresses and their networks; the test networks share most of theirs."""

_HOMES = {
    "mainnet": ("mainnet",),
    "testnet3": (_TB, _TESTS),
    "testnet4": (_TB, _TESTS),
    "signet": (_TB, _TESTS),
    "regtest": ("regtest", _TESTS),
}
_SHORTEST_BASE58 = 26

_OWN = "set payout_address to an address of your own wallet on this network"


def refuse_secret(text: str) -> None:
    """Raise PayoutError, without the value, if a secret was entered as an address."""
    kind = secret_kind(text, as_address=True)
    if kind:
        raise PayoutError(
            f"the payout address is a secret, not an address: {kind}",
            "set payout_address to an address, and move the coins of this key if anybody may have seen it",
        )


def without_uri(text: str) -> str:
    """The address in a `bitcoin:` URI (BIP 21); any other text is returned stripped."""
    stripped = text.strip()
    match = _URI.fullmatch(stripped)
    return match[1].strip("/") if match else stripped


def address_in(text: str) -> str:
    """The entered address. Raises PayoutError if it is a secret or malformed.

    The error does not quote the text, which may be anything.
    """
    address = without_uri(text)
    refuse_secret(address)
    if _FORM.fullmatch(address):
        return address
    why = next((why for form, why in _OTHERS if form.fullmatch(address)), "it does not have the form of an address")
    raise PayoutError(f"the payout address is not valid: {why}", _OWN)


def address_for(text: str, network: Network) -> str:
    """The entered address. Raises PayoutError as address_in, and if its prefix is that of other networks."""
    address = address_in(text)
    home = _home_of(address)
    if home and home not in _HOMES[network.name]:
        raise PayoutError(
            f"the payout address {address!r:.100} belongs to {home}, not to {network.name}",
            f"use a {network.name} address",
        )
    return address


def _home_of(address: str) -> str:
    """The networks of an address with this prefix, or ''."""
    lowered = address.lower()
    if len(lowered) < _SHORTEST_BASE58:
        return ""
    return next((home for prefix, home in _PREFIXES.items() if lowered.startswith(prefix)), "")
