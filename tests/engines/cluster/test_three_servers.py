"""Three servers of one cluster: the loss of one loses nothing, and a node's certificate does not make a server."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import nats
import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig
from nats.js.errors import APIError

from solominer.config.load import load_config
from solominer.doctor.cluster_checks import examine_cluster
from solominer.engines.cluster.fence import Fence
from solominer.engines.cluster.join_file import ClusterFiles, JoinFile
from solominer.engines.cluster.lease import HeadLease
from solominer.engines.cluster.vault import Vault, copy_of_jobs
from solominer.engines.jobs_file import Written
from solominer.setup.cluster.folder import Cluster, ClusterFolder
from solominer.setup.cluster.nats_conf import NAME_VARIABLE, ROUTE_PORT
from tests.engines.cluster.server import SCRIPT, await_port, nats_server
from tests.ports import free_ports

T = TypeVar("T")
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


def has_addresses() -> bool:
    try:
        for host in HOSTS:
            socket.create_server((host, 0)).close()
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(not has_addresses(), reason="this system has 127.0.0.1 alone")


@dataclass(frozen=True, slots=True)
class Three:
    folder: ClusterFolder
    route_port: int
    processes: list[subprocess.Popen[bytes]]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    """nats.conf as it is, but for the addresses: it is meant for three machines."""
    path = tmp_path_factory.mktemp("three")
    port, route_port = free_ports(2)
    folder = ClusterFolder(path)
    urls = tuple(f"nats://{host}:{port}" for host in HOSTS)
    folder.init(Cluster("regtest", urls, (SCRIPT,), str(path), str(path / "jetstream")))
    folder.add("a")
    text = (path / "nats.conf").read_text()
    with ExitStack() as stack:
        processes = []
        for host in HOSTS:
            (path / host).mkdir()
            own = text.replace(str(path / "jetstream"), str(path / host)).replace("0.0.0.0", host)
            (path / f"{host}.conf").write_text(own.replace(f":{ROUTE_PORT}", f":{route_port}"))
            log = stack.enter_context((path / f"{host}.log").open("wb"))
            command = [nats_server(), "-c", str(path / f"{host}.conf")]
            name = {NAME_VARIABLE: f"s{host[-1]}"}
            process = subprocess.Popen(command, stdout=log, stderr=log, env=name)
            stack.callback(process.wait, 10)
            stack.callback(process.kill)
            processes.append(process)
        for host in HOSTS:
            await_port(port, None, host=host)
            await_port(route_port, None, host=host)
        yield Three(folder, route_port, processes)


async def test_two_of_three_go_on(three: Three) -> None:
    files = ClusterFiles.read(three.folder.path)
    client = await nats.connect(list(files.servers), tls=files.tls_context(), max_reconnect_attempts=-1)
    js = client.jetstream(timeout=2)
    async with asyncio.timeout(100):
        while True:
            try:
                await js.add_stream(StreamConfig("JOB", subjects=["solo.job"], max_msgs=1, num_replicas=3))
                break
            except (APIError, nats.errors.Error):  # they have not found each other yet
                await asyncio.sleep(0.1)
        await js.publish("solo.job", b"1")
        await fenced(client)
        overrides = {"cluster.servers": list(files.servers), "cluster.dir": three.folder.path, "mode": "demo"}
        config = load_config(environ={}, overrides=overrides)
        found = {each.check: each for each in await asyncio.to_thread(lambda: list(examine_cluster(config)))}
        assert found["servers"].status == "ok", found
        assert found["servers"].evidence.count("sync_interval: always") == 3
        lease, vault = HeadLease(client, 3), Vault(three.folder.path / "jobs.bin", lambda: None)
        assert await lease.take()
        await vault.begin(client, 3)
        await vault.put(Written(b"the jobs", anew=True))
        three.processes[1].kill()
        await retried(partial(js.publish, "solo.job", b"2"))
        assert (await js.get_last_msg("JOB", "solo.job")).data == b"2"
        assert await retried(lease.renew)
        assert await retried(partial(copy_of_jobs, client)) == b"the jobs"
    await client.close()


async def fenced(client: Client) -> None:
    """Of two heads one is refused, and the stream goes on: some servers lose theirs when they refuse by id."""
    looked: list[None] = []
    old, new = Fence(lambda: looked.append(None)), Fence(pytest.fail)
    old.begin(1)
    new.begin(1)
    assert await new.publish(client, b"new")
    assert not any(await asyncio.gather(*(old.publish(client, b"old") for _ in range(3))))
    assert looked
    assert await new.publish(client, b"newer")
    assert (await client.jetstream().get_last_msg("JOB", "solo.job")).data == b"newer"


async def retried(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer, once there is one."""
    while True:
        try:
            return await ask()
        except nats.errors.Error:
            await asyncio.sleep(0.05)


def test_a_nodes_certificate_does_not_make_a_server(three: Three) -> None:
    """The port between servers lets in servers alone: what comes there may do anything."""
    join = JoinFile.read(three.folder.join_path("a"))
    assert not let_in(join.tls_context(), three.route_port)
    context = ssl.create_default_context(cadata=join.ca_pem)
    context.load_cert_chain(three.folder.path / "server.pem", three.folder.path / "server.key")
    assert let_in(context, three.route_port)


def let_in(context: ssl.SSLContext, port: int) -> bool:
    """Whether the port between servers speaks to this certificate."""
    try:
        with (
            socket.create_connection((HOSTS[0], port), 20) as plain,
            context.wrap_socket(plain, server_hostname=HOSTS[0]) as secure,
        ):
            return secure.recv(10).startswith(b"INFO")
    except (ssl.SSLError, ConnectionError, TimeoutError):
        return False


def test_the_name_has_to_be_given(three: Three, tmp_path: Path) -> None:
    command = [nats_server(), "-t", "-c", str(three.folder.path / "nats.conf")]
    done = subprocess.run(command, env={}, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert NAME_VARIABLE in done.stderr
