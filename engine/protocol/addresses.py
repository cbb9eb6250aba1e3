"""Program ids and derived addresses of the protocol, its insurance fund and its price feeds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from solders.pubkey import Pubkey

PROGRAM_ID = Pubkey.from_string("HCJaVaM9GEH4nYoX6UquxWXroXJyjSLp2LLKCa1gg5NJ")
SYSTEM_PROGRAM = Pubkey.from_string("11111111111111111111111111111111")

PYTH_RECEIVER = Pubkey.from_string("rec5EKMGg6MxZYaMdyBfgwp4d5rB9T1VQH5pJv5LtFJ")
PYTH_PUSH_ORACLE = Pubkey.from_string("pythWSnswVUd12oZpeFP8e9CVaEqJg25g1Vtc2biRsT")


@dataclass(frozen=True, slots=True)
class Feed:
    """One Pyth feed: the symbol that positions name, the 32-byte feed id, the account that carries it."""

    symbol: str
    feed_id: bytes
    account: Pubkey


def feed_account(feed_id: bytes, shard: int = 0, push_oracle: Pubkey = PYTH_PUSH_ORACLE) -> Pubkey:
    """The continuously updated price account of a feed: PDA([shard u16 LE, feed id])."""
    return Pubkey.find_program_address([shard.to_bytes(2, "little"), feed_id], push_oracle)[0]


def _feed(symbol: str, feed_id_hex: str) -> Feed:
    feed_id = bytes.fromhex(feed_id_hex)
    return Feed(symbol, feed_id, feed_account(feed_id))


SOL_USD = _feed("SOL/USD", "ef0d8b6fda2ceba41da15d4095d1da392a0d2f8ed0c6c7bc0f4cfac8c280b56d")
BTC_USD = _feed("BTC/USD", "e62df6c8b4a85fe1a67db44dc12de5db330f7ac66b72dc658afedf0f4a415b43")
ETH_USD = _feed("ETH/USD", "ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace")

FEEDS: dict[str, Feed] = {feed.symbol: feed for feed in (SOL_USD, BTC_USD, ETH_USD)}


@lru_cache(4)
def insurance_fund_address(program_id: Pubkey = PROGRAM_ID) -> Pubkey:
    """The insurance fund: PDA(["insurance_fund"])."""
    return Pubkey.find_program_address([b"insurance_fund"], program_id)[0]


def position_address(owner: Pubkey, symbol: str, program_id: Pubkey = PROGRAM_ID) -> Pubkey:
    """The account of a position opened by `open_position`: PDA(["position", owner, symbol])."""
    return Pubkey.find_program_address([b"position", bytes(owner), symbol.encode()], program_id)[0]
