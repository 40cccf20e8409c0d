"""Sign signet blocks with a key of the node's wallet (BIP 325), by PSBT: keys do not leave the node."""

from __future__ import annotations

import base64

from solominer.chain.networks import Network
from solominer.chain.serialize import Reader
from solominer.chain.signet import PUBLIC_CHALLENGE, block_data, is_taproot, is_trivial, psbt, solution_of, to_spend
from solominer.chain.transaction import parse_transaction
from solominer.errors import BadValue, DecodeError, NodeError, RpcFailed, SigningRefused
from solominer.node.payout import MAX_SCRIPT, MAX_WALLETS
from solominer.node.rpc import RpcClient
from solominer.node.template import template_request

_MOST_PSBT = 1_000_000


class BlockSigner:
    """Signs for one challenge. The wallet that signed last is tried first."""

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
            solution = self._signed_by(client, name, request, to_spend(self.challenge, data).txid_le())
            if solution is not None:
                self._wallet = name
                return solution
        raise SigningRefused(*_why(self.challenge, wallets))

    def _signed_by(self, client: RpcClient, wallet: str, request: str, spent_le: bytes) -> bytes | None:
        """The solution that spends `spent_le`, or None if this wallet cannot sign."""
        kind = "DEFAULT" if is_taproot(self.challenge) else "ALL"
        try:
            processed = client.ask("walletprocesspsbt", request, True, kind, False, wallet=wallet)
            final = client.ask("finalizepsbt", processed["psbt"].text(_MOST_PSBT))
        except RpcFailed:  # a locked wallet, or one without private keys
            return None
        if not final["complete"].flag():
            return None
        try:
            transaction = parse_transaction(final["hex"].hex_bytes(_MOST_PSBT))
            if transaction.inputs[0].prev_txid_le != spent_le:
                raise BadValue("it is for another block")
            solution = solution_of(transaction)
            _check_form(solution)
        except DecodeError as error:
            raise NodeError(
                f"the wallet's signature cannot be used: {error.what}", "check the node's version"
            ) from error
        return solution


def signer_for(client: RpcClient, network: Network) -> BlockSigner | None:
    """The signer for this node's signet; None if blocks need no signature (other networks, a trivial challenge).

    It is tested on a dummy block. Raises SigningRefused if no wallet of the node has the key, or NodeError.
    """
    if network.name != "signet":
        return None
    challenge = client.ask("getblocktemplate", template_request(network))["signet_challenge"].hex_bytes(MAX_SCRIPT)
    if is_trivial(challenge):
        return None
    signer = BlockSigner(challenge)
    signer.sign(client, block_data(0x20000000, bytes(32), bytes(32), 0))
    return signer


def _check_form(solution: bytes) -> None:
    """Check that a solution is a scriptSig and a witness stack. Raises DecodeError."""
    reader = Reader(solution)
    reader.sized()
    for _ in range(reader.compact_size()):
        reader.sized()
    reader.finish()


def _wallets(client: RpcClient) -> list[str]:
    try:
        return [name.text(1000) for name in client.ask("listwallets").items(MAX_WALLETS)]
    except RpcFailed:  # a node without wallet support
        return []


def _why(challenge: bytes, wallets: list[str]) -> tuple[str, str]:
    if challenge == PUBLIC_CHALLENGE:
        return (
            "only the maintainers of the public signet can mine it, as blocks must be signed",
            "mine testnet4 or regtest, or your own signet (signetchallenge in bitcoin.conf)",
        )
    seen = f"wallets {', '.join(map(repr, wallets))}" if wallets else "no wallet is loaded"
    return (
        f"the node cannot sign this signet's blocks: no key for challenge {challenge.hex()} ({seen})",
        "load or unlock the wallet that has the key (loadwallet, walletpassphrase, importdescriptors)",
    )
