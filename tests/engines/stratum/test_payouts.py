"""What status says of a block that is found now is what its coinbase pays."""

from __future__ import annotations

from random import Random

import pytest

from solominer.chain.encode_address import described
from solominer.chain.networks import REGTEST
from solominer.engines.stratum.channel import ListenerSetup
from solominer.engines.stratum.jobs import JobBoard
from solominer.engines.stratum.payouts import miner_payouts
from solominer.engines.stratum.server import _payouts
from solominer.engines.stratum.work import Audience, Standing, Work
from solominer.work.workers import WorkerId, WorkerSnapshot
from tests.engines.stratum.builders import P2WPKH, make_work

A, B = ("0014" + each * 20 for each in ("aa", "bb"))
LISTENERS = (ListenerSetup("127.0.0.1", 3333, pay_to="group"), ListenerSetup(path="/run/miners", pay_to="miner"))
EASY = 0x207FFFFF


def miner(agent: str, rate_hps: float) -> WorkerSnapshot:
    return WorkerSnapshot(WorkerId("stratum", agent), "hashing", rate_hps=rate_hps, kernel=agent)


def paid_by(work: Work, room_bytes: int) -> dict[bytes, int]:
    """The payees in the coinbase of a job for such a client."""
    board = JobBoard(_payouts, 1)
    board.publish(work, 0.0)
    job = board.job_after(-1, Audience(None, room_bytes))
    (kept,) = board._works
    return {out.script_pubkey: out.value_sats for out in kept.outputs[job.audience]}


@pytest.mark.parametrize("seed", range(10))
def test_it_is_what_a_coinbase_for_the_fastest_miner_pays(seed: int) -> None:
    random = Random(seed)
    names = [f"0014{random.randbytes(20).hex()}" for _ in range(random.randrange(2, 20))]
    owed = random.randrange(1, 10**6)
    balances = {names[0]: owed, names[1]: -owed}
    members = tuple((name, str(random.randrange(1, 10**15)), balances.get(name, 0)) for name in sorted(names))
    work = make_work(group=Standing(7, members))
    miners = [miner("bmminer/2", 1e12), miner("bitaxe/BM1370", 2e12), miner("", 1e9)]
    group = miner_payouts(LISTENERS, 5000, work, miners, REGTEST).group
    assert group is not None
    assert group.coinbase_bytes == 6500
    paid = {member.address: member.paid_sats for member in group.members if member.paid_sats}
    assert paid == {described(script, REGTEST): sats for script, sats in paid_by(work, 6500).items()}
    assert sum(paid.values()) == work.coinbase_value
    assert sum(member.work_share for member in group.members) == pytest.approx(1.0)
    assert {member.address: member.carried_sats for member in group.members if member.carried_sats} == {
        described(bytes.fromhex(name), REGTEST): sats for name, sats in balances.items()
    }
    assert [member.paid_sats for member in group.members] == sorted(paid.values(), reverse=True) + [0] * (
        len(names) - len(paid)
    )


def test_each_listener_is_named_with_whom_it_pays() -> None:
    payouts = miner_payouts(LISTENERS, 5000, make_work(), [], REGTEST)
    shown = [(each.url, each.payout) for each in payouts.listeners]
    assert shown == [("stratum+tcp://127.0.0.1:3333", "group"), ("unix:/run/miners", "miner")]
    assert payouts.group is None
    assert miner_payouts(LISTENERS, 5000, None, [], REGTEST).group is None


def test_without_work_nobody_is_paid_and_what_is_owed_is_still_shown() -> None:
    work = make_work(group=Standing(2, ((A, "0", 5), (B, "0", -5))), outputs=((P2WPKH, 312_500_000),))
    group = miner_payouts(LISTENERS, 5000, work, [], REGTEST).group
    assert group is not None
    assert [(member.work_share, member.paid_sats, member.carried_sats) for member in group.members] == [
        (0, 0, 5),
        (0, 0, -5),
    ]
    assert (group.coinbase_bytes, group.window_filled) == (255, 0.0)
    assert paid_by(work, 255) == {P2WPKH: 312_500_000}


def test_the_window_is_as_full_as_it_holds_work() -> None:
    work = make_work(nbits=EASY, group=Standing(2, ((A, "5", 0),)))  # a block takes 2 hashes on average
    group = miner_payouts(LISTENERS, 5000, work, [], REGTEST).group
    assert group is not None
    assert (group.window_blocks, group.window_filled) == (5.0, 0.5)
