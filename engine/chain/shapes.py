"""The shape of each method's answer and the range of each number in it: what is outside is no answer.

The engine reads its own few fields and leaves the rest alone, so that a node may say more than it does today.
Solana's own documentation of the JSON-RPC methods is the source; https://solana.com/docs/rpc/http.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta

MOST_LAMPORTS = 2 * 10**18
"""Two billion SOL: three times of what there is, and what no account, balance or fee can come to."""
LARGEST_ACCOUNT = 10 * 1024 * 1024
MOST_COMPUTE_UNITS = 1_400_000
MOST_LOG_LINES = 10_000
MOST_ACCOUNTS = 256  # of one transaction: an index has eight bits

R = TypeVar("R")

Slot = Annotated[int, Meta(ge=0, le=2**62)]
Height = Annotated[int, Meta(ge=0, le=2**62)]
Lamports = Annotated[int, Meta(ge=0, le=MOST_LAMPORTS)]
Base58 = Annotated[str, Meta(min_length=32, max_length=90)]
Base64 = Annotated[str, Meta(max_length=4 * (LARGEST_ACCOUNT // 3 + 1))]
TimeS = Annotated[int, Meta(ge=1_500_000_000, le=2**34)]


class Reply(msgspec.Struct, Generic[R], gc=False):
    """What stands around every answer."""

    result: R


class Context(msgspec.Struct, gc=False):
    """The slot for which an answer holds."""

    slot: Slot


class InContext(msgspec.Struct, Generic[R], gc=False):
    """A value at a slot."""

    context: Context
    value: R


class EpochInfo(msgspec.Struct, rename="camel", gc=False):
    """getEpochInfo."""

    absolute_slot: Slot
    block_height: Height


class AccountShape(msgspec.Struct, gc=False):
    """An account as getAccountInfo and getMultipleAccounts tell it; data is text and its encoding."""

    data: tuple[Base64, Literal["base64"]]
    owner: Base58
    lamports: Lamports
    space: Annotated[int, Meta(ge=0, le=LARGEST_ACCOUNT)] | None = None


class BlockhashShape(msgspec.Struct, rename="camel", gc=False):
    """The value of getLatestBlockhash."""

    blockhash: Base58
    last_valid_block_height: Height


class StatusShape(msgspec.Struct, rename="camel"):
    """One status of getSignatureStatuses; `status` repeats `err` in an older way."""

    slot: Slot
    err: Any
    confirmations: Annotated[int, Meta(ge=0, le=2**32)] | None = None
    confirmation_status: Literal["processed", "confirmed", "finalized"] | None = None
    status: Any = None


class LoadedAddresses(msgspec.Struct):
    """Accounts that a transaction names through lookup tables."""

    writable: Annotated[list[Base58], Meta(max_length=MOST_ACCOUNTS)]
    readonly: Annotated[list[Base58], Meta(max_length=MOST_ACCOUNTS)]


class TransactionMeta(msgspec.Struct, rename="camel"):
    """What a landed transaction did."""

    err: Any
    fee: Lamports
    pre_balances: Annotated[list[Lamports], Meta(max_length=MOST_ACCOUNTS)]
    post_balances: Annotated[list[Lamports], Meta(max_length=MOST_ACCOUNTS)]
    log_messages: Annotated[list[str], Meta(max_length=MOST_LOG_LINES)] | None = None
    compute_units_consumed: Annotated[int, Meta(ge=0, le=MOST_COMPUTE_UNITS)] | None = None
    loaded_addresses: LoadedAddresses | None = None


class TransactionShape(msgspec.Struct, rename="camel"):
    """getTransaction in base64."""

    slot: Slot
    transaction: tuple[Annotated[str, Meta(max_length=4096)], Literal["base64"]]
    meta: TransactionMeta | None
    block_time: TimeS | None = None


class SimulationShape(msgspec.Struct, rename="camel"):
    """The value of simulateTransaction."""

    err: Any
    logs: Annotated[list[str], Meta(max_length=MOST_LOG_LINES)] | None = None
    units_consumed: Annotated[int, Meta(ge=0, le=MOST_COMPUTE_UNITS)] | None = None
    accounts: list[AccountShape | None] | None = None


class SignatureRow(msgspec.Struct, gc=False):
    """One row of getSignaturesForAddress."""

    signature: Base58
    slot: Slot


class FeeRow(msgspec.Struct, rename="camel", gc=False):
    """One slot of getRecentPrioritizationFees."""

    slot: Slot
    prioritization_fee: Annotated[int, Meta(ge=0)]  # anybody may offer whatever a u64 holds


Accounts = list[AccountShape | None]
Statuses = list[StatusShape | None]
SignatureRows = list[SignatureRow]
FeeRows = list[FeeRow]
