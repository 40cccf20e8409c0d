"""Control calls: who asked for what is in the ledger, done or refused; reserved cores follow at once."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any

import pytest

from solominer.chain.fields import Field
from solominer.config.models import Config
from solominer.errors import BadValue, ConfigError
from solominer.governor.audit import UNNAMED
from solominer.governor.governor import BY_HAND
from tests.governor.test_governor import NOON, Bench


class Audited(Bench):
    """A governor whose ledger lines are kept, and the configurations that its engines were given."""

    def __init__(self, tmp_path: Path, **options: Any) -> None:
        self.lines: list[dict[str, Any]] = []
        self.applied: list[Config] = []
        super().__init__(tmp_path, note=self.note, apply=self.apply, **options)

    def note(self, at: float, kind: str, fields: Mapping[str, Any]) -> None:
        assert (at, kind) == (NOON, "control")
        self.lines.append(dict(fields))

    async def apply(self, config: Config) -> list[str]:
        self.applied.append(config)
        return ["more than 2 workers need a restart"] if config.cpu_cores_reserved == 0 else []

    async def call(self, do: str, **fields: Any) -> dict[str, Any]:
        answer = self.governor.handlers()[do](Field({"do": do, **fields}, "the request"))
        return await answer if isinstance(answer, Awaitable) else answer


async def test_every_control_call_is_recorded_with_who_made_it(tmp_path: Path) -> None:
    bench = Audited(tmp_path)
    await bench.call("pause", by="token phone from 192.0.2.7")
    await bench.call("resume", by="solominer resume")
    bench.next = bench.config(refresh_secs=7)
    await bench.call("reload")
    assert bench.lines == [
        {"what": "pause", "by": "token phone from 192.0.2.7", "ok": True, "result": f"paused: {BY_HAND}"},
        {"what": "resume", "by": "solominer resume", "ok": True, "result": "not paused"},
        {"what": "reload", "by": UNNAMED, "ok": True, "result": "refresh_secs: 30.0 -> 7.0"},
    ]


async def test_what_the_web_server_did_by_itself_is_recorded(tmp_path: Path) -> None:
    bench = Audited(tmp_path)
    assert await bench.call("record", what="alerts mute", by="token phone", result="60 s") == {}
    assert bench.lines == [{"what": "alerts mute", "by": "token phone", "ok": True, "result": "60 s"}]
    with pytest.raises(BadValue):
        await bench.call("record", what="alerts mute")


async def test_asking_for_the_status_is_not(tmp_path: Path) -> None:
    bench = Audited(tmp_path)
    assert {"pause", "resume", "reload", "cores", "record", "status"} == bench.governor.handlers().keys()
    with pytest.raises(pytest.fail.Exception):  # the bench has no snapshot
        await bench.call("status", by="x")
    assert bench.lines == []


async def test_what_was_refused_is_recorded_too(tmp_path: Path) -> None:
    bench = Audited(tmp_path)
    bench.next = ConfigError("config.json is not JSON", "mend it")
    with pytest.raises(ConfigError):
        await bench.call("reload", by="me")
    await bench.governor.reload_by_signal()
    with pytest.raises(BadValue):
        await bench.call("cores", by="me", reserved=4097)
    assert [(line["what"], line["by"], line["ok"]) for line in bench.lines] == [
        ("reload", "me", False),
        ("reload", "SIGHUP", False),
        ("cores", "me", False),
    ]
    assert bench.lines[0]["result"] == "config.json is not JSON"


@pytest.mark.parametrize("by", ["x" * 201, 7, ["a"], {"a": 1}])
async def test_a_caller_without_a_proper_name_is_refused_before_anything_is_done(tmp_path: Path, by: object) -> None:
    bench = Audited(tmp_path)
    with pytest.raises(BadValue):
        await bench.call("pause", by=by)
    assert bench.governor.pauses == []
    assert bench.lines == []


async def test_a_name_with_control_characters_is_escaped(tmp_path: Path) -> None:
    bench = Audited(tmp_path)
    await bench.call("pause", by="a\x1b[2J\nb\u202e")
    assert bench.lines[0]["by"] == "a\\x1b[2J\\nb\\u202e"


async def test_reserved_cores_reach_the_engines_until_the_next_reload(tmp_path: Path) -> None:
    bench = Audited(tmp_path, config={"cpu_cores_reserved": 1})
    assert await bench.call("cores", reserved=3) == {"changes": ["cpu_cores_reserved: 1 -> 3"]}
    assert bench.applied[-1].cpu_cores_reserved == 3
    restart = "more than 2 workers need a restart"
    assert await bench.call("cores", reserved=0) == {"changes": ["cpu_cores_reserved: 3 -> 0", restart]}
    bench.next = bench.config(cpu_cores_reserved=1)
    assert await bench.call("reload") == {"changes": ["cpu_cores_reserved: 0 -> 1"]}
    assert bench.lines[1]["result"] == f"cpu_cores_reserved: 3 -> 0; {restart}"


async def test_cores_are_not_reserved_where_the_number_of_workers_is_set(tmp_path: Path) -> None:
    bench = Audited(tmp_path, config={"cpu_workers": 2})
    with pytest.raises(ConfigError, match="cpu_workers is set to 2"):
        await bench.call("cores", reserved=1)
    assert bench.applied == []
    assert bench.governor.config.cpu_cores_reserved == 1
