"""The payouts of a block that a miner would find now: at each listener, and to each member of the group."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from solominer.chain.encode_address import described
from solominer.chain.networks import Network
from solominer.chain.target import expected_hashes
from solominer.engines.stratum.agents import DEFAULT_COINBASE_BYTES, agent_of
from solominer.engines.stratum.channel import ListenerSetup
from solominer.engines.stratum.jobs import plan_of
from solominer.engines.stratum.work import Work
from solominer.errors import PayoutError
from solominer.views.snapshot import GroupMemberView, GroupView, ListenerView
from solominer.work.workers import WorkerSnapshot


class MinerPayouts(NamedTuple):
    """`group` is None without a group, or before the first job."""

    listeners: tuple[ListenerView, ...]
    group: GroupView | None


def miner_payouts(
    listeners: Iterable[ListenerSetup],
    window_milli: int,
    work: Work | None,
    miners: Iterable[WorkerSnapshot],
    network: Network,
) -> MinerPayouts:
    """The payouts for `work`. Those of a group depend on the client: they are for the fastest of `miners`."""
    fastest = max(miners, key=lambda miner: miner.rate_hps, default=None)
    room = agent_of(fastest.kernel).coinbase_bytes if fastest else DEFAULT_COINBASE_BYTES
    group = _group(work, window_milli, room, network) if work is not None and work.group is not None else None
    return MinerPayouts(tuple(ListenerView(each.url, each.pay_to) for each in listeners), group)


def _group(work: Work, window_milli: int, room_bytes: int, network: Network) -> GroupView:
    standing = work.group
    assert standing is not None
    works, balances, total = standing.works, standing.balances, sum(standing.works.values())
    window = window_milli * expected_hashes(work.target) // 1000
    try:
        paid = plan_of(work, room_bytes).paid
    except PayoutError:
        paid = {}
    names = sorted(works.keys() | balances.keys(), key=lambda name: (-paid.get(name, 0), -works.get(name, 0), name))
    members = tuple(
        GroupMemberView(
            described(bytes.fromhex(name), network),
            works.get(name, 0) / max(total, 1),
            paid.get(name, 0),
            balances.get(name, 0),
        )
        for name in names
    )
    return GroupView(members, window_milli / 1000, min(1.0, total / max(window, 1)), room_bytes)
