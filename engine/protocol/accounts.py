"""Layouts of the program's two account types, decoded with every length and value checked."""

from __future__ import annotations

import struct
from hashlib import sha256

from solders.pubkey import Pubkey

from engine.domain import FundState, Generation, Position, Side

POSITION_DISCRIMINATOR = sha256(b"account:Position").digest()[:8]
FUND_DISCRIMINATOR = sha256(b"account:InsuranceFund").digest()[:8]

FOREIGN_DISCRIMINATOR = "foreign discriminator"
"""Why an account is refused that does not even say that it is of the kind that was asked for."""

MAX_SYMBOL_BYTES = 32
DOCUMENTED_POSITION_SIZE = 120
DEPLOYED_POSITION_OVERHEAD = 78  # the account is this long plus the symbol
FUND_SIZES = (72, 73)

_NUMBERS = struct.Struct("<QQQHQ")  # size, collateral, entry price, leverage, maintenance margin
_TAIL = struct.Struct("<BBq")  # is_long, is_liquidated, created_at
_FUND = struct.Struct("<QQQQ")
_SYMBOL_LENGTH_OFFSET = 40
_SYMBOL_OFFSET = 44

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def _base58(raw: bytes) -> str:
    """Base58 of bytes that do not start with a zero byte, as memcmp filters want them."""
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return text


POSITION_DISCRIMINATOR_BASE58 = _base58(POSITION_DISCRIMINATOR)


class AccountRefused(ValueError):
    """The bytes are not an account of this program; `reason` is a short, stable word for counting."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode_position(address: Pubkey, data: bytes, slot: int) -> Position:
    """Decode a position of either generation; raises AccountRefused.

    The deployed generation is exactly 78 + len(symbol) bytes and always long. The documented one is always
    120 bytes, zero padded, and carries direction, liquidation flag and creation time.
    A 42-byte symbol would make both lengths equal, but symbols are at most 32 bytes.
    """
    if data[:8] != POSITION_DISCRIMINATOR:
        raise AccountRefused(FOREIGN_DISCRIMINATOR)
    if len(data) < DEPLOYED_POSITION_OVERHEAD:
        raise AccountRefused("truncated")
    symbol_length = int.from_bytes(data[_SYMBOL_LENGTH_OFFSET:_SYMBOL_OFFSET], "little")
    if symbol_length > MAX_SYMBOL_BYTES:
        raise AccountRefused("symbol too long")
    numbers_offset = _SYMBOL_OFFSET + symbol_length
    tail_offset = numbers_offset + _NUMBERS.size
    generation = _generation(len(data), symbol_length)
    symbol = _decode_symbol(data[_SYMBOL_OFFSET:numbers_offset])
    size, collateral, entry, leverage, maintenance = _NUMBERS.unpack_from(data, numbers_offset)
    is_long, is_liquidated, created_at = 1, 0, 0
    if generation is Generation.DOCUMENTED:
        is_long, is_liquidated, created_at = _TAIL.unpack_from(data, tail_offset)
        if is_long > 1 or is_liquidated > 1:
            raise AccountRefused("flag is neither 0 nor 1")
    return Position(
        address=address,
        owner=Pubkey.from_bytes(data[8:40]),
        symbol=symbol,
        side=Side.LONG if is_long else Side.SHORT,
        size_e6=size,
        collateral_e6=collateral,
        entry_price_e6=entry,
        leverage=leverage,
        maintenance_margin_e6=maintenance,
        is_liquidated=bool(is_liquidated),
        created_at_s=created_at,
        generation=generation,
        slot=slot,
    )


def _generation(length: int, symbol_length: int) -> Generation:
    if length == DOCUMENTED_POSITION_SIZE:
        return Generation.DOCUMENTED
    if length == DEPLOYED_POSITION_OVERHEAD + symbol_length:
        return Generation.DEPLOYED
    raise AccountRefused("wrong length")


def _decode_symbol(raw: bytes) -> str:
    try:
        symbol = raw.decode()
    except UnicodeDecodeError:
        raise AccountRefused("symbol is not UTF-8") from None
    if not symbol or not symbol.isprintable():
        raise AccountRefused("symbol is empty or has control characters")
    return symbol


def encode_position(position: Position) -> bytes:
    """The account bytes of a position, in its own generation."""
    symbol = position.symbol.encode()
    data = (
        POSITION_DISCRIMINATOR
        + bytes(position.owner)
        + len(symbol).to_bytes(4, "little")
        + symbol
        + _NUMBERS.pack(
            position.size_e6,
            position.collateral_e6,
            position.entry_price_e6,
            position.leverage,
            position.maintenance_margin_e6,
        )
    )
    if position.generation is Generation.DEPLOYED:
        return data
    tail = _TAIL.pack(position.side is Side.LONG, position.is_liquidated, position.created_at_s)
    return (data + tail).ljust(DOCUMENTED_POSITION_SIZE, b"\0")


def decode_fund(data: bytes, slot: int) -> FundState:
    """Decode the insurance fund's account of either generation; raises AccountRefused."""
    if data[:8] != FUND_DISCRIMINATOR:
        raise AccountRefused(FOREIGN_DISCRIMINATOR)
    if len(data) not in FUND_SIZES:
        raise AccountRefused("wrong length")
    balance, contributions, covered, utilization = _FUND.unpack_from(data, 40)
    return FundState(
        authority=Pubkey.from_bytes(data[8:40]),
        balance_lamports=balance,
        total_contributions_lamports=contributions,
        total_bad_debt_covered_lamports=covered,
        utilization_ratio_bps=utilization,
        slot=slot,
    )
