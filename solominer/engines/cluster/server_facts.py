"""What the servers of a cluster say about themselves, and what is wrong with it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout

from solominer.engines.cluster import subjects
from solominer.engines.cluster.nats_server import version_problem

WAIT_SECS = 1.0
"""For the answers of further servers, of which nobody knows how many there are."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One server: whether JetStream is on, and whether it syncs each message to the disk before it acknowledges."""

    name: str
    version: str
    jetstream: bool
    syncs: bool

    def problem(self) -> tuple[str, str]:
        """What is wrong and what to do, or two empty texts."""
        if text := version_problem(self.version):
            return f"{self.name}: {text}", "install nats-server 2.15 or later there"
        if not self.jetstream:
            return f"{self.name}: JetStream is off: shares would be lost", "use the nats.conf of solominer cluster init"
        if not self.syncs:
            return (
                f"{self.name}: it acknowledges shares up to two minutes before they are on its disk, where a power "
                "failure loses them",
                "set sync_interval: always in its jetstream block, as in the nats.conf of solominer cluster init",
            )
        return "", ""


async def server_facts(client: Client, most: int) -> list[ServerFacts]:
    """The facts of up to `most` servers; [] if they do not say, as with a nats.conf that is not ours.

    Raises nats.errors.Error.
    """
    inbox = client.new_inbox()
    answers = await client.subscribe(inbox)
    await client.publish(subjects.SERVER_FACTS, b"", reply=inbox)
    found: list[ServerFacts] = []
    try:
        while len(found) < most:
            message = await answers.next_msg(WAIT_SECS)
            if facts := _read(message.data):
                found.append(facts)
            elif message.headers:  # nobody answers this
                break
    except (TimeoutError, NatsTimeout):
        pass
    finally:
        with suppress(NatsError):
            await answers.unsubscribe()
    return sorted(found, key=lambda facts: facts.name)


def _read(data: bytes) -> ServerFacts | None:
    try:
        answer = json.loads(data)
        server, settings = answer["server"], answer.get("data") or {}
        sync = (settings.get("config") or {}).get("sync_always", False)
        return ServerFacts(
            str(server["name"])[:80], str(server["ver"])[:80], bool(server.get("jetstream")), sync is True
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
