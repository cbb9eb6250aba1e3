"""Events: decoded from log lines whole, or not at all."""

from __future__ import annotations

import base64
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from engine.protocol.events import (
    CollateralAddedEvent,
    ContributionEvent,
    Event,
    LiquidationEvent,
    PositionClosedEvent,
    read_events,
)

KEYS = [Pubkey.from_bytes(bytes([number] * 32)) for number in (1, 2, 3)]
LIQUIDATION = LiquidationEvent(*KEYS, "BTC/USD", 5, 6, 7, 2**64 - 1, True, -8)
CONTRIBUTION = ContributionEvent(KEYS[0], 10**9, 2**64 - 1, 1_760_000_000)
ADDITION = CollateralAddedEvent(KEYS[0], KEYS[1], "BTC/USD", 5, 2**64 - 1, 1_760_000_000)
CLOSING = PositionClosedEvent(KEYS[0], KEYS[1], "BTC/USD", 5, 6, 7, 1_760_000_000)


def number(value: int) -> bytes:
    return value.to_bytes(8, "little", signed=value < 0)


LIQUIDATION_BYTES = (
    sha256(b"event:LiquidationEvent").digest()[:8]
    + b"".join(bytes(key) for key in KEYS)
    + bytes([7, 0, 0, 0])
    + b"BTC/USD"
    + number(5) + number(6) + number(7) + number(2**64 - 1) + b"\x01" + number(-8)
)  # fmt: skip
CONTRIBUTION_BYTES = (
    sha256(b"event:ContributionEvent").digest()[:8]
    + bytes(KEYS[0]) + number(10**9) + number(2**64 - 1) + number(1_760_000_000)
)  # fmt: skip


HOLDER_BYTES = bytes(KEYS[0]) + bytes(KEYS[1]) + bytes([7, 0, 0, 0]) + b"BTC/USD"
ADDITION_BYTES = (
    sha256(b"event:CollateralAddedEvent").digest()[:8] + HOLDER_BYTES
    + number(5) + number(2**64 - 1) + number(1_760_000_000)
)  # fmt: skip
CLOSING_BYTES = (
    sha256(b"event:PositionClosedEvent").digest()[:8] + HOLDER_BYTES
    + number(5) + number(6) + number(7) + number(1_760_000_000)
)  # fmt: skip
EVERY_EVENT = (LIQUIDATION_BYTES, CONTRIBUTION_BYTES, ADDITION_BYTES, CLOSING_BYTES)


def line(raw: bytes) -> str:
    return "Program data: " + base64.b64encode(raw).decode()


def test_events_are_read_in_order_from_among_other_lines() -> None:
    logs = [
        "Program 11111111111111111111111111111111 invoke [1]",
        line(CONTRIBUTION_BYTES),
        "Program log: Instruction: LiquidateFull",
        line(b"somebody else's event"),
        line(LIQUIDATION_BYTES),
        line(CLOSING_BYTES),
        line(ADDITION_BYTES),
        "Program data: not base64!",
        "Program data: ",
    ]
    assert read_events(logs) == [CONTRIBUTION, LIQUIDATION, CLOSING, ADDITION]


@pytest.mark.parametrize("raw", EVERY_EVENT, ids=["liquidation", "contribution", "addition", "closing"])
def test_a_truncated_or_overlong_event_is_none(raw: bytes) -> None:
    assert len(read_events([line(raw)])) == 1
    for length in range(len(raw)):
        assert read_events([line(raw[:length])]) == []
    assert read_events([line(raw + b"\0")]) == []


def test_a_symbol_that_is_no_utf8_or_of_a_hostile_length_is_no_event() -> None:
    spoiled = bytearray(LIQUIDATION_BYTES)
    spoiled[108] = 0xFF
    assert read_events([line(bytes(spoiled))]) == []
    spoiled = bytearray(LIQUIDATION_BYTES)
    spoiled[104:108] = b"\xff\xff\xff\xff"
    assert read_events([line(bytes(spoiled))]) == []


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(tail=st.binary(max_size=300), head=st.sampled_from((*(raw[:8] for raw in EVERY_EVENT), b"")))
def test_random_bytes_never_raise(head: bytes, tail: bytes) -> None:
    for event in read_events([line(head + tail), "Program data: " + tail.decode("latin-1")]):
        assert isinstance(event, Event)
