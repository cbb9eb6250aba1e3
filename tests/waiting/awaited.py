"""Waits, without a loop, for what another process does: nothing of it can be waited on but what it shows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 60.0
_LOOK_EVERY_S = 0.05


def until(
    condition: Callable[[], Any], why: Callable[[], str] = lambda: "the condition did not come true in time"
) -> Any:
    """What the condition gives once it is true; `why` is told when that takes longer than a minute."""
    end = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < end, why()
        time.sleep(_LOOK_EVERY_S)
    return value
