"""Many positions for machines that ask: the riskiest, or those of a band, a symbol or an owner.

Candidates are found in the book's columns, leaf by leaf; only what is answered becomes a row. Everything is
done in short slices with rests between them, one question at a time, and behind what is on its way to the
wire: however many ask, and whatever for, the engine's loop has most of its time for itself.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from solders.pubkey import Pubkey

from engine.api import answers, wire
from engine.api.position_view import PositionViews
from engine.api.risk_view import RiskViews
from engine.book import risk
from engine.book.holdings import Holdings
from engine.book.leaf import LEAF_ROWS, Leaf
from engine.clock import Clock
from engine.domain import Band, Side, Verdict
from engine.lull import Lull
from engine.oracle.board import PriceBoard

ROWS_AT_ONCE = 16
LEAVES_AT_ONCE = 16
REST_S = 0.001
LONGEST_WAIT_S = 0.004  # for what is being liquidated, at each rest: in a crash there is always something
ROUNDING = 1e-9  # of the columns' floats beside the exact health of a row

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PositionFilter:
    """Which positions are wanted; None wants all."""

    band: str | None = None
    symbol: str | None = None
    owner: Pubkey | None = None


class PositionPages:
    """Pages made on demand. Every method belongs to the engine's loop."""

    def __init__(
        self,
        holdings: Holdings,
        board: PriceBoard,
        views: PositionViews,
        risks: RiskViews,
        *,
        clock: Clock,
        lull: Lull,
    ) -> None:
        self._book = holdings.book
        self._board = board
        self._views = views
        self._risks = risks
        self._clock = clock
        self._lull = lull
        self._turn = asyncio.Lock()

    async def pending(self, limit: int, min_health: float | None) -> answers.Pending:
        """The `limit` positions of lowest health, of those at or above `min_health` if that is given."""
        least_milli = None if min_health is None else math.ceil(min_health * 1000 - ROUNDING)
        found: list[answers.PendingPosition] = []
        async with self._turn:
            if least_milli is None:
                prices = [self._board.current(symbol) for symbol in self._board.symbols]
                riskiest = risk.riskiest(self._book, prices, limit)
            else:
                riskiest = await self._at_risk_above(least_milli / 1000, limit)
            for number, address in enumerate(riskiest):
                if number % ROWS_AT_ONCE == 0:
                    await self._rest()
                row = self._views.row(address)
                if row is None or row.health_milli is None:
                    continue
                if least_milli is None or row.health_milli >= least_milli:
                    found.append(_pending(row, row.health_milli / 1000))
            await self._rest()
        bands = self._risks.bands()
        return answers.Pending(positions=found, total=bands.at_risk + bands.liquidatable, limit=limit)

    async def _rest(self) -> None:
        await self._clock.sleep(REST_S)
        await self._lull.wait(LONGEST_WAIT_S)

    async def _at_risk_above(self, health: float, limit: int) -> list[Pubkey]:
        """Of all that are below the at-risk line, those of lowest health that have at least this much."""
        lowest: list[tuple[float, bytes]] = []
        leaf_id = 0
        while True:
            leaves, leaf_id = self._book.shelves.memory.leaves_from(leaf_id, LEAVES_AT_ONCE)
            for leaf in leaves:
                lowest += self._at_risk_in(leaf, health - ROUNDING)
            lowest = heapq.nsmallest(limit, lowest)
            if not leaf_id:
                return [Pubkey.from_bytes(address) for _, address in lowest]
            await self._rest()

    def _at_risk_in(self, leaf: Leaf, health: float) -> list[tuple[float, bytes]]:
        if leaf.count == 0 or leaf.group == self._book.shelves.limbo.number:
            return []
        group = self._book.shelves.group_of(leaf)
        price = self._board.current(group.symbol)
        if price.verdict is not Verdict.OK:
            return []
        sign = 1 if group.side is Side.LONG else -1
        rows = np.flatnonzero(sign * leaf.at_risk[: leaf.count] >= sign * price.price_e6)
        factors = risk.health_factors(leaf, rows, group, price.price_e6)
        wanted = factors >= health
        addresses = (leaf.address(row) for row in rows[wanted].tolist())
        return list(zip(factors[wanted].tolist(), addresses, strict=True))

    async def page(self, wanted: PositionFilter, limit: int, place: int) -> answers.PositionPage:
        """Up to `limit` positions from a place in the book on."""
        async with self._turn:
            return await self._page(wanted, limit, place)

    async def _page(self, wanted: PositionFilter, limit: int, place: int) -> answers.PositionPage:
        rows: list[wire.PositionRow] = []
        leaf_id, first = divmod(place, LEAF_ROWS)
        following: int | None = None
        while following is None:
            await self._rest()
            leaves, next_leaf = self._book.shelves.memory.leaves_from(leaf_id, LEAVES_AT_ONCE)
            for leaf in leaves:
                stopped_at = await self._take(leaf, first, wanted, limit, rows)
                if stopped_at is not None:
                    following = leaf.id * LEAF_ROWS + stopped_at
                    break
                first = 0
            if following is None and not next_leaf:
                break
            leaf_id = next_leaf
        return answers.PositionPage(positions=rows, monitored=len(self._book), next=following)

    async def _take(
        self, leaf: Leaf, first: int, wanted: PositionFilter, limit: int, rows: list[wire.PositionRow]
    ) -> int | None:
        """Add the leaf's wanted positions; the row to go on at when that is enough, None at its end."""
        candidates = [
            (index, leaf.address(index)) for index in self._candidates(leaf, wanted) if index >= first
        ]
        for number, (index, address) in enumerate(candidates):
            if len(rows) == limit:
                return index
            if number % ROWS_AT_ONCE == ROWS_AT_ONCE - 1:
                await self._rest()
            row = self._views.row(Pubkey.from_bytes(address))
            if row is not None and _is(row, wanted):
                rows.append(row)
        return None

    def _candidates(self, leaf: Leaf, wanted: PositionFilter) -> list[int]:
        """Rows of a leaf that may be wanted, by its columns alone."""
        if leaf.count == 0:
            return []
        mask = np.ones(leaf.count, dtype=np.bool_)
        if wanted.owner is not None:
            mask &= leaf.rows["owner"][: leaf.count] == np.void(bytes(wanted.owner))
        if leaf.group == self._book.shelves.limbo.number:
            if wanted.band not in (None, Band.UNKNOWN.value):
                return []
        else:
            group = self._book.shelves.group_of(leaf)
            if wanted.symbol not in (None, group.symbol):
                return []
            if wanted.band is not None:
                mask &= self._in_band(leaf, group.symbol, group.side, wanted.band)
        found: list[int] = np.flatnonzero(mask).tolist()
        return found

    def _in_band(self, leaf: Leaf, symbol: str, side: Side, band: str) -> Mask:
        price = self._board.current(symbol)
        if price.verdict is not Verdict.OK:
            return np.full(leaf.count, band == Band.UNKNOWN.value)
        sign = 1 if side is Side.LONG else -1
        # A line that was clamped belongs to a price that no mark reaches.
        crossed = sign * leaf.liquidation[: leaf.count] >= sign * price.price_e6
        at_risk = sign * leaf.at_risk[: leaf.count] >= sign * price.price_e6
        masks: dict[str, Mask] = {
            Band.LIQUIDATABLE.value: crossed,
            Band.AT_RISK.value: at_risk & ~crossed,
            Band.HEALTHY.value: ~at_risk & ~crossed,
            Band.UNKNOWN.value: np.zeros(leaf.count, dtype=np.bool_),
        }
        return masks[band]


def _is(row: wire.PositionRow, wanted: PositionFilter) -> bool:
    """The exact word: prices and rows may have moved since the columns were looked at."""
    return wanted.band in (None, row.band) and wanted.symbol in (None, row.symbol)


def _pending(row: wire.PositionRow, health: float) -> answers.PendingPosition:
    fields = {name: getattr(row, name) for name in row.__struct_fields__}
    return answers.PendingPosition(**fields, health_factor=health)
