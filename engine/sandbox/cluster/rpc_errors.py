"""A Solana node's JSON-RPC errors: their codes, messages and data."""

from __future__ import annotations

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
BLOCK_CLEANED_UP = -32001
PREFLIGHT_FAILURE = -32002
SIGNATURE_VERIFICATION_FAILURE = -32003
BLOCK_NOT_AVAILABLE = -32004
NODE_UNHEALTHY = -32005
SLOT_SKIPPED = -32007
NO_SNAPSHOT = -32008
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


def invalid_params(message: str, data: object = None) -> RpcError:
    """The parameters cannot be used."""
    return RpcError(INVALID_PARAMS, message, data)


def node_unhealthy(slots_behind: int | None = None) -> RpcError:
    """What the node says is old: so many slots behind the cluster, or None when it cannot tell."""
    message = "Node is unhealthy" if slots_behind is None else f"Node is behind by {slots_behind} slots"
    return RpcError(NODE_UNHEALTHY, message, {"numSlotsBehind": slots_behind})


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


def block_cleaned_up(slot: int, first_available_slot: int) -> RpcError:
    """The slot is older than every block that the node keeps."""
    return RpcError(
        BLOCK_CLEANED_UP,
        f"Block {slot} cleaned up, does not exist on node. First available block: {first_available_slot}",
    )


def block_not_available(slot: int) -> RpcError:
    """The slot has no block yet at the asked commitment."""
    return RpcError(BLOCK_NOT_AVAILABLE, f"Block not available for slot {slot}")


def no_snapshot() -> RpcError:
    """The node keeps no snapshots."""
    return RpcError(NO_SNAPSHOT, "No snapshot")


def block_skipped(slot: int) -> RpcError:
    """No block exists for a slot that is past."""
    return RpcError(
        SLOT_SKIPPED, f"Slot {slot} was skipped, or missing due to ledger jump to recent snapshot"
    )
