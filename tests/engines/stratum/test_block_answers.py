"""When the finder of a block hears `true`: with the block on disk, whatever is killed; and what a flood may do."""

from __future__ import annotations

import os

import pytest

from solominer.chain.header import Header
from solominer.engines.pool.processes import python_command
from solominer.engines.stratum.base_session import BLOCKS_PER_WORK
from solominer.work.events import ShareFound, WorkerDied, WorkerStarted
from tests import killed_at
from tests.engines.stratum.builders import line
from tests.engines.stratum.engine_rig import Bench, connected, in_thread, running, target_of
from tests.engines.stratum.wire import WireMiner


def submit(bench: Bench, miner: WireMiner, share_id: int = 77, user: str = "rig.1") -> tuple[list[str], Header]:
    """Hand in a block of the miner's job, and wait for no answer."""
    params, header = miner.mine(target=target_of(bench.jobs[-1]))
    miner.write(line(share_id, "mining.submit", user, *params) + "\n")
    return params, header


async def test_the_answer_to_a_block_waits_for_the_disk_and_nothing_else_does() -> None:
    async with running() as bench:
        bench.saves = False
        bench.publish()
        miner = await in_thread(lambda: connected(bench))
        await in_thread(lambda: submit(bench, miner))
        await in_thread(lambda: miner.write(line(78, "mining.ping") + "\n"))
        await in_thread(lambda: miner.reply(78))
        bench.publish(tip=2)  # the next job does not wait either
        await in_thread(lambda: miner.until("mining.notify", count=2))
        (block,) = await bench.until(bench.blocks)
        assert not [each for each in miner.lines if each.get("id") == 77]
        bench.engine.block_saved(block.hash_le)
        assert (await in_thread(lambda: miner.reply(77)))["result"] is True


async def test_a_disk_that_takes_no_block_is_told_to_its_finder() -> None:
    async with running() as bench:
        bench.saves = False
        bench.publish()
        miner = await in_thread(lambda: connected(bench))
        await in_thread(lambda: submit(bench, miner))
        answer = await in_thread(lambda: miner.reply(77))
        assert answer["result"] is False
        assert "Not on disk yet" in answer["error"][1]
        assert len(bench.blocks()) == 1


async def test_a_simulation_keeps_no_blocks_and_waits_for_no_disk() -> None:
    async with running(simulated=True) as bench:
        bench.publish()
        miner = await in_thread(lambda: connected(bench))
        await in_thread(lambda: submit(bench, miner))
        assert (await in_thread(lambda: miner.reply(77)))["result"] is True


@pytest.mark.parametrize(
    ("when", "call", "is_kept"),
    [
        ("before", "UnsavedBlocks.add", False),  # the daemon has not heard of it
        ("before", "UnsavedBlocks.answer", None),  # it is on its way
        ("before", "UnsavedBlocks.saved", True),  # it is on disk, and the answer was about to leave
    ],
)
async def test_a_server_killed_before_the_answer_has_promised_nothing(
    when: str, call: str, is_kept: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the miner can hand it in again: the next server answers at once for what is on disk already."""
    weak = killed_at.command(when, "solominer.engines.stratum.unsaved", call, "solominer.engines.stratum")
    strong, environment = python_command("solominer.engines.stratum")
    commands = iter([weak])
    monkeypatch.setattr(
        "solominer.engines.stratum.server_process.python_command", lambda module: (next(commands, strong), environment)
    )
    async with running() as bench:
        bench.publish()
        miner = await in_thread(lambda: connected(bench))
        await bench.until(lambda: miner.session_id in bench.engine._sessions)
        params, header = await in_thread(lambda: submit(bench, miner))
        assert await in_thread(miner.ended)
        assert not [each for each in miner.lines if each.get("id") == 77]
        await bench.until(lambda: len(bench.of(WorkerStarted)) == 2)
        assert "signal 9" in bench.of(WorkerDied)[0].reason
        if is_kept is not None:
            assert [block.header for block in bench.blocks()] == [header.pack()] * is_kept

        def again() -> bool:
            fresh = WireMiner(url=bench.engine.urls[0])
            fresh.log_in(session=miner.session_id)
            return fresh.hand_in(params)["result"] is True

        assert await in_thread(again)
        assert [block.header for block in bench.blocks()] == [header.pack()]


async def test_a_block_that_is_on_disk_is_answered_at_once_when_it_is_handed_in_again() -> None:
    """The daemon says a block is on disk once; a server that was started since did not hear it."""
    async with running() as bench:
        bench.publish()
        miner = await in_thread(lambda: connected(bench))
        await bench.until(lambda: miner.session_id in bench.engine._sessions)
        params, _ = await in_thread(lambda: submit(bench, miner))
        assert (await in_thread(lambda: miner.reply(77)))["result"] is True
        bench.saves = False
        os.kill(bench.of(WorkerStarted)[0].pid, 9)
        await bench.until(lambda: len(bench.of(WorkerStarted)) == 2)

        def again() -> object:
            fresh = WireMiner(url=bench.engine.urls[0])
            fresh.log_in(session=miner.session_id)
            return fresh.hand_in(params)["result"]

        assert await in_thread(again) is True


async def test_a_flood_of_blocks_is_bounded_and_takes_no_other_miners_place() -> None:
    """Of one work each connection hands on some; the rest are shares, and every one of another miner is a block."""
    async with running() as bench:
        bench.publish()
        flooding = await in_thread(lambda: connected(bench, user="flood"))
        honest = await in_thread(lambda: connected(bench, user="honest"))

        def flood() -> None:
            lines = []
            for number in range(200):
                params, _ = flooding.mine(target=target_of(bench.jobs[-1]), extranonce2=number.to_bytes(8))
                lines.append(line(1000 + number, "mining.submit", "flood", *params) + "\n")
            flooding.write("".join(lines))
            assert all(flooding.reply(1000 + number)["result"] is True for number in range(200))

        await in_thread(flood)
        await in_thread(lambda: submit(bench, honest, 500, "honest"))
        assert (await in_thread(lambda: honest.reply(500)))["result"] is True
        workers = [share.worker.name for share in bench.of(ShareFound) if share.is_block]
        assert workers.count("flood") == BLOCKS_PER_WORK
        assert "honest" in workers
        bench.publish()  # other work on the same tip: whatever was wrong with that one, here it counts anew
        await in_thread(lambda: flooding.until("mining.notify", count=2))
        await in_thread(lambda: submit(bench, flooding, 900, "flood"))
        assert (await in_thread(lambda: flooding.reply(900)))["result"] is True
        workers = [share.worker.name for share in bench.of(ShareFound) if share.is_block]
        assert workers.count("flood") == BLOCKS_PER_WORK + 1
