"""Checks the content of an hour's files: proofs, best hashes, blocks, ledger. `audit` checks their hashes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from solominer.chain.hashes import hash_to_int, sha256d, to_rpc_hex
from solominer.chain.proof import check_block, verify_proof
from solominer.errors import DecodeError, VerifyError, printable
from solominer.plan.proof import replay_proof
from solominer.records.evidence.findings import VerifyResult
from solominer.records.evidence.proofs import share_header
from solominer.records.files import read_bounded
from solominer.records.ledger.jsonlines import MALFORMED, read_lines, read_object
from solominer.records.report import best
from solominer.records.report.hour import HourFold
from solominer.records.report.miners import compared
from solominer.records.report.report import miners
from solominer.records.tree import is_ours

_BAD = (*MALFORMED, DecodeError, OSError)


def check_proof(path: str, proof: Mapping[str, Any], result: VerifyResult) -> None:
    """Check a block proof or a share certificate."""
    findings = verify_proof(proof)
    for reason in findings.wrong:
        result.fail(path, reason)
    if findings.holds:
        result.checked[f"{{n}} {proof['kind']} proof(s): header, work, Merkle branch, coinbase"] += 1
    if findings.holds and "plan" in proof:
        check_search(path, proof, result)
    for what in findings.unchecked:
        # Drop the block's hash from the sentence, so that proofs can be counted under one sentence.
        result.unchecked[f"{{n}} proof(s): {what.partition(': ask')[0]}"] += 1


def check_search(path: str, proof: Mapping[str, Any], result: VerifyResult) -> None:
    """Recompute the header's position from the search plan and compare."""
    try:
        claim = replay_proof(proof)
    except VerifyError as error:
        result.fail(path, error.what)
    else:
        if claim is None:
            result.unchecked["{n} position(s) in a search plan that the proof does not contain"] += 1
        else:
            result.checked["{n} position(s) recomputed from the search plan"] += 1


def check_best_hashes(path: str, document: Mapping[str, Any], result: VerifyResult) -> None:
    """Check best-hashes.json: each hash is recomputed; all are distinct and sorted."""
    try:
        if document["schema"] != best.SCHEMA:
            raise ValueError(f"schema {document['schema']!r:.60} is not {best.SCHEMA}")
        last = -1
        for share in document["hashes"]:
            value = _share_value(share, document["jobs"][share["job"]])
            if value <= last:
                raise ValueError("the hashes are not sorted, or there is a duplicate")
            last = value
    except _BAD as error:
        result.fail(path, f"{error!s:.200}")
    else:
        result.checked["{n} best hash(es) recomputed from coinbase, branch and header"] += len(document["hashes"])


def _share_value(share: Mapping[str, Any], job: Mapping[str, Any]) -> int:
    """Recompute the share's hash and return it as a number. Raises ValueError if it does not match."""
    header, _ = share_header(share, job)
    hash_le = sha256d(header)
    if to_rpc_hex(hash_le) != share["hash"]:
        raise ValueError(f"share {share['hash']} actually hashes to {to_rpc_hex(hash_le)}")
    return hash_to_int(hash_le)


def check_block_hex(path: str, file: Path, result: VerifyResult) -> None:
    """Check a block of the journal: header hash (in its folder's name), Merkle root and witness commitment."""
    try:
        raw = bytes.fromhex(read_bounded(file).decode("ascii").strip())
        if not file.parent.name.endswith(f"-{to_rpc_hex(sha256d(raw[:80]))}"):
            raise ValueError("the header's hash differs from the folder's name")
        check_block(raw)
    except _BAD as error:
        result.fail(path, f"{error!s:.200}")
    else:
        result.checked["{n} full block(s): transactions match the Merkle root and the witness commitment"] += 1


def check_ledger(path: str, file: Path, report: Mapping[str, Any], result: VerifyResult) -> None:
    """Rehash every share in the hour's ledger, recompute its sums, and compare them with the report."""
    fold = HourFold(report["evidence"]["k"])
    jobs: dict[str, Mapping[str, Any]] = {}
    expected_seq, hashed = report["ledger"]["first_seq"], 0
    for line in read_lines(file):
        entry = line.value
        if entry is None:
            result.unchecked["{n} torn ledger line(s), closed off after a crash"] += 1
            continue
        if entry.get("seq") != expected_seq:
            result.fail(path, f"line {entry.get('seq')}, expected {expected_seq}")
            return
        expected_seq += 1
        fold.add(entry)
        if entry["kind"] == "work":
            jobs[entry["job"]] = entry
        elif entry["kind"] == "share":
            try:
                value = _share_value(entry, jobs[entry["job"]])
                if value > int(entry.get("share_target_hex") or jobs[entry["job"]]["share_target_hex"], 16):
                    raise ValueError(f"share {entry['hash']} does not meet its target")
            except _BAD as error:
                result.fail(path, f"line {entry['seq']}: {error!s:.200}")
            hashed += 1
    result.checked["{n} share(s) rehashed, each meets its target"] += hashed
    reported_and_counted = (
        ("last line", report["ledger"]["last_seq"], fold.last_seq),
        ("shares", report["shares"]["found"], fold.shares),
        ("hashes", report["hashes"]["counted"], fold.counts.counted),
        ("credited hashes", report["hashes"].get("credited", 0.0), fold.counts.credited),
        ("blocks", report["blocks"]["found"], fold.blocks_found),
        ("pools", report.get("pools"), fold.pools.summary()),
        ("best hash", (report["best"]["hour"] or {}).get("hash"), f"{fold.best.kept[0].value:064x}")
        if fold.best.kept
        else ("best hash", report["best"]["hour"], None),
    )
    reported_sums, counted_sums = compared(report.get("miners")), compared(miners(fold))
    reported_and_counted += tuple(
        (what, reported_sums.get(what), counted_sums.get(what)) for what in reported_sums | counted_sums
    )
    differing = [
        f"{what}: {reported} reported, {counted} counted"
        for what, reported, counted in reported_and_counted
        if reported != counted
    ]
    for pool in report.get("pools") or ():
        name = printable(pool["pool"], 100).replace("{", "{{").replace("}", "}}")
        result.checked[f"{{n}} hour(s) mined for pool {name}: its answers recounted in the ledger"] += 1
    result.expect(
        not differing,
        "{n} report(s) recomputed from the ledger: hashes, shares, blocks, best hash, miners",
        path,
        f"the report differs: {'; '.join(differing)}",
    )


def check_file(root: Path, path: str, result: VerifyResult) -> None:
    """Check a single file of an hour by its content; for the ledger see `check_ledger`."""
    name = path.rpartition("/")[2]
    if not is_ours(path):
        result.unchecked["{n} foreign file(s), listed when their hour was sealed"] += 1
    elif path.startswith("proofs/"):
        document = read_object(root / path)
        if document is None:
            result.fail(path, "not a JSON object")
        elif name == "best-hashes.json":
            check_best_hashes(path, document, result)
        else:
            check_proof(path, document, result)
    elif name == "block.hex":
        check_block_hex(path, root / path, result)
