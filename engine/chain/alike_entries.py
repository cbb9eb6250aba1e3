"""Many entries of a getProgramAccounts answer at once, where they are written alike, as a node's own are.

How entries are written is learned from some that were read as JSON: a form is the text of one, and where the
address and data stand in it. Another text that has the same characters everywhere else, and in these places
only such as an address and data may have, is an entry as well. So every character is compared, only not one
by one; and whatever differs, or stands between such entries, is read as JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from solders.pubkey import Pubkey

from engine.chain.port import PositionSlice
from engine.chain.text_columns import ADDRESS_CHARACTERS, FILLER, address_rows, base64_rows
from engine.protocol.account_block import AccountBlock

MOST_FORMS = 16
MOST_GAPS = 64  # in one text: reading so many by themselves takes longer than all of it as JSON
_LONGEST_FORM = 2048
_SHORTEST_ADDRESS = 32
_ARRAY, _OBJECT, _OBJECT_END, _COMMA, _ARRAY_END = b"[{},]"
_PADDING, _SIX_ZEROS = b"=A"
_NO_FORM = -1

Letters = NDArray[np.uint8]
Numbers = NDArray[np.int64]


class _Data(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    data: bytes
    encoding: Literal["base64"]


class _Account(msgspec.Struct, gc=False):
    data: _Data


class _Entry(msgspec.Struct, gc=False):
    pubkey: str
    account: _Account


class _WrittenAccount(msgspec.Struct, gc=False):
    data: tuple[str, str]


class _WrittenEntry(msgspec.Struct, gc=False):
    pubkey: str
    account: _WrittenAccount


_ENTRIES = msgspec.json.Decoder(list[_Entry])
_TEXTS = msgspec.json.Decoder(list[msgspec.Raw])
_WRITTEN = msgspec.json.Decoder(_WrittenEntry)


class _Form:
    """How an entry is written: its text, in which `address` and `data` differ from one to another."""

    def __init__(self, text: bytes, address: slice, data: slice) -> None:
        self.size = len(text)
        self.bracket = text.index(_ARRAY)
        self.address = address
        self.data = data
        self.address_length = address.stop - address.start
        self.data_length = data.stop - data.start
        self.padding = text[data].count(_PADDING)
        letters = np.frombuffer(text, np.uint8)
        first, second = sorted(
            (address, slice(data.start, data.stop - self.padding)), key=lambda part: part.start
        )
        between = (slice(0, first.start), slice(first.stop, second.start), slice(second.stop, self.size))
        self._fixed = [(part, letters[part]) for part in between]
        places = (address.start, self.address_length, data.start, self.data_length)
        self.key = (*places, *(text[part] for part in between))

    @classmethod
    def of(cls, text: bytes) -> _Form | None:
        """The form of an entry that was read as JSON, None when it is too odd to have one."""
        if len(text) > _LONGEST_FORM or b"\\" in text or text.count(_ARRAY) != 1:
            return None
        entry = _WRITTEN.decode(text)
        address, data = (_place(text, value.encode()) for value in (entry.pubkey, entry.account.data[0]))
        if address is None or data is None:
            return None
        length = data.stop - data.start
        if length == 0 or length % 4 or not _SHORTEST_ADDRESS <= len(entry.pubkey) <= ADDRESS_CHARACTERS:
            return None
        return cls(text, address, data)

    def entries_at(self, letters: Letters, brackets: Numbers) -> tuple[NDArray[np.bool_], Numbers]:
        """At which of these brackets an entry of this form stands, and where each such entry starts.

        Behind each there is one letter more; whether address and data are any is not looked at.
        """
        starts = brackets - self.bracket
        good = (starts > 0) & (starts + self.size < len(letters))
        starts = starts[good]
        alike = letters[starts + (self.size - 1)] == _OBJECT_END
        for part, text in self._fixed:
            same = _windows(letters, len(text), starts + part.start) == text
            if not same.all():
                alike &= same.all(axis=1)
        good[good] = alike
        return good, starts[alike]


def _windows(letters: Letters, length: int, starts: Numbers) -> Letters:
    """So many letters from each start on, in rows."""
    every = as_strided(letters, (max(0, len(letters) - length + 1), length), (1, 1), writeable=False)
    return every[starts]


def _place(text: bytes, value: bytes) -> slice | None:
    """Where a string stands in a text, None when it stands there twice."""
    quoted = b'"%b"' % value
    if text.count(quoted) != 1:
        return None
    start = text.index(quoted) + 1
    return slice(start, start + len(value))


class _Found(NamedTuple):
    """Entries in their order: entry i is the text from `starts[i]` to `ends[i]`."""

    starts: Numbers
    ends: Numbers
    addresses: list[bytes]
    accounts: Sequence[bytes]


class _Gap(NamedTuple):
    """Text between commas that is to be read as JSON, in front of the found entry with number `before`."""

    start: int
    end: int
    before: int


class AlikeEntries:
    """Decodes lists of entries: quickly, once it has learned the few forms that they have."""

    def __init__(self) -> None:
        self._forms: list[_Form] = []

    def decode(self, text: bytes | memoryview) -> list[PositionSlice]:
        """The addresses and the data of a JSON list of entries, as one slice in their order.

        Raises msgspec's errors, also for an address that is none.
        """
        letters = np.frombuffer(text, np.uint8)
        found = self._find(letters)
        gaps = None if found is None else _gaps(letters, found)
        if found is not None and gaps is not None:
            # A gap that cannot be read by itself may be half of something around what was found.
            with suppress(msgspec.MsgspecError):
                return [self._filled(letters, found, gaps) if gaps else (found.addresses, found.accounts)]
        self._learn(text)
        addresses, accounts = _read_as_json(text)
        return [(addresses, accounts)] if addresses else []

    def _find(self, letters: Letters) -> _Found | None:
        """The entries of known forms, None without any."""
        brackets = np.flatnonzero(letters == _ARRAY)
        starts, by_form = np.zeros(len(brackets), np.int64), np.full(len(brackets), _NO_FORM)
        waiting = np.arange(len(brackets))
        for number, form in enumerate(self._forms):
            good, found = form.entries_at(letters, brackets[waiting])
            picked, waiting = waiting[good], waiting[~good]
            starts[picked], by_form[picked] = found, number
            if len(waiting) == 0:
                break
        listed = np.flatnonzero(by_form != _NO_FORM)
        if len(listed) == 0:
            return None
        starts, by_form = starts[listed], by_form[listed]
        addresses, no_address = self._addresses(letters, starts, by_form)
        accounts, no_data = self._accounts(letters, starts, by_form)
        ends = starts + np.array([form.size for form in self._forms])[by_form]
        bad = np.concatenate((no_address, no_data))
        if len(bad):
            kept = np.delete(np.arange(len(starts)), bad)
            starts, ends, addresses = starts[kept], ends[kept], addresses[kept]
            accounts = [accounts[index] for index in kept.tolist()]
        return _Found(starts, ends, list(AccountBlock(addresses)), accounts)

    def _addresses(self, letters: Letters, starts: Numbers, by_form: Numbers) -> tuple[Letters, Numbers]:
        """The address of each entry, and the numbers of the entries whose address is none."""
        at = starts + np.array([form.address.start for form in self._forms])[by_form]
        lengths = np.array([form.address_length for form in self._forms])[by_form]
        texts = np.full((len(starts), ADDRESS_CHARACTERS), FILLER, np.uint8)
        for length in {form.address_length for form in self._forms}:
            picked = np.flatnonzero(lengths == length)
            texts[picked, ADDRESS_CHARACTERS - length :] = _windows(letters, length, at[picked])
        return address_rows(texts, lengths)

    def _accounts(
        self, letters: Letters, starts: Numbers, by_form: Numbers
    ) -> tuple[Sequence[bytes], Numbers]:
        """The data of each entry, and the numbers of the entries whose data are none."""
        at = starts + np.array([form.data.start for form in self._forms])[by_form]
        kinds = np.array([form.data_length << 2 | form.padding for form in self._forms])[by_form]
        if (kinds == kinds[0]).all():
            rows, bad = _data_rows(letters, at, int(kinds[0]))
            return AccountBlock(rows), bad
        listed, none = [b""] * len(at), list[Numbers]()
        for kind in np.unique(kinds).tolist():
            picked = np.flatnonzero(kinds == kind)
            rows, bad = _data_rows(letters, at[picked], kind)
            for index, account in zip(picked.tolist(), AccountBlock(rows), strict=True):
                listed[index] = account
            none.append(picked[bad])
        return listed, np.concatenate(none)

    def _filled(self, letters: Letters, found: _Found, gaps: Sequence[_Gap]) -> PositionSlice:
        """The entries found, and between them those that have to be read as JSON."""
        addresses, accounts, at = list[bytes](), list[bytes](), 0
        known = list(found.accounts)
        for start, end, before in gaps:
            text = b"[%b]" % letters[start:end].tobytes()
            more_addresses, more_accounts = _read_as_json(text)
            if not more_addresses:
                raise msgspec.DecodeError("a comma too many")
            addresses += [*found.addresses[at:before], *more_addresses]
            accounts += [*known[at:before], *more_accounts]
            at = before
            self._learn(text)
        return addresses + found.addresses[at:], accounts + known[at:]

    def _learn(self, text: bytes | memoryview) -> None:
        """Learn the forms of a list's entries; raises msgspec's errors when it is none."""
        if len(self._forms) == MOST_FORMS:
            return
        for entry in {len(each): bytes(each) for each in _TEXTS.decode(text)}.values():
            form = _Form.of(entry)
            if form is not None and all(form.key != each.key for each in self._forms):
                self._forms = [*self._forms, form][:MOST_FORMS]


def _data_rows(letters: Letters, at: Numbers, kind: int) -> tuple[Letters, Numbers]:
    """What base64 says there, and the numbers of those that are none; `kind` is length and padding."""
    length, padding = kind >> 2, kind & 3
    texts = _windows(letters, length, at)
    if padding:
        texts[:, -padding:] = _SIX_ZEROS
    rows, bad = base64_rows(texts)
    return rows[:, : rows.shape[1] - padding], bad


def _gaps(letters: Letters, found: _Found) -> list[_Gap] | None:
    """What no entry that was found covers; None when all of it is better read as JSON."""
    last = len(letters) - 1
    if letters[0] != _ARRAY or letters[last] != _ARRAY_END:
        return None
    # From the bracket or comma behind one entry to the comma or bracket ahead of the next: mostly the same.
    behind = np.concatenate(([0], found.ends))
    ahead = np.concatenate((found.starts - 1, [last]))
    between = np.concatenate((behind[1:], ahead[:-1]))
    between = between[(between > 0) & (between < last)]
    if (ahead < behind).any() or (letters[between] != _COMMA).any():
        return None
    numbers = np.flatnonzero(ahead > behind).tolist()
    if len(numbers) > MOST_GAPS:
        return None
    return [_Gap(int(behind[number]) + 1, int(ahead[number]), number) for number in numbers]


def _read_as_json(text: bytes | memoryview) -> tuple[list[bytes], list[bytes]]:
    entries = _ENTRIES.decode(text)
    read = Pubkey.from_string
    try:
        addresses = [bytes(read(entry.pubkey)) for entry in entries]
    except ValueError:
        raise msgspec.ValidationError("an address is not base58") from None
    return addresses, [entry.account.data.data for entry in entries]
