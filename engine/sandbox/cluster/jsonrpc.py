"""JSON-RPC 2.0: from a request body to a response body, single or batched, with a node's errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import structlog

from engine.sandbox.cluster.ledger import Ledger
from engine.sandbox.cluster.methods_accounts import AccountMethods
from engine.sandbox.cluster.methods_chain import ChainMethods
from engine.sandbox.cluster.methods_transactions import TransactionMethods
from engine.sandbox.cluster.params import Params
from engine.sandbox.cluster.rpc_errors import (
    INTERNAL_ERROR,
    RpcError,
    invalid_params,
    invalid_request,
    method_not_found,
    parse_error,
)

log = structlog.get_logger("cluster")

Method = Callable[[Params], object]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def methods_of(ledger: Ledger) -> dict[str, Method]:
    """Every HTTP method of the node, by its wire name."""
    chain, accounts, transactions = ChainMethods(ledger), AccountMethods(ledger), TransactionMethods(ledger)
    return {
        "getHealth": chain.get_health,
        "getVersion": chain.get_version,
        "getGenesisHash": chain.get_genesis_hash,
        "getIdentity": chain.get_identity,
        "getSlot": chain.get_slot,
        "getSlotLeader": chain.get_slot_leader,
        "getBlockHeight": chain.get_block_height,
        "getBlockTime": chain.get_block_time,
        "getEpochInfo": chain.get_epoch_info,
        "getEpochSchedule": chain.get_epoch_schedule,
        "getFirstAvailableBlock": chain.get_first_available_block,
        "minimumLedgerSlot": chain.get_first_available_block,
        "getTransactionCount": chain.get_transaction_count,
        "getLatestBlockhash": chain.get_latest_blockhash,
        "isBlockhashValid": chain.is_blockhash_valid,
        "getRecentPrioritizationFees": chain.get_recent_prioritization_fees,
        "getBalance": accounts.get_balance,
        "getAccountInfo": accounts.get_account_info,
        "getMultipleAccounts": accounts.get_multiple_accounts,
        "getProgramAccounts": accounts.get_program_accounts,
        "getMinimumBalanceForRentExemption": accounts.get_minimum_balance_for_rent_exemption,
        "getFeeForMessage": transactions.get_fee_for_message,
        "requestAirdrop": transactions.request_airdrop,
        "sendTransaction": transactions.send_transaction,
        "simulateTransaction": transactions.simulate_transaction,
        "getSignatureStatuses": transactions.get_signature_statuses,
        "getSignaturesForAddress": transactions.get_signatures_for_address,
        "getTransaction": transactions.get_transaction,
    }


class Dispatcher:
    """Calls methods by name. Nothing that a caller sends makes it raise."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = dict(methods)

    def respond(self, body: bytes | str) -> bytes | None:
        """The response to a request body; None when it holds notifications only."""
        try:
            request = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _encode(_failure(None, parse_error()))
        if not isinstance(request, list):
            response = self._respond_to(request)
            return None if response is None else _encode(response)
        if not request:
            return _encode(_failure(None, invalid_request()))
        responses = [response for entry in request if (response := self._respond_to(entry)) is not None]
        return _encode(responses) if responses else None

    def _respond_to(self, request: object) -> dict[str, object] | None:
        if not isinstance(request, dict):
            return _failure(None, invalid_request())
        request_id, params = request.get("id"), request.get("params")
        try:
            method = self._method_of(request, request_id)
            if not isinstance(params, list | None):
                raise invalid_params("Invalid params: invalid type: map, expected a sequence.")
            result = method(Params(params or []))
        except RpcError as error:
            response = _failure(request_id, error)
        except Exception:
            # A fault of this node must not end it, nor show its insides to callers.
            log.exception("method failed", method=str(request.get("method"))[:64])
            response = _failure(request_id, RpcError(INTERNAL_ERROR, "Internal error"))
        else:
            response = {"jsonrpc": "2.0", "result": result, "id": request_id}
        return response if "id" in request else None

    def _method_of(self, request: dict[str, object], request_id: object) -> Method:
        name = request.get("method")
        if request.get("jsonrpc") != "2.0" or not isinstance(name, str):
            raise invalid_request()
        if isinstance(request_id, bool) or not isinstance(request_id, str | int | None):
            raise invalid_request()
        method = self._methods.get(name)
        if method is None:
            raise method_not_found()
        return method


def _failure(request_id: object, error: RpcError) -> dict[str, object]:
    if not isinstance(request_id, str | int | None):
        request_id = None
    return {"jsonrpc": "2.0", "error": error.as_json(), "id": request_id}
