"""The table of recent blockhashes: which a transaction may carry, and until which block height."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from solders.hash import Hash

from engine.sandbox.cluster.blocks.banks import Bank

MAX_AGE_BLOCKS = 150


@dataclass(frozen=True, slots=True)
class Blockhash:
    """The hash that a closed block registered; transactions may carry it in the 150 blocks that follow."""

    value: Hash
    slot: int
    block_height: int

    @property
    def last_valid_block_height(self) -> int:
        """The height of the last block in which a transaction with this hash can land."""
        return self.block_height + MAX_AGE_BLOCKS


class BlockhashTable:
    """The blockhashes of the last `kept` blocks of the fork that counts."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._blocks: deque[Blockhash] = deque()
        self._by_value: dict[Hash, Blockhash] = {}

    @property
    def oldest_valid_slot(self) -> int:
        """The slot of the oldest hash that a transaction may carry in the next block."""
        return self._blocks[-min(len(self._blocks), MAX_AGE_BLOCKS + 1)].slot

    def register(self, value: Hash, closed: Bank) -> None:
        """Add the hash of a block that has just been closed."""
        block = Blockhash(value, closed.slot, closed.block_height)
        self._blocks.append(block)
        self._by_value[value] = block
        if len(self._blocks) > self._kept:
            del self._by_value[self._blocks.popleft().value]

    def abandon(self, slot: int) -> None:
        """Forget the hashes of the blocks from `slot` on."""
        while self._blocks and self._blocks[-1].slot >= slot:
            del self._by_value[self._blocks.pop().value]

    def latest_at(self, bank: Bank) -> Blockhash:
        """The newest hash that a bank knows: its own once it is closed, else its parent's."""
        return self._newest(bank.slot)

    def before(self, bank: Bank) -> Blockhash:
        """The hash of a bank's parent, the newest while its transactions run."""
        return self._newest(bank.slot - 1)

    def known_to(self, bank: Bank, value: Hash) -> Blockhash | None:
        """The entry of a hash when the bank accepts transactions that carry it, else None."""
        block = self._by_value.get(value)
        if block is None or block.slot > bank.slot or bank.block_height > block.last_valid_block_height:
            return None
        return block

    def recent(self, limit: int) -> list[Blockhash]:
        """The newest entries, newest first."""
        return [block for block, _ in zip(reversed(self._blocks), range(limit), strict=False)]

    def _newest(self, slot: int) -> Blockhash:
        for block in reversed(self._blocks):
            if block.slot <= slot:
                return block
        raise LookupError(f"no block is as old as slot {slot}")
