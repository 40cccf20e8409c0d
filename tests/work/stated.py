"""What a node states by IPC of the template that it gave by RPC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solominer.chain.coinbase import RESERVED_VALUE, build_coinbase, commitment_of
from solominer.chain.hashes import ZERO_HASH, coinbase_branch, from_rpc_hex, merkle_root
from solominer.chain.header import Header
from solominer.chain.script import push_height
from solominer.chain.serialize import compact_size
from solominer.chain.transaction import TxOut
from solominer.work.raw_template import StatedCoinbase, StatedTemplate


def stated_of(reply: Mapping[str, Any]) -> StatedTemplate:
    """The same template; its block has a coinbase that pays nobody in particular."""
    others, height = reply["transactions"], reply["height"]
    commitment = commitment_of(merkle_root([ZERO_HASH, *(from_rpc_hex(tx["hash"]) for tx in others)]))
    header = Header(
        reply["version"],
        from_rpc_hex(reply["previousblockhash"]),
        ZERO_HASH,
        reply["curtime"],
        int(reply["bits"], 16),
        0,
    ).pack()
    dummy = build_coinbase(
        height=height,
        payouts=[TxOut(reply["coinbasevalue"], b"\x51")],
        coinbase_value=reply["coinbasevalue"],
        commitment=commitment,
        extranonce_size=4,
    ).serialize(bytes(4))
    return StatedTemplate(
        header=header,
        coinbase=StatedCoinbase(
            script_sig_prefix=push_height(height),
            witness=RESERVED_VALUE,
            reward=reply["coinbasevalue"],
            outputs=(bytes(8) + b"\x26\x6a\x24\xaa\x21\xa9\xed" + commitment,),
            locktime=height - 1,
        ),
        merkle_branch=coinbase_branch([from_rpc_hex(tx["txid"]) for tx in others]),
        block=header + compact_size(1 + len(others)) + dummy + bytes.fromhex("".join(tx["data"] for tx in others)),
        fees=tuple(tx["fee"] for tx in others),
        sigops=tuple(tx["sigops"] for tx in others),
    )
