"""Shares of the ledger with what their jobs say: the difficulty asked for, the height, the network's difficulty."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from solominer.chain.fields import Field
from solominer.chain.target import decode_compact, difficulty
from solominer.errors import DecodeError

MOST_JOBS = 20_000


class Share(BaseModel):
    """A share. `difficulty` is that of its hash, `share_difficulty` what was asked for; `hash` in RPC byte order."""

    at: float
    difficulty: float
    share_difficulty: float
    worker: str
    hash: str
    height: int
    network_difficulty: float


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What a `work` line says about its shares."""

    height: int
    share_difficulty: float
    network_difficulty: float

    @classmethod
    def of(cls, work: Mapping[str, Any]) -> JobFacts:
        """The facts of a `work` line, or of a job in best-hashes.json. Raises DecodeError."""
        fields = Field(work, "work")
        return cls(
            fields["height"].integer(0, 2**53),
            difficulty(max(fields["share_target_hex"].hex_number(1, 64), 1)),
            difficulty(max(decode_compact(fields["nbits"].hex_number(1, 8)), 1)),
        )


class Jobs:
    """The facts of the newest jobs by their key in the ledger."""

    def __init__(self) -> None:
        self._facts: OrderedDict[str, JobFacts] = OrderedDict()

    def add(self, work: Mapping[str, Any]) -> None:
        """Take in a `work` line; an invalid one is ignored."""
        try:
            self._facts[Field(work, "work")["job"].text()] = JobFacts.of(work)
        except DecodeError:
            return
        while len(self._facts) > MOST_JOBS:
            self._facts.popitem(last=False)

    def lacks(self, shares: Iterable[Mapping[str, Any]]) -> bool:
        """Whether the job of any of these `share` lines is unknown."""
        return any(share.get("job") not in self._facts for share in shares)

    def share(self, entry: Mapping[str, Any]) -> Share | None:
        """The share of a `share` line; None if its job is unknown or the line invalid."""
        job = self._facts.get(str(entry.get("job")))
        return None if job is None else share_of(entry, job)


def share_of(entry: Mapping[str, Any], job: JobFacts) -> Share | None:
    """The share of a `share` line and its job; None if the line is invalid."""
    fields = Field(entry, "share")
    try:
        own = fields.get("share_target_hex")
        value = fields["hash"].hex_number(64, 64)
        return Share(
            at=fields["at"].number(0, 1e12),
            difficulty=difficulty(max(value, 1)),
            share_difficulty=job.share_difficulty if own is None else difficulty(max(own.hex_number(1, 64), 1)),
            worker=fields["worker"].text(1000),
            hash=f"{value:064x}",
            height=job.height,
            network_difficulty=job.network_difficulty,
        )
    except DecodeError:
        return None
