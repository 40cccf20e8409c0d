"""The bench on which faults are tried: real nodes behind proxies that misbehave, and the daemon in front of them."""

from __future__ import annotations

import json
import random
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from regtest.scenarios import coins_address, mine_blocks, mixed_transactions, node_args
from solominer.node.private.bitcoind import BitcoindBinary
from solominer.node.private.node import PrivateNode
from tests.faults.block_fates import RunResult, check_blocks
from tests.faults.rpc_proxy import Fault, Kind, RpcProxy
from tests.faults.supervisor import ACCEPTED, FOUND, PATIENCE_SECS, Daemon, DaemonEnded
from tests.faults.zmq_proxy import ZmqMode, ZmqProxy

PACE_SECS = 0.04
RPC_TIMEOUT_SECS = 1.5
LAST_BLOCKS = 2
SETTLE_SECS = 10.0
NEVER_EXPECTED = re.compile(
    r"\[(job-refused|block-rejected|proposal-failed|template-invalid|block-not-kept)\]|Traceback"
)


@dataclass(slots=True)
class Site:
    """A node with its proxies."""

    name: str
    node: PrivateNode
    rpc: RpcProxy
    hashblock: ZmqProxy
    sequence: ZmqProxy

    def zmq(self, mode: ZmqMode) -> None:
        """Set both publishers."""
        self.hashblock.mode = self.sequence.mode = mode

    def heal(self) -> None:
        """No faults any more; a node that was killed runs again."""
        self.rpc.heal()
        self.zmq(ZmqMode.PASS)
        self.node.start()

    def save_point(self) -> None:
        """Have the node write its chain down, so that a kill loses nothing from before the run."""
        self.node.call("gettxoutsetinfo", "none")

    def settings(self) -> dict[str, object]:
        """This node's part of config.json."""
        return {
            "name": self.name,
            "port": self.rpc.port,
            "cookie_file": str(self.node.cookie_file),
            "timeout_secs": RPC_TIMEOUT_SECS,
        }

    def publishers(self) -> dict[str, str]:
        """Its ZMQ addresses as in config.json."""
        return {"hashblock": self.hashblock.address, "sequence": self.sequence.address}


@dataclass(slots=True)
class Bench:
    """Nodes that serve many runs, until a fault spoils them."""

    sites: list[Site]
    folder: Path
    runs: int = 0

    @property
    def left(self) -> Site:
        """The preferred node."""
        return self.sites[0]

    @property
    def right(self) -> Site:
        """The second one, where there are two."""
        return self.sites[1]

    def cut(self) -> None:
        """Part the nodes from each other."""
        for site in self.sites:
            site.node.call("setnetworkactive", False)

    def join(self) -> None:
        """Join them again and wait until they agree."""
        if len(self.sites) < 2:
            return
        for site in self.sites:
            site.node.call("setnetworkactive", True)
        self.left.node.call("addnode", f"127.0.0.1:{self.right.node.p2p_port}", "onetry")
        deadline = time.monotonic() + SETTLE_SECS
        while len({site.node.call("getbestblockhash") for site in self.sites}) > 1:
            if time.monotonic() > deadline:  # equal work on both sides: one more block decides
                raise TimeoutError("the nodes did not meet")
            heights = [int(site.node.call("getblockcount")) for site in self.sites]
            if heights[0] == heights[1]:
                mine_blocks(self.left.node, 1)
            time.sleep(0.05)


@contextmanager
def open_bench(
    binary: BitcoindBinary, folder: Path, nodes: int, *, extra_args: Sequence[str] = (), pace_secs: float = PACE_SECS
) -> Iterator[Bench]:
    """`nodes` fresh regtest nodes behind proxies, joined, with mature coins for transactions; gone at the end."""
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        sites = []
        for name in ("left", "right")[:nodes]:
            node = PrivateNode(binary, folder / name, extra_args=(*node_args(binary.version), *extra_args))
            stack.enter_context(node)
            sites.append(
                Site(
                    name,
                    node,
                    stack.enter_context(RpcProxy(node.rpc_port, pace_secs=pace_secs)),
                    stack.enter_context(ZmqProxy(node.zmq_hashblock)),
                    stack.enter_context(ZmqProxy(node.zmq_sequence)),
                )
            )
        mine_blocks(sites[0].node, 110)
        bench = Bench(sites, folder)
        bench.join()
        yield bench


@dataclass(slots=True)
class World:
    """One run: a daemon with a fresh data folder on a bench, and a seeded source of chance."""

    bench: Bench
    rng: random.Random
    folder: Path
    settings: dict[str, object]
    daemon: Daemon = field(init=False)
    first_submitted: dict[str, int] = field(init=False)
    recovery_secs: float = 0.0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.first_submitted = {site.name: len(site.rpc.submitted) for site in self.bench.sites}
        config = self.folder / "config.json"
        self.daemon = Daemon(config, self.folder / "control")
        config.write_text(json.dumps(self.settings, indent=2))

    @property
    def data_dir(self) -> Path:
        """The daemon's data folder."""
        return self.folder / "data"

    @property
    def fallback_dir(self) -> Path:
        """The journal's second place."""
        return self.folder / "fallback"

    # Steps that faults are made of

    def mine(self, blocks: int | None = None) -> None:
        """Start the daemon and let it have a few blocks accepted (1 to 3 unless told)."""
        self.daemon.start()
        self.more(self.rng.randint(1, 3) if blocks is None else blocks)

    def more(self, blocks: int = 1, timeout_secs: float = PATIENCE_SECS) -> None:
        """Wait for further blocks that the daemon says are accepted."""
        self.daemon.wait_lines(ACCEPTED, blocks, since=len(self.daemon.lines), timeout_secs=timeout_secs)

    def at_hit(self, act: Callable[[str, int], None]) -> None:
        """Call `act` with hash and height of the next block, in the moment in which the daemon says it found it."""
        done = False

        def hear(line: str) -> None:
            nonlocal done
            if not done and (found := FOUND.search(line)):
                done = True
                act(found[2], int(found[1]))

        self.daemon.on_line.append(hear)

    def at_line(self, pattern: str, act: Callable[[], None]) -> None:
        """Call `act` at the next line that matches."""
        wanted = re.compile(pattern)
        done = False

        def hear(line: str) -> None:
            nonlocal done
            if not done and wanted.search(line):
                done = True
                act()

        self.daemon.on_line.append(hear)

    def journal_folder(self, hash_hex: str) -> Path | None:
        """The folder of a block in the journal, once it is there."""
        return next(self.data_dir.rglob(f"*-{hash_hex}"), None)

    def was_answered(self, words: str) -> bool:
        """Whether a node has answered so to a submission, by the journal."""
        return any(words in path.read_text() for path in self.data_dir.rglob("submissions.jsonl"))

    def nap(self, least_secs: float, most_secs: float) -> None:
        """Let a random time pass: how long a fault lasts, never what a test waits for."""
        time.sleep(self.rng.uniform(least_secs, most_secs))

    @staticmethod
    def later(act: Callable[[], None]) -> None:
        """Do it in a thread of its own, beside the connection that is being served."""
        threading.Thread(target=act, daemon=True).start()

    @staticmethod
    def until(holds: Callable[[], bool], timeout_secs: float = PATIENCE_SECS) -> None:
        """Wait for it. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_secs
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError("what the fault waits for did not happen")
            time.sleep(0.002)

    def expect_end(self, code: int) -> None:
        """Wait for the daemon's end, which must be this one. Raises DaemonEnded."""
        seen = self.daemon.wait_end()
        if seen != code:
            raise DaemonEnded(f"the daemon ended with {seen}, not {code}")

    def pause_chain(self) -> None:
        """Hold the daemon's work up until `resume_chain`, so that the tip stays where it is put."""
        for site in self.bench.sites:
            site.rpc.set(*(Fault(Kind.HTTP_503, method, times=None) for method in ("getblocktemplate", "submitblock")))

    def resume_chain(self) -> None:
        """Let it work on."""
        for site in self.bench.sites:
            site.rpc.set()

    def transactions(self) -> None:
        """Give the node a few transactions of all kinds."""
        mixed_transactions(self.bench.left.node, 8, seed=self.rng.randrange(1 << 30))

    # The end

    def finish(self) -> RunResult:
        """Faults off, the daemon up again; it must mine on, end cleanly on SIGTERM, and have lost nothing."""
        for site in self.bench.sites:
            site.heal()
        self.bench.join()
        if self.daemon.is_running():
            since = time.monotonic()
            self.more(LAST_BLOCKS)
        else:
            since = time.monotonic()
            self.mine(LAST_BLOCKS)
        self.recovery_secs = time.monotonic() - since
        self._wait_for_deliveries()
        code = self.daemon.stop()
        result = self.check_blocks()
        if code != 0:
            result.problems.append(f"the daemon ended with {code} on SIGTERM")
        result.problems += [line for line in self.daemon.lines if NEVER_EXPECTED.search(line)]
        return result

    def check_blocks(self) -> RunResult:
        """What became of every block, as of now."""
        sites = [site.node for site in self.bench.sites]
        return check_blocks(sites, self._solved(), [self.data_dir, self.fallback_dir])

    def _solved(self) -> set[str]:
        """Every block so far: those that the daemon said it found, and those that it sent without living to say so."""
        solved = set(self.daemon.found_hashes())
        for site in self.bench.sites:
            solved.update(site.rpc.submitted[self.first_submitted[site.name] :])
        return solved

    def _wait_for_deliveries(self) -> None:
        """Until nothing found before now is missing: what a retry or a replay still has under way gets its time."""
        deadline = time.monotonic() + SETTLE_SECS
        before = self._solved()
        while time.monotonic() < deadline:
            missing = [text for text in self.check_blocks().problems if any(each in text for each in before)]
            if not missing:
                return
            if not self.daemon.is_running():
                raise DaemonEnded("the daemon ended while blocks were still under way")
            time.sleep(0.1)


def settings_for(bench: Bench, rng: random.Random, folder: Path) -> dict[str, object]:
    """A config.json for a run: short waits, and what may differ between users left to chance."""
    left, *others = bench.sites
    return {
        "mode": "regtest",
        "data_dir": str(folder / "data"),
        "bitcoin_rpc": left.settings(),
        "zmq": left.publishers(),
        "more_nodes": [{**site.settings(), "zmq": site.publishers()} for site in others],
        "payout_address": coins_address(left.node),
        "cpu_cores_reserved": rng.choice([0, 1]),
        "empty_first": rng.choice([True, False, None]),
        "refresh_secs": 2.0,
        "stale_secs": 3.0,
        "poll_secs": rng.choice([0.25, 1.0]),
        "retry": {"first_secs": 0.1, "most_secs": 1.0, "look_secs": 1.0},
    }
