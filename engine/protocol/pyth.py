"""Pyth `PriceUpdateV2` accounts: decoding, encoding, and the mark price that the program makes of them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import sha256

from solders.pubkey import Pubkey

from engine.protocol.accounts import AccountRefused

PRICE_DISCRIMINATOR = sha256(b"account:PriceUpdateV2").digest()[:8]
PRICE_ACCOUNT_SIZE = 134
VERIFICATION_FULL = 1
U64_MAX = 2**64 - 1

_BODY = struct.Struct("<32sqQiqqqQQ")
_BODY_OFFSET = 41  # discriminator 8, write authority 32, verification level Full 1
_MESSAGE = slice(_BODY_OFFSET, _BODY_OFFSET + _BODY.size - 8)  # without the slot in which it was posted


@dataclass(frozen=True, slots=True)
class PriceUpdate:
    """A fully verified price as the account holds it: price and conf times 10^exponent USD."""

    write_authority: Pubkey
    feed_id: bytes
    price: int
    conf: int
    exponent: int
    publish_time_s: int
    prev_publish_time_s: int
    ema_price: int
    ema_conf: int
    posted_slot: int


def decode_price_update(data: bytes) -> PriceUpdate:
    """Decode a price account; raises AccountRefused for anything but a Full verification level."""
    if data[:8] != PRICE_DISCRIMINATOR:
        raise AccountRefused("foreign discriminator")
    if len(data) < _BODY_OFFSET + _BODY.size:
        raise AccountRefused("truncated")
    if data[40] != VERIFICATION_FULL:
        raise AccountRefused("not fully verified")
    feed_id, *numbers = _BODY.unpack_from(data, _BODY_OFFSET)
    return PriceUpdate(Pubkey.from_bytes(data[8:40]), feed_id, *numbers)


def message_of(data: bytes) -> bytes:
    """What the publishers signed in an account that can be decoded: the same, whoever posted it and when."""
    return data[_MESSAGE]


def encode_price_update(update: PriceUpdate) -> bytes:
    """The account bytes of a fully verified price, padded to the size that Pyth allocates."""
    body = _BODY.pack(
        update.feed_id,
        update.price,
        update.conf,
        update.exponent,
        update.publish_time_s,
        update.prev_publish_time_s,
        update.ema_price,
        update.ema_conf,
        update.posted_slot,
    )
    head = PRICE_DISCRIMINATOR + bytes(update.write_authority) + bytes([VERIFICATION_FULL])
    return (head + body).ljust(PRICE_ACCOUNT_SIZE, b"\0")


def to_e6(raw: int, exponent: int) -> int:
    """raw * 10^(exponent + 6), truncated: the same integer in the engine and in the program.

    Raises AccountRefused when the exponent is outside -18..6 or the result is not a u64.
    """
    if not -18 <= exponent <= 6:
        raise AccountRefused("exponent out of range")
    shift = exponent + 6
    factor: int = 10 ** abs(shift)
    scaled = raw * factor if shift >= 0 else raw // factor
    if not 0 <= scaled <= U64_MAX:
        raise AccountRefused("price out of range")
    return scaled
