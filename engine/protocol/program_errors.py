"""The program's error codes, and the Anchor codes that mean the position is already gone."""

from __future__ import annotations

from enum import IntEnum


class ProgramError(IntEnum):
    """Anchor custom errors of the program, numbered from 6000 in the IDL's order.

    The last one belongs to `close_position`, which only the sandbox's program has.
    """

    InvalidLeverage = 6000
    InvalidSize = 6001
    InvalidCollateral = 6002
    AlreadyLiquidated = 6003
    PositionNotLiquidatable = 6004
    Unauthorized = 6005
    Overflow = 6006
    DivisionByZero = 6007
    StalePrice = 6008
    PriceDeviationTooHigh = 6009
    InvalidLiquidationAmount = 6010
    PositionLiquidatable = 6011


ACCOUNT_OWNED_BY_WRONG_PROGRAM = 3007
ACCOUNT_NOT_INITIALIZED = 3012

# A full liquidation closes the account, so a second one meets Anchor's own errors instead of the program's.
# They mean that only when they are about the position: a missing price account or fund has the same codes.
ACCOUNT_GONE = frozenset({ACCOUNT_NOT_INITIALIZED, ACCOUNT_OWNED_BY_WRONG_PROGRAM})


def error_name(code: int) -> str:
    """The name of a custom error code for an operator, `custom error N` when it is none of ours."""
    if code == ACCOUNT_NOT_INITIALIZED:
        return "AccountNotInitialized"
    if code == ACCOUNT_OWNED_BY_WRONG_PROGRAM:
        return "AccountOwnedByWrongProgram"
    try:
        return ProgramError(code).name
    except ValueError:
        return f"custom error {code}"
