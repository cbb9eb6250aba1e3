"""All positions of the program, held in columns and found by address, with their liquidation thresholds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from solders.pubkey import Pubkey

from engine.book.side import SideColumns
from engine.domain import Generation, Position, Price, Side, Verdict
from engine.protocol.margin import Terms, UnsupportedLeverage, threshold_e6

_SIDES = (Side.LONG, Side.SHORT)
_GENERATIONS = (Generation.DEPLOYED, Generation.DOCUMENTED)
_NO_ROW = -1
_INITIAL = 256
_FOREIGN = 2**16 - 1  # the symbol number of a position whose symbol has no feed

CLOSED_MEMORY = 100_000  # closings that are remembered between two snapshots

_COLUMNS = np.dtype(
    [
        ("address", "V32"),
        ("owner", "V32"),
        ("size_e6", "u8"),
        ("collateral_e6", "u8"),
        ("entry_price_e6", "u8"),
        ("maintenance_margin_e6", "u8"),
        ("slot", "u8"),
        ("created_at_s", "i8"),
        ("leverage", "u2"),
        ("symbol", "u2"),
        ("side", "u1"),
        ("generation", "u1"),
        ("side_row", "i4"),
    ]
)


def terms_of(position: Position) -> Terms:
    """The part of a position that decides its health."""
    return Terms(
        position.side,
        position.size_e6,
        position.entry_price_e6,
        position.collateral_e6,
        position.leverage,
    )


@dataclass(frozen=True, slots=True)
class RiskCounts:
    """How many positions stand where at the current prices; value is in 1e-6 USD, for display."""

    monitored: int
    healthy: int
    at_risk: int
    liquidatable: int
    unknown: int
    at_risk_value_e6: int


class Book:
    """Positions by address. An update older than what is known is ignored, by slot."""

    def __init__(self, symbols: Iterable[str], at_risk_milli: int) -> None:
        self._at_risk_milli = at_risk_milli
        self._symbols = list(dict.fromkeys(symbols))
        self._symbol_index = {symbol: index for index, symbol in enumerate(self._symbols)}
        self._sides: dict[tuple[str, Side], SideColumns] = {
            (symbol, side): SideColumns(side) for symbol in self._symbols for side in _SIDES
        }
        self._data = np.zeros(_INITIAL, dtype=_COLUMNS)
        self._rows = 0
        self._free: list[int] = []
        self._index: dict[bytes, int] = {}
        self._closed: dict[bytes, int] = {}  # slot in which a position was seen closed
        self._unknown: dict[bytes, str] = {}
        # Anybody may invent symbols: theirs are kept with their positions and go with them.
        self._foreign: dict[bytes, str] = {}

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, address: Pubkey) -> bool:
        return bytes(address) in self._index

    @property
    def addresses(self) -> list[Pubkey]:
        """The address of every position that is held."""
        return [Pubkey.from_bytes(key) for key in self._index]

    def apply(self, position: Position) -> bool:
        """Take a position as its account says; returns whether it was news."""
        key = bytes(position.address)
        if position.slot < self._closed.get(key, 0):
            return False
        row = self._index.get(key)
        if row is not None and position.slot < int(self._data["slot"][row]):
            return False
        if position.is_liquidated or position.size_e6 == 0:
            self.remove(position.address, position.slot)
            return True
        self._closed.pop(key, None)
        if row is None:
            row = self._take_row()
            self._index[key] = row
            self._data["side_row"][row] = _NO_ROW
        else:
            self._leave_side(row)
        self._write(row, position)
        self._enter_side(row, position)
        return True

    def remove(self, address: Pubkey, slot: int) -> None:
        """Forget a position whose account was closed in this slot."""
        key = bytes(address)
        row = self._index.get(key)
        if row is not None:
            if slot < int(self._data["slot"][row]):
                return
            self._leave_side(row)
            del self._index[key]
            self._free.append(row)
        self._unknown.pop(key, None)
        self._foreign.pop(key, None)
        self._closed[key] = max(slot, self._closed.pop(key, 0))
        if len(self._closed) > CLOSED_MEMORY:
            del self._closed[next(iter(self._closed))]

    def forget_closed_before(self, slot: int) -> None:
        """Drop the memory of closings that no late notification can contradict any more."""
        self._closed = {key: closed for key, closed in self._closed.items() if closed >= slot}

    def mark_unknown(self, address: Pubkey, reason: str, slot: int) -> None:
        """A held position whose account cannot be read in this slot: known no longer, and never sent."""
        row = self._index.get(bytes(address))
        if row is not None and slot >= int(self._data["slot"][row]):
            self._leave_side(row)
            self._data["slot"][row] = slot
            self._unknown[bytes(address)] = reason

    def get(self, address: Pubkey) -> Position | None:
        """The position as it was last read, None when it is not held."""
        row = self._index.get(bytes(address))
        return None if row is None else self._position(row)

    def unknown_reason(self, address: Pubkey) -> str | None:
        """Why the position can never be decided as it is, None when it can."""
        return self._unknown.get(bytes(address))

    def crossed(self, price: Price) -> list[Pubkey]:
        """Positions of the price's symbol that are liquidatable at it; none unless the verdict is OK."""
        if price.verdict is not Verdict.OK:
            return []
        rows = [
            row
            for side in _SIDES
            if (columns := self._sides.get((price.symbol, side))) is not None
            for row in columns.crossed(price.price_e6)
        ]
        return [self._address(row) for row in rows]

    def riskiest(self, prices: Iterable[Price], limit: int) -> list[Pubkey]:
        """Positions below the at-risk line at these prices, lowest health first, at most `limit`.

        The order is for display and comes from floats; each position's own figures are computed exactly.
        """
        found: list[tuple[float, int]] = []
        for price, rows in self._at_risk_rows(prices):
            found += zip(self._float_health(rows, price.price_e6).tolist(), rows.tolist(), strict=True)
        found.sort()
        return [self._address(row) for _, row in found[:limit]]

    def counts(self, prices: Iterable[Price]) -> RiskCounts:
        """How many positions stand in each band at these prices."""
        known = at_risk = liquidatable = 0
        value = 0.0
        for price in prices:
            if price.verdict is not Verdict.OK:
                continue
            for side in _SIDES:
                columns = self._sides.get((price.symbol, side))
                if columns is None:
                    continue
                rows = columns.at_risk(price.price_e6)
                known += len(columns)
                liquidatable += len(columns.crossed(price.price_e6))
                at_risk += len(rows)
                value += float(self._data["size_e6"][rows].astype(np.float64).sum()) * price.price_e6 / 1e6
        return RiskCounts(
            monitored=len(self._index),
            healthy=known - at_risk,
            at_risk=at_risk - liquidatable,
            liquidatable=liquidatable,
            unknown=len(self._index) - known,
            at_risk_value_e6=int(value),
        )

    def _at_risk_rows(
        self, prices: Iterable[Price]
    ) -> Iterable[tuple[Price, np.ndarray[tuple[int], np.dtype[np.int64]]]]:
        for price in prices:
            if price.verdict is not Verdict.OK:
                continue
            for side in _SIDES:
                columns = self._sides.get((price.symbol, side))
                if columns is not None:
                    yield price, columns.at_risk(price.price_e6)

    def _float_health(
        self, rows: np.ndarray[tuple[int], np.dtype[np.int64]], mark_e6: int
    ) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Margin ratio over the entry's maintenance ratio, as floats."""
        data = self._data[rows]
        size = data["size_e6"].astype(np.float64)
        entry = data["entry_price_e6"].astype(np.float64)
        direction = np.where(data["side"] == 0, 1.0, -1.0)
        equity = data["collateral_e6"].astype(np.float64) * 1e6 + direction * size * (mark_e6 - entry)
        leverage = data["leverage"]
        bps = np.select(
            [leverage <= 20, leverage <= 50, leverage <= 100, leverage <= 500], [250, 100, 50, 25], 10
        )
        health: np.ndarray[tuple[int], np.dtype[np.float64]] = equity * 1e4 / (size * mark_e6 * bps)
        return health

    def _take_row(self) -> int:
        if self._free:
            return self._free.pop()
        if self._rows == len(self._data):
            self._data = np.concatenate((self._data, np.zeros(len(self._data), dtype=_COLUMNS)))
        self._rows += 1
        return self._rows - 1

    def _number_of(self, position: Position) -> int:
        """The number of the position's symbol; one without a feed is kept beside the columns."""
        key = bytes(position.address)
        number = self._symbol_index.get(position.symbol)
        if number is None:
            self._foreign[key] = position.symbol
            return _FOREIGN
        self._foreign.pop(key, None)
        return number

    def _symbol_of(self, row: int) -> str:
        number = int(self._data["symbol"][row])
        return (
            self._foreign[self._data["address"][row].tobytes()]
            if number == _FOREIGN
            else self._symbols[number]
        )

    def _write(self, row: int, position: Position) -> None:
        self._data[row] = (
            bytes(position.address),
            bytes(position.owner),
            position.size_e6,
            position.collateral_e6,
            position.entry_price_e6,
            position.maintenance_margin_e6,
            position.slot,
            position.created_at_s,
            position.leverage,
            self._number_of(position),
            _SIDES.index(position.side),
            _GENERATIONS.index(position.generation),
            _NO_ROW,
        )

    def _enter_side(self, row: int, position: Position) -> None:
        key = bytes(position.address)
        columns = self._sides.get((position.symbol, position.side))
        if columns is None:
            self._unknown[key] = "no price feed for the symbol"
            return
        terms = terms_of(position)
        try:
            lines = threshold_e6(terms), threshold_e6(terms, self._at_risk_milli)
        except UnsupportedLeverage:
            self._unknown[key] = "unsupported leverage"
            return
        self._unknown.pop(key, None)
        self._data["side_row"][row] = columns.insert(row, *lines)

    def _leave_side(self, row: int) -> None:
        side_row = int(self._data["side_row"][row])
        if side_row == _NO_ROW:
            return
        self._sides[self._symbol_of(row), _SIDES[int(self._data["side"][row])]].remove(side_row)
        self._data["side_row"][row] = _NO_ROW

    def _address(self, row: int) -> Pubkey:
        return Pubkey.from_bytes(self._data["address"][row].tobytes())

    def _position(self, row: int) -> Position:
        data = self._data[row]
        return Position(
            address=Pubkey.from_bytes(data["address"].tobytes()),
            owner=Pubkey.from_bytes(data["owner"].tobytes()),
            symbol=self._symbol_of(row),
            side=_SIDES[int(data["side"])],
            size_e6=int(data["size_e6"]),
            collateral_e6=int(data["collateral_e6"]),
            entry_price_e6=int(data["entry_price_e6"]),
            leverage=int(data["leverage"]),
            maintenance_margin_e6=int(data["maintenance_margin_e6"]),
            is_liquidated=False,
            created_at_s=int(data["created_at_s"]),
            generation=_GENERATIONS[int(data["generation"])],
            slot=int(data["slot"]),
        )
