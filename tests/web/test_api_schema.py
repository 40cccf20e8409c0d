"""Schemathesis against the running server: any parameters, valid or not; each answer is as the description says.

With API_CASES the number of requests for each endpoint and kind of data, else 15. scripts/nightly makes 5,000 in all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from solominer.views.snapshot import encode
from solominer.web.api import doctor
from tests.web.records import RecentHours
from tests.web.serving import Served, serving, setup_of
from tests.web.states import snapshot

CASES = int(os.environ.get("API_CASES", "15"))
ENDLESS = "/api/v1/events"

FINDINGS = {
    "at": 1.5,
    "ok": True,
    "findings": [{"check": "node", "status": "ok", "evidence": "e", "todo": "", "subject": "", "secs": 0.0}],
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Any]]:
    """A server on records, with the state of a daemon, and the description that it serves."""
    recent = RecentHours(tmp_path_factory.mktemp("api"))

    async def kept(command: object) -> bytes:
        return orjson.dumps(FINDINGS)

    with pytest.MonkeyPatch.context() as patch, serving(setup_of(recent.bench.root)) as served:
        patch.setattr(doctor, "_kept", kept)
        served.site.feed._take(b'{"ok":true,"status":' + encode(snapshot()) + b"}\n")
        yield served, schemathesis.openapi.from_url(f"{served.url}/api/openapi.json")
    recent.close()


def operations(api: Any) -> dict[str, Any]:
    """Every GET of the description by its path."""
    found = (result.ok() for result in api.get_all_operations())
    return {operation.path: operation for operation in found if operation.method == "get" and operation.path != ENDLESS}


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_as_described(api: tuple[Served, Any], mode: GenerationMode) -> None:
    _, description = api
    known = operations(description)
    assert len(known) >= 14
    made = {
        path: asked(operation, mode)
        for path, operation in known.items()
        if mode is GenerationMode.POSITIVE or operation.path_parameters or operation.query
    }
    print(sum(made.values()), "requests:", made)  # noqa: T201 - with -s
    assert min(made.values()) >= 1


def asked(operation: Any, mode: GenerationMode) -> int:
    """Ask with many parameters and check each answer; the number of requests."""
    count = 0

    @settings(max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        nonlocal count
        case.call_and_validate()
        count += 1

    ask()
    return count


@pytest.mark.parametrize("path", ["reports/{part}", "reports/{part}/best-share", "days/{date}", "blocks/{hash}/proof"])
def test_what_exists_is_as_described(api: tuple[Served, Any], path: str) -> None:
    """Made-up names hardly ever exist, so those that do are asked for by name."""
    served, description = api
    part = served.get("reports")["reports"][0]["part"]
    names = {"part": part, "date": part[:10], "hash": served.get("blocks")["blocks"][0]["hash"]}
    operation = operations(description)[f"/api/v1/{path}"]
    names = {name: value for name, value in names.items() if f"{{{name}}}" in path}
    assert operation.Case(path_parameters=names).call_and_validate().status_code == 200
