"""Service notifications by the protocol of sd_notify(3), without libsystemd.

Each message is one datagram of `KEY=value` lines to the AF_UNIX socket named in `$NOTIFY_SOCKET` (a path, or `@name`
for an abstract socket); without the variable nothing is sent. Sending never blocks the event loop: fields that could
not be sent are sent with the next message.
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
    """Sends to `address`, or nothing if it is ''. `watchdog_secs` is the watchdog timeout, None if disabled."""

    def __init__(self, address: str = "", watchdog_secs: float | None = None) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_secs = watchdog_secs
        self._unsent: dict[str, str] = {}
        self._complained = False
        self._socket = self._open() if address else None

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str] = os.environ) -> Notifier:
        """From the service manager's variables, which are removed so that child processes do not inherit them."""
        address, usec, pid = (environ.pop(name, "") for name in _VARIABLES)
        if address and address[0] not in "/@":
            log.warning("NOTIFY_SOCKET is %r, not a path or abstract socket: notifications are disabled", address)
            return cls()
        watched = usec.isdecimal() and int(usec) > 0 and pid in ("", str(os.getpid()))
        return cls(address, int(usec) / 1e6 if watched else None)

    @property
    def enabled(self) -> bool:
        """Whether notifications are sent."""
        return self._socket is not None

    @property
    def beat_secs(self) -> float:
        """Interval of watchdog messages: at most a third of the watchdog timeout."""
        return STATUS_SECS if self.watchdog_secs is None else min(STATUS_SECS, self.watchdog_secs / 3)

    @property
    def _beat(self) -> dict[str, str]:
        return {} if self.watchdog_secs is None else {"WATCHDOG": "1"}

    def starting(self, status: str, patience_secs: float) -> None:
        """Still starting: extend the start timeout to `patience_secs` from now; or starting after it was ready."""
        self._send(self._beat | {"STATUS": status, "EXTEND_TIMEOUT_USEC": str(round(patience_secs * 1e6))})

    def ready(self, status: str) -> None:
        """Startup or reload has finished."""
        self._send({"READY": "1", "STATUS": status})

    def alive(self, status: str) -> None:
        """Send a watchdog message, if enabled, and the status."""
        self._send(self._beat | {"STATUS": status})

    def reloading(self) -> None:
        """A reload has started; `ready` ends it."""
        self._send({"RELOADING": "1", "MONOTONIC_USEC": str(time.monotonic_ns() // 1000)})

    def stopping(self, status: str) -> None:
        """Shutdown has started."""
        self._send({"STOPPING": "1", "STATUS": status})

    async def keep_alive(self, progress: asyncio.Event, describe: Callable[[], str]) -> None:
        """Send watchdog messages while `progress` keeps being set; without progress the watchdog times out.

        `progress` is cleared here; others may wait for it and clear it too.
        """
        while self.enabled:
            progress.clear()
            await progress.wait()
            self.alive(describe())
            await asyncio.sleep(self.beat_secs)

    def close(self) -> None:
        """Close the socket."""
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
                log.warning("cannot notify the service manager: %s", error.strerror or error)
            self._complained = True
