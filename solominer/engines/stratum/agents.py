"""What is known of miners by their user agent: how large a coinbase they take, and where their difficulty starts.

The figures come from the clients' sources and their issue threads (docs/stratum.md). The first pattern that the lower
case user agent contains decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

DEFAULT_COINBASE_BYTES = 255
_FRAME_ROOM = 600
"""What a frame of Stratum V2 with an extended job holds beside the coinbase, with 14 hashes of a Merkle path."""


@dataclass(frozen=True, slots=True)
class Agent:
    """A class of clients.

    `coinbase_bytes` is the longest stripped coinbase they handle; `fractional` ones may get a difficulty below 1
    without asking for it. `frame_bytes` is the longest frame of Stratum V2 that they handle.
    """

    start_difficulty: float
    coinbase_bytes: int = DEFAULT_COINBASE_BYTES
    shares_per_minute: float = 18.0
    fractional: bool = False
    least_difficulty: float = 0.0
    frame_bytes: int = 8192

    @property
    def v2_coinbase_bytes(self) -> int:
        """The longest stripped coinbase that they handle in Stratum V2."""
        return self.frame_bytes - _FRAME_ROOM


UNKNOWN = Agent(1024.0)

AGENTS: tuple[tuple[str, Agent], ...] = (
    ("nerdqaxe", Agent(4096.0, 6_500, frame_bytes=2048)),
    ("nerdaxe", Agent(1024.0, 6_500, frame_bytes=2048)),
    ("nerdoctaxe", Agent(8192.0, 6_500, frame_bytes=2048)),
    ("bitaxe", Agent(1024.0, 6_500)),
    ("nerdminer", Agent(0.001, shares_per_minute=6.0, fractional=True)),
    ("han_solominer", Agent(0.001, shares_per_minute=6.0, fractional=True)),
    ("nmminer", Agent(0.001, shares_per_minute=6.0, fractional=True)),
    ("leafminer", Agent(0.001, shares_per_minute=6.0, fractional=True)),
    ("tinyminer", Agent(0.001, shares_per_minute=6.0, fractional=True)),
    ("esp32", Agent(0.001, shares_per_minute=6.0, fractional=True)),
    ("cpuminer", Agent(0.02, fractional=True)),
    ("ccminer", Agent(0.1, fractional=True)),
    ("solominer", Agent(0.02, 16_000, fractional=True)),
    ("whatsminer", Agent(65_536.0, 6_500)),
    ("btminer", Agent(65_536.0, 6_500)),
    ("powerplay", Agent(65_536.0, 16_000)),
    ("xminer", Agent(65_536.0, 16_000)),
    ("vnish", Agent(65_536.0, 16_000)),
    ("bosminer", Agent(65_536.0, 2_250)),
    ("bos", Agent(65_536.0, 2_250)),
    ("antminer s21", Agent(131_072.0, 2_250)),
    ("antminer", Agent(65_536.0, 750)),
    ("bmminer", Agent(65_536.0, 750)),
    ("nicehash", Agent(1_048_576.0, shares_per_minute=6.0, least_difficulty=524_288.0)),
    ("apollo", Agent(1024.0)),
    ("bfgminer", Agent(64.0)),
    ("cgminer", Agent(1024.0)),
)


@lru_cache(maxsize=1024)
def agent_of(user_agent: str) -> Agent:
    """The class of a client by what it calls itself."""
    name = user_agent.lower()
    return next((agent for pattern, agent in AGENTS if pattern in name), UNKNOWN)
