"""The vote accounts on chain: what clients made by the vote program, for validators of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from solders.account import Account
from solders.pubkey import Pubkey

from engine.sandbox.cluster.blocks.banks import Commitment
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.parsed.byte_reader import ByteReader, Unparsable

VOTE_PROGRAM = Pubkey.from_string("Vote111111111111111111111111111111111111111")
# The fourth version of the vote state, which this machine's vote program writes.
_VOTE_STATE_V4 = 3
_COLLECTORS_BYTES = 64
_BLS_KEY_BYTES = 48
_VOTE_BYTES = 13


@dataclass(frozen=True, slots=True)
class VoteAccount:
    """What a vote account says; slots that it lacks are 0. Credits are by epoch: (epoch, credits, before)."""

    address: Pubkey
    node: Pubkey
    commission_percent: int
    last_vote: int
    root_slot: int
    epoch_credits: list[tuple[int, int, int]]


def vote_accounts(view: View, commitment: Commitment) -> Iterator[VoteAccount]:
    """The vote accounts that a bank sees, by ascending address; what is not initialized is left out."""
    for address, account in view.program_accounts(VOTE_PROGRAM, commitment):
        found = _read(address, account)
        if found is not None:
            yield found


def _read(address: Pubkey, account: Account) -> VoteAccount | None:
    reader = ByteReader(account.data)
    try:
        if reader.u32() != _VOTE_STATE_V4:
            return None
        node = Pubkey(reader.take(32))
        reader.take(32)  # who may withdraw
        reader.take(_COLLECTORS_BYTES)
        commission_bps = reader.u16()
        reader.take(2 + 8)  # the share of block revenue, and what waits for delegators
        if reader.flag():
            reader.take(_BLS_KEY_BYTES)
        votes = [reader.take(_VOTE_BYTES) for _ in range(_count(reader))]
        root_slot = reader.u64() if reader.flag() else 0
        for _ in range(_count(reader)):
            reader.take(8 + 32)  # an epoch, and who may vote in it
        credit = [(reader.u64(), reader.u64(), reader.u64()) for _ in range(_count(reader))]
    except Unparsable:
        return None
    last_vote = int.from_bytes(votes[-1][1:9], "little") if votes else 0
    return VoteAccount(address, node, commission_bps // 100, last_vote, root_slot, credit)


def _count(reader: ByteReader) -> int:
    """A length that the account's own bytes bound: no list is longer than the account."""
    count = reader.u64()
    if count > 10_000:
        raise Unparsable(f"{count} entries")
    return count
