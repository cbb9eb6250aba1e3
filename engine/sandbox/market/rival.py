"""A competing liquidator: it sees what everybody sees, computes exactly, and takes its share of positions.

It has a funded key of its own and sends ordinary liquidations, so who wins is decided where it always is: by
when a transaction reaches the leader and what it pays there.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from collections.abc import Mapping

from solders.account import Account
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.pubkey import Pubkey

from engine.domain import Action, Position
from engine.protocol.accounts import AccountRefused, decode_position
from engine.protocol.addresses import FEEDS, PYTH_RECEIVER, SOL_USD, insurance_fund_address
from engine.protocol.instructions import liquidate
from engine.protocol.margin import Terms, UnsupportedLeverage, choose_action, health_at, threshold_e6
from engine.protocol.pyth import decode_price_update, to_e6
from engine.sandbox.cluster.blocks.banks import Commitment
from engine.sandbox.cluster.blocks.history import LandedTransaction
from engine.sandbox.market.actors import Venue
from engine.sandbox.market.lines import Lines
from engine.sandbox.market.seeds import key
from engine.sandbox.market.transactions import signed

COMPUTE_UNITS = 20_000  # a liquidation stays below 12,000
MAX_SENDS_PER_TICK = 100
RETRY_TICKS = 10

_MAX_PRICE_AGE_S = 60
_MAX_CONFIDENCE_PERCENT = 1


class Rival:
    """Liquidates a share of the positions that become liquidatable, `rival_delay_slots` after they did.

    Which positions it wants follows from the seed and their addresses. It observes the ledger, so that it
    knows every position of the program, strangers' included, and each tick costs what changed.
    """

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._key = key(venue.seed, "rival")
        self._fund = insurance_fund_address(venue.program_id)
        self._salt = f"{venue.seed}/rival/".encode()
        self._limit = int(venue.behaviour.rival_share * 2**64)
        self._lines = Lines()
        self._due: deque[tuple[int, Pubkey]] = deque()
        self._tried: OrderedDict[Pubkey, int] = OrderedDict()
        self._sent = self._won = self._lost = 0
        for address, account in venue.ledger.program_accounts(venue.program_id):
            self._follow(address, account)
        venue.ledger.observers.append(self)

    @property
    def address(self) -> Pubkey:
        """The account that pays for its transactions and receives what they earn."""
        return self._key.pubkey()

    def on_tick(self, tick: int) -> None:
        """Go for the positions whose time has come, at the prices that are on the chain."""
        self._venue.fund(self.address)
        marks_e6 = self._marks_e6()
        due_tick = tick + self._venue.behaviour.rival_delay_slots
        for symbol, mark_e6 in marks_e6.items():
            self._due.extend((due_tick, address) for address in self._lines.cross(symbol, mark_e6))
        while self._tried and next(iter(self._tried.values())) <= tick - RETRY_TICKS:
            address, _ = self._tried.popitem(last=False)
            self._due.appendleft((tick, address))
        sends = 0
        while self._due and self._due[0][0] <= tick and sends < MAX_SENDS_PER_TICK:
            _, address = self._due.popleft()
            sends += self._take(address, marks_e6, tick)

    def figures(self) -> Mapping[str, int]:
        """How many liquidations it sent, how many it won, and how many landed too late."""
        return {"rival_sent": self._sent, "rival_won": self._won, "rival_lost": self._lost}

    # --- what the ledger tells ---

    def account_written(self, address: Pubkey, account: Account | None, slot: int) -> None:  # noqa: ARG002 - the observer's protocol
        """Follow positions that appear, change or go."""
        if account is not None and account.owner == self._venue.program_id:
            self._follow(address, account)
        elif address in self._lines:
            self._forget(address)

    def transaction_landed(self, landed: LandedTransaction) -> None:
        """Count one's own."""
        if landed.accounts.static[0] == self.address:
            if landed.fault is None:
                self._won += 1
            else:
                self._lost += 1

    def slot_opened(self, slot: int, parent: int, root: int) -> None:
        """Nothing to follow."""

    def bank_reached(self, commitment: Commitment, slot: int) -> None:
        """Nothing to follow."""

    def slots_abandoned(self, first: int, last: int) -> None:
        """Nothing to follow: what is undone is told as changes of the slot that follows."""

    # --- inside ---

    def _follow(self, address: Pubkey, account: Account) -> None:
        if not self._wants(address):
            return
        position = _decoded(address, account)
        try:
            if position is None or position.size_e6 == 0 or position.is_liquidated:
                self._forget(address)
            else:
                self._tried.pop(address, None)
                line_e6 = threshold_e6(_terms(position))
                self._lines.put(address, position.symbol, position.side, line_e6)
        except UnsupportedLeverage:
            self._forget(address)

    def _forget(self, address: Pubkey) -> None:
        self._lines.drop(address)
        self._tried.pop(address, None)

    def _wants(self, address: Pubkey) -> bool:
        """Whether this position is one of the rival's share: the same in every run of a seed."""
        drawn = hashlib.blake2b(self._salt + bytes(address), digest_size=8).digest()
        return int.from_bytes(drawn) < self._limit

    def _take(self, address: Pubkey, marks_e6: Mapping[str, int], tick: int) -> bool:
        """Send a liquidation if the position is liquidatable now; whether it was sent."""
        account = self._venue.ledger.account(address)
        if account is None or address in self._tried:
            return False
        position = _decoded(address, account)
        if position is None or position.symbol not in marks_e6 or SOL_USD.symbol not in marks_e6:
            return False
        mark_e6 = marks_e6[position.symbol]
        action, amount_e6, _ = choose_action(position.size_e6, health_at(_terms(position), mark_e6), mark_e6)
        if action is Action.HOLD:
            return False
        venue = self._venue
        call = liquidate(
            address,
            self.address,
            fund=self._fund,
            price_account=FEEDS[position.symbol].account,
            sol_price_account=SOL_USD.account,
            amount_e6=None if action is Action.FULL else amount_e6,
            program_id=venue.program_id,
        )
        budget = [
            set_compute_unit_limit(COMPUTE_UNITS),
            set_compute_unit_price(venue.behaviour.rival_bid_microlamports),
        ]
        self._tried[address] = tick
        self._sent += 1
        venue.send(signed([*budget, call], [self._key], venue.blockhash()))
        return True

    def _marks_e6(self) -> dict[str, int]:
        """The prices on the chain that the program would take."""
        marks = {}
        for symbol, feed in FEEDS.items():
            mark_e6 = self._mark_e6(feed.account)
            if mark_e6 is not None:
                marks[symbol] = mark_e6
        return marks

    def _mark_e6(self, feed: Pubkey) -> int | None:
        account = self._venue.ledger.account(feed)
        if account is None or account.owner != PYTH_RECEIVER:
            return None
        try:
            update = decode_price_update(bytes(account.data))
            mark_e6 = to_e6(update.price, update.exponent)
        except AccountRefused:
            return None
        is_wide = update.conf * 100 > update.price * _MAX_CONFIDENCE_PERCENT
        age_s = abs(self._venue.ledger.unix_time_s - update.publish_time_s)
        return None if mark_e6 == 0 or is_wide or age_s > _MAX_PRICE_AGE_S else mark_e6


def _decoded(address: Pubkey, account: Account) -> Position | None:
    try:
        return decode_position(address, bytes(account.data), 0)
    except AccountRefused:
        return None


def _terms(position: Position) -> Terms:
    return Terms(
        position.side, position.size_e6, position.entry_price_e6, position.collateral_e6, position.leverage
    )
