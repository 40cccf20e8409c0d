"""A full-size getblocktemplate reply made from a seed: for trying the miner without a node, and for measurements.

It is well-formed in everything that a miner can check by itself. Its coins and signatures are random bytes, so no node
would take a block made of it.
"""

from __future__ import annotations

from random import Random
from typing import Any

from solominer.chain.coinbase import commitment_output
from solominer.chain.hashes import ZERO_HASH, to_rpc_hex
from solominer.chain.merkle import merkle_root
from solominer.chain.networks import MAINNET, Network
from solominer.chain.target import decode_compact
from solominer.chain.transaction import Transaction, TxIn, TxOut

SAMPLE_HEIGHT = 900_000
SAMPLE_BITS = 0x17023774
SAMPLE_TIME = 1_750_000_000
_CHAINED_SHARE = 0.15
_ROOM = 3_992_000


def sample_reply(seed: int, count: int = 4000, network: Network = MAINNET, bits: int = SAMPLE_BITS) -> dict[str, Any]:
    """The reply for a block of `count` transactions (fewer if they outgrow a block): all output types, some chained.

    The same seed gives the same reply.
    """
    chance = Random(seed)
    transactions: list[dict[str, Any]] = []
    wtxids, weight = [ZERO_HASH], 0
    for index in range(count):
        chained = index > 0 and chance.random() < _CHAINED_SHARE
        parent = chance.randrange(max(0, index - 50), index) if chained else None
        parent_le = bytes.fromhex(transactions[parent]["txid"])[::-1] if parent is not None else None
        transaction = _transaction(chance, parent_le)
        weight += transaction.weight()
        if weight > _ROOM:
            break
        wtxids.append(transaction.wtxid_le())
        transactions.append(_entry(chance, transaction, [] if parent is None else [parent + 1]))
    fees = sum(entry["fee"] for entry in transactions)
    prevhash_hex = (bytes(10) + chance.randbytes(22)).hex()
    return {
        "capabilities": ["proposal"],
        "version": 0x20000000,
        "rules": ["csv", "!segwit", "taproot"],
        "vbavailable": {},
        "vbrequired": 0,
        "previousblockhash": prevhash_hex,
        "transactions": transactions,
        "coinbaseaux": {},
        "coinbasevalue": network.subsidy(SAMPLE_HEIGHT) + fees,
        "longpollid": f"{prevhash_hex}{seed}",
        "target": f"{decode_compact(bits):064x}",
        "mintime": SAMPLE_TIME - 3000,
        "mutable": ["time", "transactions", "prevblock"],
        "noncerange": "00000000ffffffff",
        "sigoplimit": 80000,
        "sizelimit": 4000000,
        "weightlimit": 4000000,
        "curtime": SAMPLE_TIME,
        "bits": f"{bits:08x}",
        "height": SAMPLE_HEIGHT,
        "default_witness_commitment": commitment_output(merkle_root(wtxids)).script_pubkey.hex(),
    }


def _entry(chance: Random, transaction: Transaction, depends: list[int]) -> dict[str, Any]:
    weight = transaction.weight()
    return {
        "data": transaction.serialize().hex(),
        "txid": to_rpc_hex(transaction.txid_le()),
        "hash": to_rpc_hex(transaction.wtxid_le()),
        "depends": depends,
        "fee": weight * chance.randint(1, 40) // 4,
        "sigops": len(transaction.inputs),
        "weight": weight,
    }


def _transaction(chance: Random, parent_le: bytes | None) -> Transaction:
    count = chance.choices((1, 2, 3, 8), (70, 18, 9, 3))[0]
    outpoints = [(chance.randbytes(32), chance.randrange(4)) for _ in range(count)]
    if parent_le is not None:
        outpoints[0] = (parent_le, 0)
    unlocks = [_unlock(chance) for _ in outpoints]
    inputs = tuple(
        TxIn(txid_le, index, script_sig, 0xFFFFFFFD)
        for (txid_le, index), (script_sig, _) in zip(outpoints, unlocks, strict=True)
    )
    outputs = tuple(TxOut(chance.randrange(546, 10**9), _script(chance)) for _ in range(chance.choice((1, 2, 2, 2, 3))))
    witness = tuple(stack for _, stack in unlocks)
    return Transaction(2, inputs, outputs, 0, witness if any(witness) else ())


def _unlock(chance: Random) -> tuple[bytes, tuple[bytes, ...]]:
    """scriptSig and witness of an input, of the sizes that signatures and keys have."""
    kind = chance.choices(("p2wpkh", "p2tr", "p2pkh", "p2sh-p2wpkh", "p2wsh"), (45, 20, 15, 12, 8))[0]
    signature = chance.randbytes(72)
    key = b"\x02" + chance.randbytes(32)
    if kind == "p2pkh":
        return b"\x48" + signature + b"\x21" + key, ()
    if kind == "p2tr":
        return b"", (signature[:64],)
    if kind == "p2wsh":
        return b"", (b"", signature, chance.randbytes(72), chance.randbytes(105))
    return (b"\x16\x00\x14" + key[1:21] if kind == "p2sh-p2wpkh" else b""), (signature, key)


def _script(chance: Random) -> bytes:
    forms = (
        b"\x00\x14" + chance.randbytes(20),
        b"\x51\x20" + chance.randbytes(32),
        b"\x76\xa9\x14" + chance.randbytes(20) + b"\x88\xac",
        b"\xa9\x14" + chance.randbytes(20) + b"\x87",
        b"\x00\x20" + chance.randbytes(32),
    )
    return chance.choices(forms, (45, 22, 12, 14, 7))[0]
