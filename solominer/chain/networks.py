"""Parameters of the networks, passed explicitly, never global (src/kernel/chainparams.cpp)."""

from __future__ import annotations

from dataclasses import dataclass

from solominer.errors import ConfigError

COIN = 100_000_000


@dataclass(frozen=True, slots=True)
class Network:
    """Parameters that differ between networks.

    `chain` is the name in getblockchaininfo, `genesis_hex` the RPC form of the first block's hash,
    `pow_limit` the easiest target, `min_difficulty_blocks` whether a late block may have the easiest target.
    """

    name: str
    chain: str
    genesis_hex: str
    rpc_port: int
    p2p_port: int
    pow_limit: int
    halving_interval: int
    retarget_interval: int
    no_retarget: bool
    min_difficulty_blocks: bool
    bech32_hrp: str
    for_testing: bool

    @property
    def folder(self) -> str:
        """The network's subfolder of the data folder (src/chainparamsbase.cpp)."""
        return "" if self.chain == "main" else self.name

    def subsidy(self, height: int) -> int:
        """Newly created satoshis in the block at `height` (GetBlockSubsidy)."""
        halvings = height // self.halving_interval
        return 0 if halvings >= 64 else (50 * COIN) >> halvings

    def is_retarget_height(self, height: int) -> bool:
        """Whether a period of difficulty begins with the block at `height`."""
        return height % self.retarget_interval == 0

    def may_change_bits(self, height: int) -> bool:
        """Whether the block at `height` may have other bits than its parent, so that only the node knows them."""
        return (self.is_retarget_height(height) or self.min_difficulty_blocks) and not self.no_retarget


_LIMIT_224 = (1 << 224) - 1

MAINNET = Network(
    "mainnet", "main", "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f", 8332, 8333,
    _LIMIT_224, 210_000, 2016, False, False, "bc", False,
)  # fmt: skip
TESTNET3 = Network(
    "testnet3", "test", "000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943", 18332, 18333,
    _LIMIT_224, 210_000, 2016, False, True, "tb", True,
)  # fmt: skip
TESTNET4 = Network(
    "testnet4", "testnet4", "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043", 48332, 48333,
    _LIMIT_224, 210_000, 2016, False, True, "tb", True,
)  # fmt: skip
SIGNET = Network(
    "signet", "signet", "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6", 38332, 38333,
    0x377AE << 216, 210_000, 2016, False, False, "tb", True,
)  # fmt: skip
REGTEST = Network(
    "regtest", "regtest", "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206", 18443, 18444,
    (1 << 255) - 1, 150, 144, True, True, "bcrt", True,
)  # fmt: skip

NETWORKS = {network.name: network for network in (MAINNET, TESTNET3, TESTNET4, SIGNET, REGTEST)}
NETWORK_OF_CHAIN = {network.chain: network for network in NETWORKS.values()}


def network_named(name: str) -> Network:
    """The network called `name` (mainnet, testnet3, testnet4, signet, regtest). Raises ConfigError for another."""
    try:
        return NETWORKS[name]
    except KeyError:
        raise ConfigError(f"unknown network {name!r}", f"use one of {', '.join(NETWORKS)}") from None
