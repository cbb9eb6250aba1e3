"""Bugs that are planted in the engine for the length of a run, to see whether the simulation finds them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Plant a bug; it is gone afterwards."""
    from bugs.planting import plant

    with plant(name):
        yield
