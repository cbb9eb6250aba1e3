"""The plain way to show the positions at risk: Textual's own DataTable, each cell updated when it changed.

`python -m benchmarks.stock_table SOCKET` attaches to the engine of that socket, and looks once a second.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import DataTable, Footer, Header

from engine.api import wire
from engine.api.client import EngineClient

INTERVAL_MS = 1_000
READY = "rows are shown"
_COLUMNS = ("position", "market", "side", "size", "lev", "entry", "mark", "liq.", "dist", "health", "equity")


class StockConsole(App[None]):
    """A header with a clock, a table, a footer."""

    BINDINGS: ClassVar[list[BindingType]] = [("q", "quit", "Quit")]

    def __init__(self, socket: Path) -> None:
        super().__init__()
        self._socket = socket
        self._shown: dict[str, tuple[str, ...]] = {}

    def compose(self) -> ComposeResult:
        """Textual's own widgets."""
        yield Header(show_clock=True)
        yield DataTable[str]()
        yield Footer()

    def on_mount(self) -> None:
        """Columns first."""
        table = self.query_one(DataTable)
        for name in _COLUMNS:
            table.add_column(name, key=name)
        self.run_worker(self._follow())

    async def _follow(self) -> None:
        async with EngineClient(self._socket) as client:
            async for snapshot in client.stream(INTERVAL_MS):
                self._show(snapshot)
                self.sub_title = READY

    def _show(self, snapshot: wire.Snapshot) -> None:
        table = self.query_one(DataTable)
        rows = {row.address: _cells(row) for row in snapshot.at_risk}
        for address in self._shown.keys() - rows.keys():
            table.remove_row(address)
        for address, cells in rows.items():
            before = self._shown.get(address)
            if before is None:
                table.add_row(*cells, key=address)
                continue
            for name, old, new in zip(_COLUMNS, before, cells, strict=True):
                if old != new:
                    table.update_cell(address, name, new)
        self._shown = rows


def _cells(row: wire.PositionRow) -> tuple[str, ...]:
    return (
        f"{row.address[:4]}…{row.address[-4:]}",
        row.symbol,
        row.side,
        f"{row.size_e6 / 1e6:,.3f}",
        f"{row.leverage}",
        f"{row.entry_price_e6 / 1e6:,.2f}",
        f"{(row.mark_price_e6 or 0) / 1e6:,.2f}",
        f"{(row.liquidation_price_e6 or 0) / 1e6:,.2f}",
        f"{(row.distance_bps or 0) / 100:.2f}",
        f"{(row.health_milli or 0) / 1000:.3f}",
        f"{(row.equity_e6 or 0) / 1e6:,.2f}",
    )


if __name__ == "__main__":
    StockConsole(Path(sys.argv[1])).run()
