"""`liquidation-engine sandbox`: the cluster, the market and the database by themselves, in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.failures import run_async
from engine.cli.options import (
    BehaviourOption,
    GenesisOption,
    NodesOption,
    PopulationOption,
    PositionsOption,
    PricesOption,
    SandboxFlags,
    ScenarioOption,
    SeedOption,
    SlotOption,
    TrendOption,
    TroubleOption,
)


def sandbox(
    *,
    seed: SeedOption = None,
    positions: PositionsOption = None,
    genesis_positions: GenesisOption = None,
    population: PopulationOption = None,
    behaviour: BehaviourOption = None,
    trouble: TroubleOption = None,
    nodes: NodesOption = None,
    scenario: ScenarioOption = None,
    trend: TrendOption = None,
    prices: PricesOption = None,
    slot_ms: SlotOption = None,
    rpc_port: Annotated[
        int | None, typer.Option("--rpc-port", metavar="PORT", help="JSON-RPC; 0 takes any free port.")
    ] = None,
    ws_port: Annotated[
        int | None, typer.Option("--ws-port", metavar="PORT", help="WebSocket; 0 takes any free port.")
    ] = None,
    hermes_port: Annotated[
        int | None, typer.Option("--hermes-port", metavar="PORT", help="Hermes; any free port unless given.")
    ] = None,
    hermes_key: Annotated[
        str | None, typer.Option("--hermes-key", metavar="KEY", help="Hermes answers this bearer only.")
    ] = None,
    state_dir: Annotated[
        Path | None, typer.Option("--state-dir", metavar="DIR", help="Keep database and wallet here.")
    ] = None,
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", help="End when stdin is closed.")
    ] = False,
) -> None:
    """Run a cluster, a market and a database for any engine; the first line of stdout says where they are."""
    flags = SandboxFlags(
        seed=seed,
        positions=positions,
        scenario=scenario,
        prices=tuple(prices or ()),
        slot_ms=slot_ms,
        genesis_positions=genesis_positions,
        population=tuple(population or ()),
        behaviour=tuple(behaviour or ()),
        trouble=tuple(trouble or ()),
        nodes=nodes,
        trend=trend,
    )
    options = flags.options(
        rpc_port=rpc_port,
        ws_port=ws_port,
        hermes_port=hermes_port,
        hermes_key=hermes_key,
        state_dir=state_dir,
        exit_with_parent=exit_with_parent,
    )
    from engine.sandbox.process import run_sandbox

    run_async(run_sandbox(options, _announce))


def _announce(line: str) -> None:
    print(line, flush=True)
