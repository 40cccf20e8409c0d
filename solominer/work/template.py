"""A block template: one validated `getblocktemplate` reply (BIP 22, 23, 145; src/rpc/mining.cpp).

Validation has two parts. `parse_template` performs all fast checks, fails closed, and returns the Template for jobs.
`transaction_check` recomputes ids and weights from the raw bytes, which is too slow before the publication of a job;
it runs afterwards, and a mismatch withdraws the job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from solominer.chain.coinbase import commitment_of, commitment_output
from solominer.chain.fields import MAX_HEIGHT, MAX_TIME, Field, shown
from solominer.chain.hashes import ZERO_HASH, merkle_root, to_rpc_hex
from solominer.chain.header import MAX_BLOCK_SIGOP_COST, MAX_BLOCK_WEIGHT
from solominer.chain.networks import Network
from solominer.chain.target import proof_target
from solominer.errors import BadValue, TemplateError

KNOWN_RULES = frozenset({"csv", "segwit", "taproot", "testdummy", "signet"})
"""Rules implemented in their `!` form; others are allowed only if they require nothing of the miner."""

VERSION_MIN, VERSION_MAX = 0x20000000, 0x3FFFFFFF
BIP320_MASK = 0x1FFFE000
FULL_NONCE_RANGE = "00000000ffffffff"
EMPTY_COMMITMENT = commitment_of(ZERO_HASH)
"""That of a block with only its coinbase."""

_MOST_NAMES, _MOST_SCRIPT, _MOST_TRANSACTIONS = 100, 20_000, 20_000


class TemplateTx(NamedTuple):
    """One transaction of a template. Ids in internal order.

    `depends` are 1-based indexes of earlier ones, None if the node does not state them.
    """

    data_hex: str
    txid_le: bytes
    wtxid_le: bytes
    fee_sats: int
    sigops: int
    weight: int
    depends: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Template:
    """A validated template. Hashes in internal order, amounts in satoshis, times in Unix seconds.

    `version_mask` are the version bits that may be rolled (BIP 320 less what the node uses, rules 7 and 11);
    `commitment` is the coinbase's commitment to all witnesses (BIP 141); `template_id` names the content;
    `provisional` ones were made here and not by the node.
    """

    network: Network
    height: int
    prevhash_le: bytes
    version: int
    version_mask: int
    nbits: int
    target: int
    curtime: int
    mintime: int
    coinbase_value: int
    coinbase_aux: bytes
    transactions: Sequence[TemplateTx]
    commitment: bytes
    sigop_limit: int
    weight_limit: int
    longpollid: str
    template_id: str
    provisional: bool = False

    @property
    def prevhash_hex(self) -> str:
        """The parent's hash as RPC shows it."""
        return to_rpc_hex(self.prevhash_le)

    @property
    def fees_sats(self) -> int:
        """Fees of all transactions."""
        return self.coinbase_value - self.network.subsidy(self.height)

    def without_transactions(self) -> Template:
        """The same block with only the coinbase, paying only the subsidy: the fallback of rule 40."""
        return empty_template(
            self.network,
            height=self.height,
            prevhash_le=self.prevhash_le,
            version=self.version,
            version_mask=self.version_mask,
            nbits=self.nbits,
            curtime=self.curtime,
            mintime=self.mintime,
            coinbase_aux=self.coinbase_aux,
        )


def empty_template(
    network: Network,
    *,
    height: int,
    prevhash_le: bytes,
    version: int,
    version_mask: int,
    nbits: int,
    curtime: int,
    mintime: int,
    coinbase_aux: bytes = b"",
) -> Template:
    """A template without transactions, to mine until the node's template arrives."""
    return Template(
        network=network,
        height=height,
        prevhash_le=prevhash_le,
        version=version,
        version_mask=version_mask,
        nbits=nbits,
        target=proof_target(nbits, network.pow_limit),
        curtime=max(curtime, mintime),
        mintime=mintime,
        coinbase_value=network.subsidy(height),
        coinbase_aux=coinbase_aux,
        transactions=(),
        commitment=EMPTY_COMMITMENT,
        sigop_limit=MAX_BLOCK_SIGOP_COST,
        weight_limit=MAX_BLOCK_WEIGHT,
        longpollid="",
        template_id=template_id(prevhash_le, EMPTY_COMMITMENT, network.subsidy(height)),
        provisional=True,
    )


def parse_template(reply: object, network: Network, known: Mapping[bytes, TemplateTx] | None = None) -> Template:
    """The Template in a getblocktemplate reply, with rules S1 and 5 to 8 checked.

    `known` (by wtxid) is what an earlier template holds: equal transactions are shared with it instead of kept twice,
    since templates of one hour have most of theirs in common and jobs of ten minutes are kept.
    Raises TemplateError, naming the field, on anything missing, of a wrong type, out of range or inconsistent.
    """
    try:
        return _parse(Field(reply, "the template"), network, known or {})
    except BadValue as error:
        raise TemplateError(f"the node's template is refused: {error.what}", ADVICE) from error


ADVICE = "it is not mined on; check the node's version and that there is no proxy in between"


def _parse(reply: Field, network: Network, known: Mapping[bytes, TemplateTx]) -> Template:
    _check_rules(reply, network)
    _check_form(reply)
    height = reply["height"].integer(1, MAX_HEIGHT)
    nbits = reply["bits"].hex_number(8, 8)
    target = proof_target(nbits, network.pow_limit)
    if reply["target"].hex_number(64, 64) != target:
        raise BadValue("target does not match bits")
    version, mask = _version(reply)
    mintime = reply["mintime"].integer(0, MAX_TIME)
    curtime = reply["curtime"].integer(0, MAX_TIME)
    if curtime < mintime:
        raise BadValue(f"curtime {curtime} is before mintime {mintime}")
    transactions = _transactions(reply["transactions"].value, known)
    value = reply["coinbasevalue"].integer(0, 21_000_000 * 100_000_000)
    fees = sum(tx.fee_sats for tx in transactions)
    if fees + network.subsidy(height) != value:
        raise BadValue(
            f"coinbasevalue is {value}, but subsidy {network.subsidy(height)} and fees {fees} sum to "
            f"{fees + network.subsidy(height)}"
        )
    commitment = commitment_of(merkle_root([ZERO_HASH, *(tx.wtxid_le for tx in transactions)]))
    claimed = reply.get("default_witness_commitment")
    # On signet the node's commitment is followed by a placeholder for the block's signature (BIP 325).
    ours = commitment_output(commitment).script_pubkey.hex()
    if claimed is not None and claimed.text(_MOST_SCRIPT)[: len(ours)] != ours:
        raise BadValue("default_witness_commitment does not match the transactions")
    if claimed is None and any(tx.wtxid_le != tx.txid_le for tx in transactions):
        raise BadValue("default_witness_commitment is missing, but transactions have witnesses")
    prevhash = reply["previousblockhash"].hash_le()
    longpollid = reply.get("longpollid")
    reply["sizelimit"].integer(1, MAX_BLOCK_WEIGHT)
    return Template(
        network=network,
        height=height,
        prevhash_le=prevhash,
        version=version,
        version_mask=mask,
        nbits=nbits,
        target=target,
        curtime=curtime,
        mintime=mintime,
        coinbase_value=value,
        coinbase_aux=_coinbase_aux(reply),
        transactions=transactions,
        commitment=commitment,
        sigop_limit=reply["sigoplimit"].integer(1, MAX_BLOCK_SIGOP_COST),
        weight_limit=reply["weightlimit"].integer(1, MAX_BLOCK_WEIGHT),
        longpollid="" if longpollid is None else longpollid.text(1000),
        template_id=template_id(prevhash, commitment, value),
    )


def template_id(prevhash_le: bytes, commitment: bytes, value: int) -> str:
    """The name of a template's content: its parent, its transactions and its reward."""
    return sha256(prevhash_le + commitment + value.to_bytes(8, "little")).hexdigest()[:16]


def _check_rules(reply: Field, network: Network) -> None:
    """Rule S1: every rule marked `!` must be implemented here."""
    rules = [rule.text() for rule in reply["rules"].items(_MOST_NAMES)]
    allowed = KNOWN_RULES if network.name == "signet" else KNOWN_RULES - {"signet"}
    for rule in rules:
        if rule.startswith("!") and rule[1:] not in allowed:
            raise BadValue(f"the node requires the consensus rule {rule!r}, which this program does not implement")
    if rules and "!segwit" not in rules and "segwit" not in rules:
        raise BadValue("rules does not contain segwit")


def _check_form(reply: Field) -> None:
    """Rules 7 and 8: optional features in the reply."""
    for refused in ("coinbasetxn", "workid"):
        if reply.get(refused) is not None:
            raise BadValue(f"{refused} is not supported")
    if all(each.value != "time" for each in reply["mutable"].items(_MOST_NAMES)):
        raise BadValue("mutable does not contain time")
    if reply["noncerange"].text() != FULL_NONCE_RANGE:
        raise BadValue(f"noncerange is {reply['noncerange'].text()!r:.40}, not {FULL_NONCE_RANGE}")


def _version(reply: Field) -> tuple[int, int]:
    """The header's version and the bits that may be rolled in it (rules S1, 7, 10, 11)."""
    version = reply["version"].integer(-(1 << 31), 0xFFFFFFFF)
    if not VERSION_MIN <= version <= VERSION_MAX:
        raise BadValue(f"version {version & 0xFFFFFFFF:#010x} is outside {VERSION_MIN:#010x} to {VERSION_MAX:#010x}")
    vbrequired = reply.get("vbrequired")
    required = 0 if vbrequired is None else vbrequired.integer(0, 0xFFFFFFFF)
    if version & required != required:
        raise BadValue(f"version {version:#010x} lacks bits of vbrequired {required:#010x}")
    available = reply.get("vbavailable")
    mask = BIP320_MASK & ~required
    for name, bit in () if available is None else available.members():
        if name.startswith("!") and name[1:] not in KNOWN_RULES:
            raise BadValue(f"the node requires the deployment {name!r:.80}, which this program does not implement")
        mask &= ~(1 << bit.integer(0, 28))
    return version, mask


def _transactions(entries: Any, known: Mapping[bytes, TemplateTx]) -> tuple[TemplateTx, ...]:
    if not isinstance(entries, list) or len(entries) > _MOST_TRANSACTIONS:
        raise BadValue(f"transactions is {shown(entries)}, not a list of at most {_MOST_TRANSACTIONS}")
    fromhex = bytes.fromhex
    result: list[TemplateTx] = []
    try:
        for entry in entries:
            if type(entry) is not dict:
                raise BadValue(f"transactions[{len(result)}] is {shown(entry)}, not an object")
            depends, wtxid = entry["depends"], fromhex(entry["hash"])[::-1]
            tx = TemplateTx(
                entry["data"],
                fromhex(entry["txid"])[::-1],
                wtxid,
                entry["fee"],
                entry["sigops"],
                entry["weight"],
                tuple(depends) if depends else (),
            )
            held = known.get(wtxid)
            result.append(held if held == tx else tx)
    except KeyError as error:
        raise BadValue(f"transactions[{len(result)}] has no {error.args[0]!r}") from error
    except (TypeError, ValueError) as error:
        raise BadValue(f"transactions[{len(result)}] is malformed: {str(error)[:100]}") from error
    for index, (data_hex, txid, wtxid, fee, sigops, weight, depends) in enumerate(result):
        if (
            type(data_hex) is not str
            or len(txid) != 32
            or len(wtxid) != 32
            or not type(fee) is type(sigops) is type(weight) is int
            or fee < 0
            or sigops < 0
            or not 0 < weight <= MAX_BLOCK_WEIGHT
        ):
            raise BadValue(f"transactions[{index}] has a field of a wrong type or range")
        if depends and not all(type(other) is int and 1 <= other <= index for other in depends):
            raise BadValue(f"transactions[{index}] depends on one that does not come before it")
    if len({tx.txid_le for tx in result}) != len(result):
        raise BadValue("a transaction appears twice")
    return tuple(result)


def _coinbase_aux(reply: Field) -> bytes:
    aux = reply.get("coinbaseaux")
    return b"" if aux is None else b"".join(value.hex_bytes(100) for _, value in aux.members())
