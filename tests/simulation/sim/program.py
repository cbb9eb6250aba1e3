"""The program's liquidation in plain fractions, made from the protocol's page; a test compares the real one.

It knows what a liquidation needs and does, and the order in which the program refuses.
"""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from hashlib import sha256
from math import ceil, floor

from solders.pubkey import Pubkey

from engine.domain import Position, Side
from engine.protocol.accounts import AccountRefused, decode_position, encode_position
from engine.protocol.addresses import PROGRAM_ID, SYSTEM_PROGRAM
from engine.protocol.pyth import PriceUpdate, decode_price_update

MICRO = 10**6
OLDEST_PRICE_S = 60
WIDEST = Fraction(1, 100)
DUST = 10
REMEMBERED = 4096  # answers about bytes that come again and again in a run

NOT_INITIALIZED = 3012
FOREIGN_OWNER = 3007
WRONG_TYPE = 3002
NOT_LIQUIDATABLE = 6004
STALE_PRICE = 6008
PRICE_DEVIATION = 6009
WRONG_AMOUNT = 6010

_EVENT = sha256(b"event:LiquidationEvent").digest()[:8]
_FUND = struct.Struct("<QQQQ")
_FUND_AT = 40


class Refused(Exception):
    """The program fails with this code; `account` is what Anchor blames, None for its own errors."""

    def __init__(self, code: int, account: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.account = account


@dataclass(frozen=True, slots=True)
class Account:
    """What the chain holds at an address."""

    lamports: int
    data: bytes
    owner: Pubkey


@dataclass(frozen=True, slots=True)
class Effect:
    """What a liquidation that succeeds does: the accounts after it, and what its event says."""

    position: Account
    fund: Account
    wallet_gains_lamports: int
    size_e6: int
    price_e6: int
    reward_lamports: int
    bad_debt_lamports: int
    covered_lamports: int
    is_full: bool
    log: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A position at a price, in USD."""

    equity: Fraction
    value: Fraction
    maintenance: Fraction

    @property
    def is_liquidatable(self) -> bool:
        """Health strictly below one."""
        return self.equity < self.maintenance * self.value


def maintenance_ratio(leverage: int) -> Fraction:
    """By leverage, as the protocol's page lists it."""
    for highest, ratio in ((20, "0.025"), (50, "0.01"), (100, "0.005"), (500, "0.0025"), (1000, "0.001")):
        if 1 <= leverage <= highest:
            return Fraction(ratio)
    raise Refused(6000)


@lru_cache(REMEMBERED)
def price_in(data: bytes) -> PriceUpdate:
    """What a price account says; raises AccountRefused."""
    return decode_price_update(data)


@lru_cache(REMEMBERED)
def position_in(address: Pubkey, data: bytes) -> Position:
    """The position in these bytes, as if read at slot 0; raises AccountRefused."""
    return decode_position(address, data, 0)


@lru_cache(REMEMBERED)
def is_liquidatable(address: Pubkey, data: bytes, mark: Fraction) -> bool:
    """Whether the position in these bytes is, at a mark price in USD; raises Refused."""
    return standing_at(position_in(address, data), mark).is_liquidatable


def standing_at(position: Position, mark: Fraction) -> Standing:
    """Equity, value and maintenance ratio at a mark price in USD."""
    size = Fraction(position.size_e6, MICRO)
    move = mark - Fraction(position.entry_price_e6, MICRO)
    pnl = size * (move if position.side is Side.LONG else -move)
    return Standing(
        Fraction(position.collateral_e6, MICRO) + pnl, size * mark, maintenance_ratio(position.leverage)
    )


def mark_of(account: Account | None, now_s: int) -> Fraction:
    """The usable price of a price account, truncated to micro-USD; raises Refused."""
    if account is None or not account.data:
        raise Refused(NOT_INITIALIZED, "price")
    update = price_in(account.data)
    if abs(now_s - update.publish_time_s) > OLDEST_PRICE_S:
        raise Refused(STALE_PRICE)
    return _usable(update.price, update.conf, update.exponent)


@lru_cache(REMEMBERED)
def _usable(price: int, conf: int, exponent: int) -> Fraction:
    if Fraction(conf, price) > WIDEST:
        raise Refused(PRICE_DEVIATION)
    return Fraction(floor(price * Fraction(10) ** (exponent + 6)), MICRO)


def liquidate(
    position_address: Pubkey,
    accounts: tuple[Account | None, Account, Account | None, Account | None],
    amount_e6: int | None,
    liquidator: Pubkey,
    now_s: int,
) -> Effect:
    """A liquidation of `amount_e6` size units, or of everything; raises Refused.

    `accounts` are the position, the fund, the symbol's price and the price of SOL.
    """
    held, fund, price_account, sol_account = accounts
    position = _read(position_address, held)
    assert held is not None
    maintenance_ratio(position.leverage)  # refused before the prices are looked at
    mark, sol = mark_of(price_account, now_s), mark_of(sol_account, now_s)
    standing = standing_at(position, mark)
    if not standing.is_liquidatable:
        raise Refused(NOT_LIQUIDATABLE)
    if amount_e6 is None:
        return _whole(position, standing, held, fund, mark, sol, liquidator, now_s)
    return _part(position, standing, held, fund, mark, sol, amount_e6, liquidator, now_s)


def _read(address: Pubkey, held: Account | None) -> Position:
    if held is None or (not held.data and held.owner == SYSTEM_PROGRAM):
        raise Refused(NOT_INITIALIZED, "position")
    if held.owner != PROGRAM_ID:
        raise Refused(FOREIGN_OWNER, "position")
    try:
        return position_in(address, held.data)
    except AccountRefused:
        raise Refused(WRONG_TYPE, "position") from None


def _part(
    position: Position,
    standing: Standing,
    held: Account,
    fund: Account,
    mark: Fraction,
    sol: Fraction,
    amount_e6: int,
    liquidator: Pubkey,
    now_s: int,
) -> Effect:
    if not 0 < amount_e6 < position.size_e6:
        raise Refused(WRONG_AMOUNT)
    share = Fraction(amount_e6, position.size_e6)
    pnl = standing.equity - Fraction(position.collateral_e6, MICRO)
    fee = _down(standing.value * share * standing.maintenance / 2)
    # The realised result rounds towards the position, whose margin must not fall short by a rounding.
    collateral = Fraction(position.collateral_e6, MICRO) + _up(pnl * share) - fee
    if standing.equity <= 0 or fee > standing.equity or collateral < 0:
        raise Refused(WRONG_AMOUNT)
    size_e6 = position.size_e6 - amount_e6
    entry_value = Fraction(size_e6 * position.entry_price_e6, MICRO**2)
    smaller = replace(
        position,
        size_e6=size_e6,
        collateral_e6=int(collateral * MICRO),
        maintenance_margin_e6=ceil(entry_value * standing.maintenance * MICRO),
    )
    reward = _lamports(fee, sol)
    return Effect(
        position=replace(held, data=encode_position(smaller)),
        fund=fund,
        wallet_gains_lamports=0,
        size_e6=amount_e6,
        price_e6=int(mark * MICRO),
        reward_lamports=reward,
        bad_debt_lamports=0,
        covered_lamports=0,
        is_full=False,
        log=_event(position, liquidator, amount_e6, mark, reward, 0, False, now_s),
    )


def _whole(
    position: Position,
    standing: Standing,
    held: Account,
    fund: Account,
    mark: Fraction,
    sol: Fraction,
    liquidator: Pubkey,
    now_s: int,
) -> Effect:
    equity = _down(max(Fraction(0), standing.equity))
    fee = min(equity, _down(standing.value * standing.maintenance / 2))
    debt_lamports = ceil(_up(max(Fraction(0), -standing.equity)) / sol * 10**9)
    balance, contributions, covered_before, _ = _FUND.unpack_from(fund.data, _FUND_AT)
    covered = min(debt_lamports, balance)
    deposit = min(held.lamports, _lamports(equity - fee, sol))
    balance += deposit - covered
    covered_before += covered
    used_bps = 10_000 * covered_before // contributions if contributions else 0
    figures = _FUND.pack(balance, contributions, covered_before, used_bps)
    data = fund.data[:_FUND_AT] + figures + fund.data[_FUND_AT + _FUND.size :]
    reward = _lamports(fee, sol)
    return Effect(
        position=Account(0, b"", SYSTEM_PROGRAM),
        fund=replace(fund, lamports=fund.lamports + deposit - covered, data=data),
        wallet_gains_lamports=covered + held.lamports - deposit,
        size_e6=position.size_e6,
        price_e6=int(mark * MICRO),
        reward_lamports=reward,
        bad_debt_lamports=debt_lamports,
        covered_lamports=covered,
        is_full=True,
        log=_event(position, liquidator, position.size_e6, mark, reward, debt_lamports, True, now_s),
    )


def _event(
    position: Position,
    liquidator: Pubkey,
    size_e6: int,
    mark: Fraction,
    reward_lamports: int,
    bad_debt_lamports: int,
    is_full: bool,
    now_s: int,
) -> str:
    symbol = position.symbol.encode()
    raw = (
        _EVENT
        + bytes(position.address)
        + bytes(position.owner)
        + bytes(liquidator)
        + len(symbol).to_bytes(4, "little")
        + symbol
        + struct.pack(
            "<QQQQ?q", size_e6, int(mark * MICRO), reward_lamports, bad_debt_lamports, is_full, now_s
        )
    )
    return "Program data: " + base64.b64encode(raw).decode()


def _down(usd: Fraction) -> Fraction:
    return Fraction(floor(usd * MICRO), MICRO)


def _up(usd: Fraction) -> Fraction:
    return Fraction(ceil(usd * MICRO), MICRO)


def _lamports(usd: Fraction, sol: Fraction) -> int:
    return floor(usd / sol * 10**9)
