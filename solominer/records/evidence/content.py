"""Checking what the files of an hour say: proofs, best hashes, blocks, ledger. Their bytes are checked elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from solominer.chain.hashes import hash_to_int, sha256d, to_rpc_hex
from solominer.chain.proof import check_block, verify_proof
from solominer.errors import DecodeError, VerifyError
from solominer.plan.proof import replay_proof
from solominer.records.evidence.findings import VerifyResult
from solominer.records.evidence.proofs import share_header
from solominer.records.files import read_bounded
from solominer.records.ledger.jsonlines import parse_object, read_lines
from solominer.records.report import best
from solominer.records.report.hour import HourFold
from solominer.records.tree import is_ours

_BAD = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, DecodeError, OSError)


def check_proof(path: str, proof: Mapping[str, Any], result: VerifyResult) -> None:
    """One proof of a block or a share."""
    findings = verify_proof(proof)
    for reason in findings.wrong:
        result.fail(path, reason)
    if findings.holds:
        result.checked[f"{{n}} {proof['kind']} proof(s): header, work, Merkle branch, coinbase"] += 1
    if findings.holds and "plan" in proof:
        check_search(path, proof, result)
    for what in findings.unchecked:
        # Every proof says the same; the block's own hash would make each of them a sentence of its own.
        result.unchecked[f"{{n}} proof(s): {what.partition(': ask')[0]}"] += 1


def check_search(path: str, proof: Mapping[str, Any], result: VerifyResult) -> None:
    """Where in a search plan the header lies: the plan is walked to there again."""
    try:
        claim = replay_proof(proof)
    except VerifyError as error:
        result.fail(path, error.what)
    else:
        if claim is None:
            result.unchecked["{n} position(s) in a search plan that the proof does not hold"] += 1
        else:
            result.checked["{n} position(s) recomputed from the search plan"] += 1


def check_best_hashes(path: str, document: Mapping[str, Any], result: VerifyResult) -> None:
    """The k best hashes: each hashes to what it says, all differ, in order."""
    try:
        if document["schema"] != best.SCHEMA:
            raise ValueError(f"schema {document['schema']!r:.60} is not {best.SCHEMA}")
        last = -1
        for share in document["hashes"]:
            value = _share_value(share, document["jobs"][share["job"]])
            if value <= last:
                raise ValueError("the hashes are not in order, or one is there twice")
            last = value
    except _BAD as error:
        result.fail(path, f"{error!s:.200}")
    else:
        result.checked["{n} best hash(es) hashed again from coinbase, branch and header"] += len(document["hashes"])


def _share_value(share: Mapping[str, Any], job: Mapping[str, Any]) -> int:
    """The share's hash as a number, after hashing it again. Raises ValueError if it is another one."""
    header, _ = share_header(share, job)
    hash_le = sha256d(header)
    if to_rpc_hex(hash_le) != share["hash"]:
        raise ValueError(f"share {share['hash']} hashes to {to_rpc_hex(hash_le)} in truth")
    return hash_to_int(hash_le)


def check_block_hex(path: str, file: Path, result: VerifyResult) -> None:
    """A block of the journal: its folder's name is its hash, its transactions give its roots."""
    try:
        raw = bytes.fromhex(read_bounded(file).decode("ascii").strip())
        if not file.parent.name.endswith(f"-{to_rpc_hex(sha256d(raw[:80]))}"):
            raise ValueError("the header has another hash than its folder")
        check_block(raw)
    except _BAD as error:
        result.fail(path, f"{error!s:.200}")
    else:
        result.checked["{n} whole block(s): transactions give the Merkle root and the witness commitment"] += 1


def check_ledger(path: str, file: Path, report: Mapping[str, Any], result: VerifyResult, *, hash_shares: bool) -> None:
    """Count the hour again from its ledger and compare; with `hash_shares` hash every share again."""
    fold = HourFold(report["evidence"]["k"])
    jobs: dict[str, Mapping[str, Any]] = {}
    expected_seq, hashed = report["ledger"]["first_seq"], 0
    for line in read_lines(file):
        entry = line.value
        if entry is None:
            result.unchecked["{n} torn ledger line(s), closed off after a crash"] += 1
            continue
        if entry.get("seq") != expected_seq:
            result.fail(path, f"line {entry.get('seq')} where {expected_seq} should be")
            return
        expected_seq += 1
        fold.add(entry)
        if hash_shares and entry["kind"] == "work":
            jobs[entry["job"]] = entry
        elif hash_shares and entry["kind"] == "share":
            try:
                value = _share_value(entry, jobs[entry["job"]])
                if value > int(entry.get("share_target_hex") or jobs[entry["job"]]["share_target_hex"], 16):
                    raise ValueError(f"share {entry['hash']} does not meet its target")
            except _BAD as error:
                result.fail(path, f"line {entry['seq']}: {error!s:.200}")
            hashed += 1
    if hash_shares:
        result.checked["{n} share(s) hashed again, each meets its target"] += hashed
    said_and_counted = (
        ("last line", report["ledger"]["last_seq"], fold.last_seq),
        ("shares", report["shares"]["found"], fold.shares),
        ("hashes", report["hashes"]["counted"], fold.counts.counted),
        ("credited hashes", report["hashes"].get("credited", 0.0), fold.counts.credited),
        ("blocks", report["blocks"]["found"], fold.blocks_found),
        ("best hash", (report["best"]["hour"] or {}).get("hash"), f"{fold.best.kept[0].value:064x}")
        if fold.best.kept
        else ("best hash", report["best"]["hour"], None),
    )
    differing = [
        f"{what}: {said} said, {counted} counted" for what, said, counted in said_and_counted if said != counted
    ]
    result.expect(
        not differing,
        "{n} report(s) counted again from the ledger: hashes, shares, blocks, best hash",
        path,
        f"the report says otherwise: {'; '.join(differing)}",
    )


def check_file(root: Path, path: str, result: VerifyResult) -> None:
    """Whatever this file of an hour can be checked for by itself; the ledger has a check of its own."""
    name = path.rpartition("/")[2]
    if not is_ours(path):
        result.unchecked["{n} file(s) of others, listed when their hour was sealed"] += 1
    elif path.startswith("proofs/"):
        document = _read(root / path)
        if document is None:
            result.fail(path, "not a JSON object")
        elif name == "best-hashes.json":
            check_best_hashes(path, document, result)
        else:
            check_proof(path, document, result)
    elif name == "block.hex":
        check_block_hex(path, root / path, result)


def _read(file: Path) -> dict[str, Any] | None:
    try:
        return parse_object(read_bounded(file))
    except OSError:
        return None
