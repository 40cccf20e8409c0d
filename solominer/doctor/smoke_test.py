"""`solominer smoke-test`: an end-to-end test with a certificate.

First the daemon mines blocks on a private node and their proofs are verified. Then the configured node is checked,
up to the submission of a block without proof of work.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import orjson

from solominer import __version__
from solominer.config.models import Config
from solominer.daemon.nodes import configured_nodes
from solominer.doctor.check import Check, Finding, all_well, document, first_failed, run_checks, skipped
from solominer.doctor.drill import drill_config, fire_drill
from solominer.doctor.machine_checks import cpu_name
from solominer.doctor.network_checks import path_checks
from solominer.doctor.node_checks import NodeUnderTest
from solominer.node.client import NodeSettings
from solominer.records.tree import atomic_write, utc_text
from solominer.views.logs import RecentEvents

SCHEMA = "solominer-smoke-test/1"
FOLDER = "smoke-tests"
LISTEN_SECS = 3.0
NO_NODE = "no node is configured; `solominer init` writes a config.json, then: smoke-test --config config.json"


@dataclass(frozen=True, slots=True)
class Certificate:
    """Result of one smoke test, written to `path`."""

    path: Path
    findings: tuple[Finding, ...]
    secs: float

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all_well(self.findings)


def smoke_test(config: Config, recent: RecentEvents, *, network: bool = False) -> Iterator[Finding | Certificate]:
    """Yield each finding at once and the certificate last; `network` checks all nodes and the paths between them.

    The private chain's evidence and `certificate.json` are kept in `data_dir/smoke-tests/<UTC>/`. Without a
    configuration only the private node is tested. Raises ConfigError at the start for invalid node settings.
    """
    mode = config.mode_rules
    none = mode.simulated or mode.at_a_pool or config.wants_private_node or config.is_empty
    nodes = [] if none else configured_nodes(config)
    at, started = time.time(), time.perf_counter()
    folder = _fresh_folder(config.records_dir / FOLDER, at)
    findings: list[Finding] = []
    for finding in fire_drill(drill_config(config, folder), recent):
        findings.append(finding)
        yield finding
    for finding in _node_checks(config, nodes if network else nodes[:1]):
        findings.append(finding)
        yield finding
    secs = time.perf_counter() - started
    path = folder / "certificate.json"
    if findings[0].status != "failed":  # the disk check
        atomic_write(path, _certificate(config, at, secs, findings), durable=True)
    yield Certificate(path, tuple(findings), secs)


def _node_checks(config: Config, chosen: Sequence[NodeSettings]) -> Iterator[Finding]:
    """Check each of these nodes, and the paths between them."""
    if not chosen:
        yield from run_checks([Check("configured node", lambda: skipped(NO_NODE))])
    tag = config.coinbase_tag.encode()
    nodes = [NodeUnderTest(each, payees=config.payees, tag=tag, listen_secs=LISTEN_SECS) for each in chosen]
    try:
        for node in nodes:
            yield from run_checks(node.checks(), node.settings.name)
        for one, other in permutations(nodes, 2):
            yield from run_checks(path_checks(one, other), one.settings.name)
    finally:
        for node in nodes:
            node.close()


def _fresh_folder(parent: Path, at: float) -> Path:
    stamp = utc_text(at).replace(":", "").replace("-", "")
    folder, number = parent / stamp, 1
    while folder.exists():
        number += 1
        folder = parent / f"{stamp}.{number}"
    return folder


def _certificate(config: Config, at: float, secs: float, findings: list[Finding]) -> bytes:
    fault = first_failed(findings)
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "at": at,
        "utc": utc_text(at),
        "secs": round(secs, 3),
        "passed": fault is None,
        "failed_step": None if fault is None else fault.check,
        "mode": config.mode,
        "network": config.chain.name,
        "machine": {
            "solominer": __version__,
            "python": platform.python_version(),
            "system": platform.platform(),
            "processor": cpu_name(),
        },
        "findings": document(findings),
    }
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
