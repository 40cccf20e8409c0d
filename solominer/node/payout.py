"""The scriptPubKey of a payout address, decoded by the node and checked here (mining rule 29).

The node (validateaddress) decodes Base58 and Bech32. It also accepts outputs that are unspendable or spendable by
anyone, so the script type is checked here.
"""

from __future__ import annotations

from solominer.chain.address import address_for
from solominer.chain.fields import Field
from solominer.chain.networks import Network
from solominer.chain.script import payout_type
from solominer.errors import NodeError, PayoutError, RpcFailed
from solominer.node.health import pin_network, refuse_other_coin
from solominer.node.rpc import METHOD_NOT_FOUND, NO_SUCH_LABEL, NOT_IN_BETWEEN, WALLET_NOT_FOUND, RpcClient
from solominer.work.payout import Payout

WALLET = LABEL = "solominer"
MAX_SCRIPT, MAX_WALLETS = 10_000, 10_000


def payout_to(client: RpcClient, address: str, network: Network) -> Payout:
    """The Payout of `address`; a malformed one is neither sent to the node nor quoted.

    Raises PayoutError if it is not valid on `network` or not safe, WrongNetwork if the node is on a different chain,
    and other NodeErrors as RpcClient.call.
    """
    address = address_for(address, network)
    refuse_other_coin(client, pin_network(client, network))
    reply = client.ask("validateaddress", address)
    if not reply["isvalid"].flag():
        todo = f"copy it again from your wallet; it must be a {network.name} address"
        raise PayoutError(_why_invalid(address, reply), todo)
    echoed = reply.get("address")
    if echoed is not None and echoed.text().lower() != address.lower():
        raise NodeError(
            f"{client.node} was asked for {address!r:.100} and answered for another address", NOT_IN_BETWEEN
        )
    script = reply["scriptPubKey"].hex_bytes(MAX_SCRIPT)
    payout_type(script)
    return Payout(script, address)


def regtest_payout(client: RpcClient, network: Network) -> Payout:
    """A Payout to the node's own wallet; wallet and address are created on first use.

    Raises PayoutError if the node has no wallet support, and WrongNetwork if it is on a different chain.
    """
    if network.name != "regtest":
        raise PayoutError("no payout address is set", "set payout_address to an address of your own wallet")
    pin_network(client, network)  # before a wallet is made
    try:
        _load_wallet(client)
        return payout_to(client, _labelled_address(client), network)
    except RpcFailed as error:
        if error.code != METHOD_NOT_FOUND:
            raise
        raise PayoutError("the node has no wallet support for a payout address", "set payout_address") from error


def _load_wallet(client: RpcClient) -> None:
    if any(name.value == WALLET for name in client.ask("listwallets").items(MAX_WALLETS)):
        return
    try:
        client.call("loadwallet", WALLET)
    except RpcFailed as error:
        if error.code != WALLET_NOT_FOUND:
            raise
        client.call("createwallet", WALLET)


def _labelled_address(client: RpcClient) -> str:
    try:
        return next(address for address, _ in client.ask("getaddressesbylabel", LABEL, wallet=WALLET).members())
    except StopIteration:
        pass
    except RpcFailed as error:
        if error.code != NO_SUCH_LABEL:
            raise
    return client.ask("getnewaddress", LABEL, "bech32", wallet=WALLET).text()


def _why_invalid(address: str, reply: Field) -> str:
    said = reply.get("error")
    reason = "the node does not recognize it" if said is None else said.text(1000).rstrip(".")
    return f"the payout address {address!r:.100} is not valid: {reason}"
