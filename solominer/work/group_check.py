"""A second look at a group's payouts before a job leaves, by code that shares nothing with what planned them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from solominer.errors import TemplateError


def check_group(outputs: Sequence[tuple[bytes, int]], members: Iterable[tuple[str, str, int]], value: int) -> None:
    """Raises TemplateError if `outputs` (scriptPubKey, satoshis) pay a stranger, or a member twice or more than is due.

    `members` are (scriptPubKey in hex, work, balance in satoshis) of all. Only the first output may be larger than what
    is due: it holds what others are not paid yet. Rounding may add less than a satoshi for each member.
    """
    works = {bytes.fromhex(member): (int(work), balance) for member, work, balance in members}
    total = sum(work for work, _ in works.values())
    due = {script: Fraction(value * work, total) + balance for script, (work, balance) in works.items()}
    strangers = [script for script, _ in outputs if script not in due]
    over = [script for script, sats in outputs[1:] if not strangers and sats > due[script] + len(due)]
    if strangers or over or len({script for script, _ in outputs}) != len(outputs):
        raise TemplateError(
            "a job failed its own check and is not published: the outputs are not the group's",
            "nothing was mined on it; please report this with the log, it is a bug or tampering",
        )
