"""Who trades what: the positions that the market opens, drawn from a seed.

Distributions (all of them seeded, floats only while drawing, integers of 1e-6 once drawn):
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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from solders.keypair import Keypair

from engine.domain import Generation, Side
from engine.protocol.addresses import BTC_USD, ETH_USD, SOL_USD
from engine.protocol.margin import Terms, health_at, maintenance_bps
from engine.sandbox.market.seeds import generator, key

_SYMBOLS = ((SOL_USD.symbol, 45), (BTC_USD.symbol, 30), (ETH_USD.symbol, 25))
_LEVERAGE_TIERS = (
    ((1, 5), 34.0),
    ((6, 10), 25.0),
    ((11, 20), 21.0),
    ((21, 50), 11.0),
    ((51, 100), 5.0),
    ((101, 500), 2.7),
    ((501, 1000), 1.3),
)
_ROUND_LEVERAGES = (1, 2, 3, 5, 8, 10, 15, 20, 25, 50, 75, 100, 125, 200, 250, 500, 750, 1000)
_DEPLOYED_SHARE = 0.30
_MEDIAN_LOG_USD = 8.517193191416238  # ln 5000
_NOTIONAL_SIGMA = 1.1
_NOTIONAL_USD = (50.0, 1_000_000.0)
_ENTRY_DEVIATION_TIMES_LEVERAGE = 0.55
_MAX_ENTRY_DEVIATION = 0.03
_MEAN_SURPLUS = 0.08
_TOP_UP_MILLI = (1040, 1400)
_TRADERS_PER_HUNDRED_POSITIONS = 60


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

    def __init__(self, seed: int, positions: int, start_e6: Mapping[str, int]) -> None:
        """Draw `positions` openings at the start prices (1e-6 USD by symbol)."""
        self._seed = seed
        self.trader_count = max(1, positions * _TRADERS_PER_HUNDRED_POSITIONS // 100)
        self._trader_keys = [key(seed, f"trader {trader}") for trader in range(self.trader_count)]
        self._held: set[tuple[int, str]] = set()
        rng = generator(seed, "population")
        self.openings: Sequence[Opening] = [
            self._draw(rng, start_e6, f"position {number}") for number in range(positions)
        ]

    def newcomer(self, tick: int, mark_e6: Mapping[str, int], number: int = 0) -> Opening:
        """A position that is opened at a tick, at its mark prices; always of the documented generation.

        It depends on the tick and on its number among those of the tick, and not on what happened before, so
        that it is the same whether or not the ones before it were opened.
        """
        name = f"newcomer at {tick}" + (f" number {number}" if number else "")
        rng = generator(self._seed, name)
        return self._terms(rng, mark_e6, rng.randrange(self.trader_count), name)

    def trader_key(self, trader: int) -> Keypair:
        """The signing key of a trader."""
        return self._trader_keys[trader]

    def account_key(self, opening: Opening) -> Keypair | None:
        """The key of a position's own account; None when the address is derived."""
        return None if opening.account is None else key(self._seed, opening.account)

    def _draw(self, rng: Random, mark_e6: Mapping[str, int], account: str) -> Opening:
        trader = rng.randrange(self.trader_count)
        wants_deployed = rng.random() < _DEPLOYED_SHARE
        opening = self._terms(rng, mark_e6, trader, None if wants_deployed else account)
        if wants_deployed and (trader, opening.symbol) in self._held:
            # This trader's one address for the symbol is taken, so the position gets an account of its own.
            return replace(opening, account=account)
        if wants_deployed:
            self._held.add((trader, opening.symbol))
        return opening

    @staticmethod
    def _terms(rng: Random, mark_e6: Mapping[str, int], trader: int, account: str | None) -> Opening:
        [symbol] = rng.choices([name for name, _ in _SYMBOLS], [weight for _, weight in _SYMBOLS])
        side = Side.LONG if account is None or rng.random() < 0.5 else Side.SHORT
        leverage = _leverage(rng)
        mark = mark_e6[symbol]
        deviation = min(_ENTRY_DEVIATION_TIMES_LEVERAGE / leverage, _MAX_ENTRY_DEVIATION)
        entry_e6 = max(1, round(mark * (1 + max(-0.2, min(0.2, rng.gauss(0, deviation))))))
        low, high = _NOTIONAL_USD
        notional_usd = min(high, max(low, rng.lognormvariate(_MEDIAN_LOG_USD, _NOTIONAL_SIGMA)))
        size_e6 = max(1, round(notional_usd * 10**12 / entry_e6))
        surplus = 1 + rng.expovariate(1 / _MEAN_SURPLUS)
        collateral_e6 = max(1, round(notional_usd * 10**6 / leverage * surplus))
        bare = Terms(side, size_e6, entry_e6, 0, leverage)
        floor_e6 = collateral_for_health_e6(bare, mark, rng.randint(*_TOP_UP_MILLI))
        return Opening(
            trader, account, symbol, side, size_e6, entry_e6, max(collateral_e6, floor_e6), leverage
        )


def collateral_for_health_e6(terms: Terms, mark_e6: int, health_milli: int) -> int:
    """The least collateral that gives these terms a health of health_milli / 1000 at a mark price."""
    without = health_at(Terms(terms.side, terms.size_e6, terms.entry_price_e6, 0, terms.leverage), mark_e6)
    wanted_e19 = health_milli * maintenance_bps(terms.leverage) * without.value_e12
    return max(0, -(-(wanted_e19 - without.equity_e12 * 10**7) // 10**13))


def _leverage(rng: Random) -> int:
    [(lowest, highest)] = rng.choices(
        [tier for tier, _ in _LEVERAGE_TIERS], [weight for _, weight in _LEVERAGE_TIERS]
    )
    leverage = rng.randint(lowest, highest)
    if rng.random() < 0.5:
        offered = [value for value in _ROUND_LEVERAGES if lowest <= value <= highest]
        leverage = rng.choice(offered)
    return leverage
