"""The market on a ledger: opens the positions, publishes the prices slot by slot, lets newcomers in.

Synchronous like the ledger. `open_positions` is a generator, so that whoever drives it decides how fast the
first positions come and lets the cluster's clock go on between them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from solders.account import Account
from solders.hash import Hash
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from engine.protocol.addresses import FEEDS, PROGRAM_ID, PYTH_RECEIVER, SYSTEM_PROGRAM, insurance_fund_address
from engine.protocol.margin import LAMPORTS_PER_SOL
from engine.protocol.pyth import PriceUpdate, encode_price_update, to_e6
from engine.sandbox.cluster.banks import Commitment
from engine.sandbox.cluster.leader import Leader
from engine.sandbox.cluster.ledger import Ledger
from engine.sandbox.cluster.rpc_errors import INVALID_PARAMS, RpcError
from engine.sandbox.market.actors import Actor, Venue
from engine.sandbox.market.arrivals import Arrivals
from engine.sandbox.market.behaviour import Behaviour
from engine.sandbox.market.feeds import FEED_ACCOUNT_LAMPORTS, FeedPublisher
from engine.sandbox.market.oracle_conditions import OracleConditions
from engine.sandbox.market.population import Opening, Population
from engine.sandbox.market.prices import EXPONENT, PricePath
from engine.sandbox.market.roster import Holding, Roster
from engine.sandbox.market.scenarios import OPENINGS_PER_MINUTE, Scenario
from engine.sandbox.market.seeds import generator, key
from engine.sandbox.market.transactions import (
    contribution_transaction,
    initialize_fund_transaction,
    opening_transaction,
    position_of,
    priority_microlamports,
)

TRADER_LAMPORTS = 5 * LAMPORTS_PER_SOL
TRADER_REFILL_BELOW_LAMPORTS = LAMPORTS_PER_SOL // 10
CONTRIBUTORS = 5
# A crash of 1,000 positions makes about 20 to 60 SOL of bad debt with an engine that keeps up, 700 to 1,100
# with one that comes eight seconds late, and up to 1,800 with one that returns to a position only when its
# last liquidation is final: the fund bears each of them.
FUND_LAMPORTS_PER_POSITION = 2 * LAMPORTS_PER_SOL
MIN_FUND_LAMPORTS = 200 * LAMPORTS_PER_SOL
MORE_THAN_AT_START = 200  # newcomers stay away while there are this many positions more than at the start


class MarketFailed(Exception):
    """The chain did not take a transaction of the market: the program and the market do not fit together."""


@dataclass(frozen=True, slots=True)
class MarketPlan:
    """What a market is made of; two markets of equal plans behave alike."""

    seed: int
    positions: int
    scenario: Scenario
    paths: Mapping[str, PricePath]
    behaviour: Behaviour = field(default_factory=Behaviour)


class Market:
    """The traders, the contributors and the oracle of one cluster.

    `ticks` counts the moves of the prices: the price after n of them does not depend on anything else.
    """

    def __init__(
        self, ledger: Ledger, plan: MarketPlan, program_id: Pubkey = PROGRAM_ID, leader: Leader | None = None
    ) -> None:
        """Give the participants their genesis balances and publish the first prices.

        What participants do later goes through the `leader`'s pool; without one, through one of its own.
        """
        self._ledger = ledger
        self._leader = leader or Leader(ledger)
        self._plan = plan
        self._program_id = program_id
        self._prices = {symbol: path.start_raw for symbol, path in plan.paths.items()}
        self._publishers = {
            symbol: FeedPublisher(FEEDS[symbol], generator(plan.seed, f"confidence of {symbol}"))
            for symbol in plan.paths
        }
        self._population = Population(plan.seed, plan.positions, self._marks_e6())
        self._bids = generator(plan.seed, "priority bids")
        self._started = False
        # What the publishers say, whether the chain gets it or not: Hermes carries the same updates.
        self.quotes: dict[str, PriceUpdate] = {}
        self.oracle = OracleConditions()
        self.roster = Roster(ledger)
        self.positions_signed = 0
        self.refused: Counter[str] = Counter()
        self.ticks = 0
        self.held = False
        self._endow()
        self._publish()
        self._actors = self._cast()

    @property
    def positions_opened(self) -> int:
        """How many positions the market's traders ever had open."""
        return self.roster.entered

    @property
    def rpc_methods(self) -> dict[str, Callable[[list[object]], object]]:
        """The market's own JSON-RPC methods, for the cluster to serve beside Solana's."""
        return {"sandboxHoldPrices": self._hold_prices, "sandboxMarket": self._describe}

    def open_positions(self, batch: int) -> Iterator[None]:
        """Fund the insurance fund, then open all positions; yields after every `batch` transactions.

        Raises MarketFailed when one of them is refused.
        """
        self._contribute()
        yield
        for number, opening in enumerate(self._population.openings, start=1):
            if not self._open(opening):
                raise MarketFailed(f"the program refused to open {opening}")
            if number % batch == 0:
                yield

    def start(self) -> None:
        """Let prices move and newcomers come, from the next slot on."""
        self._started = True

    def on_slot(self, _ledger: Ledger) -> None:
        """Publish the prices of a slot that begins; they stand still while held and before the start."""
        if not self._started or self.held:
            self._publish()
            return
        self.ticks += 1
        self._prices = {symbol: path.advance() for symbol, path in self._plan.paths.items()}
        self._publish()
        for actor in self._actors:
            actor.on_tick(self.ticks)

    def send(self, raw: bytes) -> None:
        """Hand a participant's signed transaction to the leader; what it refuses is counted in `refused`."""
        try:
            self._leader.take_in(raw, skip_preflight=True)
        except RpcError as refusal:
            self.refused[str(refusal)] += 1

    def _cast(self) -> Sequence[Actor]:
        """Everybody who acts on this market's ticks, in the order in which they do."""
        venue = Venue(
            ledger=self._ledger,
            roster=self.roster,
            population=self._population,
            behaviour=self._plan.behaviour,
            seed=self._plan.seed,
            send=self.send,
            fund=self._refill,
            marks_e6=self._marks_e6,
            blockhash=self._blockhash,
            program_id=self._program_id,
        )
        per_minute = self._plan.behaviour.openings_per_minute
        if per_minute is None:
            per_minute = OPENINGS_PER_MINUTE[self._plan.scenario]
        return [Arrivals(venue, per_minute, self._plan.positions + MORE_THAN_AT_START)]

    def _open(self, opening: Opening) -> bool:
        """Open a position of the start; whether it is on the chain now."""
        bid = priority_microlamports(self._bids)
        raw = opening_transaction(self._population, opening, self._blockhash(), bid, self._program_id)
        self._ledger.submit(raw, skip_preflight=True)
        address = position_of(self._population, opening, self._program_id)
        if self._ledger.account(address) is None:
            return False
        self.roster.enter(Holding(address, opening.trader, opening.symbol, opening.generation))
        self.positions_signed += 1
        return True

    def _contribute(self) -> None:
        contributors = [self._contributor(number) for number in range(CONTRIBUTORS)]
        self._ledger.submit(
            initialize_fund_transaction(contributors[0], self._blockhash(), self._program_id),
            skip_preflight=True,
        )
        for contributor, lamports in zip(contributors, self._contributions_lamports(), strict=True):
            raw = contribution_transaction(contributor, lamports, self._blockhash(), self._program_id)
            self._ledger.submit(raw, skip_preflight=True)
        fund = self._ledger.account(insurance_fund_address(self._program_id))
        if fund is None or fund.lamports < sum(self._contributions_lamports()):
            raise MarketFailed("the program did not take the contributions to the insurance fund")

    def _contributions_lamports(self) -> list[int]:
        """What each contributor gives: unequal, whole SOL, together what the positions call for."""
        wanted = max(MIN_FUND_LAMPORTS, self._plan.positions * FUND_LAMPORTS_PER_POSITION)
        shares = [
            generator(self._plan.seed, f"contribution {n}").randint(50, 150) for n in range(CONTRIBUTORS)
        ]
        return [-(-wanted * share // (sum(shares) * LAMPORTS_PER_SOL)) * LAMPORTS_PER_SOL for share in shares]

    def _endow(self) -> None:
        for trader in range(self._population.trader_count):
            self._give(self._population.trader_key(trader).pubkey(), TRADER_LAMPORTS)
        for number, lamports in enumerate(self._contributions_lamports()):
            self._give(self._contributor(number).pubkey(), lamports + LAMPORTS_PER_SOL)

    def _contributor(self, number: int) -> Keypair:
        return key(self._plan.seed, f"contributor {number}")

    def _give(self, address: Pubkey, lamports: int) -> None:
        self._ledger.set_account(address, Account(lamports, b"", SYSTEM_PROGRAM))

    def _refill(self, trader: Pubkey) -> None:
        account = self._ledger.account(trader)
        if account is None or account.lamports < TRADER_REFILL_BELOW_LAMPORTS:
            self._ledger.airdrop(trader, TRADER_LAMPORTS)

    def _publish(self) -> None:
        for symbol, price in self._prices.items():
            quote = self._publishers[symbol].update(price, self._ledger.unix_time_s, self._ledger.slot)
            self.quotes[symbol] = quote
            published = self.oracle.of(symbol).applied_to(quote)
            if published is None:
                continue
            account = Account(FEED_ACCOUNT_LAMPORTS, encode_price_update(published), PYTH_RECEIVER)
            self._ledger.set_account(FEEDS[symbol].account, account)

    def _marks_e6(self) -> dict[str, int]:
        return {symbol: to_e6(price, EXPONENT) for symbol, price in self._prices.items()}

    def _blockhash(self) -> Hash:
        return self._ledger.latest_blockhash(self._ledger.bank(Commitment.PROCESSED)).value

    def _hold_prices(self, parameters: list[object]) -> bool:
        if len(parameters) != 1 or not isinstance(parameters[0], bool):
            raise RpcError(INVALID_PARAMS, "sandboxHoldPrices takes one parameter: true or false")
        self.held = parameters[0]
        return self.held

    def _describe(self, _parameters: list[object]) -> dict[str, object]:
        figures = {name: count for actor in self._actors for name, count in actor.figures().items()}
        return {
            "positions_opened": self.positions_opened,
            "scenario": self._plan.scenario.value,
            "seed": self._plan.seed,
            "ticks": self.ticks,
            "held": self.held,
            **figures,
        }
