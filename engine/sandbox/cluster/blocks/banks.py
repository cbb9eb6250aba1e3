"""Commitment levels and the bank (a slot's view of the chain) that each of them names."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Commitment(StrEnum):
    """How settled a bank is, in Solana's own words."""

    PROCESSED = "processed"
    CONFIRMED = "confirmed"
    FINALIZED = "finalized"


@dataclass(frozen=True, slots=True)
class Bank:
    """One slot of the chain. Heights count blocks only, so they stay below slots where slots were skipped."""

    slot: int
    block_height: int
    unix_time_s: int


@dataclass(frozen=True, slots=True)
class CommitmentDepths:
    """How many slots a bank must lie behind the open one to be confirmed and finalized."""

    confirmed: int = 1
    finalized: int = 31

    def __post_init__(self) -> None:
        if not 1 <= self.confirmed <= self.finalized:
            raise ValueError("commitment depths must satisfy 1 <= confirmed <= finalized")

    def of(self, commitment: Commitment) -> int:
        """The depth of a level; processed is the open slot itself."""
        if commitment is Commitment.PROCESSED:
            return 0
        return self.confirmed if commitment is Commitment.CONFIRMED else self.finalized
