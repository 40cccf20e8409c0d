"""Runs of random faults, seeded: which fault, with what settings, at which moment; and what came of each."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from solominer.errors import SolominerError
from solominer.node.private.bitcoind import BitcoindBinary
from tests.faults import chain_faults, disk_faults, network_faults, node_faults, process_faults, zmq_faults
from tests.faults.block_fates import Fate
from tests.faults.case import CASES, Case
from tests.faults.rig import Bench, World, open_bench, settings_for

GROUPS = (process_faults, node_faults, network_faults, chain_faults, zmq_faults, disk_faults)
RUNS_PER_BENCH = 40
TRANSACTIONS_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run: its fault and seed, the fates of its blocks, what was wrong with it, and how long it took."""

    case: str
    seed: str
    fates: Counter[Fate]
    problems: tuple[str, ...]
    recovery_secs: float
    secs: float

    @property
    def passed(self) -> bool:
        """Whether everything that is promised held."""
        return not self.problems


@dataclass(slots=True)
class Benches:
    """Benches by the number of their nodes, opened when first needed and replaced when spoiled or long in use."""

    binary: BitcoindBinary
    folder: Path
    _open: dict[int, tuple[Bench, ExitStack]] = field(default_factory=dict)
    _count: int = 0

    def get(self, nodes: int) -> Bench:
        """A bench that works."""
        if nodes not in self._open:
            stack = ExitStack()
            self._count += 1
            bench = stack.enter_context(open_bench(self.binary, self.folder / f"bench-{self._count}", nodes))
            self._open[nodes] = bench, stack
        return self._open[nodes][0]

    def drop(self, nodes: int) -> None:
        """Close it; the next `get` opens another."""
        if nodes in self._open:
            self._open.pop(nodes)[1].close()

    def close(self) -> None:
        """Close all."""
        for nodes in tuple(self._open):
            self.drop(nodes)


def run_case(benches: Benches, case: Case, seed: str) -> Outcome:
    """One run of one fault; never raises for what the daemon does. The folder of a run that failed is kept."""
    rng = random.Random(seed)
    started = time.monotonic()
    bench = benches.get(case.nodes)
    bench.runs += 1
    folder = benches.folder / f"run-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    settings = settings_for(bench, rng, folder)
    if case.fallback:
        settings["journal_fallback_dir"] = str(folder / "fallback")
    if case.templates_first:
        settings["empty_first"] = False
    world = World(bench, rng, folder, settings)
    fates: Counter[Fate] = Counter()
    problems: list[str] = []
    try:
        if rng.random() < TRANSACTIONS_SHARE and case.transactions:
            world.transactions()
        for site in bench.sites:
            site.save_point()
        case.inject(world)
        result = world.finish()
        fates, problems = result.fates, result.problems
    except (AssertionError, TimeoutError, OSError, SolominerError) as error:
        problems = [f"{type(error).__name__}: {error}"]
    finally:
        if world.daemon.is_running():
            world.daemon.kill()
            world.daemon.wait_end()
    (folder / "daemon.log").write_text("\n".join(world.daemon.lines))
    if problems:
        (folder / "problems.txt").write_text("\n".join(problems))
    else:
        shutil.rmtree(folder)
    if problems or case.spoils or bench.runs >= RUNS_PER_BENCH:
        benches.drop(case.nodes)
    return Outcome(case.name, seed, fates, tuple(problems), world.recovery_secs, time.monotonic() - started)


def plan(runs: int, seed: int, names: Sequence[str] | None = None) -> Iterator[tuple[Case, str]]:
    """Which fault each run gets and with what seed: each of them equally often, in a random order."""
    rng = random.Random(seed)
    wanted = list(names or CASES)
    number = 0
    while True:
        rng.shuffle(wanted)
        for name in wanted:
            if number >= runs:
                return
            number += 1
            yield CASES[name], f"{seed}-{number}"


def run_chaos(
    binary: BitcoindBinary,
    folder: Path,
    runs: int,
    seed: int,
    *,
    names: Sequence[str] | None = None,
    report: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """All runs, one after another; `report` gets each as it ends."""
    benches = Benches(binary, folder)
    outcomes = []
    try:
        for case, run_seed in plan(runs, seed, names):
            outcome = run_case(benches, case, run_seed)
            outcomes.append(outcome)
            report(outcome)
    finally:
        benches.close()
    return outcomes
