"""What all tests of Stratum V2 share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engines.stratum.v2.wire import V2WireMiner


@pytest.fixture(autouse=True)
def _all_v2_miners_leave() -> Iterator[None]:
    yield
    while V2WireMiner.opened:
        V2WireMiner.opened.pop().close()
