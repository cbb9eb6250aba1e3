"""Names what happened to an attempt: from the chain's fault or the node's refusal to one of our classes."""

from __future__ import annotations

from collections.abc import Sequence

from engine.chain.port import RpcFailure, TransactionFault
from engine.domain import OutcomeClass
from engine.protocol.program_errors import (
    ACCOUNT_GONE,
    ProgramError,
    error_name,
)

_CUSTOM = {
    ProgramError.PositionNotLiquidatable.value: OutcomeClass.HEALTHY_AGAIN,
    ProgramError.StalePrice.value: OutcomeClass.STALE_PRICE,
    ProgramError.AlreadyLiquidated.value: OutcomeClass.ALREADY_LIQUIDATED,
} | dict.fromkeys(ACCOUNT_GONE, OutcomeClass.ALREADY_LIQUIDATED)

# What the program will say again to the same account, whatever is paid for asking.
_HOPELESS = frozenset(
    {
        ProgramError.InvalidLeverage,
        ProgramError.InvalidSize,
        ProgramError.InvalidCollateral,
        ProgramError.Unauthorized,
        ProgramError.Overflow,
        ProgramError.DivisionByZero,
        ProgramError.InvalidLiquidationAmount,
    }
)

# What the program says to a transaction whose position is no longer as it was when it was decided on.
_OVERTAKEN = ACCOUNT_GONE | {
    ProgramError.AlreadyLiquidated,
    ProgramError.PositionNotLiquidatable,
    ProgramError.InvalidLiquidationAmount,
}

_INSUFFICIENT = frozenset(
    {"InsufficientFundsForFee", "InsufficientFundsForRent", "AccountNotFound", "InsufficientFunds"}
)
_EXCEEDED = frozenset({"ComputationalBudgetExceeded"})

# Outcomes that another attempt with the same inputs cannot change: the position is looked at afresh instead.
SETTLED = frozenset(
    {
        OutcomeClass.CONFIRMED,
        OutcomeClass.ALREADY_LIQUIDATED,
        OutcomeClass.HEALTHY_AGAIN,
        OutcomeClass.DRY_RUN,
    }
)


def classify_fault(fault: TransactionFault, logs: Sequence[str]) -> tuple[OutcomeClass, str]:
    """The class of a landed failure, with a message in the operating guide's phrases."""
    if fault.custom_code is not None:
        outcome = _CUSTOM.get(fault.custom_code, OutcomeClass.PROGRAM_ERROR)
        if fault.custom_code in ACCOUNT_GONE and not _is_about_the_position(logs):
            outcome = OutcomeClass.PROGRAM_ERROR
        name = error_name(fault.custom_code)
        return outcome, f"{outcome.value}: {name} ({fault.custom_code})"
    if fault.name in _EXCEEDED or any("exceeded CUs" in line for line in logs):
        return OutcomeClass.EXCEEDED_CUS, "exceeded CUs: the compute unit limit was too low"
    if fault.name in _INSUFFICIENT:
        return OutcomeClass.INSUFFICIENT_FUNDS, f"insufficient funds: {fault.name}; fund the wallet"
    if fault.name == "BlockhashNotFound":
        return OutcomeClass.BLOCKHASH_EXPIRED, "blockhash expired: BlockhashNotFound"
    return OutcomeClass.PROGRAM_ERROR, f"program error: {fault.name}"


def is_hopeless(fault: TransactionFault | None) -> bool:
    """Whether the same position at about the same price will fail in the same way again."""
    return fault is not None and fault.custom_code in _HOPELESS


def may_be_overtaken(fault: TransactionFault | None) -> bool:
    """Whether somebody else's transaction can be why ours failed."""
    return fault is not None and fault.custom_code in _OVERTAKEN


def _is_about_the_position(logs: Sequence[str]) -> bool:
    """Whether the account that Anchor complains of is the position, and not a price account or the fund."""
    blamed = [line for line in logs if "AnchorError caused by account: " in line]
    return all("caused by account: position." in line for line in blamed)


def classify_failure(failure: RpcFailure) -> tuple[OutcomeClass, str]:
    """The class of a node's refusal or silence."""
    if failure.is_timeout:
        return OutcomeClass.TIMEOUT, str(failure)
    return OutcomeClass.NODE_ERROR, str(failure)


def next_step(outcome: OutcomeClass) -> str:
    """What the operator, or the next retry, does about a liquidation that was given up."""
    return {
        OutcomeClass.TIMEOUT: "retry; raise RPC_TIMEOUT_S or use a faster node",
        OutcomeClass.EXCEEDED_CUS: "retry; raise COMPUTE_UNIT_LIMIT",
        OutcomeClass.INSUFFICIENT_FUNDS: "fund the wallet, then retry",
        OutcomeClass.BLOCKHASH_EXPIRED: "retry; the priority fee rises with each attempt",
        OutcomeClass.NODE_ERROR: "retry; look at the node",
        OutcomeClass.STALE_PRICE: "retry once the price is fresh",
        OutcomeClass.PROGRAM_ERROR: "look at the position, then retry",
    }.get(outcome, "retry")
