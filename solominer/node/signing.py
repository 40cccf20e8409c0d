"""Signing signet blocks with a key that the node's wallet holds (BIP 325): by PSBT, no key ever leaves the node."""

from __future__ import annotations

import base64
from typing import Any

from solominer.chain.networks import Network
from solominer.chain.serialize import Reader
from solominer.chain.signet import PUBLIC_CHALLENGE, block_data, is_taproot, is_trivial, psbt, solution_of
from solominer.chain.transaction import parse_transaction
from solominer.errors import DecodeError, NodeError, RpcFailed, SigningRefused
from solominer.node.rpc import RpcClient, field_of
from solominer.node.template import template_request


class BlockSigner:
    """Signs for one challenge; the wallet that could is asked first the next time."""

    def __init__(self, challenge: bytes) -> None:
        self.challenge = challenge
        self._wallet: str | None = None

    def sign(self, client: RpcClient, data: bytes) -> bytes:
        """The solution for a block's 72 bytes. Raises SigningRefused if no wallet holds the key, or NodeError."""
        wallets = _wallets(client)
        if self._wallet in wallets:
            wallets.sort(key=lambda name: name != self._wallet)
        request = base64.b64encode(psbt(self.challenge, data)).decode()
        for name in wallets:
            solution = _signed_by(client, name, request, taproot=is_taproot(self.challenge))
            if solution is not None:
                self._wallet = name
                return solution
        raise SigningRefused(*_why(self.challenge, wallets))


def signer_for(client: RpcClient, network: Network) -> BlockSigner | None:
    """Who signs the blocks of this node's signet; None where none needs to (another network, a trivial challenge).

    It is tried on a made-up block. Raises SigningRefused if no wallet of the node holds the key, or NodeError.
    """
    if network.name != "signet":
        return None
    reply = client.call("getblocktemplate", template_request(network))
    challenge = _hex(field_of(reply, "signet_challenge", str))
    if is_trivial(challenge):
        return None
    signer = BlockSigner(challenge)
    signer.sign(client, block_data(0x20000000, bytes(32), bytes(32), 0))
    return signer


def _signed_by(client: RpcClient, wallet: str, request: str, *, taproot: bool) -> bytes | None:
    """The solution, or None if this wallet cannot give it."""
    kind = "DEFAULT" if taproot else "ALL"
    try:
        processed = client.call("walletprocesspsbt", request, True, kind, False, wallet=wallet)
        final = client.call("finalizepsbt", field_of(processed, "psbt", str))
    except RpcFailed:  # a locked wallet, or one without private keys
        return None
    if not (isinstance(final, dict) and final.get("complete")):
        return None
    try:
        solution = solution_of(parse_transaction(_hex(field_of(final, "hex", str))))
        _check_form(solution)
    except DecodeError as error:
        raise NodeError(f"the wallet's signature cannot be read: {error.what}", "check the node's version") from error
    return solution


def _check_form(solution: bytes) -> None:
    """A scriptSig and a stack, and nothing behind them."""
    reader = Reader(solution)
    reader.sized()
    for _ in range(reader.compact_size()):
        reader.sized()
    reader.finish()


def _wallets(client: RpcClient) -> list[str]:
    try:
        listed: Any = client.call("listwallets")
    except RpcFailed:  # a node without wallet support
        return []
    return [str(name) for name in listed] if isinstance(listed, list) else []


def _why(challenge: bytes, wallets: list[str]) -> tuple[str, str]:
    if challenge == PUBLIC_CHALLENGE:
        return (
            "blocks of the public signet are signed by its maintainers: nobody else can mine it",
            "mine testnet4 or regtest, or a signet of your own (signetchallenge in bitcoin.conf)",
        )
    seen = f"wallets {', '.join(map(repr, wallets))}" if wallets else "no wallet is loaded"
    return (
        f"this signet's blocks must be signed, and the node cannot: no key for challenge {challenge.hex()} ({seen})",
        "load or unlock the wallet that holds the key (loadwallet, walletpassphrase, importdescriptors)",
    )


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise NodeError("the node's answer is not hex", "check the node's version") from error
