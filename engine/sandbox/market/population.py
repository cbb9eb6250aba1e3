"""Who trades what: the positions that the market opens, drawn from a seed and the settings of the population.

Floats only while drawing, integers of 1e-6 once drawn. With the defaults:
symbol      SOL/USD 45 %, BTC/USD 30 %, ETH/USD 25 %.
generation  30 % are opened by `open_position` (always long, one per trader and symbol), the others by
            `create_position`, half long and half short: about two longs to one short over all.
leverage    1-5x 34 %, 6-10x 25 %, 11-20x 21 %, 21-50x 11 %, 51-100x 5 %, 101-500x 2.7 %, 501-1000x 1.3 %;
            within a tier uniform, and every second one a round number that a trading screen offers.
notional    log-normal with a median of 5,000 USD and a sigma of 1.1 (mean about 9,200),
            within 50 USD and 1 million USD.
entry       normally distributed around the mark price with a deviation of 0.55 / leverage, at most 3 %:
            the more leverage, the closer to the price, because what was entered farther away is gone already.
collateral  notional / leverage and an exponentially distributed surplus of 8 % on average; but traders whose
            health would be below a line of their own (uniform 1.04 to 1.4) have topped up to that line.
            So nothing is liquidatable at the start, and a position of 1000x, whose initial margin is its
            maintenance margin, always carries a surplus.
traders     60 for 100 positions, so that some own several.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from random import Random
from typing import TypeVar

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from engine.domain import Generation, Side
from engine.protocol.margin import Terms, health_at, maintenance_bps
from engine.sandbox.market.population_settings import PopulationSettings
from engine.sandbox.market.seeds import generator, key

_ROUND_LEVERAGES = (1, 2, 3, 5, 8, 10, 15, 20, 25, 50, 75, 100, 125, 200, 250, 500, 750, 1000)
_FARTHEST_ENTRY = 0.2
_LARGEST_SIZE_E6 = 2**63 - 1
_KEYS_KEPT = 10_000

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Opening:
    """One position as its trader will open it; `trader` and `account` are names of deterministic keys.

    `account` is None for a position of the deployed generation, whose address its owner and symbol give.
    """

    trader: int
    account: str | None
    symbol: str
    side: Side
    size_e6: int
    entry_price_e6: int
    collateral_e6: int
    leverage: int

    @property
    def generation(self) -> Generation:
        """Which instruction opens it."""
        return Generation.DEPLOYED if self.account is None else Generation.DOCUMENTED

    @property
    def terms(self) -> Terms:
        """What decides its health."""
        return Terms(self.side, self.size_e6, self.entry_price_e6, self.collateral_e6, self.leverage)


class Population:
    """The traders of one seed, the positions that they hold at the start, and those that come later."""

    def __init__(
        self,
        seed: int,
        positions: int,
        start_e6: Mapping[str, int],
        settings: PopulationSettings | None = None,
    ) -> None:
        """A population of `positions` at the start prices (1e-6 USD by symbol)."""
        self._seed = seed
        self._positions = positions
        self._start_e6 = start_e6
        self._dice = _Dice(settings or PopulationSettings())
        per_hundred = self._dice.settings.traders_per_hundred_positions
        self.trader_count = max(1, positions * per_hundred // 100)
        self.trader_key = lru_cache(_KEYS_KEPT)(self._trader_key)

    def openings(self) -> Iterator[Opening]:
        """The positions of the start, drawn one after the other; the same every time."""
        rng = generator(self._seed, "population")
        held: set[tuple[int, str]] = set()
        for number in range(self._positions):
            yield self._draw(rng, held, f"position {number}")

    def newcomer(self, tick: int, mark_e6: Mapping[str, int], number: int = 0) -> Opening:
        """A position that is opened at a tick, at its mark prices; always of the documented generation.

        It depends on the tick and on its number among those of the tick, and not on what happened before, so
        that it is the same whether or not the ones before it were opened.
        """
        name = f"newcomer at {tick}" + (f" number {number}" if number else "")
        rng = generator(self._seed, name)
        return self._dice.opening(rng, mark_e6, rng.randrange(self.trader_count), name)

    def account_key(self, opening: Opening) -> Keypair | None:
        """The key of a position's own account; None when the address is derived."""
        return None if opening.account is None else key(self._seed, opening.account)

    def trader_addresses(self) -> Iterator[Pubkey]:
        """The addresses of all traders, by number."""
        for trader in range(self.trader_count):
            # The last half of a key pair is its public key; asking for it by name would work it out again.
            yield Pubkey.from_bytes(bytes(self._trader_key(trader))[32:])

    def _trader_key(self, trader: int) -> Keypair:
        """The signing key of a trader."""
        return key(self._seed, f"trader {trader}")

    def _draw(self, rng: Random, held: set[tuple[int, str]], account: str) -> Opening:
        trader = rng.randrange(self.trader_count)
        wants_deployed = rng.random() < self._dice.settings.deployed_share
        opening = self._dice.opening(rng, self._start_e6, trader, None if wants_deployed else account)
        if wants_deployed and (trader, opening.symbol) in held:
            # This trader's one address for the symbol is taken, so the position gets an account of its own.
            return replace(opening, account=account)
        if wants_deployed:
            held.add((trader, opening.symbol))
        return opening


class _Dice:
    """Draws the terms of positions from the distributions of the settings."""

    def __init__(self, settings: PopulationSettings) -> None:
        self.settings = settings
        self._symbols = list(settings.symbols)
        self._symbol_weights = list(accumulate(settings.symbols.values()))
        self._tiers = [
            (
                tier.lowest,
                tier.highest,
                [value for value in _ROUND_LEVERAGES if tier.lowest <= value <= tier.highest],
            )
            for tier in settings.leverage
        ]
        self._tier_weights = list(accumulate(tier.weight for tier in settings.leverage))
        self._median_log_usd = math.log(settings.size.median_usd)
        lines = settings.health_lines
        self._health_lines_milli = math.ceil(lines.lowest * 1000), math.ceil(lines.highest * 1000)

    def opening(self, rng: Random, mark_e6: Mapping[str, int], trader: int, account: str | None) -> Opening:
        """A position of a trader at the mark prices; the order of the draws is part of what a seed means."""
        settings = self.settings
        symbol = _weighted(rng, self._symbols, self._symbol_weights)
        side = Side.LONG if account is None or rng.random() < settings.long_share else Side.SHORT
        leverage = self._leverage(rng)
        mark = mark_e6[symbol]
        deviation = min(settings.entry_deviation_times_leverage / leverage, settings.highest_entry_deviation)
        farther = max(-_FARTHEST_ENTRY, min(_FARTHEST_ENTRY, rng.gauss(0, deviation)))
        entry_e6 = max(1, round(mark * (1 + farther)))
        size = settings.size
        drawn_usd = rng.lognormvariate(self._median_log_usd, size.sigma)
        notional_usd = min(size.highest_usd, max(size.lowest_usd, drawn_usd))
        size_e6 = min(_LARGEST_SIZE_E6, max(1, round(notional_usd * 10**12 / entry_e6)))
        surplus = 1 + rng.expovariate(1 / settings.mean_surplus)
        collateral_e6 = max(1, round(notional_usd * 10**6 / leverage * surplus))
        bare = Terms(side, size_e6, entry_e6, 0, leverage)
        floor_e6 = collateral_for_health_e6(bare, mark, rng.randint(*self._health_lines_milli))
        return Opening(
            trader, account, symbol, side, size_e6, entry_e6, max(collateral_e6, floor_e6), leverage
        )

    def _leverage(self, rng: Random) -> int:
        lowest, highest, offered = _weighted(rng, self._tiers, self._tier_weights)
        leverage = rng.randint(lowest, highest)
        if rng.random() < 0.5 and offered:
            leverage = rng.choice(offered)
        return leverage


def _weighted(rng: Random, values: Sequence[_Value], cumulative: Sequence[float]) -> _Value:
    """What `rng.choices` draws, in a quarter of its time."""
    return values[bisect(cumulative, rng.random() * cumulative[-1], 0, len(values) - 1)]


def collateral_for_health_e6(terms: Terms, mark_e6: int, health_milli: int) -> int:
    """The least collateral that gives these terms a health of health_milli / 1000 at a mark price."""
    without = health_at(replace(terms, collateral_e6=0) if terms.collateral_e6 else terms, mark_e6)
    wanted_e19 = health_milli * maintenance_bps(terms.leverage) * without.value_e12
    return max(0, -(-(wanted_e19 - without.equity_e12 * 10**7) // 10**13))
