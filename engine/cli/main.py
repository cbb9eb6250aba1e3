"""The command line: flags of the program itself, and its subcommands. Heavy parts load only when they run."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from engine import __version__
from engine.cli import (
    alert,
    commands,
    config,
    db,
    doctor,
    drill,
    insurance,
    sandbox,
    token,
    verification,
    wallet,
)
from engine.cli.failures import EXIT_BAD_INPUT, PROGRAM, BadUsage, fail, failing_in_one_line
from engine.cli.leaving import leave_in_time, own_process
from engine.cli.options import (
    AsciiOption,
    BehaviourOption,
    ConsoleFlags,
    GenesisOption,
    MouseOption,
    NodesOption,
    PopulationOption,
    PositionsOption,
    PricesOption,
    ProfileOption,
    ReadOnlyOption,
    SandboxFlags,
    ScenarioOption,
    SeedOption,
    SetOption,
    SlotOption,
    ThemeOption,
    TrendOption,
    TroubleOption,
    checked_profile,
    given_settings,
    refuse_without,
)
from engine.stopping.stop_signal import hold_signal

app = typer.Typer(
    name=PROGRAM,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Watches leveraged positions on Solana, liquidates the ones that must be, and shows it all.",
)


READ_SETTINGS = frozenset({"verify", "alert", "config", "doctor", "wallet", "insurance", "db"})
"""The commands that read the settings themselves, so that --set means something before them."""


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    *,
    use_sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Run on a cluster, a market and a database of our own.")
    ] = False,
    no_ui: Annotated[
        bool, typer.Option("--no-ui", help="Run the engine here, without the console, until SIGTERM.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Decide, sign and record, and send nothing. Needs no key.")
    ] = False,
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
    duration: Annotated[
        float | None,
        typer.Option("--duration", metavar="S", help="With --no-ui: end after this many seconds."),
    ] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="With --no-ui: at the end print what happened, as JSON.")
    ] = False,
    theme: ThemeOption = None,
    ascii_only: AsciiOption = None,
    mouse: MouseOption = None,
    read_only: ReadOnlyOption = False,
    settings: SetOption = None,
    profile: ProfileOption = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """With no command: open the console on this profile's engine, and start the engine if none runs."""
    del version
    context.ensure_object(dict).update(profile=profile, set=settings)
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
    of_the_run = [
        ("--sandbox", use_sandbox),
        ("--no-ui", no_ui),
        ("--dry-run", dry_run),
        ("--duration", duration is not None),
        ("--summary", summary),
    ]
    looks = ConsoleFlags(theme, ascii_only, mouse, read_only)
    of_the_sandbox = [(flag, True) for flag in flags.arguments() if flag.startswith("--")]
    if context.invoked_subcommand is not None:
        misplaced = [*of_the_run, *of_the_sandbox, *looks.given()]
        misplaced.append(("--set", bool(settings) and context.invoked_subcommand not in READ_SETTINGS))
        _refuse_beside_command(context.invoked_subcommand, misplaced)
        return
    if not use_sandbox:
        refuse_without("--sandbox", of_the_sandbox)
    if not no_ui:
        refuse_without("--no-ui", of_the_run[3:])
    elif flag := next((name for name, is_given in looks.given() if is_given), None):
        raise BadUsage(f"{flag} is of the console, which --no-ui does without: leave one of them out")
    if duration is not None and not 0 < duration <= 7 * 86_400:
        raise BadUsage(f"--duration {duration:g} is out of range: give seconds, above 0 and up to a week")
    paths = checked_profile(context, profile)
    if dry_run:
        paths = paths.of_dry_run()
    if paths.is_dry_run and summary:
        raise BadUsage("--summary looks for the record on the chain, where a dry run leaves nothing: omit it")
    if use_sandbox:
        flags.options()
    if no_ui:
        hold_signal()
        from engine.cli import headless

        headless.run(
            paths,
            flags if use_sandbox else None,
            given_settings(context, paths),
            duration_s=duration,
            with_summary=summary,
            read=functools.partial(given_settings, context, paths),
        )
    else:
        from engine.cli import console

        # Asked for only when an engine has to be started: a broken file keeps nobody from attaching.
        given = functools.partial(given_settings, context, paths)
        console.open_console(paths, flags if use_sandbox else None, looks, given, settings or [])


def _refuse_beside_command(command: str, flags: Sequence[tuple[str, bool]]) -> None:
    for flag, is_given in flags:
        if is_given:
            raise BadUsage(f"{flag} before {command} means nothing: leave it out, or put it behind {command}")


app.command("sandbox")(sandbox.sandbox)
app.command("stop")(commands.stop)
app.command("resume")(commands.resume)
app.command("status")(commands.status)
app.command("retry")(commands.retry)
app.command("clear-queue")(commands.clear_queue)
app.command("verify")(verification.verify)
app.command("doctor")(doctor.doctor)
app.add_typer(alert.app, name="alert")
app.add_typer(config.app, name="config")
app.add_typer(db.app, name="db")
app.add_typer(drill.app, name="drill")
app.add_typer(insurance.app, name="insurance")
app.add_typer(token.app, name="token")
app.add_typer(wallet.app, name="wallet")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The entry point of `liquidation-engine`."""
    if arguments is None:
        own_process()
    try:
        with failing_in_one_line():
            code = _run(sys.argv[1:] if arguments is None else list(arguments))
        sys.exit(code)
    finally:
        leave_in_time()


def _run(arguments: list[str]) -> int:
    command = typer.main.get_command(app)
    try:
        outcome = command.main(args=arguments, prog_name=PROGRAM, standalone_mode=False)
    except typer.TyperException as error:
        what = " ".join(error.format_message().split()).removesuffix(".")
        fail(f"{what}: see `{PROGRAM} --help`", EXIT_BAD_INPUT)
    return outcome if isinstance(outcome, int) else os.EX_OK
