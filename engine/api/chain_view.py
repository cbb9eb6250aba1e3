"""The cluster as viewers see it: how far it is, and how each RPC endpoint stands."""

from __future__ import annotations

from collections.abc import Callable

from engine.api import wire
from engine.api.clean import clean
from engine.chain.port import Chain
from engine.ingest import DEAF_RESYNC_S, Ingest

NAME_LIMIT = 60
WHY_LIMIT = 160


class ChainViews:
    """Puts together what the feed and the endpoints tell."""

    def __init__(self, chain: Chain, ingest: Ingest, block_height: Callable[[], int]) -> None:
        self._chain = chain
        self._ingest = ingest
        self._block_height = block_height

    def view(self) -> wire.ChainView:
        """The cluster now."""
        reports = self._chain.endpoints()
        return wire.ChainView(
            slot=self._ingest.slot,
            block_height=self._block_height(),
            rpc_ok=sum(report.state == "ok" for report in reports),
            rpc_total=len(reports),
            subscribed=self._ingest.subscribed,
            updated_at_ns=self._ingest.updated_at_ns,
            endpoints=[
                wire.EndpointRow(
                    name=clean(report.name, NAME_LIMIT),
                    state=report.state,
                    why=clean(report.why, WHY_LIMIT),
                    slot=report.slot,
                    behind_slots=report.behind_slots,
                    error_permille=report.error_permille,
                    p50_us=report.p50_us,
                    p99_us=report.p99_us,
                    requests_left=report.requests_left,
                    requests_per_s=report.requests_per_s,
                )
                for report in reports
            ],
        )

    def degraded(self) -> list[str]:
        """What is not as it should be, in words; first of all what keeps the engine from deciding."""
        found = []
        if not self._chain.is_current():
            found.append(
                f"nothing is decided: no node is current ({clean(self._chain.why_not_current(), WHY_LIMIT)})"
            )
        elif not self._ingest.node_is_current():
            found.append("nothing is decided: the node announces no new slots")
        found += [clean(f"held until they agree: {text}", WHY_LIMIT) for text in self._chain.disputes()[:3]]
        if not self._ingest.subscribed:
            found.append("not subscribed to the node")
        elif self._ingest.is_deaf:
            found.append(
                f"the feed tells nothing of positions: they are read every {DEAF_RESYNC_S:.0f} s instead: "
                "check SOLANA_WS_URL"
            )
        if self._chain.is_current():
            reports = self._chain.endpoints()
            found += [
                clean(f"rpc {report.name} is not used: {report.why}", WHY_LIMIT)
                for report in reports
                if report.state != "ok"
            ]
        return found
