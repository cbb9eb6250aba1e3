"""getProgramAccounts in slices: the answer of one bank, however many accounts, while the node goes on."""

from __future__ import annotations

import binascii
from collections import OrderedDict
from collections.abc import Iterable, Iterator

import msgspec
from solders.account import Account
from solders.pubkey import Pubkey

from engine.sandbox.cluster.blocks.banks import Commitment
from engine.sandbox.cluster.blocks.history import LandedTransaction
from engine.sandbox.cluster.encoding import (
    MAX_BASE58_DATA_BYTES,
    RENT_EXEMPT_EPOCH,
    AccountEncoding,
    DataSlice,
    account_json,
    keyed_account_json,
    parsed_token_entries,
)
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.parsed.token_state import TOKEN_PROGRAMS
from engine.sandbox.cluster.rpc.filters import AccountFilter, parse_filters, passes
from engine.sandbox.cluster.rpc.jsonrpc import Pieces
from engine.sandbox.cluster.rpc.methods_chain import with_context
from engine.sandbox.cluster.rpc.params import Params

# As many accounts as take about a millisecond: in the form that is quick to write, and in the others.
SLICE_ACCOUNTS = 256
SLICE_OF_OTHER_FORMS = 24
# How long after its bank was the finalized one an answer may still be on its way.
LONGEST_ANSWER_SLOTS = 32
MAX_CACHED_BYTES = 96 * 1024 * 1024
# What an entry takes beside its text: its place in the table, and Python's own part.
_ENTRY_BYTES = 160
_BASE58_FORMS = (AccountEncoding.BINARY, AccountEncoding.BASE58)


class ProgramAccounts:
    """Answers getProgramAccounts.

    Accounts in the form in which whole programs are read (base64, all of the data) are kept written until
    they change: clients read a program again and again, and writing is most of what an answer costs.
    """

    def __init__(self, view: View, max_cached_bytes: int = MAX_CACHED_BYTES) -> None:
        self._view = view
        self._max_cached_bytes = max_cached_bytes
        self._cached_bytes = 0
        # The latest state of accounts, as entries of the answer.
        self._cached: dict[bytes, str] = {}
        # The slot of the last write, oldest first, as long as some bank that can be asked for is older.
        self._written_in: OrderedDict[bytes, int] = OrderedDict()
        view.ledger.observers.append(self)

    @property
    def cached_bytes(self) -> int:
        """About how much memory the written accounts take; never more than the limit."""
        return self._cached_bytes

    def answer(self, params: Params) -> Pieces:
        """Every account of a program that passes the filters, by ascending address, as one bank sees them.

        Raises RpcError for unusable parameters; base58 of accounts that are too long for it is refused in the
        course of the answer, before its first bytes.
        """
        program, config = params.pubkey(0), params.config(1, "RpcProgramAccountsConfig")
        bank = config.bank(self._view)
        filters = parse_filters(config.raw("filters"))
        encoding, data_slice = config.account_encoding(), config.data_slice()
        keys = self._view.program_keys(program, bank.slot)
        if encoding is AccountEncoding.BASE64:
            slices = self._plain(keys, bank.slot, filters, program)
            if data_slice is not None:
                slices = ([_cut(entry, data_slice) for entry in entries] for entries in slices)
        else:
            found = _Found(self._view, keys, bank.slot, filters)
            slices = _formed(found, encoding, data_slice, of_tokens=program in TOKEN_PROGRAMS)
        if not config.flag("withContext"):
            return Pieces(_listed(b"[", slices, b"]"))
        context = msgspec.json.encode(with_context(bank, None)["context"])
        return Pieces(_listed(b'{"context":%b,"value":[' % context, slices, b"]}"))

    # --- from the ledger ---

    def account_written(self, address: Pubkey, _account: Account | None, slot: int) -> None:
        """What was written of the account before is not true any more."""
        key = bytes(address)
        self._forget(key)
        self._written_in[key] = slot
        self._written_in.move_to_end(key)

    def transaction_landed(self, landed: LandedTransaction) -> None:
        """Told by the accounts that it wrote."""

    def slot_opened(self, _slot: int, _parent: int, _root: int) -> None:
        """A write in a slot that every bank has behind it needs no remembering."""
        oldest = self._view.bank(Commitment.FINALIZED).slot - LONGEST_ANSWER_SLOTS
        written_in = self._written_in
        while written_in and next(iter(written_in.values())) <= oldest:
            written_in.popitem(last=False)

    def bank_reached(self, commitment: Commitment, slot: int) -> None:
        """Changes nothing here."""

    def slots_abandoned(self, _first: int, _last: int) -> None:
        """What they had written is written back, and told as that."""

    # --- slices ---

    def _plain(
        self, keys: list[bytes], slot: int, filters: list[AccountFilter], program: Pubkey
    ) -> Iterator[list[str]]:
        owner = str(program)
        for start in range(0, len(keys), SLICE_ACCOUNTS):
            entries = []
            for key in keys[start : start + SLICE_ACCOUNTS]:
                entry = self._cached.get(key)
                if entry is None or self._written_in.get(key, 0) > slot:
                    entry = self._entry(key, slot, program, owner)
                if entry is not None and (not filters or passes(filters, _data_of(entry))):
                    entries.append(entry)
            yield entries

    def _entry(self, key: bytes, slot: int, program: Pubkey, owner: str) -> str | None:
        address = Pubkey.from_bytes(key)
        account = self._view.account_at(address, slot)
        if account is None or account.owner != program:
            # It has gone since, and the bank that was asked for is too old by now to be read.
            return None
        entry = _plain_entry(address, account, owner)
        size = len(entry) + _ENTRY_BYTES
        if self._cached_bytes + size <= self._max_cached_bytes and self._written_in.get(key, 0) <= slot:
            self._cached[key] = entry
            self._cached_bytes += size
        return entry

    def _forget(self, key: bytes) -> None:
        entry = self._cached.pop(key, None)
        if entry is not None:
            self._cached_bytes -= len(entry) + _ENTRY_BYTES


class _Found:
    """The accounts of one bank that pass the filters."""

    def __init__(self, view: View, keys: list[bytes], slot: int, filters: list[AccountFilter]) -> None:
        self._view = view
        self._keys = keys
        self._slot = slot
        self._filters = filters

    def account(self, address: Pubkey) -> Account | None:
        """Any account of the bank: to show a token account takes its mint."""
        return self._view.account_at(address, self._slot)

    def slices(self, size: int) -> Iterator[list[tuple[Pubkey, Account]]]:
        """What is found in each so many accounts of the program."""
        for start in range(0, len(self._keys), size):
            addresses = map(Pubkey.from_bytes, self._keys[start : start + size])
            accounts = [(address, self.account(address)) for address in addresses]
            yield [
                (address, account)
                for address, account in accounts
                if account is not None and (not self._filters or passes(self._filters, account.data))
            ]


def _formed(
    found: _Found, encoding: AccountEncoding, data_slice: DataSlice | None, *, of_tokens: bool
) -> Iterator[list[str]]:
    """The entries in any form, slice by slice."""
    if encoding in _BASE58_FORMS:
        yield from _refusing_long_base58(found, encoding, data_slice)
    for accounts in found.slices(SLICE_OF_OTHER_FORMS):
        if of_tokens and encoding is AccountEncoding.JSON_PARSED:
            yield list(parsed_token_entries(accounts, found.account))
        else:
            yield [
                keyed_account_json(address, account, encoding, data_slice, found.account)
                for address, account in accounts
            ]


def _refusing_long_base58(
    found: _Found, encoding: AccountEncoding, data_slice: DataSlice | None
) -> Iterator[list[str]]:
    """One account that is too long spoils the whole answer: this must be known before it begins."""
    for accounts in found.slices(SLICE_ACCOUNTS):
        for _, account in accounts:
            shown = account.data if data_slice is None else data_slice.of(account.data)
            if len(shown) > MAX_BASE58_DATA_BYTES:
                account_json(account, encoding, data_slice)
        yield []


def _listed(head: bytes, slices: Iterable[list[str]], tail: bytes) -> Iterator[bytes]:
    """JSON between `head` and `tail`; an empty piece for each slice in which nothing was found."""
    for entries in slices:
        if entries:
            yield head + ",".join(entries).encode()
            head = b","
        else:
            yield b""
    yield tail if head == b"," else head + tail


def _plain_entry(address: Pubkey, account: Account, owner: str) -> str:
    """The same as keyed_account_json in base64, in half the time."""
    data = account.data
    return (
        f'{{"pubkey":"{address}","account":{{"data":["{binascii.b2a_base64(data, newline=False).decode()}",'
        f'"base64"],"executable":{"true" if account.executable else "false"},"lamports":{account.lamports},'
        f'"owner":"{owner}","rentEpoch":{RENT_EXEMPT_EPOCH},"space":{len(data)}}}}}'
    )


def _cut(entry: str, data_slice: DataSlice) -> str:
    """A plain entry with only the part of its data that is wanted."""
    head, data, tail = _around_data(entry)
    wanted = data_slice.of(binascii.a2b_base64(data)) if data_slice.length else b""
    return f"{head}{binascii.b2a_base64(wanted, newline=False).decode()}{tail}"


def _data_of(entry: str) -> bytes:
    """The account's data, read back from a plain entry."""
    return binascii.a2b_base64(_around_data(entry)[1])


def _around_data(entry: str) -> tuple[str, str, str]:
    """A plain entry up to its data, the data in base64, and the rest."""
    begins = entry.index('["') + 2
    ends = entry.index('"', begins)
    return entry[:begins], entry[begins:ends], entry[ends:]
