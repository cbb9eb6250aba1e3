"""What a console is asked to attach to, or to start first, and how it is to look."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.paths import ProfilePaths


@dataclass(frozen=True, slots=True)
class Choices:
    """What the command line says of the console's looks; None leaves it to the operator's file."""

    theme: str | None = None
    ascii: bool | None = None
    mouse: bool | None = None
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """One profile, and how to bring its engine up when it does not run yet.

    `sandbox_arguments` are those of `liquidation-engine sandbox`, None for a real cluster;
    `attach_only` starts nothing. `interval_ms` is the time between two snapshots.
    """

    paths: ProfilePaths
    sandbox_arguments: tuple[str, ...] | None = None
    engine_arguments: tuple[str, ...] = ()
    attach_only: bool = False
    interval_ms: int = 1000
    choices: Choices = field(default_factory=Choices)
