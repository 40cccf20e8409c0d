"""A job: a template with a coinbase split around its extranonce, a Merkle branch, an id, and what else may vary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from solominer.chain.coinbase import Coinbase, build_coinbase
from solominer.chain.hashes import root_from_branch, to_rpc_hex
from solominer.chain.header import Header, assemble_block_hex, block_weight
from solominer.chain.target import decode_compact, encode_compact
from solominer.errors import TemplateError
from solominer.work.payout import Payout
from solominer.work.raw_transactions import data_hex, merkle_branch, most_weight, sigop_cost
from solominer.work.template import Template
from solominer.work.workers import EXTRANONCE1_SIZE, EXTRANONCE2_SIZE, EXTRANONCE_SIZE


@dataclass(frozen=True, slots=True)
class HeaderSpace:
    """What may vary besides the extranonce: version bits in `version_mask` and ntime in `ntime_min..ntime_max`.

    `version` is the template's; rolled versions differ from it only within the mask.
    """

    version: int
    version_mask: int
    ntime_min: int
    ntime_max: int

    @classmethod
    def of(cls, template: Template, roll_secs: int) -> HeaderSpace:
        """The space of a template. ntime starts at curtime, never at the local clock (rule 18).

        On networks with minimum-difficulty blocks after 20 minutes (testnet3, testnet4, regtest), the required bits
        depend on the time, so ntime is not rolled (rule 17) unless the template has minimum difficulty already.
        """
        network = template.network
        easiest = decode_compact(encode_compact(network.pow_limit))  # as compact bits round it
        frozen = network.min_difficulty_blocks and template.target != easiest
        latest = template.curtime if frozen else template.curtime + roll_secs
        return cls(template.version, template.version_mask, template.curtime, min(latest, 0xFFFFFFFF))

    def version_with(self, bits: int) -> int:
        """The version with `bits` rolled in (BIP 310: bits outside the mask are kept from the job)."""
        return (self.version & ~self.version_mask) | (bits & self.version_mask)


SALT_SIZE = 4
SEARCHED_SIZE = EXTRANONCE2_SIZE - SALT_SIZE
"""Bytes of the extranonce that our kernels search."""


class SplitCoinbase(NamedTuple):
    """An alternative coinbase of a job: the stripped halves around its extranonce, and a unique name."""

    name: str
    prefix: bytes
    suffix: bytes


@dataclass(frozen=True, slots=True)
class Job:
    """Work for engines.

    `job_id` increases within a run. The coinbase has a 12-byte extranonce: extranonce1 identifies the worker,
    extranonce2 is searched. Our kernels begin extranonce2 with the job's `salt`. `space` is what else may vary.
    `share_target` >= the template's target. If set, only `signed_extranonce` is valid, as the block is signed (see
    `signing`). `variant` is the name of an engine's alternative coinbase.

    A job of a pool has its name in `pool`: the transactions are unknown (the template has none), and the pool may leave
    4 to 11 bytes for the extranonce, which then has less salt and fewer bytes of extranonce1.
    """

    job_id: int
    template: Template
    coinbase: Coinbase
    merkle_branch: tuple[bytes, ...]
    salt: bytes
    share_target: int
    space: HeaderSpace
    signed_extranonce: bytes | None = None
    variant: str = ""
    pool: str = ""

    def with_coinbase(self, other: SplitCoinbase) -> Job:
        """The job with an engine's alternative coinbase."""
        return replace(
            self,
            coinbase=replace(self.coinbase, prefix=other.prefix, suffix=other.suffix),
            variant=other.name,
        )

    @property
    def is_empty(self) -> bool:
        """Whether its block would contain only the coinbase."""
        return not self.merkle_branch

    def extranonce_prefix(self, extranonce1: bytes) -> bytes:
        """What precedes the searched bytes: extranonce1, or as many of its last bytes as fit, and the job's salt."""
        room = self.coinbase.extranonce_size - len(self.salt) - SEARCHED_SIZE
        return extranonce1[EXTRANONCE1_SIZE - room :] + self.salt

    def extranonce(self, extranonce1: bytes = bytes(EXTRANONCE1_SIZE), searched: int = 0) -> bytes:
        """The extranonce of our kernels: extranonce1, the job's salt, and 32 searched bits."""
        return self.extranonce_prefix(extranonce1) + searched.to_bytes(SEARCHED_SIZE, "big")

    def merkle_root_le(self, extranonce: bytes) -> bytes:
        """The header's Merkle root for one extranonce."""
        return root_from_branch(self.coinbase.txid_le(extranonce), self.merkle_branch)

    def header(self, extranonce: bytes, version: int, ntime: int, nonce: int) -> Header:
        """The header with these values."""
        template = self.template
        return Header(version, template.prevhash_le, self.merkle_root_le(extranonce), ntime, template.nbits, nonce)

    def block_hex(self, header: bytes, extranonce: bytes) -> str:
        """The whole block for submitblock."""
        coinbase = self.coinbase.serialize(extranonce)
        return assemble_block_hex(
            header, coinbase, len(self.template.transactions), data_hex(self.template.transactions)
        )

    def describe(self) -> str:
        """One line for logs."""
        template = self.template
        kind = "empty" if self.is_empty else f"{len(template.transactions)} transactions"
        if self.pool:
            kind = f"of {self.pool}"
        return f"job {self.job_id} at height {template.height} on {to_rpc_hex(template.prevhash_le)[-12:]}, {kind}"


def build_job(
    template: Template,
    payout: Payout,
    *,
    job_id: int,
    salt: bytes,
    tag: bytes = b"",
    share_target: int = 0,
    roll_secs: int = 600,
) -> Job:
    """A job from a template; `salt` has 4 bytes and differs between jobs and runs (rule 25).

    `roll_secs` is how far ntime may be rolled beyond the template's curtime. Raises TemplateError if the block exceeds
    a limit (rules 30 and 38), BadValue if the tag is too long, PayoutError if a part of a split would be dust.
    """
    if len(salt) != SALT_SIZE:
        raise ValueError(f"a salt has {SALT_SIZE} bytes")
    coinbase = build_coinbase(
        height=template.height,
        payouts=payout.outputs(template.coinbase_value),
        coinbase_value=template.coinbase_value,
        commitment=template.commitment,
        extranonce_size=EXTRANONCE_SIZE,
        tag=tag,
        aux=template.coinbase_aux,
    )
    _check_limits(template, coinbase)
    return Job(
        job_id=job_id,
        template=template,
        coinbase=coinbase,
        merkle_branch=merkle_branch(template.transactions),
        salt=salt,
        share_target=max(share_target, template.target),
        space=HeaderSpace.of(template, roll_secs),
    )


def _check_limits(template: Template, coinbase: Coinbase) -> None:
    weight = block_weight(coinbase.weight, len(template.transactions), most_weight(template.transactions))
    if weight > template.weight_limit:
        raise TemplateError(
            f"the block's weight is {weight}, the limit is {template.weight_limit}",
            f"set blockreservedweight={_reserved_weight(coinbase)} in bitcoin.conf",
        )
    sigops = coinbase.sigop_cost + sigop_cost(template.transactions)
    if sigops > template.sigop_limit:
        raise TemplateError(
            f"the block's signature operation cost is {sigops}, the limit is {template.sigop_limit}",
            "use fewer payout addresses, or addresses of another type",
        )


def _reserved_weight(coinbase: Coinbase) -> int:
    """Weight to reserve for header, transaction count and coinbase, in whole thousands."""
    return max(8000, -(-block_weight(coinbase.weight, 0, 0) // 1000) * 1000 + 1000)
