"""Fill a node's mempool: a few transactions of every script type, or a full block of them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from regtest.coins import Node, coins_address, mine_blocks, send, send_many, spendable_coins
from regtest.keys import KEYED_LOCKS, open_wallet, sign
from regtest.raw import OPEN_LOCKS, P2WSH_TRUE, Coin, Lock, Output, RawTx, build, op_return

CHAIN_LENGTH = 10  # below the 25 that nodes allow by default
CHAINS_PER_COIN = 6  # on an unconfirmed fan-out: 61 of the 64 transactions of a cluster that Core 31 and later allow
_CHAIN_SATS = CHAIN_LENGTH * 16_000
_PAYMENT_SATS = 1_000
_SIGNED_LEVELS = 3
_SIGNED_FEE_SATS = 2_000
_SIGNED_START_SATS = 100_000
_PAYABLE = tuple(name for name in KEYED_LOCKS if name != "multisig")


@dataclass(frozen=True, slots=True)
class Filled:
    """What a scenario put into the mempool."""

    txids_hex: tuple[str, ...]
    weight: int


def fill_mempool(
    node: Node, tx_count: int = 4_200, *, seed: int = 1, mine: bool = True, starts: Sequence[Coin] = ()
) -> Filled:
    """Put `tx_count` transactions into the mempool; 4,200 make a block nearly full (about 3.9 M weight units).

    Some are signed ones of every script type, most are chains of ten OP_TRUE spends that pay to all types at random
    fee rates. With `mine` the node mines what is needed: coins to maturity, and one block for the fan-out. Without, a
    mature coin must be there for each 60 transactions and two more (`coins_address`): related transactions that wait
    together stay within the limits of a cluster; or `starts`, what `fan_out` gave for as many transactions, mined by
    now. The node must run with `node_args`.
    """
    rng = random.Random(seed)
    chains = -(-tx_count // CHAIN_LENGTH)
    coins = 1 if mine or starts else -(-chains // CHAINS_PER_COIN)
    spendable_coins(node, coins + 2, mine=mine)  # mine now, while the mempool is empty
    if not starts:
        share = -(-chains // coins)
        fan_outs = [_fan_out(coin, share) for coin in spendable_coins(node, coins, mine=mine)]
        send(node, [each.tx for each in fan_outs])
        starts = [coin for each in fan_outs for coin in each.coins]
        if mine:
            mine_blocks(node, 1)
    signed = mixed_transactions(node, 24, seed=seed, mine=mine)
    bulk = list(_bulk(starts, tx_count - len(signed.txids_hex), rng))
    send_many(node, bulk)
    txids_hex = (*signed.txids_hex, *(each.txid_hex for each in bulk))
    return Filled(txids_hex, signed.weight + sum(each.weight for each in bulk))


def fan_out(node: Node, tx_count: int = 4_200) -> tuple[Coin, ...]:
    """Send one transaction that splits a mature coin into the starts of `tx_count` transactions; it is to be mined."""
    (coin,) = spendable_coins(node, 1, mine=False)
    made = _fan_out(coin, -(-tx_count // CHAIN_LENGTH))
    send(node, [made.tx])
    return made.coins


@dataclass(frozen=True, slots=True)
class _FanOut:
    tx: RawTx
    coins: tuple[Coin, ...]


def _fan_out(coin: Coin, chains: int) -> _FanOut:
    """Split a coin into one start per chain, and the change back to the scenarios' coins."""
    locks = [OPEN_LOCKS[number % len(OPEN_LOCKS)] for number in range(chains)]
    outputs = [Output(_CHAIN_SATS, lock.script) for lock in locks]
    fee_sats = 50 * (chains + 10) * 10
    outputs.append(Output(coin.amount_sats - chains * _CHAIN_SATS - fee_sats, P2WSH_TRUE.script))
    tx = build([coin], outputs)
    txid_hex = tx.txid_hex
    return _FanOut(tx, tuple(Coin(txid_hex, index, _CHAIN_SATS, lock) for index, lock in enumerate(locks)))


def _bulk(starts: Sequence[Coin], count: int, rng: random.Random) -> Iterator[RawTx]:
    """Extend the chains in turn, `count` transactions in all; parents come before children."""
    tips = list(starts)
    for number in range(count):
        chain = number % len(tips)
        lock = rng.choice(OPEN_LOCKS)
        payments = [Output(_PAYMENT_SATS, _any_script(rng)) for _ in range(rng.randint(1, 6))]
        if number % 7 == 0:
            payments.append(Output(0, op_return(rng.randbytes(20))))
        draft = build([tips[chain]], [Output(0, lock.script), *payments])
        fee_sats = round(-(-draft.weight // 4) * rng.uniform(2, 20))
        paid_sats = sum(payment.amount_sats for payment in payments)
        rest_sats = tips[chain].amount_sats - paid_sats - fee_sats
        tx = build([tips[chain]], [Output(rest_sats, lock.script), *payments])
        tips[chain] = Coin(tx.txid_hex, 0, rest_sats, lock)
        yield tx


def _any_script(rng: random.Random) -> bytes:
    """An output script to nobody: P2PKH, P2SH, P2WPKH, P2WSH or P2TR."""
    return rng.choice(
        (
            b"\x76\xa9\x14" + rng.randbytes(20) + b"\x88\xac",
            b"\xa9\x14" + rng.randbytes(20) + b"\x87",
            b"\x00\x14" + rng.randbytes(20),
            b"\x00\x20" + rng.randbytes(32),
            b"\x51\x20" + rng.randbytes(32),
        )
    )


def mixed_transactions(node: Node, count: int = 24, *, seed: int = 1, mine: bool = True) -> Filled:
    """Put at least `count` signed transactions into the mempool that spend every script type, in chains.

    Each coin starts eight chains of three: P2PKH, P2SH and bare multisig, P2SH-P2WPKH, P2WPKH, P2WSH, P2TR by key
    and by script, each spent to the next type. The last of each chain also spends an output of its neighbour's
    first, so parents are shared; some carry OP_RETURN. Knots keeps bare multisig outputs out of its mempool, though
    not out of blocks: there the start is mined, or without `mine` that type is left out.
    """
    rng = random.Random(seed)
    open_wallet(node)
    sent: list[RawTx] = []
    while len(sent) < count:
        coin = spendable_coins(node, 1, mine=mine)[0]
        funding, starts = _start_of_types(coin, tuple(KEYED_LOCKS))
        if node.call("testmempoolaccept", [funding.full.hex()])[0]["allowed"]:
            send(node, [funding])
            sent.append(funding)
        elif mine:
            node.call("generateblock", coins_address(node), [funding.full.hex()])
        else:
            funding, starts = _start_of_types(coin, _PAYABLE)
            send(node, [funding])
            sent.append(funding)
        sent += _signed_chains(node, starts, rng)
    return Filled(tuple(each.txid_hex for each in sent), sum(each.weight for each in sent))


def _start_of_types(coin: Coin, types: Sequence[str]) -> tuple[RawTx, list[Coin]]:
    """Split a coin into one output for each script type, and the change back to the scenarios' coins."""
    locks = [KEYED_LOCKS[name] for name in types]
    change_sats = coin.amount_sats - len(locks) * _SIGNED_START_SATS - 5 * _SIGNED_FEE_SATS
    outputs = [Output(_SIGNED_START_SATS, lock.script) for lock in locks]
    tx = build([coin], [*outputs, Output(change_sats, P2WSH_TRUE.script)])
    return tx, [Coin(tx.txid_hex, index, _SIGNED_START_SATS, lock) for index, lock in enumerate(locks)]


def _signed_chains(node: Node, starts: Sequence[Coin], rng: random.Random) -> list[RawTx]:
    """Extend a chain from each start by `_SIGNED_LEVELS` signed transactions, and send them."""
    locks = [KEYED_LOCKS[name] for name in _PAYABLE]
    sent: list[RawTx] = []
    side_coins: list[Coin] = []  # of the first level, spent again by the last
    tips = list(starts)
    for level in range(_SIGNED_LEVELS):
        drafts = []
        for number, tip in enumerate(tips):
            spent = [tip] if level < _SIGNED_LEVELS - 1 else [tip, side_coins[number - 1]]
            next_lock = locks[(number + level + 1) % len(locks)]
            drafts.append(_draft(spent, next_lock, with_data=number % 3 == level, rng=rng))
        signed = sign(node, [build(draft.spent, draft.outputs) for draft in drafts])
        send(node, signed)
        sent += signed
        tips = [
            Coin(tx.txid_hex, 0, draft.outputs[0].amount_sats, draft.next_lock)
            for tx, draft in zip(signed, drafts, strict=True)
        ]
        side_coins = side_coins or [Coin(tx.txid_hex, 1, _PAYMENT_SATS, P2WSH_TRUE) for tx in signed]
    return sent


@dataclass(frozen=True, slots=True)
class _Draft:
    spent: tuple[Coin, ...]
    outputs: tuple[Output, ...]
    next_lock: Lock


def _draft(spent: Sequence[Coin], next_lock: Lock, *, with_data: bool, rng: random.Random) -> _Draft:
    """A spend to `next_lock`, with a small open output beside it and perhaps some data."""
    amount_sats = sum(coin.amount_sats for coin in spent) - _PAYMENT_SATS - _SIGNED_FEE_SATS - rng.randint(0, 5_000)
    outputs = [Output(amount_sats, next_lock.script), Output(_PAYMENT_SATS, P2WSH_TRUE.script)]
    if with_data:
        outputs.append(Output(0, op_return(rng.randbytes(rng.randint(4, 40)))))
    return _Draft(tuple(spent), tuple(outputs), next_lock)
