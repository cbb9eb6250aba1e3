"""Reads a node through the `solana` package: every call has a deadline and one kind of failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from solana.exceptions import SolanaRpcException
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Commitment, Confirmed, Finalized, Processed
from solana.rpc.core import RPCException
from solders.account import Account
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction_status import (
    EncodedConfirmedTransactionWithStatusMeta,
    InstructionErrorCustom,
    TransactionConfirmationStatus,
    TransactionErrorInstructionError,
    TransactionStatus,
)

from engine.chain.port import (
    AccountRead,
    FreshBlockhash,
    LandedTransaction,
    Level,
    PositionSlice,
    RpcFailure,
    SignatureStatus,
    TransactionFault,
)
from engine.chain.snapshot import read_positions

T = TypeVar("T")
R = TypeVar("R")

COMMITMENTS: dict[Level, Commitment] = {
    Level.PROCESSED: Processed,
    Level.CONFIRMED: Confirmed,
    Level.FINALIZED: Finalized,
}
_SNAPSHOT_DEADLINE_S = 300.0
_CONNECTIONS = 64


def read_fault(error: object | None) -> TransactionFault | None:
    """The solders error of a transaction as a TransactionFault, None for success."""
    if error is None:
        return None
    if isinstance(error, TransactionErrorInstructionError):
        inner: object = error.err
        if isinstance(inner, InstructionErrorCustom):
            return TransactionFault("Custom", inner.code)
        return TransactionFault(_variant(inner), None)
    return TransactionFault(_variant(error), None)


def _level(status: TransactionStatus) -> Level:
    """How far a transaction is; a node that leaves the word out has rooted it once it counts no more."""
    word = status.confirmation_status
    if word == TransactionConfirmationStatus.Finalized or (word is None and status.confirmations is None):
        return Level.FINALIZED
    return Level.CONFIRMED if word == TransactionConfirmationStatus.Confirmed else Level.PROCESSED


def _variant(error: object) -> str:
    """The bare variant name of a solders error, whose text is `Type.Variant` or `Type(...)`."""
    text = str(error)
    return text.rsplit(".", 1)[-1].split("(", 1)[0].strip() or type(error).__name__


class RpcReader:
    """One node's answers. Use as an async context manager."""

    def __init__(self, url: str, deadline_s: float) -> None:
        self.url = url
        self._deadline_s = deadline_s
        self._client = AsyncClient(
            url,
            timeout=deadline_s,
            http2=False,
            max_connections=_CONNECTIONS,
            max_keepalive_connections=_CONNECTIONS,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def genesis_hash(self) -> str:
        """The identity of the cluster."""
        return await self._ask(self._client.get_genesis_hash(), lambda answer: str(answer.value))

    async def slot(self) -> int:
        """The current slot at processed."""
        return await self._ask(self._client.get_slot(Processed), lambda answer: answer.value)

    async def block_height(self, level: Level) -> int:
        """The block height at a commitment level."""
        call = self._client.get_block_height(COMMITMENTS[level])
        return await self._ask(call, lambda answer: answer.value)

    async def account(self, address: Pubkey, level: Level = Level.PROCESSED) -> AccountRead:
        """One account."""
        call = self._client.get_account_info(address, COMMITMENTS[level])
        return await self._ask(call, lambda answer: _read_account(answer.value, answer.context.slot))

    async def accounts(self, addresses: Sequence[Pubkey]) -> list[AccountRead]:
        """Up to a hundred accounts at processed, in the order asked for."""
        reads = await self._ask(
            self._client.get_multiple_accounts(list(addresses), Processed),
            lambda answer: [_read_account(account, answer.context.slot) for account in answer.value],
        )
        if len(reads) != len(addresses):
            raise RpcFailure(f"asked for {len(addresses)} accounts, got {len(reads)}")
        return reads

    def position_slices(self, program_id: Pubkey, min_slot: int) -> AsyncIterator[PositionSlice]:
        """Every account of the program that starts with the position discriminator."""
        return read_positions(self.url, program_id, min_slot, _SNAPSHOT_DEADLINE_S)

    async def latest_blockhash(self) -> FreshBlockhash:
        """A blockhash at confirmed."""
        return await self._ask(
            self._client.get_latest_blockhash(Confirmed),
            lambda answer: FreshBlockhash(answer.value.blockhash, answer.value.last_valid_block_height),
        )

    async def statuses(
        self, signatures: Sequence[Signature], *, search_history: bool
    ) -> list[SignatureStatus | None]:
        """The status of each signature, None where the node knows nothing."""
        statuses = await self._ask(
            self._client.get_signature_statuses(list(signatures), search_history),
            lambda answer: [_read_status(status) for status in answer.value],
        )
        if len(statuses) != len(signatures):
            raise RpcFailure(f"asked for {len(signatures)} statuses, got {len(statuses)}")
        return statuses

    async def transaction(self, signature: Signature, level: Level) -> LandedTransaction | None:
        """A landed transaction at CONFIRMED or FINALIZED."""
        return await self._ask(
            self._client.get_transaction(signature, "base64", COMMITMENTS[level], 0),
            lambda answer: None if answer.value is None else _read_transaction(answer.value),
        )

    async def signatures_of(
        self, address: Pubkey, *, before: Signature | None, limit: int
    ) -> list[Signature]:
        """Signatures that name an address, newest first, at finalized."""
        return await self._ask(
            self._client.get_signatures_for_address(
                address, before=before, limit=limit, commitment=Finalized
            ),
            lambda answer: [row.signature for row in answer.value],
        )

    async def balance(self, address: Pubkey) -> int:
        """Lamports of an account at processed."""
        return await self._ask(self._client.get_balance(address, Processed), lambda answer: answer.value)

    async def recent_priority_fees(self, writable: Sequence[Pubkey]) -> list[int]:
        """Recently paid priority fees in micro-lamports per compute unit."""
        return await self._ask(
            self._client.get_recent_prioritization_fees(list(writable)),
            lambda answer: [row.prioritization_fee for row in answer.value],
        )

    async def _ask(self, call: Awaitable[T], read: Callable[[T], R]) -> R:
        """Await one call of the client within the deadline and read it; any way to fail is an RpcFailure."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return read(await call)
        except TimeoutError as error:
            raise RpcFailure(f"timeout after {self._deadline_s:.1f} s", is_timeout=True) from error
        except SolanaRpcException as error:
            cause = error.__cause__
            late = "timeout" in type(cause).__name__.lower()
            name = type(cause).__name__ if cause is not None else _first_line(error)
            raise RpcFailure("timeout" if late else f"node unreachable ({name})", is_timeout=late) from error
        except RPCException as error:
            raise RpcFailure(f"node error: {_first_line(error)}") from error
        except RpcFailure:
            raise
        except Exception as error:
            # The libraries have many ways to choke on an answer; none of them may end the engine.
            raise RpcFailure(f"the node's answer cannot be read: {type(error).__name__}") from error


def _first_line(error: Exception) -> str:
    detail: Any = error.args[0] if error.args else error
    message = getattr(detail, "message", None)
    return str(message if message is not None else detail).split("\n", 1)[0][:200]


def _read_account(account: Account | None, slot: int) -> AccountRead:
    if account is None:
        return AccountRead(None, None, 0, slot)
    return AccountRead(bytes(account.data), account.owner, account.lamports, slot)


def _read_status(status: TransactionStatus | None) -> SignatureStatus | None:
    if status is None:
        return None
    return SignatureStatus(slot=status.slot, level=_level(status), fault=read_fault(status.err))


def _read_transaction(value: EncodedConfirmedTransactionWithStatusMeta) -> LandedTransaction:
    meta = value.transaction.meta
    if meta is None:
        raise RpcFailure("the node has the transaction without its meta")
    keys = list(value.transaction.transaction.message.account_keys)  # type: ignore[union-attr]  # base64 was asked for
    loaded = meta.loaded_addresses
    if loaded is not None:
        keys += [*loaded.writable, *loaded.readonly]
    changes = [post - pre for pre, post in zip(meta.pre_balances, meta.post_balances, strict=True)]
    return LandedTransaction(
        slot=value.slot,
        block_time_s=value.block_time,
        fault=read_fault(meta.err),
        fee_lamports=meta.fee,
        compute_units=meta.compute_units_consumed or 0,
        logs=list(meta.log_messages or []),
        lamports_change=dict(zip(keys, changes, strict=True)),
    )
