"""Addresses of scripts: the vectors of BIP 173 and BIP 350, base58 addresses of known coins, and what has none."""

from __future__ import annotations

import pytest

from solominer.chain.encode_address import address_of, described
from solominer.chain.networks import MAINNET, REGTEST, TESTNET4, Network

KEY_HASH = "751e76e8199196d454941c45d1b3a323f1433bd6"


@pytest.mark.parametrize(
    ("script_hex", "network", "address"),
    [
        (f"76a914{KEY_HASH}88ac", MAINNET, "1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH"),
        (f"76a914{KEY_HASH}88ac", TESTNET4, "mrCDrCybB6J1vRfbwM5hemdJz73FwDBC8r"),
        ("76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac", MAINNET, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
        (f"76a914{'00' * 20}88ac", MAINNET, "1111111111111111111114oLvT2"),
        ("a914748284390f9e263a4b766a75d0633c50426eb87587", MAINNET, "3CK4fEwbMP7heJarmU4eqA3sMbVJyEnU3V"),
        (f"0014{KEY_HASH}", MAINNET, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
        (f"0014{KEY_HASH}", REGTEST, "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"),
        (
            "00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262",
            TESTNET4,
            "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7",
        ),
        (
            "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
            MAINNET,
            "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        ),
        (
            f"5128{KEY_HASH}{KEY_HASH}",
            MAINNET,
            "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
        ),
        ("6002751e", MAINNET, "bc1sw50qgdz25j"),
        ("5210751e76e8199196d454941c45d1b3a323", MAINNET, "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs"),
        ("51024e73", MAINNET, "bc1pfeessrawgf"),
    ],
)
def test_vectors(script_hex: str, network: Network, address: str) -> None:
    assert address_of(bytes.fromhex(script_hex), network) == address
    assert described(bytes.fromhex(script_hex), network) == address


@pytest.mark.parametrize(
    ("script_hex", "text"),
    [
        ("", "an empty script"),
        ("6a24aa21a9ed" + "00" * 32, "OP_RETURN of 38 bytes"),
        ("0010751e76e8199196d454941c45d1b3a323", "script 0010751e76e8199196d454941c45d1b3a323"),
        ("41" + "04" * 65 + "ac", f"script {'4104' + '04' * 30}…"),
    ],
)
def test_what_has_no_address(script_hex: str, text: str) -> None:
    assert address_of(bytes.fromhex(script_hex), MAINNET) == ""
    assert described(bytes.fromhex(script_hex), MAINNET) == text
