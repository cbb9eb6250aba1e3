"""How a node refuses a transaction before it forwards it: wrong signatures, and a simulation that failed."""

from __future__ import annotations

from engine.sandbox.cluster.encoding import return_data_json
from engine.sandbox.cluster.ledger.machine import Execution
from engine.sandbox.cluster.rpc_errors import (
    PREFLIGHT_FAILURE,
    SIGNATURE_VERIFICATION_FAILURE,
    TransactionRefused,
)
from engine.sandbox.cluster.transactions.transaction_faults import Fault, fault_message


def signature_verification_failure() -> TransactionRefused:
    """A signature does not fit the message."""
    return TransactionRefused(SIGNATURE_VERIFICATION_FAILURE, "Transaction signature verification failure")


def preflight_failure(fault: Fault, execution: Execution | None) -> TransactionRefused:
    """The simulation before forwarding failed; `data` has what simulateTransaction would have answered."""
    metadata = None if execution is None or not execution.executed else execution.metadata
    data = {
        "accounts": None,
        "err": fault,
        "innerInstructions": None,
        "logs": [] if metadata is None else metadata.logs(),
        "replacementBlockhash": None,
        "returnData": None if metadata is None else return_data_json(metadata),
        "unitsConsumed": 0 if metadata is None else metadata.compute_units_consumed(),
    }
    message = f"Transaction simulation failed: {fault_message(fault)}"
    return TransactionRefused(PREFLIGHT_FAILURE, message, data)
