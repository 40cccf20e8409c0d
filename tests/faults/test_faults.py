"""A fixed, small part of what scripts/chaos does, on every landing: the daemon, real nodes, one fault each.

One fault of each kind, the worst of it. The seeds are fixed; a failure is repeated with scripts/chaos --repeat.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from solominer.node.private.bitcoind import find_bitcoind
from tests.faults.case import CASES
from tests.faults.chaos import Benches, plan, run_case
from tests.faults.supervisor import CLONE

pytestmark = pytest.mark.e2e

CHOSEN = (
    "daemon: kill -9 at the hit",
    "node: kill -9 right after null, which it then forgets",
    "node: power cut for node and daemon together",
    "submitblock: done by the node, its answer lost",
    "chain: reorganized past our blocks and back again",
    "two nodes: the preferred one is killed",
    "clock: ours two hours behind and back",
    "disk: full for a while, no second place",
    "journal: block.hex cut off after a power cut, the block without transactions",
)


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Benches]:
    """Real nodes behind proxies, for all tests here."""
    binary = find_bitcoind(None, CLONE / ".cache/bitcoind", report=print)
    opened = Benches(binary, tmp_path_factory.mktemp("faults"))
    yield opened
    opened.close()


@pytest.mark.parametrize("name", CHOSEN)
def test_no_block_is_lost(benches: Benches, name: str) -> None:
    outcome = run_case(benches, CASES[name], seed="ci")
    assert outcome.problems == ()
    assert outcome.fates.total() >= 2, "a run without blocks shows nothing"


def test_a_plan_repeats_by_its_seed_and_gives_every_fault_its_turn() -> None:
    first = [(case.name, seed) for case, seed in plan(3 * len(CASES), 5)]
    assert first == [(case.name, seed) for case, seed in plan(3 * len(CASES), 5)]
    names = [name for name, _ in first]
    assert {names.count(name) for name in CASES} == {3}
    assert names != [case.name for case, _ in plan(3 * len(CASES), 6)]
