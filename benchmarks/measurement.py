"""What one benchmark found, as one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

AWAKE: Final = "LOW_LATENCY=on"


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the same thing costs when it is done the plain way, measured in the same run."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure: the median of `samples`. `higher_is_better` says on which side of the goal it should be."""

    id: str
    unit: str
    samples: Sequence[float]
    n: int  # how many single things were measured, over all samples
    goal: float
    higher_is_better: bool = False
    baseline: Baseline | None = None
    setting: str = ""  # where the figure is of another setting than the default, which

    @property
    def value(self) -> float:
        """The median of the samples."""
        return median(self.samples)

    @property
    def met(self) -> bool:
        """Whether the value is on the right side of the goal."""
        return self.value >= self.goal if self.higher_is_better else self.value <= self.goal

    def line(self) -> str:
        """{id, value, unit, n, spread, goal, met, baseline, ratio}; ratio above 1: so many times better.

        A figure of a setting that is not the default has {setting} as well.
        """
        value = self.value
        ratio = None
        if self.baseline is not None:
            better, worse = (
                (value, self.baseline.value) if self.higher_is_better else (self.baseline.value, value)
            )
            ratio = round(better / worse, 2) if worse else None
        return json.dumps(
            {
                "id": self.id,
                **({"setting": self.setting} if self.setting else {}),
                "value": round(value, 3),
                "unit": self.unit,
                "n": self.n,
                "spread": [round(min(self.samples), 3), round(max(self.samples), 3)],
                "goal": self.goal,
                "met": self.met,
                "baseline": self.baseline
                and {"name": self.baseline.name, "value": round(self.baseline.value, 3)},
                "ratio": ratio,
            }
        )
