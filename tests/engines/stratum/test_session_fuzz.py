"""Arbitrary bytes and half-right requests never raise, and whatever is sent back is lines of JSON.

SOLOMINER_FUZZ_EXAMPLES sets the number of examples, 150 if it is not set.
"""

from __future__ import annotations

import json
import os

from hypothesis import given, settings
from hypothesis import strategies as st

from solominer.engines.stratum.session import _HANDLERS
from solominer.engines.stratum.shared import PayTo
from tests.engines.stratum.builders import P2WPKH, Client, make_shared, make_work

EXAMPLES = int(os.environ.get("SOLOMINER_FUZZ_EXAMPLES", "150"))

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | st.sampled_from(["rig.1", "1000", "1001", "0" * 16, "6b49d200", "00000000", "1fffe000", "version-rolling"])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=30), inner, max_size=4)
)
requests = st.fixed_dictionaries(
    {"id": values, "method": st.sampled_from(sorted(_HANDLERS)) | st.text(max_size=20)},
    optional={"params": st.lists(scalars, max_size=8) | values},
).map(lambda request: json.dumps(request).encode() + b"\n")
packets = st.lists(st.binary(max_size=100) | requests, max_size=30)


@settings(max_examples=EXAMPLES, deadline=None)
@given(packets, st.sampled_from(list(PayTo)), st.booleans(), st.lists(st.floats(0, 100), min_size=30, max_size=30))
def test_a_session_takes_anything(data: list[bytes], pay_to: PayTo, login: bool, waits: list[float]) -> None:
    shared = make_shared(make_work(), pay_to=pay_to)
    client = Client(shared)
    if login:
        client.login()
    for packet, wait in zip(data, waits, strict=False):
        output = client.session.receive(packet, client.now)
        assert output.data == b"" or output.data.endswith(b"\n")
        if not output.data.startswith(b"HTTP"):
            for line in output.data.splitlines():
                assert isinstance(json.loads(line), dict)
        client.now += wait
        if wait > 90:
            shared.board.publish(make_work(int(client.now), tip=int(client.now)), client.now)
            client.take(client.session.work_changed(client.now))
        client.take(client.session.tick(client.now))
        for event in output.events:
            address = getattr(event, "address", "")
            if address:
                client.take(client.session.address_resolved(address, P2WPKH, "", client.now))
    client.session.closed(client.now)
