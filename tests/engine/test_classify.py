"""What a landed failure is called."""

from __future__ import annotations

import pytest

from engine.chain.port import TransactionFault
from engine.domain import OutcomeClass
from engine.liquidation.classify import classify_fault

GONE = (3007, 3012)


def _blames(account: str) -> list[str]:
    return [f"Program log: AnchorError caused by account: {account}. Error Code: AccountNotInitialized."]


@pytest.mark.parametrize("code", GONE)
def test_a_position_that_is_gone_was_liquidated_already(code: int) -> None:
    outcome, message = classify_fault(TransactionFault("Custom", code), _blames("position"))
    assert outcome is OutcomeClass.ALREADY_LIQUIDATED
    assert message.startswith("already liquidated: ")


@pytest.mark.parametrize("code", GONE)
@pytest.mark.parametrize("account", ["insurance_fund", "price_update", "sol_price_update"])
def test_another_account_that_is_missing_is_a_fault_and_settles_nothing(code: int, account: str) -> None:
    outcome, message = classify_fault(TransactionFault("Custom", code), _blames(account))
    assert outcome is OutcomeClass.PROGRAM_ERROR
    assert message.startswith("program error: ")


@pytest.mark.parametrize(
    ("fault", "logs", "expected", "phrase"),
    [
        (TransactionFault("Custom", 6003), [], OutcomeClass.ALREADY_LIQUIDATED, "already liquidated"),
        (TransactionFault("Custom", 6004), [], OutcomeClass.HEALTHY_AGAIN, "PositionNotLiquidatable"),
        (TransactionFault("Custom", 6008), [], OutcomeClass.STALE_PRICE, "stale price"),
        (TransactionFault("Custom", 6010), [], OutcomeClass.PROGRAM_ERROR, "InvalidLiquidationAmount"),
        (
            TransactionFault("ProgramFailedToComplete", None),
            ["Program failed: exceeded CUs meter at BPF instruction"],
            OutcomeClass.EXCEEDED_CUS,
            "exceeded CUs",
        ),
        (
            TransactionFault("ComputationalBudgetExceeded", None),
            [],
            OutcomeClass.EXCEEDED_CUS,
            "exceeded CUs",
        ),
        (
            TransactionFault("InsufficientFundsForFee", None),
            [],
            OutcomeClass.INSUFFICIENT_FUNDS,
            "insufficient funds",
        ),
        (
            TransactionFault("BlockhashNotFound", None),
            [],
            OutcomeClass.BLOCKHASH_EXPIRED,
            "blockhash expired",
        ),
    ],
)
def test_each_fault_has_its_class_and_the_guides_phrase(
    fault: TransactionFault, logs: list[str], expected: OutcomeClass, phrase: str
) -> None:
    outcome, message = classify_fault(fault, logs)
    assert outcome is expected
    assert phrase in message
