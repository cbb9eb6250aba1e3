"""What the engine asks of a cluster, as types: a node, a pool of them or a simulation can stand behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.signature import Signature


class Level(IntEnum):
    """Commitment levels in order; only FINALIZED is final."""

    PROCESSED = 0
    CONFIRMED = 1
    FINALIZED = 2


class RpcFailure(Exception):
    """A node did not answer in time, or answered with an error. `is_timeout` tells which."""

    def __init__(self, message: str, *, is_timeout: bool = False) -> None:
        super().__init__(message)
        self.is_timeout = is_timeout


@dataclass(frozen=True, slots=True)
class AccountRead:
    """An account at a slot; `data` is None when it does not exist there."""

    data: bytes | None
    owner: Pubkey | None
    lamports: int
    slot: int


@dataclass(frozen=True, slots=True)
class ProgramAccount:
    """One account of a program's snapshot."""

    address: Pubkey
    data: bytes


@dataclass(frozen=True, slots=True)
class FreshBlockhash:
    """A blockhash with the last block height in which it is valid."""

    value: Hash
    last_valid_block_height: int


@dataclass(frozen=True, slots=True)
class TransactionFault:
    """Why a transaction failed: a program's custom error code, or the runtime's own word for it."""

    name: str
    custom_code: int | None


@dataclass(frozen=True, slots=True)
class SignatureStatus:
    """Where a landed signature stands. A fault has landed too: its fee is paid."""

    slot: int
    level: Level
    fault: TransactionFault | None


@dataclass(frozen=True, slots=True)
class LandedTransaction:
    """What the chain says of a transaction. `lamports_change` is post minus pre balance, by account."""

    slot: int
    block_time_s: int | None
    fault: TransactionFault | None
    fee_lamports: int
    compute_units: int
    logs: list[str]
    lamports_change: dict[Pubkey, int]


class Chain(Protocol):
    """Reads of a cluster. Every method has a deadline and raises RpcFailure."""

    async def genesis_hash(self) -> str:
        """The identity of the cluster."""
        ...

    async def slot(self) -> int:
        """The current slot at processed."""
        ...

    async def block_height(self, level: Level) -> int:
        """The block height at a commitment level."""
        ...

    async def account(self, address: Pubkey, level: Level = Level.PROCESSED) -> AccountRead:
        """One account."""
        ...

    async def accounts(self, addresses: Sequence[Pubkey]) -> list[AccountRead]:
        """Up to a hundred accounts at processed, in the order asked for."""
        ...

    async def positions(self, program_id: Pubkey) -> list[ProgramAccount]:
        """Every account of the program that starts with the position discriminator, at processed."""
        ...

    async def latest_blockhash(self) -> FreshBlockhash:
        """A blockhash at confirmed: about one processed block in twenty never makes it."""
        ...

    async def statuses(
        self, signatures: Sequence[Signature], *, search_history: bool
    ) -> list[SignatureStatus | None]:
        """The status of each signature, None where the node knows nothing; at most 256 signatures."""
        ...

    async def transaction(self, signature: Signature, level: Level) -> LandedTransaction | None:
        """A landed transaction at CONFIRMED or FINALIZED."""
        ...

    async def signatures_of(
        self, address: Pubkey, *, before: Signature | None, limit: int
    ) -> list[Signature]:
        """Signatures that name an address, newest first, at finalized."""
        ...

    async def balance(self, address: Pubkey) -> int:
        """Lamports of an account at processed, 0 when it does not exist."""
        ...

    async def recent_priority_fees(self, writable: Sequence[Pubkey]) -> list[int]:
        """Recently paid priority fees in micro-lamports per compute unit, for writing these accounts."""
        ...
