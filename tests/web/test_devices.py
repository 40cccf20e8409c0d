"""The device monitor on fakes of each form, and broken in each way."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parse

from solominer.config.devices import DeviceConfig, DevicePolling
from solominer.config.web import WebConfig
from solominer.views.snapshot import Snapshot
from solominer.web.app import create_app
from solominer.web.devices import axeos, http
from solominer.web.devices.device import COOLER_C, Device, DeviceMonitor, DeviceState
from solominer.web.devices.pyasic_client import PyasicProcess
from solominer.web.devices.reading import MOST, Reading, WrongKind, number, pool
from solominer.web.devices.view import OurPlaces
from solominer.web.setup import WebSetup
from solominer.web.site import Site
from tests.ports import free_port
from tests.web.fake_devices import BITAXE, NERDQAXE, OLD_BITAXE, FakeDevice, in_chunks, page
from tests.web.site import status, tell


async def asked(answer: bytes | dict[str, Any] | None, **config: Any) -> Device:
    """A device after one question."""
    async with FakeDevice(answer).serving() as fake:
        device = Device(DeviceConfig(host=fake.host, kind="axeos", **config), offline_after=2)
        await device.ask(PyasicProcess())
    return device


async def read(answer: bytes | dict[str, Any]) -> Reading:
    device = await asked(answer)
    assert device.problem == ""
    assert device.reading is not None
    return device.reading


# --- the forms -------------------------------------------------------------------------------------------------------


async def test_a_bitaxe() -> None:
    async with FakeDevice(BITAXE).serving() as fake:
        device = Device(DeviceConfig(host=fake.host), 3)
        await device.ask(PyasicProcess())
    assert [each.split("\r\n")[0] for each in fake.asked] == ["GET /api/system/info HTTP/1.1"]
    assert device.reading == Reading(
        kind="axeos", model="BM1370", firmware="v2.9.0", hostname="bitaxe-kitchen", rate_hps=1213.4e9, temp_c=58.4,
        vr_temp_c=51.0, power_w=18.3, fan_rpm=4210.0, uptime_secs=302400.0, shares_accepted=1102, shares_rejected=3,
        best_session_difficulty=2100000.5, best_ever_difficulty=4.29e9, pools=("192.168.1.20:3333",),
    )  # fmt: skip
    assert device.reading.j_per_th == pytest.approx(18.3 / 1.2134)
    assert device.state is DeviceState.HASHING


async def test_a_bitaxe_with_old_firmware() -> None:
    old, new = await read(OLD_BITAXE), await read(BITAXE)
    assert (old.best_ever_difficulty, old.best_session_difficulty) == (4.29e9, 2.1e6)
    assert old.rate_hps == new.rate_hps


async def test_a_nerdqaxe_answers_in_chunks() -> None:
    found = await read(in_chunks(json.dumps(NERDQAXE).encode()))
    assert (found.model, found.rate_hps, found.power_w) == ("NerdQAxe++", 4812.5e9, 76.25)
    assert (found.best_session_difficulty, found.best_ever_difficulty) == (7.4e10, 3.2e11)
    assert found.pools == ("192.168.1.20:3333",)


@pytest.mark.parametrize(
    ("changes", "pools"),
    [
        ({"stratumURL": "stratum+tcp://Solo.Example.org:3333/", "stratumPort": 9}, ("solo.example.org:3333",)),
        ({"isUsingFallbackStratum": 1}, ("203.0.113.7:3333",)),
        ({"isUsingFallbackStratum": True, "fallbackStratumURL": ""}, ()),
        ({"stratum": {"activePoolMode": 0, "usingFallback": True}}, ("203.0.113.7:3333",)),
        ({"stratum": {"activePoolMode": 1}}, ("192.168.1.20:3333", "203.0.113.7:3333")),
        ({"stratum": [], "stratumURL": None}, ()),
        ({"stratumPort": "3333"}, ("192.168.1.20:3333",)),
        ({"stratumPort": "many"}, ("192.168.1.20",)),
    ],
)
def test_pools_that_it_mines_on(changes: dict[str, Any], pools: tuple[str, ...]) -> None:
    assert axeos.reading(NERDQAXE | changes).pools == pools


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("4.29G", 4.29e9), ("512", 512.0), ("1.5 k", 1500.0), ("2T", 2e12), ("0.00", 0.0), (7.5, 7.5), (3, 3.0),
        ("", None), ("NaN", None), ("4.29X", None), ("1e999", None), (None, None), (True, None), (-1, None), ([], None),
        ("9" * 400 + "E", None), (10**400, None),
    ],
)  # fmt: skip
def test_difficulties(said: Any, meant: float | None) -> None:
    assert axeos.difficulty(said) == meant


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(changes=st.dictionaries(st.sampled_from(sorted(NERDQAXE)), ANY))
def test_whatever_it_says_becomes_a_reading(changes: dict[str, Any]) -> None:
    found = axeos.reading(NERDQAXE | changes)
    for name in ("rate_hps", "temp_c", "power_w", "fan_rpm", "uptime_secs", "best_ever_difficulty", "j_per_th"):
        value = getattr(found, name)
        assert value is None or (type(value) is float and math.isfinite(value) and value >= 0)
    assert all(isinstance(each, str) and each.isprintable() for each in (found.model, found.hostname, *found.pools))


@pytest.mark.parametrize(
    ("field", "value", "name"),
    [
        ("hashRate", "fast", "rate_hps"),
        ("hashRate", -5, "rate_hps"),
        ("temp", -1, "temp_c"),
        ("temp", 0, "temp_c"),
        ("temp", 4000, "temp_c"),
        ("vrTemp", None, "vr_temp_c"),
        ("power", {}, "power_w"),
        ("sharesAccepted", "none", "shares_accepted"),
        ("uptimeSeconds", MOST * 2, "uptime_secs"),
    ],
)
def test_a_field_that_makes_no_sense_is_unknown_and_the_others_remain(field: str, value: Any, name: str) -> None:
    found = axeos.reading(BITAXE | {field: value})
    assert getattr(found, name) is None
    assert found.hostname == "bitaxe-kitchen"
    missing = axeos.reading({key: each for key, each in BITAXE.items() if key != field})
    assert getattr(missing, name) is None


async def test_a_number_that_is_none_spoils_only_itself() -> None:
    body = json.dumps(BITAXE).replace("58.4", "NaN").replace("18.3", "Infinity").encode()
    found = await read(page(body))
    assert (found.temp_c, found.power_w, found.j_per_th) == (None, None, None)
    assert found.rate_hps == 1213.4e9


# --- broken in each way ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (page(b"", "302 Found", "Location: http://127.0.0.1:1/"), "it answered with status 302"),
        (page(b"{}", "404 Not Found"), "it answered with status 404"),
        (page(b"", "401 Unauthorized"), "it answered 401"),
        (page(b"<html>"), "its answer is not a JSON object"),
        (page(b"[1, 2]"), "its answer is not a JSON object"),
        (page(b"\xff\xfe{}"), "its answer is not a JSON object"),
        (page(b'{"a":' + b"[" * 30_000), "its answer is not a JSON object"),
        (page(b'{"hashRate":' + b"9" * 5000 + b"}"), "its answer is not a JSON object"),
        (page(json.dumps(BITAXE).encode())[:-40], "its answer is not a JSON object"),
        (page(b"{}"), "its answer is not that of AxeOS"),
        (page(b'{"a":"' + b"x" * http.MOST_BYTES + b'"}'), "its answer is longer than 65536 bytes"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "its answer is not HTTP"),
        (b"", "it closes connections without an answer"),
    ],
)
async def test_an_answer_that_cannot_be_used(answer: bytes, problem: str) -> None:
    device = await asked(answer)
    assert device.problem.startswith(problem)
    assert (device.state, device.reading, device.failures) == (None, None, 1)


async def test_an_answer_without_end_is_cut_off() -> None:
    async with FakeDevice(b"HTTP/1.1 200 OK\r\n\r\n").serving() as fake:
        fake.endless = b" " * 10_000
        device = Device(DeviceConfig(host=fake.host, kind="axeos"), 1)
        await device.ask(PyasicProcess())
    assert device.problem.startswith("its answer is longer than")


async def test_one_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT_SECS", 0.1)
    assert (await asked(None)).problem.startswith("it does not answer")


async def test_one_that_answers_a_byte_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT_SECS", 0.2)
    async with FakeDevice(b"HTTP/1.1 200 OK\r\n").serving() as fake:
        fake.endless, fake.pause_secs = b"X", 0.02
        device = Device(DeviceConfig(host=fake.host, kind="axeos"), 1)
        await device.ask(PyasicProcess())
    assert device.problem.startswith("it does not answer")


async def test_one_that_is_not_there_and_a_name_that_nobody_has() -> None:
    for host, problem in (
        (f"127.0.0.1:{free_port()}", "it refuses connections on port"),
        ("no-such-miner.invalid", "its name is unknown"),
        ("255.255.255.255", "it cannot be reached"),
    ):
        device = Device(DeviceConfig(host=host, kind="axeos"), 1)
        await device.ask(PyasicProcess())
        assert device.problem.startswith(problem)


# --- states ----------------------------------------------------------------------------------------------------------


def test_offline_after_failures_in_a_row_and_back_by_itself() -> None:
    device = Device(DeviceConfig(host="10.0.0.1"), offline_after=3)
    for _ in range(2):
        device.fail("no answer")
        device.fail("no answer")
        assert device.state is not DeviceState.OFFLINE
        device.take(axeos.reading(BITAXE), 100.0)
        assert (device.state, device.failures, device.problem) == (DeviceState.HASHING, 0, "")
    for _ in range(3):
        device.fail("no answer")
    assert (device.state, device.seen_at) == (DeviceState.OFFLINE, 100.0)
    device.take(axeos.reading(BITAXE | {"hashRate": 0}), 200.0)
    assert device.state is DeviceState.IDLE


@pytest.mark.parametrize(
    ("changes", "config", "state"),
    [
        ({"temp": axeos.HOT_C - 0.1}, {}, DeviceState.HASHING),
        ({"temp": axeos.HOT_C}, {}, DeviceState.HOT),
        ({"temp": axeos.HOT_C}, {"hot_c": 75}, DeviceState.HASHING),
        ({"temp": 60}, {"hot_c": 55}, DeviceState.HOT),
        ({"vrTemp": axeos.VR_HOT_C}, {}, DeviceState.HOT),
        ({"overheat_mode": 1, "hashRate": 0}, {}, DeviceState.HOT),
        ({"shutdown": True}, {}, DeviceState.HOT),
        ({"hashRate": None}, {}, DeviceState.IDLE),
    ],
)
def test_hot_or_idle(changes: dict[str, Any], config: dict[str, Any], state: DeviceState) -> None:
    device = Device(DeviceConfig(host="10.0.0.1", **config), 3)
    device.take(axeos.reading(BITAXE | changes), 1.0)
    assert device.state is state


def test_a_hot_device_is_cool_only_well_below_its_limit() -> None:
    device = Device(DeviceConfig(host="10.0.0.1"), 3)
    states = []
    for temp in (70, 69.9, 70 - COOLER_C + 0.1, 70 - COOLER_C - 0.1, 69.9):
        device.take(axeos.reading(BITAXE | {"temp": temp}), 1.0)
        states.append(device.state)
    hot, cool = DeviceState.HOT, DeviceState.HASHING
    assert states == [hot, hot, hot, cool, cool]


# --- whose work it does ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pools", "here"),
    [
        (["192.168.1.20:3333"], True),
        (["127.0.0.1:3333"], True),
        (["miner.lan:3333"], True),
        (["[fd00::5]:3333"], True),
        (["192.168.1.20:4444"], False),
        (["203.0.113.7:3333"], False),
        (["203.0.113.7:3333", "192.168.1.20:3333"], True),
        (["solo.example.org:3333"], None),
        (["solo.example.org:4444"], False),
        ([], None),
    ],
)
def test_mines_here(pools: list[str], here: bool | None) -> None:
    urls = ["stratum+tcp://192.168.1.20:3333", "stratum+tcp://[fd00::5]:3333", "unix:/run/stratum.sock"]
    assert OurPlaces(urls, ["Miner.lan"]).has(pools) is here


def test_without_a_stratum_server_nobody_mines_here() -> None:
    assert OurPlaces([], []).has(["127.0.0.1:3333"]) is False


@pytest.mark.parametrize(
    ("host", "port", "place"),
    [
        ("a.org", 3333, "a.org:3333"),
        ("stratum+ssl://a.org:1/x", 3333, "a.org:1"),
        ("stratum+tcp://me:secret@a.org", 3333, "a.org:3333"),
        ("[::1]", 3333, "[::1]:3333"),
        ("a.org", None, "a.org"),
        ("", 3333, ""),
        (None, 3333, ""),
    ],
)
def test_places_of_pools(host: Any, port: Any, place: str) -> None:
    assert pool(host, port) == place


def test_numbers() -> None:
    assert [number(each) for each in (1, "2.5", 0, True, "x", -1, math.nan, math.inf, None)] == [
        1.0, 2.5, 0.0, None, None, None, None, None, None,
    ]  # fmt: skip


# --- the monitor, the API and the metrics ----------------------------------------------------------------------------


async def reaches(device: Device, state: DeviceState) -> None:
    while device.state is not state:
        await asyncio.sleep(0.005)


async def test_the_monitor_asks_again_and_finds_who_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = FakeDevice(BITAXE), FakeDevice(page(b"", "500 Error"))
    async with good.serving(), bad.serving():
        configs = tuple(DeviceConfig(host=each.host, kind="axeos") for each in (good, bad))
        quick = DevicePolling().model_copy(update={"interval_secs": 0.01, "offline_after": 3})
        monitor = DeviceMonitor(configs, quick)
        first, second = monitor.devices
        running = asyncio.create_task(monitor.run())
        async with asyncio.timeout(20):
            await reaches(second, DeviceState.OFFLINE)
            await reaches(first, DeviceState.HASHING)
            bad.answer = NERDQAXE
            await reaches(second, DeviceState.HASHING)
            while len(good.asked) <= 2:
                await asyncio.sleep(0.005)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def site_with(folder: Path, *configs: DeviceConfig) -> Site:
    return Site.of(
        WebSetup(folder=folder, network="regtest", simulated=False, web=WebConfig(hosts=("m.lan",)), devices=configs)
    )


async def fetch(site: Site, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(create_app(site))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:3380") as client:
        return await client.get(path)


def with_stratum() -> Snapshot:
    return status(stratum_urls=("stratum+tcp://192.168.1.20:3333",))


async def test_the_api_has_what_they_said(tmp_path: Path) -> None:
    site = site_with(tmp_path, DeviceConfig(host="10.0.0.1", name="kitchen"), DeviceConfig(host="10.0.0.2:8080"))
    first, second = site.devices.devices
    first.take(axeos.reading(BITAXE), 1000.0)
    tell(site, with_stratum())
    answer = (await fetch(site, "/api/v1/devices")).json()
    assert (answer["interval_secs"], answer["offline_after"]) == (30.0, 3)
    kitchen, other = answer["devices"]
    expected = {
        "name": "kitchen", "host": "10.0.0.1", "kind": "axeos", "state": "hashing", "seen_at": 1000.0,
        "rate_hps": 1213.4e9, "temp_c": 58.4, "hot_c": 70.0, "power_w": 18.3, "best_session_difficulty": 2100000.5,
        "best_ever_difficulty": 4.29e9, "shares_accepted": 1102, "shares_rejected": 3, "mines_here": True,
    }  # fmt: skip
    assert {name: kitchen[name] for name in expected} == expected
    assert kitchen["j_per_th"] == pytest.approx(15.08, abs=0.01)
    assert (other["name"], other["state"], other["seen_at"], other["kind"]) == ("10.0.0.2:8080", None, None, "auto")
    for _ in range(3):
        first.fail("it does not answer")
    gone = (await fetch(site, "/api/v1/devices")).json()["devices"][0]
    assert (gone["state"], gone["rate_hps"], gone["temp_c"], gone["power_w"]) == ("offline", None, None, None)
    assert (gone["best_ever_difficulty"], gone["problem"], gone["failures"]) == (4.29e9, "it does not answer", 3)
    second.take(axeos.reading(NERDQAXE | {"stratumPort": 1}), 1.0)
    assert (await fetch(site, "/api/v1/devices")).json()["devices"][1]["mines_here"] is False


async def test_without_a_daemon_it_is_unknown_whose_work_they_do(tmp_path: Path) -> None:
    site = site_with(tmp_path, DeviceConfig(host="10.0.0.1"))
    site.devices.devices[0].take(axeos.reading(BITAXE), 1.0)
    assert (await fetch(site, "/api/v1/devices")).json()["devices"][0]["mines_here"] is None


async def test_metrics_of_devices_do_not_need_the_daemon(tmp_path: Path) -> None:
    site = site_with(tmp_path, *(DeviceConfig(host=f"10.0.0.{number}", name=f"d{number}") for number in (1, 2, 3)))
    first, second, _ = site.devices.devices
    first.take(axeos.reading(BITAXE | {"temp": 90}), 1.0)
    second.take(axeos.reading(NERDQAXE), 1.0)
    for _ in range(3):
        second.fail("no answer")
    families = list(parse((await fetch(site, "/metrics")).text))
    found = {(each.name, each.labels.get("device")): each.value for family in families for each in family.samples}
    prefix = "solominer_device_"
    assert found[f"{prefix}up", "d1"] == found[f"{prefix}hot", "d1"] == 1
    assert (found[f"{prefix}up", "d2"], found[f"{prefix}hot", "d2"]) == (0, 0)
    assert found[f"{prefix}hash_rate_hashes_per_second", "d1"] == 1213.4e9
    assert found[f"{prefix}temperature_celsius", "d1"] == 90
    assert found[f"{prefix}shares_total", "d1"] == 1102
    assert {device for name, device in found if name == f"{prefix}power_watts"} == {"d1"}
    assert not [name for name, device in found if device == "d3"]
    assert "solominer_device" not in (await fetch(site_with(tmp_path), "/metrics")).text


async def test_a_server_with_devices_asks_them(tmp_path: Path) -> None:
    async with FakeDevice(BITAXE).serving() as fake:
        site = site_with(tmp_path, DeviceConfig(host=fake.host))
        app = create_app(site)
        async with asyncio.timeout(10), app.router.lifespan_context(app):
            await reaches(site.devices.devices[0], DeviceState.HASHING)


def test_an_answer_of_another_program_is_no_device() -> None:
    with pytest.raises(WrongKind, match="not that of AxeOS"):
        axeos.reading({"temp": 5})
