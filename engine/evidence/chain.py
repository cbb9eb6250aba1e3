"""Every finalized liquidation of a wallet, as a node's history has it.

A transaction counts when one of its own instructions calls liquidate_full or liquidate_partial of the
program; its amounts come from the program's event, the lamports from the balances before and after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Finalized
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from solders.transaction_status import (
    EncodedConfirmedTransactionWithStatusMeta,
    InstructionErrorCustom,
    TransactionErrorInstructionError,
    UiTransactionStatusMeta,
)

from engine.errors import RpcUnreachable
from engine.evidence.nodes import PARALLEL_READS, PATIENCE_S, EvidenceNodes
from engine.protocol.addresses import insurance_fund_address
from engine.protocol.events import LiquidationEvent, read_events
from engine.protocol.instructions import LiquidationCall, Name, instruction_name, read_liquidation

PAGE = 1000
_OPENINGS = (Name.OPEN_POSITION, Name.CREATE_POSITION)


@dataclass(frozen=True, slots=True)
class LandedLiquidation:
    """One finalized transaction that liquidates; `event` is None when it failed. Amounts in lamports."""

    signature: Signature
    slot: int
    call: LiquidationCall
    succeeded: bool
    error_code: int | None
    event: LiquidationEvent | None
    fee_lamports: int
    covered_lamports: int


class ChainEvidence:
    """Reads of the cluster at finalized. An async context manager; every call may raise RpcUnreachable."""

    def __init__(self, rpc_urls: Sequence[str], program_id: Pubkey, patience_s: float = PATIENCE_S) -> None:
        self._program_id = program_id
        self._fund = insurance_fund_address(program_id)
        self._nodes = EvidenceNodes(rpc_urls, patience_s)
        self._reads = asyncio.Semaphore(PARALLEL_READS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._nodes.__aexit__(kind, error, trace)

    async def genesis_hash(self) -> str:
        """The identity of the cluster; from now on no node of another one is asked."""
        return await self._nodes.meet()

    async def block_height(self) -> int:
        """The finalized block height: what was valid only up to a lower one cannot land any more."""
        return (await self._nodes.ask(lambda node: node.get_block_height(Finalized))).value

    async def liquidations_of(self, wallet: Pubkey) -> list[LandedLiquidation]:
        """Every liquidation in the wallet's whole finalized history, oldest first."""
        return await self.liquidations(await self._signatures_of(wallet))

    async def liquidations(self, signatures: Sequence[Signature]) -> list[LandedLiquidation]:
        """Those of the signatures that are finalized liquidations, oldest first."""
        found = await asyncio.gather(*(self._liquidation(signature) for signature in signatures))
        return sorted((each for each in found if each is not None), key=lambda landed: landed.slot)

    async def was_opened_between(self, position: Pubkey, after_slot: int, until_slot: int) -> bool:
        """Whether the position was opened anew after one slot and not later than another."""
        answers = await asyncio.gather(
            *(self._transaction(signature) for signature in await self._signatures_of(position))
        )
        return any(
            answer is not None and after_slot <= answer.slot <= until_slot and self._opens(answer, position)
            for answer in answers
        )

    async def _signatures_of(self, address: Pubkey) -> list[Signature]:
        """All pages of one node: another one may not know where the last page ended."""

        async def pages(node: AsyncClient) -> list[Signature]:
            found: list[Signature] = []
            while True:
                page = await node.get_signatures_for_address(
                    address, before=found[-1] if found else None, limit=PAGE, commitment=Finalized
                )
                found += [row.signature for row in page.value]
                if len(page.value) < PAGE:
                    return found

        return await self._nodes.ask(pages)

    async def _liquidation(self, signature: Signature) -> LandedLiquidation | None:
        answer = await self._transaction(signature)
        if answer is None or answer.transaction.meta is None:
            return None
        meta = answer.transaction.meta
        keys, instructions = _program_calls(answer, self._program_id)
        calls = [read_liquidation(data, accounts) for data, accounts in instructions]
        call = next((call for call in calls if call is not None), None)
        if call is None:
            return None
        events = read_events(meta.log_messages or []) if meta.err is None else []
        return LandedLiquidation(
            signature=signature,
            slot=answer.slot,
            call=call,
            succeeded=meta.err is None,
            error_code=_custom_code(meta),
            event=next(
                (e for e in events if isinstance(e, LiquidationEvent) and e.position == call.position), None
            ),
            fee_lamports=meta.fee,
            covered_lamports=max(0, -_lamports_change(meta, keys, self._fund)),
        )

    def _opens(self, answer: EncodedConfirmedTransactionWithStatusMeta, position: Pubkey) -> bool:
        meta = answer.transaction.meta
        if meta is None or meta.err is not None:
            return False
        _, instructions = _program_calls(answer, self._program_id)
        return any(
            instruction_name(data) in _OPENINGS and accounts[:1] == [position]
            for data, accounts in instructions
        )

    async def _transaction(self, signature: Signature) -> EncodedConfirmedTransactionWithStatusMeta | None:
        async with self._reads:
            answer = await self._nodes.ask(
                lambda node: node.get_transaction(signature, "base64", Finalized, 0)
            )
        return answer.value


def _program_calls(
    answer: EncodedConfirmedTransactionWithStatusMeta, program_id: Pubkey
) -> tuple[list[Pubkey], list[tuple[bytes, list[Pubkey]]]]:
    """A transaction's account keys, and data and accounts of each of its instructions for the program."""
    transaction = answer.transaction.transaction
    if not isinstance(transaction, VersionedTransaction):
        raise RpcUnreachable(
            "The RPC node sent a transaction that was not asked for: use another SOLANA_RPC_URL"
        )
    keys = list(transaction.message.account_keys)
    meta = answer.transaction.meta
    if meta is not None and meta.loaded_addresses is not None:
        keys += [*meta.loaded_addresses.writable, *meta.loaded_addresses.readonly]
    calls = [
        (bytes(instruction.data), [keys[index] for index in bytes(instruction.accounts)])
        for instruction in transaction.message.instructions
        if keys[instruction.program_id_index] == program_id
    ]
    return keys, calls


def _custom_code(meta: UiTransactionStatusMeta) -> int | None:
    error = meta.err
    if isinstance(error, TransactionErrorInstructionError) and isinstance(error.err, InstructionErrorCustom):
        return error.err.code
    return None


def _lamports_change(meta: UiTransactionStatusMeta, keys: Sequence[Pubkey], account: Pubkey) -> int:
    """What the transaction did to an account's lamports, 0 when it does not name it."""
    if account not in keys:
        return 0
    index = list(keys).index(account)
    return meta.post_balances[index] - meta.pre_balances[index]
