"""One of the things that a resume looks at before it lifts a stop."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, and what was found; a required one that fails keeps the engine stopped."""

    name: str
    ok: bool
    detail: str
    required: bool
