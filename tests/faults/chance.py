"""What is drawn at random in these tests follows from one seed, which is told, and can be given again."""

from __future__ import annotations

import os
import random

SEED_VARIABLE = "FAULTS_SEED"


def draws(name: str) -> random.Random:
    """The draws of one test; `FAULTS_SEED` in the environment repeats those of an earlier run."""
    seed = os.environ.get(SEED_VARIABLE) or str(random.SystemRandom().randrange(10**9))
    print(f"{SEED_VARIABLE}={seed}")
    return random.Random(f"{seed} {name}")
