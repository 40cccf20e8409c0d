"""Builds and verifies proofs that a header has proof of work and commits to a coinbase.

A proof is a self-contained JSON object. It is of kind `block` (the hash meets the network target) or `share` (it meets
the target in the proof). What a proof cannot show by itself is reported as unchecked. The format is described in
docs/evidence.md and specified in docs/schemas/proof.schema.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from solominer.chain.coinbase import COINBASE_INDEX, COMMITMENT_HEADER
from solominer.chain.hashes import (
    ZERO_HASH,
    from_rpc_hex,
    hash_to_int,
    merkle_root,
    root_from_branch,
    to_rpc_hex,
    witness_commitment,
)
from solominer.chain.header import HEADER_SIZE, Header
from solominer.chain.networks import NETWORKS
from solominer.chain.script import push_height
from solominer.chain.serialize import Reader
from solominer.chain.target import expected_hashes, proof_target
from solominer.chain.transaction import Transaction, parse_transaction, read_transaction
from solominer.errors import BadValue, DecodeError

SCHEMA = "solominer-proof/1"
_BIP34_VERSION = 2


@dataclass(slots=True)
class Findings:
    """Result of a verification: what is valid, what the proof has no data to check, and what is wrong."""

    checked: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong

    def expect(self, holds: bool, checked: str, wrong: str) -> bool:
        """Record the outcome; returns `holds`."""
        (self.checked if holds else self.wrong).append(checked if holds else wrong)
        return holds


def make_proof(
    *,
    kind: str,
    network: str,
    height: int,
    header: bytes,
    share_target: int | None = None,
    coinbase: bytes | None = None,
    coinbase_txid_le: bytes | None = None,
    merkle_branch: Sequence[bytes] | None = None,
    witness_root_le: bytes | None = None,
    found: Mapping[str, Any] | None = None,
    template: Mapping[str, Any] | None = None,
    plan: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The proof of a header. `coinbase` is the complete transaction, with its witness if it has one.

    `coinbase_txid_le` may replace it; missing parts are reported as unchecked. `found` (time, worker, kernel),
    `template` and `plan` (the position in a search plan) are unverified claims of the miner. `share_target` is for kind
    `share`.
    """
    parsed = Header.unpack(header)
    target = proof_target(parsed.nbits, NETWORKS[network].pow_limit)
    proof: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": kind,
        "network": network,
        "height": height,
        "hash": to_rpc_hex(parsed.hash_le()),
        "header_hex": header.hex(),
        "target_hex": f"{target:064x}",
        "expected_hashes": str(expected_hashes(target)),
    }
    if share_target is not None:
        proof["share_target_hex"] = f"{share_target:064x}"
    if coinbase is not None:
        proof["coinbase_hex"] = coinbase.hex()
    if coinbase_txid_le is not None:
        proof["coinbase_txid"] = to_rpc_hex(coinbase_txid_le)
    if merkle_branch is not None:
        proof["merkle_branch_hex"] = [other.hex() for other in merkle_branch]
    if witness_root_le is not None:
        proof["witness_root_hex"] = witness_root_le.hex()
    for name, facts in (("found", found), ("template", template), ("plan", plan)):
        if facts is not None:
            proof[name] = dict(facts)
    return proof


def verify_proof(proof: Mapping[str, Any]) -> Findings:
    """Verify what the proof's data allows. Never raises: malformed data is reported as wrong."""
    findings = Findings()
    try:
        _verify(proof, findings)
    except KeyError as error:
        findings.wrong.append(f"{error.args[0]} is missing")
    except (TypeError, ValueError, DecodeError) as error:
        findings.wrong.append(f"malformed: {error}")
    return findings


def _verify(proof: Mapping[str, Any], findings: Findings) -> None:
    if proof["schema"] != SCHEMA:
        raise BadValue(f"schema {proof['schema']!r:.60} is not {SCHEMA}")
    if proof["kind"] not in ("block", "share"):
        raise BadValue(f"kind {proof['kind']!r:.60} is neither block nor share")
    if proof["network"] not in NETWORKS:
        raise BadValue(f"there is no network {proof['network']!r:.60}")
    header = Header.unpack(_bytes(proof["header_hex"]))
    _verify_work(proof, header, findings)
    coinbase = _verify_merkle(proof, header, findings)
    if coinbase is not None:
        _verify_height(proof, header, coinbase, findings)
        _verify_commitment(proof, coinbase, findings)
        _verify_reward(proof, coinbase, findings)
    findings.unchecked += [
        "whether bits and time are valid at this height, and whether the block is in the chain: ask any node for "
        f"getblockheader {proof['hash']}",
        "whether the transactions are valid and match this Merkle branch: requires the whole block",
        "finder, time, kernel and the nodes' answers: claimed by the miner",
    ]


def _verify_work(proof: Mapping[str, Any], header: Header, findings: Findings) -> None:
    hash_le = header.hash_le()
    findings.expect(
        proof["hash"] == to_rpc_hex(hash_le),
        "the header hashes to the stated hash",
        f"the header hashes to {to_rpc_hex(hash_le)}, the proof states {proof['hash']}",
    )
    target = proof_target(header.nbits, NETWORKS[proof["network"]].pow_limit)
    findings.expect(
        _target(proof["target_hex"]) == target and proof["expected_hashes"] == str(expected_hashes(target)),
        "target and expected work match the header's bits",
        "target or expected work does not match the header's bits",
    )
    bound, name = (target, "network's target") if proof["kind"] == "block" else (0, "share target")
    if proof["kind"] == "share":
        bound = _target(proof["share_target_hex"])
    findings.expect(
        hash_to_int(hash_le) <= bound,
        f"the hash meets the {name}, which takes {expected_hashes(bound):,} hashes on average",
        f"the hash does not meet the {name}",
    )


def _verify_merkle(proof: Mapping[str, Any], header: Header, findings: Findings) -> Transaction | None:
    """The coinbase, if the proof has it and it is in the block."""
    coinbase, txid = None, None
    if "coinbase_hex" in proof:
        coinbase = parse_transaction(_bytes(proof["coinbase_hex"]))
        txid = coinbase.txid_le()
        first = coinbase.inputs[0]
        findings.expect(
            len(coinbase.inputs) == 1 and first.prev_txid_le == ZERO_HASH and first.prev_index == COINBASE_INDEX,
            "the coinbase is one: it has a single input, with a null prevout",
            "the coinbase transaction is not a coinbase",
        )
        if "coinbase_txid" in proof:
            findings.expect(
                from_rpc_hex(proof["coinbase_txid"]) == txid,
                "the coinbase has the stated txid",
                "the coinbase's txid differs from the stated one",
            )
    elif "coinbase_txid" in proof:
        txid = from_rpc_hex(proof["coinbase_txid"])
        findings.unchecked.append("the content of the coinbase: the proof has only its txid")
    if txid is None or "merkle_branch_hex" not in proof:
        findings.unchecked.append("whether the header commits to a coinbase: coinbase or Merkle branch is missing")
        return None
    branch = [_bytes(other, 32) for other in proof["merkle_branch_hex"]]
    holds = findings.expect(
        root_from_branch(txid, branch) == header.merkle_root_le,
        f"coinbase and branch ({len(branch)} hashes) match the header's Merkle root",
        "coinbase and branch do not match the header's Merkle root",
    )
    return coinbase if holds else None


def _verify_height(proof: Mapping[str, Any], header: Header, coinbase: Transaction, findings: Findings) -> None:
    if header.version < _BIP34_VERSION or proof["height"] == 0:
        findings.unchecked.append("the height: the coinbase does not contain it (before BIP 34)")
        return
    findings.expect(
        coinbase.inputs[0].script_sig.startswith(push_height(proof["height"])),
        f"the coinbase contains height {proof['height']} (BIP 34)",
        f"the coinbase does not contain height {proof['height']}",
    )


def _verify_commitment(proof: Mapping[str, Any], coinbase: Transaction, findings: Findings) -> None:
    commitment = commitment_of(coinbase)
    if commitment is None:
        findings.unchecked.append("witnesses: the coinbase has no witness commitment")
    elif "witness_root_hex" not in proof or not coinbase.witness:
        findings.unchecked.append("the witness commitment: the witness root or the reserved value is missing")
    else:
        root = _bytes(proof["witness_root_hex"], 32)
        findings.expect(
            len(coinbase.witness[0]) == 1 and witness_commitment(root, coinbase.witness[0][0]) == commitment,
            "the coinbase commits to the stated witness root (BIP 141)",
            "the coinbase does not commit to the stated witness root",
        )


def _verify_reward(proof: Mapping[str, Any], coinbase: Transaction, findings: Findings) -> None:
    template = proof.get("template", {})
    if "reward_sats" in template:
        paid = sum(out.value_sats for out in coinbase.outputs)
        findings.expect(
            paid == template["reward_sats"],
            f"the coinbase pays {paid} satoshis, as stated",
            f"the coinbase pays {paid} satoshis, the proof states {template['reward_sats']}",
        )


def commitment_of(coinbase: Transaction) -> bytes | None:
    """The 32 bytes of the last output that is a witness commitment, or None (BIP 141)."""
    scripts = [out.script_pubkey for out in coinbase.outputs]
    found = [script for script in scripts if len(script) >= 38 and script[:6] == COMMITMENT_HEADER]
    return found[-1][6:38] if found else None


def read_block(raw: bytes) -> list[Transaction]:
    """The transactions of a serialized block, coinbase first. Raises DecodeError."""
    reader = Reader(raw)
    reader.take(HEADER_SIZE)
    transactions = [read_transaction(reader) for _ in range(reader.compact_size())]
    reader.finish()
    if not transactions:
        raise BadValue("the block has no coinbase")
    return transactions


def check_block(raw: bytes) -> None:
    """Check that a block is complete: its Merkle root and witness commitment match its transactions.

    Raises DecodeError.
    """
    coinbase, *others = read_block(raw)
    if merkle_root([coinbase.txid_le(), *(tx.txid_le() for tx in others)]) != raw[36:68]:
        raise BadValue("the transactions do not match the header's Merkle root")
    commitment = commitment_of(coinbase)
    if commitment is not None and coinbase.witness:
        root = merkle_root([ZERO_HASH, *(tx.wtxid_le() for tx in others)])
        reserved = coinbase.witness[0][0] if coinbase.witness[0] else b""
        if witness_commitment(root, reserved) != commitment:
            raise BadValue("the witnesses do not match the coinbase's commitment")


def _bytes(text: Any, size: int | None = None) -> bytes:
    if not isinstance(text, str):
        raise BadValue(f"{text!r:.60} is not hex")
    raw = bytes.fromhex(text)
    if raw.hex() != text or (size is not None and len(raw) != size):
        raise BadValue(f"{text!r:.80} is not {size or 'plain lower-case'} bytes in hex")
    return raw


def _target(text: Any) -> int:
    return int.from_bytes(_bytes(text, 32), "big")
