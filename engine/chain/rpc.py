"""Reads one node: every call has a deadline and one kind of failure, and says which slot it answers for."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

import msgspec
from msgspec.json import Decoder
from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.chain import shapes
from engine.chain.answers import (
    Absurd,
    read_account,
    read_blockhash,
    read_fees,
    read_hash,
    read_signatures,
    read_simulation,
    read_statuses,
    read_transaction,
)
from engine.chain.jsonrpc import JsonRpc, Session
from engine.chain.port import (
    MIN_CONTEXT_SLOT_NOT_REACHED,
    AccountRead,
    FreshBlockhash,
    LandedTransaction,
    Level,
    LyingNode,
    PositionSlice,
    RpcFailure,
    SignatureStatus,
    Simulation,
)
from engine.chain.snapshot import read_positions

A = TypeVar("A")
R = TypeVar("R")

_COMMITMENTS: Final = {
    Level.PROCESSED: "processed",
    Level.CONFIRMED: "confirmed",
    Level.FINALIZED: "finalized",
}
# Made once: to name one of these shapes takes longer than to read an answer that has it.
_TEXT: Final = Decoder(shapes.Reply[str])
_PROGRESS: Final = Decoder(shapes.Reply[shapes.EpochInfo])
_SLOT: Final = Decoder(shapes.Reply[shapes.Slot])
_HEIGHT: Final = Decoder(shapes.Reply[shapes.Height])
_ACCOUNT: Final = Decoder(shapes.Reply[shapes.InContext[shapes.AccountShape | None]])
_ACCOUNTS: Final = Decoder(shapes.Reply[shapes.InContext[shapes.Accounts]])
_BLOCKHASH: Final = Decoder(shapes.Reply[shapes.InContext[shapes.BlockhashShape]])
_STATUSES: Final = Decoder(shapes.Reply[shapes.InContext[shapes.Statuses]])
_TRANSACTION: Final = Decoder(shapes.Reply[shapes.TransactionShape | None])
_SIMULATION: Final = Decoder(shapes.Reply[shapes.InContext[shapes.SimulationShape]])
_SIGNATURES: Final = Decoder(shapes.Reply[shapes.SignatureRows])
_BALANCE: Final = Decoder(shapes.Reply[shapes.InContext[shapes.Lamports]])
_FEES: Final = Decoder(shapes.Reply[shapes.FeeRows])
_SNAPSHOT_DEADLINE_S = 300.0
_BASE64: Final = "base64"


class Witness(Protocol):
    """Who judges a node by what its answers say; raises RpcFailure for what is not to be believed."""

    def floor(self) -> int | None:
        """The slot that answers at processed must have come to, None when nothing is known."""
        ...

    def saw_slot(self, slot: int, level: Level) -> None:
        """An answer is for this slot."""
        ...

    def saw_progress(self, slot: int, height: int) -> None:
        """An answer at processed gives a slot and the number of blocks up to it."""
        ...

    def saw_height(self, height: int, level: Level) -> None:
        """An answer gives this block height."""
        ...

    def saw_validity(self, last_valid_block_height: int) -> None:
        """A blockhash is said to be valid up to this block height."""
        ...

    def lied(self, what: str) -> RpcFailure:
        """An answer of this node cannot be true; returns the failure to raise."""
        ...


class Trusting:
    """Believes whatever can be true: where a node is the only one, and nothing is decided by it."""

    def floor(self) -> int | None:
        """No floor."""
        return None

    def saw_slot(self, slot: int, level: Level) -> None:
        """Believe it."""

    def saw_progress(self, slot: int, height: int) -> None:
        """Believe it."""

    def saw_height(self, height: int, level: Level) -> None:
        """Believe it."""

    def saw_validity(self, last_valid_block_height: int) -> None:
        """Believe it."""

    def lied(self, what: str) -> RpcFailure:
        """Nobody keeps account of it."""
        return LyingNode("the node", what)


class RpcReader:
    """One node's answers. Use as an async context manager, or give it a session that somebody else closes."""

    def __init__(
        self,
        url: str,
        deadline_s: float,
        session: Session | None = None,
        witness: Witness | None = None,
    ) -> None:
        self.url = url
        self._deadline_s = deadline_s
        self._witness = witness or Trusting()
        self._own_session: Session | None = None
        self._rpc = None if session is None else JsonRpc(url, session)

    async def __aenter__(self) -> Self:
        self._own_session = Session()
        self._rpc = JsonRpc(self.url, self._own_session)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own_session is not None:
            self._own_session.close()

    async def genesis_hash(self, deadline_s: float | None = None) -> str:
        """The identity of the cluster."""

        def read(text: str) -> str:
            return str(read_hash(text))

        return await self._ask("getGenesisHash", [], _TEXT, read, deadline_s)

    async def progress(self, deadline_s: float) -> int:
        """The current slot at processed; the block height beside it is judged too."""

        def read(info: shapes.EpochInfo) -> int:
            if info.block_height > info.absolute_slot:
                raise Absurd(f"{info.block_height} blocks in {info.absolute_slot} slots")
            self._witness.saw_progress(info.absolute_slot, info.block_height)
            return info.absolute_slot

        return await self._ask("getEpochInfo", [_at(Level.PROCESSED)], _PROGRESS, read, deadline_s)

    async def slot(self) -> int:
        """The current slot at processed."""

        def read(slot: int) -> int:
            self._witness.saw_slot(slot, Level.PROCESSED)
            return slot

        return await self._ask("getSlot", [self._fresh()], _SLOT, read)

    async def block_height(self, level: Level) -> int:
        """The block height at a commitment level."""

        def read(height: int) -> int:
            self._witness.saw_height(height, level)
            return height

        return await self._ask("getBlockHeight", [_at(level)], _HEIGHT, read)

    async def account(self, address: Pubkey, level: Level = Level.PROCESSED) -> AccountRead:
        """One account."""
        config = {**(self._fresh() if level is Level.PROCESSED else _at(level)), "encoding": _BASE64}

        def read(answer: shapes.InContext[shapes.AccountShape | None]) -> AccountRead:
            self._witness.saw_slot(answer.context.slot, level)
            return read_account(answer.value, answer.context.slot)

        return await self._ask("getAccountInfo", [str(address), config], _ACCOUNT, read)

    async def accounts(self, addresses: Sequence[Pubkey]) -> list[AccountRead]:
        """Up to a hundred accounts at processed, in the order asked for."""

        def read(answer: shapes.InContext[shapes.Accounts]) -> list[AccountRead]:
            if len(answer.value) != len(addresses):
                raise Absurd(f"{len(answer.value)} accounts where {len(addresses)} were asked for")
            slot = answer.context.slot
            self._witness.saw_slot(slot, Level.PROCESSED)
            return [read_account(account, slot) for account in answer.value]

        names = [str(address) for address in addresses]
        config = {**self._fresh(), "encoding": _BASE64}
        return await self._ask("getMultipleAccounts", [names, config], _ACCOUNTS, read)

    def position_slices(self, program_id: Pubkey, min_slot: int) -> AsyncIterator[PositionSlice]:
        """Every account of the program that starts with the position discriminator."""
        return read_positions(self.url, program_id, min_slot, _SNAPSHOT_DEADLINE_S)

    async def latest_blockhash(self) -> FreshBlockhash:
        """A blockhash at confirmed."""

        def read(answer: shapes.InContext[shapes.BlockhashShape]) -> FreshBlockhash:
            self._witness.saw_slot(answer.context.slot, Level.CONFIRMED)
            self._witness.saw_validity(answer.value.last_valid_block_height)
            return read_blockhash(answer.value)

        return await self._ask("getLatestBlockhash", [_at(Level.CONFIRMED)], _BLOCKHASH, read)

    async def statuses(
        self, signatures: Sequence[Signature], *, search_history: bool, above_height: int | None = None
    ) -> list[SignatureStatus | None]:
        """The status of each signature, None where the node knows nothing."""
        if above_height is not None and await self.block_height(Level.FINALIZED) <= above_height:
            raise RpcFailure(
                f"the node's finalized blocks do not go beyond {above_height} yet",
                code=MIN_CONTEXT_SLOT_NOT_REACHED,
            )
        return (await self.statuses_at(signatures, search_history=search_history))[1]

    async def statuses_at(
        self, signatures: Sequence[Signature], *, search_history: bool, deadline_s: float | None = None
    ) -> tuple[int, list[SignatureStatus | None]]:
        """The slot at which the node says so, and the status of each signature."""

        def read(answer: shapes.InContext[shapes.Statuses]) -> tuple[int, list[SignatureStatus | None]]:
            self._witness.saw_slot(answer.context.slot, Level.PROCESSED)
            return answer.context.slot, read_statuses(answer.value, answer.context.slot, len(signatures))

        config = {"searchTransactionHistory": search_history}
        names = [str(signature) for signature in signatures]
        return await self._ask("getSignatureStatuses", [names, config], _STATUSES, read, deadline_s)

    async def transaction(self, signature: Signature, level: Level) -> LandedTransaction | None:
        """A landed transaction at CONFIRMED or FINALIZED."""
        read = partial(self._landed, signature, level)
        params = _transaction_at(level, signature)
        return await self._ask("getTransaction", params, _TRANSACTION, read)

    async def transactions(
        self, signatures: Sequence[Signature], level: Level
    ) -> dict[Signature, LandedTransaction]:
        """Those of these landed transactions that the node tells by one request."""
        many = [_transaction_at(level, signature) for signature in signatures]
        answers = await self._line().call_many("getTransaction", many, self._deadline_s)
        told: dict[Signature, LandedTransaction] = {}
        for signature, answer in zip(signatures, answers, strict=True):
            if isinstance(answer, RpcFailure):
                continue
            read = partial(self._landed, signature, level)
            landed = self._read("getTransaction", answer, _TRANSACTION, read)
            if landed is not None:
                told[signature] = landed
            await asyncio.sleep(0)  # to read one takes as long as to send one
        return told

    def _landed(
        self, signature: Signature, level: Level, value: shapes.TransactionShape | None
    ) -> LandedTransaction | None:
        if value is None:
            return None
        self._witness.saw_slot(value.slot, level)
        return read_transaction(value, signature)

    async def simulate(self, raw: bytes, watched: Sequence[Pubkey]) -> Simulation:
        """What a transaction would do now, with a blockhash of the node's own and no signature checked."""
        config = {
            **self._fresh(),
            "encoding": _BASE64,
            "sigVerify": False,
            "replaceRecentBlockhash": True,
            "accounts": {"encoding": _BASE64, "addresses": [str(address) for address in watched]},
        }

        def read(answer: shapes.InContext[shapes.SimulationShape]) -> Simulation:
            self._witness.saw_slot(answer.context.slot, Level.PROCESSED)
            return read_simulation(answer.value, answer.context.slot, len(watched))

        return await self._ask("simulateTransaction", [b64encode(raw).decode(), config], _SIMULATION, read)

    async def signatures_of(
        self, address: Pubkey, *, before: Signature | None, limit: int
    ) -> list[Signature]:
        """Signatures that name an address, newest first, at finalized."""
        config = {**_at(Level.FINALIZED), "limit": limit}
        if before is not None:
            config["before"] = str(before)

        def read(rows: shapes.SignatureRows) -> list[Signature]:
            for row in rows[:1]:
                self._witness.saw_slot(row.slot, Level.FINALIZED)
            return read_signatures(rows, before, limit)

        return await self._ask("getSignaturesForAddress", [str(address), config], _SIGNATURES, read)

    async def balance(self, address: Pubkey) -> int:
        """Lamports of an account at processed."""

        def read(answer: shapes.InContext[shapes.Lamports]) -> int:
            self._witness.saw_slot(answer.context.slot, Level.PROCESSED)
            return answer.value

        return await self._ask("getBalance", [str(address), self._fresh()], _BALANCE, read)

    async def recent_priority_fees(self, writable: Sequence[Pubkey]) -> list[int]:
        """Recently paid priority fees in micro-lamports per compute unit."""
        names = [str(address) for address in writable]
        return await self._ask("getRecentPrioritizationFees", [names], _FEES, read_fees)

    async def _ask(
        self,
        method: str,
        params: Sequence[Any],
        decoder: Decoder[shapes.Reply[A]],
        read: Callable[[A], R],
        deadline_s: float | None = None,
    ) -> R:
        """One call within the deadline, read; any way to fail is an RpcFailure, a lie is a LyingNode."""
        answer = await self._line().call(method, params, deadline_s or self._deadline_s)
        return self._read(method, answer, decoder, read)

    def _line(self) -> JsonRpc:
        if self._rpc is None:
            raise RuntimeError("RpcReader is used outside of its context")
        return self._rpc

    def _read(
        self, method: str, answer: bytes, decoder: Decoder[shapes.Reply[A]], read: Callable[[A], R]
    ) -> R:
        try:
            result = decoder.decode(answer).result
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise self._witness.lied(f"its answer to {method} is none that there can be") from None
        try:
            return read(result)
        except Absurd as absurd:
            raise self._witness.lied(f"its answer to {method} holds {absurd}") from None

    def _fresh(self) -> dict[str, Any]:
        """At processed, by a node that has come as far as is known to be possible."""
        floor = self._witness.floor()
        config = _at(Level.PROCESSED)
        return config if floor is None else {**config, "minContextSlot": floor}


def _at(level: Level) -> dict[str, Any]:
    return {"commitment": _COMMITMENTS[level]}


def _transaction_at(level: Level, signature: Signature) -> list[Any]:
    return [str(signature), {**_at(level), "encoding": _BASE64, "maxSupportedTransactionVersion": 0}]
