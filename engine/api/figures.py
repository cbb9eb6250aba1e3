"""What machines ask again and again: readiness, many positions, failures, figures, metrics.

Each answer is made at most four times a second, however many ask.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from http import HTTPStatus

import msgspec

from engine.api import answers, wire
from engine.api.kept import KeptAnswers
from engine.api.parameters import Base58, Choice, Number, Symbol, Whole
from engine.api.position_pages import PositionFilter, PositionPages
from engine.api.readiness import ReadinessView
from engine.api.reads import LONGEST_ADDRESS, read_address
from engine.api.routes import JSON, Call, Plain, Route, Scope
from engine.api.snapshots import Snapshots
from engine.domain import Band
from engine.own_loop import Engine

FRESH_S = 0.25
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LARGEST_PLACE = 2**40


class Figures:
    """The reading operations that are asked often. They change nothing."""

    def __init__(
        self,
        engine: Engine,
        snapshots: Snapshots,
        pages: PositionPages | None,
        readiness: ReadinessView | None,
        metrics: Callable[[], bytes] | None,
    ) -> None:
        self._engine = engine
        self._snapshots = snapshots
        self._pages = pages
        self._readiness = readiness
        self._metrics = metrics
        self._kept = KeptAnswers(FRESH_S)

    def routes(self) -> list[Route]:
        """The table of the operations for which there is something behind."""
        routes = [
            Route(
                "GET",
                "/liquidations/failed",
                Scope.READ,
                self._failed,
                "Liquidations that were given up and wait for somebody, newest first",
                answers.FailedPage,
                query=(Whole("limit", 1, 500, 50),),
            ),
            Route("GET", "/stats", Scope.READ, self._stats, "The engine's figures", answers.Stats),
            Route(
                "GET",
                "/risk",
                Scope.READ,
                self._risk,
                "Each symbol's positions by band, and what a move of its price would bring",
                list[wire.SymbolRiskRow],
            ),
            Route(
                "GET", "/alerts", Scope.READ, self._alerts, "Alerts: those that are on first", wire.AlertPage
            ),
        ]
        if self._readiness is not None:
            routes.append(
                Route(
                    "GET",
                    "/ready",
                    Scope.OPEN,
                    self._ready,
                    "Whether the engine could liquidate now, with what that rests on",
                    answers.Readiness,
                    statuses=(200, 503),
                )
            )
        if self._pages is not None:
            routes += self._position_routes()
        if self._metrics is not None:
            routes.append(
                Route(
                    "GET",
                    "/metrics",
                    Scope.READ,
                    self._metrics_text,
                    "Everything that Prometheus scrapes",
                    None,
                    content_type=METRICS_TYPE,
                )
            )
        return routes

    def _position_routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/liquidations/pending",
                Scope.READ,
                self._pending,
                "Positions at risk or liquidatable, lowest health first",
                answers.Pending,
                query=(Whole("limit", 1, 1000, 100), Number("min_health", -1_000_000, 1_000_000)),
            ),
            Route(
                "GET",
                "/positions",
                Scope.READ,
                self._positions,
                "Positions by band, symbol or owner, page by page",
                answers.PositionPage,
                query=(
                    Whole("limit", 1, 500, 100),
                    Whole("next", 0, LARGEST_PLACE, 0),
                    Choice("band", [each.value for each in Band]),
                    Symbol(),
                    Base58("owner", LONGEST_ADDRESS),
                ),
            ),
        ]

    async def _failed(self, call: Call) -> Plain:
        limit: int = call.query["limit"]

        def look() -> answers.FailedPage:
            total, rows = self._snapshots.failed(limit)
            return answers.FailedPage(failed=rows, total=total)

        return await self._often(("failed", limit), lambda: self._engine.look(look))

    async def _stats(self, _: Call) -> Plain:
        return await self._often("stats", lambda: self._engine.look(self._snapshots.stats))

    async def _risk(self, _: Call) -> Plain:
        return await self._often("risk", lambda: self._engine.look(self._snapshots.risk))

    async def _alerts(self, _: Call) -> Plain:
        return await self._often("alerts", lambda: self._engine.look(self._snapshots.alerts))

    async def _ready(self, _: Call) -> Plain:
        assert self._readiness is not None, "there is no route without it"
        readiness = await self._engine.look(self._readiness.look)
        status = HTTPStatus.OK if readiness.ready else HTTPStatus.SERVICE_UNAVAILABLE
        return Plain(msgspec.json.encode(readiness), JSON, status)

    async def _pending(self, call: Call) -> Plain:
        pages, limit, health = self._pages, call.query["limit"], call.query["min_health"]
        assert pages is not None, "there is no route without them"
        return await self._often(
            ("pending", limit, health), lambda: self._engine.run(pages.pending(limit, health))
        )

    async def _positions(self, call: Call) -> answers.PositionPage:
        assert self._pages is not None, "there is no route without them"
        query = call.query
        owner = None if query["owner"] is None else read_address(query["owner"], "owner")
        wanted = PositionFilter(query["band"], query["symbol"], owner)
        return await self._engine.run(self._pages.page(wanted, query["limit"], query["next"]))

    async def _metrics_text(self, _: Call) -> Plain:
        assert self._metrics is not None, "there is no route without them"
        # In this thread, of figures that are kept: what hangs must not keep its metrics from saying so.
        return Plain(self._metrics(), METRICS_TYPE, again=self._metrics)

    async def _often(self, asked: Hashable, make: Callable[[], Awaitable[object]]) -> Plain:
        async def encoded() -> bytes:
            return msgspec.json.encode(await make())

        body = await self._kept.get(asked, encoded)
        return Plain(body, JSON, again=lambda: self._kept.fresh(asked))
