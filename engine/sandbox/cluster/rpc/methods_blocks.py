"""RPC methods about blocks: what is in them, which slots have one, and what came of a time's slots."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

from engine.sandbox.cluster.blocks.banks import Commitment
from engine.sandbox.cluster.blocks.chain import Block
from engine.sandbox.cluster.ledger.machine import SLOTS_PER_EPOCH
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc.block_json import BlockForm, TransactionDetails, block_json
from engine.sandbox.cluster.rpc.methods_chain import with_context
from engine.sandbox.cluster.rpc.params import (
    Config,
    Params,
    at_least_confirmed,
    encoding_or_config,
    no_variant,
    parse_pubkey,
)
from engine.sandbox.cluster.rpc.transaction_json import TransactionEncoding
from engine.sandbox.cluster.rpc_errors import (
    block_cleaned_up,
    block_not_available,
    block_skipped,
    invalid_params,
)

MAX_BLOCKS_RANGE = 500_000
MAX_PERFORMANCE_SAMPLES = 720
SAMPLE_PERIOD_S = 60


class BlockMethods:
    """Answers about the blocks that the node keeps."""

    def __init__(self, view: View) -> None:
        self._view = view

    # --- one block ---

    def get_block(self, params: Params) -> object:
        """A block, as much of it as was asked for."""
        slot = params.integer(0)
        commitment, form = encoding_or_config(params, 1, _block_form)
        return block_json(self._block(slot, at_least_confirmed(commitment)), form)

    def get_block_time(self, params: Params) -> object:
        """The unix time of a slot's block."""
        slot = params.integer(0)
        # Unlike the block itself, its time is known as soon as the slot begins.
        if slot == self._view.slot:
            return self._view.bank(Commitment.PROCESSED).unix_time_s
        return self._block(slot, Commitment.PROCESSED).time_s

    def get_block_commitment(self, params: Params) -> object:
        """Nobody votes on blocks here, so that no stake stands behind any of them."""
        params.integer(0)
        return {"commitment": None, "totalStake": 0}

    def _block(self, slot: int, commitment: Commitment) -> Block:
        """The block of a slot; raises RpcError when it is not there, or not that settled."""
        if slot > self._view.bank(commitment).slot:
            raise block_not_available(slot)
        first_available = self._view.ledger.first_available_slot
        if slot < first_available:
            raise block_cleaned_up(slot, first_available)
        block = self._view.block(slot)
        if block is None:
            finalized = slot <= self._view.bank(Commitment.FINALIZED).slot
            raise block_skipped(slot) if finalized else block_not_available(slot)
        return block

    # --- which blocks there are ---

    def get_first_available_block(self, _params: Params) -> object:
        """The oldest block that the node keeps."""
        return self._view.ledger.first_available_slot

    def get_blocks(self, params: Params) -> object:
        """The slots between two, both included, that have a block."""
        start, config = params.integer(0), Config({})
        end: int | None = None
        second = params.optional(1)
        if isinstance(second, dict):
            config = Config(second)
        elif second is not None:
            if isinstance(second, bool) or not isinstance(second, int) or second < 0:
                raise no_variant("RpcBlocksConfigWrapper")
            end = second
        if params.optional(2) is not None:
            config = params.config(2)
        newest = self._newest(config)
        last = min(start + MAX_BLOCKS_RANGE if end is None else end, newest)
        if last < start:
            return []
        if last - start > MAX_BLOCKS_RANGE:
            raise invalid_params(f"Slot range too large; max {MAX_BLOCKS_RANGE}")
        return self._view.blocks(start, last)

    def get_blocks_with_limit(self, params: Params) -> object:
        """The first slots from one on that have a block."""
        start, limit, config = params.integer(0), params.integer(1, "usize"), params.config(2)
        newest = self._newest(config)
        if limit > MAX_BLOCKS_RANGE:
            raise invalid_params(f"Limit too large; max {MAX_BLOCKS_RANGE}")
        return self._view.blocks(start, newest)[:limit] if start <= newest else []

    def _newest(self, config: Config) -> int:
        """The newest slot that a method about blocks may speak of."""
        return config.bank(self._view, config.at_least_confirmed()).slot

    # --- counts ---

    def get_block_production(self, params: Params) -> object:
        """How many of the slots that the one validator led have a block."""
        config = params.config(0, "RpcBlockProductionConfig")
        identity = config.raw("identity")
        wanted = None if identity is None else parse_pubkey(identity)
        bank = self._view.bank(config.commitment())
        oldest = self._view.ledger.first_available_slot
        first = max(bank.slot - bank.slot % SLOTS_PER_EPOCH, oldest)
        last = bank.slot
        asked = config.nested("range", "RpcBlockProductionConfigRange", required=("firstSlot",))
        if asked is not None:
            first = asked.integer("firstSlot") or 0
            asked_last = asked.integer("lastSlot")
            last = bank.slot if asked_last is None else asked_last
            if last < first:
                raise invalid_params(f"lastSlot, {last}, cannot be less than firstSlot, {first}")
            if first < oldest:
                raise invalid_params(f"firstSlot, {first}, is too small; min {oldest}")
            if last > bank.slot:
                raise invalid_params(f"lastSlot, {last}, is too large; max {bank.slot}")
        validator = self._view.ledger.validator
        by_identity = {}
        if wanted is None or wanted == validator:
            # The open slot's block is being made, and counts.
            blocks = len(self._view.blocks(first, last)) + (last == self._view.ledger.slot)
            by_identity[str(validator)] = [last - first + 1, blocks]
        return with_context(
            bank, {"byIdentity": by_identity, "range": {"firstSlot": first, "lastSlot": last}}
        )

    def get_recent_performance_samples(self, params: Params) -> object:
        """Slots and transactions of each full minute that the node has blocks of, the newest minute first."""
        limit = MAX_PERFORMANCE_SAMPLES
        if params.optional(0) is not None:
            limit = params.integer(0, "usize")
        if limit > MAX_PERFORMANCE_SAMPLES:
            raise invalid_params(f"Invalid limit; max {MAX_PERFORMANCE_SAMPLES}")
        newest = self._view.bank(Commitment.CONFIRMED).slot
        slots = self._view.blocks(self._view.ledger.first_available_slot, newest)
        ends = _minutes(slots, limit, self._time_s)
        counts = self._view.ledger.history.counts_until(ends)
        return [
            {
                "numNonVoteTransactions": counts[index] - counts[index + 1],
                "numSlots": ends[index] - ends[index + 1],
                "numTransactions": counts[index] - counts[index + 1],
                "samplePeriodSecs": SAMPLE_PERIOD_S,
                "slot": ends[index],
            }
            for index in range(len(ends) - 1)
        ]

    def _time_s(self, slot: int) -> int:
        time_s = self._view.ledger.block_time_s(slot)
        assert time_s is not None, "every block has a time"
        return time_s


def _minutes(slots: Sequence[int], limit: int, time_s: Callable[[int], int]) -> list[int]:
    """The last slot of each of the newest full minutes, newest first, and of the minute before all of them.

    A minute of the clock is full when there are slots before it and behind it; one without slots is left out.
    """
    last_slots: list[int] = []
    # First back to the last whole minute, then minute by minute. Those without slots are passed over: the
    # node may have stood still for long.
    end = len(slots)
    while end and len(last_slots) <= limit:
        end_s = time_s(slots[end - 1]) // SAMPLE_PERIOD_S * SAMPLE_PERIOD_S
        end = bisect_left(slots, end_s, hi=end, key=time_s)
        if end:
            last_slots.append(slots[end - 1])
    return last_slots


def _block_form(config: Config) -> tuple[Commitment, BlockForm]:
    form = BlockForm(
        encoding=config.words("encoding", TransactionEncoding, TransactionEncoding.JSON),
        details=config.words("transactionDetails", TransactionDetails, TransactionDetails.FULL),
        show_rewards=config.flag("rewards", default=True),
        newest_version=config.integer("maxSupportedTransactionVersion", "u8"),
    )
    return config.commitment(), form
