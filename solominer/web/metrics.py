"""`/metrics` for Prometheus, made from the daemon's newest status at each scrape.

While the daemon is not running only `solominer_up` (0), the version and the devices, which the web server itself asks,
are there: old values would look like new ones.
Counters are those of the daemon's run and start again with it, which `rate` and `increase` understand; OpenMetrics has
the start of the run as their `_created`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from solominer import __version__
from solominer.web.devices.metrics import DeviceCollector
from solominer.web.feed import DaemonFeed
from solominer.web.site import TheSite

MOST_WORKERS = 100
"""Workers with series of their own, those that came first in the run. The others are summed as `others`."""

OTHERS = "others"

Status = Mapping[str, Any]

router = APIRouter(tags=["metrics"])


@router.get("/metrics", response_class=Response)
async def metrics(request: Request, site: TheSite) -> Response:
    """The state of the run in Prometheus' text format, or OpenMetrics where that is asked for."""
    registry = CollectorRegistry()
    registry.register(DaemonCollector(site.feed))
    registry.register(DeviceCollector(site.devices))
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), headers={"Cache-Control": "no-store"}, media_type=content_type)


class DaemonCollector(Collector):
    """The metrics of one daemon."""

    def __init__(self, feed: DaemonFeed) -> None:
        self._feed = feed

    def collect(self) -> Iterator[Metric]:
        """Every metric with its samples."""
        status = self._feed.status if self._feed.running else None
        yield _gauge("up", "1 while the daemon is running, else 0.", 0 if status is None else 1)
        yield _labelled("build_info", "The version of the web server.", ["version"], [([__version__], 1)])
        if status is not None:
            yield from _run(status)
            yield from _chain(status)
            yield from _nodes(status)
            yield from _pools(status)
            yield from _workers(status)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"solominer_{name}", text, value=value)


def _labelled(name: str, text: str, labels: Sequence[str], samples: Sequence[tuple[Sequence[str], float]]) -> Metric:
    family = GaugeMetricFamily(f"solominer_{name}", text, labels=labels)
    for values, sample in samples:
        family.add_metric(values, sample)
    return family


def _run(status: Status) -> Iterator[Metric]:
    started_at = status["started_at"]
    yield _labelled(
        "run_info", "Mode and network of the run.", ["mode", "network"], [([status["mode"], status["network"]], 1)]
    )
    yield _gauge("start_time_seconds", "Start of the run, in Unix time.", started_at)
    yield _gauge("mining", "1 while the daemon has a job and is not paused, else 0.", status["status"][:6] == "mining")
    yield _gauge("pauses", "Number of reasons for which nothing is hashed now.", len(status["pauses"]))
    for name, key, text in (
        ("hash_rate_hashes_per_second", "rate_hps", "Hash rate of the last minute."),
        ("hash_rate_low_hashes_per_second", "rate_low_hps", "Lower end of the 95 % interval of the hash rate."),
        ("hash_rate_high_hashes_per_second", "rate_high_hps", "Upper end of the 95 % interval of the hash rate."),
    ):
        if status[key] is not None:
            yield _gauge(name, text, status[key])
    hashes, shares = status["hashes"], status["shares"]
    yield CounterMetricFamily(
        "solominer_hashes_total", "Hashes of the run, counted or credited for shares.", hashes, created=started_at
    )
    yield CounterMetricFamily(
        "solominer_shares_total", "Shares of the run that the daemon verified itself.", shares, created=started_at
    )
    yield _gauge("accepted_blocks", "Blocks of the run in a node's active chain.", status["accepted_blocks"])
    states: dict[str, int] = {}
    for block in status["blocks"]:
        states[block["state"]] = states.get(block["state"], 0) + 1
    yield _labelled(
        "recent_blocks",
        "Our newest blocks, 8 at most, by state.",
        ["state"],
        [([state], count) for state, count in sorted(states.items())],
    )


def _chain(status: Status) -> Iterator[Metric]:
    yield _gauge("tip_height", "Height of the tip.", status["height"])
    if status["tip_at"]:
        yield _gauge("tip_timestamp_seconds", "When the tip arrived, in Unix time.", status["tip_at"])
    yield _gauge("network_difficulty", "Difficulty of the next block.", status["network_difficulty"])
    yield _gauge("share_difficulty", "Difficulty of the shares of our own workers.", status["share_difficulty"])
    if status["template_at"]:
        yield _gauge("template_timestamp_seconds", "When the template arrived, in Unix time.", status["template_at"])
    template = status["template"]
    if template is not None:
        yield _gauge("template_transactions", "Transactions in the current job.", template["transactions"])
        yield _gauge("template_fees_satoshis", "Fees in the current job.", template["fees_sats"])
        yield _gauge("template_reward_satoshis", "Subsidy and fees in the current job.", template["reward_sats"])
        yield _gauge("template_weight", "Weight of the current job's block.", template["weight"])


def _pools(status: Status) -> Iterator[Metric]:
    pools = status.get("pools", ())

    def each(name: str, text: str, value: Callable[[Status], float]) -> Metric:
        return _labelled(f"pool_{name}", text, ["pool"], [([pool["url"]], value(pool)) for pool in pools])

    if pools:
        yield each("active", "1 for the pool that is mined at, else 0.", lambda pool: pool["active"])
        yield each("difficulty", "Share difficulty that the pool asks for.", lambda pool: pool["difficulty"])
        yield each(
            "latency_seconds", "How long the last share waited for its answer.", lambda pool: pool["latency_secs"]
        )
        outcomes = [
            ([pool["url"], outcome], pool[outcome])
            for pool in pools
            for outcome in ("accepted", "rejected", "stale", "unanswered")
        ]
        yield _labelled("pool_shares", "Shares of the run by the pool's answer.", ["pool", "outcome"], outcomes)


def _nodes(status: Status) -> Iterator[Metric]:
    nodes = status["nodes"]

    def each(name: str, text: str, value: Callable[[Status], float | None]) -> Metric:
        samples = [([node["name"]], found) for node in nodes if (found := value(node)) is not None]
        return _labelled(f"node_{name}", text, ["node"], samples)

    yield each("up", "1 while the node is usable, else 0.", lambda node: node["usable"])
    yield each("active", "1 for the node whose templates are mined, else 0.", lambda node: node["active"])
    yield each("height", "The node's height.", lambda node: node["height"])
    yield each("peers", "The node's connections.", lambda node: node["peers"])
    yield each("rpc_seconds", "How long the node took for its last health check.", lambda node: node["rpc_secs"])
    yield each("forked", "1 while the node is on another chain than another node.", lambda node: bool(node["fork"]))


def _workers(status: Status) -> Iterator[Metric]:
    workers, started_at = status["workers"], status["started_at"]
    own, rest = workers[:MOST_WORKERS], workers[MOST_WORKERS:]
    groups = [([each["worker"]], [each]) for each in own] + ([([OTHERS], rest)] if rest else [])

    def gauge(name: str, text: str, value: Callable[[Sequence[Status]], float]) -> Metric:
        return _labelled(f"worker_{name}", text, ["worker"], [(label, value(group)) for label, group in groups])

    def counter(name: str, text: str, value: Callable[[Status], float]) -> Metric:
        family = CounterMetricFamily(f"solominer_worker_{name}", text, labels=["worker"])
        for label, group in groups:
            family.add_metric(label, sum(map(value, group)), created=started_at)
        return family

    def total(key: str) -> Callable[[Sequence[Status]], float]:
        return lambda group: sum(each[key] for each in group)

    yield _gauge("workers", "Workers and miners of the run.", len(workers))
    yield _gauge("workers_alive", "Workers and miners that run or are connected.", total("alive")(workers))
    here = [(label, total("alive")(group)) for label, group in groups if group[0].get("state") != "left"]
    yield _labelled("worker_up", "1 while the worker runs or the miner is connected, else 0.", ["worker"], here)
    yield gauge("hash_rate_hashes_per_second", "Hash rate of the worker.", total("rate_hps"))
    heat = [([each["worker"]], each["temperature_c"]) for each in own if each.get("temperature_c") is not None]
    yield _labelled("worker_temperature_celsius", "Temperature of the worker's graphics card.", ["worker"], heat)
    yield gauge("connections", "Connections of the miner.", total("connections"))
    yield gauge(
        "best_difficulty",
        "Difficulty of the miner's best share of the run.",
        lambda group: max(each["best_difficulty"] for each in group),
    )
    yield counter(
        "hashes_total",
        "Hashes of the worker, counted or credited for shares.",
        lambda each: each["hashes_counted"] + each["hashes_credited"],
    )
    yield counter("shares_total", "Accepted shares of the worker.", lambda each: each["shares"])
    yield counter("rejected_shares_total", "Rejected shares of the miner.", lambda each: each["rejected"])
