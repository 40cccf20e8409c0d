"""A simulated node with full-size templates generated from a seed, for demos and measurements.

It has the methods of `NodeClient` that a demo needs. Everything that it returns is labelled as a simulation.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

from solominer.chain.coinbase import commitment_of, commitment_output
from solominer.chain.hashes import ZERO_HASH, from_rpc_hex, merkle_root, to_rpc_hex
from solominer.chain.networks import Network
from solominer.chain.target import decode_compact, encode_compact
from solominer.chain.transaction import Transaction, TxIn, TxOut
from solominer.errors import NodeError, NodeUnreachable
from solominer.work.events import Event, HealthSeen, NodeHealth, TemplateReady, TipFacts, TransactionsChecked
from solominer.work.instant import Clock
from solominer.work.payout import Payout
from solominer.work.ports import BlockPosition, SubmitReply
from solominer.work.template import Template, parse_template

DEMO_NODE = "demo (simulated)"
DEMO_HEIGHT = 951_552
DEMO_BITS = 0x170240C3  # of the real period that begins at this height
DEMO_PAYOUT_SCRIPT = b"\x00\x14" + sha256(b"solominer demo: nobody's key").digest()[:20]
TARGET_WEIGHT = 3_990_000


def synthetic_reply(
    network: Network, *, seed: int, transactions: int = 4000, height: int = DEMO_HEIGHT, curtime: int = 1_780_000_000
) -> dict[str, Any]:
    """A valid getblocktemplate reply, deterministic in its arguments.

    The transactions are well-formed, with correct ids, weights and dependencies, but their inputs do not exist and
    their signatures are random. 4,000 transactions nearly fill a block.
    """
    rng = random.Random(seed)
    entries: list[dict[str, Any]] = []
    wtxids = [ZERO_HASH]
    share = TARGET_WEIGHT // max(transactions, 4000)
    for index in range(1, transactions + 1):
        parent = index - 1 if index > 1 and rng.random() < 0.2 else 0
        parent_txid = from_rpc_hex(entries[parent - 1]["txid"]) if parent else rng.randbytes(32)
        tx = _transaction(rng, parent_txid, share)
        wtxids.append(tx.wtxid_le())
        entries.append(
            {
                "data": tx.serialize().hex(),
                "txid": to_rpc_hex(tx.txid_le()),
                "hash": to_rpc_hex(wtxids[-1]),
                "depends": [parent] if parent else [],
                "fee": rng.randrange(200, 20_000),
                "sigops": rng.randrange(1, 8),
                "weight": tx.weight(),
            }
        )
    nbits = DEMO_BITS if network.name == "mainnet" else _limit_bits(network)
    return {
        "capabilities": ["proposal"],
        "version": 0x20000000,
        "rules": ["csv", "!segwit", "taproot"],
        "vbavailable": {},
        "vbrequired": 0,
        "previousblockhash": rng.randbytes(24).hex().rjust(64, "0"),
        "transactions": entries,
        "coinbaseaux": {},
        "coinbasevalue": network.subsidy(height) + sum(entry["fee"] for entry in entries),
        "longpollid": f"demo{seed}",
        "target": f"{decode_compact(nbits):064x}",
        "mintime": curtime - 3600,
        "mutable": ["time", "transactions", "prevblock"],
        "noncerange": "00000000ffffffff",
        "sigoplimit": 80_000,
        "sizelimit": 4_000_000,
        "weightlimit": 4_000_000,
        "curtime": curtime,
        "bits": f"{nbits:08x}",
        "height": height,
        "default_witness_commitment": commitment_output(commitment_of(merkle_root(wtxids))).script_pubkey.hex(),
    }


def _limit_bits(network: Network) -> int:
    return encode_compact(network.pow_limit)


def _transaction(rng: random.Random, parent_txid: bytes, weight: int) -> Transaction:
    """One spend of `parent_txid` and up to two more outpoints, of about `weight` weight units at most."""
    outpoints = [parent_txid, *(rng.randbytes(32) for _ in range(rng.randrange(0, 2)))]
    outputs = tuple(
        TxOut(rng.randrange(1_000, 10**9), b"\x00\x14" + rng.randbytes(20)) for _ in range(rng.randrange(1, 3))
    )
    room = weight - 4 * (10 + 41 * len(outpoints) + 31 * len(outputs)) - 110 * len(outpoints)
    annex = (rng.randbytes(max(0, min(room, 520))),) if room > 0 else ()
    first = (rng.randbytes(71), rng.randbytes(33), *annex)
    witness = (first, *((rng.randbytes(64),) for _ in outpoints[1:]))
    inputs = tuple(TxIn(txid, rng.randrange(4), b"", 0xFFFFFFFD) for txid in outpoints)
    return Transaction(2, inputs, outputs, 0, witness)


class DemoNode:
    """Provides templates of made-up transactions, which are the same in every run."""

    name = DEMO_NODE

    def __init__(self, network: Network, post: Callable[[Event], None], *, clock: Clock) -> None:
        self.network, self._post, self._clock = network, post, clock
        self._template: Template | None = None

    async def run(self) -> None:
        """Report health until cancelled."""
        while True:
            self._post(HealthSeen(self._clock(), await self._health()))
            await asyncio.sleep(10)

    async def _health(self) -> NodeHealth:
        template = await self._current()
        return NodeHealth(
            DEMO_NODE,
            reachable=True,
            height=template.height - 1,
            headers=template.height - 1,
            best_hash_le=template.prevhash_le,
            chainwork=1,
            median_time=template.mintime,
            version="simulation",
        )

    async def _current(self) -> Template:
        if self._template is None:
            started = int(self._clock().wall)
            reply = await asyncio.to_thread(synthetic_reply, self.network, seed=1, curtime=started)
            self._template = parse_template(reply, self.network)
        return self._template

    async def fetch_template(self, reason: str) -> None:
        """Post the template with the current time."""
        template = await self._current()
        now = self._clock()
        self._post(TemplateReady(now, DEMO_NODE, replace(template, curtime=max(int(now.wall), template.mintime))))

    async def check_transactions(self, template: Template) -> None:
        """Always valid: the template was generated here."""
        self._post(TransactionsChecked(self._clock(), DEMO_NODE, template.template_id))

    async def hash_at(self, height: int) -> bytes:
        """Empty: there is no second node to compare with."""
        return b""

    def may_recover(self, error: NodeError) -> bool:
        """A simulated node does not fail."""
        return False

    async def payout(self, address: str) -> Payout:
        """A script without a known key."""
        return Payout(DEMO_PAYOUT_SCRIPT, "nobody (simulation)")

    async def must_sign(self) -> bool:
        """Never."""
        return False

    async def look(self) -> NodeHealth:
        """Always healthy."""
        return await self._health()

    async def submit(self, block_hex: str) -> SubmitReply:
        """Not available."""
        raise NodeUnreachable("the demo has no node to submit to")

    async def propose(self, block_hex: str) -> SubmitReply:
        """Not available."""
        raise NodeUnreachable("the demo has no node to propose to")

    async def where_is(self, hash_le: bytes, height: int) -> BlockPosition:
        """Not available."""
        raise NodeUnreachable("the demo has no chain")

    async def tip_facts(self, hash_le: bytes) -> TipFacts:
        """Not available."""
        raise NodeUnreachable("the demo has no chain")

    async def forecast_difficulty(self) -> None:
        """None: a simulated chain has no history."""

    async def sign(self, data: bytes) -> bytes:
        """Not available."""
        raise NodeUnreachable("the demo has no wallet")

    async def close(self) -> None:
        """Nothing to close."""
