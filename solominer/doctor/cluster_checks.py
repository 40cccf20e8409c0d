"""Checks of a cluster: its certificates, and the servers that hold its jobs and shares."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import nats
from nats.errors import Error as NatsError

from solominer.config.models import Config
from solominer.doctor.check import Check, CheckOutcome, Finding, failed, ok, run_checks, skipped, warning
from solominer.engines.cluster.join_file import ClusterFiles, read_pem
from solominer.engines.cluster.nats_server import check_configuration, find_nats_server
from solominer.engines.cluster.server_facts import ServerFacts, server_facts
from solominer.engines.cluster.tls import check_dates
from solominer.errors import NotRunning
from solominer.records.control_client import ask

CONNECT_SECS = 3
SOON_DAYS = 60
_UNSEEN = "check that it is 2.15 or later, with sync_interval: always in its jetstream block"


def examine_cluster(config: Config) -> Iterator[Finding]:
    """All checks, with `cluster` as the subject."""
    checks = _ClusterChecks(config)
    embedded = [Check("nats-server", checks.program), Check("nats.conf", checks.configuration, ("nats-server",))]
    yield from run_checks(
        [
            Check("certificates", checks.certificates),
            *(embedded if config.cluster.is_embedded else []),
            Check("servers", checks.servers, ("certificates",)),
        ],
        "cluster",
    )


class _ClusterChecks:
    def __init__(self, config: Config) -> None:
        self._config = config

    def certificates(self) -> CheckOutcome:
        folder = self._config.cluster_dir
        again = f"solominer cluster init --dir {folder}"
        ClusterFiles.read(folder).tls_context()
        last = min(
            check_dates(read_pem(folder / f"{name}.pem", again), whose, again)
            for name, whose in (("server", "the servers"), ("head", "the head"), ("ca", "the cluster itself"))
        )
        if (days := (last - datetime.now(UTC)).days) < SOON_DAYS:
            return warning(f"the first certificate expires in {days} days", f"{again}, then restart the servers")
        return ok(f"valid until {last:%Y-%m-%d}")

    def program(self) -> CheckOutcome:
        server = find_nats_server(self._config.cluster.server)
        return ok(f"nats-server {server.version} ({server.path})")

    def configuration(self) -> CheckOutcome:
        path = self._config.cluster_dir / "nats.conf"
        check_configuration(find_nats_server(self._config.cluster.server), path)
        return ok(str(path))

    def servers(self) -> CheckOutcome:
        files = ClusterFiles.read(self._config.cluster_dir)
        embedded = self._config.cluster.is_embedded
        if embedded and not self._daemon_runs():
            return skipped("the daemon starts the server, and is not running")
        urls = (files.local_url,) if embedded else self._config.cluster.servers
        try:
            found = asyncio.run(_ask_servers(urls, files))
        except (NatsError, OSError, TimeoutError) as error:
            return failed(
                f"no server at {', '.join(urls)} lets the head in: {str(error) or type(error).__name__}",
                "start it with the nats.conf of solominer cluster init; see its log",
            )
        if not found:
            return warning(f"{', '.join(urls)}: answers, but does not tell its settings", _UNSEEN)
        problems = [facts.problem() for facts in found]
        wrong = next((each for each in problems if each[0]), None)
        if wrong is not None:
            return failed(*wrong)
        if len(found) < len(urls):
            names = ", ".join(facts.name for facts in found)
            return warning(f"of {len(urls)} servers {len(found)} answered: {names}", "see the log of the others")
        return ok("; ".join(f"{facts.name} {facts.version}, JetStream, sync_interval: always" for facts in found))

    def _daemon_runs(self) -> bool:
        try:
            ask(self._config.tree_dir, {"do": "status"})
        except NotRunning:
            return False
        return True


async def _ask_servers(urls: tuple[str, ...], files: ClusterFiles) -> list[ServerFacts]:
    async def quiet(error: Exception) -> None:
        """The first attempt's error is raised by connect."""

    client = await nats.connect(
        list(urls),
        tls=files.tls_context(),
        allow_reconnect=False,
        connect_timeout=CONNECT_SECS,
        max_reconnect_attempts=1,
        error_cb=quiet,
    )
    try:
        return await server_facts(client, len(urls))
    finally:
        await client.close()
