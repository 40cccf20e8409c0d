"""Tells a service manager how the daemon is: the notification protocol of systemd (sd_notify(3)), without its library.

One datagram per message, `KEY=value` lines, to the AF_UNIX socket named in `$NOTIFY_SOCKET` (a path, or `@name` for
Linux's abstract sockets). Where the variable is missing, nothing is sent. Sending never blocks: the event loop that
decides about blocks must not wait for a log daemon. What did not fit is sent along with the next message.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, MutableMapping

log = logging.getLogger("solominer.daemon.sd_notify")

STATUS_SECS = 10.0
_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """Sends to `address`; with an empty one it does nothing. `watchdog_secs`: the manager's patience, None for none."""

    def __init__(self, address: str = "", watchdog_secs: float | None = None) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_secs = watchdog_secs
        self._unsent: dict[str, str] = {}
        self._complained = False
        self._socket = self._open() if address else None

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str] = os.environ) -> Notifier:
        """As the manager asks for. The variables are taken away, so that no child speaks in our name."""
        address, usec, pid = (environ.pop(name, "") for name in _VARIABLES)
        if address and address[0] not in "/@":
            log.warning("NOTIFY_SOCKET is %r, neither a path nor an abstract socket: nothing is notified", address)
            return cls()
        watched = usec.isdecimal() and int(usec) > 0 and pid in ("", str(os.getpid()))
        return cls(address, int(usec) / 1e6 if watched else None)

    @property
    def enabled(self) -> bool:
        """Whether anybody listens."""
        return self._socket is not None

    @property
    def beat_secs(self) -> float:
        """How often to say that all is well: three times within the manager's patience."""
        return STATUS_SECS if self.watchdog_secs is None else min(STATUS_SECS, self.watchdog_secs / 3)

    def starting(self, status: str, patience_secs: float) -> None:
        """Still starting, and well: ask for `patience_secs` more, counted from now."""
        self._send({"STATUS": status, "EXTEND_TIMEOUT_USEC": str(round(patience_secs * 1e6))})

    def ready(self, status: str) -> None:
        """Start or reload is finished."""
        self._send({"READY": "1", "STATUS": status})

    def alive(self, status: str) -> None:
        """A beat for the watchdog, if there is one, and what we are doing."""
        beat = {} if self.watchdog_secs is None else {"WATCHDOG": "1"}
        self._send(beat | {"STATUS": status})

    def reloading(self) -> None:
        """The configuration is being read anew; `ready` ends it."""
        self._send({"RELOADING": "1", "MONOTONIC_USEC": str(time.monotonic_ns() // 1000)})

    def stopping(self, status: str) -> None:
        """The end has begun."""
        self._send({"STOPPING": "1", "STATUS": status})

    async def keep_alive(self, progress: asyncio.Event, describe: Callable[[], str]) -> None:
        """Beat for as long as `progress` is set again and again: no progress, no beat, and the watchdog bites.

        `progress` is cleared here; others may wait for it and clear it too.
        """
        while self.enabled:
            progress.clear()
            await progress.wait()
            self.alive(describe())
            await asyncio.sleep(self.beat_secs)

    def close(self) -> None:
        """Send nothing any more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _open(self) -> socket.socket:
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        opened.setblocking(False)
        return opened

    def _send(self, fields: dict[str, str]) -> None:
        if self._socket is None:
            return
        fields = self._unsent | fields
        message = "\n".join(f"{key}={' '.join(value.split())}" for key, value in fields.items())
        try:
            self._socket.sendto(message.encode(errors="replace"), self._address)
            self._unsent = {}
        except BlockingIOError:
            self._unsent = {key: value for key, value in fields.items() if key != "WATCHDOG"}
        except OSError as error:
            if not self._complained:
                log.warning("the service manager cannot be told how we are: %s", error.strerror or error)
            self._complained = True
