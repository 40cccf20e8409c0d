"""Commands for the search plan: plan check, plan show, plan replay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

plan = typer.Typer(
    help="The search plan: how header space is divided, and in which order it is walked. No plan finds more blocks.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

PlanFile = Annotated[Path | None, typer.Argument(help="plan.yaml; the default plan if left out.", show_default=False)]
ModeOption = Annotated[str, typer.Option("--mode", "-m", help="main, or demo, test, staging of the sandbox.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(plan, name="plan")


@plan.command()
def check(
    file: Annotated[Path, typer.Argument(help="plan.yaml")],
    kernel: Annotated[str | None, typer.Option(help="Hash kernel that has to run it.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run every check that the miner runs before it starts by a plan.

    Exit code 2, with the group and the reason, for a plan that would be refused.

    \b
    solominer plan check plan.yaml
    """
    from solominer.engines.cpu.plan_loader import check_for_workers, kernel_for, load_plan
    from solominer.plan.plan import MODES

    plans = {mode: load_plan(file, mode) for mode in MODES}
    for one in plans.values():
        check_for_workers(one, 1)
        kernel_for(one, kernel)
    if as_json:
        typer.echo(json.dumps({mode: {"hash": one.hash_hex, **one.facts()} for mode, one in plans.items()}, indent=2))
        return
    for mode, one in plans.items():
        typer.echo(f"{mode:<8} {one.hash_hex[:16]}  {one.chunks:,} chunks, order {one.strides.order}")
    typer.echo("every check passed")


@plan.command()
def show(
    file: PlanFile = None,
    mode: ModeOption = "main",
    plot: Annotated[Path | None, typer.Option(help="Draw the order into this .svg or .png, too.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a plan as a table, and its order as a picture: chunk against time.

    \b
    solominer plan show
    solominer plan show plan.yaml --mode demo --plot order.svg
    """
    from solominer.engines.cpu.plan_loader import load_plan

    shown = load_plan(file, mode)
    if plot is not None:
        from solominer.views.plan import plot_order

        plot_order(shown, plot)
    if as_json:
        rows = [dict(zip(("group", "parameter", "value", "origin"), row, strict=True)) for row in shown.describe()]
        typer.echo(json.dumps({"hash": shown.hash_hex, **shown.facts(), "described": rows}, indent=2))
        return
    from rich.console import Console

    from solominer.views.plan import order_pictures, plan_table

    console = Console()
    console.print(plan_table(shown))
    typer.echo(f"\n{order_pictures(shown)}")
    if plot is not None:
        typer.echo(f"\ndrawn into {plot}")


@plan.command()
def replay(
    proofs: Annotated[list[Path], typer.Argument(help="Proofs of blocks or shares.")],
    file: Annotated[Path | None, typer.Option("--plan", help="plan.yaml, where the proof does not hold it.")] = None,
    mode: ModeOption = "main",
    as_json: JsonOption = False,
) -> None:
    """Walk a proof's search plan to the position that it claims, and compare what the plan tries there.

    Exit code 7 where something does not hold.

    \b
    solominer plan replay proofs/2026/11/21/07/*.json
    """
    from solominer.engines.cpu.plan_loader import load_plan

    given = load_plan(file, mode) if file is not None else None
    told = [_replayed(path, given) for path in proofs]
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return
    for one in told:
        place = one["position"]
        typer.echo(
            f"{one['kind']} {one['hash']}: worker {one['worker']} of {one['worker_count']}, its extranonce number"
            f" {place['k']}, version pattern {place['version']}, step {place['step']}, nonce {place['offset']}"
        )
    typer.echo(f"{len(told)} position(s) recomputed: at each the plan tries what the proof's header holds")


def _replayed(path: Path, given: Any) -> dict[str, Any]:
    """What a proof claims, once it holds."""
    from solominer.chain.proof import verify_proof
    from solominer.errors import RecordsError, VerifyError
    from solominer.plan.proof import replay_proof
    from solominer.records.ledger.jsonlines import parse_object

    try:
        proof = parse_object(path.read_bytes())
    except OSError as error:
        raise RecordsError(
            f"cannot read {path}: {error.strerror}", "name a proof: proofs/…/HEIGHT-HASH.json"
        ) from error
    if proof is None:
        raise VerifyError(f"{path} is no proof")
    findings = verify_proof(proof)
    if not findings.holds:
        raise VerifyError(f"{path} does not hold: {findings.wrong[0]}")
    try:
        claim = replay_proof(proof, given)
    except VerifyError as error:
        raise VerifyError(f"{path}: {error.what}", error.todo) from error
    if claim is None:
        raise VerifyError(f"{path} does not hold its plan", "name it with --plan")
    return {"path": str(path), "kind": proof["kind"], "hash": proof["hash"], **claim.to_json()}
