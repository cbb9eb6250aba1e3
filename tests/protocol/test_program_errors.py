"""Error codes: the published order, and names for what an operator reads."""

from __future__ import annotations

import pytest

from engine.protocol.program_errors import ACCOUNT_GONE, ProgramError, error_name

PUBLISHED_ORDER = (
    "InvalidLeverage",
    "InvalidSize",
    "InvalidCollateral",
    "AlreadyLiquidated",
    "PositionNotLiquidatable",
    "Unauthorized",
    "Overflow",
    "DivisionByZero",
    "StalePrice",
    "PriceDeviationTooHigh",
    "InvalidLiquidationAmount",
    "PositionLiquidatable",
)


def test_errors_are_numbered_from_6000_in_the_published_order_and_ours_follows() -> None:
    assert [(error.name, error.value) for error in ProgramError] == [
        (name, 6000 + i) for i, name in enumerate(PUBLISHED_ORDER)
    ]


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (6003, "AlreadyLiquidated"),
        (3012, "AccountNotInitialized"),
        (3007, "AccountOwnedByWrongProgram"),
        (6011, "PositionLiquidatable"),
        (6012, "custom error 6012"),
        (0, "custom error 0"),
    ],
)
def test_a_code_has_a_name_to_read(code: int, name: str) -> None:
    assert error_name(code) == name


def test_an_account_that_is_gone_answers_with_one_of_two_codes() -> None:
    assert {3012, 3007} == ACCOUNT_GONE
