"""What a console is asked to attach to, or to start first."""

from __future__ import annotations

from dataclasses import dataclass

from engine.paths import ProfilePaths


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
