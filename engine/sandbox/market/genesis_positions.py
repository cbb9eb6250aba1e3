"""Positions that are there when the chain begins: accounts as the program would have written them.

A hundred thousand signed transactions take their time, and their history would be of no use to anybody. What
is written here has the bytes and the lamports that a signed transaction with the same opening makes then.
Only the address of an account of its own is another: nobody signs for it, so it is a hash and no key.
"""

from __future__ import annotations

import hashlib

from solders.account import Account
from solders.pubkey import Pubkey

from engine.domain import Position
from engine.protocol.accounts import encode_position
from engine.protocol.addresses import position_address
from engine.protocol.margin import maintenance_margin_e6
from engine.sandbox.cluster.ledger.ledger import Ledger
from engine.sandbox.market.population import Opening
from engine.sandbox.market.roster import Holding


class GenesisPositions:
    """Writes openings into a ledger that has not begun yet."""

    def __init__(self, ledger: Ledger, seed: int, program_id: Pubkey) -> None:
        self._ledger = ledger
        self._seed = seed
        self._program_id = program_id
        self._rent_lamports: dict[int, int] = {}

    def write(self, opening: Opening, owner: Pubkey) -> Holding:
        """Write the position that an owner's opening makes; who holds what."""
        address = self._address(opening, owner)
        position = Position(
            address=address,
            owner=owner,
            symbol=opening.symbol,
            side=opening.side,
            size_e6=opening.size_e6,
            collateral_e6=opening.collateral_e6,
            entry_price_e6=opening.entry_price_e6,
            leverage=opening.leverage,
            maintenance_margin_e6=maintenance_margin_e6(
                opening.size_e6, opening.entry_price_e6, opening.leverage
            ),
            is_liquidated=False,
            created_at_s=self._ledger.unix_time_s,
            generation=opening.generation,
            slot=self._ledger.slot,
        )
        data = encode_position(position)
        self._ledger.set_account(address, Account(self._rent(len(data)), data, self._program_id))
        return Holding(address, opening.trader, opening.symbol, opening.generation)

    def _address(self, opening: Opening, owner: Pubkey) -> Pubkey:
        if opening.account is None:
            return position_address(owner, opening.symbol, self._program_id)
        name = f"sandbox market {self._seed}: address of {opening.account}"
        return Pubkey.from_bytes(hashlib.sha256(name.encode()).digest())

    def _rent(self, data_bytes: int) -> int:
        rent_lamports = self._rent_lamports.get(data_bytes)
        if rent_lamports is None:
            rent_lamports = self._ledger.rent_exempt_minimum_lamports(data_bytes)
            self._rent_lamports[data_bytes] = rent_lamports
        return rent_lamports
