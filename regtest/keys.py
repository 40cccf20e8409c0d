"""Outputs of every keyed script type, and a small wallet in the node that signs for them."""

from __future__ import annotations

from collections.abc import Sequence

from regtest.coins import Node
from regtest.raw import Lock, RawTx

WALLET = "scenarios"
# The private keys 1 and 2, which are everyone's: worth nothing, and only valid on test chains.
_KEY_1 = "cMahea7zqjxrtgAbB7LSGbcQUr1uX1ojuat9jZodMN87JcbXMTcA"
_KEY_2 = "cMahea7zqjxrtgAbB7LSGbcQUr1uX1ojuat9jZodMN87K7XCyj5v"
_PUBKEY_1_HEX = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
_PUBKEY_2_HEX = "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5"
_NO_KEY_HEX = "50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0"  # BIP 341: nobody's internal key

# Each script type: the descriptor for the wallet, and the output script it stands for.
_KEYED = {
    "p2pkh": (f"pkh({_KEY_1})", "76a914751e76e8199196d454941c45d1b3a323f1433bd688ac"),
    "p2sh": (f"sh(multi(2,{_KEY_1},{_KEY_2}))", "a91412fcac201d73f5b5dba0f1f22c40f02da17bb4a487"),
    "multisig": (f"multi(1,{_KEY_1},{_KEY_2})", f"5121{_PUBKEY_1_HEX}21{_PUBKEY_2_HEX}52ae"),
    "p2sh-p2wpkh": (f"sh(wpkh({_KEY_1}))", "a914bcfeb728b584253d5f3f70bcb780e9ef218a68f487"),
    "p2wpkh": (f"wpkh({_KEY_1})", "0014751e76e8199196d454941c45d1b3a323f1433bd6"),
    "p2wsh": (
        f"wsh(multi(2,{_KEY_1},{_KEY_2}))",
        "00209b984c7bae3efddc3a3f0a20ff81bfe89ed1fe07ff13e562149ee654bed845db",
    ),
    "p2tr-key": (f"tr({_KEY_1})", "5120da4710964f7852695de2da025290e24af6d8c281de5a0b902b7135fd9fd74d21"),
    "p2tr-script": (
        f"tr({_NO_KEY_HEX},pk({_KEY_2}))",
        "5120f69f54a990f2c7f57fc8a3509bbbd7e56b66d06227864221b1ff180f20b15d02",
    ),
}
KEYED_LOCKS = {name: Lock(bytes.fromhex(script_hex)) for name, (_, script_hex) in _KEYED.items()}


def open_wallet(node: Node) -> None:
    """Load the wallet `scenarios` with the keys of `KEYED_LOCKS`, making it if the node has none."""
    if WALLET in node.call("listwallets"):
        return
    if any(each["name"] == WALLET for each in node.call("listwalletdir")["wallets"]):
        node.call("loadwallet", WALLET)
        return
    node.call("createwallet", WALLET, False, True)  # blank
    wanted = []
    for descriptor, _ in _KEYED.values():
        checksum = node.call("getdescriptorinfo", descriptor)["checksum"]
        wanted.append({"desc": f"{descriptor}#{checksum}", "timestamp": "now"})
    imported = node.call("importdescriptors", wanted, wallet=WALLET)
    if refused := [each["error"]["message"] for each in imported if not each["success"]]:
        raise ValueError(f"the node's wallet does not take the scenarios' keys: {refused[0]}")


def sign(node: Node, transactions: Sequence[RawTx]) -> list[RawTx]:
    """Sign transactions whose inputs the node can see. Raises ValueError if one stays incomplete."""
    signed = []
    for each in transactions:
        reply = node.call("signrawtransactionwithwallet", each.full.hex(), wallet=WALLET)
        if not reply["complete"]:
            raise ValueError(f"the wallet did not sign: {reply['errors'][0]['error']}")
        decoded = node.call("decoderawtransaction", reply["hex"])
        signed.append(RawTx(bytes.fromhex(reply["hex"]), decoded["txid"], decoded["weight"]))
    return signed
