"""The settings: one frozen model for each group, with its bounds, its default and what it is for."""

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
from solominer.config.hours import parse_hours
from solominer.config.listeners import GroupWindow, ListenerConfig, StratumLimits, as_listeners
from solominer.config.modes import MODES, Mode, mode_named
from solominer.config.part import LOWERED, AnyPath, Part
from solominer.config.paths import default_data_dir
from solominer.config.payees import PayoutSplit, payees_of
from solominer.errors import ConfigError

MAX_TAG_BYTES = 60

_NUMBER = BeforeValidator(forms.quantity(forms.PLAIN, "0.5"))
_SECS = BeforeValidator(forms.quantity(forms.SECONDS, "30, 30s, 5m or 1h"))
_DAYS = BeforeValidator(forms.quantity(forms.DAYS, "400, 400d or 1y"))
_GIGABYTES = BeforeValidator(forms.quantity(forms.GIGABYTES, "4, 4GB or 512MB"))
_SHARE = BeforeValidator(forms.quantity(forms.SHARE, "0.5 or 50%"))
_CELSIUS = BeforeValidator(forms.quantity(forms.CELSIUS, "80"))
_WATTS = BeforeValidator(forms.quantity(forms.WATTS, "250, 250W or 1.2kW"))
_RATE = BeforeValidator(forms.quantity(forms.RATE, "40e6 or 40M"))
_WHOLE = BeforeValidator(forms.whole)

Port = Annotated[int, Field(ge=1, le=65535), _WHOLE]
Seconds = Annotated[float, Field(ge=0.01, le=86400), _SECS]
Share = Annotated[float, Field(ge=0, le=1), _SHARE]
PositiveShare = Annotated[float, Field(gt=0, le=1), _SHARE]
Gigabytes = Annotated[float, Field(gt=0, le=1e6), _GIGABYTES]
Period = Annotated[float, Field(gt=0, le=366 * 86400), _SECS]
Amount = Annotated[float, Field(ge=0, le=1e15), _NUMBER]
PositiveAmount = Annotated[float, Field(gt=0, le=1e15), _NUMBER]


def _as_hours(text: str) -> str:
    parse_hours(text)
    return text


Hours = Annotated[str, AfterValidator(_as_hours)]


LIVE: dict[str, Any] = {"live": True}
"""Marks a setting whose new value a running daemon takes at a reload; the others need a restart."""


class ZmqConfig(Part):
    """Where the node publishes; the same addresses as in its zmqpubhashblock and zmqpubsequence lines."""

    hashblock: str | None = Field(None, description="as in bitcoin.conf: zmqpubhashblock, e.g. tcp://127.0.0.1:28332")
    sequence: str | None = Field(None, description="as in bitcoin.conf: zmqpubsequence, e.g. tcp://127.0.0.1:28333")

    @field_validator("hashblock", "sequence")
    @classmethod
    def _endpoint(cls, value: str | None) -> str | None:
        return None if value is None else forms.zmq_address(value)


class RpcConfig(Part):
    """How to reach one node. With neither a password nor a file, the node's cookie is looked for."""

    name: str = Field("", max_length=100, description="what to call this node in logs; host:port if empty")
    host: str = Field("127.0.0.1", description="name or address of the node's machine; HOST:PORT is understood")
    port: Port | None = Field(None, description="the network's default port if left out")
    username: str = Field("", description="as in the node's rpcauth line; left out, a cookie is used")
    password: SecretStr = Field(SecretStr(""), description="better in password_file or in the environment")
    password_file: AnyPath | None = Field(None, description="a file whose first line is the password")
    cookie_file: AnyPath | None = Field(None, description="the .cookie in the node's data folder")
    timeout_secs: Annotated[float, Field(ge=0.1, le=86400), _SECS] = Field(
        30.0, description="how long an answer may take"
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
            raise ValueError("host: its port is not that of the setting port; keep one of them")
        return {**value, "host": host, "port": port}

    @model_validator(mode="after")
    def _one_way_in(self) -> RpcConfig:
        given = [bool(self.password.get_secret_value()), self.password_file is not None, self.cookie_file is not None]
        if sum(given) > 1:
            raise ValueError("give only one of password, password_file and cookie_file")
        if any(given[:2]) and "username" not in self.model_fields_set:  # an empty one is possible: rpcpassword alone
            raise ValueError("a password needs a username")
        if self.username and self.cookie_file is not None:
            raise ValueError("username and cookie_file do not go together: the cookie has a user of its own")
        if self.username and not any(given) and "password" not in self.model_fields_set:
            raise ValueError('username needs password_file or password (an empty one is password: "")')
        if ":" in self.username:
            raise ValueError("username: a login over HTTP cannot have a colon in it; choose another rpcauth user")
        return self

    @property
    def has_password(self) -> bool:
        """Whether `username` and `password` are the way in."""
        named = self.username or self.password.get_secret_value()  # one of them may be empty
        return bool(named) and self.password_file is None


class NodeConfig(RpcConfig):
    """One more node; it gets every block that is found, and gives work when the ones before it cannot."""

    zmq: ZmqConfig = ZmqConfig()


class RetryConfig(Part):
    """How a found block is sent again until the chain has answered."""

    first_secs: Seconds = Field(0.25, description="wait before the first repetition; doubled each time")
    most_secs: Seconds = Field(30.0, description="longest wait between two repetitions")
    look_secs: Seconds = Field(60.0, description="how often a settled block is looked up until it is 100 deep")


class RecordsConfig(Part):
    """How long records are kept, and whether reports are signed. Reports, proofs and blocks are never deleted."""

    keep_days: Annotated[float, Field(gt=0, le=36500), _DAYS] = Field(
        400.0, description="ledger, errors and logs older than this go"
    )
    quota_gb: Gigabytes = Field(4.0, description="the oldest of them go earlier beyond this size")
    free_gb: Annotated[float, Field(ge=0, le=1e6), _GIGABYTES] = Field(
        1.0, description="or where the disk has less free than this"
    )
    signing_key: AnyPath | None = Field(None, description="an Ed25519 private key (PEM) that signs each hour's report")


class ScheduleConfig(Part):
    """When to mine, and how fast where a chain must tick like a real one. Times are the machine's local ones."""

    days: Annotated[
        Annotated[int, Field(ge=1, le=36500)] | Literal["forever"], BeforeValidator(forms.whole_or("forever"))
    ] = Field("forever", description="end after this many days, counted from the start of the run")
    days_week: Annotated[int, Field(ge=1, le=7), _WHOLE] = Field(
        7, description="mine on this many days of each week, Monday first"
    )
    hours: Hours | None = Field(None, description="mining hours, e.g. 22:00-06:00 or 00:00-08:00,20:00-24:00")
    blocks_per_day: Annotated[
        Annotated[int, Field(ge=1, le=10**9)] | Literal["random", "all"],
        BeforeValidator(forms.whole_or("random", "all")),
    ] = Field("all", description="pause after this many blocks until midnight; random draws the number anew each day")
    block_interval_secs: Annotated[float, Field(ge=1, le=366 * 86400), _SECS] | None = Field(
        None, description="regtest and signet: at least this long from one block to the next"
    )


class ThrottleConfig(Part):
    """When to pause for whatever else the machine does; each is off where it is left out."""

    max_temperature_c: Annotated[float, Field(gt=0, le=150), _CELSIUS] | None = Field(
        None, description="pause above this temperature of any sensor; on again 5 degrees below"
    )
    max_other_load: PositiveAmount | None = Field(
        None, description="pause while other programs keep more than this many cores busy"
    )
    pause_on_battery: bool = Field(False, description="pause while the machine runs on its battery")
    pause_while_active_secs: Period | None = Field(
        None, description="pause while a user has typed at a terminal within this time"
    )
    resume_after_secs: Annotated[float, Field(ge=0, le=86400), _SECS] = Field(
        60.0, description="resume when the reason has been gone for this long"
    )

    @property
    def is_on(self) -> bool:
        """Whether anything is watched at all."""
        bounds = (self.max_temperature_c, self.max_other_load, self.pause_while_active_secs)
        return self.pause_on_battery or any(bound is not None for bound in bounds)


class ElectricityConfig(Part):
    """What hashing costs: for the forecast and the policies. Nothing is fetched unless `price_url` is set."""

    watts: Annotated[float, Field(gt=0, le=1e9), _WATTS] | None = Field(
        None, description="power that the machine takes while mining"
    )
    price_per_kwh: Amount | None = Field(None, description="a fixed price, in any currency")
    price_url: SecretStr | None = Field(None, description="an HTTP address that answers with JSON that holds the price")
    price_json_path: str = Field("", description="where in it: keys and positions with points, e.g. data.0.price")
    price_scale: PositiveAmount = Field(1.0, description="0.001 turns a price per MWh into one per kWh")
    refresh_secs: Annotated[float, Field(ge=10, le=366 * 86400), _SECS] = Field(
        900.0, description="how often the price is asked for"
    )
    stale_secs: Period = Field(7200.0, description="age at which a price is not believed any more")
    currency: str = Field("", max_length=20, description="what to call the price's currency")

    @field_validator("price_url")
    @classmethod
    def _http(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("a price address begins with http:// or https://")
        return value

    @model_validator(mode="after")
    def _one_price(self) -> ElectricityConfig:
        if self.price_per_kwh is not None and self.price_url is not None:
            raise ValueError("give only one of price_per_kwh and price_url")
        return self


class PoliciesConfig(Part):
    """When to hash with fewer workers, or with none; each is off where it is left out. Intensities are shares of the
    workers. Every decision is logged with its reason."""

    dry_run: bool = Field(False, description="only say what the policies would do (also: run --dry-run)")
    look_secs: Seconds = Field(60.0, description="how often the conditions are looked at")
    intensity: PositiveShare = Field(1.0, description="share of the workers that hash normally")
    difficulty_factor: PositiveAmount | None = Field(
        None, description="lower while the next difficulty is forecast beyond this factor of today's, e.g. 1.05"
    )
    difficulty_intensity: Share = Field(0.5, description="to this; 0 stops")
    hours: Hours | None = Field(None, description="electricity hours for the normal intensity, e.g. 22:00-06:00")
    intensity_outside: Share = Field(0.5, description="outside of them; 0 stops")
    max_price_per_kwh: Amount | None = Field(None, description="stop above this price")
    max_cost_per_block: PositiveAmount | None = Field(
        None, description="stop while the electricity for a block is expected to cost more"
    )
    target_rate_hps: Annotated[float, Field(gt=0, le=1e24), _RATE] | None = Field(
        None,
        description="add workers while the measured hash rate falls below target_share of this; needs intensity < 1",
    )
    target_share: PositiveShare = Field(0.9, description="see target_rate_hps")

    @property
    def is_on(self) -> bool:
        """Whether any policy is set."""
        bounds = (self.difficulty_factor, self.max_price_per_kwh, self.max_cost_per_block, self.target_rate_hps)
        return self.intensity < 1 or self.hours is not None or any(bound is not None for bound in bounds)

    @model_validator(mode="after")
    def _can_add_workers(self) -> PoliciesConfig:
        if self.target_rate_hps is not None and self.intensity == 1:
            raise ValueError("target_rate_hps has no workers to add: set intensity below 1")
        return self


class Config(Part):
    """Everything that can be set. A node that is named here always wins over a private one."""

    mode: Annotated[str, LOWERED] = Field("production", description=f"what to do: {', '.join(MODES)}")
    network: Annotated[str, LOWERED] | None = Field(
        None, description="only where the mode leaves it open (staging, test, demo)"
    )
    bitcoin_rpc: RpcConfig | None = Field(None, description="your node; left out on regtest, a private one is started")
    zmq: ZmqConfig = ZmqConfig()
    more_nodes: tuple[NodeConfig, ...] = ()
    payout_address: str = Field("", description="where the reward goes; your own wallet, this network")
    payout_split: PayoutSplit = ()
    coinbase_tag: str = Field("/solominer/", description="written into the coinbase of your blocks")
    auto_detect: bool = Field(True, description="look for the node's cookie and take cores and memory from the machine")
    cpu_cores_reserved: Annotated[int, Field(ge=0, le=4096), _WHOLE] = Field(
        1, description="cores left to everything else", json_schema_extra=LIVE
    )
    cpu_workers: Annotated[int, Field(ge=0, le=4096), _WHOLE] | None = Field(
        None, description="CPU workers; left out, one for each core that is not reserved. 0: only Stratum miners work"
    )
    stratum: Annotated[tuple[ListenerConfig, ...], BeforeValidator(as_listeners)] = Field(
        (), description="where miners connect over Stratum V1, e.g. 0.0.0.0:3333", json_schema_extra=LIVE
    )
    stratum_limits: StratumLimits = Field(StratumLimits(), json_schema_extra=LIVE)
    group_window: GroupWindow = 5.0
    max_memory_gb: Gigabytes | None = Field(None, description="ceiling for the whole program", json_schema_extra=LIVE)
    kernel: str | None = Field(None, description="name of a hash kernel; left out, the fastest one is chosen")
    plan: AnyPath | None = Field(
        None, description="plan.yaml: how header space is searched; left out, the default plan"
    )
    nice: Annotated[int, Field(ge=0, le=19), _WHOLE] = Field(
        10, description="scheduling priority of the workers, 19 yields most", json_schema_extra=LIVE
    )
    data_dir: AnyPath | None = Field(None, description="reports, proofs, found blocks; default: the user's data folder")
    journal_fallback_dir: AnyPath | None = Field(None, description="second place for found blocks if the first fails")
    bitcoind: AnyPath | None = Field(None, description="bitcoind for a private node; left out, one is found or fetched")
    refresh_secs: Seconds = Field(30.0, description="age at which a template is fetched anew", json_schema_extra=LIVE)
    poll_secs: Seconds = Field(1.0, description="how often the best hash is asked for behind ZMQ")
    stale_secs: Seconds = Field(
        60.0, description="how long work goes on while no node is healthy", json_schema_extra=LIVE
    )
    empty_first: bool | None = Field(
        None, description="mine an empty block until the full template of a new tip is in; left out: not on regtest"
    )
    shares_per_hour: Annotated[float, Field(ge=0.001, le=3_600_000), _NUMBER] = Field(
        1000.0, description="evidence: shares an hour", json_schema_extra=LIVE
    )
    retry: RetryConfig = RetryConfig()
    records: RecordsConfig = RecordsConfig()
    schedule: ScheduleConfig = Field(ScheduleConfig(), json_schema_extra=LIVE)
    throttle: ThrottleConfig = Field(ThrottleConfig(), json_schema_extra=LIVE)
    electricity: ElectricityConfig = ElectricityConfig()
    policies: PoliciesConfig = PoliciesConfig()
    log_level: Annotated[Literal["debug", "info", "warning", "error"], LOWERED] = Field(
        "info", description="least important lines that are logged", json_schema_extra=LIVE
    )

    @field_validator("coinbase_tag")
    @classmethod
    def _tag_fits(cls, value: str) -> str:
        if len(value.encode()) > MAX_TAG_BYTES:
            raise ValueError(f"the tag has {len(value.encode())} bytes, {MAX_TAG_BYTES} are allowed")
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
            raise ValueError(f"there is no such network, use one of {', '.join(NETWORKS)}")
        return name

    @model_validator(mode="after")
    def _nodes_differ(self) -> Config:
        first = next(iter(self.more_nodes), None)
        if self.bitcoin_rpc is None and first is not None and ZmqConfig() not in (self.zmq, first.zmq):
            raise ValueError("zmq belongs to bitcoin_rpc, which is not set; keep the zmq in more_nodes alone")
        names = [self.name_of(node) for node in self.nodes]
        if len(set(names)) != len(names):
            raise ValueError("two nodes have the same name, or are the same; give each in more_nodes a name of its own")
        return self

    @model_validator(mode="after")
    def _somebody_works(self) -> Config:
        if self.cpu_workers == 0 and not self.stratum:
            raise ValueError("cpu_workers is 0 and there is no stratum listener: nobody would mine")
        places = [listener.listen for listener in self.stratum]
        if len(set(places)) != len(places):
            raise ValueError("stratum: two listeners have the same address")
        return self

    @model_validator(mode="after")
    def _network_fits_mode(self) -> Config:
        if self.network is not None and not MODES[self.mode].allows(self.network):
            raise ValueError(f"network {self.network!r} does not go with mode {self.mode!r}; leave it out")
        if self.schedule.block_interval_secs is not None and self.chain.name not in ("regtest", "signet"):
            raise ValueError("schedule.block_interval_secs is for regtest and signet alone; leave it out")
        return self

    @model_validator(mode="after")
    def _policies_know_costs(self) -> Config:
        policies, costs = self.policies, self.electricity
        priced = costs.price_per_kwh is not None or costs.price_url is not None
        if policies.max_price_per_kwh is not None and not priced:
            raise ValueError("policies.max_price_per_kwh needs electricity.price_per_kwh or price_url")
        if policies.max_cost_per_block is not None and not (priced and costs.watts is not None):
            raise ValueError("policies.max_cost_per_block needs electricity.watts and a price")
        return self

    @property
    def mode_rules(self) -> Mode:
        """What the mode does."""
        return MODES[self.mode]

    @property
    def chain(self) -> Network:
        """Parameters of the network that the mode, or `network`, stands for."""
        return network_named(self.network or self.mode_rules.network)

    @property
    def nodes(self) -> tuple[NodeConfig, ...]:
        """The nodes that are named, the main one first: bitcoin_rpc, or the first of more_nodes without it."""
        if self.bitcoin_rpc is not None:
            rpc = self.bitcoin_rpc
            main = NodeConfig.model_construct(rpc.model_fields_set, **dict(rpc), zmq=self.zmq)
            return (main, *self.more_nodes)
        if self.more_nodes and self.more_nodes[0].zmq == ZmqConfig():
            return (self.more_nodes[0].model_copy(update={"zmq": self.zmq}), *self.more_nodes[1:])
        return self.more_nodes

    def name_of(self, node: RpcConfig) -> str:
        """What a node is called in logs."""
        host = f"[{node.host}]" if ":" in node.host else node.host
        return node.name or f"{host}:{node.port or self.chain.rpc_port}"

    @property
    def payees(self) -> tuple[tuple[str, int], ...]:
        """(address, basis points) of everybody that a block pays; an empty address is the private node's wallet."""
        return payees_of(self.payout_address, self.payout_split)

    @property
    def names_a_node(self) -> bool:
        """Whether somebody's own node is to be used."""
        return bool(self.nodes)

    @property
    def wants_private_node(self) -> bool:
        """Whether a private regtest node is to be started."""
        return self.chain.name == "regtest" and not self.mode_rules.simulated and not self.names_a_node

    @property
    def mines_empty_first(self) -> bool:
        """`empty_first`; on regtest an empty block would be solved before the template with its transactions is in."""
        return not self.chain.no_retarget if self.empty_first is None else self.empty_first

    @property
    def tree_name(self) -> str:
        """The folder of this run's records in `records_dir`."""
        return self.mode_rules.tree_name(self.chain.name)

    @property
    def is_empty(self) -> bool:
        """Whether neither a node nor a payout address is named, as without any config.json."""
        return self.bitcoin_rpc is None and self.payees[0][0] == ""

    @property
    def records_dir(self) -> Path:
        """The folder of everything that is kept; the network's own folder lies in it."""
        return self.data_dir or default_data_dir()


def reloads_live(key: str) -> bool:
    """Whether a running daemon takes a new value of this setting; `key` is a field of Config, or one inside a group."""
    return Config.model_fields[key.partition(".")[0]].json_schema_extra == LIVE
