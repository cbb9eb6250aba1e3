"""What may go wrong in a run: each seed draws a few kinds of trouble, each with an intensity of its own.

A fixed mix of everything hides what only few kinds of trouble together can show.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

KINDS = (
    "node lags",
    "node fails",
    "node is silent",
    "node is late",
    "node makes up slots",
    "node makes up heights",
    "node knows no transactions",
    "node goes back",
    "node refuses to send",
    "node takes and forgets",
    "feed breaks off",
    "feed drops news",
    "sends get lost",
    "landing is slow",
    "landing is late",
    "blocks are abandoned",
    "confirmed blocks are abandoned",
    "slots are skipped",
    "chain stands still",
    "rival liquidates",
    "owner acts",
    "price stands still",
    "price jumps",
    "price is unsure",
    "compute is scarce",
    "wallet is poor",
    "fee budget is small",
    "database is down",
    "database is slow",
    "database loses the reply",
    "disk is slow",
    "disk refuses",
    "clock jumps",
    "operator stops",
    "operator meddles",
    "stop is left as a file",
    "gate file is damaged",
    "process dies",
    "process is restarted",
)

# What must have come up, too, when many seeds were run: by the names under which it is counted.
PATHS = (
    "intent committed",
    "bytes left",
    "the same bytes left again",
    "the same bytes arrived again",
    "landed",
    "landed with an error",
    "liquidated wholly",
    "liquidated in part",
    "a transaction came too late",
    "a landed transaction was taken back",
    "outcome confirmed",
    "outcome blockhash expired",
    "outcome healthy again",
    "outcome already liquidated",
    "outcome exceeded CUs",
    "operator resumes",
    "operator clears the queue",
    "resume refused: checks_failed",
    "owner opens",
    "owner adds collateral",
    "owner closes",
    "start refused",
    "process ended in order",
    "death: journal before commit",
    "death: journal after commit",
    "death: socket before write",
    "death: socket after write",
    "death: answer to a send",
    "death: answer",
)
RARE_PATHS = (
    "disk hangs",
    "intents kept by a failing disk",
    "commits kept by a failing disk",
    "intents were struck out",
    "operator retries",
    "operator dismisses",
    "send went into silence",
    "a stop was not on disk in time",
    "a stop that was not on disk was forgotten",
    "resume refused: not_persisted",
    "death: thread before",
    "death: thread after",
    "death: database before commit",
    "death: database after commit",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """One seed's run: its size, and the trouble in it. An intensity is between 0 (never) and 1."""

    seed: int
    nodes: int
    positions: int
    trouble_s: float  # how long there is trouble
    intensities: dict[str, float] = field(default_factory=dict)

    def intensity(self, kind: str) -> float:
        """How much of this kind, 0 when the seed does without it."""
        return self.intensities.get(kind, 0.0)


def draw(seed: int) -> Plan:
    """The plan of a seed. One in ten has no trouble but the market."""
    random = stream(seed, "plan")
    share = random.choice((0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6))
    likely = dict.fromkeys(KINDS, share)
    if share:
        likely["process dies"] = max(share, 0.5)
    intensities = {
        kind: round(random.uniform(0.1, 1.0) ** 1.5, 3) for kind in KINDS if random.random() < likely[kind]
    }
    return Plan(
        seed=seed,
        nodes=random.choice((1, 1, 2, 2, 3)),
        positions=random.randint(2, 6),
        trouble_s=random.uniform(6.0, 15.0),
        intensities=intensities,
    )


def stream(seed: int, part: str) -> Random:
    """Random numbers of one part of the world: what one part draws changes nothing for the others."""
    return Random(f"{seed}/{part}")
