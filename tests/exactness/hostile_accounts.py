"""Account bytes as strangers may write them: random, cut, stretched, foreign, and whole ones that are absurd.

Everything follows from the random numbers given.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from solders.pubkey import Pubkey

from engine.domain import Generation, Position, Side
from engine.protocol.accounts import FUND_DISCRIMINATOR, POSITION_DISCRIMINATOR, encode_position
from engine.protocol.pyth import PRICE_DISCRIMINATOR, PriceUpdate, encode_price_update

U64_MAX = 2**64 - 1
I64_MIN, I64_MAX = -(2**63), 2**63 - 1
NUMBERS = (0, 1, 10**6, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, U64_MAX - 1, U64_MAX)
SIGNED = (I64_MIN, I64_MIN + 1, -1, 0, 1, 10**8, 2**53, I64_MAX)
# Control characters, escape sequences, text that runs backwards or hides, cut and overlong UTF-8, NULs.
SYMBOLS = (
    b"BTC/USD",
    b"SOL/USD",
    b"DOGE/USD",
    b"\x1b[2J\x1b[31mBTC",
    b"BTC\x00USD",
    b"\x00" * 7,
    b"a\nb\r\tc",
    "\u202egpj.exe".encode(),
    "BTC\u200b/USD".encode(),
    "\x9b31m".encode(),
    b"\xff\xfe\xc0\x80",
    b"\xf0\x9f\x92",
    "💥💥💥".encode(),
    b"x" * 32,
    b"",
)


def _number(rng: Random) -> int:
    return rng.choice(NUMBERS) if rng.random() < 0.4 else rng.getrandbits(rng.randint(1, 64))


def _signed(rng: Random) -> int:
    return rng.choice(SIGNED) if rng.random() < 0.5 else rng.getrandbits(64) + I64_MIN


def usual_position(address: Pubkey) -> Position:
    """A 20x long of one BTC at 60,000 USD with 3,000: liquidatable at 58,000 and not at 60,000."""
    return Position(
        address=address,
        owner=address,
        symbol="BTC/USD",
        side=Side.LONG,
        size_e6=10**6,
        collateral_e6=3 * 10**9,
        entry_price_e6=60_000 * 10**6,
        leverage=20,
        maintenance_margin_e6=0,
        is_liquidated=False,
        created_at_s=0,
        generation=Generation.DOCUMENTED,
        slot=0,
    )


def _position(rng: Random, address: Pubkey) -> Position:
    """A well-formed position of the usual symbol with any numbers."""
    position = replace(
        usual_position(address),
        side=rng.choice(tuple(Side)),
        leverage=rng.choice((0, 1, 20, 1000, 1001, 2**16 - 1, rng.getrandbits(16))),
        maintenance_margin_e6=_number(rng),
        is_liquidated=rng.random() < 0.05,
        created_at_s=_signed(rng),
        generation=rng.choice(tuple(Generation)),
    )
    if rng.random() < 0.3:
        return position
    return replace(position, size_e6=_number(rng), collateral_e6=_number(rng), entry_price_e6=_number(rng))


def _damaged(rng: Random, data: bytes) -> bytes:
    """Cut, stretch, overwrite, or leave as it is."""
    dice = rng.randrange(6)
    if dice == 0:
        return data[: rng.randrange(len(data) + 1)]
    if dice == 1:
        return data + rng.randbytes(rng.randint(1, 60))
    if dice in (2, 3):
        spoiled = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            spoiled[rng.randrange(len(spoiled))] = rng.choice((0, 1, 2, 0x1B, 0x7F, 0xFF, rng.getrandbits(8)))
        return bytes(spoiled)
    return data


def position_bytes(rng: Random, owner: Pubkey) -> bytes:
    """What an account of the program may hold instead of a position."""
    dice = rng.randrange(8)
    if dice == 0:
        return rng.randbytes(rng.choice((0, 7, 8, 78, 85, 120, 134, rng.randint(0, 300))))
    if dice == 1:
        length = rng.choice((78, 85, 110, 120, rng.randint(8, 200)))
        return (POSITION_DISCRIMINATOR + rng.randbytes(max(0, length - 8)))[:length]
    if dice == 2:
        return rng.choice((FUND_DISCRIMINATOR, PRICE_DISCRIMINATOR, b"\0" * 8)) + rng.randbytes(112)
    data = encode_position(_position(rng, owner))
    if dice in (3, 4):
        symbol = rng.choice(SYMBOLS) if rng.random() < 0.8 else rng.randbytes(rng.randint(0, 32))
        told = len(symbol) if rng.random() < 0.8 else rng.choice((0, 31, 33, 2**31, 2**32 - 1))
        rest = data[44 + len("BTC/USD") : 78 + len("BTC/USD")]
        data = data[:40] + told.to_bytes(4, "little") + symbol + rest
        if rng.random() < 0.5:
            tail = bytes([rng.choice((0, 1, 2, 255)), rng.choice((0, 1, 7))]) + rng.randbytes(8)
            data = (data + tail).ljust(120, b"\0")
    return _damaged(rng, data)


def price_bytes(rng: Random, feed_id: bytes, now_s: int) -> bytes:
    """What a price account may hold: prices of zero and less, exponents and times beyond all bounds."""
    if rng.random() < 0.1:
        return PRICE_DISCRIMINATOR * rng.randint(0, 1) + rng.randbytes(rng.randint(0, 200))
    times = (I64_MIN, -1, 0, now_s, now_s, now_s, now_s - 61, now_s + 61, now_s + 10**9, I64_MAX)
    update = PriceUpdate(
        write_authority=Pubkey.from_bytes(bytes(32)),
        feed_id=feed_id if rng.random() < 0.95 else rng.randbytes(32),
        price=60_000 * 10**8 + rng.randint(-(10**8), 10**8) if rng.random() < 0.5 else _signed(rng),
        conf=rng.choice((0, 10**8)) if rng.random() < 0.6 else _number(rng),
        exponent=-8 if rng.random() < 0.6 else rng.choice((-(2**31), -19, -18, 0, 6, 7, 18, 2**31 - 1)),
        publish_time_s=rng.choice(times),
        prev_publish_time_s=_signed(rng),
        ema_price=_signed(rng),
        ema_conf=_number(rng),
        posted_slot=_number(rng),
    )
    data = encode_price_update(update)
    if rng.random() < 0.1:
        data = data[:40] + bytes([rng.choice((0, 2, 255))]) + data[41:]
    return _damaged(rng, data)


def fund_bytes(rng: Random) -> bytes:
    """What the fund's account may hold."""
    if rng.random() < 0.2:
        return rng.randbytes(rng.choice((0, 7, 8, 72, 73, rng.randint(0, 200))))
    data = FUND_DISCRIMINATOR + rng.randbytes(32)
    data += b"".join(_number(rng).to_bytes(8, "little") for _ in range(4)) + b"\xff" * rng.randint(0, 1)
    return _damaged(rng, data)
