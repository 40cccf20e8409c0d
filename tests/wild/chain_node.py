"""A fake regtest node whose chain takes submitted blocks, and which can answer wildly or mix its replies up."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from solominer.chain.hashes import ZERO_HASH, from_rpc_hex, to_rpc_hex
from solominer.chain.header import Header, meets_target
from solominer.chain.networks import REGTEST
from solominer.chain.target import decode_compact
from solominer.node.demo import synthetic_reply
from tests.node.fake_chain import told_header
from tests.node.fake_node import Drop, FakeNode, Reply, Request, Step, error, result
from tests.wild.values import wild_body

BITS, SPACING_SECS, START = 0x207FFFFF, 600, 1_780_000_000
ADDRESS = "bcrt1qsolominer"
CHALLENGE = "5121" + "02" * 33 + "51ae"


class ChainNode(FakeNode):
    """`withhold` loses every submitted block before it is looked at. `next_wild` makes the next reply of a method wild,
    `sent` counts the wild replies by method.
    """

    def __init__(self, blocks: int = 3) -> None:
        super().__init__()
        self.chain: list[Header] = []
        self.held: dict[str, Header] = {}
        self.withhold = True
        self.next_wild: Callable[[Any, Any], bytes] | None = None
        self.wild_method = ""
        self.sent: Counter[str] = Counter()
        self._mixing: Callable[[str, Any], Step | None] = lambda method, true: None
        self._chain_lock = threading.RLock()
        for _ in range(blocks + 1):
            self.add_block()
        self.true: dict[str, Callable[..., Any]] = {
            "getblockchaininfo": self._chain_info,
            "getnetworkinfo": lambda: {
                "version": 300000, "subversion": "/Satoshi:30.0.0/", "connections": 1, "timeoffset": 0, "warnings": [],
            },
            "getdeploymentinfo": lambda: {
                "height": self.height, "hash": self.tip_hex,
                "deployments": {"new": {"height": 9, "active": False, "height_end": 99, "expiry_time": 5}},
            },
            "getblockhash": self._hash_at,
            "getblockheader": self._header_of,
            "getbestblockhash": lambda: self.tip_hex,
            "getblockcount": lambda: self.height,
            "waitfornewblock": lambda wait_ms: {"hash": self.tip_hex, "height": self.height},
            "getblocktemplate": self._template,
            "submitblock": self._submit,
            "validateaddress": lambda address: {
                "isvalid": True, "address": address, "scriptPubKey": "0014" + "11" * 20,
            },
            "getaddressinfo": lambda address: {"ismine": True},
            "getzmqnotifications": lambda: [
                {"type": "pubhashblock", "address": "tcp://127.0.0.1:1", "hwm": 1000},
                {"type": "pubsequence", "address": "tcp://127.0.0.1:2", "hwm": 1000},
            ],
            "listwallets": lambda: ["other"],
            "loadwallet": lambda name: {"name": name, "warning": ""},
            "createwallet": lambda name: {"name": name},
            "getaddressesbylabel": lambda label: {ADDRESS: {"purpose": "receive"}},
            "getnewaddress": lambda label, kind: ADDRESS,
            "walletprocesspsbt": lambda psbt, sign, kind, paths: {"psbt": psbt, "complete": True},
            "finalizepsbt": lambda psbt: {"hex": "00" * 60, "complete": True},
        }  # fmt: skip

    @property
    def height(self) -> int:
        """Of the tip."""
        return len(self.chain) - 1

    @property
    def tip_hex(self) -> str:
        """Hash of the tip."""
        return to_rpc_hex(self.chain[-1].hash_le())

    def add_block(self) -> None:
        """Somebody's block on the tip."""
        with self._chain_lock:
            parent = self.chain[-1].hash_le() if self.chain else ZERO_HASH
            self._append(Header(0x20000000, parent, bytes(32), START + SPACING_SECS * len(self.chain), BITS, 0))

    def mix_up(self, mixed: Callable[[str, Any], Step | None]) -> None:
        """Answer with what `mixed` gives for a method and its true result, where that is not None."""
        self._mixing = mixed

    def _append(self, header: Header) -> None:
        self.chain.append(header)
        self.held[to_rpc_hex(header.hash_le())] = header

    def _next_step(self, request: Request) -> Step:
        with self._asked:
            self.requests.append(request)
            self._asked.notify_all()
        with self._chain_lock:
            if request.method not in self.true:
                return error(-32601, "Method not found", 404)
            true = self.true[request.method](*request.params)
            mixed = self._mixing(request.method, true)
            if mixed is not None:
                return mixed
            if self.next_wild is not None and request.method == self.wild_method:
                make, self.next_wild = self.next_wild, None
                self.sent[request.method] += 1
                return Reply(200, make(None if isinstance(true, Step) else true, request.id))
            return true if isinstance(true, Step) else result(true)

    def go_wild(self, method: str, rng: random.Random) -> None:
        """Make the next reply to a method wild."""
        with self._chain_lock:
            self.wild_method = method
            self.next_wild = lambda true, request_id: wild_body(rng, true, request_id)

    def calm(self) -> None:
        """No wild reply any more."""
        with self._chain_lock:
            self.next_wild = None

    def _chain_info(self) -> dict[str, Any]:
        time = self.chain[-1].ntime
        return {
            "chain": "regtest", "blocks": self.height, "headers": self.height, "bestblockhash": self.tip_hex,
            "chainwork": f"{2 * len(self.chain):064x}", "time": time, "mediantime": time - SPACING_SECS,
            "initialblockdownload": False, "pruned": False, "warnings": "",
        }  # fmt: skip

    def _hash_at(self, height: int) -> Any:
        if height == 0:
            return REGTEST.genesis_hex
        return to_rpc_hex(self.chain[height].hash_le()) if height < len(self.chain) else error(-8, "out of range")

    def _header_of(self, hash_hex: str) -> Any:
        header = self.held.get(hash_hex)
        if header is None:
            return error(-5, "Block not found")
        active = header in self.chain
        height = self.chain.index(header) if active else self.height
        return told_header(header, height, len(self.chain) - height if active else -1, header.ntime - SPACING_SECS)

    def _template(self, request: dict[str, Any]) -> Any:
        if request.get("mode") == "proposal":
            return None
        reply = synthetic_reply(
            REGTEST, seed=1, transactions=2, height=len(self.chain), curtime=self.chain[-1].ntime + SPACING_SECS
        )
        extra = {"previousblockhash": self.tip_hex, "signet_challenge": CHALLENGE, "mintime": self.chain[-1].ntime + 1}
        return {**reply, **extra, "vbavailable": {"new": 3}, "coinbaseaux": {"flags": "00"}}

    def _submit(self, block_hex: str) -> Any:
        header = Header.unpack(bytes.fromhex(block_hex[:160]))
        if not meets_target(header.hash_le(), decode_compact(BITS)):
            return "high-hash"
        if self.withhold:
            return Drop()
        if to_rpc_hex(header.hash_le()) in self.held:
            return "duplicate"
        if header.prevhash_le != from_rpc_hex(self.tip_hex):
            return "inconclusive"
        self._append(header)
        return None
