"""Verifies the chain of sealed hours: seals, reports, signatures, manifests, links, and foreign files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from solominer.errors import RecordsError
from solominer.records.evidence.content import check_file, check_ledger
from solominer.records.evidence.findings import VerifyResult
from solominer.records.evidence.group import GroupAudit
from solominer.records.evidence.seal import SIGNATURE, hash_file
from solominer.records.evidence.signing import signature_holds
from solominer.records.evidence.state import MANIFEST, READABLE, REPORT, SEAL, read_report
from solominer.records.files import is_folder, is_regular, read_bounded
from solominer.records.ledger.jsonlines import MALFORMED, parse_object
from solominer.records.ledger.retention import RETIRABLE
from solominer.records.tree import SECTIONS, TEMPORARY_SUFFIX, Part, Tree, walk_files

THOROUGH_PARTS = 24
"""Up to this many parts, every share is rehashed by default."""

_SEAL = re.compile(rb"([0-9a-f]{64})  report\.json\n(?:([0-9a-f]{64})  report\.sig\n)?")
_MANIFEST_LINE = re.compile(r"([0-9a-f]{64})  ([^\n]+)\n")


@dataclass(slots=True)
class _Sealed:
    """A part with a readable seal and report, and the SHA-256 of the report in hex."""

    part: Part
    report: dict[str, Any]
    sha256: str
    manifest: dict[str, str] = field(default_factory=dict)


class Audit:
    """Checks one network's tree and adds the findings to `result`."""

    def __init__(self, tree: Tree, result: VerifyResult, thorough: bool | None, public_key_hex: str | None) -> None:
        self._tree, self._result = tree, result
        self._thorough, self._key = thorough, public_key_hex
        self._retired: dict[str, set[str]] = {}

    # --- entry points --------------------------------------------------------------------------------------------

    def stretch(self, prefix: str) -> None:
        """Verify the parts below `prefix`, and each one's link to the previous report."""
        parts = [part for part in self._known_parts() if part.path == prefix or part.path.startswith(f"{prefix}/")]
        if not parts:
            raise RecordsError(f"there are no hours under {prefix} in {self._tree.root}")
        sealed = self._parts(parts)
        for one in sealed:
            self._check_link(one)

    def whole(self) -> None:
        """Verify every hour, that the chain has no gaps, the link to the newest report, and that no file is foreign."""
        sealed = self._parts(self._known_parts())
        sealed.sort(key=lambda one: one.report["sequence"])
        expected, before = 1, None
        for one in sealed:
            sequence = one.report["sequence"]
            if sequence != expected:
                missing = f"report {expected}" if sequence == expected + 1 else f"reports {expected} to {sequence - 1}"
                self._fail(one.part, f"{missing} missing from the chain before this one")
            if sequence == expected and before is not None:
                self._expect_previous(one, before.part.path, before.sha256)
            expected, before = sequence + 1, one
        if before is not None:
            self._check_latest(before.part)
        self._check_foreign(sealed)
        self._result.unchecked["hours.txt, index.sqlite, state.json: not evidence"] = 1
        self._result.unchecked[
            "whether the newest hours were removed: compare the newest report's hash with a saved one"
        ] = 1

    def _known_parts(self) -> list[Part]:
        return sorted({part for section in SECTIONS for part in self._tree.parts(section)})

    def _parts(self, parts: list[Part]) -> list[_Sealed]:
        thorough = len(parts) <= THOROUGH_PARTS if self._thorough is None else self._thorough
        sealed = []
        for part in parts:
            if not is_folder(self._tree.folder("reports", part)):
                self._result.unchecked["{n} hour(s) still open: nothing is sealed there yet"] += 1
                continue
            if (one := self._open(part)) is not None:
                sealed.append(one)
        self._retired = self._gather_retired(sealed)
        group = GroupAudit(self._tree, self._result)
        for one in sealed:
            self._check_files(one)
            self._check_content(one, thorough)
            if thorough:
                group.hour(one.part)
        if not thorough and sealed:
            self._result.unchecked["individual shares: use --thorough"] = 1
        return sealed

    # --- one part ------------------------------------------------------------------------------------------------

    def _open(self, part: Part) -> _Sealed | None:
        """Check seal, report, signature and manifest; each contains the hash of the next. None if one is unusable."""
        folder = self._tree.folder("reports", part)
        seal, data = _bytes(folder / SEAL), _bytes(folder / REPORT)
        if seal is None and data is not None:
            self._fail(part, "missing; the hour was never sealed, or its seal was removed", SEAL)
            return None
        if seal is None or data is None:
            self._fail(part, "missing", SEAL if seal is None else REPORT)
            return None
        match = _SEAL.fullmatch(seal)
        digest = sha256(data).hexdigest()
        if match is None:
            self._fail(part, "malformed", SEAL)
        elif match[1].decode() != digest:
            self._fail(part, f"does not match the hash in {SEAL} (one of the two was changed)", REPORT)
            self._fail(part, f"does not match {REPORT}", SEAL)
        one = self._parse(part, data, digest)
        if one is None or match is None:
            return None
        self._check_signature(one, data, match[2])
        self._read_manifest(one)
        return one

    def _parse(self, part: Part, data: bytes, digest: str) -> _Sealed | None:
        value = parse_object(data)
        try:
            if value is None or value["schema"] not in READABLE:
                schema = None if value is None else value["schema"]
                raise ValueError(f"schema {schema!r:.40}, this version reads {' and '.join(READABLE)}")
            if value["part"] != part.path:
                raise ValueError(f"it is the report of {value['part']!r:.40}, not of this hour")
            if type(value["sequence"]) is not int or not isinstance(value["files"]["sha256"], str):
                raise ValueError("sequence or files is malformed")
        except (KeyError, TypeError, ValueError) as error:
            self._fail(part, f"{error!s:.120}", REPORT)
            return None
        self._result.checked["{n} report(s): seal and hash"] += 1
        return _Sealed(part, value, digest)

    def _check_signature(self, one: _Sealed, data: bytes, sealed_hash: bytes | None) -> None:
        signer, signature = one.report.get("signer"), _bytes(self._tree.folder("reports", one.part) / SIGNATURE)
        if self._key is not None and signer != self._key:
            self._fail(one.part, "not signed by the requested key", REPORT)
        if signer is None and signature is None and sealed_hash is None:
            return
        if signature is None or sealed_hash is None or sha256(signature).hexdigest() != sealed_hash.decode():
            self._fail(one.part, "missing, or its hash differs from the seal", SIGNATURE)
            self._fail(one.part, f"does not match {SIGNATURE}", SEAL)
            return
        holds = signature_holds(str(signer), signature, data)
        if holds is None:
            self._result.unchecked["{n} signature(s): needs the package cryptography"] += 1
        elif self._result.expect(holds, "{n} signature(s)", self._path(one.part, SIGNATURE), "invalid"):
            self._result.checked[f"all signed by {signer}"] = 1

    def _read_manifest(self, one: _Sealed) -> None:
        data = _bytes(self._tree.folder("reports", one.part) / MANIFEST)
        if data is None or sha256(data).hexdigest() != one.report["files"]["sha256"]:
            self._fail(one.part, "missing" if data is None else "does not match the hash in the report", MANIFEST)
            return
        lines = _MANIFEST_LINE.findall(data.decode("utf-8", "replace"))
        one.manifest = {path: digest for digest, path in lines}
        self._result.checked["{n} list(s) of files"] += 1

    def _check_files(self, one: _Sealed) -> None:
        retired = self._retired.get(one.part.path, set())
        for path, digest in one.manifest.items():
            try:
                actual, _ = hash_file(self._tree.root / path)
            except OSError:
                if path.partition("/")[0] in retired:
                    self._result.unchecked["{n} file(s) deleted by retention, according to a later report"] += 1
                else:
                    self._result.fail(path, f"missing; listed in reports/{one.part.path}/{MANIFEST}")
                continue
            self._result.expect(actual == digest, "{n} file(s) unchanged since sealing", path, "changed since sealing")
        if one.manifest:
            own = {self._path(one.part, name) for name in (REPORT, SEAL, MANIFEST, SIGNATURE)}
            for path in self._tree.files(one.part):
                if path not in one.manifest and path not in own:
                    self._result.fail(path, "not listed when the hour was sealed: added later, or not a record file")

    def _check_content(self, one: _Sealed, thorough: bool) -> None:
        for path in one.manifest:
            check_file(self._tree.root, path, self._result)
        ledger = next((path for path in one.manifest if path.endswith("/ledger.jsonl")), None)
        if thorough and ledger is not None and is_regular(self._tree.root / ledger):
            try:
                check_ledger(ledger, self._tree.root / ledger, one.report, self._result)
            except (*MALFORMED, OSError) as error:
                self._result.fail(ledger, f"does not match its report: {error!r:.120}")

    # --- the chain -----------------------------------------------------------------------------------------------

    def _check_link(self, one: _Sealed) -> None:
        """Compare the link with the bytes of the previous report."""
        previous = one.report.get("previous")
        if previous is None:
            self._expect_previous(one, None, None)
            return
        try:
            data = _bytes(self._tree.folder("reports", Part.parse(previous["part"])) / REPORT)
        except (KeyError, TypeError, RecordsError):
            self._fail(one.part, "its link to the previous report is malformed", REPORT)
            return
        if data is None:
            self._result.fail(f"reports/{previous['part']}/{REPORT}", f"missing; {one.part.path} follows it")
        else:
            self._expect_previous(one, previous["part"], sha256(data).hexdigest())

    def _expect_previous(self, one: _Sealed, path: str | None, digest: str | None) -> None:
        previous = one.report.get("previous")
        if path is None:
            holds = previous is None and one.report["sequence"] == 1
        else:
            holds = previous == {"part": path, "sha256": digest}
        said = str(previous.get("part")) if isinstance(previous, dict) else "none"
        self._result.expect(
            holds,
            "{n} link(s) to the previous report",
            f"reports/{path or one.part.path}/{REPORT}",
            f"not the report that {one.part.path} links to ({said}): changed or replaced",
        )

    def _check_latest(self, newest: Part) -> None:
        link = self._tree.root / "reports" / "latest"
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            self._result.unchecked["reports/latest: no such link; some file systems do not support links"] = 1
            return
        except OSError:
            target = "nothing"
        self._result.expect(
            target == newest.path, "reports/latest is the newest report", "reports/latest",
            f"points to {target}, the newest report is {newest.path}",
        )  # fmt: skip

    def _check_foreign(self, sealed: Iterable[_Sealed]) -> None:
        """Report files in the dated folders that belong to no hour."""
        answered = {path for one in sealed for path in one.manifest}
        known = {part.path for part in self._known_parts()}
        for section in SECTIONS:
            for path in walk_files(self._tree.root, section):
                _, _, rest = path.partition("/")
                in_hour = "/".join(rest.split("/")[:4]) in known and rest.count("/") >= 4
                if in_hour or path in answered or path == "reports/latest":
                    continue
                if path.endswith(TEMPORARY_SUFFIX):
                    self._result.unchecked["{n} left-over temporary file(s)"] += 1
                else:
                    self._result.fail(path, "belongs to no hour")

    def _gather_retired(self, sealed: list[_Sealed]) -> dict[str, set[str]]:
        """Sections deleted by retention, by part, according to the reports; reads all reports if a file is missing."""
        reports: list[Mapping[str, Any]] = [one.report for one in sealed]
        if any(not is_regular(self._tree.root / path) for one in sealed for path in one.manifest):
            every = (read_report(self._tree, part) for part in self._tree.parts("reports"))
            reports = [value for value in every if value is not None]
        retired: dict[str, set[str]] = {}
        for value in reports:
            try:
                for item in value.get("retired") or ():
                    sections = {section for section in RETIRABLE if section in item["sections"]}
                    retired.setdefault(item["part"], set()).update(sections)
            except (LookupError, TypeError):
                continue  # reported already if it is one of the checked parts
        return retired

    def _path(self, part: Part, name: str) -> str:
        return f"reports/{part.path}/{name}"

    def _fail(self, part: Part, reason: str, name: str = REPORT) -> None:
        self._result.fail(self._path(part, name), reason)


def _bytes(file: Path) -> bytes | None:
    try:
        return read_bounded(file)
    except OSError:
        return None
