"""Receivers of alerts: an HTTP server that stands for ntfy and webhooks, and a mail server."""

from __future__ import annotations

import asyncio
import json
from email import message_from_bytes
from email.message import Message
from typing import Any

from tests.web.fake_server import FakeServer


class HttpReceiver(FakeServer):
    """Keeps the JSON of each POST and the path of each GET; answers with `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.posts: list[tuple[str, dict[str, Any]]] = []
        self.gets: list[str] = []
        self.headers: list[str] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split(" ", 2)
        size = next((int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-l")), 0)
        body = await reader.readexactly(size)
        self.headers.append(head)
        if self.status == 200:
            if method == "POST":
                self.posts.append((path, json.loads(body)))
            else:
                self.gets.append(path)
        writer.write(f"HTTP/1.1 {self.status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


class MailReceiver(FakeServer):
    """Keeps each mail. `refuses`: every recipient is refused for the moment."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], Message]] = []
        self.refuses = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to: list[str] = []
        writer.write(b"220 fake\r\n")
        while line := await reader.readline():
            command = line.decode().strip()
            if command.upper().startswith("RCPT"):
                to.append(command.partition("<")[2].rstrip(">"))
                writer.write(b"450 later\r\n" if self.refuses else b"250 ok\r\n")
            elif command.upper() == "DATA":
                writer.write(b"354 go on\r\n")
                body = await reader.readuntil(b"\r\n.\r\n")
                self.mails.append((to, message_from_bytes(body[:-3])))
                to = []
                writer.write(b"250 ok\r\n")
            elif command.upper() == "QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 fake\r\n")
        await writer.drain()
        writer.close()
