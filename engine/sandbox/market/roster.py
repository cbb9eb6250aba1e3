"""Who holds which position: every live position of the market by address, kept as the ledger changes.

A million positions fit into it, so it is made of columns, and every question to it takes the same short time
however many there are.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from solders.account import Account
from solders.pubkey import Pubkey

from engine.domain import Generation
from engine.protocol.addresses import FEEDS
from engine.sandbox.cluster.blocks.banks import Commitment
from engine.sandbox.cluster.blocks.history import LandedTransaction
from engine.sandbox.cluster.ledger.ledger import Ledger

# Openings that were sent and have not landed yet, and positions that are gone but that a fork may bring back.
REMEMBERED = 20_000

_SYMBOLS = tuple(FEEDS)
_GENERATIONS = tuple(Generation)


class Holding(NamedTuple):
    """A position and the number of the trader who holds it."""

    address: Pubkey
    trader: int
    symbol: str
    generation: Generation


class Roster:
    """The live positions of the market's own traders; positions of strangers are not in it.

    It observes the ledger: a holding that is `expected` enters when its account appears, and goes with it;
    one that a fork brings back is there again. `entered` counts those that ever entered.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.entered = 0
        self._ledger = ledger
        self._row: dict[Pubkey, int] = {}
        self._addresses: list[Pubkey] = []
        self._traders = array("I")
        self._kinds = bytearray()
        self._expected: OrderedDict[Pubkey, Holding] = OrderedDict()
        self._gone: OrderedDict[Pubkey, Holding] = OrderedDict()
        ledger.observers.append(self)

    def __len__(self) -> int:
        return len(self._addresses)

    def __iter__(self) -> Iterator[Holding]:
        """All holdings, in an order that equal histories repeat; takes time by their number."""
        return (self._holding(row) for row in range(len(self._addresses)))

    def __contains__(self, address: Pubkey) -> bool:
        return address in self._row

    def get(self, address: Pubkey) -> Holding | None:
        """The holding at an address."""
        row = self._row.get(address)
        return None if row is None else self._holding(row)

    def pick(self, rng: Random) -> Holding | None:
        """A random holding, None when there is none."""
        return self._holding(rng.randrange(len(self._addresses))) if self._addresses else None

    def enter(self, holding: Holding) -> None:
        """Enter a holding whose account is on the ledger already."""
        if holding.address not in self._row:
            self._append(holding)
            self.entered += 1

    def expect(self, holding: Holding) -> None:
        """Have a holding enter when its account appears; the oldest of too many are forgotten."""
        _remember(self._expected, holding)

    def account_written(self, address: Pubkey, account: Account | None, slot: int) -> None:  # noqa: ARG002 - the observer's protocol
        """Follow an account that appeared or went."""
        if account is None:
            if address in self._row:
                _remember(self._gone, self._remove(address))
        elif (returned := self._gone.pop(address, None)) is not None:
            self._append(returned)
        elif (holding := self._expected.pop(address, None)) is not None:
            self.enter(holding)

    def transaction_landed(self, landed: LandedTransaction) -> None:
        """Nothing to follow: what it wrote is told account by account."""

    def slot_opened(self, slot: int, parent: int, root: int) -> None:
        """Nothing to follow."""

    def bank_reached(self, commitment: Commitment, slot: int) -> None:
        """Nothing to follow."""

    def slots_abandoned(self, first: int, last: int) -> None:
        """Nothing to follow: what is undone is told as changes of the slot that follows."""

    def _holding(self, row: int) -> Holding:
        symbol, generation = divmod(self._kinds[row], len(_GENERATIONS))
        return Holding(self._addresses[row], self._traders[row], _SYMBOLS[symbol], _GENERATIONS[generation])

    def _append(self, holding: Holding) -> None:
        self._row[holding.address] = len(self._addresses)
        self._addresses.append(holding.address)
        self._traders.append(holding.trader)
        self._kinds.append(
            _SYMBOLS.index(holding.symbol) * len(_GENERATIONS) + _GENERATIONS.index(holding.generation)
        )

    def _remove(self, address: Pubkey) -> Holding:
        """Take a holding out; the last one takes its row."""
        row = self._row.pop(address)
        holding = self._holding(row)
        last_address = self._addresses.pop()
        last_trader, last_kind = self._traders.pop(), self._kinds.pop()
        if last_address != address:
            self._addresses[row], self._traders[row], self._kinds[row] = last_address, last_trader, last_kind
            self._row[last_address] = row
        return holding


def _remember(holdings: OrderedDict[Pubkey, Holding], holding: Holding) -> None:
    holdings[holding.address] = holding
    while len(holdings) > REMEMBERED:
        holdings.popitem(last=False)
