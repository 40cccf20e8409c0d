"""A proxy before a node's ZMQ publisher: silent, repeating, reordering or dropping messages."""

from __future__ import annotations

import threading
from enum import Enum, auto
from types import TracebackType
from typing import Self

import zmq

_LOOK_MS = 50


class ZmqMode(Enum):
    """What becomes of the messages."""

    PASS = auto()
    SILENT = auto()  # nothing comes through, the connection stays
    DOUBLED = auto()  # each twice
    SWAPPED = auto()  # each pair in the wrong order
    GAPS = auto()  # every other one is lost


class ZmqProxy:
    """Publishes at `address` what the node publishes at `source`, as `mode` says; a context manager."""

    def __init__(self, source: str) -> None:
        self.mode = ZmqMode.PASS
        self._context = zmq.Context()
        self._subscriber = self._context.socket(zmq.SUB)
        self._subscriber.setsockopt(zmq.SUBSCRIBE, b"")
        self._subscriber.setsockopt(zmq.RECONNECT_IVL, 20)
        self._subscriber.connect(source)
        self._publisher = self._context.socket(zmq.PUB)
        port = self._publisher.bind_to_random_port("tcp://127.0.0.1")
        self.address = f"tcp://127.0.0.1:{port}"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._context.destroy(linger=0)

    def _run(self) -> None:
        held: list[bytes] | None = None
        count = 0
        while not self._ended.is_set():
            if not self._subscriber.poll(_LOOK_MS):
                continue
            message = self._subscriber.recv_multipart()
            count += 1
            match self.mode:
                case ZmqMode.PASS:
                    self._publisher.send_multipart(message)
                case ZmqMode.DOUBLED:
                    self._publisher.send_multipart(message)
                    self._publisher.send_multipart(message)
                case ZmqMode.GAPS if count % 2:
                    self._publisher.send_multipart(message)
                case ZmqMode.SWAPPED if held is None:
                    held = message
                    continue
                case ZmqMode.SWAPPED:
                    self._publisher.send_multipart(message)
            if held is not None:
                self._publisher.send_multipart(held)
                held = None
