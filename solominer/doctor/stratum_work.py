"""Checks of a Stratum server's job: its coinbase, payouts, target and time."""

from __future__ import annotations

from collections.abc import Sequence

from solominer.chain.coinbase import COMMITMENT_HEADER
from solominer.chain.encode_address import address_of, described
from solominer.chain.hashes import to_rpc_hex
from solominer.chain.networks import MAINNET, NETWORKS, REGTEST, TESTNET4, Network
from solominer.chain.target import difficulty
from solominer.chain.transaction import TxOut
from solominer.doctor.check import CheckOutcome, failed, ok, warning
from solominer.doctor.stratum_talk import exact_difficulty
from solominer.engines.stratum.assignment import Assignment, CoinbaseView
from solominer.errors import printable
from solominer.views.text import coins
from solominer.work.payout import amounts_of, percent

SMALL_COINBASE_BYTES = 255
FAR_OFF_SECS = 600
_LEAST_MAINNET_DIFFICULTY = 1e11
_MOST_OUTPUTS = 8


def job_outcome(assignment: Assignment, secs: float) -> CheckOutcome:
    """Describe the job; `secs` is the time from login to its arrival."""
    job = assignment.job
    said = (
        f"job {printable(job.job_id, 40)} after {secs * 1000:.0f} ms, {'' if job.clean else 'not '}clean_jobs, "
        f"{len(job.branch)} Merkle branches, version {job.version:08x}, parent {to_rpc_hex(job.prevhash_le)[-16:]}"
    )
    return ok(said)


def coinbase_outcome(view: CoinbaseView) -> CheckOutcome:
    """Check height, size and witness commitment of the coinbase."""
    if view.height is None:
        return failed(
            "the script does not begin with the height (BIP 34)", "do not mine here: no block of this job can be valid"
        )
    commits = "witness commitment" if view.commits else "no witness commitment"
    where = "" if view.extranonce_in_script else ", extranonce outside its script"
    said = f"height {view.height:,}, {view.size} bytes, {commits}{where}"
    if view.size > SMALL_COINBASE_BYTES:
        return warning(said, f"some miners support at most {SMALL_COINBASE_BYTES} bytes (NerdMiner, old Antminers)")
    if not view.commits:
        return warning(said, "check that the block has no witness transactions: it would be invalid")
    return ok(said)


def payouts_outcome(assignment: Assignment, view: CoinbaseView, user: str) -> CheckOutcome:
    """List the outputs of the coinbase, and the share of the username's address."""
    network = network_of(assignment, user)
    outputs, said = _outputs(view, network)
    total = sum(out.value_sats for out in outputs)
    if any(out.value_sats < 0 for out in outputs):
        return failed(said, "do not mine here: no block with a negative amount can be valid")
    address = user.partition(".")[0]
    if not _looks_like_address(address):
        return ok(said)
    own = sum(out.value_sats for out in outputs if _same(address_of(out.script_pubkey, network), address))
    if not own:
        return warning(
            f"{said}; nothing to the address of the username",
            "check whom you mine for: a pool pays itself, a solo server pays your address",
        )
    return ok(f"{said}; {100 * own / total:.2f} % to the address of the username")


def own_payouts_outcome(view: CoinbaseView, payees: Sequence[tuple[str, int]], network: Network) -> CheckOutcome:
    """Check that the coinbase pays exactly these (address, basis points), as expected of our own server."""
    outputs, said = _outputs(view, network)
    total = sum(out.value_sats for out in outputs)
    amounts = amounts_of([points for _, points in payees], total)
    paid = [(address_of(out.script_pubkey, network), out.value_sats) for out in outputs]
    if len(paid) != len(payees) or any(
        sats != amount or not _same(address, payee)
        for (address, sats), (payee, _), amount in zip(paid, payees, amounts, strict=True)
    ):
        wanted = ", ".join(f"{percent(points)} to {payee}" for payee, points in payees[:_MOST_OUTPUTS])
        return failed(
            f"{said}; expected {wanted}",
            "restart the daemon if its payout settings have changed since it started; otherwise do not mine here",
        )
    return ok(said)


def group_payouts_outcome(view: CoinbaseView, network: Network) -> CheckOutcome:
    """Whom the coinbase of a group pays; `solominer verify` recomputes who is due what."""
    return ok(f"the group: {_outputs(view, network)[1]}")


def _outputs(view: CoinbaseView, network: Network) -> tuple[list[TxOut], str]:
    """The outputs except the witness commitment, and their description."""
    outputs = [
        out for out in view.transaction.outputs if out.value_sats or not out.script_pubkey.startswith(COMMITMENT_HEADER)
    ]
    total = sum(out.value_sats for out in outputs)
    parts = [f"{coins(out.value_sats)} to {described(out.script_pubkey, network)}" for out in outputs[:_MOST_OUTPUTS]]
    if len(outputs) > _MOST_OUTPUTS:
        parts.append(f"and {len(outputs) - _MOST_OUTPUTS} more")
    return outputs, f"{coins(total)} in all ({network.name}): {'; '.join(parts)}"


def target_outcome(assignment: Assignment) -> CheckOutcome:
    """Compare network difficulty and share difficulty."""
    network = difficulty(assignment.network_target)
    said = f"nbits {assignment.job.nbits:08x}, difficulty {exact_difficulty(network)}"
    if assignment.difficulty > network * (1 + 1e-4):
        return failed(
            f"{said}, below the share difficulty {exact_difficulty(assignment.difficulty)}",
            "lower the share difficulty: miners would not submit some blocks",
        )
    return ok(said)


def time_outcome(assignment: Assignment, now: float) -> CheckOutcome:
    """Compare the job's time with this machine's clock, `now` in Unix seconds."""
    offset = assignment.job.ntime - now
    said = f"{abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} this machine's clock"
    if abs(offset) > FAR_OFF_SECS:
        return warning(said, "check both clocks; the job may also be old, or its chain stalled")
    return ok(said)


def network_of(assignment: Assignment, user: str) -> Network:
    """Guess the network, for displaying addresses, from the username's address, else from the difficulty."""
    head = user.lower()
    for network in (REGTEST, MAINNET):
        if head.startswith(f"{network.bech32_hrp}1"):
            return network
    if assignment.job.nbits == 0x207FFFFF:
        return REGTEST
    if head.startswith("tb1") or difficulty(assignment.network_target) < _LEAST_MAINNET_DIFFICULTY:
        return TESTNET4
    return MAINNET


def _looks_like_address(text: str) -> bool:
    prefixes = {f"{network.bech32_hrp}1" for network in NETWORKS.values()}
    bech32 = text.lower().startswith(tuple(prefixes)) and len(text) >= 14
    return bech32 or (26 <= len(text) <= 36 and text[0] in "13mn2" and text.isalnum())


def _same(one: str, other: str) -> bool:
    """Whether address `one` equals the typed `other`, which may be bech32 in upper case."""
    return one != "" and one in (other, other.lower())
