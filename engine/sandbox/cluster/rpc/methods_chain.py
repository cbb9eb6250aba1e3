"""RPC methods about where the chain stands: slots, heights, epochs, blockhashes, counts."""

from __future__ import annotations

from engine.sandbox.cluster.blocks.banks import Bank, Commitment
from engine.sandbox.cluster.ledger.machine import SLOTS_PER_EPOCH
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc.params import Params, parse_hash, parse_pubkey
from engine.sandbox.cluster.rpc_errors import node_unhealthy

# The line of validator software whose answers this node gives.
SOLANA_CORE_VERSION = "3.0.10"
# How far a node may be behind the cluster and still call itself healthy, unless its operator says otherwise.
HEALTHY_WITHIN_SLOTS = 128
MAX_PRIORITIZATION_FEE_ACCOUNTS = 128


def with_context(bank: Bank, value: object) -> dict[str, object]:
    """A result that says of which slot it speaks."""
    return {"context": {"apiVersion": SOLANA_CORE_VERSION, "slot": bank.slot}, "value": value}


def check_health(view: View) -> None:
    """Raise RpcError when slots have stopped, or when this node is too many of them behind the cluster."""
    if not view.healthy:
        raise node_unhealthy()
    if view.slots_behind > HEALTHY_WITHIN_SLOTS:
        raise node_unhealthy(view.slots_behind)


class ChainMethods:
    """Answers about the chain."""

    def __init__(self, view: View) -> None:
        self._view = view

    def get_health(self, _params: Params) -> object:
        """Whether this node follows the cluster."""
        check_health(self._view)
        return "ok"

    def get_genesis_hash(self, _params: Params) -> object:
        """The cluster's identity."""
        return str(self._view.ledger.genesis_hash)

    def get_slot(self, params: Params) -> object:
        """The slot of a commitment level."""
        return params.config(0).bank(self._view).slot

    def get_block_height(self, params: Params) -> object:
        """The block height of a commitment level."""
        return params.config(0).bank(self._view).block_height

    def get_transaction_count(self, params: Params) -> object:
        """Transactions that landed up to a commitment level."""
        return self._view.ledger.history.count_until(params.config(0).bank(self._view).slot)

    def get_epoch_info(self, params: Params) -> object:
        """Where the slot stands in its epoch."""
        bank = params.config(0).bank(self._view)
        epoch, index = divmod(bank.slot, SLOTS_PER_EPOCH)
        return {
            "absoluteSlot": bank.slot,
            "blockHeight": bank.block_height,
            "epoch": epoch,
            "slotIndex": index,
            "slotsInEpoch": SLOTS_PER_EPOCH,
            "transactionCount": self._view.ledger.history.count_until(bank.slot),
        }

    def get_epoch_schedule(self, _params: Params) -> object:
        """Epochs of equal length from the first slot on."""
        return {
            "firstNormalEpoch": 0,
            "firstNormalSlot": 0,
            "leaderScheduleSlotOffset": SLOTS_PER_EPOCH,
            "slotsPerEpoch": SLOTS_PER_EPOCH,
            "warmup": False,
        }

    def get_latest_blockhash(self, params: Params) -> object:
        """The newest blockhash of a bank, with the last block height in which it is valid."""
        bank = params.config(0).bank(self._view)
        blockhash = self._view.latest_blockhash(bank)
        value = {
            "blockhash": str(blockhash.value),
            "lastValidBlockHeight": blockhash.last_valid_block_height,
        }
        return with_context(bank, value)

    def is_blockhash_valid(self, params: Params) -> object:
        """Whether a bank accepts transactions with this blockhash."""
        blockhash = parse_hash(params.raw(0))
        bank = params.config(1).bank(self._view)
        return with_context(bank, self._view.accepts_blockhash(bank, blockhash))

    def get_recent_prioritization_fees(self, params: Params) -> object:
        """What landed per slot for writes to the given accounts, in micro-lamports per compute unit."""
        listed = params.sequence(0, MAX_PRIORITIZATION_FEE_ACCOUNTS) if params.optional(0) is not None else []
        accounts = [parse_pubkey(text) for text in listed]
        newest = self._view.bank(Commitment.CONFIRMED).slot
        return [
            {"slot": slot, "prioritizationFee": price}
            for slot, price in self._view.ledger.priority_fees.recent(accounts, newest)
        ]
