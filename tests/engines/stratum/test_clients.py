"""Real clients' lines, as their sources print them, and what each needs of the answers.

Sources: ESP-Miner components/stratum/stratum_api.c; ESP-Miner-NerdQAxePlus main/stratum/stratum_api.cpp; NerdMiner_v2
src/stratum.cpp; cgminer and bfgminer util.c, cgminer.c and miner.c; pooler's cpuminer util.c and cpu-miner.c; traffic
of a Whatsminer M30S+ in stratum-mining/stratum#1173; configure lines that DATUM's gateway quotes (Braiins OS and
NiceHash). The other lines of NiceHash are of the usual form; its source is not public.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from solominer.engines.stratum.events import BlockFound
from tests.engines.stratum.builders import (
    MASK,
    REGTEST_BITS,
    Client,
    make_shared,
    make_work,
    network_target,
)

USER = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4.rig"
Submit = Callable[[str, str, str, int, int], str]


def bitaxe_submit(job: str, extranonce2: str, ntime: str, nonce: int, bits: int) -> str:
    return (
        f'{{"id":9,"method":"mining.submit","params":["{USER}","{job}","{extranonce2}","{ntime}",'
        f'"{nonce:08x}","{bits:08x}"]}}\n'
    )


def nerdqaxe_submit(job: str, extranonce2: str, ntime: str, nonce: int, bits: int) -> str:
    return (
        f'{{"id": 9, "method": "mining.submit", "params": ["{USER}", "{job}", "{extranonce2}", "{ntime}", '
        f'"{nonce:08x}", "{bits:08x}"]}}\n'
    )


def nerdminer_submit(job: str, extranonce2: str, ntime: str, nonce: int, bits: int) -> str:
    return f'{{"id":9,"method":"mining.submit","params":["{USER}","{job}","{extranonce2}","{ntime}","{nonce:x}"]}}\n'


def cgminer_submit(job: str, extranonce2: str, ntime: str, nonce: int, bits: int) -> str:
    mask = f', "{bits:08x}"' if bits else ""
    return (
        f'{{"params": ["{USER}", "{job}", "{extranonce2}", "{ntime}", "{nonce:08x}"{mask}], "id": 9, '
        '"method": "mining.submit"}\n'
    )


def cpuminer_submit(job: str, extranonce2: str, ntime: str, nonce: int, bits: int) -> str:
    return (
        f'{{"method": "mining.submit", "params": ["{USER}", "{job}", "{extranonce2}", "{ntime}", "{nonce:08x}"], '
        '"id":4}\n'
    )


@dataclass(frozen=True)
class Play:
    """One client: what it sends until it mines, packet by packet, and how it hands a share in.

    `expected` are the kinds of lines that come back for each packet: a method, or the id of a reply as JSON.
    """

    packets: tuple[str, ...]
    expected: tuple[list[str], ...]
    submit: Submit
    share_id: object = 9
    bits: int = 0x00402000
    coinbase_limit: int = 255
    extranonce2: str = "0000000000000000"


JOB = ["mining.set_difficulty", "mining.notify"]

PLAYS = {
    "bitaxe": Play(
        (
            '{"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"ffffffff"}]}\n'
            '{"id":2,"method":"mining.subscribe","params":["bitaxe/BM1370/v2.9.0"]}\n'
            f'{{"id":3,"method":"mining.authorize","params":["{USER}","x"]}}\n',
            '{"id":4,"method":"mining.suggest_difficulty","params":[1000]}\n'
            '{"id":5,"method":"mining.extranonce.subscribe","params":[]}\n',
        ),
        (["1", "2", "3", *JOB], ["4", *JOB, "5"]),
        bitaxe_submit,
    ),
    "bitaxe's health probe": Play(
        (
            '{"id":1,"method":"mining.subscribe","params":["bitaxe/BM1370/v2.9.0"]}\n'
            f'{{"id":2,"method":"mining.authorize","params":["{USER}","x"]}}\n',
        ),
        (["1", "2", *JOB],),
        bitaxe_submit,
    ),
    "nerdqaxe": Play(
        (
            '{"id": 1, "method": "mining.subscribe", "params": ["NerdQAxe++/BM1370/v1.0.35"]}\n'
            '{"id": 2, "method": "mining.configure", "params": [["version-rolling"], '
            '{"version-rolling.mask": "1fffe000"}]}\n'
            f'{{"id": 3, "method": "mining.authorize", "params": ["{USER}", "x"]}}\n'
            '{"id": 4, "method": "mining.suggest_difficulty", "params": [2000]}\n'
            '{"id": 5, "method": "mining.extranonce.subscribe", "params": []}\n',
        ),
        (["1", "2", "3", *JOB, "4", *JOB, "5"],),
        nerdqaxe_submit,
    ),
    "nerdminer": Play(
        (
            '{"id": 1, "method": "mining.subscribe", "params": ["NerdMinerV2/V1.8.3"]}\n',
            f'{{"params": ["{USER}", "x"], "id": 2, "method": "mining.authorize"}}\n',
            '{"id":3,"method":"mining.suggest_difficulty","params":[0.00015]}\n',
            '{"id":4,"method":"mining.suggest_difficulty","params":[0.00015]}\n',
        ),
        (["1"], ["2", *JOB], ["3", *JOB], ["4"]),
        nerdminer_submit,
        bits=0,
        extranonce2="0000000000000001",
    ),
    "cgminer": Play(
        (
            '{"id": 0, "method": "mining.configure", "params": [["version-rolling"], '
            '{"version-rolling.mask": "ffffffff"}]}\n',
            '{"id": 1, "method": "mining.subscribe", "params": ["cgminer/4.13.1"]}\n',
            f'{{"id": 2, "method": "mining.authorize", "params": ["{USER}", "x"]}}\n',
            '{"id": 3, "method": "mining.suggest_difficulty", "params": [42]}\n',
        ),
        (["0"], ["1"], ["2", *JOB], ["3", *JOB]),
        cgminer_submit,
    ),
    "cgminer without version rolling": Play(
        (
            '{"id": 0, "method": "mining.subscribe", "params": ["cgminer/4.11.1"]}\n',
            f'{{"id": 1, "method": "mining.authorize", "params": ["{USER}", "x"]}}\n',
        ),
        (["0"], ["1", *JOB]),
        cgminer_submit,
        bits=0,
    ),
    "cpuminer": Play(
        (
            '{"id": 1, "method": "mining.subscribe", "params": ["cpuminer/2.5.1"]}\n',
            f'{{"id": 2, "method": "mining.authorize", "params": ["{USER}", "x"]}}\n',
        ),
        (["1"], ["2", *JOB]),
        cpuminer_submit,
        share_id=4,
        bits=0,
    ),
    "bfgminer": Play(
        (
            '{"id": null, "method": "mining.suggest_target", "params": '
            '["00000000ffff0000000000000000000000000000000000000000000000000000"]}\n'
            '{"id":null,"method":"mining.capabilities","params":[{"notify":[],"set_difficulty":{},"set_goal":[],'
            '"malgo":{"SHA256d":{}},"suggested_target":'
            '"00000000ffff0000000000000000000000000000000000000000000000000000"}]}\n'
            '{"id": 0, "method": "mining.subscribe", "params": ["bfgminer/5.5.0"]}\n',
            '{"id": "xnsub", "method": "mining.extranonce.subscribe", "params": []}\n'
            f'{{"id": "auth", "method": "mining.authorize", "params": ["{USER}", "x"]}}\n',
            '{"params": ["1000"], "id": "txlist1000", "method": "mining.get_transactions"}\n',
        ),
        (["0"], ['"xnsub"', '"auth"', *JOB], ['"txlist1000"']),
        cgminer_submit,
        bits=0,
    ),
    "whatsminer": Play(
        (
            '{"id": 196, "method": "mining.configure", "params": [["version-rolling"], '
            '{"version-rolling.mask": "1fffe000"}]}\n',
            '{"id": 197, "method": "mining.subscribe", "params": ["whatsminer/v1.0", '
            '"ae6812eb4cd7735a302a8a9dd95cf71f"]}\n',
            f'{{"id": 198, "method": "mining.authorize", "params": ["{USER}", "x"]}}\n',
        ),
        (["196"], ["197"], ["198", *JOB]),
        cgminer_submit,
    ),
    "braiins os": Play(
        (
            '{"id":0,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"1fffe000",'
            '"version-rolling.min-bit-count":16}]}\n',
            '{"id":1,"method":"mining.subscribe","params":["bosminer/26.06"]}\n'
            f'{{"id":2,"method":"mining.authorize","params":["{USER}","x"]}}\n',
        ),
        (["0"], ["1", "2", *JOB]),
        bitaxe_submit,
    ),
    "minimum difficulty": Play(
        (
            '{"id":1,"method":"mining.configure","params":[["version-rolling","minimum-difficulty",'
            '"subscribe-extranonce"],{"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":16,'
            '"minimum-difficulty.value":2048}]}\n',
            '{"id":2,"method":"mining.subscribe","params":["x/1"]}\n'
            f'{{"id":3,"method":"mining.authorize","params":["{USER}",""]}}\n',
        ),
        (["1"], ["2", "3", *JOB]),
        bitaxe_submit,
    ),
    "nicehash": Play(
        (
            '{"id": 9966, "method": "mining.configure", "params": [["version-rolling", "subscribe-extranonce"], '
            '{"version-rolling.mask": "1fffe000", "version-rolling.min-bit-count": 16}]}\n',
            '{"id": 9967, "method": "mining.subscribe", "params": ["NiceHash/1.0.0", null, "pool.example", 3333]}\r\n'
            '{"id": 9968, "method": "mining.extranonce.subscribe", "params": []}\r\n'
            f'{{"id": 9969, "method": "mining.authorize", "params": ["{USER}", "d=600000"]}}\r\n',
        ),
        (["9966"], ["9967", "9968", "9969", *JOB]),
        cgminer_submit,
    ),
}


def kinds(lines: list[dict[str, Any]]) -> list[str]:
    return [line["method"] if "method" in line else json.dumps(line["id"]) for line in lines]


def start(play: Play, client: Client) -> list[list[dict[str, Any]]]:
    return [client.take(client.session.receive(packet.encode(), client.now)) for packet in play.packets]


@pytest.mark.parametrize("name", PLAYS)
def test_login_lines(name: str) -> None:
    """In the order that the client sends them, answered in that order, and nothing before the first answer."""
    play = PLAYS[name]
    client = Client(make_shared(make_work(nbits=0x17030000)))
    answers = start(play, client)
    assert [kinds(lines) for lines in answers] == list(play.expected)
    assert all(line.get("error") is None or line["error"][1] == "Not supported." for line in client.lines)
    assert not client.closed


@pytest.mark.parametrize("name", PLAYS)
@pytest.mark.parametrize("packets", ["one byte each", "all at once"])
def test_packets_do_not_matter(name: str, packets: str) -> None:
    play = PLAYS[name]
    whole, cut = Client(make_shared(make_work(nbits=0x17030000))), Client(make_shared(make_work(nbits=0x17030000)))
    start(play, whole)
    data = "".join(play.packets).encode()
    for place in range(0, len(data), 1 if packets == "one byte each" else len(data)):
        cut.take(cut.session.receive(data[place : place + (1 if packets == "one byte each" else len(data))], 0.0))
    assert cut.lines == whole.lines


@pytest.mark.parametrize("name", PLAYS)
def test_a_block_in_each_clients_style(name: str) -> None:
    """Version bits by OR, XOR or replacement make the same header, since the job's own bits are zero in the mask."""
    play = PLAYS[name]
    work = make_work(nbits=REGTEST_BITS)
    client = Client(make_shared(work))
    start(play, client)
    job = client.job
    version = int(job[5], 16)
    assert version & MASK == 0
    assert version | play.bits == version ^ play.bits == (version & ~MASK) | (play.bits & MASK)
    _, header = client.mine(
        job, target=network_target(work), bits=play.bits, extranonce2=bytes.fromhex(play.extranonce2)
    )
    text = play.submit(job[0], play.extranonce2, job[7], header.nonce, play.bits)
    lines = client.take(client.session.receive(text.encode(), 0.0))
    assert lines[0] == {"id": play.share_id, "result": True, "error": None}
    assert [block.header for block in client.of(BlockFound)] == [header.pack()]


@pytest.mark.parametrize("name", PLAYS)
def test_what_is_sent_fits_the_smallest_client(name: str) -> None:
    """NerdMiner: 255 bytes of coinbase, a notify of 4 KB as JSON; firmwares cut halves at 384 bytes; 4 + 8 bytes."""
    play = PLAYS[name]
    branch = tuple(bytes([i]) * 32 for i in range(13))
    client = Client(make_shared(make_work(nbits=0x17030000, merkle_branch=branch)))
    start(play, client)
    subscribed = next(line for line in client.lines if isinstance(line.get("result"), list))
    assert len(bytes.fromhex(subscribed["result"][1])) == 4
    assert subscribed["result"][2] == 8
    assert all(len(bytes.fromhex(half)) < 384 for half in client.job[2:4])
    assert (len(client.job[2]) + len(client.job[3])) // 2 + 12 <= 255
    assert len(json.dumps(client.job)) < 2048


def test_bitaxes_probe_sees_a_job_in_its_first_read() -> None:
    client = Client(make_shared(make_work(nbits=0x17030000)))
    output = client.session.receive(PLAYS["bitaxe's health probe"].packets[0].encode(), 0.0)
    assert b"mining.notify" in output.data[:1023]


def test_configure_answers_only_what_was_asked() -> None:
    """Whatsminer M30S+ reconnects for ever over `minimum-difficulty` or `version-rolling.min-bit-count`."""
    for name, keys in (
        ("whatsminer", {"version-rolling", "version-rolling.mask"}),
        ("braiins os", {"version-rolling", "version-rolling.mask"}),
        ("nicehash", {"version-rolling", "version-rolling.mask", "subscribe-extranonce"}),
        (
            "minimum difficulty",
            {"version-rolling", "version-rolling.mask", "minimum-difficulty", "subscribe-extranonce"},
        ),
    ):
        client = Client(make_shared(make_work(nbits=0x17030000)))
        start(PLAYS[name], client)
        assert client.lines[0]["result"].keys() == keys
        assert client.lines[0]["result"]["version-rolling.mask"] == "1fffe000"


def test_nerdminer_finds_its_fields_in_the_subscribe_reply() -> None:
    client = Client(make_shared(make_work()))
    (lines, *_) = start(PLAYS["nerdminer"], client)
    result = lines[0]["result"]
    assert isinstance(result[0][0][1], str)
    assert isinstance(result[1], str)
    assert lines[0]["error"] is None


def test_pongs() -> None:
    """Bitaxe answers a ping with a method, cgminer with a result; neither is answered."""
    client = Client(make_shared(make_work()))
    start(PLAYS["bitaxe"], client)
    assert client.send('{"id":7,"method":"pong","params":[]}') == []
    assert client.send('{"id": 7, "result": "pong", "error": null}') == []
    assert client.send('{"id":7,"result":"v2.9.0","error":null}') == []


def test_cpuminer_reconnects_with_its_session_id() -> None:
    shared = make_shared(make_work())
    client = Client(shared)
    start(PLAYS["cpuminer"], client)
    client.session.closed(5.0)
    again = Client(shared, 6.0)
    again.send(f'{{"id": 1, "method": "mining.subscribe", "params": ["cpuminer/2.5.1", "{client.session_id}"]}}')
    assert again.extranonce1 == client.extranonce1
