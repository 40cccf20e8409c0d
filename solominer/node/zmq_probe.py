"""Probes a ZMQ publisher: whether it completes the handshake and sends messages of the topic."""

from __future__ import annotations

import time
from dataclasses import dataclass

import zmq
from zmq.utils.monitor import parse_monitor_message

from solominer.node.zmq_hints import ip_versions


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Result of a probe: whether the socket connected, the messages received, and the duration."""

    connected: bool
    messages: int
    secs: float


def listen(address: str, topic: str, *, connect_secs: float = 3.0, listen_secs: float = 1.0) -> ProbeResult:
    """Subscribe to `topic` at `address`; return at the first message or when the time is up.

    Raises ValueError for an invalid address.
    """
    started = time.monotonic()
    connected, messages = False, 0
    for version in ip_versions(address):
        connected, messages = _listen(address, topic, version, connect_secs, listen_secs)
        if connected:
            break
    return ProbeResult(connected, messages, time.monotonic() - started)


def _listen(address: str, topic: str, version: int, connect_secs: float, listen_secs: float) -> tuple[bool, int]:
    with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
        subscriber.linger = 0
        subscriber.setsockopt(zmq.IPV6, version == 6)
        subscriber.setsockopt_string(zmq.SUBSCRIBE, topic)
        with subscriber.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED) as monitor:
            try:
                subscriber.connect(address)
            except zmq.ZMQError as error:
                raise ValueError(f"{address} is not a valid ZMQ address: {error.strerror}") from error
            connected = bool(monitor.poll(round(1000 * connect_secs)))
            if connected:
                parse_monitor_message(monitor.recv_multipart())
            messages = int(connected and bool(subscriber.poll(round(1000 * listen_secs))))
            subscriber.disable_monitor()
    return connected, messages
