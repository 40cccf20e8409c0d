"""Actions returned by the coordinator, executed in order by the executor.

Nodes are identified by their configured names. Hashes are 32 bytes in internal order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from solominer.work.events import ShareFound
from solominer.work.found import BlockState, FoundBlock
from solominer.work.job import Job
from solominer.work.template import Template


class Severity(StrEnum):
    """Severity of an alarm."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"


class Action:
    """One of the following."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class StopWork(Action):
    """Engines stop at once; a PublishJob follows when there is work again."""

    reason: str


@dataclass(frozen=True, slots=True)
class PublishJob(Action):
    """Engines switch to this job."""

    job: Job


@dataclass(frozen=True, slots=True)
class SignJob(Action):
    """Have a node's wallet sign this job's block (signet, BIP 325); answered by JobSigned."""

    node: str
    job: Job


@dataclass(frozen=True, slots=True)
class RefreshTemplate(Action):
    """Fetch a template from this node; answered by TemplateReady or TemplateFailed."""

    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class FetchTipHeader(Action):
    """Get the header of this node's new tip; answered by TipHeader, or not at all."""

    node: str
    hash_le: bytes


@dataclass(frozen=True, slots=True)
class CheckTransactions(Action):
    """Validate a template's transactions after its job is published; answered by TransactionsChecked."""

    node: str
    template: Template


@dataclass(frozen=True, slots=True)
class ProposeJob(Action):
    """Ask a node whether this job's block is valid except for proof of work; answered by ProposalAnswered."""

    node: str
    job: Job


@dataclass(frozen=True, slots=True)
class LookAtNode(Action):
    """Check this node's health now, as it may have more work than the current one; answered by HealthSeen."""

    node: str


@dataclass(frozen=True, slots=True)
class CompareNodes(Action):
    """Compare the chains of two nodes; answered by NodesCompared, or not at all if one is unreachable."""

    one: str
    other: str


@dataclass(frozen=True, slots=True)
class SaveBlock(Action):
    """Write a new block to disk with fsync; submission does not wait for it."""

    block: FoundBlock


@dataclass(frozen=True, slots=True)
class SendBlock(Action):
    """Submit a block to one node; answered by SubmitAnswered. If `block_hex` is empty, it is read from the journal."""

    node: str
    block: FoundBlock
    attempt: int


@dataclass(frozen=True, slots=True)
class ProposeBlock(Action):
    """Staging: propose a solved block to a node instead of submitting it; answered by SubmitAnswered."""

    node: str
    block: FoundBlock


@dataclass(frozen=True, slots=True)
class LocateBlock(Action):
    """Look up one of our blocks on a node; answered by BlockSeen, or not at all if it is unreachable."""

    node: str
    hash_le: bytes
    height: int


@dataclass(frozen=True, slots=True)
class SaveState(Action):
    """Write the new state of one of our blocks to the journal. After a `final` state it is no longer tracked."""

    block: FoundBlock
    state: BlockState
    detail: str
    confirmations: int = 0
    final: bool = False


@dataclass(frozen=True, slots=True)
class ShareSeen(Action):
    """A valid share with its job, for the records; `stale` if its parent is no longer the tip."""

    share: ShareFound
    job: Job
    hash_le: bytes
    stale: bool


@dataclass(frozen=True, slots=True)
class Record(Action):
    """A line for the ledger. `fields` are JSON values."""

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alarm(Action):
    """A problem for the operator; `todo` says what to do."""

    severity: Severity
    code: str
    message: str
    todo: str = ""
