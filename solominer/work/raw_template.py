"""A template from what Core's mining interface states of one, without the reply of getblocktemplate.

What the interface does not say (the rules of the next block, the version bits in use, limits) is that of the last
template by RPC, as long as it can be: soft forks change only where a period begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from solominer.chain.coinbase import COMMITMENT_HEADER, RESERVED_VALUE
from solominer.chain.fields import MAX_HEIGHT, MAX_TIME
from solominer.chain.header import Header
from solominer.chain.networks import Network
from solominer.chain.script import push_height
from solominer.chain.target import proof_target
from solominer.errors import BadValue, DecodeError, SolominerError, TemplateError
from solominer.work.raw_transactions import RawTransactions
from solominer.work.template import ADVICE, EMPTY_COMMITMENT, Template, TemplateTx, template_id

RULES_PERIOD = 144
"""Blocks for which the rules of a template by RPC hold; divides every network's period of soft forks (BIP 9)."""

_MONEY = 21_000_000 * 100_000_000


@dataclass(frozen=True, slots=True)
class Reserve:
    """What a template leaves for header, number of transactions and coinbase: weight, and cost of sigops."""

    weight: int = 8000
    sigops: int = 400


USUAL_RESERVE = Reserve()
"""What getblocktemplate leaves by default."""


@dataclass(frozen=True, slots=True)
class StatedCoinbase:
    """What the node demands of the coinbase; outputs are serialized."""

    script_sig_prefix: bytes
    witness: bytes
    reward: int
    outputs: tuple[bytes, ...]
    locktime: int


@dataclass(frozen=True, slots=True)
class StatedTemplate:
    """What the node states of a template, unchecked; hashes in internal order."""

    header: bytes
    coinbase: StatedCoinbase
    merkle_branch: tuple[bytes, ...]
    block: bytes
    fees: Sequence[int]
    sigops: Sequence[int]

    @property
    def height(self) -> int:
        """The height of the block; the coinbase's scriptSig is compared with it later."""
        return self.coinbase.locktime + 1

    def read_header(self) -> Header:
        """The header. Raises TemplateError."""
        try:
            return Header.unpack(self.header)
        except DecodeError as error:
            what = f"the template by IPC is refused: its header is malformed: {error}"
            raise TemplateError(what, ADVICE) from error


def covers(basis: Template, stated: StatedTemplate) -> bool:
    """Whether what a template by RPC says holds for this one. Raises TemplateError."""
    same_rules = basis.height // RULES_PERIOD == stated.height // RULES_PERIOD
    return same_rules and basis.version == stated.read_header().version


def template_of(
    stated: StatedTemplate, basis: Template, network: Network, reserve: Reserve, known: Mapping[bytes, TemplateTx]
) -> Template:
    """The Template; `basis`, one by RPC, must cover it; `known` is as for RawTransactions. Raises TemplateError."""
    try:
        return _template(stated, basis, network, reserve, known)
    except SolominerError as error:
        raise TemplateError(f"the template by IPC is refused: {error.what}", ADVICE) from error


def empty_template_of(stated: StatedTemplate, basis: Template, network: Network, reserve: Reserve) -> Template:
    """As template_of, for one without transactions, to mine until the next. Raises TemplateError."""
    template = template_of(stated, basis, network, reserve, {})
    if template.transactions:
        raise TemplateError("the template by IPC is refused: it has transactions, none were asked for", ADVICE)
    return replace(template, provisional=True)


def _template(
    stated: StatedTemplate, basis: Template, network: Network, reserve: Reserve, known: Mapping[bytes, TemplateTx]
) -> Template:
    header, coinbase, height = stated.read_header(), stated.coinbase, stated.height
    if not 1 <= height <= MAX_HEIGHT or coinbase.script_sig_prefix != push_height(height):
        raise BadValue(f"the coinbase begins with {coinbase.script_sig_prefix.hex():.40}, not with height {height}")
    if header.version != basis.version:
        raise BadValue(f"version {header.version:#010x} is not {basis.version:#010x}")
    target = proof_target(header.nbits, network.pow_limit)
    if not 0 < header.ntime <= MAX_TIME:
        raise BadValue(f"the time {header.ntime} is out of range")
    commitment = _commitment(coinbase)
    fees = sum(stated.fees)
    if min(stated.fees, default=0) < 0 or fees + network.subsidy(height) != coinbase.reward <= _MONEY:
        subsidy = network.subsidy(height)
        raise BadValue(f"the reward is {coinbase.reward}, but subsidy {subsidy} and fees sum to {subsidy + fees}")
    if min(stated.sigops, default=0) < 0 or sum(stated.sigops) + reserve.sigops > basis.sigop_limit:
        raise BadValue(f"signature operations cost {sum(stated.sigops)}, the limit is {basis.sigop_limit}")
    return Template(
        network=network,
        height=height,
        prevhash_le=header.prevhash_le,
        version=header.version,
        version_mask=basis.version_mask,
        nbits=header.nbits,
        target=target,
        curtime=header.ntime,
        mintime=header.ntime,  # the interface does not say the least; the node's own time is never too early
        coinbase_value=coinbase.reward,
        coinbase_aux=basis.coinbase_aux,
        transactions=_transactions(stated, commitment, basis.weight_limit - reserve.weight, known),
        commitment=commitment,
        sigop_limit=basis.sigop_limit,
        weight_limit=basis.weight_limit,
        longpollid="",
        template_id=template_id(header.prevhash_le, commitment, coinbase.reward),
    )


def _commitment(coinbase: StatedCoinbase) -> bytes:
    """The commitment in the one output that the node requires."""
    if coinbase.witness != RESERVED_VALUE:
        raise BadValue(f"the coinbase's witness is {coinbase.witness.hex():.80}, not 32 zero bytes")
    if len(coinbase.outputs) != 1:
        raise BadValue(f"{len(coinbase.outputs)} outputs are required, not one")
    start = bytes(8) + b"\x26" + COMMITMENT_HEADER
    output = coinbase.outputs[0]
    if len(output) != len(start) + 32 or not output.startswith(start):
        raise BadValue(f"the required output is {output.hex():.120}, not a witness commitment")
    return output[-32:]


def _transactions(
    stated: StatedTemplate, commitment: bytes, room: int, known: Mapping[bytes, TemplateTx]
) -> Sequence[TemplateTx]:
    if any(len(each) != 32 for each in stated.merkle_branch):
        raise BadValue("the Merkle branch has a hash that is not 32 bytes long")
    if len(stated.merkle_branch) != len(stated.fees).bit_length():
        raise BadValue(f"{len(stated.fees)} transactions have a Merkle branch of {len(stated.merkle_branch)} hashes")
    if stated.fees:
        return RawTransactions(
            stated.block,
            merkle_branch=stated.merkle_branch,
            fees=stated.fees,
            sigops=stated.sigops,
            most_weight=room,
            known=known,
        )
    if commitment != EMPTY_COMMITMENT or stated.sigops:
        raise BadValue("a block without fees has transactions")
    return ()
