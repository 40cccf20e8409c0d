"""What all tests of the Stratum server share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engines.stratum.wire import WireMiner


@pytest.fixture(autouse=True)
def _all_miners_leave() -> Iterator[None]:
    yield
    while WireMiner.opened:
        WireMiner.opened.pop().close()
