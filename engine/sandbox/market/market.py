"""The market on a ledger: who is there when it begins, the prices slot by slot, and everybody's turn to act.

Synchronous like the ledger. What takes long is a generator, so that whoever drives it decides how fast it
goes and lets other things happen in between: first `begin`, before the first slot, then `open_positions`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

from pydantic import ValidationError
from solders.account import Account
from solders.hash import Hash
from solders.pubkey import Pubkey

from engine.protocol.addresses import FEEDS, PROGRAM_ID, PYTH_RECEIVER, SYSTEM_PROGRAM
from engine.protocol.margin import LAMPORTS_PER_SOL
from engine.protocol.pyth import PriceUpdate, encode_price_update, to_e6
from engine.sandbox.cluster.blocks.banks import Commitment
from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.ledger.ledger import Ledger
from engine.sandbox.cluster.rpc_errors import RpcError, invalid_params
from engine.sandbox.market.actors import Venue
from engine.sandbox.market.behaviour import Behaviour
from engine.sandbox.market.cast import Cast
from engine.sandbox.market.contributors import Contributors, FundNotFilled, fund_lamports
from engine.sandbox.market.feeds import FEED_ACCOUNT_LAMPORTS, FeedPublisher
from engine.sandbox.market.genesis_positions import GenesisPositions
from engine.sandbox.market.oracle_conditions import OracleConditions
from engine.sandbox.market.plan import MarketPlan
from engine.sandbox.market.population import Opening, Population
from engine.sandbox.market.prices import EXPONENT
from engine.sandbox.market.roster import Holding, Roster
from engine.sandbox.market.scenarios import OPENINGS_PER_MINUTE
from engine.sandbox.market.seeds import generator
from engine.sandbox.market.transactions import opening_transaction, position_of, priority_microlamports
from engine.sandbox.settings_arguments import complaint

TRADER_LAMPORTS = 5 * LAMPORTS_PER_SOL
TRADER_REFILL_BELOW_LAMPORTS = LAMPORTS_PER_SOL // 10
MORE_THAN_AT_START = 200  # newcomers stay away while there are this many positions more than at the start


class MarketFailed(Exception):
    """The chain did not take a transaction of the market: the program and the market do not fit together."""


class Market:
    """The traders, the contributors and the oracle of one cluster.

    `ticks` counts the moves of the prices: the price after n of them does not depend on anything else.
    `oracle` is what ails the feeds on chain; `quotes` are what the publishers say all the same.
    """

    def __init__(
        self, ledger: Ledger, plan: MarketPlan, program_id: Pubkey = PROGRAM_ID, leader: Leader | None = None
    ) -> None:
        """Publish the first prices.

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
        self._population = Population(plan.seed, plan.positions, self.marks_e6(), plan.population)
        self._contributors = Contributors(
            ledger, plan.seed, program_id, fund_lamports(plan.positions, plan.population)
        )
        self._started = False
        self.quotes: dict[str, PriceUpdate] = {}
        self.oracle = OracleConditions()
        self.roster = Roster(ledger)
        self.positions_signed = 0
        self.positions_genesis = 0
        self.refused: Counter[str] = Counter()
        self.ticks = 0
        self.held = False
        self._publish()
        self._cast = Cast(
            self._venue(),
            self._leader.limits,
            openings_per_minute=OPENINGS_PER_MINUTE[plan.scenario],
            crowd=plan.positions + MORE_THAN_AT_START,
        )

    @property
    def positions_opened(self) -> int:
        """How many positions the market's traders ever had open."""
        return self.roster.entered

    @property
    def rpc_methods(self) -> dict[str, Callable[[list[object]], object]]:
        """The market's own JSON-RPC methods, for the cluster to serve beside Solana's."""
        return {"sandboxHoldPrices": self._hold_prices, "sandboxMarket": self._describe}

    def begin(self, batch: int = 1_000) -> Iterator[None]:
        """Give the participants their balances and write the positions of the genesis.

        To be exhausted before the first slot; yields after every `batch` accounts.
        """
        self._contributors.endow()
        owners = []
        for owner in self._population.trader_addresses():
            self._ledger.set_account(owner, Account(TRADER_LAMPORTS, b"", SYSTEM_PROGRAM))
            owners.append(owner)
            if len(owners) % batch == 0:
                yield
        genesis = GenesisPositions(self._ledger, self._plan.seed, self._program_id)
        for opening in islice(self._population.openings(), self._plan.signed_positions, None):
            self.roster.enter(genesis.write(opening, owners[opening.trader]))
            self.positions_genesis += 1
            if self.positions_genesis % batch == 0:
                yield

    def open_positions(self, batch: int) -> Iterator[None]:
        """Fund the insurance fund, then open the other positions; yields after every `batch` transactions.

        Raises MarketFailed when one of them is refused.
        """
        try:
            self._contributors.contribute(self._blockhash())
        except FundNotFilled:
            raise MarketFailed("the program did not take the contributions to the insurance fund") from None
        yield
        bids = generator(self._plan.seed, "priority bids")
        for opening in islice(self._population.openings(), self._plan.signed_positions):
            self._open(opening, priority_microlamports(bids))
            if self.positions_signed % batch == 0:
                yield

    def start(self) -> None:
        """Let prices move and participants act, from the next slot on."""
        self._started = True

    def on_slot(self, _ledger: Ledger) -> None:
        """Publish the prices of a slot that begins; they stand still while held and before the start."""
        if not self._started or self.held:
            self._publish()
            return
        self.ticks += 1
        self._prices = {symbol: path.advance() for symbol, path in self._plan.paths.items()}
        self._publish()
        self._cast.on_tick(self.ticks)

    def send(self, raw: bytes) -> None:
        """Hand a participant's signed transaction to the leader; what it refuses is counted in `refused`."""
        with self._counting_refusals():
            self._leader.take_in(raw, skip_preflight=True)

    def marks_e6(self) -> dict[str, int]:
        """The true prices by symbol in 1e-6 USD."""
        return {symbol: to_e6(price, EXPONENT) for symbol, price in self._prices.items()}

    def _venue(self) -> Venue:
        return Venue(
            ledger=self._ledger,
            roster=self.roster,
            population=self._population,
            behaviour=self._plan.behaviour,
            seed=self._plan.seed,
            send=self.send,
            fund=self._refill,
            marks_e6=self.marks_e6,
            blockhash=self._blockhash,
            program_id=self._program_id,
        )

    def _open(self, opening: Opening, bid_microlamports: int) -> None:
        raw = opening_transaction(
            self._population, opening, self._blockhash(), bid_microlamports, self._program_id
        )
        self._ledger.submit(raw, skip_preflight=True)
        address = position_of(self._population, opening, self._program_id)
        if self._ledger.account(address) is None:
            raise MarketFailed(f"the program refused to open {opening}")
        self.roster.enter(Holding(address, opening.trader, opening.symbol, opening.generation))
        self.positions_signed += 1

    def _refill(self, trader: Pubkey) -> None:
        account = self._ledger.account(trader)
        if account is None or account.lamports < TRADER_REFILL_BELOW_LAMPORTS:
            with self._counting_refusals():
                self._leader.airdrop(trader, TRADER_LAMPORTS)

    @contextmanager
    def _counting_refusals(self) -> Iterator[None]:
        try:
            yield
        except RpcError as refusal:
            self.refused[refusal.message] += 1

    def _publish(self) -> None:
        for symbol, price in self._prices.items():
            quote = self._publishers[symbol].update(price, self._ledger.unix_time_s, self._ledger.slot)
            self.quotes[symbol] = quote
            published = self.oracle.of(symbol).applied_to(quote)
            if published is None:
                continue
            account = Account(FEED_ACCOUNT_LAMPORTS, encode_price_update(published), PYTH_RECEIVER)
            self._ledger.set_account(FEEDS[symbol].account, account)

    def _blockhash(self) -> Hash:
        return self._ledger.latest_blockhash(self._ledger.bank(Commitment.PROCESSED)).value

    def _hold_prices(self, parameters: list[object]) -> bool:
        if len(parameters) != 1 or not isinstance(parameters[0], bool):
            raise invalid_params("sandboxHoldPrices takes one parameter: true or false")
        self.held = parameters[0]
        return self.held

    def _describe(self, parameters: list[object]) -> dict[str, object]:
        """The market as it is; a parameter changes the settings of behaviour that it names."""
        if parameters:
            self._cast.behave(_changed(self._cast.behaviour, parameters))
        return {
            "positions_opened": self.positions_opened,
            "positions_signed": self.positions_signed,
            "positions_genesis": self.positions_genesis,
            "positions_open": len(self.roster),
            "scenario": self._plan.scenario.value,
            "seed": self._plan.seed,
            "ticks": self.ticks,
            "held": self.held,
            "behaviour": self._cast.behaviour.model_dump(),
            "done": dict(self._cast.figures()),
            "refused": dict(self.refused),
        }


def _changed(behaviour: Behaviour, parameters: list[object]) -> Behaviour:
    """The behaviour with the settings of an RPC call's one parameter; raises RpcError."""
    if len(parameters) != 1 or not isinstance(parameters[0], dict):
        raise invalid_params("sandboxMarket takes at most one parameter: an object of settings of behaviour")
    try:
        return Behaviour.model_validate({**behaviour.model_dump(), **parameters[0]})
    except ValidationError as error:
        raise invalid_params(complaint("sandboxMarket", error)) from None
