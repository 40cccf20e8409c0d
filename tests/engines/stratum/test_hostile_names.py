"""Names that a stranger chooses, in both protocols: short printable ASCII before anything else sees them."""

from __future__ import annotations

import pytest

from solominer.engines.cluster.messages import MINER, Beat, WorkerBeat
from solominer.engines.stratum.events import Authorized
from solominer.engines.stratum.names import MAX_ADDRESS, MAX_USER_AGENT, MAX_WORKER_NAME
from tests.engines.stratum.builders import Client, make_shared, make_work
from tests.engines.stratum.v2.miner import Miner, extended

NAMES = {
    "control characters": "rig\x00\x07\r\n\x1b[2J\x7f\x9b",
    "right to left": "rig\u202etxt.exe\u2066",
    "quotes and slashes": "a\"}'\\../../etc/passwd",
    "wildcards": "solominer/+/#,$SYS/x",
    "html": "<img src=x onerror=alert(1)>&amp;",
    "a formula": "=HYPERLINK(1);+1,-1@",
    "beyond ascii": "\U0001f525" * 60,
    "as long as an address": "a" * 20 + "." + "b" * 230,
    "long": "b" * 250,
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("is_v2", [False, True])
def test_a_name_is_short_printable_ascii(name: str, is_v2: bool) -> None:
    client: Client | Miner
    if is_v2:
        client = Miner(make_shared(make_work()))
        client.open(extended(user=name), vendor=name, hardware_version=name, firmware=name)
    else:
        client = Client(make_shared(make_work()))
        client.login(name, user=name)
    (worker,) = (event.worker for event in client.of(Authorized))
    assert worker.name.isascii()
    assert worker.name.isprintable()
    assert 0 < len(worker.name) <= MAX_ADDRESS + 1 + MAX_WORKER_NAME
    agent = client.session.user_agent
    assert agent.isascii()
    assert agent.isprintable()
    assert len(agent) <= MAX_USER_AGENT
    beat = Beat(1, bytes(16), 1, (WorkerBeat(MINER + worker.name, agent, "hashing", 0, 0.0, 0),))
    assert Beat.unpack(beat.pack()) == beat, "the head of a cluster shows the same"
