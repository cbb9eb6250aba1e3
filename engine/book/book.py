"""The book: every position of the program, by address, with what is known and not known of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray
from solders.pubkey import Pubkey

from engine.book.leaf import LIMBO, Leaf
from engine.book.shelves import Row, Shelves
from engine.book.unknown import Unknown, Unknowns, why_undecidable
from engine.domain import Generation, Position, Price, Side, Verdict
from engine.protocol.margin import Terms, UnsupportedLeverage, maintenance_bps, threshold_e6

CLOSED_MEMORY = 100_000  # closings that are remembered between two snapshots
EPOCHS = 256
_SWEPT_LEAVES = 16
_FEW_ROWS = 4

_SIDES = (Side.LONG, Side.SHORT)
_GENERATIONS = (Generation.DEPLOYED, Generation.DOCUMENTED)


def terms_of(position: Position) -> Terms:
    """The part of a position that decides its health."""
    return Terms(
        position.side,
        position.size_e6,
        position.entry_price_e6,
        position.collateral_e6,
        position.leverage,
    )


class Crosser(msgspec.Struct, frozen=True, gc=False):
    """A position that a mark has crossed, with what its exact health is made of.

    `factor` is the health factor, for display and ordering; see `domain.Health`.
    """

    address: Pubkey
    owner: Pubkey
    size_e6: int
    equity_e12: int
    value_e12: int
    maintenance_bps: int
    factor: float


class Book:
    """Positions by address. An update older than what is known is ignored, by slot."""

    def __init__(self, symbols: Iterable[str], at_risk_milli: int) -> None:
        self.at_risk_milli = at_risk_milli
        self.symbols = tuple(dict.fromkeys(symbols))
        self.shelves = Shelves(self.symbols)
        self._closed: dict[bytes, int] = {}  # slot in which a position was seen closed
        self.unknowns = Unknowns()
        self.epoch = 0  # the snapshot that rows are marked with
        # Positions that left, for whoever keeps something of them; the oldest are forgotten when nobody asks.
        self.departed: deque[bytes] = deque(maxlen=CLOSED_MEMORY)

    def __len__(self) -> int:
        return len(self.shelves)

    def __contains__(self, address: Pubkey) -> bool:
        return self.shelves.find(bytes(address)) is not None

    def addresses(self) -> Iterator[Pubkey]:
        """The address of every position that is held; the book must not change meanwhile."""
        for leaf in self.shelves.leaves():
            for row in range(leaf.count):
                yield Pubkey.from_bytes(leaf.address(row))

    def addresses_from(self, place: int, limit: int) -> tuple[list[Pubkey], int]:
        """Up to `limit` held addresses from a place on, and where to go on; 0 after the last.

        The book may change between two calls: whoever moves meanwhile may be passed over, or come twice.
        """
        found, following = self.shelves.memory.addresses_from(place, limit)
        return [Pubkey.from_bytes(address) for address in found], following

    # --- news ---

    def apply(self, position: Position) -> bool:
        """Take a position as its account says; returns whether it was news."""
        key = bytes(position.address)
        if position.slot < self._closed.get(key, 0):
            return False
        found = self.shelves.find(key)
        if found is not None and position.slot < _slot(*found):
            return False
        if position.is_liquidated or position.size_e6 == 0:
            self.remove(position.address, position.slot)
            return True
        self._closed.pop(key, None)
        self._shelve(key, found, position)
        return True

    def remove(self, address: Pubkey, slot: int) -> None:
        """Forget a position whose account was closed in this slot."""
        key = bytes(address)
        found = self.shelves.find(key)
        if found is not None:
            if slot < _slot(*found):
                return
            self.unknowns.forget(*found)
            self.shelves.take_out(key, *found)
            self.departed.append(key)
        self._closed[key] = max(slot, self._closed.pop(key, 0))
        if len(self._closed) > CLOSED_MEMORY:
            del self._closed[next(iter(self._closed))]

    def mark_unknown(self, address: Pubkey, reason: str, slot: int) -> None:
        """A held position whose account cannot be read in this slot: known no longer, and never sent."""
        key = bytes(address)
        found = self.shelves.find(key)
        if found is None or slot < _slot(*found):
            return
        leaf, row = found
        symbol, side = self._symbol_and_side(leaf, row)
        *content, _, _ = leaf.content(row)
        self._put_into_limbo(key, found, (*content, self.epoch, slot), Unknown(reason, symbol, side))

    # --- snapshots ---

    def begin_epoch(self) -> int:
        """A new snapshot begins; returns its number, for the rows that it has."""
        self.epoch = (self.epoch + 1) % EPOCHS
        return self.epoch

    def sweep(self, slot: int) -> Iterator[None]:
        """Forget positions that a complete snapshot lacks, unless they are newer; yields every few leaves."""
        for number, leaf in enumerate(list(self.shelves.leaves())):
            rows = leaf.rows[: leaf.count]
            missing = np.flatnonzero((rows["epoch"] != self.epoch) & (rows["slot"] <= slot))
            for address in [leaf.address(row) for row in missing.tolist()]:
                self.remove(Pubkey.from_bytes(address), slot)
            if len(missing) or number % _SWEPT_LEAVES == 0:
                yield
        self.forget_closings(slot)

    def forget_closings(self, slot: int) -> None:
        """A complete snapshot of this slot is in the book: what closed before it need not be known."""
        self._closed = {key: closed for key, closed in self._closed.items() if closed >= slot}

    def closed_after(self, slot: int) -> set[bytes]:
        """The positions that were seen closed in a slot after this one."""
        return {key for key, closed in self._closed.items() if closed > slot}

    # --- one position ---

    def get(self, address: Pubkey) -> Position | None:
        """The position as it was last read, None when it is not held."""
        found = self.shelves.find(bytes(address))
        return None if found is None else self._position(*found)

    def decidable(self, address: Pubkey) -> Position | None:
        """The same, None when it cannot be decided as well."""
        found = self.shelves.find(bytes(address))
        return None if found is None or found[0].group == LIMBO else self._position(*found)

    def unknown_reason(self, address: Pubkey) -> str | None:
        """Why the position cannot be decided as it is, None when it can, or is not held."""
        found = self.shelves.find(bytes(address))
        unknown = None if found is None else self.unknowns.of(*found)
        return None if unknown is None else unknown.reason

    # --- who crossed ---

    def crossed(self, price: Price) -> list[Pubkey]:
        """Positions of the price's symbol that are liquidatable at it; none unless the verdict is OK."""
        if price.verdict is not Verdict.OK:
            return []
        return [
            Pubkey.from_bytes(leaf.address(row))
            for leaf, rows in self.shelves.crossed(price.symbol, price.price_e6)
            for row in rows.tolist()
        ]

    def crossers(self, price: Price) -> list[Crosser]:
        """The same by exact arithmetic, each with what its health at this price is made of; in no order."""
        if price.verdict is not Verdict.OK:
            return []
        found: list[Crosser] = []
        for leaf, rows in self.shelves.crossed(price.symbol, price.price_e6):
            group = self.shelves.group_of(leaf)
            found += _crossers(leaf, rows, group.side, group.maintenance_bps, price.price_e6)
        return found

    def is_reached(self, price: Price) -> bool:
        """Whether anybody may be liquidatable at this price: one comparison a side."""
        if price.verdict is not Verdict.OK:
            return False
        return any(flank.is_reached(price.price_e6) for flank in self.shelves.flanks(price.symbol))

    def is_crossed(self, address: Pubkey, price_of: Callable[[str], Price | None]) -> bool:
        """Whether a position's line is reached at its symbol's price, if there is one."""
        found = self.shelves.find(bytes(address))
        if found is None:
            return False
        leaf, row = found
        group = self.shelves.group_of(leaf)
        price = price_of(group.symbol)
        if price is None or price.verdict is not Verdict.OK:
            return False
        line = leaf.liquidation.item(row)
        return price.price_e6 <= line if group.side is Side.LONG else price.price_e6 >= line

    # --- inside ---

    def _shelve(self, key: bytes, found: tuple[Leaf, int] | None, position: Position) -> None:
        row = _row(position, self.epoch)
        try:
            terms = terms_of(position)
            group = self.shelves.group(position.symbol, position.side, maintenance_bps(position.leverage))
        except UnsupportedLeverage:
            group = None
        if group is None:
            reason = why_undecidable(position.leverage)
            self._put_into_limbo(key, found, row, Unknown(reason, position.symbol, position.side))
        else:
            if found is not None:
                self.unknowns.forget(*found)
            liquidation_e6, at_risk_e6 = threshold_e6(terms), threshold_e6(terms, self.at_risk_milli)
            self.shelves.put(key, found, group, row, liquidation_e6=liquidation_e6, at_risk_e6=at_risk_e6)

    def _put_into_limbo(self, key: bytes, found: tuple[Leaf, int] | None, row: Row, unknown: Unknown) -> None:
        if found is not None:
            self.unknowns.forget(*found)
        place = self.shelves.put(key, found, self.shelves.limbo, row, liquidation_e6=0, at_risk_e6=0)
        self.unknowns.note(*place, unknown)

    def _symbol_and_side(self, leaf: Leaf, row: int) -> tuple[str, Side]:
        unknown = self.unknowns.of(leaf, row)
        source = unknown or self.shelves.group_of(leaf)
        return source.symbol, source.side

    def _position(self, leaf: Leaf, row: int) -> Position:
        address = leaf.address(row)
        symbol, side = self._symbol_and_side(leaf, row)
        owner, size, collateral, entry, maintenance, created, leverage, generation, _, slot = leaf.content(
            row
        )
        return Position(
            address=Pubkey.from_bytes(address),
            owner=Pubkey.from_bytes(owner),
            symbol=symbol,
            side=side,
            size_e6=size,
            collateral_e6=collateral,
            entry_price_e6=entry,
            leverage=leverage,
            maintenance_margin_e6=maintenance,
            is_liquidated=False,
            created_at_s=created,
            generation=_GENERATIONS[generation],
            slot=slot,
        )


def _row(position: Position, epoch: int) -> Row:
    """The position as a row of a leaf."""
    return (
        bytes(position.owner),
        position.size_e6,
        position.collateral_e6,
        position.entry_price_e6,
        position.maintenance_margin_e6,
        position.created_at_s,
        position.leverage,
        _GENERATIONS.index(position.generation),
        epoch,
        position.slot,
    )


def _slot(leaf: Leaf, row: int) -> int:
    return int(leaf.rows["slot"][row])


def _crossers(leaf: Leaf, rows: NDArray[np.int64], side: Side, bps: int, mark_e6: int) -> Iterator[Crosser]:
    """Those of the rows that are liquidatable: `margin.is_liquidatable` written out, for many at once.

    The two products that decide are also what the health factor is made of.
    """
    sign = 1 if side is Side.LONG else -1
    for address, owner, size, collateral, entry in _terms_in(leaf, rows):
        equity, value = collateral * 10**6 + sign * size * (mark_e6 - entry), size * mark_e6
        held, required = 10_000 * equity, bps * value
        if held < required:
            yield Crosser(
                Pubkey.from_bytes(address),
                Pubkey.from_bytes(owner),
                size,
                equity,
                value,
                bps,
                held / required,
            )


def _terms_in(leaf: Leaf, rows: NDArray[np.int64]) -> Iterable[tuple[bytes, bytes, int, int, int]]:
    """Address, owner, size, collateral, entry price of each row: of many by column, of few by row."""
    if len(rows) <= _FEW_ROWS:
        return [(leaf.address(row), *leaf.content(row)[:4]) for row in rows.tolist()]
    picked = leaf.rows[rows]
    return zip(
        leaf.keys[rows].tolist(),
        picked["owner"].tolist(),
        picked["size_e6"].tolist(),
        picked["collateral_e6"].tolist(),
        picked["entry_price_e6"].tolist(),
        strict=True,
    )
