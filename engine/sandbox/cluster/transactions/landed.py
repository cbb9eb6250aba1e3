"""A transaction in a block, and the compact form in which many of them are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import zstandard
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction_metadata import TransactionMetadata

from engine.sandbox.cluster.transactions.token_balances import TokenBalance
from engine.sandbox.cluster.transactions.transaction_accounts import TransactionAccounts, with_loaded
from engine.sandbox.cluster.transactions.transaction_faults import Fault
from engine.sandbox.cluster.transactions.wire_transaction import WireTransaction, decode_transaction

_ADDRESS_BYTES = 32
_COMPRESSOR = zstandard.ZstdCompressor(level=1)
_DECOMPRESSOR = zstandard.ZstdDecompressor()


@dataclass(frozen=True, slots=True)
class LandedTransaction:
    """A transaction in a block, succeeded or not; its fee is paid. Balances follow `accounts.every`."""

    signature: Signature
    slot: int
    block_time_s: int
    wire: WireTransaction
    accounts: TransactionAccounts
    fault: Fault | None
    pre_balances: list[int]
    post_balances: list[int]
    metadata: TransactionMetadata
    pre_token_balances: Sequence[TokenBalance] = ()
    post_token_balances: Sequence[TokenBalance] = ()

    @property
    def fee_lamports(self) -> int:
        """What the payer paid: base fee of its signatures plus priority fee."""
        return self.metadata.fee()


class _Packed(msgspec.Struct, array_like=True):
    raw: bytes
    slot: int
    block_time_s: int
    loaded_writable: bytes
    loaded_readonly: bytes
    fault: Fault | None
    pre_balances: list[int]
    post_balances: list[int]
    metadata: bytes
    pre_token_balances: list[_PackedTokens]
    post_token_balances: list[_PackedTokens]


class _PackedTokens(msgspec.Struct, array_like=True):
    account_index: int
    mint: bytes
    owner: bytes
    program_id: bytes
    amount: int
    decimals: int


_PACKER = msgspec.msgpack.Encoder()
_UNPACKER = msgspec.msgpack.Decoder(_Packed)
_CHUNK_UNPACKER = msgspec.msgpack.Decoder(list[bytes])


def pack(transactions: Sequence[LandedTransaction]) -> bytes:
    """Transactions in one compressed piece, in which neighbours cost little as they resemble each other."""
    records = _PACKER.encode([_PACKER.encode(_packed(landed)) for landed in transactions])
    # The compressor's own bytes occupy what the worst case would have needed; their copy does not.
    return bytes(memoryview(_COMPRESSOR.compress(records)))


def open_chunk(chunk: bytes) -> list[bytes]:
    """The records of a piece that `pack` made, each for `unpack`."""
    return _CHUNK_UNPACKER.decode(_DECOMPRESSOR.decompress(chunk))


def unpack(record: bytes) -> LandedTransaction:
    """The transaction of a record."""
    packed = _UNPACKER.decode(record)
    wire = decode_transaction(packed.raw)
    return LandedTransaction(
        signature=wire.signature,
        slot=packed.slot,
        block_time_s=packed.block_time_s,
        wire=wire,
        accounts=with_loaded(
            wire.message, _addresses(packed.loaded_writable), _addresses(packed.loaded_readonly)
        ),
        fault=packed.fault,
        pre_balances=packed.pre_balances,
        post_balances=packed.post_balances,
        metadata=TransactionMetadata.from_bytes(packed.metadata),
        pre_token_balances=[_unpacked_tokens(each) for each in packed.pre_token_balances],
        post_token_balances=[_unpacked_tokens(each) for each in packed.post_token_balances],
    )


def _packed(landed: LandedTransaction) -> _Packed:
    return _Packed(
        raw=landed.wire.raw,
        slot=landed.slot,
        block_time_s=landed.block_time_s,
        loaded_writable=b"".join(map(bytes, landed.accounts.loaded_writable)),
        loaded_readonly=b"".join(map(bytes, landed.accounts.loaded_readonly)),
        fault=landed.fault,
        pre_balances=landed.pre_balances,
        post_balances=landed.post_balances,
        metadata=bytes(landed.metadata),
        pre_token_balances=[_packed_tokens(each) for each in landed.pre_token_balances],
        post_token_balances=[_packed_tokens(each) for each in landed.post_token_balances],
    )


def _packed_tokens(balance: TokenBalance) -> _PackedTokens:
    return _PackedTokens(
        balance.account_index,
        bytes(balance.mint),
        bytes(balance.owner),
        bytes(balance.program_id),
        balance.amount,
        balance.decimals,
    )


def _unpacked_tokens(packed: _PackedTokens) -> TokenBalance:
    return TokenBalance(
        account_index=packed.account_index,
        mint=Pubkey.from_bytes(packed.mint),
        owner=Pubkey.from_bytes(packed.owner),
        program_id=Pubkey.from_bytes(packed.program_id),
        amount=packed.amount,
        decimals=packed.decimals,
    )


def _addresses(joined: bytes) -> list[Pubkey]:
    return [
        Pubkey.from_bytes(joined[start : start + _ADDRESS_BYTES])
        for start in range(0, len(joined), _ADDRESS_BYTES)
    ]
