"""Which WebSockets to go by: one belongs to the RPC endpoint at its place, and is as good as that one is.

What an endpoint fails at or rests from is its HTTP side: its WebSocket may work on, and is judged by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.chain.port import Chain
from engine.chain.rise import Rise
from engine.clock import Clock

NEVER = frozenset({"foreign", "distrusted"})
LATE = frozenset({"behind", "still"})


class FeedFitness:
    """Judges WebSockets by what the endpoints have shown; knows nothing where there are not as many."""

    def __init__(self, chain: Chain, ws_urls: Sequence[str], clock: Clock) -> None:
        self._chain = chain
        self._tip = Rise(clock)
        self._places = {url: place for place, url in enumerate(ws_urls)}

    def is_fit(self, url: str) -> bool:
        """False for one of another cluster, and for one that is late while another endpoint is not."""
        reports = self._chain.endpoints()
        if len(reports) != len(self._places):
            return True
        state = reports[self._places[url]].state
        return state not in NEVER and not (state in LATE and any(each.state == "ok" for each in reports))

    def believes(self, slot: int) -> bool:
        """Whether a feed can tell of this slot: what is far beyond all that the nodes answer is made up."""
        self._tip.note(self._chain.tip())
        return self._tip.believes(slot)
