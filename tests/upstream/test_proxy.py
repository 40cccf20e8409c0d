"""Miners behind a pool's extranonce: what they hash, what the pool gets of it, and what they are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from solominer.chain.hashes import sha256d
from solominer.chain.target import difficulty
from solominer.engines.stratum.difficulty import Limits
from solominer.engines.stratum.duplicates import Duplicates
from solominer.engines.stratum.events import BlockFound, NotableShare
from solominer.engines.stratum.extranonces import ExtranonceTable
from solominer.engines.stratum.jobs import JobBoard
from solominer.engines.stratum.reference import HashlibValidator
from solominer.engines.stratum.shared import ListenerSettings, Shared
from solominer.engines.stratum.shares import ShareChecker
from solominer.engines.stratum.translate import POOL_ROLL_SECS, share_found, work_of
from solominer.engines.stratum.work import split_of
from solominer.upstream.submit import Sent
from solominer.work.actions import PublishJob
from solominer.work.events import ShareFound
from solominer.work.workers import ExtranonceRange
from tests.engines.stratum.builders import TEST_LIMITS, Client, pay_config
from tests.upstream.scripted import MAINNET_BITS, PARENT, assignment_of
from tests.upstream.test_miner import AT, ONE, Rig


class House:
    """A pool's job, and miners that got it."""

    def __init__(self, size: int, limits: Limits = TEST_LIMITS, **assigned: object) -> None:
        self.rig = Rig()
        self.assignment = assignment_of(size=size, **assigned)  # type: ignore[arg-type]
        self.job = self.rig.job(assignment=self.assignment)
        self.work = work_of(self.job, b"/ours/")
        board = JobBoard(pay_config, 0x1000, split=split_of(min(size, 12)))
        table = ExtranonceTable(ExtranonceRange(0xA10000FF, 256), lambda: f"{len(table):08x}")
        checker = ShareChecker(HashlibValidator(), Duplicates())
        self.shared = Shared(board, table, checker, ListenerSettings(limits=limits))
        board.publish(self.work, 0.0)

    def miner(self) -> Client:
        """One that has the job."""
        client = Client(self.shared)
        client.login()
        return client

    def hand_on(self, found: NotableShare | BlockFound) -> Sent:
        """What the pool gets for it."""
        share = share_found(found, self.work, AT)
        self.rig.miner.handle(share)
        return self.rig.sent[-1][1]


@pytest.mark.parametrize("size", [4, 5, 6, 7, 8, 9, 12, 20])
def test_what_miners_find_is_what_the_pool_hashes(size: int) -> None:
    house = House(size, nbits=MAINNET_BITS, difficulty=2.0**-24)
    split = split_of(min(size, 12))
    assert sum(split) == min(size, 12)
    headers, taken = set(), set()
    for client in (house.miner(), house.miner()):
        assert len(client.extranonce1) == split.connections
        for extranonce2 in (bytes(split.miner), b"\xff" * split.miner):
            params, header = client.mine(target=house.job.share_target, extranonce2=extranonce2, bits=1 << 13)
            assert client.submit(params, bits=f"{1 << 13:08x}")["result"] is True
            (found,) = client.of(NotableShare)
            client.events.clear()
            sent = house.hand_on(found)
            assert len(sent.extranonce2) == size
            assert house.assignment.header(sent.extranonce2, sent.version_bits, header.nonce) == header
            assert found.header == header.pack()
            headers.add(header.merkle_root_le)
            taken.add(sent.extranonce2)
    assert len(headers) == len(taken) == 4


def test_a_job_that_is_announced_again_is_another_one() -> None:
    house = House(8)
    client = house.miner()
    client.tick(60.0)
    first, second = client.jobs
    assert first[0] != second[0]
    assert first[2] != second[2]
    params, _ = client.mine(first, extranonce2=bytes(4))
    assert client.submit(params)["result"] is True


def test_ntime_may_be_rolled_and_the_pool_hears_of_it() -> None:
    house = House(8, nbits=MAINNET_BITS)
    client = house.miner()
    later = house.assignment.job.ntime + POOL_ROLL_SECS
    params, header = client.mine(target=house.job.share_target, extranonce2=bytes(4), ntime=later)
    assert client.submit(params)["result"] is True
    sent = house.hand_on(client.of(NotableShare)[0])
    assert sent.assignment.job.ntime == later
    assert sent.header == header
    params, _ = client.mine(extranonce2=bytes(4), ntime=later + 1)
    assert client.submit(params)["error"]


def test_a_block_goes_to_the_pool() -> None:
    house = House(8)
    client = house.miner()
    params, header = client.mine(target=house.job.template.target, extranonce2=bytes(4))
    assert client.submit(params)["result"] is True
    sent = house.hand_on(client.of(BlockFound)[0])
    assert sent.is_block
    assert sent.header == header
    assert house.rig.miner.pool_blocks == 1


def test_no_miner_works_at_more_than_the_pools_difficulty() -> None:
    house = House(8, Limits(start=1e9, least=1e6, fractional=True), nbits=MAINNET_BITS, difficulty=512.0)
    client = house.miner()
    assert client.difficulty == pytest.approx(512.0, rel=1e-4)
    assert client.difficulty <= 512.0
    assert house.work.most_difficulty == difficulty(house.job.share_target)
    assert replace(house.work, pool=None).most_difficulty == house.work.difficulty


def test_masks_intersect_and_a_wrong_length_is_refused() -> None:
    house = House(8, mask=0x00FFE000, nbits=MAINNET_BITS)
    client = house.miner()
    assert house.work.version_mask == 0x00FFE000
    params, _ = client.mine(extranonce2=bytes(4), bits=1 << 28)
    assert "version" in client.submit(params, bits=f"{1 << 28:08x}")["error"][1].lower()
    params, _ = client.mine(extranonce2=bytes(8))
    assert client.submit(params)["error"][1] == "Invalid nonce2 length"


def test_a_new_tip_makes_jobs_clean_and_other_news_does_not() -> None:
    house = House(8)
    client = house.miner()
    for changes, clean in (({"job_id": "j2"}, False), ({"prevhash": sha256d(b"tip").hex(), "height": 201}, True)):
        house.rig.miner.pool_job(ONE, assignment_of(**changes))
        (job,) = [action.job for action in house.rig.take() if isinstance(action, PublishJob)]
        client.publish(work_of(job, b""))
        assert client.job[8] is clean
    assert PARENT not in client.job[1]


def test_a_share_of_work_that_is_not_known_any_more_is_dropped() -> None:
    house = House(8, nbits=MAINNET_BITS)
    client = house.miner()
    params, _ = client.mine(target=house.job.share_target, extranonce2=bytes(4))
    client.submit(params)
    lost = share_found(client.of(NotableShare)[0], None, AT)
    assert isinstance(lost, ShareFound)
    house.rig.miner.handle(lost)
    assert not house.rig.sent
