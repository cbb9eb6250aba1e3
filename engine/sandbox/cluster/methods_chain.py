"""RPC methods about the chain as a whole: identity, slots, blocks, epochs, blockhashes."""

from __future__ import annotations

import hashlib

from solders.pubkey import Pubkey

from engine.sandbox.cluster.banks import Bank, Commitment
from engine.sandbox.cluster.machine import SLOTS_PER_EPOCH
from engine.sandbox.cluster.params import Params, parse_hash, parse_pubkey
from engine.sandbox.cluster.rpc_errors import block_skipped, node_unhealthy
from engine.sandbox.cluster.view import View

# The line of validator software whose answers this node gives.
SOLANA_CORE_VERSION = "3.1.0"
_FEATURE_OWNER = Pubkey.from_string("Feature111111111111111111111111111111111111")


def with_context(bank: Bank, value: object) -> dict[str, object]:
    """A result that says of which slot it speaks."""
    return {"context": {"apiVersion": SOLANA_CORE_VERSION, "slot": bank.slot}, "value": value}


class ChainMethods:
    """Answers about the chain."""

    def __init__(self, view: View) -> None:
        self._view = view

    def get_health(self, _params: Params) -> object:
        """Healthy as long as slots advance: this node is the cluster, and behind nobody."""
        if not self._view.healthy:
            raise node_unhealthy()
        return "ok"

    def get_version(self, _params: Params) -> object:
        """Software version, and the identity of the active feature gates."""
        features = [
            bytes(address) for address, _ in self._view.program_accounts(_FEATURE_OWNER, Commitment.PROCESSED)
        ]
        digest = hashlib.sha256(b"".join(features)).digest()
        return {"solana-core": SOLANA_CORE_VERSION, "feature-set": int.from_bytes(digest[:4], "little")}

    def get_genesis_hash(self, _params: Params) -> object:
        """The cluster's identity."""
        return str(self._view.ledger.genesis_hash)

    def get_identity(self, _params: Params) -> object:
        """The one validator's address."""
        return {"identity": str(self._view.ledger.validator)}

    def get_slot_leader(self, _params: Params) -> object:
        """The one validator leads every slot."""
        return str(self._view.ledger.validator)

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

    def get_first_available_block(self, _params: Params) -> object:
        """The oldest block; all blocks of the run are kept."""
        return self._view.ledger.first_slot

    def get_block_time(self, params: Params) -> object:
        """The unix time of a slot's block."""
        slot = params.integer(0)
        time_s = self._view.ledger.block_time_s(slot)
        if time_s is None:
            raise block_skipped(slot)
        return time_s

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
        bank = params.config(1).bank(self._view)
        return with_context(bank, self._view.accepts_blockhash(bank, parse_hash(params.raw(0))))

    def get_recent_prioritization_fees(self, params: Params) -> object:
        """What landed per slot for writes to the given accounts, in micro-lamports per compute unit."""
        accounts = [parse_pubkey(text) for text in params.sequence(0, 128)] if len(params) else []
        newest = self._view.bank(Commitment.CONFIRMED).slot
        return [
            {"slot": slot, "prioritizationFee": price}
            for slot, price in self._view.ledger.priority_fees.recent(accounts, newest)
        ]
