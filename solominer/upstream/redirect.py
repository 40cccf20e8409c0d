"""Which hosts a pool may send us to (client.reconnect): its own domain's only."""

from __future__ import annotations

from solominer.config.forms import is_address

_SHORT_LABEL = 3


def may_redirect(configured: str, host: str) -> bool:
    """Whether `host` belongs to the domain of the `configured` host.

    That is the same host, one below it, or one beside it: `eu.pool.example.org` may send to `us.pool.example.org`. An
    address may only send to itself. Registries' own domains such as `co.uk` are no domain of anybody.
    """
    ours, theirs = configured.lower().rstrip("."), host.lower().rstrip(".")
    if ours == theirs:
        return True
    if is_address(ours) or is_address(theirs):
        return False
    _, _, parent = ours.partition(".")
    labels = parent.split(".")
    is_registry = len(labels) < 2 or (len(labels) == 2 and len(labels[1]) == 2 and len(labels[0]) <= _SHORT_LABEL)
    domains = [ours] if is_registry else [ours, parent]
    return any(theirs == domain or theirs.endswith(f".{domain}") for domain in domains if "." in domain)
