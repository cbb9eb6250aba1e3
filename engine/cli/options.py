"""The options that several commands share, and the checks that need more than one of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from engine.cli.failures import BadUsage
from engine.paths import DEFAULT_PROFILE, DRY_RUN_SUFFIX, ProfilePaths, profile_paths

if TYPE_CHECKING:
    from engine.sandbox.options import SandboxOptions
    from engine.setting_sources import Given

ProfileOption = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="Which profile's engine and state to use.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="A setting, over the environment and the files; may be repeated."
    ),
]
SeedOption = Annotated[
    int | None, typer.Option("--seed", metavar="N", help="Sandbox: the same seed gives the same run.")
]
PositionsOption = Annotated[
    int | None,
    typer.Option("--positions", metavar="N", help="Sandbox: how many positions there are; up to 1,000,000."),
]
GenesisOption = Annotated[
    int | None,
    typer.Option(
        "--genesis-positions",
        metavar="N",
        help="Sandbox: how many of them are there from genesis instead of opened by signed transactions; "
        "by default all beyond the first 2,000.",
    ),
]
PopulationOption = Annotated[
    list[str] | None,
    typer.Option(
        "--population",
        metavar="FILE|KEY=VALUE",
        help="Sandbox: what positions are like (sizes, leverage, symbols, sides); may be repeated.",
    ),
]
BehaviourOption = Annotated[
    list[str] | None,
    typer.Option(
        "--behaviour",
        metavar="FILE|KEY=VALUE",
        help="Sandbox: how often traders act, a rival liquidator, congestion; may be repeated.",
    ),
]
TroubleOption = Annotated[
    list[str] | None,
    typer.Option(
        "--trouble",
        metavar="FILE|KEY=VALUE",
        help="Sandbox: what goes wrong, see docs/trouble.md; may be repeated.",
    ),
]
NodesOption = Annotated[
    int | None,
    typer.Option("--nodes", metavar="N", help="Sandbox: how many nodes answer for the cluster; up to 8."),
]
ScenarioOption = Annotated[
    str | None,
    typer.Option(
        "--scenario",
        metavar="NAME",
        help="Sandbox: what prices do: calm, trend, crash, flash, grind, gap or replay.",
    ),
]
TrendOption = Annotated[
    str | None,
    typer.Option("--trend", metavar="up|down", help="Sandbox: where a trend goes; otherwise the seed says."),
]
PricesOption = Annotated[
    list[str] | None,
    typer.Option("--prices", metavar="SYMBOL=FILE", help="Sandbox: candles to replay; may be repeated."),
]
SlotOption = Annotated[
    int | None, typer.Option("--slot-ms", metavar="MS", help="Sandbox: the time between two slots.")
]

ThemeOption = Annotated[
    str | None,
    typer.Option(
        "--theme",
        metavar="NAME",
        help="Console: terminal, dark, light, high-contrast, colour-blind, or own (console.toml).",
    ),
]
AsciiOption = Annotated[
    bool | None,
    typer.Option("--ascii/--utf8", help="Console: letters that every terminal has; else the locale says."),
]
MouseOption = Annotated[
    bool | None, typer.Option("--mouse/--no-mouse", help="Console: whether it takes the mouse.")
]
ReadOnlyOption = Annotated[
    bool, typer.Option("--read-only", help="Console: look, and stop; every other command is refused.")
]


class ConsoleFlags(NamedTuple):
    """What the command line says of the console; None where it says nothing."""

    theme: str | None
    ascii: bool | None
    mouse: bool | None
    read_only: bool

    def given(self) -> list[tuple[str, bool]]:
        """Each flag by its name, and whether it was given."""
        return [
            ("--theme", self.theme is not None),
            ("--ascii" if self.ascii else "--utf8", self.ascii is not None),
            ("--mouse" if self.mouse else "--no-mouse", self.mouse is not None),
            ("--read-only", self.read_only),
        ]


@dataclass(frozen=True, slots=True)
class SandboxFlags:
    """The sandbox's flags as they were given; None means that the sandbox's own default holds."""

    seed: int | None = None
    positions: int | None = None
    scenario: str | None = None
    prices: tuple[str, ...] = ()
    slot_ms: int | None = None
    genesis_positions: int | None = None
    population: tuple[str, ...] = ()
    behaviour: tuple[str, ...] = ()
    trouble: tuple[str, ...] = ()
    nodes: int | None = None
    trend: str | None = None

    def arguments(self) -> list[str]:
        """The same flags for another process."""
        pairs = (
            ("--seed", self.seed),
            ("--positions", self.positions),
            ("--genesis-positions", self.genesis_positions),
            ("--scenario", self.scenario),
            ("--trend", self.trend),
            ("--slot-ms", self.slot_ms),
            *(("--prices", price) for price in self.prices),
            *(("--population", setting) for setting in self.population),
            *(("--behaviour", setting) for setting in self.behaviour),
            *(("--trouble", setting) for setting in self.trouble),
            ("--nodes", self.nodes),
        )
        return [text for flag, value in pairs if value is not None for text in (flag, str(value))]

    def options(self, **others: int | str | Path | bool | None) -> SandboxOptions:
        """The sandbox's own options, checked; `others` are its remaining fields. Raises OperatorError."""
        from engine.sandbox.market.behaviour import Behaviour
        from engine.sandbox.market.population_settings import PopulationSettings
        from engine.sandbox.options import SandboxOptions, parse_prices
        from engine.sandbox.settings_arguments import parse_settings
        from engine.sandbox.trouble.settings import Trouble

        values = {
            "seed": self.seed,
            "positions": self.positions,
            "genesis_positions": self.genesis_positions,
            "scenario": self.scenario,
            "trend": self.trend,
            "slot_ms": self.slot_ms,
            "nodes": self.nodes,
            **others,
        }
        given: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
        options = SandboxOptions(
            **given,
            prices=parse_prices(self.prices),
            population=parse_settings("--population", self.population, PopulationSettings),
            behaviour=parse_settings("--behaviour", self.behaviour, Behaviour),
            trouble=parse_settings("--trouble", self.trouble, Trouble),
        )
        for symbol, file in options.prices.items():
            if not file.is_file():
                raise BadUsage(f"--prices {symbol}={file}: no such file: give a CSV file of candles")
        return options


def checked_profile(context: typer.Context, name: str | None) -> ProfilePaths:
    """The paths of the profile that the command or, before it, the program was given."""
    outer = context.ensure_object(dict).get("profile")
    chosen = next((each for each in (name, outer) if each is not None), DEFAULT_PROFILE)
    own = chosen.removesuffix(DRY_RUN_SUFFIX)
    if not own.replace("-", "").replace("_", "").isalnum() or not own.isascii() or len(own) > 40:
        raise BadUsage(f"--profile {chosen!a} is no name: use up to 40 letters, digits, - and _")
    return profile_paths(chosen)


def given_settings(context: typer.Context, paths: ProfilePaths) -> Given:
    """What the command line, the environment and the files say for this profile. Raises SettingsError."""
    from engine.setting_sources import given_settings as gather
    from engine.setting_sources import parse_choices

    return gather(paths.profile, os.environ, parse_choices(context.ensure_object(dict).get("set") or []))


def refuse_without(needed: str, given: Sequence[tuple[str, bool]]) -> None:
    """Raise BadUsage when a flag is given that means nothing without `needed`."""
    orphans = [flag for flag, is_given in given if is_given]
    if orphans:
        verb = "needs" if len(orphans) == 1 else "need"
        raise BadUsage(f"{', '.join(orphans)} {verb} {needed}: add it, or leave {' and '.join(orphans)} out")
