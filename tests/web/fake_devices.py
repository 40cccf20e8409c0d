"""Miners in the house that answer over HTTP: Bitaxes with old and new firmware, a NerdQAxe, and whatever is broken."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.web.fake_server import FakeServer

BITAXE: dict[str, Any] = {
    "power": 18.3, "voltage": 5078.0, "current": 3600.0, "temp": 58.4, "temp2": -1, "vrTemp": 51, "maxPower": 40,
    "hashRate": 1213.4, "expectedHashrate": 1224, "bestDiff": 4290000000, "bestSessionDiff": 2100000.5,
    "poolDifficulty": 4096, "isUsingFallbackStratum": 0, "overheat_mode": 0, "ASICModel": "BM1370",
    "hostname": "bitaxe-kitchen", "macAddr": "AA:BB:CC:00:11:22", "sharesAccepted": 1102, "sharesRejected": 3,
    "sharesRejectedReasons": [{"message": "Job not found", "count": 3}], "uptimeSeconds": 302400,
    "stratumURL": "192.168.1.20", "stratumPort": 3333, "stratumUser": "bc1qme.kitchen",
    "fallbackStratumURL": "solo.example.org", "fallbackStratumPort": 4334, "version": "v2.9.0", "boardVersion": "601",
    "fanspeed": 60, "fanrpm": 4210,
}  # fmt: skip
"""AxeOS 2.9: difficulties are numbers."""

OLD_BITAXE = BITAXE | {"bestDiff": "4.29G", "bestSessionDiff": "2.10M", "version": "v2.1.5", "ASICModel": "BM1366"}
"""Before: difficulties are texts."""

NERDQAXE: dict[str, Any] = {
    "asicCount": 4, "deviceModel": "NerdQAxe++", "ASICModel": "BM1370", "power": 76.25, "temp": 63.0, "vrTemp": 66.0,
    "hashRate": 4812.5, "hashRate_10m": 4790.1, "bestDiff": 320000000000.0, "bestSessionDiff": 74000000000.0,
    "sharesAccepted": 3884, "sharesRejected": 0, "fanspeed": 71, "fanrpm": 2890, "fanrpm2": 2870, "shutdown": False,
    "stratum": {"poolMode": 0, "activePoolMode": 0, "usingFallback": False, "pools": [{"connected": True}]},
    "hostname": "nerdqaxe", "stratumURL": "192.168.1.20", "stratumPort": 3333, "fallbackStratumURL": "203.0.113.7",
    "fallbackStratumPort": 3333, "uptimeSeconds": 86400, "version": "v1.0.36", "overheat_temp": 70,
}  # fmt: skip


def page(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """An answer."""
    head = "\r\n".join([f"HTTP/1.1 {status}", "Content-Type: application/json", *headers])
    return f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def in_chunks(body: bytes) -> bytes:
    """The same in chunks of 100 bytes, as NerdQAxe sends it."""
    parts = [body[start : start + 100] for start in range(0, len(body), 100)]
    sent = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + sent + b"0\r\n\r\n"


class FakeDevice(FakeServer):
    """Answers each request with `answer`: raw bytes, an object as JSON, or None for silence. `asked` has the requests.

    `endless` is sent behind it until nobody reads any more, with `pause_secs` in between.
    """

    def __init__(self, answer: bytes | dict[str, Any] | None) -> None:
        self.answer, self.endless, self.pause_secs = answer, b"", 0.0
        self.asked: list[str] = []

    @property
    def host(self) -> str:
        """As in the config."""
        return f"127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            if self.answer is None:
                await reader.read()  # until the other side gives up
            else:
                writer.write(self.answer if isinstance(self.answer, bytes) else page(json.dumps(self.answer).encode()))
                while self.endless:
                    writer.write(self.endless)
                    await writer.drain()
                    await asyncio.sleep(self.pause_secs)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
