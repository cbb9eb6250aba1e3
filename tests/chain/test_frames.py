"""A node's frames: every shape that it sends, and what is no frame whatever it looks like."""

from __future__ import annotations

import json

import pytest
from solders.pubkey import Pubkey
from tellers import account_frame, account_shape, program_frame, slot_frame

from engine.chain.frames import (
    AccountNews,
    Answer,
    FrameReader,
    SlotNews,
    UnreadableFrame,
    WatchedNews,
)
from engine.chain.shapes import MOST_LAMPORTS
from engine.protocol.addresses import PROGRAM_ID

SOMEBODY = Pubkey.from_bytes(b"s" * 32)


def read(text: str | bytes):
    return FrameReader().read(text.encode() if isinstance(text, str) else text)


def changed(frame: str, *path: str, to: object) -> str:
    """The frame with one value of it replaced."""
    whole = json.loads(frame)
    inner = whole
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    return json.dumps(whole)


def test_a_program_notification_is_an_account_at_a_slot():
    assert read(program_frame(SOMEBODY, 5, b"data")) == AccountNews(SOMEBODY, b"data", PROGRAM_ID, 5, 7)


def test_an_account_notification_is_known_by_its_subscription():
    assert read(account_frame(103, 5, b"data")) == WatchedNews(103, b"data", PROGRAM_ID, 5, 7)


def test_a_closed_account_is_empty():
    empty = changed(account_frame(103, 5), "params", "result", "value", to=account_shape(b"", lamports=0))
    assert read(empty) == WatchedNews(103, b"", PROGRAM_ID, 5, 0)


def test_a_slot_notification_has_its_parent():
    assert read(slot_frame(8, 6)) == SlotNews(8, 6)


def test_frames_are_read_where_they_lie():
    memory = memoryview(b"??" + slot_frame(8, 6).encode() + b"??")
    assert FrameReader().read(memory[2:-2]) == SlotNews(8, 6)


def test_an_answer_is_a_subscription_or_a_refusal_of_one_line():
    assert read('{"jsonrpc":"2.0","id":3,"result":44}') == Answer(3, 44, "")
    refusal = {"jsonrpc": "2.0", "id": 3, "error": {"code": -32601, "message": "no\nmore " + "x" * 500}}
    assert read(json.dumps(refusal)) == Answer(3, None, "no")
    assert read('{"jsonrpc":"2.0","id":3,"result":null}') == Answer(3, None, "no subscription")


def test_the_order_of_the_fields_does_not_matter():
    whole = json.loads(program_frame(SOMEBODY, 5))
    assert read(json.dumps(dict(reversed(whole.items())))) == read(program_frame(SOMEBODY, 5))


SLOT = ("params", "result", "context", "slot")
ACCOUNT = ("params", "result", "value", "account")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *((SLOT, value) for value in (-1, 2**62 + 1, 2**64, 10**30, 1.5, "7", None, True)),
        *(((*ACCOUNT, "lamports"), value) for value in (-1, MOST_LAMPORTS + 1, 2**64, None, "1")),
        *(
            ((*ACCOUNT, "data"), value)
            for value in (
                "AAAA",
                ["AAAA", "base58"],
                ["AAAA", "jsonParsed"],
                ["AAA", "base64"],
                ["%%%%", "base64"],
                ["AAAA"],
                ["AAAA", "base64", "x"],
                {"parsed": {}},
                None,
            )
        ),
        *(((*ACCOUNT, "owner"), value) for value in ("", "0" * 44, "x" * 10_000, "\x1b[2J", 7, None)),
        *(
            (("params", "result", "value", "pubkey"), value)
            for value in ("", "1" * 31, "1" * 100, "\u202e" * 40, 5, None)
        ),
        (("params", "result", "value"), None),
        (("params", "result"), []),
        (("params",), {}),
        (("method",), "blockNotification"),
    ],
)
def test_what_is_out_of_range_or_of_another_shape_is_no_frame(path, value):
    with pytest.raises(UnreadableFrame):
        read(changed(program_frame(SOMEBODY, 5), *path, to=value))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"7",
        b'"slotNotification"',
        b"\xff\xfe",
        b"\0" * 100,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"method":"slotNotification"}',
        b'{"method":"slotNotification","params":{"result":{"slot":-1,"parent":0}}}',
        b'{"method":"slotNotification","params":{"result":{"slot":1,"parent":1e400}}}',
        b'{"method":"slotNotification","params":{"result":{"slot":NaN,"parent":1}}}',
        b'{"id":"3","result":1}',
        b'{"id":-1,"result":1}',
        b'{"id":3,"result":-1}',
        b'{"id":3,"result":18446744073709551616}',
        b'{"result":1}',
        slot_frame(8, 6).encode() + b"x",
        slot_frame(8, 6).encode() * 2,
    ],
)
def test_what_is_no_frame_is_refused_and_never_breaks_the_reader(raw):
    with pytest.raises(UnreadableFrame):
        read(raw)


def test_an_account_of_ten_megabytes_is_read_whole():
    data = bytes(range(256)) * 40_960
    assert read(program_frame(SOMEBODY, 5, data)).data == data


def test_owners_that_nobody_has_seen_do_not_fill_the_memory():
    reader = FrameReader()
    for number in range(1_000):
        owner = str(Pubkey.from_bytes(number.to_bytes(32, "big")))
        shape = account_shape(b"", owner=owner)
        frame = changed(account_frame(103, 5), "params", "result", "value", to=shape)
        assert str(reader.read(frame.encode()).owner) == owner
    assert len(reader._owners) <= 256
