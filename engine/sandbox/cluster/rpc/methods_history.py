"""RPC methods that look up transactions that landed: one, those of an address, and how settled they are."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.sandbox.cluster.blocks.banks import Commitment
from engine.sandbox.cluster.blocks.history import LandedTransaction
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc.methods_chain import with_context
from engine.sandbox.cluster.rpc.params import (
    Config,
    Params,
    at_least_confirmed,
    encoding_or_config,
    missing_field,
    parse_signature,
)
from engine.sandbox.cluster.rpc.transaction_json import (
    TransactionEncoding,
    memo_of,
    status_json,
    transaction_with_meta_json,
)
from engine.sandbox.cluster.rpc_errors import invalid_params

MAX_SIGNATURE_STATUSES = 256
MAX_SIGNATURES_OF_ADDRESS = 1000
STATUS_CACHE_SLOTS = 300


class HistoryMethods:
    """Answers about transactions in blocks."""

    def __init__(self, view: View) -> None:
        self._view = view

    def get_signature_statuses(self, params: Params) -> object:
        """Where each signature stands; null for unknown ones, and for old ones unless history is searched."""
        signatures = [parse_signature(text) for text in params.sequence(0, MAX_SIGNATURE_STATUSES)]
        config = params.config(1, "RpcSignatureStatusConfig")
        if params.optional(1) is not None and "searchTransactionHistory" not in config:
            raise missing_field("searchTransactionHistory")
        oldest = (
            0 if config.flag("searchTransactionHistory") else max(self._view.slot - STATUS_CACHE_SLOTS, 0)
        )
        found = (self._view.landed(signature) for signature in signatures)
        statuses = [
            None if landed is None or landed.slot < oldest else self._status_json(landed) for landed in found
        ]
        return with_context(self._view.bank(Commitment.PROCESSED), statuses)

    def get_signatures_for_address(self, params: Params) -> object:
        """Transactions that name an address, newest first."""
        address, config = params.pubkey(0), params.config(1, "RpcSignaturesForAddressConfig")
        before = parse_signature(config.raw("before")) if "before" in config else None
        until = parse_signature(config.raw("until")) if "until" in config else None
        limit = config.integer("limit", "usize")
        if limit is None:
            limit = MAX_SIGNATURES_OF_ADDRESS
        if not 1 <= limit <= MAX_SIGNATURES_OF_ADDRESS:
            raise invalid_params(f"Invalid limit; max {MAX_SIGNATURES_OF_ADDRESS}")
        bank = config.bank(self._view, config.at_least_confirmed())
        listed: list[object] = []
        for landed in self._older_than(before, address):
            if landed.slot > bank.slot:
                continue
            if landed.signature == until or len(listed) == limit:
                break
            listed.append(self._listed_json(landed))
        return listed

    def get_transaction(self, params: Params) -> object:
        """A landed transaction with what it did, null when unknown at the asked commitment."""
        signature = params.signature(0)
        commitment, encoding, newest_version = encoding_or_config(params, 1, _transaction_form)
        bank = self._view.bank(at_least_confirmed(commitment))
        landed = self._view.landed(signature)
        if landed is None or landed.slot > bank.slot:
            return None
        return {
            "slot": landed.slot,
            **transaction_with_meta_json(landed, encoding, newest_version),
            "blockTime": landed.block_time_s,
        }

    def _older_than(self, before: Signature | None, address: Pubkey) -> Iterator[LandedTransaction]:
        """The transactions that name an address, newest first, from the one before `before` on.

        `before` may be any transaction; of one that never landed nothing is known, nor what came before it.
        """
        naming = self._view.ledger.history.naming(address)
        if before is None:
            yield from reversed(naming)
            return
        last = self._view.landed(before)
        if last is None:
            return
        block = [landed.signature for landed in self._view.ledger.history.in_slot(last.slot)]
        older_in_block = set(block[: block.index(before)])
        newest = bisect_right(naming, last.slot, key=lambda landed: landed.slot)
        for index in reversed(range(newest)):
            landed = naming[index]
            if landed.slot < last.slot or landed.signature in older_in_block:
                yield landed

    def _status_json(self, landed: LandedTransaction) -> dict[str, object]:
        level = self._view.commitment_of(landed.slot)
        confirmations = None
        if level is not Commitment.FINALIZED:
            confirmations = len(self._view.blocks(landed.slot, self._view.slot))
        return {
            "slot": landed.slot,
            "confirmations": confirmations,
            "err": landed.fault,
            "status": status_json(landed.fault),
            "confirmationStatus": level,
        }

    def _listed_json(self, landed: LandedTransaction) -> dict[str, object]:
        return {
            "signature": str(landed.signature),
            "slot": landed.slot,
            "err": landed.fault,
            "memo": memo_of(landed),
            "blockTime": landed.block_time_s,
            "confirmationStatus": self._view.commitment_of(landed.slot),
        }


def _transaction_form(config: Config) -> tuple[Commitment, TransactionEncoding, int | None]:
    return (
        config.commitment(),
        config.words("encoding", TransactionEncoding, TransactionEncoding.JSON),
        config.integer("maxSupportedTransactionVersion", "u8"),
    )
