"""Block proofs: created when a block is found, extended by the nodes' answers and the block's states.

A proof is written in full into the hour in which it changed, so the newest file is complete. Used by one thread.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from solominer.chain.hashes import ZERO_HASH, from_rpc_hex, merkle_root, root_from_branch, sha256d, to_rpc_hex
from solominer.chain.header import Header
from solominer.chain.proof import make_proof
from solominer.errors import DecodeError, SolominerError
from solominer.records.evidence.state import as_written
from solominer.records.files import is_regular, read_bounded
from solominer.records.journal.history import block_places
from solominer.records.journal.recovery import read_block_folder
from solominer.records.ledger.jsonlines import read_object
from solominer.records.report.best import KeptHash
from solominer.records.tree import HOUR_SECS, Part, Tree, is_ours, utc_text, walk_files
from solominer.work.found import FoundBlock
from solominer.work.template import TemplateTx

_IN_MEMORY = 256
_MAX_NEWS = 200
_KNOWN_KEYS = frozenset({"seq", "up", "kind", "hash", "height"})

Put = Callable[[str, Mapping[str, Any]], None]
"""Writes a document to a path below the tree's root."""


class BlockProofs:
    """Keeps the proofs of blocks up to date."""

    def __init__(self, tree: Tree, network: str) -> None:
        self._tree = tree
        self._network = network
        self._proofs: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._changed: set[str] = set()
        self._absent: set[str] = set()

    def begin(self, block: FoundBlock, witness_root_le: bytes | None, plan: Mapping[str, Any] | None) -> None:
        """Start the proof of a block that was found."""
        self._keep(block_proof(self._network, block, witness_root_le, plan))
        self._changed.add(block.hash_hex)

    def news(self, entry: Mapping[str, Any]) -> None:
        """Add a `block_answer` or `block_state` entry; the proof of an earlier run's block is loaded first."""
        proof = self._find(str(entry["hash"]))
        if proof is None:
            return
        news = proof["answers" if entry["kind"] == "block_answer" else "states"]
        if len(news) < _MAX_NEWS:
            news.append({key: value for key, value in entry.items() if key not in _KNOWN_KEYS})
        self._changed.add(proof["hash"])

    def recover(self, part: Part, entries: Iterable[Mapping[str, Any]]) -> None:
        """Rebuild proofs lost in a crash, from the journal and the part's ledger entries."""
        lacking = set()
        paths = filter(is_ours, walk_files(self._tree.root, f"submissions/{part.path}"))
        for name in sorted({path.split("/")[-2] for path in paths}):
            if not is_regular(self._tree.folder("proofs", part) / f"{name}.json"):
                block = read_block_folder(self._tree.folder("submissions", part) / name)
                if block is not None:
                    self.begin(block, None, None)
                    lacking.add(block.hash_hex)
        for entry in entries if lacking else ():
            if entry.get("kind") in ("block_answer", "block_state") and entry.get("hash") in lacking:
                self.news(entry)

    def write(self, part: Part, put: Put) -> None:
        """Pass every changed proof to `put`, for this part's folder."""
        for hash_hex in self._changed:
            proof = self._proofs[hash_hex]
            put(f"proofs/{part.path}/{proof['height']}-{hash_hex}.json", proof)
        self._changed.clear()
        while len(self._proofs) > _IN_MEMORY:
            self._proofs.popitem(last=False)

    def _keep(self, proof: dict[str, Any]) -> None:
        self._proofs[proof["hash"]] = proof
        self._proofs.move_to_end(proof["hash"])

    def _find(self, hash_hex: str) -> dict[str, Any] | None:
        if hash_hex not in self._proofs and hash_hex not in self._absent:
            for part in reversed(as_written(self._tree, self._tree.parts("proofs"))):
                for path in walk_files(self._tree.root, f"proofs/{part.path}"):
                    if is_ours(path) and path.endswith(f"-{hash_hex}.json"):
                        proof = _read_proof(self._tree.root / path, hash_hex)
                        if proof is not None:
                            self._keep(proof)
                            return proof
            self._absent.add(hash_hex)
        return self._proofs.get(hash_hex)


def newest_proof(tree: Tree, hash_hex: str) -> bytes | None:
    """The newest proof of a block (hash of 64 hex digits, RPC byte order) as it was written; None if there is none.

    It lies in an hour in which the journal has news of the block, or in the next one.
    """
    place = next((place for place in block_places(tree) if place.hash_hex == hash_hex), None)
    if place is None:
        return None
    starts = {start for part in place.parts for start in (part.start, part.start + HOUR_SECS)}
    for part in reversed([part for part in tree.parts("proofs") if part.start in starts]):
        file = tree.folder("proofs", part) / f"{place.height}-{hash_hex}.json"
        if _read_proof(file, hash_hex) is not None:
            return read_bounded(file)
    return None


def _read_proof(file: Path, hash_hex: str) -> dict[str, Any] | None:
    proof = read_object(file)
    if proof is None or proof.get("hash") != hash_hex or not isinstance(proof.get("height"), int):
        return None
    return proof if all(isinstance(proof.get(key), list) for key in ("answers", "states")) else None


def witness_root(others: Sequence[TemplateTx]) -> bytes | None:
    """The root of a block's witness tree; `others` are all but the coinbase. None if they are malformed."""
    try:
        return merkle_root([ZERO_HASH, *(tx.wtxid_le for tx in others)])
    except SolominerError:
        return None


def block_proof(
    network: str, block: FoundBlock, witness_root_le: bytes | None = None, plan: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The proof of one of our blocks, without answers or states yet."""
    proof = make_proof(
        kind="block",
        network=network,
        height=block.height,
        header=block.header,
        coinbase=bytes.fromhex(block.coinbase_hex),
        merkle_branch=block.merkle_branch,
        witness_root_le=witness_root_le,
        found={
            "at": block.found_at,
            "utc": utc_text(block.found_at),
            "worker": str(block.worker),
            "kernel": block.kernel,
            "job_id": block.job_id,
            "extranonce_hex": block.extranonce.hex(),
        },
        template={
            "template_id": block.template_id,
            "transactions": block.transaction_count,
            "reward_sats": block.reward_sats,
            "prevhash": to_rpc_hex(block.prevhash_le),
        },
        plan=plan,
    )
    return {**proof, "answers": [], "states": []}


def share_certificate(network: str, kept: KeptHash) -> dict[str, Any] | None:
    """The certificate of a best share, from its `share` and `work` lines; None if they are inconsistent."""
    share, job = kept.share, kept.job
    try:
        header, coinbase = share_header(share, job)
        return make_proof(
            kind="share",
            network=network,
            height=job["height"],
            header=header,
            share_target=kept.value,
            coinbase=coinbase,
            merkle_branch=[bytes.fromhex(other) for other in job["merkle_branch_hex"]],
            found={"at": share["at"], "utc": utc_text(share["at"]), "worker": share["worker"]}
            | {"kernel": share["kernel"], "job": share["job"]},
            plan=share.get("plan"),
        )
    except (KeyError, TypeError, ValueError, DecodeError):
        return None


def share_header(share: Mapping[str, Any], job: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """A share's 80-byte header, and the coinbase without witness. Raises KeyError, TypeError or ValueError."""
    coinbase = bytes.fromhex(job["coinbase_prefix_hex"] + share["extranonce_hex"] + job["coinbase_suffix_hex"])
    root = root_from_branch(sha256d(coinbase), [bytes.fromhex(other) for other in job["merkle_branch_hex"]])
    nbits = int(job["nbits"], 16)
    header = Header(share["version"], from_rpc_hex(job["prevhash"]), root, share["ntime"], nbits, share["nonce"])
    return header.pack(), coinbase
