"""What a node's answers say, in the engine's own types, or that no honest node can have said it.

A reader here takes an answer of the right shape (engine.chain.shapes) and holds it against what was asked and
against itself. It raises Absurd, whose text is ours: nothing that a node wrote is repeated in it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from itertools import pairwise

from solders.compute_budget import ID as COMPUTE_BUDGET_PROGRAM
from solders.hash import Hash, ParseHashError
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from engine.chain.port import (
    AccountRead,
    FreshBlockhash,
    LandedTransaction,
    Level,
    SignatureStatus,
    Simulation,
    TransactionFault,
)
from engine.chain.shapes import (
    LARGEST_ACCOUNT,
    AccountShape,
    BlockhashShape,
    FeeRow,
    SignatureRow,
    SimulationShape,
    StatusShape,
    TransactionMeta,
    TransactionShape,
)

BASE_FEE_LIMIT_LAMPORTS = 50_000
"""Per signature; ten times today's base fee, should the cluster ever raise it."""
_LEVELS = {"processed": Level.PROCESSED, "confirmed": Level.CONFIRMED, "finalized": Level.FINALIZED}
_FAULT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_U32, _U64 = 2**32, 2**64
_SET_UNIT_LIMIT, _SET_UNIT_PRICE = 2, 3  # instructions of the compute budget program
_MOST_UNITS = 1_400_000


class Absurd(Exception):
    """An answer that cannot be true; the message says why, in words of ours."""


def read_hash(text: str) -> Hash:
    """A base58 hash of 32 bytes that stands for something."""
    try:
        value = Hash.from_string(text)
    except ParseHashError:
        raise Absurd("a hash that is not 32 bytes of base58") from None
    if value == Hash.default():
        raise Absurd("a hash of nothing but zeros")
    return value


def read_blockhash(value: BlockhashShape) -> FreshBlockhash:
    """A blockhash with the last block in which it is valid."""
    return FreshBlockhash(read_hash(value.blockhash), value.last_valid_block_height)


def read_account(account: AccountShape | None, slot: int) -> AccountRead:
    """An account at a slot, absent or not."""
    if account is None:
        return AccountRead(None, None, 0, slot)
    data = _bytes(account.data[0])
    if len(data) > LARGEST_ACCOUNT:
        raise Absurd(f"an account of {len(data)} bytes")
    if account.space is not None and account.space != len(data):
        raise Absurd(f"an account of {account.space} bytes with {len(data)} bytes of data")
    return AccountRead(data, _pubkey(account.owner), account.lamports, slot)


def read_statuses(
    statuses: Sequence[StatusShape | None], slot: int, count: int
) -> list[SignatureStatus | None]:
    """The statuses of `count` signatures, as told at a slot; None where the node knows none."""
    if len(statuses) != count:
        raise Absurd(f"{len(statuses)} statuses where {count} were asked for")
    return [None if status is None else _status(status, slot) for status in statuses]


def _status(status: StatusShape, slot: int) -> SignatureStatus:
    if status.slot > slot:
        raise Absurd(f"at slot {slot} the status of a transaction in slot {status.slot}")
    fault = read_fault(status.err)
    if isinstance(status.status, dict) and "Ok" in status.status and fault is not None:
        raise Absurd("a status that is both a success and a failure")
    if status.confirmation_status is None:
        # A node that leaves the word out has rooted the slot once it counts confirmations no more.
        level = Level.FINALIZED if status.confirmations is None else Level.PROCESSED
    else:
        level = _LEVELS[status.confirmation_status]
    return SignatureStatus(status.slot, level, fault)


def read_fault(error: object) -> TransactionFault | None:
    """The error of a transaction as the runtime words it, None for success."""
    if error is None:
        return None
    name, detail = _variant(error)
    if name != "InstructionError":
        return TransactionFault(name, None)
    if not isinstance(detail, list) or len(detail) != 2:
        raise Absurd("an instruction's error that names no instruction")
    inner, code = _variant(detail[1])
    if inner != "Custom":
        return TransactionFault(inner, None)
    if type(code) is not int or not 0 <= code < _U32:
        raise Absurd("a program's error without its number")
    return TransactionFault("Custom", code)


def _variant(error: object) -> tuple[str, object]:
    """An enum as serde writes it: a name alone, or a name with what belongs to it."""
    name, detail = error, None
    if isinstance(error, dict) and len(error) == 1:
        ((name, detail),) = error.items()
    if not isinstance(name, str) or not _FAULT_NAME.fullmatch(name):
        raise Absurd("a transaction's error that is none")
    return name, detail


def read_transaction(value: TransactionShape, asked: Signature) -> LandedTransaction:
    """The transaction of a signature. The signature itself proves that this is what was signed."""
    try:
        transaction = VersionedTransaction.from_bytes(_bytes(value.transaction[0]))
    except ValueError:
        raise Absurd("a transaction that is none") from None
    if not transaction.signatures or transaction.signatures[0] != asked:
        raise Absurd("the transaction of another signature")
    if not all(_verified(transaction)):
        raise Absurd("a transaction that its signers did not sign")
    if value.meta is None:
        raise Absurd("a transaction without its effects")
    keys = _keys(transaction, value.meta)
    changes = _balance_changes(value.meta, len(keys))
    most = most_lamports(transaction)
    if value.meta.fee > most:
        raise Absurd(f"a fee of {value.meta.fee} lamports for a transaction that may pay {most}")
    if sum(changes) > -value.meta.fee:
        raise Absurd("a transaction that makes lamports out of nothing")
    return LandedTransaction(
        slot=value.slot,
        block_time_s=value.block_time,
        fault=read_fault(value.meta.err),
        fee_lamports=value.meta.fee,
        compute_units=value.meta.compute_units_consumed or 0,
        logs=value.meta.log_messages or [],
        lamports_change=dict(zip(keys, changes, strict=True)),
        signers=tuple(keys[: transaction.message.header.num_required_signatures]),
    )


def read_simulation(value: SimulationShape, slot: int, watched: int) -> Simulation:
    """What a transaction would do; a success shows each of the watched accounts."""
    fault = read_fault(value.err)
    accounts = [] if fault is not None else value.accounts or []
    if fault is None and len(accounts) != watched:
        raise Absurd(f"{len(accounts)} accounts where {watched} were asked for")
    return Simulation(
        slot=slot,
        fault=fault,
        compute_units=value.units_consumed or 0,
        logs=value.logs or [],
        accounts=[read_account(account, slot) for account in accounts],
    )


def _verified(transaction: VersionedTransaction) -> Sequence[bool]:
    try:
        return transaction.verify_with_results()
    except ValueError:  # fewer keys than signatures
        return [False]


def _keys(transaction: VersionedTransaction, meta: TransactionMeta) -> list[Pubkey]:
    keys = list(transaction.message.account_keys)
    if meta.loaded_addresses is not None:
        keys += map(_pubkey, [*meta.loaded_addresses.writable, *meta.loaded_addresses.readonly])
    return keys


def _balance_changes(meta: TransactionMeta, accounts: int) -> list[int]:
    if not len(meta.pre_balances) == len(meta.post_balances) == accounts:
        raise Absurd(
            f"{len(meta.pre_balances)} and {len(meta.post_balances)} balances of {accounts} accounts"
        )
    return [after - before for before, after in zip(meta.pre_balances, meta.post_balances, strict=True)]


def most_lamports(transaction: VersionedTransaction) -> int:
    """The highest fee that a transaction can be charged: by its signatures and by what it offers itself."""
    return len(transaction.signatures) * BASE_FEE_LIMIT_LAMPORTS + priority_lamports(transaction)


def priority_lamports(transaction: VersionedTransaction) -> int:
    """What a transaction offers above the base fee."""
    units, price = _MOST_UNITS, 0
    keys = transaction.message.account_keys
    for instruction in transaction.message.instructions:
        data = bytes(instruction.data)
        if instruction.program_id_index >= len(keys) or not data:
            continue
        if keys[instruction.program_id_index] == COMPUTE_BUDGET_PROGRAM:
            if data[0] == _SET_UNIT_LIMIT:
                units = min(_MOST_UNITS, int.from_bytes(data[1:5], "little"))
            elif data[0] == _SET_UNIT_PRICE:
                price = int.from_bytes(data[1:9], "little")
    return -(-units * price // 10**6)


def read_signatures(rows: Sequence[SignatureRow], before: Signature | None, limit: int) -> list[Signature]:
    """Signatures of an address, newest first, none of them twice and none that was asked to be left out."""
    if len(rows) > limit:
        raise Absurd(f"{len(rows)} signatures where {limit} were asked for")
    if any(earlier.slot < later.slot for earlier, later in pairwise(rows)):
        raise Absurd("signatures that are not ordered by slot")
    signatures = [_signature(row.signature) for row in rows]
    if len(set(signatures)) < len(signatures) or before in signatures:
        raise Absurd("a signature twice")
    return signatures


def read_fees(rows: Sequence[FeeRow]) -> list[int]:
    """Priority fees in micro-lamports for a compute unit; each is what somebody offered, so a u64."""
    if any(row.prioritization_fee >= _U64 for row in rows):
        raise Absurd("a priority fee that does not fit its field")
    return [row.prioritization_fee for row in rows]


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Absurd("data that is not base64") from None


def _pubkey(text: str) -> Pubkey:
    try:
        return Pubkey.from_string(text)
    except ValueError:
        raise Absurd("an address that is not 32 bytes of base58") from None


def _signature(text: str) -> Signature:
    try:
        return Signature.from_string(text)
    except ValueError:
        raise Absurd("a signature that is not 64 bytes of base58") from None
