"""What moves the cluster's accounts beside the engine: prices, owners, and a rival who liquidates first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from random import Random

from solders.pubkey import Pubkey

from engine.domain import Generation, Position, Side
from engine.protocol.accounts import FUND_DISCRIMINATOR, encode_position
from engine.protocol.addresses import FEEDS, PROGRAM_ID, PYTH_RECEIVER, SOL_USD, SYSTEM_PROGRAM, Feed
from engine.protocol.pyth import PriceUpdate, encode_price_update
from sim.cluster import Cluster
from sim.program import (
    Account,
    Refused,
    is_liquidatable,
    maintenance_ratio,
    mark_of,
    position_in,
    price_in,
)
from sim.swarm import Plan

SYMBOLS = ("SOL/USD", "BTC/USD")
START_USD = {"SOL/USD": 150.0, "BTC/USD": 60_000.0}
SOL = 10**9
BLOCKS_PER_PRICE = 2


class Market:
    """One step with each block; while it is calm, prices stand still and are published all the same."""

    def __init__(self, plan: Plan, random: Random, cluster: Cluster, count: Callable[[str], None]) -> None:
        self._plan = plan
        self._random = random
        self._cluster = cluster
        self._count = count
        self._usd = dict(START_USD)
        self._drift = dict.fromkeys(SYMBOLS, 0.0)
        self._silent_blocks = dict.fromkeys(SYMBOLS, 0)
        self._blocks = 0
        self._gift_lamports = 0
        self._rival = Pubkey.from_bytes(random.randbytes(32))
        for symbol in SYMBOLS:
            self._publish(symbol, 0)
        self._plant_fund()
        for _ in range(plan.positions):
            self._open()

    def step(self) -> None:
        """The block that is being made."""
        self._blocks += 1
        calm = self._cluster.is_calm
        if self._gift_lamports:
            wallet = self._cluster.current(self._cluster.wallet)
            held = 0 if wallet is None else wallet.lamports
            filled = Account(held + self._gift_lamports, b"", SYSTEM_PROGRAM)
            self._cluster.write(self._cluster.wallet, filled)
            self._gift_lamports = 0
        for symbol in SYMBOLS:
            if self._blocks % BLOCKS_PER_PRICE == 0:
                self._move(symbol, calm=calm)
        if calm:
            return
        if self._random.random() < 0.25 * self._plan.intensity("owner acts"):
            self._owner_acts()
        if self._random.random() < 0.3 * self._plan.intensity("rival liquidates"):
            self._rival_acts()

    def fund_wallet(self) -> None:
        """The operator sends the wallet a SOL, in the next block."""
        self._gift_lamports = SOL

    # --- prices ---

    def _move(self, symbol: str, *, calm: bool) -> None:
        random, plan = self._random, self._plan
        conf_share = 0.0005
        if not calm:
            if random.random() < 0.15:
                self._drift[symbol] = random.uniform(-0.005, 0.005)
            change = random.gauss(self._drift[symbol], 0.003)
            if random.random() < 0.06 * plan.intensity("price jumps"):
                self._count("price jumps")
                change = random.choice((-0.13, 0.13))
            self._usd[symbol] = max(START_USD[symbol] / 4, self._usd[symbol] * (1 + change))
            if random.random() < 0.1 * plan.intensity("price stands still"):
                self._count("price stands still")
                self._silent_blocks[symbol] = random.randint(10, 40)
            if random.random() < 0.15 * plan.intensity("price is unsure"):
                self._count("price is unsure")
                conf_share = 0.02
        if self._silent_blocks[symbol] > 0 and not calm:
            self._silent_blocks[symbol] -= 1
            return
        self._publish(symbol, conf_share)

    def _publish(self, symbol: str, conf_share: float) -> None:
        now_s = self._cluster.now_s()
        price = round(self._usd[symbol] * 10**8)
        update = PriceUpdate(
            write_authority=PYTH_RECEIVER,
            feed_id=FEEDS[symbol].feed_id,
            price=price,
            conf=round(price * conf_share),
            exponent=-8,
            publish_time_s=now_s,
            prev_publish_time_s=now_s,
            ema_price=self._cluster.slot,  # another message in each slot
            ema_conf=0,
            posted_slot=self._cluster.slot,
        )
        account = Account(2 * 10**6, encode_price_update(update), PYTH_RECEIVER)
        self._cluster.write(FEEDS[symbol].account, account)

    # --- positions ---

    def _open(self) -> None:
        """A position whose health is a little above one."""
        random = self._random
        symbol = random.choice(SYMBOLS)
        side = random.choice((Side.LONG, Side.LONG, Side.SHORT))
        leverage = random.choice((10, 20, 20, 40, 80))
        mark_e6 = round(self._usd[symbol] * 10**6)
        entry_e6 = round(mark_e6 * random.uniform(0.97, 1.03))
        value_usd = random.choice((8, 500, 5_000, 50_000, 200_000)) * random.uniform(0.5, 1.5)
        size_e6 = max(1, round(value_usd / self._usd[symbol] * 10**6))
        pnl = Fraction(size_e6 * (mark_e6 - entry_e6), 10**12) * (1 if side is Side.LONG else -1)
        value = Fraction(size_e6 * mark_e6, 10**12)
        wanted = maintenance_ratio(leverage) * value * Fraction(random.randint(101, 135), 100)
        position = Position(
            address=Pubkey.from_bytes(random.randbytes(32)),
            owner=Pubkey.from_bytes(random.randbytes(32)),
            symbol=symbol,
            side=side,
            size_e6=size_e6,
            collateral_e6=max(1, int((wanted - pnl) * 10**6)),
            entry_price_e6=entry_e6,
            leverage=leverage,
            maintenance_margin_e6=0,
            is_liquidated=False,
            created_at_s=self._cluster.now_s(),
            generation=Generation.DOCUMENTED
            if side is Side.SHORT
            else random.choice((Generation.DEPLOYED, Generation.DOCUMENTED)),
            slot=0,
        )
        self._cluster.positions.append(position.address)
        self._put(position)

    def _put(self, position: Position) -> None:
        held = self._cluster.current(position.address)
        lamports = 1_700_000 if held is None else held.lamports
        self._cluster.write(position.address, Account(lamports, encode_position(position), PROGRAM_ID))

    def _open_accounts(self) -> list[tuple[Pubkey, bytes]]:
        """Every position that is there now, in bytes."""
        found = []
        for address in self._cluster.positions:
            account = self._cluster.current(address)
            if account is not None and account.owner == PROGRAM_ID:
                found.append((address, account.data))
        return found

    def liquidatable(self) -> list[Position]:
        """Those that the program would let be liquidated by the prices of now."""
        return [position_in(*each) for each in self._open_accounts() if self._is_liquidatable(*each)]

    def _is_liquidatable(self, address: Pubkey, data: bytes) -> bool:
        price = self._cluster.current(FEEDS[position_in(address, data).symbol].account)
        assert price is not None
        try:
            return is_liquidatable(address, data, mark_of(price, price_in(price.data).publish_time_s))
        except Refused:
            return False

    def _owner_acts(self) -> None:
        self._count("owner acts")
        positions = self._open_accounts()
        choice = self._random.random()
        if not positions or choice < 0.3:
            self._count("owner opens")
            self._open()
            return
        address, data = self._random.choice(positions)
        position = position_in(address, data)
        if choice < 0.75:
            self._count("owner adds collateral")
            added = int(position.collateral_e6 * self._random.uniform(0.05, 0.6)) + 1
            self._put(replace(position, collateral_e6=position.collateral_e6 + added))
        elif not self._is_liquidatable(address, data):
            self._count("owner closes")
            self._cluster.write(address, Account(0, b"", SYSTEM_PROGRAM))

    def _rival_acts(self) -> None:
        for position in self.liquidatable():
            feed: Feed = FEEDS[position.symbol]
            if self._cluster.liquidate_as_rival(position.address, feed.account, SOL_USD.account, self._rival):
                self._count("rival liquidates")
                return

    def _plant_fund(self) -> None:
        balance = self._random.choice((0, 10 * SOL, 1_000 * SOL))
        data = FUND_DISCRIMINATOR + bytes(32)
        data += b"".join(number.to_bytes(8, "little") for number in (balance, balance, 0, 0)) + b"\xff"
        self._cluster.write(self._cluster.fund, Account(balance + 10**7, data, PROGRAM_ID))
