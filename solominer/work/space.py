"""Header space of a job: extranonce2 x version bits x ntime x nonce.

Workers have disjoint extranonce2 values, so no header is hashed twice. For each extranonce2 a worker searches version
bits and nonces, and rolls ntime last.
"""

from __future__ import annotations

from dataclasses import dataclass

from solominer.chain.target import decode_compact, encode_compact
from solominer.work.template import Template


@dataclass(frozen=True, slots=True)
class HeaderSpace:
    """What may vary besides the extranonce: version bits in `version_mask` and ntime in `ntime_min..ntime_max`.

    `version` is the template's; rolled versions differ from it only within the mask.
    """

    version: int
    version_mask: int
    ntime_min: int
    ntime_max: int

    @classmethod
    def of(cls, template: Template, roll_secs: int) -> HeaderSpace:
        """The space of a template. ntime starts at curtime, never at the local clock (rule 18).

        On networks with minimum-difficulty blocks after 20 minutes (testnet3, testnet4, regtest), the required bits
        depend on the time, so ntime is not rolled (rule 17) unless the template has minimum difficulty already.
        """
        network = template.network
        frozen = network.min_difficulty_blocks and template.target != _easiest(network.pow_limit)
        latest = template.curtime if frozen else template.curtime + roll_secs
        return cls(template.version, template.version_mask, template.curtime, min(latest, 0xFFFFFFFF))

    def version_with(self, bits: int) -> int:
        """The version with `bits` rolled in (BIP 310: bits outside the mask are kept from the job)."""
        return (self.version & ~self.version_mask) | (bits & self.version_mask)


def _easiest(pow_limit: int) -> int:
    """The proof-of-work limit rounded to its compact form: the target of a minimum-difficulty block."""
    return decode_compact(encode_compact(pow_limit))
