"""What a stolen node can do on a real server with the generated configuration: send its own shares, nothing else."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoServersError
from nats.js.api import ConsumerConfig, StreamConfig

from solominer.engines.cluster import subjects
from solominer.engines.cluster.connection import connect
from solominer.engines.cluster.nats_server import reload_server
from solominer.engines.cluster.tls import tls_context
from solominer.setup.cluster.authority import CLIENT_USES, Authority, new_key
from solominer.setup.cluster.folder import ClusterFolder
from tests.engines.cluster.rig import until
from tests.engines.cluster.server import head_of, made, node_of, running

QUIET = 0.15
"""Seconds in which a message that is let through would have arrived, on this machine."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterFolder]:
    """A running server with the nodes thief, other and leaver."""
    folder = made(tmp_path_factory.mktemp("cluster"), ["thief", "other", "leaver"])
    with running(folder):
        yield folder


@pytest.fixture
async def head(cluster: ClusterFolder) -> AsyncIterator[Client]:
    """The head, with its streams, the consumer and a job."""
    client = await head_of(cluster)
    js = client.jetstream()
    await js.add_stream(StreamConfig(subjects.JOB_STREAM, subjects=[subjects.JOB], max_msgs=1, allow_direct=True))
    await js.add_stream(StreamConfig(subjects.SHARE_STREAM, subjects=[subjects.ALL_SHARES]))
    await js.add_consumer(subjects.SHARE_STREAM, ConsumerConfig(durable_name=subjects.JUDGE, ack_policy=None))
    await js.publish(subjects.JOB, b"the newest job")
    yield client
    await client.close()


class Thief:
    """A client with a stolen join file; `errors` are what the server says to it."""

    def __init__(self, client: Client, errors: list[str]) -> None:
        self.client, self.errors = client, errors

    async def refused(self, within_secs: float = 20.0) -> bool:
        """Whether the server has refused what was done last."""
        await self.client.flush()
        deadline = asyncio.get_running_loop().time() + within_secs
        while not self.errors and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.005)  # the callback of an error is a task of its own
        found = [error for error in self.errors if "permissions violation" in error]
        self.errors.clear()
        return bool(found)


@pytest.fixture
async def thief(cluster: ClusterFolder, head: Client) -> AsyncIterator[Thief]:
    """Connected with the join file of the node thief."""
    errors: list[str] = []

    async def note(error: Exception) -> None:
        errors.append(str(error).lower())

    client = await node_of(cluster, "thief", error_cb=note)
    yield Thief(client, errors)
    await client.close()


async def newest_job(head: Client) -> bytes | None:
    return (await head.jetstream().get_last_msg(subjects.JOB_STREAM, subjects.JOB)).data


async def test_what_a_node_may_do(head: Client, thief: Thief) -> None:
    """Join under its own name, read the newest job, hear of new ones, send shares and beats, be told something."""
    asked, beats = [], []

    async def lease(message: Msg) -> None:
        asked.append(message.subject)
        await message.respond(b"a lease")

    async def beat(message: Msg) -> None:
        beats.append((message.subject, message.data))

    await head.subscribe(subjects.ALL_JOINS, cb=lease)
    await head.subscribe(subjects.ALL_BEATS, cb=beat)
    await head.flush()
    node = thief.client
    jobs = await node.subscribe(subjects.JOB)
    notices = await node.subscribe(subjects.notice_subject("thief"))
    await node.flush()
    js = node.jetstream()
    assert (await js.get_last_msg(subjects.JOB_STREAM, subjects.JOB, direct=True)).data == b"the newest job"
    assert (await node.request(subjects.JOIN, b"", timeout=20)).data == b"a lease"
    assert asked == ["solo.join.thief"]
    first, again = [
        await js.publish(subjects.share_subject("thief"), b"a share", headers={"Nats-Msg-Id": "1"}) for _ in range(2)
    ]
    assert (first.stream, first.seq, again.duplicate) == (subjects.SHARE_STREAM, again.seq, True)
    await node.publish(subjects.beat_subject("thief"), b"alive")
    await head.jetstream().publish(subjects.JOB, b"the newest job")
    await head.publish(subjects.notice_subject("thief"), b"drain")
    assert (await jobs.next_msg(20)).data == b"the newest job"
    assert (await notices.next_msg(20)).data == b"drain"
    await until(lambda: beats)  # its way is another than that of the jobs and notices
    assert beats == [("solo.beat.thief", b"alive")]
    assert not await thief.refused(QUIET)


@pytest.mark.parametrize(
    "subject",
    [
        subjects.JOB,
        subjects.share_subject("other"),
        subjects.beat_subject("other"),
        subjects.notice_subject("other"),
        f"{subjects.JOIN}.other",
        "_INBOX.other.x",
        f"$JS.API.STREAM.INFO.{subjects.JOB_STREAM}",
        f"$JS.API.STREAM.MSG.GET.{subjects.SHARE_STREAM}",
        f"$JS.API.DIRECT.GET.{subjects.SHARE_STREAM}",
        f"$JS.API.DIRECT.GET.{subjects.SHARE_STREAM}.{subjects.share_subject('other')}",
        subjects.VAULT,
        f"$KV.{subjects.LEASE_BUCKET}.{subjects.LEASE_KEY}",
        f"$JS.API.DIRECT.GET.{subjects.VAULT_STREAM}",
        f"$JS.API.STREAM.PURGE.{subjects.SHARE_STREAM}",
        f"$JS.API.STREAM.DELETE.{subjects.JOB_STREAM}",
        f"$JS.API.STREAM.UPDATE.{subjects.JOB_STREAM}",
        "$JS.API.STREAM.CREATE.MINE",
        f"$JS.API.CONSUMER.CREATE.{subjects.SHARE_STREAM}",
        f"$JS.API.CONSUMER.DURABLE.CREATE.{subjects.SHARE_STREAM}.mine",
        f"$JS.API.CONSUMER.DELETE.{subjects.SHARE_STREAM}.{subjects.JUDGE}",
        f"$JS.API.CONSUMER.MSG.NEXT.{subjects.SHARE_STREAM}.{subjects.JUDGE}",
        f"$JS.ACK.{subjects.SHARE_STREAM}.{subjects.JUDGE}.1.1.1.0.0",
        "$SYS.REQ.SERVER.PING",
    ],
)
async def test_it_may_not_publish(head: Client, thief: Thief, subject: str) -> None:
    heard = await head.subscribe(">")
    await head.flush()
    await thief.client.publish(subject, b"x")
    assert await thief.refused()
    assert not [m.subject for m in await all_of(heard) if m.subject == subject]


@pytest.mark.parametrize(
    "subject",
    [
        ">",
        "solo.>",
        subjects.ALL_SHARES,
        subjects.share_subject("other"),
        subjects.ALL_BEATS,
        subjects.JOIN,
        subjects.ALL_JOINS,
        subjects.TO_JUDGE,
        subjects.VAULT,
        "$KV.>",
        subjects.notice_subject("other"),
        "_INBOX.>",
        "_INBOX.other.>",
        "$JS.API.>",
        "$JS.ACK.>",
        "$SYS.>",
        "_R_.>",
    ],
)
async def test_it_may_not_subscribe(thief: Thief, subject: str) -> None:
    await thief.client.subscribe(subject)
    assert await thief.refused()


@pytest.mark.parametrize(
    "reply", [subjects.JOB, subjects.share_subject("other"), "solo.notice.other", "$JS.API.STREAM.PURGE.JOB"]
)
async def test_answers_reach_nobody_else(cluster: ClusterFolder, head: Client, thief: Thief, reply: str) -> None:
    """JetStream's own answers go where a message asks for them: here, only to whoever asked."""
    other = await node_of(cluster, "other")
    heard = [await other.subscribe(each) for each in (subjects.JOB, subjects.notice_subject("other"))]
    all_heard = await head.subscribe("solo.>")
    await other.flush()
    await head.flush()
    await thief.client.publish(subjects.share_subject("thief"), b"a share", reply=reply)
    await thief.client.publish(subjects.NEWEST_JOB, b"", reply=reply)
    await thief.client.flush()
    assert {message.subject for message in await all_of(all_heard)} <= {subjects.share_subject("thief")}
    assert [message for each in heard for message in await all_of(each)] == []
    assert await newest_job(head) == b"the newest job"
    await other.close()


async def all_of(subscription: object) -> list[Msg]:
    """What has arrived."""
    found: list[Msg] = []
    try:
        while True:
            found.append(await subscription.next_msg(QUIET))  # type: ignore[attr-defined]
    except nats.errors.TimeoutError:
        return found


# Who may connect at all


def foreign(name: str) -> tuple[str, str]:
    """A certificate of an authority of its own, for the user that it wants to be, and the key."""
    key = new_key()
    return Authority.new("solominer clients").certificate("thief", key, (name,), CLIENT_USES), key


def of_cluster(cluster: ClusterFolder, user: str, days: float) -> tuple[str, str]:
    """A certificate that the cluster's own authority has signed."""
    authority = Authority((cluster.path / "clients-ca.pem").read_text(), (cluster.path / "clients-ca.key").read_text())
    key = new_key()
    return authority.certificate("thief", key, (user,), CLIENT_USES, days), key


async def refused_to(cluster: ClusterFolder, context: ssl.SSLContext) -> None:
    url = cluster.read().servers[0]
    with pytest.raises((NoServersError, NatsError, OSError)):
        await nats.connect(url, tls=context, allow_reconnect=False, connect_timeout=20, max_reconnect_attempts=1)


async def test_without_a_certificate(cluster: ClusterFolder) -> None:
    await refused_to(cluster, ssl.create_default_context(cadata=(cluster.path / "ca.pem").read_text()))


@pytest.mark.parametrize("which", ["foreign", "expired", "unknown user", "server's"])
async def test_with_a_certificate_that_does_not_count(cluster: ClusterFolder, which: str) -> None:
    user = cluster.read().nodes["thief"]
    certificate, key = {
        "foreign": lambda: foreign(user),
        "expired": lambda: of_cluster(cluster, user, -0.01),
        "unknown user": lambda: of_cluster(cluster, "thief.00000000.node.solominer", 1),
        "server's": lambda: ((cluster.path / "server.pem").read_text(), (cluster.path / "server.key").read_text()),
    }[which]()
    await refused_to(cluster, tls_context((cluster.path / "ca.pem").read_text(), certificate, key))


async def test_a_removed_node_hears_why_it_is_refused(cluster: ClusterFolder, caplog: pytest.LogCaptureFixture) -> None:
    async def never() -> None:
        raise AssertionError

    tls = tls_context((cluster.path / "ca.pem").read_text(), *of_cluster(cluster, "gone.00000000.node.solominer", 1))
    trying = asyncio.create_task(connect(cluster.read().servers, "gone", tls=tls, inbox="x", back=never))
    async with asyncio.timeout(20):
        while "needs its new join file; trying again" not in caplog.text:
            await asyncio.sleep(0.02)
    trying.cancel()


async def test_the_same_with_one_that_counts(cluster: ClusterFolder) -> None:
    """So that the refusals above are for what they say."""
    certificate, key = of_cluster(cluster, cluster.read().nodes["thief"], 1)
    context = tls_context((cluster.path / "ca.pem").read_text(), certificate, key)
    client = await nats.connect(cluster.read().servers[0], tls=context)
    await client.close()


async def test_without_tls(cluster: ClusterFolder) -> None:
    reader, writer = await asyncio.open_connection("localhost", int(cluster.read().servers[0].rpartition(":")[2]))
    info = json.loads((await reader.readline()).removeprefix(b"INFO "))
    assert (info["tls_required"], info["tls_verify"]) == (True, True)
    writer.write(b'CONNECT {"verbose":false}\r\nPING\r\n')
    assert b"PONG" not in await reader.read()
    writer.close()


async def test_a_removed_node_is_cut_off_and_stays_out(cluster: ClusterFolder) -> None:
    closed = asyncio.Event()

    async def note() -> None:
        closed.set()

    join = cluster.join_path("leaver").read_text()
    client = await node_of(cluster, "leaver", allow_reconnect=False, closed_cb=note)
    cluster.remove("leaver")
    assert reload_server(Path(cluster.read().server_store))
    await asyncio.wait_for(closed.wait(), 20)
    assert client.is_closed
    values = json.loads(join)
    stolen = tls_context(values["ca_pem"], values["certificate_pem"], values["key_pem"])
    await refused_to(cluster, stolen)
    cluster.add("leaver")  # the same name again does not revive the old certificate
    assert reload_server(Path(cluster.read().server_store))
    await asyncio.sleep(QUIET)
    await refused_to(cluster, stolen)
    await (await node_of(cluster, "leaver")).close()
