"""Receivers of alerts: an HTTP server that stands for ntfy and webhooks, and a mail server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import Message
from typing import Any


class HttpReceiver:
    """Keeps the JSON of each POST and the path of each GET; answers with `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.posts: list[tuple[str, dict[str, Any]]] = []
        self.gets: list[str] = []
        self.headers: list[str] = []
        self.port = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[HttpReceiver]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

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


class MailReceiver:
    """Keeps each mail. `refuses`: every recipient is refused for the moment."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], Message]] = []
        self.refuses = False
        self.port = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[MailReceiver]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

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
