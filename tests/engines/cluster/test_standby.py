"""What a daemon that stands by needs of the servers: the lease of the head, and a copy of its jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.js.errors import APIError, NotFoundError

from solominer.engines.cluster import subjects
from solominer.engines.cluster.known_jobs import KeptJob, KnownJobs
from solominer.engines.cluster.lease import HeadLease
from solominer.engines.cluster.vault import Vault, copy_of_jobs
from solominer.engines.jobs_file import JobsFile
from solominer.setup.cluster.folder import ClusterFolder
from tests.engines.cluster.rig import next_job
from tests.engines.cluster.server import head_of, made, running
from tests.work.builders import mining


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterFolder]:
    folder = made(tmp_path_factory.mktemp("standby"), [])
    with running(folder):
        yield folder


@pytest.fixture
async def client(cluster: ClusterFolder) -> AsyncIterator[Client]:
    found = await head_of(cluster)
    yield found
    for stream in (f"KV_{subjects.LEASE_BUCKET}", subjects.VAULT_STREAM):
        with suppress(NotFoundError):
            await found.jsm().delete_stream(stream)
    await found.close()


async def test_one_of_two_is_the_head_until_it_lets_go(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("solominer.engines.cluster.lease.SILENT_SECS", 60)
    one, two = (HeadLease(client, 1) for _ in range(2))
    assert await one.holder() == ""
    assert [await each.take() for each in (one, two, one)] == [True, False, True]
    assert await two.holder() == await one.holder() != ""
    assert await one.renew()
    await one.release()
    assert await two.holder() == ""
    assert await two.take()
    assert not await one.renew(), "whoever comes back finds that another is the head"
    with pytest.raises(APIError):
        await one.release()
    assert await two.renew()


async def test_a_lease_that_nobody_renews_expires(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("solominer.engines.cluster.lease.SILENT_SECS", 0.5)
    one, two = (HeadLease(client, 1) for _ in range(2))
    assert await one.take()
    await client.jsm().delete_stream(f"KV_{subjects.LEASE_BUCKET}")
    assert await one.renew(), "as if it had expired"
    while await two.holder():
        pass
    assert await one.renew(), "it is free, so the head that was slow keeps its place"
    while await two.holder():
        pass
    monkeypatch.setattr("solominer.engines.cluster.lease.SILENT_SECS", 60)  # two's does not expire before one looks
    await client.jsm().delete_stream(f"KV_{subjects.LEASE_BUCKET}")
    assert await two.take()
    assert not await one.renew()


@pytest.fixture
def looked() -> list[None]:
    return []


@pytest.fixture
async def vault(client: Client, tmp_path: Path, looked: list[None], monkeypatch: pytest.MonkeyPatch) -> Vault:
    monkeypatch.setattr("solominer.engines.cluster.vault.PART_BYTES", 100)
    monkeypatch.setattr("solominer.engines.cluster.known_jobs.DISK_SECS", 60)  # a job that is added is copied
    monkeypatch.setattr("solominer.engines.cluster.fence.ACK_SECS", 60.0)
    made = Vault(tmp_path / "jobs.bin", lambda: looked.append(None))
    await made.begin(client, 1)
    return made


async def test_the_servers_have_a_copy_of_the_jobs(client: Client, vault: Vault, tmp_path: Path) -> None:
    path, (_, job) = tmp_path / "jobs.bin", mining()
    assert await copy_of_jobs(client) == b""
    known = KnownJobs(path, vault)
    for number in range(1, 4):
        await known.add(7, next_job(job, number))
        assert await copy_of_jobs(client) == path.read_bytes()
    assert [saved.own.run for saved in JobsFile(path, KeptJob).load()] == [7, 7, 7]
    await known.add(7, next_job(job, 4, prevhash_le=bytes(32)))
    assert await copy_of_jobs(client) == path.read_bytes()
    (saved,) = JobsFile(path, KeptJob).load()
    assert saved.template.prevhash_le == bytes(32)


async def test_a_gap_in_the_copy_is_closed(client: Client, vault: Vault, tmp_path: Path, looked: list[None]) -> None:
    path, (_, job) = tmp_path / "jobs.bin", mining()
    known = KnownJobs(path, vault)
    await known.add(7, next_job(job, 1))
    await client.jetstream().publish(subjects.VAULT, b"another head's")
    await known.add(7, next_job(job, 2))
    assert looked
    assert b"another head's" in await copy_of_jobs(client), "the old head writes nothing over the new one's"
    await vault.begin(client, 1)
    await known.add(7, next_job(job, 2))  # as it is sent again
    assert await copy_of_jobs(client) == path.read_bytes()
    assert len(JobsFile(path, KeptJob).load()) == 2


async def test_a_copy_that_was_deleted_is_made_again(
    client: Client, vault: Vault, tmp_path: Path, looked: list[None]
) -> None:
    path, (_, job) = tmp_path / "jobs.bin", mining()
    known = KnownJobs(path, vault)
    await known.add(7, next_job(job, 1))
    await client.jsm().delete_stream(subjects.VAULT_STREAM)
    await known.add(7, next_job(job, 2))
    assert looked, "the head looks, and so begins again"
    await vault.begin(client, 1)
    await known.add(7, next_job(job, 2))
    assert await copy_of_jobs(client) == path.read_bytes()
