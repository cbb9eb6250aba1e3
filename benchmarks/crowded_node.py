"""The node whose market falls on command, with 100,000 positions more that the falls leave alone.

They are of other symbols, whose prices stand still; one in a hundred is at risk. `python -m
benchmarks.crowded_node ROUNDS` speaks like `benchmarks.execution_node`.
"""

from __future__ import annotations

import json
import random
import sys
from typing import Any

import msgspec
import uvloop
from solders.pubkey import Pubkey

from benchmarks.execution_node import PRICES, MarketNode, account_json, serve
from engine.domain import Generation, Position, Side
from engine.protocol.accounts import encode_position
from engine.protocol.addresses import PROGRAM_ID

CROWD = 100_000
SYMBOLS = ("SOL/USD", "ETH/USD")
AT_RISK_EVERY = 100
SEED = 3


class CrowdedNode(MarketNode):
    """Writes the crowd once: telling it costs nothing."""

    def __init__(self, rounds: list[int]) -> None:
        super().__init__(rounds)
        chance = random.Random(SEED)  # noqa: S311  # a market, no secret
        told = (_told(_position(number, chance)) for number in range(CROWD))
        self._crowd = b",".join(map(msgspec.json.encode, told))
        self._read = 0

    async def fall(self, number: int, count: int) -> dict[str, Any]:
        """As its parent, and how often everything has been read."""
        return {**await super().fall(number, count), "read": self._read}

    def program_accounts(self) -> Any:
        """Those that the falls are about, and the crowd."""
        self._read += 1
        fallen = msgspec.json.encode(super().program_accounts())
        return msgspec.Raw(fallen[:-1] + b"," + self._crowd + b"]")


def _position(number: int, chance: random.Random) -> Position:
    """A long of 20x: its collateral is 5 to 9 percent of its value, or 2.6 to 3.1 where it is at risk."""
    symbol = SYMBOLS[number % len(SYMBOLS)]
    size_e6 = chance.randint(10**5, 10**8)
    value_e6 = size_e6 * PRICES[symbol] // 10**6
    permyriad = chance.randint(260, 310) if number % AT_RISK_EVERY == 0 else chance.randint(500, 900)
    return Position(
        address=Pubkey.from_bytes(chance.randbytes(32)),
        owner=Pubkey.from_bytes(chance.randbytes(32)),
        symbol=symbol,
        side=Side.LONG,
        size_e6=size_e6,
        collateral_e6=value_e6 * permyriad // 10_000,
        entry_price_e6=PRICES[symbol],
        leverage=20,
        maintenance_margin_e6=value_e6 // 40,
        is_liquidated=False,
        created_at_s=1_750_000_000,
        generation=Generation.DOCUMENTED,
        slot=0,
    )


def _told(position: Position) -> dict[str, Any]:
    return {"pubkey": str(position.address), "account": account_json(encode_position(position), PROGRAM_ID)}


if __name__ == "__main__":
    uvloop.run(serve(CrowdedNode(json.loads(sys.argv[1]))))
