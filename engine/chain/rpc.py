"""Reads one node: every call has a deadline and one kind of failure, and says which slot it answers for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

import aiohttp
from solders.pubkey import Pubkey
from solders.rpc.responses import (
    GetAccountInfoResp,
    GetBalanceResp,
    GetBlockHeightResp,
    GetEpochInfoResp,
    GetGenesisHashResp,
    GetLatestBlockhashResp,
    GetMultipleAccountsResp,
    GetRecentPrioritizationFeesResp,
    GetSignaturesForAddressResp,
    GetSignatureStatusesResp,
    GetSlotResp,
    GetTransactionResp,
)
from solders.signature import Signature

from engine.chain.answers import read_account, read_status, read_transaction
from engine.chain.jsonrpc import JsonRpc, open_session
from engine.chain.port import (
    MIN_CONTEXT_SLOT_NOT_REACHED,
    AccountRead,
    FreshBlockhash,
    LandedTransaction,
    Level,
    PositionSlice,
    RpcFailure,
    SignatureStatus,
)
from engine.chain.snapshot import read_positions

P = TypeVar("P")
R = TypeVar("R")

_COMMITMENTS: Final = {
    Level.PROCESSED: "processed",
    Level.CONFIRMED: "confirmed",
    Level.FINALIZED: "finalized",
}
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

    def saw_height(self, height: int, level: Level) -> None:
        """An answer gives this block height."""
        ...

    def saw_validity(self, last_valid_block_height: int) -> None:
        """A blockhash is said to be valid up to this block height."""
        ...


class Trusting:
    """Believes a node whatever it says: where it is the only one, and nothing is decided by it."""

    def floor(self) -> int | None:
        """No floor."""
        return None

    def saw_slot(self, slot: int, level: Level) -> None:
        """Believe it."""

    def saw_height(self, height: int, level: Level) -> None:
        """Believe it."""

    def saw_validity(self, last_valid_block_height: int) -> None:
        """Believe it."""


class RpcReader:
    """One node's answers. Use as an async context manager, or give it a session that somebody else closes."""

    def __init__(
        self,
        url: str,
        deadline_s: float,
        session: aiohttp.ClientSession | None = None,
        witness: Witness | None = None,
    ) -> None:
        self.url = url
        self._deadline_s = deadline_s
        self._witness = witness or Trusting()
        self._own_session: aiohttp.ClientSession | None = None
        self._rpc = None if session is None else JsonRpc(url, session)

    async def __aenter__(self) -> Self:
        self._own_session = open_session()
        self._rpc = JsonRpc(self.url, self._own_session)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own_session is not None:
            await self._own_session.close()

    async def genesis_hash(self, deadline_s: float | None = None) -> str:
        """The identity of the cluster."""

        def read(text: str) -> str:
            return str(_parsed(GetGenesisHashResp, text).value)

        return await self._ask("getGenesisHash", [], read, deadline_s)

    async def progress(self, deadline_s: float) -> int:
        """The current slot at processed; the block height beside it is judged too."""

        def read(text: str) -> int:
            info = _parsed(GetEpochInfoResp, text).value
            self._witness.saw_slot(info.absolute_slot, Level.PROCESSED)
            self._witness.saw_height(info.block_height, Level.PROCESSED)
            return info.absolute_slot

        return await self._ask("getEpochInfo", [_at(Level.PROCESSED)], read, deadline_s)

    async def slot(self) -> int:
        """The current slot at processed."""

        def read(text: str) -> int:
            slot = _parsed(GetSlotResp, text).value
            self._witness.saw_slot(slot, Level.PROCESSED)
            return slot

        return await self._ask("getSlot", [self._fresh()], read)

    async def block_height(self, level: Level) -> int:
        """The block height at a commitment level."""

        def read(text: str) -> int:
            height = _parsed(GetBlockHeightResp, text).value
            self._witness.saw_height(height, level)
            return height

        return await self._ask("getBlockHeight", [_at(level)], read)

    async def account(self, address: Pubkey, level: Level = Level.PROCESSED) -> AccountRead:
        """One account."""
        config = {**(self._fresh() if level is Level.PROCESSED else _at(level)), "encoding": _BASE64}

        def read(text: str) -> AccountRead:
            answer = _parsed(GetAccountInfoResp, text)
            self._witness.saw_slot(answer.context.slot, level)
            return read_account(answer.value, answer.context.slot)

        return await self._ask("getAccountInfo", [str(address), config], read)

    async def accounts(self, addresses: Sequence[Pubkey]) -> list[AccountRead]:
        """Up to a hundred accounts at processed, in the order asked for."""

        def read(text: str) -> list[AccountRead]:
            answer = _parsed(GetMultipleAccountsResp, text)
            if len(answer.value) != len(addresses):
                raise RpcFailure(f"asked for {len(addresses)} accounts, got {len(answer.value)}")
            slot = answer.context.slot
            self._witness.saw_slot(slot, Level.PROCESSED)
            return [read_account(account, slot) for account in answer.value]

        names = [str(address) for address in addresses]
        return await self._ask("getMultipleAccounts", [names, {**self._fresh(), "encoding": _BASE64}], read)

    def position_slices(self, program_id: Pubkey, min_slot: int) -> AsyncIterator[PositionSlice]:
        """Every account of the program that starts with the position discriminator."""
        return read_positions(self.url, program_id, min_slot, _SNAPSHOT_DEADLINE_S)

    async def latest_blockhash(self) -> FreshBlockhash:
        """A blockhash at confirmed."""

        def read(text: str) -> FreshBlockhash:
            answer = _parsed(GetLatestBlockhashResp, text)
            self._witness.saw_slot(answer.context.slot, Level.CONFIRMED)
            self._witness.saw_validity(answer.value.last_valid_block_height)
            return FreshBlockhash(answer.value.blockhash, answer.value.last_valid_block_height)

        return await self._ask("getLatestBlockhash", [_at(Level.CONFIRMED)], read)

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
        self, signatures: Sequence[Signature], *, search_history: bool
    ) -> tuple[int, list[SignatureStatus | None]]:
        """The slot at which the node says so, and the status of each signature."""

        def read(text: str) -> tuple[int, list[SignatureStatus | None]]:
            answer = _parsed(GetSignatureStatusesResp, text)
            if len(answer.value) != len(signatures):
                raise RpcFailure(f"asked for {len(signatures)} statuses, got {len(answer.value)}")
            self._witness.saw_slot(answer.context.slot, Level.PROCESSED)
            return answer.context.slot, [read_status(status) for status in answer.value]

        config = {"searchTransactionHistory": search_history}
        names = [str(signature) for signature in signatures]
        return await self._ask("getSignatureStatuses", [names, config], read)

    async def transaction(self, signature: Signature, level: Level) -> LandedTransaction | None:
        """A landed transaction at CONFIRMED or FINALIZED."""

        def read(text: str) -> LandedTransaction | None:
            value = _parsed(GetTransactionResp, text).value
            return None if value is None else read_transaction(value)

        config = {**_at(level), "encoding": _BASE64, "maxSupportedTransactionVersion": 0}
        return await self._ask("getTransaction", [str(signature), config], read)

    async def signatures_of(
        self, address: Pubkey, *, before: Signature | None, limit: int
    ) -> list[Signature]:
        """Signatures that name an address, newest first, at finalized."""
        config = {**_at(Level.FINALIZED), "limit": limit}
        if before is not None:
            config["before"] = str(before)
        return await self._ask(
            "getSignaturesForAddress",
            [str(address), config],
            lambda text: [row.signature for row in _parsed(GetSignaturesForAddressResp, text).value],
        )

    async def balance(self, address: Pubkey) -> int:
        """Lamports of an account at processed."""

        def read(text: str) -> int:
            answer = _parsed(GetBalanceResp, text)
            self._witness.saw_slot(answer.context.slot, Level.PROCESSED)
            return answer.value

        return await self._ask("getBalance", [str(address), self._fresh()], read)

    async def recent_priority_fees(self, writable: Sequence[Pubkey]) -> list[int]:
        """Recently paid priority fees in micro-lamports per compute unit."""
        return await self._ask(
            "getRecentPrioritizationFees",
            [[str(address) for address in writable]],
            lambda text: [
                row.prioritization_fee for row in _parsed(GetRecentPrioritizationFeesResp, text).value
            ],
        )

    async def _ask(
        self, method: str, params: Sequence[Any], read: Callable[[str], R], deadline_s: float | None = None
    ) -> R:
        """One call within the deadline, read; any way to fail is an RpcFailure."""
        if self._rpc is None:
            raise RuntimeError("RpcReader is used outside of its context")
        answer = await self._rpc.call(method, params, deadline_s or self._deadline_s)
        try:
            return read(answer.decode())
        except RpcFailure:
            raise
        except Exception as error:
            # The libraries have many ways to choke on an answer; none of them may end the engine.
            raise RpcFailure(f"the node's answer cannot be read: {type(error).__name__}") from error

    def _fresh(self) -> dict[str, Any]:
        """At processed, by a node that has come as far as is known to be possible."""
        floor = self._witness.floor()
        config = _at(Level.PROCESSED)
        return config if floor is None else {**config, "minContextSlot": floor}


def _at(level: Level) -> dict[str, Any]:
    return {"commitment": _COMMITMENTS[level]}


def _parsed(kind: type[P], text: str) -> P:
    """The answer as solders reads it; an error in its place has been raised before."""
    answer = kind.from_json(text)  # type: ignore[attr-defined]  # every response of solders has it
    if not isinstance(answer, kind):
        raise RpcFailure(f"the node's answer cannot be read: {type(answer).__name__}")
    return answer
