"""Verification of evidence: a proof, an hour, a day or longer period, or the whole tree.

`scripts/verify.py` does the same with the standard library alone and shares no code with this. Invalid files do not
raise: each is reported with the reason, and the rest is still checked.
"""

from __future__ import annotations

import os
from pathlib import Path

from solominer.chain.proof import SCHEMA as PROOF_SCHEMA
from solominer.errors import RecordsError
from solominer.records.evidence.audit import Audit
from solominer.records.evidence.content import check_best_hashes, check_proof
from solominer.records.evidence.findings import VerifyResult
from solominer.records.files import is_folder, is_regular, read_bounded, reason, shown
from solominer.records.ledger.jsonlines import parse_object
from solominer.records.report import best
from solominer.records.tree import SECTIONS, Tree


def verify(path: Path, *, thorough: bool | None = None, public_key_hex: str | None = None) -> VerifyResult:
    """Verify the evidence at `path`: a file, or a folder of a tree.

    `thorough` rehashes every share of the ledgers (default: for up to 24 hours). With `public_key_hex`, every report
    must be signed by that Ed25519 key. Raises RecordsError if there is nothing to verify.
    """
    path = Path(os.path.realpath(path))
    if is_regular(path):
        try:
            document = parse_object(read_bounded(path)) or {}
        except OSError as error:
            raise RecordsError(f"{shown(path)} cannot be read: {reason(error)}") from error
        result = VerifyResult()
        if document.get("schema") == PROOF_SCHEMA:
            check_proof(path.name, document, result)
            return result
        if document.get("schema") == best.SCHEMA and len(path.parents) > 5:
            check_best_hashes(path.name, document, result)
            return result
        path = path.parent
    networks = [child for child in sorted(path.iterdir()) if _is_network(child)] if is_folder(path) else []
    result = VerifyResult()
    if networks:
        for network in networks:
            Audit(Tree(network), result, thorough, public_key_hex).whole()
        return result
    root, prefix = _locate(path)
    verifier = Audit(Tree(root), result, thorough, public_key_hex)
    if prefix:
        verifier.stretch(prefix)
    else:
        verifier.whole()
    return result


def _is_network(folder: Path) -> bool:
    return is_folder(folder / "reports") and folder.name not in SECTIONS


def _locate(path: Path) -> tuple[Path, str]:
    """The network's folder that contains `path`, and the period within it (`2026/11/21`; empty: all)."""
    for folder in (path, *path.parents):
        if _is_network(folder):
            section, _, stretch = path.relative_to(folder).as_posix().partition("/")
            if path == folder or (section in SECTIONS and not stretch):
                return folder, ""
            if section in SECTIONS:
                return folder, "/".join(stretch.split("/")[:4])
    raise RecordsError(
        f"there is no evidence at {path}", "pass a proof, the folder of an hour, day or month, or a network's folder"
    )
