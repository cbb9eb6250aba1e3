"""Blocks in the JSON shapes of a node: whole, or with less of their transactions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from engine.sandbox.cluster.blocks.chain import Block
from engine.sandbox.cluster.rpc.transaction_json import (
    TransactionEncoding,
    transaction_with_accounts_json,
    transaction_with_meta_json,
)


class TransactionDetails(StrEnum):
    """How much of a block's transactions is shown."""

    FULL = "full"
    SIGNATURES = "signatures"
    NONE = "none"
    ACCOUNTS = "accounts"


@dataclass(frozen=True, slots=True)
class BlockForm:
    """How a block is shown. `newest_version` of its transactions is None for callers of legacy ones only."""

    encoding: TransactionEncoding
    details: TransactionDetails
    show_rewards: bool
    newest_version: int | None


def block_json(block: Block, form: BlockForm) -> dict[str, object]:
    """A block; raises RpcError when it has a transaction of a version that the caller does not understand."""
    shown: dict[str, object] = {
        "previousBlockhash": str(block.previous_blockhash),
        "blockhash": str(block.blockhash),
        "parentSlot": block.parent_slot,
    }
    if form.details is TransactionDetails.FULL:
        shown["transactions"] = [
            transaction_with_meta_json(
                landed, form.encoding, form.newest_version, show_rewards=form.show_rewards
            )
            for landed in block.transactions
        ]
    elif form.details is TransactionDetails.ACCOUNTS:
        shown["transactions"] = [
            transaction_with_accounts_json(landed, form.newest_version, show_rewards=form.show_rewards)
            for landed in block.transactions
        ]
    elif form.details is TransactionDetails.SIGNATURES:
        shown["signatures"] = [str(landed.signature) for landed in block.transactions]
    if form.show_rewards:
        # The leader is paid nothing here: fees are burned whole.
        shown["rewards"] = []
    shown["blockTime"] = block.time_s
    shown["blockHeight"] = block.height
    return shown
