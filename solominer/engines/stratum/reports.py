"""Reports to the daemon about sessions and connections."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from solominer.engines.stratum.extranonces import Held
from solominer.engines.stratum.session import Session

if TYPE_CHECKING:
    from solominer.engines.stratum.connection import Connection
    from solominer.engines.stratum.v2.session import V2Session


def session_of(session: Session | V2Session) -> Held | None:
    """What the daemon keeps of a session that can be resumed."""
    if not isinstance(session, Session) or session.held is None:
        return None
    session.held.difficulty = session.difficulty.announced
    return session.held


def connection_record(connection: Connection, now: float) -> dict[str, str | int | float]:
    """Of a logged-in connection: its first worker, how long it was open, shares, hash rate with its interval.

    The rate is left out where several channels have difficulties of their own.
    """
    session = connection.session
    assert session is not None
    proven = session.difficulty if isinstance(session, Session) else session
    rate, low, high = proven.rate_interval_hps(now)
    record: dict[str, str | int | float] = {
        "worker": next((each.name for each in session.workers.values()), "(no channel)"),
        "user_agent": session.user_agent,
        "secs": round(now - connection.opened_at, 1),
        "shares": proven.shares,
    }
    return record | ({"rate_hps": rate, "rate_low_hps": low, "rate_high_hps": high} if high < math.inf else {})
