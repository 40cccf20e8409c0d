"""The control endpoints: what the daemon is asked, and what its answers become."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from solominer.chain.fields import Field
from solominer.daemon.control_socket import ControlServer
from solominer.errors import ConfigError
from tests.web.access_rig import Rig

REPLIES: dict[str, dict[str, Any]] = {
    "pause": {"pauses": ["by hand"]},
    "resume": {"pauses": []},
    "reload": {"changes": ["nice: 10 -> 5"]},
    "cores": {"changes": ["cpu_cores_reserved: 1 -> 2"]},
}
RECORD = "record"


@asynccontextmanager
async def daemon(folder: Path, refuses: bool = False) -> AsyncIterator[list[Any]]:
    """A control socket that answers REPLIES; yields the requests that it gets."""
    asked: list[Any] = []

    def answer(request: Field) -> dict[str, Any]:
        asked.append(request.value)
        if refuses:
            raise ConfigError("config.json is not JSON", "mend it")
        return REPLIES.get(request["do"].text(), {})

    folder.mkdir(exist_ok=True)
    server = ControlServer(folder, dict.fromkeys([*REPLIES, RECORD], answer))
    task = asyncio.create_task(server.run())
    while not server.path.exists():
        await asyncio.sleep(0.01)
    yield asked
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_daemon_is_asked_with_the_name_of_who_asks(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "r")
    async with daemon(tmp_path / "r") as asked, rig.client(rig.secret("control")) as client:
        for what, reply in REPLIES.items():
            body = {"reserved": 2} if what == "cores" else None
            answer = await client.post(f"/api/v1/control/{what}", json=body)
            assert (answer.status_code, answer.json()) == (200, reply)
    assert [each["do"] for each in asked] == list(REPLIES)
    assert {each["by"] for each in asked} == {"token t1 from 192.0.2.7"}
    assert asked[-1]["reserved"] == 2


async def test_calls_about_alerts_are_recorded_by_the_daemon(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "r")
    async with daemon(tmp_path / "r") as asked, rig.client(rig.secret("control")) as client:
        assert (await client.post("/api/v1/alerts/test")).status_code == 200
        assert (await client.post("/api/v1/alerts/mute", json={"secs": 60})).status_code == 200
    by = "token t1 from 192.0.2.7"
    assert asked == [
        {"do": RECORD, "what": "alerts test", "by": by, "result": ""},
        {"do": RECORD, "what": "alerts mute", "by": by, "result": "60 s"},
    ]
    async with rig.client(rig.secret("control")) as client:  # without a daemon it works too
        assert (await client.post("/api/v1/alerts/mute", json={"secs": 0})).status_code == 200


async def test_at_this_machine_the_name_is_the_address(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "127.0.0.1:3380")
    async with daemon(tmp_path) as asked, rig.local(Origin="http://127.0.0.1:3380") as client:
        assert (await client.post("/api/v1/control/pause")).json() == {"pauses": ["by hand"]}
    assert asked == [{"do": "pause", "by": "web from 127.0.0.1"}]


async def test_what_the_daemon_refuses_is_told(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "127.0.0.1:3380")
    async with daemon(tmp_path, refuses=True), rig.local() as client:
        answer = await client.post("/api/v1/control/reload")
        assert (answer.status_code, answer.json()) == (422, {"error": "config.json is not JSON", "todo": "mend it"})


async def test_without_a_daemon_it_says_so(tmp_path: Path) -> None:
    async with Rig(tmp_path, "127.0.0.1:3380").local() as client:
        answer = await client.post("/api/v1/control/pause")
        assert answer.status_code == 503
        assert answer.json()["todo"] == "start it with `solominer run`"


@pytest.mark.parametrize("reserved", [-1, 4097, 1.5, True, "1", None, [1], 10**30])
async def test_cores_are_a_whole_number(reserved: object, tmp_path: Path) -> None:
    async with daemon(tmp_path) as asked, Rig(tmp_path, "127.0.0.1:3380").local() as client:
        assert (await client.post("/api/v1/control/cores", json={"reserved": reserved})).status_code == 422
        assert (await client.post("/api/v1/control/cores", json={"cores": 1})).status_code == 422
        assert (await client.get("/api/v1/control/pause")).status_code in (404, 405)
    assert asked == []


@pytest.mark.parametrize("body", ["", "{", "reserved=2", "[1]"])
@pytest.mark.parametrize("media", ["application/json", "application/x-www-form-urlencoded"])
async def test_a_body_that_is_no_json_object_is_refused_in_words(body: str, media: str, tmp_path: Path) -> None:
    async with Rig(tmp_path, "127.0.0.1:3380").local() as client:
        answer = await client.post("/api/v1/control/cores", content=body, headers={"Content-Type": media})
        assert answer.status_code == 422
        assert answer.json()["error"] in ("the request's body is no JSON object", "the request's body: Field required")


async def test_a_parameter_that_is_wrong_is_named_with_its_bounds(tmp_path: Path) -> None:
    async with daemon(tmp_path), Rig(tmp_path, "127.0.0.1:3380").local() as client:
        answer = await client.post("/api/v1/control/cores", json={"reserved": -1})
        assert answer.json()["error"] == "reserved: must be greater than or equal to 0"
