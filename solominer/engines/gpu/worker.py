"""The GPU engine's worker process: `python -m solominer.engines.gpu`, one for each card.

While one launch runs, the next is prepared and enqueued shortly before its end, so that the card is never idle and a
stale job ends with the launch at hand. Waiting is sleeping: drivers would keep a core busy. Only landed launches are a
sign of life, so a card that hangs is noticed, and a known block is searched again and again, as a dead kernel finds
nothing and so tells no lies.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns
from typing import Any

from solominer.engines.gpu.kernel import Device, GpuKernel, Launch, TooManyHits, finds_known_block
from solominer.engines.gpu.listing import missing
from solominer.engines.gpu.search import GpuSearch, LaunchPace, Piece, hits_in_parts, most_hashes, rest_ns
from solominer.engines.gpu.temperature import Ceiling, Thermometer, thermometer
from solominer.engines.pool.hits import HitReporter
from solominer.engines.pool.job_slot import WORD_OF, WorkerState
from solominer.engines.pool.messages import Ready
from solominer.engines.pool.startup import EXIT_WRONG_HITS, DeviceSetup, WorkerSetup
from solominer.engines.pool.worker import WRONG_HITS_ALLOWED, Worker
from solominer.errors import EngineError

KNOWN_BLOCK_SECS = 3600.0
TEMPERATURE_SECS = 5.0
_LEAD_NS = 2_000_000
_SHORTEST_SLEEP_NS, _LONGEST_SLEEP_NS = 500_000, 10_000_000

_HEARTBEAT, _STARTED, _HASHES, _LONGEST, _WRONG, _MILLIDEGREES = (
    WORD_OF[name] for name in ("heartbeat_ns", "started_ns", "hashes", "longest_slice_ns", "wrong_hits", "millidegrees")
)
_PLACE = WORD_OF["place_ntime"]


@dataclass(frozen=True, slots=True)
class Flight:
    """A launch under way, the search it belongs to, and when it was enqueued and should end (time.monotonic_ns())."""

    search: GpuSearch
    piece: Piece
    launch: Launch
    begun_ns: int
    expected_ns: int


class GpuWorker(Worker):
    """The main loop of a worker process."""

    def __init__(self, setup: WorkerSetup) -> None:
        super().__init__(setup)
        if setup.device is None:
            raise EngineError("a GPU worker needs a device")
        self._device: DeviceSetup = setup.device
        self._pace = LaunchPace(setup.device.launch_ms)
        self._ceiling = Ceiling(setup.device.max_temp_c)
        self._thermometer: Thermometer | None = None
        self._search: GpuSearch | None = None
        self._flights: deque[Flight] = deque()
        self._landed_ns = self._rest_until_ns = 0

    def work(self) -> int:
        """Search until told to exit, or until the kernel is wrong too often or misses a known block."""
        setup = self._setup
        engine = importlib.import_module(setup.engine)
        device = self._find(engine)
        self._claim = claim(device, setup.cache_dir)
        self._thermometer = thermometer(device)
        if self._thermometer is None and self._device.max_temp_c is not None:
            self._report(f"{device.name} shows no temperature: max_temperature_c has no effect on it")
        kernel: GpuKernel = engine.load_kernel(device, setup.kernel, cache_dir=setup.cache_dir, report=self._report)
        self._outbox.send(Ready(kernel.name))
        self._hash(kernel)
        engine.bench_out(device, kernel.name, cache_dir=setup.cache_dir)
        return EXIT_WRONG_HITS

    def _find(self, engine: Any) -> Device:
        wanted = self._device.index
        found: list[Device] = engine.devices(cpus=self._device.cpus)
        if problem := missing(found, (wanted,)):
            raise problem
        return next(device for device in found if device.index == wanted)

    def _hash(self, kernel: GpuKernel) -> None:
        """Search job after job. Returns when the kernel is not to be trusted."""
        counters, flights = self._counters, self._flights
        wrong_limit = counters[_WRONG] + WRONG_HITS_ALLOWED
        known_at = read_at = 0.0
        while counters[_WRONG] < wrong_limit:
            now = time.monotonic()
            if now >= read_at:
                if not self._shared.quitting:  # else what is in flight lands first
                    self._check_end()
                self._look_at_temperature()
                read_at = now + TEMPERATURE_SECS
            if flights and flights[0].launch.done:
                self._land(kernel, flights.popleft())
            elif not flights and now >= known_at:
                if not finds_known_block(kernel):
                    self._report(f"kernel {kernel.name} misses a known block")
                    return
                known_at = now + KNOWN_BLOCK_SECS
            elif self._shared.epoch != self._epoch:
                self._turn_to(kernel)
            elif (idle := self._why_idle()) is None and now < known_at and self._has_room():
                self._launch(kernel)
            elif flights:
                self._sleep_until(flights[0].expected_ns if idle else self._launch_ns())
            elif idle is not None:
                self._check_end()
                self._wait(idle)
            else:
                self._enter(WorkerState.HASHING)
                self._sleep_until(self._rest_until_ns)
        while flights:  # a block may be among their hits, all the same
            self._land(kernel, flights.popleft())

    def _why_idle(self) -> WorkerState | None:
        """Why nothing more is launched now, or None."""
        search = self._search
        if self._shared.quitting or search is None:
            return WorkerState.IDLE
        if search.over:
            return WorkerState.PARKED if search.reporter.parked else WorkerState.EXHAUSTED
        if self._ceiling.hot or self._shared.duty == 0 or self._setup.index >= self._shared.active:
            return WorkerState.PAUSED
        return None

    def _has_room(self) -> bool:
        """Whether it is time for the next launch."""
        two = self._shared.duty == 1
        return len(self._flights) < (2 if two else 1) and monotonic_ns() >= self._launch_ns()

    def _launch_ns(self) -> float:
        """When to enqueue the next launch: shortly before the last one's end, or after the rest."""
        if not self._flights:
            return self._rest_until_ns
        lead = min(_LEAD_NS, self._pace.target_ns / 2) if len(self._flights) == 1 and self._shared.duty == 1 else 0
        return self._flights[0].expected_ns - lead

    def _turn_to(self, kernel: GpuKernel) -> None:
        """Begin the current epoch's job; what is in flight for the last one lands later."""
        self._search = None
        job = self._turn()
        if job is None:
            return
        reporter = HitReporter(job, self._counters, self._outbox)
        midstates = max(1, min(kernel.midstates, most_hashes(reporter.target_word) // kernel.group_nonces))
        self._search = GpuSearch(self._walk(job, midstates, kernel.group_nonces), kernel, reporter)
        self._begin_places(midstates)
        self._note(self._search.walk.place)

    def _launch(self, kernel: GpuKernel) -> None:
        search = self._search
        assert search is not None
        piece = search.next_piece(self._pace.hashes)
        launch = kernel.launch(piece.batch)
        now = monotonic_ns()
        begins = max(now, self._flights[-1].expected_ns if self._flights else 0)
        expected = begins + round(self._pace.expected_ns(piece.hashes))
        self._flights.append(Flight(search, piece, launch, now, expected))
        if not self._counters[_STARTED]:
            self._counters[_STARTED] = now
        self._enter(WorkerState.HASHING)

    def _land(self, kernel: GpuKernel, flight: Flight) -> None:
        """Take the hits of a launch that has ended, whatever job it was for, and count its hashes."""
        now, counters, piece = monotonic_ns(), self._counters, flight.piece
        busy = now - max(flight.begun_ns, self._landed_ns)
        self._landed_ns = now
        self._pace.saw(piece.hashes, busy)
        try:
            hits = flight.launch.hits()
        except TooManyHits:
            hits = hits_in_parts(kernel, piece.batch)
        flight.search.take(piece, hits)
        counters[_HASHES] += piece.hashes
        counters[_LONGEST] = max(counters[_LONGEST], busy)
        counters[_HEARTBEAT] = now
        if flight.search is self._search:
            self._note(piece.after)
        if (duty := self._shared.duty) > 0:
            self._rest_until_ns = now + round(rest_ns(busy, duty))

    def _note(self, place: tuple[int, ...]) -> None:
        """Store the position, for a worker that continues after this one died."""
        for word, value in enumerate(place, _PLACE):
            self._counters[word] = value

    def _sleep_until(self, then_ns: float) -> None:
        """Sleep until then; if that has passed, for longer the longer it is ago."""
        left = then_ns - monotonic_ns()
        sleep_ns = left if left > 0 else -left / 4
        time.sleep(min(max(sleep_ns, _SHORTEST_SLEEP_NS), _LONGEST_SLEEP_NS) / 1e9)

    def _look_at_temperature(self) -> None:
        celsius = self._thermometer() if self._thermometer else None
        self._counters[_MILLIDEGREES] = max(0, round(1000 * celsius)) if celsius else 0
        if self._ceiling.saw(celsius):
            what = "above its limit: paused" if self._ceiling.hot else "cool enough: resumed"
            self._report(f"GPU {self._device.index} has {celsius or 0:.0f} °C, {what}")


def claim(device: Device, cache_dir: Path | None) -> int | None:
    """Claim the card for this process as long as it lives; returns the descriptor that holds the claim.

    Two miners on one card would halve each other's speed, and neither would say why. Only among miners that share
    `cache_dir`; None without one. Raises EngineError if another has it.
    """
    if cache_dir is None:
        return None
    path = cache_dir / f"gpu-{device.bus or device.index}.lock".replace(":", "-")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:  # the cache cannot be written: a matter of speed only
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(fd, 20).decode(errors="replace").strip() or "?"
        os.close(fd)
        raise EngineError(
            f"{device.name} is used by another miner (process {owner})", "stop it, or leave the card to it: gpu.devices"
        ) from None
    os.truncate(fd, 0)
    os.write(fd, str(os.getpid()).encode())
    return fd
