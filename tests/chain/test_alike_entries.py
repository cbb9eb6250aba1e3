"""Entries that are written alike are read in columns: the same accounts as when they are read as JSON."""

from __future__ import annotations

import base64
import json
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from solders.pubkey import Pubkey

from engine.chain import alike_entries
from engine.chain.alike_entries import MOST_FORMS, AlikeEntries
from engine.chain.text_columns import ADDRESS_CHARACTERS, address_rows
from engine.protocol.account_block import AccountBlock
from engine.protocol.addresses import PROGRAM_ID

ADDRESSES = (b"", b"\0", b"\0\0", b"\0\0\0", b"\0" * 31, b"\0" * 32, b"\xff" * 32, b"\x01")


class Shape(msgspec.Struct):
    pubkey: str
    account: dict[str, Any]


def some_address(rng: Random) -> bytes:
    start = rng.choice(ADDRESSES) if rng.random() < 0.2 else b""
    return start + rng.randbytes(32 - len(start))


def entry(rng: Random, address: bytes, data: bytes, *, by_name: bool, lamports: int = 1) -> str:
    account = {
        "lamports": lamports,
        "data": [base64.b64encode(data).decode(), "base64"],
        "owner": str(PROGRAM_ID),
        "executable": False,
        "rentEpoch": 2**64 - 1,
        "space": len(data),
    }
    written = {"pubkey": str(Pubkey.from_bytes(address)), "account": account}
    return json.dumps(written, separators=(",", ":"), sort_keys=by_name)


def as_json(text: bytes) -> list[tuple[bytes, bytes]] | None:
    """What the list says, read entry by entry; None when it is none."""
    try:
        entries = msgspec.json.decode(text, type=list[Shape])
        read = [
            (Pubkey.from_string(each.pubkey), msgspec.convert(each.account["data"], tuple[str, str]))
            for each in entries
        ]
        if any(encoding != "base64" for _, (_, encoding) in read):
            return None
        return [(bytes(address), msgspec.convert(data, bytes)) for address, (data, _) in read]
    except (msgspec.MsgspecError, ValueError, KeyError):
        return None


def in_columns(reader: AlikeEntries, text: bytes) -> list[tuple[bytes, bytes]] | None:
    try:
        return [pair for part in reader.decode(text) for pair in zip(*part, strict=True)]
    except msgspec.MsgspecError:
        return None


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("lengths", [(120,), (85,), (86,), (85, 120)])
def test_the_same_accounts_in_the_same_order_as_when_every_entry_is_read_as_json(by_name, lengths):
    rng, reader = Random(1), AlikeEntries()
    for _ in range(12):
        wanted = [(some_address(rng), rng.randbytes(rng.choice(lengths))) for _ in range(150)]
        text = f"[{','.join(entry(rng, *each, by_name=by_name) for each in wanted)}]".encode()
        assert in_columns(reader, text) == wanted == as_json(text)


def test_what_a_node_writes_is_read_in_columns_alone_once_its_forms_are_known(monkeypatch):
    rng, reader = Random(2), AlikeEntries()

    def text() -> bytes:
        entries = (entry(rng, rng.randbytes(32), rng.randbytes(120), by_name=True) for _ in range(300))
        return f"[{','.join(entries)}]".encode()

    for _ in range(20):
        reader.decode(text())
    monkeypatch.setattr(alike_entries, "_ENTRIES", None)
    blocks = 0
    for _ in range(5):
        (_, accounts), *_ = reader.decode(text())
        blocks += isinstance(accounts, AccountBlock) and len(accounts) == 300
    assert blocks == 5


def test_a_spoiled_list_is_read_or_refused_as_json_is():
    rng, refused, read = Random(3), 0, 0
    for _ in range(40):
        reader = AlikeEntries()
        wanted = [(rng.randbytes(32), rng.randbytes(rng.choice((85, 120)))) for _ in range(12)]
        good = f"[{','.join(entry(rng, *each, by_name=False) for each in wanted)}]".encode()
        reader.decode(good)
        for _ in range(60):
            spoiled = bytearray(good)
            for _ in range(rng.randint(1, 3)):
                spoiled[rng.randrange(1, len(spoiled) - 1)] = rng.choice(b'{}[]",:\\ 01lA=/')
            expected = as_json(bytes(spoiled))
            refused += expected is None
            read += expected is not None
            assert in_columns(reader, bytes(spoiled)) == expected, bytes(spoiled)
    assert min(refused, read) > 200


@pytest.mark.parametrize(
    "text",
    [
        b"[{0},,{1}]",
        b"[{0},]",
        b"[,{0}]",
        b"[{0}{1}]",
        b'[{"x":[{0},{1}]}]',
        b"[{0}, 1,{1}]",
        b'["{0}"]',
    ],
)
def test_entries_in_a_text_that_is_no_list_of_entries_are_none(text):
    rng, reader = Random(4), AlikeEntries()
    pair = [entry(rng, rng.randbytes(32), bytes(120), by_name=False).encode() for _ in range(2)]
    reader.decode(b"[%b]" % b",".join(pair))
    with pytest.raises(msgspec.MsgspecError):
        reader.decode(text.replace(b"{0}", pair[0]).replace(b"{1}", pair[1]))


def test_no_more_forms_are_learned_than_may_be_and_everything_is_read_all_the_same():
    rng, reader = Random(5), AlikeEntries()
    for round_number in range(6):
        wanted = [(rng.randbytes(32), rng.randbytes(120)) for _ in range(40)]
        lamports = [10 ** rng.randrange(18) for _ in wanted]
        entries = (
            entry(rng, *each, by_name=False, lamports=amount)
            for each, amount in zip(wanted, lamports, strict=True)
        )
        assert in_columns(reader, f"[{','.join(entries)}]".encode()) == wanted, round_number
    assert len(reader._forms) == MOST_FORMS


def test_an_address_is_bad_when_it_is_too_large_or_has_another_number_of_zeros_than_bytes():
    good = [bytes(32), b"\0" + b"\xff" * 31, b"\xff" * 32, b"\0\0" + b"\x01" * 30]
    texts = [str(Pubkey.from_bytes(each)) for each in good]
    texts += ["z" * 44, "1" * 33, "1" + "z" * 43, "2" * 32, "0" * 44]
    columns = np.frombuffer("".join(each.rjust(ADDRESS_CHARACTERS, "1") for each in texts).encode(), np.uint8)
    rows, bad = address_rows(columns.reshape(-1, ADDRESS_CHARACTERS), np.array([len(each) for each in texts]))
    assert [rows[index].tobytes() for index in range(4)] == good
    assert bad.tolist() == [4, 5, 6, 7, 8]
