"""What the engine asks of a cluster, as types: a node, a pool of them or a simulation can stand behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.signature import Signature

MIN_CONTEXT_SLOT_NOT_REACHED = -32016
"""The JSON-RPC error of a node that is behind what is asked for; also ours for an answer that is."""

INVALID_REQUEST = -32600
"""The JSON-RPC error of a node that does not take a request of this form."""

NODE_UNHEALTHY = -32005
"""The JSON-RPC error of a node that calls itself behind or out of order."""


class Level(IntEnum):
    """Commitment levels in order; only FINALIZED is final."""

    PROCESSED = 0
    CONFIRMED = 1
    FINALIZED = 2


class RpcFailure(Exception):
    """A node did not answer in time, or answered with an error. `is_timeout` tells which.

    `code` is the node's own JSON-RPC error, `retry_after_s` how long it asks to be left alone.
    """

    def __init__(
        self,
        message: str,
        *,
        is_timeout: bool = False,
        code: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.is_timeout = is_timeout
        self.code = code
        self.retry_after_s = retry_after_s


class NoLongerWanted(RpcFailure):
    """The position is not to be liquidated any more: the bytes stayed here, which is no fault of a node."""

    def __init__(self) -> None:
        super().__init__("no longer liquidatable: not sent")


class LyingNode(RpcFailure):
    """An answer that no honest node can have given: `endpoint` gave it, `what` is wrong with it."""

    def __init__(self, endpoint: str, what: str) -> None:
        super().__init__(f"{endpoint} is not believed: {what}")
        self.endpoint = endpoint
        self.what = what


@dataclass(frozen=True, slots=True)
class AccountRead:
    """An account at a slot; `data` is None when it does not exist there."""

    data: bytes | None
    owner: Pubkey | None
    lamports: int
    slot: int


PositionSlice = tuple[Sequence[bytes], Sequence[bytes]]
"""Some accounts of a snapshot: addresses of 32 bytes, and at the same indexes their data."""


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
    """Where a landed signature stands. A fault has landed too: its fee is paid.

    One that `is_rehearsal` never left this machine: a node was asked what it would do.
    """

    slot: int
    level: Level
    fault: TransactionFault | None
    is_rehearsal: bool = False


@dataclass(frozen=True, slots=True)
class LandedTransaction:
    """What the chain says of a transaction. `lamports_change` is post minus pre balance, by account.

    Of its `signers`, whose signatures were verified, the first paid the fee.
    """

    slot: int
    block_time_s: int | None
    fault: TransactionFault | None
    fee_lamports: int
    compute_units: int
    logs: list[str]
    lamports_change: dict[Pubkey, int]
    signers: tuple[Pubkey, ...] = ()
    is_rehearsal: bool = False  # it never left this machine: this is what it would have done


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a transaction would do at a slot; `accounts` are those asked for, as it would leave them.

    A fault leaves everything as it is: then there are no accounts.
    """

    slot: int
    fault: TransactionFault | None
    compute_units: int
    logs: list[str]
    accounts: list[AccountRead]


@dataclass(frozen=True, slots=True)
class EndpointReport:
    """How one endpoint stands. `name` is its host and port, never its URL; `why` says why it is not used."""

    name: str
    state: str  # ok, behind, still, failing, resting, distrusted, foreign, unmet
    why: str
    slot: int
    behind_slots: int
    error_permille: int
    p50_us: int
    p99_us: int
    requests_left: int
    requests_per_s: int


class Chain(Protocol):
    """Reads of a cluster. Every method with a deadline raises RpcFailure."""

    def is_current(self) -> bool:
        """Whether a node is there that answers, goes on, and is not behind: else nothing is decided."""
        ...

    def why_not_current(self) -> str:
        """In words, for the operator: what is wrong with each node; empty while one is current."""
        ...

    def tip(self) -> int:
        """The newest slot that any node was believed to be at, 0 before the first."""
        ...

    def block_tip(self) -> int:
        """The highest block height that was believed, 0 before the first."""
        ...

    def endpoints(self) -> list[EndpointReport]:
        """How each node stands, in the order of the settings."""
        ...

    def disputes(self) -> list[str]:
        """In words: transactions of ours about which nodes contradict each other; they are held."""
        ...

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

    def position_slices(self, program_id: Pubkey, min_slot: int) -> AsyncIterator[PositionSlice]:
        """Every account of the program that starts with the position discriminator, at processed.

        All of them no older than `min_slot`. RpcFailure may come after some slices: then it was not all.
        """
        ...

    async def latest_blockhash(self) -> FreshBlockhash:
        """A blockhash at confirmed: about one processed block in twenty never makes it."""
        ...

    async def statuses(
        self, signatures: Sequence[Signature], *, search_history: bool, above_height: int | None = None
    ) -> list[SignatureStatus | None]:
        """The status of each signature, None where the node knows nothing; at most 256 signatures.

        With `above_height` None is said only by nodes whose finalized block height is above it: of a
        transaction whose last valid block height that is, it proves that it never landed. Raises RpcFailure
        while they are not.
        """
        ...

    async def transaction(self, signature: Signature, level: Level) -> LandedTransaction | None:
        """A landed transaction at CONFIRMED or FINALIZED."""
        ...

    async def final_transactions(self, signatures: Sequence[Signature]) -> dict[Signature, LandedTransaction]:
        """Of these finalized transactions those that come by one request, perhaps none of them.

        What is missing here proves nothing: `transaction` asks for it.
        """
        ...

    async def simulate(self, raw: bytes, watched: Sequence[Pubkey]) -> Simulation:
        """What a transaction would do now, with a blockhash of the node's own and no signature checked."""
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
