"""plan.yaml for this run: read, checked for what this program and this machine can run, before anything starts."""

from __future__ import annotations

from pathlib import Path

from solominer.config.paths import expanded, plain_bytes
from solominer.engines.cpu.variants import VARIANTS, VariantInfo
from solominer.errors import PlanError
from solominer.plan.parse import parse_plan
from solominer.plan.plan import MODES, SearchPlan
from solominer.work.job import SEARCHED_SIZE


def load_plan(path: Path | None, mode: str = "main") -> SearchPlan:
    """The plan of a file (None: the default plan) for a mode of the daemon; modes that no sandbox knows get `main`.

    Raises PlanError with the group and the reason, also where the file cannot be read.
    """
    sandbox = mode if mode in MODES else "main"
    if path is None:
        return parse_plan("", sandbox)
    try:
        text = plain_bytes(expanded(path, "plan").read_bytes()).decode()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise PlanError("plan", f"cannot read {path}: {reason}", "correct `plan` in config.json") from error
    return parse_plan(text, sandbox)


def check_for_workers(plan: SearchPlan, workers: int) -> None:
    """Whether the CPU's workers can follow it. Raises PlanError("families")."""
    most_bits = 8 * SEARCHED_SIZE
    if plan.families.extranonce_bits > most_bits:
        raise PlanError(
            "families",
            f"extranonce_bits is {plan.families.extranonce_bits}, the coinbase leaves {most_bits} to workers",
            f"say extranonce_bits: {most_bits}",
        )
    if workers:
        plan.extranonce(workers - 1, workers, 0)


def kernel_for(plan: SearchPlan, wanted: str | None) -> str | None:
    """The kernel to start with: the wanted one if it can run the plan; None leaves the choice to timing.

    A plan that names lanes or midstates itself gets the best kernel of this machine that has them. Raises
    PlanError("lanes") where there is none.
    """
    if wanted is not None:
        info = next((info for info in VARIANTS if info.name == wanted), None)
        if info is not None:  # an unknown name is refused by the kernels themselves
            plan.midstates_for(info.lanes, info.midstates)
        return wanted
    if not plan.lanes.lanes and not plan.lanes.midstates:
        return None
    fit = [info.name for info in _usual_here() if _can_run(info, plan)]
    if not fit:
        raise PlanError(
            "lanes",
            f"no kernel of this machine has {plan.lanes.lanes or 'any'} lanes and takes "
            f"{plan.lanes.midstates or 'any'} midstates",
            "say auto",
        )
    return fit[0]


def _can_run(info: VariantInfo, plan: SearchPlan) -> bool:
    try:
        plan.midstates_for(info.lanes, info.midstates)
    except PlanError:
        return False
    return True


def _usual_here() -> list[VariantInfo]:
    from solominer.engines.cpu.machine import this_machine  # loads the compiler, which few plans need

    return [info for info in VARIANTS if info.usual and info.needs <= this_machine().features]
