"""The guard against jumps: a price far from the last believed one waits until something confirms it."""

from __future__ import annotations

from typing import Final

from engine.oracle.verdicts import Opinion, OracleLimits, is_beyond

CONFIRMING_UPDATES: Final = 2  # further updates near a jump that make it believed


class JumpGuard:
    """What one symbol's last believed price was, and how far a jump away from it is confirmed."""

    def __init__(self, limits: OracleLimits) -> None:
        self._limits = limits
        self._believed_e6 = 0
        self._believed_time_s = 0
        self._jump_e6 = 0
        self._jump_updates = 0

    def believes(self, price_e6: int, publish_time_s: int, opinion: Opinion | None) -> bool:
        """Take one more update of the chain's; whether it is believed now.

        `opinion` is the second source's, None unless it is fresh. Prices are positive.
        """
        if not self._believed_e6 or not self._is_jump(price_e6, self._believed_e6):
            return self._believe(price_e6, publish_time_s)
        if self._jump_updates and not self._is_jump(price_e6, self._jump_e6):
            self._jump_updates += 1
        else:
            self._jump_updates = 1
        self._jump_e6 = price_e6
        if self._jump_updates > CONFIRMING_UPDATES:
            return self._believe(price_e6, publish_time_s)
        return self.confirm(price_e6, publish_time_s, opinion)

    def confirm(self, price_e6: int, publish_time_s: int, opinion: Opinion | None) -> bool:
        """Whether the second source says the same as this waiting jump; it is believed then.

        What it said before we believed the last price is no news about the next one.
        """
        if opinion is None or opinion.publish_time_s < self._believed_time_s:
            return False
        if is_beyond(opinion.price_e6, price_e6, self._limits.max_divergence_bps):
            return False
        return self._believe(price_e6, publish_time_s)

    def _believe(self, price_e6: int, publish_time_s: int) -> bool:
        self._believed_e6, self._believed_time_s = price_e6, publish_time_s
        self._jump_updates = 0
        return True

    def _is_jump(self, price_e6: int, from_e6: int) -> bool:
        return is_beyond(price_e6, from_e6, self._limits.max_jump_bps)
