"""Traders who have a position: they add collateral when its health gets low, and close it when they like to.

Every trader has a line (health 1.04 to 1.4) below which they top up, and a target above it; some of them
never do, hoping for the best. Nobody watches the market all the time: when somebody's moment comes, a few
random positions are looked at, so a tick costs the same however many there are. Who looks in time may rescue
a position whose liquidation is on its way already.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from random import Random
from typing import NamedTuple

from solders.compute_budget import set_compute_unit_price
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from engine.domain import Health
from engine.protocol.accounts import AccountRefused, decode_position
from engine.protocol.addresses import FEEDS, SOL_USD
from engine.protocol.instructions import add_collateral, close_position
from engine.protocol.margin import Terms, UnsupportedLeverage, health_at, is_below, is_liquidatable
from engine.sandbox.market.actors import Venue
from engine.sandbox.market.behaviour import chance_per_tick
from engine.sandbox.market.population import collateral_for_health_e6
from engine.sandbox.market.roster import Holding
from engine.sandbox.market.seeds import generator
from engine.sandbox.market.transactions import priority_microlamports, signed

LINE_MILLI = (1040, 1400)
ABOVE_LINE_MILLI = (100, 500)
CARELESS_SHARE = 0.35

_LOOKS_PER_TOP_UP = 40
_LOOKS_PER_CLOSING = 8
# Who has just acted waits for the transaction to land; so many are remembered at most.
_PATIENCE_TICKS = 20
_REMEMBERED = 4_000


class Habits(NamedTuple):
    """Below which health a trader tops up, and to which, in thousandths; both 0 of one who never does."""

    line_milli: int
    target_milli: int


class _Sight(NamedTuple):
    """What a trader sees who looks at a position."""

    holding: Holding
    owner: Pubkey
    terms: Terms
    mark_e6: int
    health: Health


class Traders:
    """Tops up and closes at the rates of the behaviour; who does so follows from the seed and the chain."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._acted: OrderedDict[Pubkey, int] = OrderedDict()
        self._top_ups = self._closings = 0

    def on_tick(self, tick: int) -> None:
        """Let those act whose moment this is."""
        rng = generator(self._venue.seed, f"traders at {tick}")
        behaviour = self._venue.behaviour
        while self._acted and next(iter(self._acted.values())) <= tick - _PATIENCE_TICKS:
            self._acted.popitem(last=False)
        for _ in range(_times(rng, behaviour.closings_per_minute)):
            self._close_one(rng, tick)
        for _ in range(_times(rng, behaviour.top_ups_per_minute)):
            self._top_up_one(rng, tick)

    def figures(self) -> Mapping[str, int]:
        """How many top-ups and closings were sent."""
        return {"top_ups_sent": self._top_ups, "closings_sent": self._closings}

    def habits(self, trader: int) -> Habits:
        """The habits of the trader of this number."""
        rng = generator(self._venue.seed, f"habits of trader {trader}")
        if rng.random() < CARELESS_SHARE:
            return Habits(0, 0)
        line_milli = rng.randint(*LINE_MILLI)
        return Habits(line_milli, line_milli + rng.randint(*ABOVE_LINE_MILLI))

    def _top_up_one(self, rng: Random, tick: int) -> None:
        """The first of a few positions that is below its trader's line gets collateral up to the target."""
        marks_e6 = self._venue.marks_e6()
        for _ in range(_LOOKS_PER_TOP_UP):
            sight = self._look(rng, marks_e6)
            if sight is None:
                continue
            amount_e6 = self._wanted_e6(sight)
            if amount_e6 > 0:
                self._top_ups += 1
                call = add_collateral(
                    sight.holding.address,
                    sight.owner,
                    amount_e6=amount_e6,
                    program_id=self._venue.program_id,
                )
                self._send(sight, call, rng, tick)
                return

    def _wanted_e6(self, sight: _Sight) -> int:
        """What the trader adds now; nothing for a position above the line or without any equity left."""
        habits = self.habits(sight.holding.trader)
        if sight.health.equity_e12 <= 0 or not is_below(sight.health, habits.line_milli):
            return 0
        target_e6 = collateral_for_health_e6(sight.terms, sight.mark_e6, habits.target_milli)
        return max(0, target_e6 - sight.terms.collateral_e6)

    def _close_one(self, rng: Random, tick: int) -> None:
        """The first of a few positions that is not liquidatable is closed: the others may not be."""
        marks_e6 = self._venue.marks_e6()
        for _ in range(_LOOKS_PER_CLOSING):
            sight = self._look(rng, marks_e6)
            if sight is None or is_liquidatable(sight.health):
                continue
            self._closings += 1
            call = close_position(
                sight.holding.address,
                sight.owner,
                price_account=FEEDS[sight.holding.symbol].account,
                sol_price_account=SOL_USD.account,
                program_id=self._venue.program_id,
            )
            self._send(sight, call, rng, tick)
            return

    def _look(self, rng: Random, marks_e6: Mapping[str, int]) -> _Sight | None:
        """A random position; None when there is none, or nothing to be done with it now."""
        holding = self._venue.roster.pick(rng)
        if holding is None or holding.address in self._acted:
            return None
        account = self._venue.ledger.account(holding.address)
        if account is None:
            return None
        try:
            position = decode_position(holding.address, bytes(account.data), self._venue.ledger.slot)
            terms = Terms(
                position.side,
                position.size_e6,
                position.entry_price_e6,
                position.collateral_e6,
                position.leverage,
            )
            mark_e6 = marks_e6[position.symbol]
            return _Sight(holding, position.owner, terms, mark_e6, health_at(terms, mark_e6))
        except (AccountRefused, UnsupportedLeverage):
            return None

    def _send(self, sight: _Sight, call: Instruction, rng: Random, tick: int) -> None:
        venue = self._venue
        owner = venue.population.trader_key(sight.holding.trader)
        venue.fund(sight.owner)
        bid = priority_microlamports(rng)
        calls = [set_compute_unit_price(bid), call] if bid else [call]
        venue.send(signed(calls, [owner], venue.blockhash()))
        self._acted[sight.holding.address] = tick
        while len(self._acted) > _REMEMBERED:
            self._acted.popitem(last=False)


def _times(rng: Random, per_minute: float) -> int:
    """How often something happens in this tick that happens so often in a minute."""
    whole, rest = divmod(chance_per_tick(per_minute), 1.0)
    return int(whole) + (rng.random() < rest)
