"""A Solana node's JSON-RPC errors: their codes, messages and data."""

from __future__ import annotations

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
PREFLIGHT_FAILURE = -32002
SIGNATURE_VERIFICATION_FAILURE = -32003
NODE_UNHEALTHY = -32005
SLOT_SKIPPED = -32007
UNSUPPORTED_TRANSACTION_VERSION = -32015
MIN_CONTEXT_SLOT_NOT_REACHED = -32016


class RpcError(Exception):
    """What a node answers instead of a result. `data` is JSON, or None when the node sends none."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def as_json(self) -> dict[str, object]:
        """The JSON-RPC error object."""
        error: dict[str, object] = {"code": self.code, "message": self.message}
        if self.data is not None:
            error["data"] = self.data
        return error


class TransactionRefused(RpcError):
    """A transaction that the node does not take in: undecodable, wrongly signed, or failed in preflight."""


def parse_error() -> RpcError:
    """The body is no JSON."""
    return RpcError(PARSE_ERROR, "Parse error")


def invalid_request() -> RpcError:
    """The body is JSON, but no JSON-RPC 2.0 call."""
    return RpcError(INVALID_REQUEST, "Invalid request")


def method_not_found() -> RpcError:
    """The node has no such method."""
    return RpcError(METHOD_NOT_FOUND, "Method not found")


def invalid_params(message: str) -> RpcError:
    """The parameters cannot be used."""
    return RpcError(INVALID_PARAMS, message)


def node_unhealthy() -> RpcError:
    """The node's slots stand still: what it says is old."""
    return RpcError(NODE_UNHEALTHY, "Node is unhealthy", {"numSlotsBehind": None})


def min_context_slot_not_reached(context_slot: int) -> RpcError:
    """The bank of the asked commitment is older than the caller's minContextSlot."""
    return RpcError(
        MIN_CONTEXT_SLOT_NOT_REACHED,
        "Minimum context slot has not been reached",
        {"contextSlot": context_slot},
    )


def unsupported_transaction_version(version: int) -> RpcError:
    """The caller did not say that it understands this transaction version."""
    return RpcError(
        UNSUPPORTED_TRANSACTION_VERSION,
        f"Transaction version ({version}) is not supported by the requesting client. Please try the request "
        f'again with the following configuration parameter: "maxSupportedTransactionVersion": {version}',
    )


def block_skipped(slot: int) -> RpcError:
    """No block exists for the slot."""
    return RpcError(
        SLOT_SKIPPED, f"Slot {slot} was skipped, or missing due to ledger jump to recent snapshot"
    )
