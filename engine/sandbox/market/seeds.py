"""Everything random in the market comes from here: a generator or a key for each named thing of a seed.

Named streams keep parts independent: one more draw in one place changes nothing in another.
"""

from __future__ import annotations

import hashlib
from random import Random

from solders.keypair import Keypair


def generator(seed: int, name: str) -> Random:
    """The deterministic random generator of a name."""
    return Random(f"{seed}/{name}")  # noqa: S311 — a simulation has to repeat, nothing secret comes of it


def key(seed: int, name: str) -> Keypair:
    """The deterministic signing key of a name: anyone can derive it, so it is worthless anywhere else."""
    return Keypair.from_seed(hashlib.sha256(f"sandbox market {seed}: {name}".encode()).digest())
