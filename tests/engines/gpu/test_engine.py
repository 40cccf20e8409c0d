"""The GPU engine with real processes on fake cards: what is counted, and that a card that dies, hangs, lies, is lost or
does not exist harms nobody else and is told in words."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from solominer.daemon.host_metrics import now
from solominer.engines.cpu.kernel import load_kernel
from solominer.engines.gpu import listing
from solominer.engines.gpu.engine import GpuEngine, GpuSettings
from solominer.engines.pool import pool as pool_module
from solominer.engines.pool.job_slot import WorkerState
from solominer.engines.pool.snapshot import PoolSnapshot
from solominer.errors import EngineError
from solominer.work.events import Event, ShareFound, WorkerDied, WorkerStarted, WrongHit
from solominer.work.workers import ExtranonceRange, WorkerId
from tests.engines.gpu.fake_kernel import BUS, CACHE_DIR, HASHES_PER_SEC
from tests.hashing.jobs import make_job

FAKE = "tests.engines.gpu.fake_kernel"
NO_SHARES = (1 << 224) - 1
SOME_SHARES = 1 << 246
T = TypeVar("T", bound=Event)


class Running:
    """A started engine and what it says."""

    def __init__(self, settings: GpuSettings) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.lines: list[str] = []
        self.engine = GpuEngine(settings, now, self.lines.append)

    async def next(self, kind: type[T]) -> T:
        """The next event of that kind; others before it are skipped."""
        async with asyncio.timeout(200):
            while True:
                event = await self.events.get()
                if isinstance(event, kind):
                    return event

    async def until(self, holds: Callable[[PoolSnapshot], bool]) -> PoolSnapshot:
        """The first snapshot for which something holds."""
        async with asyncio.timeout(200):
            while not holds(snapshot := self.engine.pool_snapshot()):
                await asyncio.sleep(0.005)
            return snapshot


@asynccontextmanager
async def running(
    variant: str | None = None, devices: tuple[int, ...] | None = (0,), **more: object
) -> AsyncIterator[Running]:
    """An engine on the fake cards, stopped at the end; no process of it is left then."""
    before = set(psutil.Process().children())  # other tests' own
    run = Running(GpuSettings(devices, variant, engine=FAKE, **more))  # type: ignore[arg-type]
    await run.engine.start(run.events.put_nowait, ExtranonceRange(7, 1))
    try:
        yield run
    finally:
        await run.engine.stop()
        assert not set(psutil.Process().children()) - before


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """The fake cards find their hits with a kernel of the CPU; no test's own time goes by while it is compiled."""
    load_kernel("scalar", cache_dir=CACHE_DIR)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Supervision that looks often and waits for little."""
    monkeypatch.setattr(pool_module, "LOOK_SECS", 0.05)
    monkeypatch.setattr(pool_module, "HANG_SECS", 200.0)  # a busy CPU needs long for the hits of a launch
    monkeypatch.setattr(pool_module, "MAX_BACKOFF_SECS", 0.05)


async def test_all_cards_hash_each_as_fast_as_it_can() -> None:
    """A small card beside a big one slows nobody down."""
    async with running(devices=None) as run:
        run.engine.publish(make_job(share_target=SOME_SHARES))
        started = [await run.next(WorkerStarted) for _ in range(2)]
        assert {each.worker for each in started} == {WorkerId("gpu", "0"), WorkerId("gpu", "1")}
        share = await run.next(ShareFound)
        assert share.extranonce[:4] == (7).to_bytes(4, "big")
        run.engine.publish(make_job(2, share_target=NO_SHARES))  # its launches take no time of the CPU
        begun = await run.until(lambda now: all(worker.epoch == now.epoch for worker in now.workers))
        seen = await run.until(lambda now: now.workers[1].hashes > begun.workers[1].hashes + 40_000)
        big, small = (seen.workers[index].hashes - begun.workers[index].hashes for index in (0, 1))
        assert 0.3 < big / small / (HASHES_PER_SEC[0] / HASHES_PER_SEC[1]) < 3, "neither waits for the other"
        shown = run.engine.snapshot()
        assert shown.engine == "gpu"
        assert [worker.kernel for worker in shown.workers] == ["fake", "fake"]
        assert [worker.state for worker in shown.workers] == ["hashing", "hashing"]


async def test_hits_of_a_launch_that_a_new_job_overtakes_are_still_reported() -> None:
    async with running(launch_ms=1000) as run:
        run.engine.publish(make_job(1, share_target=SOME_SHARES))
        await run.until(lambda now: now.workers[0].longest_slice_ns > 100_000_000)
        jobs = [1]
        while jobs == jobs[-1:]:  # until a launch was at hand as the new job came, not just over
            while not run.events.empty():
                run.events.get_nowait()
            number = jobs[-1] + 1
            run.engine.publish(make_job(number, share_target=SOME_SHARES))
            jobs = [(await run.next(ShareFound)).job_id]
            while jobs[-1] != number:
                jobs.append((await run.next(ShareFound)).job_id)
        assert jobs[0] == number - 1, "the launch at hand ended under the new job"
        run.engine.stop_work()
        await run.until(lambda now: now.workers[0].state is WorkerState.IDLE)


async def test_a_block_parks_the_card_until_the_next_job() -> None:
    everything = (1 << 256) - 1
    async with running() as run:
        easy = replace(make_job(), share_target=everything)
        run.engine.publish(replace(easy, template=replace(easy.template, target=everything)))
        assert (await run.next(ShareFound)).is_block
        await run.until(lambda now: now.workers[0].state is WorkerState.PARKED)
        assert run.events.empty()
        run.engine.publish(make_job(2, share_target=SOME_SHARES))
        assert (await run.next(ShareFound)).job_id == 2


async def test_a_signed_job_of_another_engine_is_left_alone() -> None:
    async with running() as run:
        await run.next(WorkerStarted)
        for extranonce1, active in ((bytes(4), 0), ((7).to_bytes(4, "big"), 1)):
            run.engine.publish(replace(make_job(share_target=NO_SHARES), signed_extranonce=extranonce1 + bytes(8)))
            assert run.engine.pool_snapshot().active == active


async def test_the_intensity_is_the_share_of_the_time_that_a_card_works() -> None:
    async with running() as run:
        run.engine.publish(make_job(share_target=NO_SHARES))
        await run.until(lambda now: now.hashes > 100_000)
        done, secs = {1.0: 0, 0.25: 0}, {1.0: 0.0, 0.25: 0.0}
        for share in 4 * (1.0, 0.25):  # in turns, so that the machine is as busy with both
            run.engine.set_intensity(share)
            await asyncio.sleep(0.1)
            before, at = run.engine.pool_snapshot().hashes, time.monotonic()
            await asyncio.sleep(0.4)
            done[share] += run.engine.pool_snapshot().hashes - before
            secs[share] += time.monotonic() - at
        assert 0.1 < (done[0.25] / secs[0.25]) / (done[1.0] / secs[1.0]) < 0.5
        run.engine.set_intensity(0)
        still = await run.until(lambda now: now.workers[0].state is WorkerState.PAUSED)
        run.engine.set_intensity(1)
        await run.until(lambda now: now.hashes > still.hashes)


async def test_a_killed_worker_goes_on_where_it_was() -> None:
    async with running() as run:
        run.engine.publish(make_job(share_target=NO_SHARES))
        started = await run.next(WorkerStarted)
        before = await run.until(lambda now: now.hashes > 50_000)
        os.kill(started.pid, signal.SIGKILL)
        assert (await run.next(WorkerDied)).reason == "killed by another process (SIGKILL)"
        assert run.engine.pool_snapshot().hashes >= before.hashes
        assert (await run.next(WorkerStarted)).pid != started.pid
        after = await run.until(lambda now: now.hashes > before.hashes + 50_000)
        place = after.workers[0]
        assert place.place_k == place.place_group == 0
        searched = 32 * (place.place_step * (1 << 22) + place.place_offset)
        assert abs(searched - place.hashes) <= 2 * 32 * 1024, "at most the launches that died were searched again"


@pytest.mark.parametrize(
    ("variant", "reason"),
    [
        ("fake-dies", "crashed (SIGSEGV)"),
        ("fake-lost", "exited with code 1: the card failed: OpenCL status -5 -> see the kernel's log (dmesg)"),
        ("fake-memory", "the card failed: CL_OUT_OF_RESOURCES -> close other programs that use the card"),
        ("fake-hangs", "no heartbeat for 1 s"),
    ],
)
async def test_a_card_that_fails_is_told_in_words_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, variant: str, reason: str
) -> None:
    monkeypatch.setattr(pool_module, "HANG_SECS", 1.0 if variant == "fake-hangs" else 30.0)
    async with running(variant) as run:
        run.engine.publish(make_job(share_target=NO_SHARES))
        for _ in range(2):
            died = await run.next(WorkerDied)
            assert reason in died.reason
            assert died.restart_secs is not None


@pytest.mark.parametrize(("variant", "wrong"), [("fake-lies", 3), ("fake-blind", 0)])
async def test_a_kernel_that_lies_or_finds_nothing_is_benched_and_replaced(
    tmp_path: Path, variant: str, wrong: int
) -> None:
    async with running(variant, cache_dir=tmp_path) as run:
        run.engine.publish(make_job(share_target=NO_SHARES))
        for _ in range(wrong):
            assert (await run.next(WrongHit)).kernel == variant
        assert (await run.next(WorkerDied)).reason == f"kernel {variant} reported wrong hits"
        assert (await run.next(WorkerStarted)).kernel == "fake"
        assert (tmp_path / f"benched-0-{variant}").exists()


async def test_a_card_without_any_right_kernel_stays_off_and_the_other_mines_on(tmp_path: Path) -> None:
    for name in ("fake", "fake-spare"):
        (tmp_path / f"benched-0-{name}").touch()
    async with running(devices=None, cache_dir=tmp_path) as run:
        run.engine.publish(make_job(share_target=NO_SHARES))
        off = await run.next(WorkerDied)
        assert off.worker == WorkerId("gpu", "0")
        assert off.reason == "every kernel gave wrong hits on Big card -> check its cooling and its memory"
        assert off.restart_secs is None
        now = await run.until(lambda now: now.workers[1].hashes > 0)
        assert now.workers[0].restarts == 0
        assert run.engine.snapshot().workers[0].state == "lost"


async def test_a_card_that_another_miner_uses_is_left_to_it(tmp_path: Path) -> None:
    lock = tmp_path / f"gpu-{BUS.replace(':', '-')}.lock"
    lock.write_text("4711")
    with lock.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        async with running(cache_dir=tmp_path) as run:
            assert "Big card is used by another miner (process 4711)" in (await run.next(WorkerDied)).reason
            fcntl.flock(file, fcntl.LOCK_UN)
            await run.next(WorkerStarted)


async def test_above_its_ceiling_a_card_pauses_until_it_is_5_degrees_cooler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_PCI", str(tmp_path))
    folder = tmp_path / BUS / "hwmon/hwmon3"
    folder.mkdir(parents=True)
    sensor = folder / "temp1_input"
    sensor.write_text("60000\n")
    async with running(max_temp_c=80.0) as run:
        run.engine.publish(make_job(share_target=NO_SHARES))
        await run.until(lambda now: now.hashes > 0)
        assert run.engine.snapshot().workers[0].temperature_c == 60.0
        for degrees, state in ((81, WorkerState.PAUSED), (76, WorkerState.PAUSED), (75, WorkerState.HASHING)):
            sensor.write_text(f"{degrees}000\n")
            await run.until(lambda now, at=1000 * degrees: now.workers[0].millidegrees == at)  # type: ignore[misc]
            await run.until(lambda now, state=state: now.workers[0].state is state)  # type: ignore[misc]
        told = ["GPU 0 has 81 °C, above its limit: paused", "GPU 0 has 75 °C, cool enough: resumed"]
        await run.until(lambda now: len([line for line in run.lines if "°C" in line]) >= len(told))  # by a pipe
        assert run.lines[-2:] == told


async def test_a_ceiling_without_a_thermometer_is_told_once() -> None:
    async with running(max_temp_c=80.0, devices=(1,)) as run:
        run.engine.publish(make_job(share_target=NO_SHARES))
        await run.until(lambda now: now.hashes > 0)
        assert [line for line in run.lines if "temperature" in line] == [
            "Small card shows no temperature: max_temperature_c has no effect on it"
        ]
        assert run.engine.snapshot().workers[0].temperature_c is None


@pytest.mark.parametrize(
    ("fault", "devices", "told"),
    [
        ("package", None, "graphics cards need pyopencl"),
        ("crash", None, "the GPU driver crashed (signal 11)"),
        ("hang", None, "the GPU driver did not answer for 1 s"),
        ("", (7,), "there is no GPU 7; found: 0 (Big card), 1 (Small card)"),
    ],
)
async def test_without_a_usable_card_the_others_mine_on_or_the_start_fails(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: str,
    devices: tuple[int, ...] | None,
    told: str,
) -> None:
    monkeypatch.setenv("FAKE_DEVICES", fault)
    monkeypatch.setattr(listing, "PATIENCE_SECS", 1.0 if fault == "hang" else 20.0)
    async with running(devices=devices) as run:
        assert run.engine.snapshot().workers == ()
        assert f"no GPU is used: {told}" in caplog.text
        run.engine.publish(make_job())
        run.engine.set_intensity(0.5)
    with pytest.raises(EngineError) as error:
        await GpuEngine(GpuSettings(devices, alone=True, engine=FAKE), now).start(print, ExtranonceRange(0, 1))
    assert told in error.value.what
    assert error.value.todo


async def test_a_missing_card_beside_others_is_told_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    async with running(devices=(0, 5)) as run:
        assert "there is no GPU 5" in caplog.text
        assert [str(worker.worker) for worker in run.engine.snapshot().workers] == ["gpu/0"]


def test_cpu_devices_are_listed_on_demand() -> None:
    assert [card.kind for card in listing.list_cards(cpus=False, cache_dir=None, engine=FAKE)] == ["gpu", "gpu"]
    cards = listing.list_cards(cpus=True, cache_dir=None, engine=FAKE)
    assert [card.kind for card in cards] == ["gpu", "gpu", "cpu"]
    assert [card.kernel for card in cards] == ["fake", "", ""]


def test_the_main_process_loads_no_driver() -> None:
    code = "import sys, solominer.engines.gpu.engine; sys.exit(bool({'numpy', 'pyopencl'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
