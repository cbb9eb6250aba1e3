"""Who gives a command: for the audit and the banner."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """A name, the uid where the kernel says it, and the terminal that the caller names itself."""

    name: str
    uid: int | None = None
    terminal: str = ""

    def __str__(self) -> str:
        return self.name


Who = Actor | str
"""A bare name is somebody of whom nothing else is known."""
