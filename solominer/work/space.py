"""Header space: everything that may vary in a job, and how it is divided.

extranonce2 x version bits x ntime x nonce. Workers own disjoint extranonce2 values, so no two ever hash the same
header. Within one extranonce2 a worker walks version groups and nonces, and rolls ntime last of all.
"""

from __future__ import annotations

from dataclasses import dataclass

from solominer.chain.target import decode_compact, encode_compact
from solominer.work.template import Template


@dataclass(frozen=True, slots=True)
class HeaderSpace:
    """What may vary besides the extranonce: version bits in `version_mask` and ntime in `ntime_min..ntime_max`.

    `version` is the template's own, which every rolled one differs from inside the mask only.
    """

    version: int
    version_mask: int
    ntime_min: int
    ntime_max: int

    @classmethod
    def of(cls, template: Template, roll_secs: int) -> HeaderSpace:
        """The space of a template. ntime starts at curtime, never at the local clock (rule 18).

        Where late blocks may be easier (testnet3, testnet4, regtest), a block whose bits are not the easiest must not
        be moved past the edge of 20 minutes, so its time is not rolled at all (rule 17). Rolling forward from a
        template that already has the easiest bits stays on its side of the edge.
        """
        network = template.network
        frozen = network.min_difficulty_blocks and template.target != _easiest(network.pow_limit)
        latest = template.curtime if frozen else template.curtime + roll_secs
        return cls(template.version, template.version_mask, template.curtime, min(latest, 0xFFFFFFFF))

    def version_with(self, bits: int) -> int:
        """The version with `bits` rolled in (BIP 310: bits outside the mask are kept from the job)."""
        return (self.version & ~self.version_mask) | (bits & self.version_mask)


def _easiest(pow_limit: int) -> int:
    """The limit as the compact form can say it: what bits of the easiest block decode to."""
    return decode_compact(encode_compact(pow_limit))
