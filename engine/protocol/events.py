"""The program's events: what a liquidation, a contribution or an owner did, as the chain logged it."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

from solders.pubkey import Pubkey

LIQUIDATION_DISCRIMINATOR = sha256(b"event:LiquidationEvent").digest()[:8]
CONTRIBUTION_DISCRIMINATOR = sha256(b"event:ContributionEvent").digest()[:8]
COLLATERAL_ADDED_DISCRIMINATOR = sha256(b"event:CollateralAddedEvent").digest()[:8]
POSITION_CLOSED_DISCRIMINATOR = sha256(b"event:PositionClosedEvent").digest()[:8]

_LOG_PREFIX = "Program data: "
_AMOUNTS = struct.Struct("<QQQQ?q")  # size, price, reward, bad debt, is_full, timestamp
_CONTRIBUTION = struct.Struct("<32sQQq")
_ADDITION = struct.Struct("<QQq")  # amount, collateral, timestamp
_CLOSING = struct.Struct("<QQQq")  # size, price, equity, timestamp


@dataclass(frozen=True, slots=True)
class LiquidationEvent:
    """What a landed liquidation did; bad_debt_lamports is the whole of it, covered or not."""

    position: Pubkey
    owner: Pubkey
    liquidator: Pubkey
    symbol: str
    liquidated_size_e6: int
    liquidation_price_e6: int
    liquidator_reward_lamports: int
    bad_debt_lamports: int
    is_full: bool
    timestamp_s: int


@dataclass(frozen=True, slots=True)
class ContributionEvent:
    """What a landed contribution to the insurance fund did."""

    contributor: Pubkey
    amount_lamports: int
    new_balance_lamports: int
    timestamp_s: int


@dataclass(frozen=True, slots=True)
class CollateralAddedEvent:
    """What an owner added to a position; collateral_e6 is what it has since."""

    position: Pubkey
    owner: Pubkey
    symbol: str
    amount_e6: int
    collateral_e6: int
    timestamp_s: int


@dataclass(frozen=True, slots=True)
class PositionClosedEvent:
    """A position that its owner closed; equity_e6 is what it was worth, rounded down."""

    position: Pubkey
    owner: Pubkey
    symbol: str
    size_e6: int
    close_price_e6: int
    equity_e6: int
    timestamp_s: int


Event = LiquidationEvent | ContributionEvent | CollateralAddedEvent | PositionClosedEvent


def read_events(logs: Iterable[str]) -> list[Event]:
    """Every event of the program in a transaction's log lines; anything else in them is passed over.

    Logs do not say which program wrote a data line, so the caller must know that the transaction called ours.
    """
    events: list[Event] = []
    for line in logs:
        if not line.startswith(_LOG_PREFIX):
            continue
        try:
            raw = base64.b64decode(line[len(_LOG_PREFIX) :], validate=True)
        except ValueError:  # not base64, or not even ASCII
            continue
        event = _decode(raw)
        if event is not None:
            events.append(event)
    return events


def read_events_of(program_id: Pubkey, logs: Iterable[str]) -> list[Event]:
    """The events that this program itself logged; lines that any other program wrote are passed over.

    For transactions of strangers: anybody may name our accounts and log what looks like one of our events.
    """
    running: list[str] = []
    own: list[str] = []
    for line in logs:
        words = line.split(" ")
        # What programs log themselves begins with "Program log:" and the like, never with an address.
        is_runtimes = len(words) > 2 and words[0] == "Program" and not words[1].endswith(":")
        if is_runtimes and words[2] == "invoke":
            running.append(words[1])
        elif is_runtimes and words[2] in ("success", "failed:"):
            del running[-1:]
        elif running and running[-1] == str(program_id):
            own.append(line)
    return read_events(own)


def _decode(raw: bytes) -> Event | None:
    decode = _DECODERS.get(raw[:8])
    if decode is None:
        return None
    try:
        return decode(raw)
    except (struct.error, UnicodeDecodeError, ValueError):
        return None


def _symbol_at(raw: bytes, offset: int) -> tuple[str, bytes]:
    """The Borsh string at an offset, and everything behind it."""
    start = offset + 4
    end = start + int.from_bytes(raw[offset:start], "little")
    return raw[start:end].decode(), raw[end:]


def _decode_contribution(raw: bytes) -> ContributionEvent:
    contributor, amount, balance, timestamp = _CONTRIBUTION.unpack(raw[8:])
    return ContributionEvent(Pubkey.from_bytes(contributor), amount, balance, timestamp)


def _decode_collateral_added(raw: bytes) -> CollateralAddedEvent:
    symbol, figures = _symbol_at(raw, 72)
    amount, collateral, timestamp = _ADDITION.unpack(figures)
    position, owner = Pubkey.from_bytes(raw[8:40]), Pubkey.from_bytes(raw[40:72])
    return CollateralAddedEvent(position, owner, symbol, amount, collateral, timestamp)


def _decode_position_closed(raw: bytes) -> PositionClosedEvent:
    symbol, figures = _symbol_at(raw, 72)
    size, price, equity, timestamp = _CLOSING.unpack(figures)
    position, owner = Pubkey.from_bytes(raw[8:40]), Pubkey.from_bytes(raw[40:72])
    return PositionClosedEvent(position, owner, symbol, size, price, equity, timestamp)


def _decode_liquidation(raw: bytes) -> LiquidationEvent:
    symbol, figures = _symbol_at(raw, 104)
    size, price, reward, bad_debt, is_full, timestamp = _AMOUNTS.unpack(figures)
    return LiquidationEvent(
        position=Pubkey.from_bytes(raw[8:40]),
        owner=Pubkey.from_bytes(raw[40:72]),
        liquidator=Pubkey.from_bytes(raw[72:104]),
        symbol=symbol,
        liquidated_size_e6=size,
        liquidation_price_e6=price,
        liquidator_reward_lamports=reward,
        bad_debt_lamports=bad_debt,
        is_full=is_full,
        timestamp_s=timestamp,
    )


_DECODERS: dict[bytes, Callable[[bytes], Event]] = {
    LIQUIDATION_DISCRIMINATOR: _decode_liquidation,
    CONTRIBUTION_DISCRIMINATOR: _decode_contribution,
    COLLATERAL_ADDED_DISCRIMINATOR: _decode_collateral_added,
    POSITION_CLOSED_DISCRIMINATOR: _decode_position_closed,
}
