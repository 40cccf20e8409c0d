"""What is to be done: the actions out of the coordinator. The executor carries them out in order.

Nodes are known by the name that the configuration gives them. Hashes are 32 bytes in internal order.
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
    """How bad an alarm is."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class StopWork:
    """Engines drop what they have at once; a PublishJob follows when there is work again."""

    reason: str


@dataclass(frozen=True, slots=True)
class PublishJob:
    """Engines take this job and drop the one before."""

    job: Job


@dataclass(frozen=True, slots=True)
class SignJob:
    """Have a node's wallet sign this job's block (signet, BIP 325); answered by JobSigned."""

    node: str
    job: Job


@dataclass(frozen=True, slots=True)
class RefreshTemplate:
    """Fetch a template from this node; answered by TemplateReady or TemplateFailed."""

    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class FetchTipHeader:
    """Ask this node for the header of its new tip; answered by TipHeader or by silence."""

    node: str
    hash_le: bytes


@dataclass(frozen=True, slots=True)
class CheckTransactions:
    """Run the slow half of a template's validation behind the job; answered by TransactionsChecked."""

    node: str
    template: Template


@dataclass(frozen=True, slots=True)
class ProposeJob:
    """Ask a node whether it would take this job's block, less its proof of work; answered by ProposalAnswered."""

    node: str
    job: Job


@dataclass(frozen=True, slots=True)
class LookAtNode:
    """Ask for a fresh HealthSeen of this node now: it may have more work than the one in use."""

    node: str


@dataclass(frozen=True, slots=True)
class CompareNodes:
    """Find out whether two nodes are on one chain; answered by NodesCompared, or by silence while one is away."""

    one: str
    other: str


@dataclass(frozen=True, slots=True)
class SaveBlock:
    """Write a newly found block to disk, fsynced, without anything waiting for it."""

    block: FoundBlock


@dataclass(frozen=True, slots=True)
class SendBlock:
    """Send a block to one node; answered by SubmitAnswered. With `block_hex` empty, the journal has it."""

    node: str
    block: FoundBlock
    attempt: int


@dataclass(frozen=True, slots=True)
class ProposeBlock:
    """Staging: put a solved block to a node in proposal mode instead of submitting it; answered by SubmitAnswered."""

    node: str
    block: FoundBlock


@dataclass(frozen=True, slots=True)
class LocateBlock:
    """Ask a node where it has a block of ours; answered by BlockSeen, or by silence while the node is away."""

    node: str
    hash_le: bytes
    height: int


@dataclass(frozen=True, slots=True)
class SaveState:
    """A block of ours has a new state; write it to its journal folder. `final` ones need no following any more."""

    block: FoundBlock
    state: BlockState
    detail: str
    confirmations: int = 0
    final: bool = False


@dataclass(frozen=True, slots=True)
class ShareSeen:
    """A share that holds, with its job, for the records; `stale` if its parent is not the tip any more."""

    share: ShareFound
    job: Job
    hash_le: bytes
    stale: bool


@dataclass(frozen=True, slots=True)
class Record:
    """A line for the ledger. `fields` are JSON values."""

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something a person should know; `todo` says what to do about it."""

    severity: Severity
    code: str
    message: str
    todo: str = ""


Action = (
    StopWork
    | PublishJob
    | SignJob
    | RefreshTemplate
    | FetchTipHeader
    | CheckTransactions
    | ProposeJob
    | LookAtNode
    | CompareNodes
    | SaveBlock
    | SendBlock
    | ProposeBlock
    | LocateBlock
    | SaveState
    | ShareSeen
    | Record
    | Alarm
)
