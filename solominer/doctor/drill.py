"""First part of the smoke test: the daemon mines blocks on a private node, then its records are checked.

The daemon runs unmodified; every step is checked by the records that it wrote.
"""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from solominer.chain.proof import check_block
from solominer.config.models import Config
from solominer.daemon.daemon import Run
from solominer.daemon.every_run import RunOptions
from solominer.doctor.check import Check, CheckOutcome, Finding, failed, ms, ok, run_checks
from solominer.doctor.machine_checks import fsync_secs
from solominer.errors import BitcoindNotFound, ConfigError, DecodeError, NodeError, RecordsError, SolominerError
from solominer.records.evidence.verify import verify
from solominer.records.journal.recovery import read_block_folder
from solominer.records.ledger.jsonlines import parse_object
from solominer.views.logs import RecentEvents

BLOCKS = 10
DRILL_SECS = 40.0
_POLL_SECS = 3.0
_REPORT_IT = "report it with this output and the log"
_GOOD_STATES = ("accepted", "confirmed", "mature", "superseded")  # superseded: by another block of ours


@dataclass(slots=True)
class Evidence:
    """Records of a run: its ledger, and the error that ended it, if any."""

    folder: Path
    entries: list[dict[str, Any]] = field(default_factory=list)
    ended_by: SolominerError | None = None

    def all(self, kind: str) -> list[dict[str, Any]]:
        """The ledger's entries of one kind."""
        return [entry for entry in self.entries if entry.get("kind") == kind]

    def why(self, *codes: str) -> str:
        """The alarms with these codes, or all if there are none, in one line."""
        alarms = self.all("error")
        chosen = [each for each in alarms if each.get("code") in codes] or alarms
        texts = [str(each.get("message", each.get("code"))) for each in chosen]
        return "; ".join(dict.fromkeys(texts))[:400] or "no error in the log"


def drill_config(config: Config, folder: Path) -> Config:
    """The user's settings on a private regtest node in `folder`. Polling is slow, so that tips must come by ZMQ."""
    kept = config.model_dump(
        include={"kernel", "nice", "cpu_cores_reserved", "max_memory_gb", "bitcoind", "coinbase_tag", "plan"}
    )
    return Config(mode="regtest", data_dir=folder, poll_secs=_POLL_SECS, **kept)


def mine(config: Config, recent: RecentEvents, secs: float = DRILL_SECS) -> Evidence:
    """Run the daemon for BLOCKS blocks or `secs`, and read its ledger."""

    async def run() -> int:
        daemon = Run(config, RunOptions(blocks=BLOCKS), recent)
        asyncio.get_running_loop().call_later(secs, daemon.stop)
        return await daemon.run()

    evidence = Evidence(config.records_dir / config.chain.name)
    try:
        asyncio.run(run())
    except SolominerError as error:
        evidence.ended_by = error
    for path in sorted(evidence.folder.glob("ledger/*/*/*/*/*.jsonl")):
        lines = path.read_bytes().splitlines()
        evidence.entries += [entry for line in lines if (entry := parse_object(line)) is not None]
    return evidence


def fire_drill(config: Config, recent: RecentEvents, secs: float = DRILL_SECS) -> list[Finding]:
    """Mine on a private node in `config.records_dir` and check each step. The node's data is removed afterwards."""
    (disk,) = run_checks([Check("disk", lambda: _disk(config.records_dir))], "drill")
    if disk.status == "failed":
        return [disk]
    try:
        evidence = mine(config, recent, secs)
    finally:
        shutil.rmtree(config.records_dir / "private-node", ignore_errors=True)
    return [disk, *run_checks(steps(evidence), "drill")]


def steps(evidence: Evidence) -> list[Check]:
    """The steps from settings to proof, in order."""
    return [
        Check("settings", lambda: _settings(evidence)),
        Check("node", lambda: _node(evidence), ("settings",)),
        Check("template", lambda: _template(evidence), ("node",)),
        Check("job", lambda: _job(evidence), ("template",)),
        Check("worker", lambda: _worker(evidence), ("job",)),
        Check("block", lambda: _block(evidence), ("worker",)),
        Check("journal", lambda: _journal(evidence), ("block",)),
        Check("submission", lambda: _submission(evidence), ("block",)),
        Check("zmq", lambda: _zmq(evidence), ("submission",)),
        Check("report", lambda: _report(evidence), ("submission", "journal")),
        Check("proof", lambda: _proof(evidence), ("report",)),
    ]


def _disk(folder: Path) -> CheckOutcome:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        secs = fsync_secs(folder)
    except OSError as error:
        todo = "free some space, grant write permission, or set data_dir to another folder"
        return failed(f"{folder} cannot be written: {error.strerror}", todo)
    return ok(f"{folder}, fsync takes {ms(secs)}")


def _settings(evidence: Evidence) -> CheckOutcome:
    if isinstance(evidence.ended_by, ConfigError):
        return failed(evidence.ended_by.what, evidence.ended_by.todo)
    return ok("settings accepted")


def _node(evidence: Evidence) -> CheckOutcome:
    error = evidence.ended_by
    if isinstance(error, NodeError | BitcoindNotFound):
        return failed(error.what, error.todo)
    usable = [entry for entry in evidence.all("health") if entry.get("usable")]
    if usable:
        return ok(f"{usable[0]['version']} on regtest")
    if error is not None and not isinstance(error, RecordsError):
        return failed(error.what, error.todo)
    return failed(f"the private node was never healthy: {evidence.why()}", "see the log above")


def _template(evidence: Evidence) -> CheckOutcome:
    templates = evidence.all("template")
    if templates:
        return ok(f"{len(templates)} fetched and validated, the first in {ms(templates[0]['rpc_secs'])}")
    reasons = [str(entry["reason"]) for entry in evidence.all("template_failed")]
    return failed(
        f"no template: {reasons[-1] if reasons else evidence.why('template-refused')}",
        "check that the RPC user may call getblocktemplate (rpcwhitelist)",
    )


def _job(evidence: Evidence) -> CheckOutcome:
    jobs = evidence.all("job")
    if jobs:
        return ok(f"{len(jobs)} built, checked and published")
    return failed(f"no job: {evidence.why('job-refused')}", _REPORT_IT)


def _worker(evidence: Evidence) -> CheckOutcome:
    started, shares = evidence.all("worker_started"), evidence.all("share")
    if started and shares:
        return ok(f"{len({entry['worker'] for entry in started})} workers, kernel {started[0]['kernel']}")
    todo = "see the kernel check of `solominer doctor`"
    if not started:
        return failed(f"no worker started: {evidence.why('worker-died')}", todo)
    return failed(f"the workers found no share: {evidence.why('wrong-hit', 'worker-died')}", todo)


def _block(evidence: Evidence) -> CheckOutcome:
    found = evidence.all("block_found")
    if found:
        return ok(f"{len(found)} found")
    return failed(f"shares but no block: {evidence.why()}", _REPORT_IT)


def _journal(evidence: Evidence) -> CheckOutcome:
    """Every found block is in the journal, and its transactions hash to its Merkle root."""
    for entry in evidence.all("block_found"):
        name = f"{entry['height']}-{entry['hash']}"
        copies = [read_block_folder(folder) for folder in evidence.folder.glob(f"submissions/*/*/*/*/{name}")]
        whole = [copy for copy in copies if copy is not None]
        if not whole:
            return failed(
                f"block {name} is not in the journal: {evidence.why('journal-failed')}",
                "check data_dir's disk; set journal_fallback_dir to another disk",
            )
        try:
            check_block(bytes.fromhex(whole[0].block_hex))
        except DecodeError as error:
            return failed(f"the journal's copy of block {name} is damaged: {error.what}", "check data_dir's disk")
    return ok("every block is on disk and intact")


def _submission(evidence: Evidence) -> CheckOutcome:
    answers = evidence.all("block_answer")
    accepted = {entry["hash"] for entry in answers if entry["answer"] == "accepted"}
    states: dict[str, str] = {entry["hash"]: entry["state"] for entry in evidence.all("block_state")}
    lost = [hash_hex for hash_hex, state in states.items() if state not in _GOOD_STATES]
    if accepted and not lost:
        return ok(f"{len(accepted)} blocks accepted, none rejected")
    reasons = [str(entry["raw"]) for entry in answers if entry["answer"] != "accepted"]
    return failed(
        f"a block was not accepted: {reasons[-1] if reasons else 'the node never answered'}",
        "check that the RPC user may call submitblock (rpcwhitelist), and the node's debug.log",
    )


def _zmq(evidence: Evidence) -> CheckOutcome:
    by_zmq = [entry for entry in evidence.all("tip") if entry.get("source") == "zmq"]
    if by_zmq:
        return ok(f"{len(by_zmq)} of {len(evidence.all('tip'))} tips came by ZMQ first")
    return failed(
        "no tip came by ZMQ; polling found them all, later",
        "check zmqpubhashblock, and that no firewall blocks the port",
    )


def _report(evidence: Evidence) -> CheckOutcome:
    report = evidence.folder / "reports" / "latest" / "report.json"
    if evidence.ended_by is not None:
        return failed(f"the daemon ended with an error: {evidence.ended_by.what}", evidence.ended_by.todo)
    if not report.exists():
        return failed(f"{report} does not exist", f"check data_dir's disk; {_REPORT_IT}")
    return ok(f"written: {report.resolve()}")


def _proof(evidence: Evidence) -> CheckOutcome:
    result = verify(evidence.folder)
    if not result.holds:
        path, reason = result.wrong[0]
        return failed(f"{len(result.wrong)} errors, the first in {path}: {reason}", _REPORT_IT)
    blocks = {f"{entry['height']}-{entry['hash']}.json" for entry in evidence.all("block_found")}
    proofs = {path.name for path in evidence.folder.glob("proofs/*/*/*/*/*.json")}
    if not blocks <= proofs:
        return failed(f"no proof of block {min(blocks - proofs)}", _REPORT_IT)
    return ok(f"{len(blocks)} block proofs; {sum(result.checked.values())} facts verified, no errors")
