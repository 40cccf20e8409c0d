"""The settings: one frozen model for each group, with bounds, defaults and descriptions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from solominer.chain.address import without_uri
from solominer.chain.networks import NETWORK_OF_CHAIN, NETWORKS, Network, network_named
from solominer.config import forms
from solominer.config.alerts import AlertsConfig
from solominer.config.cluster import ClusterConfig
from solominer.config.devices import DeviceConfig, DevicePolling, distinct
from solominer.config.gpu import GpuConfig
from solominer.config.listeners import GroupWindow, ListenerConfig, StratumLimits, as_listeners
from solominer.config.modes import MODES, Mode, mode_named
from solominer.config.mqtt import MqttConfig
from solominer.config.part import LOWERED, AnyPath, Part
from solominer.config.paths import default_data_dir
from solominer.config.payees import PayoutSplit, payees_of
from solominer.config.pools import MOST_POOLS, PoolConfig, as_pools
from solominer.config.quantities import DAYS, GIGABYTES, NUMBER, SECS, WHOLE, Gigabytes, Port, Seconds
from solominer.config.steering import ElectricityConfig, PoliciesConfig, ScheduleConfig, ThrottleConfig
from solominer.config.web import WebConfig
from solominer.errors import ConfigError

MAX_TAG_BYTES = 60
MAX_CORES = 4096

LIVE: dict[str, Any] = {"live": True}
"""Marks a setting that a reload applies; all others require a restart."""


class ZmqConfig(Part):
    """The node's ZMQ addresses, as in the zmqpubhashblock and zmqpubsequence lines of bitcoin.conf."""

    hashblock: str | None = Field(None, description="as in bitcoin.conf: zmqpubhashblock, e.g. tcp://127.0.0.1:28332")
    sequence: str | None = Field(None, description="as in bitcoin.conf: zmqpubsequence, e.g. tcp://127.0.0.1:28333")

    @field_validator("hashblock", "sequence")
    @classmethod
    def _endpoint(cls, value: str | None) -> str | None:
        return None if value is None else forms.zmq_address(value)


class RpcConfig(Part):
    """RPC connection to a node. Without password, password_file and cookie_file, the node's cookie is located."""

    name: str = Field("", max_length=100, description="name of this node in logs; default HOST:PORT")
    host: str = Field("127.0.0.1", description="host name or address of the node; HOST:PORT is accepted")
    port: Port | None = Field(None, description="RPC port; default: that of the network")
    username: str = Field("", description="as in the node's rpcauth line; without it, cookie authentication is used")
    password: SecretStr = Field(SecretStr(""), description="prefer password_file or the environment variable")
    password_file: AnyPath | None = Field(None, description="file whose first line is the password")
    cookie_file: AnyPath | None = Field(None, description="the .cookie file in the node's data directory")
    timeout_secs: Annotated[float, Field(ge=0.1, le=86400), SECS] = Field(30.0, description="timeout of an RPC call")
    ipc_socket: AnyPath | None = Field(
        None, description="socket of bitcoin-node -ipcbind=unix; default: node.sock beside the cookie, if it is there"
    )

    @model_validator(mode="before")
    @classmethod
    def _host_may_have_a_port(cls, value: Any) -> Any:
        """HOST:PORT, alone or as `host`, becomes host and port."""
        if isinstance(value, str):
            value = {"host": value}
        if not isinstance(value, dict) or not isinstance(value.get("host"), str):
            return value
        try:
            host, port = forms.host_and_port(value["host"])
        except ValueError as error:
            raise ValueError(f"host: {error}") from None
        if port is None:
            return {**value, "host": host}
        if str(value.get("port") or port).strip() != str(port):
            raise ValueError("host: its port differs from the setting port; keep one of them")
        return {**value, "host": host, "port": port}

    @model_validator(mode="after")
    def _one_way_in(self) -> RpcConfig:
        given = [bool(self.password.get_secret_value()), self.password_file is not None, self.cookie_file is not None]
        if sum(given) > 1:
            raise ValueError("set only one of password, password_file and cookie_file")
        if any(given[:2]) and "username" not in self.model_fields_set:  # may be empty, with rpcpassword alone
            raise ValueError("a password requires a username")
        if self.username and self.cookie_file is not None:
            raise ValueError("set either username or cookie_file: the cookie contains its own username")
        if self.username and not any(given) and "password" not in self.model_fields_set:
            raise ValueError('username requires password_file or password (if empty, password: "")')
        if ":" in self.username:
            raise ValueError("username: must not contain a colon (HTTP basic authentication); use another rpcauth user")
        return self

    @property
    def has_password(self) -> bool:
        """Whether to authenticate with `username` and `password`."""
        named = self.username or self.password.get_secret_value()  # one of them may be empty
        return bool(named) and self.password_file is None


class NodeConfig(RpcConfig):
    """A further node. Every found block is submitted to it; it provides templates when the nodes before it cannot."""

    zmq: ZmqConfig = ZmqConfig()


class RetryConfig(Part):
    """How the submission of a found block is retried."""

    first_secs: Seconds = Field(0.25, description="delay before the first retry; doubled each time")
    most_secs: Seconds = Field(30.0, description="maximum delay between retries")
    look_secs: Seconds = Field(60.0, description="interval of checks of an accepted block until 100 confirmations")


class RecordsConfig(Part):
    """Retention of records, and the key that signs reports. Reports, proofs and blocks are never deleted."""

    keep_days: Annotated[float, Field(gt=0, le=36500), DAYS] = Field(
        400.0, description="ledgers, errors and logs older than this are deleted"
    )
    quota_gb: Gigabytes = Field(4.0, description="above this size the oldest are deleted earlier")
    free_gb: Annotated[float, Field(ge=0, le=1e6), GIGABYTES] = Field(
        1.0, description="below this free disk space the oldest are deleted earlier"
    )
    signing_key: AnyPath | None = Field(None, description="Ed25519 private key (PEM) that signs the hourly reports")


class Config(Part):
    """All settings. A private node is started only if none is configured."""

    mode: Annotated[str, LOWERED] = Field("production", description=f"one of {', '.join(MODES)}")
    network: Annotated[str, LOWERED] | None = Field(
        None, description="network, for modes that allow several (staging, test, demo)"
    )
    bitcoin_rpc: RpcConfig | None = Field(None, description="your node; without one a private node runs on regtest")
    zmq: ZmqConfig = ZmqConfig()
    more_nodes: tuple[NodeConfig, ...] = ()
    payout_address: str = Field(
        "", description="address of your own wallet that receives the reward, or what payout_split leaves of it"
    )
    payout_split: PayoutSplit = ()
    coinbase_tag: str = Field("/solominer/", description="text in the coinbase of your blocks")
    auto_detect: bool = Field(True, description="locate the node's cookie, and detect cores and memory")
    cpu_cores_reserved: Annotated[int, Field(ge=0, le=MAX_CORES), WHOLE] = Field(
        1, description="cores reserved for other programs", json_schema_extra=LIVE
    )
    cpu_workers: Annotated[int, Field(ge=0, le=MAX_CORES), WHOLE] | None = Field(
        None,
        description="number of CPU workers; default: one per unreserved core, none in a proxy; may be 0 beside others",
    )
    gpu: GpuConfig = GpuConfig()
    stratum: Annotated[tuple[ListenerConfig, ...], BeforeValidator(as_listeners)] = Field(
        (), description="addresses of the Stratum server, e.g. 0.0.0.0:3333", json_schema_extra=LIVE
    )
    stratum_limits: StratumLimits = Field(StratumLimits(), json_schema_extra=LIVE)
    stratum_processes: Annotated[int, Field(ge=1, le=16), WHOLE] = Field(
        1, description="processes of the Stratum server, which share its ports; one serves some thousand miners"
    )
    group_window: GroupWindow = 5.0
    pools: Annotated[tuple[PoolConfig, ...], Field(max_length=MOST_POOLS), BeforeValidator(as_pools)] = Field(
        (), description="pools of mode pool, the preferred one first, e.g. stratum+tcp://USER@pool.example.org:3333"
    )
    fallback_pool: Annotated[tuple[PoolConfig, ...], Field(max_length=MOST_POOLS), BeforeValidator(as_pools)] = Field(
        (), description="pool for the CPUs and GPUs while no node is healthy, as in pools; default: none, they wait"
    )
    cluster: ClusterConfig = ClusterConfig()
    web: WebConfig = WebConfig()
    alerts: AlertsConfig = AlertsConfig()
    devices: Annotated[tuple[DeviceConfig, ...], Field(max_length=256), AfterValidator(distinct)] = Field(
        (), description="miners in the house that the web server asks how they are"
    )
    device_polling: DevicePolling = DevicePolling()
    mqtt: MqttConfig = MqttConfig()
    max_memory_gb: Gigabytes | None = Field(None, description="memory limit of all processes", json_schema_extra=LIVE)
    kernel: str | None = Field(None, description="name of a hash kernel; default: the fastest")
    plan: AnyPath | None = Field(None, description="search plan (plan.yaml); default: the built-in plan")
    nice: Annotated[int, Field(ge=0, le=19), WHOLE] = Field(
        10, description="nice value of the workers, 19 is the lowest priority", json_schema_extra=LIVE
    )
    data_dir: AnyPath | None = Field(None, description="folder of all records; default: ~/.local/share/solominer")
    journal_fallback_dir: AnyPath | None = Field(None, description="second folder for found blocks, if data_dir fails")
    bitcoind: AnyPath | None = Field(None, description="bitcoind of a private node; default: located or downloaded")
    refresh_secs: Seconds = Field(30.0, description="age at which a template is refreshed", json_schema_extra=LIVE)
    template_source: Annotated[Literal["auto", "rpc", "ipc"], LOWERED] = Field(
        "auto", description="auto: by IPC where a socket is found, else by RPC; ipc: its absence is reported, too"
    )
    poll_secs: Seconds = Field(1.0, description="polling interval of the best block hash, in addition to ZMQ")
    stale_secs: Seconds = Field(
        60.0, description="how long to keep mining without a healthy node", json_schema_extra=LIVE
    )
    empty_first: bool | None = Field(
        None, description="mine an empty block on a new tip until its template arrives; default: except on regtest"
    )
    shares_per_hour: Annotated[float, Field(ge=0.001, le=3_600_000), NUMBER] = Field(
        1000.0, description="target number of recorded shares per hour", json_schema_extra=LIVE
    )
    retry: RetryConfig = RetryConfig()
    records: RecordsConfig = RecordsConfig()
    schedule: ScheduleConfig = Field(ScheduleConfig(), json_schema_extra=LIVE)
    throttle: ThrottleConfig = Field(ThrottleConfig(), json_schema_extra=LIVE)
    electricity: ElectricityConfig = ElectricityConfig()
    policies: PoliciesConfig = PoliciesConfig()
    log_level: Annotated[Literal["debug", "info", "warning", "error"], LOWERED] = Field(
        "info", description="minimum level of logged messages", json_schema_extra=LIVE
    )

    @field_validator("coinbase_tag")
    @classmethod
    def _tag_fits(cls, value: str) -> str:
        if len(value.encode()) > MAX_TAG_BYTES:
            raise ValueError(f"must not exceed {MAX_TAG_BYTES} bytes, has {len(value.encode())}")
        return value

    @field_validator("payout_address")
    @classmethod
    def _without_uri(cls, value: str) -> str:
        return without_uri(value)

    @field_validator("mode")
    @classmethod
    def _mode_is_known(cls, value: str) -> str:
        try:
            return mode_named(value).name
        except ConfigError as error:
            raise ValueError(f"{error.what}; {error.todo}") from None

    @field_validator("network")
    @classmethod
    def _network_is_known(cls, value: str | None) -> str | None:
        name = NETWORK_OF_CHAIN[value].name if value in NETWORK_OF_CHAIN else value  # chain= in bitcoin.conf
        if name is not None and name not in NETWORKS:
            raise ValueError(f"unknown network; use one of {', '.join(NETWORKS)}")
        return name

    @model_validator(mode="after")
    def _nodes_differ(self) -> Config:
        first = next(iter(self.more_nodes), None)
        if self.bitcoin_rpc is None and first is not None and ZmqConfig() not in (self.zmq, first.zmq):
            raise ValueError("zmq requires bitcoin_rpc, which is not set; keep only the zmq of more_nodes")
        names = [self.name_of(node) for node in self.nodes]
        if len(set(names)) != len(names):
            raise ValueError("two nodes have the same name or address; set a different name for each in more_nodes")
        return self

    @model_validator(mode="after")
    def _somebody_works(self) -> Config:
        if self.cpu_workers == 0 and not (self.stratum or self.gpu.is_on or self.cluster.servers):
            raise ValueError("cpu_workers is 0; stratum, gpu.devices and cluster are not set: nothing would mine")
        places = [listener.listen for listener in self.stratum]
        if len(set(places)) != len(places):
            raise ValueError("stratum: two listeners have the same address")
        return self

    @model_validator(mode="after")
    def _pools_differ(self) -> Config:
        for name, pools in (("pools", self.pools), ("fallback_pool", self.fallback_pool)):
            if len({(pool.url, pool.user) for pool in pools}) != len(pools):
                raise ValueError(f"{name}: two pools have the same URL and user")
        return self

    @model_validator(mode="after")
    def _network_fits_mode(self) -> Config:
        if self.network is not None and not MODES[self.mode].allows(self.network):
            raise ValueError(f"network {self.network!r} is not allowed in mode {self.mode!r}; remove it")
        if self.schedule.block_interval_secs is not None and self.chain.name not in ("regtest", "signet"):
            raise ValueError("schedule.block_interval_secs is only for regtest and signet; remove it")
        return self

    @model_validator(mode="after")
    def _policies_know_costs(self) -> Config:
        policies, costs = self.policies, self.electricity
        priced = costs.price_per_kwh is not None or costs.price_url is not None
        if policies.max_price_per_kwh is not None and not priced:
            raise ValueError("policies.max_price_per_kwh requires electricity.price_per_kwh or price_url")
        if policies.max_cost_per_block is not None and not (priced and costs.watts is not None):
            raise ValueError("policies.max_cost_per_block requires electricity.watts and a price")
        return self

    @property
    def mode_rules(self) -> Mode:
        """Properties of the mode."""
        return MODES[self.mode]

    @property
    def chain(self) -> Network:
        """Parameters of the network, from `network` or the mode."""
        return network_named(self.network or self.mode_rules.network)

    @property
    def nodes(self) -> tuple[NodeConfig, ...]:
        """The configured nodes, the main one first: bitcoin_rpc, or without it the first of more_nodes."""
        if self.bitcoin_rpc is not None:
            rpc = self.bitcoin_rpc
            main = NodeConfig.model_construct(rpc.model_fields_set, **dict(rpc), zmq=self.zmq)
            return (main, *self.more_nodes)
        if self.more_nodes and self.more_nodes[0].zmq == ZmqConfig():
            return (self.more_nodes[0].model_copy(update={"zmq": self.zmq}), *self.more_nodes[1:])
        return self.more_nodes

    def name_of(self, node: RpcConfig) -> str:
        """The node's name in logs."""
        return node.name or f"{forms.bracketed(node.host)}:{node.port or self.chain.rpc_port}"

    @property
    def payees(self) -> tuple[tuple[str, int], ...]:
        """(address, basis points) of everybody that a block pays; an empty address is the private node's wallet."""
        return payees_of(self.payout_address, self.payout_split)

    @property
    def names_a_node(self) -> bool:
        """Whether a node is configured."""
        return bool(self.nodes)

    @property
    def wants_private_node(self) -> bool:
        """Whether to start a private regtest node."""
        no_node = self.mode_rules.simulated or self.mode_rules.at_a_pool
        return self.chain.name == "regtest" and not no_node and not self.names_a_node

    @property
    def is_proxy(self) -> bool:
        """Whether miners at our listeners mine for a pool. They have its extranonce alone: no CPU worker mines."""
        return self.mode_rules.at_a_pool and bool(self.stratum)

    @property
    def mines_empty_first(self) -> bool:
        """`empty_first`; off on regtest, where an empty block would be solved before the full template arrives."""
        return not self.chain.no_retarget if self.empty_first is None else self.empty_first

    @property
    def tree_name(self) -> str:
        """The folder of this run's records in `records_dir`."""
        return self.mode_rules.tree_name(self.chain.name)

    @property
    def tree_dir(self) -> Path:
        """The folder of this run's records and control socket."""
        return self.records_dir / self.tree_name

    @property
    def cluster_dir(self) -> Path:
        """The folder that `solominer cluster init` writes."""
        return self.cluster.dir or self.records_dir / "cluster"

    @property
    def is_empty(self) -> bool:
        """Whether neither bitcoin_rpc nor a payout address is set, as without a config.json."""
        return self.bitcoin_rpc is None and self.payees[0][0] == ""

    @property
    def records_dir(self) -> Path:
        """The folder of all records, with a subfolder for each network."""
        return self.data_dir or default_data_dir()


def reloads_live(key: str) -> bool:
    """Whether a reload applies this setting; `key` is a field of Config, or a dotted key in a group."""
    return Config.model_fields[key.partition(".")[0]].json_schema_extra == LIVE
